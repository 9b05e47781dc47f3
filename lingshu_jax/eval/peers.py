# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Other models: what each is asked with beside the benchmark's own words, and how it is reached.

One row each; the first that fits counts (`--peer=auto`). A row changes only what it says: a system
message, pictures before their text, where a thought ends that is no answer, fields that a service
refuses, the service's address. What a row changes is a setting of the evaluation.
"""

import dataclasses
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lingshu_jax.common import errors
from lingshu_jax.engines import openai_options, protocol, registry, vllm_folders

AUTO, NOTHING = "auto", "none"
# What a service's models refuse that decode as it likes.
_OWN_DECODING = ("temperature", "top_p", "stop", "seed")

Messages = Sequence[Mapping[str, Any]]


class Said(NamedTuple):
    """An answer taken apart.

    Attributes:
      response: What is scored.
      thinking: What stood before it, marks included; "" where there was no thought.
    """

    response: str
    thinking: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Peer:
    """A model or a family of them.

    Attributes:
      name: As of --peer; none holds a colon.
      title: As tables name it.
      names: Pattern in the last part of a model's name, in small letters.
      architectures: Of config.json; a folder must have one of them. Empty is any.
      needs_name: Whether a folder of such an architecture must have the name as well.
      is_service: Whether it is asked at its maker's server alone, and never a folder.
      system: System message of conversations that have none; "" adds none.
      thinking: Opening and closing marks of thoughts, beyond those that scoring knows.
      has_images_first: Whether pictures that follow their text go before it.
      max_images: The most that a request may have; 0 is no limit of its own.
      unsent: As of `openai_options.Options`.
      base_url: Where it is asked unless the user says so; "" is OpenAI's.
      key_variable: Holds the key there.
      source: Of these facts.
    """

    name: str
    title: str
    names: str = ""
    architectures: tuple[str, ...] = ()
    needs_name: bool = False
    is_service: bool = False
    system: str = ""
    thinking: tuple[tuple[str, str], ...] = ()
    has_images_first: bool = False
    max_images: int = 0
    unsent: tuple[str, ...] = ()
    base_url: str = ""
    key_variable: str = openai_options.KEY_VARIABLE
    source: str = ""

    def fits(self, model: str, kind: vllm_folders.Kind | None) -> bool:
        """Whether this row is for a model.

        Args:
          model: Its name or folder.
          kind: What its folder holds; None of a server's model.
        """
        last = pathlib.PurePath(model.partition("@")[0]).name.lower()
        has_name = bool(self.names) and re.search(self.names, last) is not None
        if kind is None:
            return has_name
        if self.is_service or (self.architectures and kind.architecture not in self.architectures):
            return False
        return has_name or (bool(self.architectures) and not self.needs_name)

    def arrange(self, messages: Messages) -> Messages:
        """The messages as this model is asked them.

        Args:
          messages: Canonical ones.
        """
        if self.has_images_first:
            messages = [_with_images_first(message) for message in messages]
        if self.system and not any(message["role"] == "system" for message in messages):
            told = {"role": "system", "content": [{"type": "text", "text": self.system}]}
            messages = [told, *messages]
        return messages

    def split(self, text: str) -> Said:
        """An answer without its thought; as it is where it has no marks of this model.

        A thought that is opened and never closed leaves an empty answer.

        Args:
          text: What the model wrote.
        """
        for opening, closing in self.thinking:
            before, mark, after = text.rpartition(closing)
            if mark:
                return Said(after.strip(), before + mark)
            if text.lstrip().startswith(opening):
                return Said("", text)
        return Said(text, "")


NONE = Peer(name=NOTHING, title="none of these")

# Special ones before the families that they are of.
PEERS: tuple[Peer, ...] = (
    Peer(
        name="huatuogpt-o1",
        title="HuatuoGPT-o1",
        names="huatuogpt-?o1",
        thinking=(("## Thinking", "## Final Response"),),
        source="FreedomIntelligence/HuatuoGPT-o1@2c8d7fc README.md",
    ),
    Peer(
        name="huatuogpt-vision",
        title="HuatuoGPT-Vision 7B and 32B on Qwen2.5-VL",
        names="huatuogpt-?vision",
        source="FreedomIntelligence/HuatuoGPT-Vision@a6476ac README.md",
    ),
    Peer(
        name="medgemma",
        title="MedGemma 4B and 27B",
        names="medgemma",
        architectures=("Gemma3ForConditionalGeneration", "Gemma3ForCausalLM"),
        needs_name=True,
        system="You are a helpful medical assistant.",
        thinking=(("<unused94>thought", "<unused95>"),),
        source="Google-Health/medgemma@ff57e8c notebooks/quick_start_with_model_garden.ipynb",
    ),
    Peer(
        name="llava-med",
        title="LLaVA-Med in Transformers' layout",
        names="llava-?med",
        has_images_first=True,
        source="microsoft/LLaVA-Med@821e1c7 llava/eval/model_vqa.py",
    ),
    Peer(
        name="internvl",
        title="InternVL3 and 3.5 (-hf), Lingshu-I",
        names="internvl|lingshu-i-",
        architectures=("InternVLForConditionalGeneration",),
        source="no system message: MedEvalKit@9b12e3b models/",
    ),
    Peer(
        name="qwen2.5-vl",
        title="Qwen2.5-VL, Lingshu",
        names=r"qwen2\.?5-?vl|lingshu",
        architectures=("Qwen2_5_VLForConditionalGeneration",),
        source="its template adds the system message; MedEvalKit@9b12e3b models/",
    ),
    Peer(
        name="qwen3-vl",
        title="Qwen3-VL",
        names="qwen3-?vl",
        architectures=("Qwen3VLForConditionalGeneration", "Qwen3VLMoeForConditionalGeneration"),
        source="thoughts end with a tag that scoring knows",
    ),
    Peer(
        name="llama-3.2-vision",
        title="Llama 3.2 Vision",
        names=r"llama-?3[.-]2.*vision",
        architectures=("MllamaForConditionalGeneration",),
        has_images_first=True,
        source="model card meta-llama/Llama-3.2-11B-Vision-Instruct",
    ),
    Peer(
        name="gpt-oss",
        title="gpt-oss",
        names="gpt-?oss",
        architectures=("GptOssForCausalLM",),
        thinking=(("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),),
        source="openai/harmony docs/format.md",
    ),
    Peer(
        name="gpt-chat",
        title="GPT-4, 4o, 4.1, gpt-5-chat",
        names=r"^(?:chatgpt|gpt-4|gpt-5[\w.-]*-chat)",
        is_service=True,
        source="nothing is refused",
    ),
    Peer(
        name="gpt-5",
        title="GPT-5",
        names="^gpt-5",
        is_service=True,
        unsent=_OWN_DECODING,
        source="johny-b/llmcomp#69, fish2018/YPrompt#26",
    ),
    Peer(
        name="o-series",
        title="o1, o3, o4-mini",
        names="^o[134](?:-|$)",
        is_service=True,
        unsent=_OWN_DECODING,
        source="assafelovic/gpt-researcher#1485",
    ),
    Peer(
        name="claude-4",
        title="Claude up to 4.6",
        names=(
            "^claude-(?:instant|[23]"
            r"|(?:opus|sonnet|haiku)-4(?:[.-][0-6])?(?:-\d{8}|-latest)?$)"
        ),
        is_service=True,
        has_images_first=True,
        max_images=100,
        unsent=("seed",),
        base_url="https://api.anthropic.com/v1/",
        key_variable="ANTHROPIC_API_KEY",
        source="platform.claude.com docs: api/openai-sdk, build-with-claude/vision",
    ),
    Peer(
        name="claude",
        title="Claude from Opus 4.7",
        names="^claude-",
        is_service=True,
        has_images_first=True,
        max_images=100,
        unsent=("temperature", "top_p", "seed"),
        base_url="https://api.anthropic.com/v1/",
        key_variable="ANTHROPIC_API_KEY",
        source="as claude-4; Comfy-Org/ComfyUI#13923, BerriAI/litellm#26444",
    ),
    Peer(
        name="gemini",
        title="Gemini",
        names="^gemini-",
        is_service=True,
        unsent=("seed",),
        base_url="https://generativelanguage.googleapis.com/v1beta/openai/",
        key_variable="GEMINI_API_KEY",
        source="ai.google.dev gemini-api/docs/openai; Vali-98/ChatterUI#227",
    ),
)
_BY_NAME = {peer.name: peer for peer in (NONE, *PEERS)}


def choose(wanted: str, choice: registry.Choice) -> Peer:
    """The row of a model.

    Args:
      wanted: As of --peer: auto, none, or a row's name.
      choice: The model and what answers for it.

    Raises:
      UserError: If there is no row of that name, it is a service's and the model a folder, or the
        folder is none of a model.
    """
    has_folder = registry.ENGINES[choice.name].has_folder
    if wanted != AUTO:
        peer = named(wanted)
        if peer.is_service and has_folder:
            raise errors.UserError(
                f"--peer={wanted} is a service's model; it is asked with --engine=openai, "
                f"not {choice.name}"
            )
        return peer
    kind = vllm_folders.read_kind(pathlib.Path(choice.place)) if has_folder else None
    return next((peer for peer in PEERS if peer.fits(choice.model, kind)), NONE)


def named(name: str) -> Peer:
    """The row of a name.

    Args:
      name: As of --peer, but auto.

    Raises:
      UserError: If there is none.
    """
    if name not in _BY_NAME:
        allowed = ", ".join((AUTO, *_BY_NAME))
        raise errors.UserError(f"--peer={name} is unknown; allowed are {allowed}")
    return _BY_NAME[name]


def apply(peer: Peer, choice: registry.Choice) -> registry.Choice:
    """The choice with what the row says of requests; what the user set stays.

    Args:
      peer: The row.
      choice: The model and what answers for it.
    """
    options, server = choice.options, choice.options.server
    if peer.max_images:
        largest = min(options.max_images, peer.max_images)
        options = dataclasses.replace(options, max_images=largest)
    if registry.ENGINES[choice.name].has_folder:
        return dataclasses.replace(choice, options=options)
    server = dataclasses.replace(server, unsent=peer.unsent)
    if peer.base_url and not server.url:
        server = dataclasses.replace(server, base_url=peer.base_url)
        if server.key_variable == openai_options.KEY_VARIABLE:
            server = dataclasses.replace(server, key_variable=peer.key_variable)
    return dataclasses.replace(choice, options=dataclasses.replace(options, server=server))


def describe(peer: Peer) -> str:
    """What a row changes of questions and answers, for the settings; "" where that is nothing.

    Args:
      peer: The row.
    """
    said = []
    if peer.system:
        said.append(f"system message {peer.system!r}")
    said += [f"thoughts from {first} to {last} not scored" for first, last in peer.thinking]
    if peer.has_images_first:
        said.append("pictures before text")
    if peer.max_images:
        said.append(f"at most {peer.max_images} pictures")
    if peer.unsent:
        said.append(f"not sent: {', '.join(peer.unsent)}")
    return f"{peer.name}: {'; '.join(said)}" if said else ""


def reopened(described: str) -> Peer:
    """The row that an evaluation was made with.

    Args:
      described: From `describe`, as the settings keep it.

    Raises:
      UserError: If the row says something else by now.
    """
    if not described:
        return NONE
    peer = _BY_NAME.get(described.partition(":")[0])
    if peer is None or describe(peer) != described:
        raise errors.UserError(
            f"the evaluation was made with a peer of other settings than today's: {described}"
        )
    return peer


def remarks(peer: Peer, sampling: protocol.SamplingParams) -> list[str]:
    """Sentences on what a report must not leave unsaid.

    Args:
      peer: The row.
      sampling: How answers were asked for.
    """
    if "temperature" in peer.unsent and sampling.temperature == 0:
        return [
            f"{peer.title} takes no temperature: answers are drawn as its service does, not "
            "greedy, and differ from run to run"
        ]
    return []


def _with_images_first(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """A message whose pictures stand before its texts, if it ended with one."""
    content = message["content"]
    if not content or content[-1]["type"] == "text":
        return message
    return {**message, "content": sorted(content, key=lambda part: part["type"] == "text")}
