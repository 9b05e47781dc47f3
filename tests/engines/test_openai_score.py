# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import pathlib
import time
from collections.abc import Iterator
from typing import Any

import pytest

from lingshu_jax.common import errors
from lingshu_jax.engines import (
    openai_answers,
    openai_engine,
    openai_options,
    openai_score,
    protocol,
)
from tests.engines import bad_server

PROMPT = [90, 91, 92]
PIECES = {1: "yes", 2: ",", 3: " \ufffd", 4: "\ufffd"}  # the last two are "é" together


def scored(ids: list[int], pieces: dict[int, str] | None = None) -> dict[str, Any]:
    """What vLLM says of a prompt; each token has the logarithm -id / 10."""
    pieces = PIECES if pieces is None else pieces
    entries: list[Any] = [None]
    for token in ids[1:]:
        entry = {"logprob": -token / 10, "rank": 1, "decoded_token": pieces.get(token, "p")}
        entries.append({"7": {"logprob": -0.1, "decoded_token": "q"}, str(token): entry})
    return {**bad_server.answer("x"), "prompt_token_ids": ids, "prompt_logprobs": entries}


def read(ids: list[int], text: str, **fields: Any) -> dict[str, Any]:
    return openai_score.read({**scored(ids), **fields}, prompt=PROMPT, text=text)


@pytest.mark.parametrize(
    ("tokens", "text"),
    [([1], "yes"), ([1, 2], "yes,"), ([1, 3, 4, 2], "yes é,")],
)
def test_the_tokens_after_the_prompt_are_scored(tokens: list[int], text: str) -> None:
    found = read(PROMPT + tokens, text)
    assert found == {"tokens": tokens, "logprobs": [-token / 10 for token in tokens]}


@pytest.mark.parametrize(
    ("ids", "text"),
    [
        ([90, 91, 7, 1], "yes"),  # the beginning was joined with the prompt
        ([90, 91], "yes"),
        ([*PROMPT, 1], "yes "),  # a blank was cut off
        ([*PROMPT, 1, 2], "yes"),
    ],
)
def test_what_is_not_exact_is_refused(ids: list[int], text: str) -> None:
    with pytest.raises(errors.UserError, match="cannot be scored exactly"):
        read(ids, text)


@pytest.mark.parametrize(
    ("pieces", "text", "is_spelled"),
    [
        (["ab", "\ufffd", "ba"], "abéba", True),
        (["ab", "\ufffd", "ba"], "aba", False),  # the ends share a letter
        (["\ufffd", "a", "\ufffd", "a", "\ufffd"], "éaéaé", True),
        (["\ufffd", "a", "\ufffd", "a", "\ufffd"], "éaé", False),
        (["\ufffd", "b", "\ufffd", "a", "\ufffd"], "éaébé", False),
        (["\ufffd", "\ufffd"], "é", True),
        (["\ufffd", "x"], "éx y", False),
        (["x", "\ufffd"], "éx", False),
    ],
)
def test_parts_of_characters_may_be_anything(
    pieces: list[str], text: str, is_spelled: bool
) -> None:
    ids = [*PROMPT, *range(1, len(pieces) + 1)]
    answer = scored(ids, dict(enumerate(pieces, 1)))
    if is_spelled:
        assert openai_score.read(answer, prompt=PROMPT, text=text)["tokens"] == ids[len(PROMPT) :]
        return
    with pytest.raises(errors.UserError, match="cannot be scored exactly"):
        openai_score.read(answer, prompt=PROMPT, text=text)


def test_many_parts_of_characters_take_no_time() -> None:
    pieces = ["\ufffd", "\ufffd", " "] * 8
    answer = scored([*PROMPT, *range(1, 25)], dict(enumerate(pieces, 1)))
    started = time.monotonic()
    with pytest.raises(errors.UserError, match="cannot be scored exactly"):
        openai_score.read(answer, prompt=PROMPT, text="😀 " * 30 + "x")
    assert time.monotonic() - started < 1


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt_token_ids": None},
        {"prompt_logprobs": None},
        {"prompt_logprobs": [None]},
        {"prompt_logprobs": [None, {}, {}, {}]},
        {"prompt_logprobs": [None, {}, {}, {"1": {"logprob": "x", "decoded_token": "yes"}}]},
    ],
)
def test_an_answer_without_scores(fields: dict[str, Any]) -> None:
    with pytest.raises(openai_answers.BadAnswer):
        read([*PROMPT, 1], "yes", **fields)


@pytest.fixture
def server() -> Iterator[bad_server.Server]:
    with bad_server.running() as server:
        yield server


@pytest.fixture
def engine(
    server: bad_server.Server, tmp_path: pathlib.Path
) -> Iterator[openai_engine.OpenAIEngine]:
    options = openai_options.Options(
        base_url=server.url, dialect="vllm", max_retries=0, cache_folder=tmp_path / "cache"
    )
    engine = openai_engine.OpenAIEngine("m", options=options)
    yield engine
    engine.close()


def request(*continuations: Any, id: str = "r") -> protocol.ScoreRequest:
    messages = ({"role": "user", "content": "is it?"},)
    return protocol.ScoreRequest(messages=messages, continuations=continuations, id=id)


def test_continuations_are_asked_as_the_assistants_turn(
    server: bad_server.Server, engine: openai_engine.OpenAIEngine
) -> None:
    server.plan["is it?"] = [bad_server.says(scored(PROMPT))]
    server.plan["yes"] = [bad_server.says(scored([*PROMPT, 1]))]
    server.plan["yes,"] = [bad_server.says(scored([*PROMPT, 1, 2]))]
    found = engine.score([request("yes", "", "yes,")])
    assert found == [
        [
            protocol.Score(tokens=(1,), logprobs=(-0.1,)),
            protocol.Score(tokens=(), logprobs=()),
            protocol.Score(tokens=(1, 2), logprobs=(-0.1, -0.2)),
        ]
    ]
    told = server.bodies[1]
    assert told["messages"][-1] == {"role": "assistant", "content": "yes"}
    assert told["continue_final_message"] and not told["add_generation_prompt"]
    assert told["prompt_logprobs"] == 0
    # From the cache: the plan is used up, and its server would say other things.
    assert engine.score([request("yes", "", "yes,")]) == found
    assert server.asked == {"is it?": 1, "yes": 1, "yes,": 1}


def test_a_request_that_cannot_be_scored_stops_no_other(
    server: bad_server.Server, engine: openai_engine.OpenAIEngine
) -> None:
    server.plan["is it?"] = [bad_server.says(scored(PROMPT)) for _ in range(3)]
    server.plan["yes"] = [bad_server.says(scored([*PROMPT, 1]))]
    server.plan["yes "] = [bad_server.says(scored([*PROMPT, 1]))]
    found: dict[int, Any] = {}
    requests = [request("yes", id="a"), request("yes ", id="b"), request((1, 2), id="c")]
    engine.score(requests, on_result=found.__setitem__)
    assert [score.tokens for score in found[0]] == [(1,)]
    assert "request 'b': cannot be scored exactly" in found[1].reason
    assert "request 'c': continuation 0 is token ids" in found[2].reason


def test_other_dialects_cannot_score(server: bad_server.Server) -> None:
    engine = openai_engine.OpenAIEngine("m", options=openai_options.Options(base_url=server.url))
    with pytest.raises(errors.UserError, match="dialect 'openai' cannot score"):
        engine.score([request("yes")])
    engine.close()
