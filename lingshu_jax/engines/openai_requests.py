# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Our requests as bodies of chat completions, and the most tokens that they may use.

A body says every sampling field: what is left out a server takes from its own defaults, which may
be a checkpoint's.
"""

import dataclasses
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from lingshu_jax.common import errors
from lingshu_jax.data import images, messages
from lingshu_jax.engines import ledger, openai_images, openai_options, protocol

_BANNED = ["<|image_pad|>", "<|video_pad|>"]  # stand for media, and are never drawn
# More than chat templates put around a message and a conversation, a system message included.
_MESSAGE_TOKENS, _CONVERSATION_TOKENS = 16, 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prompt:
    """A conversation as servers take it.

    Attributes:
      messages: Of a chat completion.
      tokens: The most that it may be.
    """

    messages: list[dict[str, Any]]
    tokens: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prepared:
    """A request, ready to be sent.

    Attributes:
      body: Of the chat completion, but for `n` and, where there are samples, their seed.
      samples: Different answers to be had: one where nothing is random.
      seed: Of the first sample.
      is_random: Whether answers are drawn: asked for, or because the model takes no temperature.
      is_seeded: Whether the model takes a seed.
      prompt_tokens: The most that the prompt may be.
      new_tokens: The most that an answer may be.
    """

    body: dict[str, Any]
    samples: int
    seed: int
    is_random: bool
    is_seeded: bool
    prompt_tokens: int
    new_tokens: int

    def body_of(self, samples: range) -> dict[str, Any]:
        """The body that asks for some of the samples.

        Args:
          samples: Their numbers, one after the other: vLLM seeds the i-th of a request with its
            seed plus i.
        """
        several = {"n": len(samples)} if len(samples) > 1 else {}
        is_told = self.is_random and self.is_seeded
        seed = {"seed": self.seed + samples[0]} if is_told else {}
        return {**self.body, **several, **seed}

    def worst(self, samples: int) -> ledger.Usage:
        """The most tokens that so many samples may use."""
        return ledger.Usage(self.prompt_tokens, samples * self.new_tokens)


def prepare(request: protocol.Request, *, model: str, options: openai_options.Options) -> Prepared:
    """Makes a request's body; images are read and checked.

    Args:
      request: What is asked.
      model: Its name at the server.
      options: Dialect and limits.

    Raises:
      UserError: If a message, an image or a sampling field is wrong, or means nothing to servers.
    """
    sampling = request.sampling
    sampling.validate()
    # First: pictures take their time.
    fields = sampling_fields(sampling, options.dialect, options.unsent)
    prompt = encode(request.messages, options)
    is_random = bool(sampling.temperature) or "temperature" in options.unsent
    return Prepared(
        body={"model": model, "messages": prompt.messages, **fields},
        samples=sampling.n if is_random else 1,
        seed=sampling.seed,
        is_random=is_random,
        is_seeded="seed" not in options.unsent,
        # Services read the schema beside the prompt.
        prompt_tokens=prompt.tokens + len(sampling.json_schema.encode()),
        new_tokens=sampling.max_new_tokens,
    )


def runs(samples: Iterable[int]) -> Iterator[range]:
    """Numbers of samples as those that one request each can ask for.

    Args:
      samples: Rising.
    """
    for _, group in itertools.groupby(enumerate(samples), lambda pair: pair[1] - pair[0]):
        numbers = [number for _, number in group]
        yield range(numbers[0], numbers[-1] + 1)


def encode(conversation: Sequence[Mapping[str, Any]], options: openai_options.Options) -> Prompt:
    """Canonical messages as those of a chat completion.

    Args:
      conversation: As of `protocol.Request`.
      options: `max_images` and `image_tokens`.

    Raises:
      UserError: If a message is malformed, an image unreadable, or there are too many.
    """
    if not conversation:
        raise errors.UserError("a conversation needs at least one message, got none")
    given = [messages.runs(message) for message in conversation]
    media = [run for parts in given for run in parts if not isinstance(run, str)]
    count = sum(map(_count, media))
    if count > options.max_images:
        raise errors.UserError(
            f"has {count} images, allowed are at most {options.max_images} (max_images)"
        )
    # A token is a byte or more.
    spelled = sum(_num_bytes(run) for parts in given for run in parts if isinstance(run, str))
    markup = _CONVERSATION_TOKENS + _MESSAGE_TOKENS * (len(conversation) + count)
    return Prompt(
        messages=[
            {"role": _role(message), "content": _content(parts)}
            for message, parts in zip(conversation, given, strict=True)
        ],
        tokens=spelled + markup + count * options.image_tokens,
    )


def sampling_fields(
    sampling: protocol.SamplingParams,
    dialect: openai_options.Dialect,
    unsent: Sequence[str] = (),
) -> dict[str, Any]:
    """How to decode, in the words of a dialect; `n` and the seed are not among them.

    Args:
      sampling: Valid.
      dialect: What the server knows.
      unsent: As of `openai_options.Options`.

    Raises:
      UserError: If a field is set that the dialect has no word for or the model does not take.
    """
    for name in unsent:
        value, allowed = getattr(sampling, name), openai_options.UNSENDABLE[name]
        if allowed and value not in allowed:
            raise errors.UserError(
                f"{name} = {value!r:.80} is refused by this model, which decodes as its service "
                f"does; allowed is {allowed[-1]!r}"
            )
    known: dict[str, Any] = {"temperature": sampling.temperature, "top_p": sampling.top_p}
    if sampling.stop:
        known["stop"] = list(sampling.stop)
    if sampling.json_schema:
        if dialect == "basic":
            raise errors.UserError(
                "json_schema means nothing to a server of dialect 'basic'; 'openai' and 'vllm' "
                "have it"
            )
        known["response_format"] = _response_format(sampling.json_schema)
    known = {name: value for name, value in known.items() if name not in unsent}
    if dialect == "vllm":
        return {
            **known,
            "max_tokens": sampling.max_new_tokens,
            "top_k": sampling.top_k,
            "min_p": 0.0,
            "repetition_penalty": sampling.repetition_penalty,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "ignore_eos": sampling.ignore_eos,
            "bad_words": _BANNED if sampling.temperature else [],
            "logprobs": True,
            "return_token_ids": True,
        }
    for name, off in (("top_k", 0), ("repetition_penalty", 1.0), ("ignore_eos", False)):
        value = getattr(sampling, name)
        if value != off:
            raise errors.UserError(
                f"{name} = {value} means nothing to a server of dialect {dialect!r}; 'vllm' has it"
            )
    if sampling.top_p == 1:
        known.pop("top_p", None)  # some servers refuse both, even so
    longest = "max_completion_tokens" if dialect == "openai" else "max_tokens"
    return {**known, longest: sampling.max_new_tokens}


def _response_format(schema: str) -> dict[str, Any]:
    described = {"name": "reply", "schema": json.loads(schema), "strict": True}
    return {"type": "json_schema", "json_schema": described}


def _num_bytes(text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise errors.UserError(f"text is not valid Unicode: {text[:40]!r}") from error


def _role(message: Mapping[str, Any]) -> str:
    role = message.get("role")
    if role not in messages.ROLES:
        allowed = ", ".join(messages.ROLES)
        raise errors.UserError(f"message role must be one of {allowed}, got {role!r}")
    return role


def _content(runs: Sequence[str | Mapping[str, Any]]) -> str | list[dict[str, Any]]:
    """A plain text where there is nothing else: older servers take no parts."""
    if len(runs) == 1 and isinstance(runs[0], str):
        return runs[0]
    return [part for run in runs if run for part in _parts(run)]


def _parts(run: str | Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if isinstance(run, str):
        yield {"type": "text", "text": run}
        return
    urls = [openai_images.encode(run["image"])] if run["type"] == "image" else _frames(run)
    for url in urls:
        yield {"type": "image_url", "image_url": {"url": url}}


def _frames(run: Mapping[str, Any]) -> Iterator[str]:
    return openai_images.encode_frames(_video(run))


def _count(run: Mapping[str, Any]) -> int:
    """Images of a part: a video goes as its frames."""
    for name in ("min_pixels", "max_pixels"):
        if name in run:
            raise errors.UserError(f"{name} of an image means nothing to a server")
    if run["type"] == "image":
        return 1
    return images.read_shape(_video(run), is_video=True).num_frames


def _video(run: Mapping[str, Any]) -> images.Visual:
    video = run["video"]
    return tuple(video) if isinstance(video, list) else video
