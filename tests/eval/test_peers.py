# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The table of other models: which row is whose, what it changes, and its copy in the manual.

A row that changes on purpose: `python -m tests.eval.test_peers` writes the copy again.
"""

import contextlib
import dataclasses
import json
import pathlib
import re
from typing import Any

import pytest

from lingshu_jax.common import errors, pages
from lingshu_jax.engines import openai_options, protocol, registry
from lingshu_jax.eval import answering, benchmark, folder, peers
from tests.engines import bad_server

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs" / "evaluation.md"
BEGIN, END = "<!-- peers: begin -->\n", "<!-- peers: end -->\n"
HEADS = ("`--peer`", "models", "changes", "asked at, key in", "source")
# Refuse nothing of what is sent without a row.
TAKE_ALL = ("gemini-3-pro", "deepseek-v4-pro")
GREEDY = protocol.SamplingParams(max_new_tokens=8)
PICTURE = {"type": "image", "image": b"x"}
WORDS = {"type": "text", "text": "What is it?"}


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def table() -> str:
    """A line for each row."""
    rows = []
    for peer in peers.PEERS:
        _, _, changes = peers.describe(peer).partition(": ")
        service = (peer.base_url or "OpenAI's") + f", `{peer.key_variable}`"
        changes = f"`{changes}`" if "<" in changes else changes  # marks that look like HTML
        cells = (f"`{peer.name}`", peer.title, changes or "nothing")
        rows.append([*cells, service if peer.is_service else "", peer.source])
    heads = [pages.markdown_row(HEADS), pages.markdown_row(["---"] * len(HEADS))]
    return "\n".join([*heads, *map(pages.markdown_row, rows)]) + "\n"


def test_the_documented_table_is_the_one_in_use() -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert text.partition(BEGIN)[2].partition(END)[0] == table()


def at_server(model: str, **server: Any) -> registry.Choice:
    options = registry.Options(server=openai_options.Options(**server))
    return registry.choose("openai", model, options=options)


def in_folder(path: pathlib.Path, architecture: str, *, engine: str = "vllm") -> registry.Choice:
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(json.dumps({"architectures": [architecture]}))
    return registry.choose(engine, str(path))


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("google/medgemma-4b-it", "medgemma"),
        ("medgemma-1.5-4b-it", "medgemma"),
        ("FreedomIntelligence/HuatuoGPT-Vision-7B-Qwen2.5VL", "huatuogpt-vision"),
        ("FreedomIntelligence/HuatuoGPT-o1-7B", "huatuogpt-o1"),
        ("chaoyinshe/llava-med-v1.5-mistral-7b-hf", "llava-med"),
        ("OpenGVLab/InternVL3_5-8B-HF", "internvl"),
        ("lingshu-medical-mllm/Lingshu-I-8B", "internvl"),
        ("lingshu-medical-mllm/Lingshu-7B@main", "qwen2.5-vl"),
        ("Qwen/Qwen2.5-VL-7B-Instruct", "qwen2.5-vl"),
        ("Qwen/Qwen3-VL-8B-Thinking", "qwen3-vl"),
        ("meta-llama/Llama-3.2-11B-Vision-Instruct", "llama-3.2-vision"),
        ("openai/gpt-oss-120b", "gpt-oss"),
        ("gpt-4.1-2025-04-14", "gpt-chat"),
        ("gpt-4o-mini", "gpt-chat"),
        ("gpt-5-chat-latest", "gpt-chat"),
        ("gpt-5", "gpt-5"),
        ("openai/gpt-5.2-mini", "gpt-5"),
        ("o3", "o-series"),
        ("o4-mini-2025-04-16", "o-series"),
        ("claude-3-5-sonnet-20241022", "claude-4"),
        ("claude-sonnet-4-20250514", "claude-4"),
        ("claude-opus-4-6", "claude-4"),
        ("anthropic/claude-opus-4.6", "claude-4"),
        ("claude-opus-4-7", "claude"),
        ("claude-opus-4-10", "claude"),
        ("claude-sonnet-5", "claude"),
        ("gemini-2.5-pro", "gemini"),
        ("some-model", "none"),
        ("olmo-2", "none"),
        ("/runs/gemini-2.5-pro/step-10", "none"),
    ],
)
def test_a_servers_model_is_known_by_the_last_part_of_its_name(model: str, name: str) -> None:
    assert peers.choose("auto", at_server(model)).name == name


@pytest.mark.parametrize(
    ("place", "architecture", "name"),
    [
        ("medgemma-4b-it", "Gemma3ForConditionalGeneration", "medgemma"),
        ("some-gemma", "Gemma3ForConditionalGeneration", "none"),
        ("medgemma-vs-ours", "Qwen2_5_VLForConditionalGeneration", "qwen2.5-vl"),
        ("exported", "Qwen2_5_VLForConditionalGeneration", "qwen2.5-vl"),
        ("Lingshu-I-8B", "InternVLForConditionalGeneration", "internvl"),
        ("ours", "Qwen3VLMoeForConditionalGeneration", "qwen3-vl"),
        ("llava-med-hf", "LlavaForConditionalGeneration", "llava-med"),
        ("claude-opus-4-7", "LlavaForConditionalGeneration", "none"),
    ],
)
def test_a_folder_is_known_by_its_config_and_its_name(
    tmp_path: pathlib.Path, place: str, architecture: str, name: str
) -> None:
    assert peers.choose("auto", in_folder(tmp_path / place, architecture)).name == name


def test_the_user_may_name_a_row(tmp_path: pathlib.Path) -> None:
    choice = in_folder(tmp_path / "mine", "Gemma3ForConditionalGeneration")
    assert peers.choose("medgemma", choice).name == "medgemma"
    assert peers.choose("none", at_server("gpt-5")) is peers.NONE
    with pytest.raises(errors.UserError, match="--peer=llama is unknown; allowed are auto, none,"):
        peers.choose("llama", choice)
    with pytest.raises(errors.UserError, match="--peer=claude is a service's model; it is asked"):
        peers.choose("claude", choice)


def test_our_own_models_are_asked_as_without_a_table() -> None:
    ours = peers.named("qwen2.5-vl")
    messages = [{"role": "user", "content": [WORDS, PICTURE]}]
    assert ours.arrange(messages) == messages and peers.describe(ours) == ""
    for text in ("B", " B\n", "<think>hm</think> B", "<unused95> B", "## Final Response\nB"):
        assert ours.split(text) == (text, "")
    choice = at_server("lingshu-7b", base_url="http://x/v1")
    assert peers.apply(ours, choice) == choice


def test_a_service_is_asked_at_its_address_unless_the_user_says_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    claude = peers.named("claude")
    server = peers.apply(claude, at_server("claude-opus-4-7")).options.server
    assert server.url == "https://api.anthropic.com/v1/"
    assert server.key_variable == "ANTHROPIC_API_KEY"
    assert server.unsent == ("temperature", "top_p", "seed")
    own = peers.apply(claude, at_server("claude-opus-4-7", base_url="http://x/v1")).options.server
    assert (own.url, own.key_variable) == ("http://x/v1", "OPENAI_API_KEY")
    assert own.unsent == server.unsent, "that is the model's affair"
    mine = peers.apply(claude, at_server("claude-opus-4-7", key_variable="MINE")).options.server
    assert mine.key_variable == "MINE"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://proxy/v1")
    assert peers.apply(claude, at_server("claude-opus-4-7")).options.server.url == "http://proxy/v1"


def test_more_pictures_than_a_model_takes_are_no_matter_of_the_users_limit() -> None:
    many = registry.Options(max_images=500)
    choice = registry.choose("openai", "claude-opus-4-7", options=many)
    assert peers.apply(peers.named("claude"), choice).options.max_images == 100
    few = registry.choose("openai", "claude-opus-4-7", options=registry.Options(max_images=2))
    assert peers.apply(peers.named("claude"), few).options.max_images == 2


def test_messages_as_a_model_is_asked_them() -> None:
    medgemma, first = peers.named("medgemma"), peers.named("llava-med")
    user = {"role": "user", "content": [WORDS, PICTURE]}
    told = {"role": "system", "content": [{"type": "text", "text": medgemma.system}]}
    assert medgemma.arrange([user]) == [told, user]
    own = {"role": "system", "content": [{"type": "text", "text": "Be brief."}]}
    assert medgemma.arrange([own, user]) == [own, user], "the benchmark's own stays"
    assert first.arrange([user]) == [{"role": "user", "content": [PICTURE, WORDS]}]
    label = {"type": "text", "text": "<image_1>: "}
    benchmarks = {"role": "user", "content": [label, PICTURE, WORDS]}
    assert first.arrange([benchmarks]) == [benchmarks], "its text follows its pictures"


@pytest.mark.parametrize(
    ("name", "text", "response", "thinking"),
    [
        ("medgemma", "<unused94>thought\nhm<unused95>B", "B", "<unused94>thought\nhm<unused95>"),
        ("medgemma", "hm<unused95> B\n", "B", "hm<unused95>"),
        ("medgemma", "<unused94>thought\nB or", "", "<unused94>thought\nB or"),
        ("medgemma", " B\n", " B\n", ""),
        ("huatuogpt-o1", "## Thinking\n\nhm\n\n## Final Response\n\nB", "B", None),
        ("huatuogpt-o1", "See ## Thinking", "See ## Thinking", ""),
        (
            "gpt-oss",
            "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>B",
            "B",
            None,
        ),
        ("qwen3-vl", "hm</think>B", "hm</think>B", ""),
    ],
)
def test_a_thought_is_no_part_of_the_answer(
    name: str, text: str, response: str, thinking: str | None
) -> None:
    said = peers.named(name).split(text)
    assert said.response == response
    assert said.thinking == (text[: -len(response)].rstrip() if thinking is None else thinking)


class Thinker:
    """Answers every question after a thought."""

    def generate(self, requests: Any, *, on_result: Any) -> Any:
        for place, text in enumerate(("<unused94>thought\nA?<unused95>B", "<unused94>thought\nA")):
            answer = protocol.Completion(
                text=text, tokens=(1, 2), logprobs=(), finish_reason=("stop", "length")[place]
            )
            on_result(place, [answer])
        return [[] for _ in requests]


def ask(generator: Any, row: peers.Peer, path: pathlib.Path) -> list[dict[str, Any]]:
    """The scored rows of two questions of a choice."""
    samples = [
        benchmark.Sample(
            id=name,
            question="Which?",
            gold="B",
            answer_type="choice",
            rule="choice",
            options=("cat", "dog"),
            choices=("A. cat", "B. dog"),
            messages=(
                {"role": "user", "content": [{"type": "text", "text": f"Which is {name}?"}]},
            ),
        )
        for name in ("q0", "q1")
    ]
    form = answering.Form(prompt="direct", blind=False, sampling=GREEDY, peer=row)
    path.mkdir()
    answerer = answering.Answerer(
        lambda: generator, lambda: None, form=form, part=answering.Part(score_failed=True)
    )
    answerer.answer("small", samples, path)
    given = folder.read_generations(path).answers
    return list(benchmark.score_all(samples, [given[sample.id] for sample in samples]))


def test_thoughts_are_kept_and_not_scored(tmp_path: pathlib.Path) -> None:
    right, cut = ask(Thinker(), peers.named("medgemma"), tmp_path / "with")
    assert (right["response"], right["compat"]["correct"], right["strict"]["correct"]) == (
        *("B", True, True),
    )
    assert right["thinking"] == "<unused94>thought\nA?<unused95>"
    assert (cut["response"], cut["strict"]["status"]) == ("", "truncated")
    assert cut["thinking"].endswith("A") and not cut["compat"]["correct"]
    # The twin: without the row the thought is a part of what is read.
    plain, open_thought = ask(Thinker(), peers.NONE, tmp_path / "without")
    assert plain["thinking"] == open_thought["thinking"] == ""
    assert "A?" in plain["response"] and open_thought["response"].endswith("A")


@pytest.mark.parametrize("model", bad_server.SERVICES)
def test_services_answer_with_their_row_alone(model: str, tmp_path: pathlib.Path) -> None:
    """A question of a temperature that a service draws with, where it takes one."""
    with bad_server.running() as server:
        server.refused = bad_server.SERVICES[model]
        for wanted, is_answered in (("auto", True), ("none", model in TAKE_ALL)):
            choice = at_server(model, base_url=server.url)
            row = peers.choose(wanted, choice)
            choice = peers.apply(row, choice)
            choice.check(GREEDY)
            with contextlib.closing(choice.make()) as engine:
                rows = ask(engine, row, tmp_path / wanted)
            said = {"to Which is q0?", "to Which is q1?"} if is_answered else {""}
            assert {row["response"] for row in rows} == said, wanted


@pytest.mark.parametrize("peer", peers.PEERS, ids=lambda peer: peer.name)
def test_a_row_says_what_a_user_needs(peer: peers.Peer) -> None:
    assert re.fullmatch(r"[a-z0-9.-]+", peer.name) and peer.title and peer.source
    assert re.compile(peer.names).pattern == peer.names.lower(), (
        "names are matched in small letters"
    )
    assert bool(peer.base_url) <= peer.is_service
    openai_options.Options(unsent=peer.unsent).validate()
    assert peers.reopened(peers.describe(peer)) in (peer, peers.NONE)


def test_an_evaluation_made_with_another_table_is_not_gone_on_with() -> None:
    medgemma = peers.named("medgemma")
    older = peers.describe(dataclasses.replace(medgemma, system="Be brief."))
    for described in (older, "gone: pictures before text"):
        with pytest.raises(errors.UserError, match="made with a peer of other settings"):
            peers.reopened(described)


def test_answers_that_are_not_greedy_are_told() -> None:
    (told,) = peers.remarks(peers.named("gpt-5"), GREEDY)
    assert told.startswith("GPT-5 takes no temperature: answers are drawn as its service does")
    assert peers.remarks(peers.named("gemini"), GREEDY) == []
    warm = dataclasses.replace(GREEDY, temperature=1.0)
    assert peers.remarks(peers.named("gpt-5"), warm) == []


if __name__ == "__main__":
    written = DOCS.read_text(encoding="utf-8")
    before, _, rest = written.partition(BEGIN)
    DOCS.write_text(before + BEGIN + table() + END + rest.partition(END)[2], encoding="utf-8")
