# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Our engines around vLLM: in process, as a server, and with weights that change meanwhile."""

import json
import pathlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from lingshu_jax.engines import (
    jax_engine,
    openai_engine,
    openai_options,
    protocol,
    vllm_server,
)
from lingshu_jax.models import hf
from tests import small
from tests.vllm import answers, folders, limits, processes

pytestmark = pytest.mark.vllm

NAMES = ("tied", "untied")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One checkpoint in the short form."""
    names = NAMES[: 1 if metafunc.config.getoption("--reduced") else None]
    if "asked" in metafunc.fixturenames:
        metafunc.parametrize("asked", names, indirect=True, scope="module")


class Asked(NamedTuple):
    """A checkpoint, the same with other weights, and the answers.

    Attributes:
      folder: Holds `exported/` and `changed/`.
      rows: The requests.
      ours: Greedy answers of the JAX engine.
      changed: The same with the other weights.
      live: What `live.py` reports of the vLLM engine.
    """

    folder: pathlib.Path
    rows: list[dict[str, Any]]
    ours: list[answers.Answer]
    changed: list[answers.Answer]
    live: dict[str, Any]


@pytest.fixture(scope="module")
def asked(
    request: pytest.FixtureRequest,
    side_python: Callable[[str], pathlib.Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Asked:
    folder = tmp_path_factory.mktemp(request.param)
    rows = folders.requests(folder, extra=0)
    (folder / "requests.json").write_text(json.dumps(rows))
    exported = folders.make(folder, request.param)
    changed = shutil.copytree(exported, folder / "changed")
    params = small.random_params(hf.read_config(exported), seed=10)
    params["text"]["norm"]["scale"] *= folders.LOGIT_SCALE
    folders.replace_weights(changed, params)
    with processes.living(side_python("vllm"), folder) as live:
        ours, other = answers.ask(exported, rows), answers.ask(changed, rows)
        return Asked(folder, rows, ours, other, live())


@pytest.fixture(scope="module")
def server(
    asked: Asked, side_python: Callable[[str], pathlib.Path]
) -> Iterator[vllm_server.Server]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in processes.VARIABLES.items():
            patch.setenv(name, value)
        with vllm_server.Server(
            asked.folder / "exported",
            python=str(side_python("vllm")),
            max_images=limits.MAX_IMAGES,
            max_model_len=limits.MAX_TOKENS,
            has_live_weights=True,
            options=limits.OPTIONS,
        ) as running:
            yield running


def ask_server(server: vllm_server.Server, asked: Asked) -> list[dict[str, Any]]:
    """The OpenAI engine's answers, in the form of `ask.py`, without the prompts."""
    options = openai_options.Options(base_url=server.base_url, dialect="vllm")
    engine = openai_engine.OpenAIEngine(server.model, options=options)
    requests = [
        protocol.Request(
            messages=row["messages"],
            sampling=protocol.SamplingParams(max_new_tokens=row["max_new_tokens"]),
            id=row["id"],
        )
        for row in asked.rows
    ]
    groups = engine.generate(requests)
    engine.close()
    return [
        {
            "id": row["id"],
            "tokens": list(answer.tokens),
            "finish_reason": answer.finish_reason,
        }
        for row, (answer,) in zip(asked.rows, groups, strict=True)
    ]


def tokens_of(found: Sequence[dict[str, Any]]) -> list[list[int]]:
    return [list(answer["tokens"]) for answer in found]


def test_all_three_engines_give_the_same_greedy_answers(
    asked: Asked, server: vllm_server.Server
) -> None:
    answers.check_equal(asked.ours, asked.live["before"])
    answers.check_equal(asked.ours, ask_server(server, asked))


def test_new_weights_answer_as_the_jax_engine_does_with_them(asked: Asked) -> None:
    answers.check_equal(asked.changed, asked.live["after"])
    old, new = tokens_of(asked.live["before"]), tokens_of(asked.live["after"])
    assert all(one != other for one, other in zip(old, new, strict=True))
    params = hf.load_params(asked.folder / "changed", hf.read_config(asked.folder / "changed"))
    whole = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
    assert asked.live["sync"]["num_bytes"] == whole


def test_without_new_weights_the_old_answers_stay(asked: Asked) -> None:
    """The twin: what was asked last before the weights came."""
    assert tokens_of(asked.live["endless"])[1] == tokens_of(asked.live["before"])[1]
    with pytest.raises(AssertionError):
        answers.check_equal(asked.changed, asked.live["endless"])


def test_a_server_takes_new_weights_without_a_file(
    asked: Asked, server: vllm_server.Server
) -> None:
    folder = asked.folder / "changed"
    with pytest.raises(AssertionError):
        answers.check_equal(asked.changed, ask_server(server, asked))
    server.set_params(hf.load_params(folder, hf.read_config(folder)))
    answers.check_equal(asked.changed, ask_server(server, asked))
    server.set_params(hf.load_params(asked.folder / "exported", hf.read_config(folder)))
    answers.check_equal(asked.ours, ask_server(server, asked))


def test_scores_are_the_log_probabilities_of_sampling(asked: Asked) -> None:
    for answer, (same, text, nothing) in zip(
        asked.live["before"], asked.live["scores"], strict=True
    ):
        assert same["tokens"] == answer["tokens"]
        np.testing.assert_allclose(same["logprobs"], answer["logprobs"], atol=1e-3)
        assert len(text["tokens"]) == len(text["logprobs"]) > 2
        assert max(text["logprobs"]) < 0 and min(text["logprobs"]) > -100
        assert nothing == {"tokens": [], "logprobs": []}


def test_pieces_of_a_stream_are_the_answer(asked: Asked) -> None:
    whole, pieces = asked.live["before"][1], asked.live["streamed"]
    assert len(pieces) > 8
    assert "".join(piece["text"] for piece in pieces) == whole["text"]
    for name in ("tokens", "logprobs"):
        assert [value for piece in pieces for value in piece[name]] == whole[name]
    assert [piece["finish_reason"] for piece in pieces] == [
        *[None] * (len(pieces) - 1),
        whole["finish_reason"],
    ]


def test_a_seed_fixes_every_sample_whatever_else_is_asked(asked: Asked) -> None:
    sampled = asked.live["sampled"]
    assert sampled["first"] == sampled["again"] and sampled["first"][1:] == sampled["alone"]
    samples = [tuple(tokens) for group in sampled["first"] for tokens in group]
    assert len(set(samples)) == len(samples) == 6
    assert not set(samples) & {tuple(t) for group in sampled["other_seed"] for t in group}


def test_one_likeliest_token_is_greedy_up_to_a_banned_one(asked: Asked) -> None:
    media = asked.live["sampled"]["media"]
    for name in ("likeliest", "nucleus"):
        groups = asked.live["sampled"][name]
        for greedy, (sampled,) in zip(tokens_of(asked.live["before"]), groups, strict=True):
            banned = [place for place, token in enumerate(greedy) if token in media]
            until = banned[0] if banned else len(greedy)
            assert until > 8 and sampled[:until] == greedy[:until], name


def test_media_tokens_are_never_drawn(asked: Asked) -> None:
    drawn = [token for tokens in asked.live["sampled"]["hot"] for token in tokens]
    # Others as seldom as they are drawn.
    assert len(drawn) > 500 and len(set(drawn)) > 200
    assert not set(drawn) & set(asked.live["sampled"]["media"])


def test_a_stop_text_ends_and_is_left_out(asked: Asked) -> None:
    stopped, whole = asked.live["stopped"], asked.live["before"][1]
    assert stopped["text"] == whole["text"][: whole["text"].index(stopped["stop"])]
    assert stopped["finish_reason"] == "stop"
    count = len(stopped["tokens"])
    assert stopped["tokens"] == whole["tokens"][:count] and count < len(whole["tokens"])
    assert len(stopped["logprobs"]) == count


def test_end_tokens_may_be_ignored(asked: Asked) -> None:
    for row, answer, ours in zip(asked.rows, asked.live["endless"], asked.ours, strict=True):
        assert len(answer["tokens"]) == row["max_new_tokens"]
        assert answer["finish_reason"] == "length"
        assert answer["tokens"][: len(ours.tokens)] == ours.tokens


def test_a_repetition_penalty_is_ours(asked: Asked) -> None:
    engine = jax_engine.JaxEngine.from_folder(asked.folder / "exported")
    requests = [
        protocol.Request(
            messages=row["messages"],
            sampling=protocol.SamplingParams(max_new_tokens=16, repetition_penalty=1.3),
        )
        for row in asked.rows
    ]
    ours = [list(group[0].tokens) for group in engine.generate(requests)]
    theirs = [
        tokens[: len(mine)]
        for mine, tokens in zip(ours, tokens_of(asked.live["penalised"]), strict=True)
    ]
    assert ours == theirs
    assert tokens_of(asked.live["penalised"]) != tokens_of(asked.live["before"])


def test_a_schema_is_followed_to_its_end(asked: Asked) -> None:
    for free, answer in zip(asked.live["before"], asked.live["guided"], strict=True):
        assert answer["finish_reason"] == "stop"
        assert json.loads(answer["text"])["side"] in ("left", "right")
        assert len(answer["logprobs"]) == len(answer["tokens"])
        with pytest.raises(ValueError, match="Expecting value"):
            json.loads(free["text"])


def test_a_request_that_cannot_be_served_stops_no_other(asked: Asked) -> None:
    failures = asked.live["failures"]
    told = failures["told"]
    assert (
        told["many"]
        == ("request 'many': has 3 images, allowed are at most 2 (max_images)")
        == failures["raised"]
    )
    for name, reason in (
        ("long", "context is 1024"),
        ("video", "videos are not given to vLLM"),
        ("lost", "image not found: absent.png"),
        ("cold", "temperature must be 0 or from 0.01"),
        ("small", "vLLM makes another prompt of it"),
    ):
        assert told[name].startswith(f"request {name!r}: ") and reason in told[name], told[name]
    assert failures["answered"] == asked.live["before"][1]["tokens"]
    assert failures["lists"] == [*[0] * len(told), 1]


def test_sleep_is_counted_on_a_cpu(asked: Asked) -> None:
    assert asked.live["skipped_sleeps"] == 1
