# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import json
from typing import Any

import pytest

from lingshu_jax.engines import ledger, openai_answers, protocol
from tests.engines import bad_server


def choice(**fields: Any) -> dict[str, Any]:
    return {**bad_server.answer("a")["choices"][0], **fields}


def logprobs(*values: Any) -> dict[str, Any]:
    return {"content": [{"token": "t", "logprob": value} for value in values]}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "not JSON: ''"),
        ('{"choices": [', "not JSON"),
        ("<html><body>Bad\n gateway</body>", "not JSON: '<html><body>Bad gateway</body>'"),
        ("[" * 100_000, "not JSON"),
        ("[1]", r"must be an object, got '\[1\]'"),
        ("null", "must be an object, got 'null'"),
    ],
)
def test_a_body_that_is_no_object(text: str, line: str) -> None:
    with pytest.raises(openai_answers.BadAnswer, match=line) as caught:
        openai_answers.read(text)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 160


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (None, "choices must be a list of objects, got 'null'"),
        ([], "sent 0 answers, asked for 2"),
        (["text"], "choices must be a list"),
        ([{}, {}, {}], "sent 3 answers, asked for 2"),
        ([{"index": 1}, {"index": 1}], r"numbered 0 to 1, got \[1, 1\]"),
        ([{"index": []}, {"index": {}}], "numbered 0 to 1"),
        ([{"index": "0"}], r"numbered 0 to 0, got \['0'\]"),
        ([{"index": False}, {"index": True}], "numbered 0 to 1"),
    ],
)
def test_choices_that_make_no_sense(found: Any, line: str) -> None:
    with pytest.raises(openai_answers.BadAnswer, match=line):
        openai_answers.choices({"choices": found}, 2)


def test_choices_are_sorted_by_their_numbers() -> None:
    found = [{"index": 1, "a": "second"}, {"index": 0, "a": "first"}]
    assert [c["a"] for c in openai_answers.choices({"choices": found}, 2)] == ["first", "second"]
    assert openai_answers.choices({"choices": [{"a": 1}, {"a": 2}]}, 3) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"message": None}, "message must be an object"),
        ({"message": {"content": ["a"]}}, "content must be a text"),
        ({"message": {"content": None}}, "content must be a text, got 'null'"),
        ({"finish_reason": None}, "finish_reason must be stop or length, got 'null'"),
        ({"finish_reason": "tool_calls"}, "got 'tool_calls'"),
        ({"finish_reason": {"a": 1}}, "finish_reason must be stop or length"),
        ({"token_ids": [1, True]}, "token_ids must be numbers"),
        ({"token_ids": [1, 2], "logprobs": logprobs(-1.0)}, "one for each of 2 tokens"),
        ({"token_ids": [1], "logprobs": None}, "one for each of 1 tokens"),
        ({"token_ids": [1], "logprobs": logprobs("-1")}, "logprob must be a number"),
        ({"token_ids": [1], "logprobs": logprobs(float("nan"))}, "logprob must be a number"),
        ({"token_ids": [1], "logprobs": logprobs(-(10**400))}, "logprob must be a number"),
    ],
)
def test_a_choice_that_makes_no_sense_is_not_kept(fields: dict[str, Any], line: str) -> None:
    assert openai_answers.fault(choice(**fields)) is not None
    with pytest.raises(openai_answers.BadAnswer, match=line):
        openai_answers.completion(choice(**fields))


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"finish_reason": "content_filter"}, "content_filter"),
        (
            {"message": {"content": None, "refusal": "I will\nnot"}},
            "refuses to answer: 'I will not'",
        ),
    ],
)
def test_a_refusal_is_meant_and_kept(fields: dict[str, Any], line: str) -> None:
    assert openai_answers.fault(choice(**fields)) is None
    with pytest.raises(openai_answers.Refusal, match=line):
        openai_answers.completion(choice(**fields))


def test_tokens_and_logprobs_where_the_server_tells_them() -> None:
    found = openai_answers.completion(choice(token_ids=[5, 6], logprobs=logprobs(-0.5, -1)))
    assert (found.tokens, found.logprobs) == ((5, 6), (-0.5, -1.0))
    assert found.finish_reason == "stop"
    # Log-probabilities alone are of texts, not of ids.
    found = openai_answers.completion(choice(logprobs=logprobs(-0.5)))
    assert found == protocol.Completion(text="a", tokens=(), logprobs=(), finish_reason="stop")


def test_half_characters_can_be_written() -> None:
    text = json.loads('"a\\ud83d b \\ud83d\\ude00"')
    found = openai_answers.completion(choice(message={"content": text}))
    assert found.text == "a\ufffd b \U0001f600"


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 0}, ledger.Usage(3, 0)),
        ({"prompt_tokens": 3}, None),
        ({"prompt_tokens": -3, "completion_tokens": 1}, None),
        ({"prompt_tokens": "3", "completion_tokens": 1}, None),
        ({"prompt_tokens": 2**53, "completion_tokens": 1}, ledger.Usage(2**53, 1)),
        ({"prompt_tokens": 10**400, "completion_tokens": 1}, None),
        ({"prompt_tokens": 1, "completion_tokens": 2**53 + 1}, None),
        (None, None),
        ([3, 1], None),
    ],
)
def test_usage(usage: Any, expected: ledger.Usage | None) -> None:
    assert openai_answers.usage({"usage": usage}) == expected


def test_a_piece_of_a_stream() -> None:
    piece = {"choices": [{"delta": {"content": "a"}, "token_ids": [7], "logprobs": logprobs(-2.0)}]}
    assert openai_answers.delta(piece) == protocol.Delta(
        text="a", tokens=(7,), logprobs=(-2.0,), finish_reason=None
    )
    assert openai_answers.delta({"choices": [], "usage": {}}) is None
    end = openai_answers.delta({"choices": [{"delta": {}, "finish_reason": "length"}]})
    assert end is not None and (end.text, end.finish_reason) == ("", "length")


@pytest.mark.parametrize(
    "piece",
    [
        {},
        {"choices": [{"delta": None}]},
        {"choices": [{"delta": {"content": 1}}]},
        {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]},
    ],
)
def test_a_piece_that_makes_no_sense(piece: dict[str, Any]) -> None:
    with pytest.raises(openai_answers.BadAnswer):
        openai_answers.delta(piece)


def test_a_filter_may_end_a_stream() -> None:
    piece = {"choices": [{"delta": {}, "finish_reason": "content_filter"}]}
    with pytest.raises(openai_answers.Refusal, match="content_filter"):
        openai_answers.delta(piece)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        *[(said, "stop") for said in ("stop", "STOP", "end_turn", "stop_sequence")],
        *[(said, "length") for said in ("length", "max_tokens", "MAX_TOKENS")],
    ],
)
def test_why_an_answer_ended_in_the_words_of_other_services(said: str, meant: str) -> None:
    assert openai_answers.completion(choice(finish_reason=said)).finish_reason == meant
    piece = {"choices": [{"delta": {"content": "a"}, "finish_reason": said}]}
    found = openai_answers.delta(piece)
    assert found is not None and found.finish_reason == meant


@pytest.mark.parametrize(
    "said", ["SAFETY", "RECITATION", "refusal", "content_filter: PROHIBITED_CONTENT"]
)
def test_what_a_service_withholds_is_a_refusal(said: str) -> None:
    for message in ({"content": ""}, {"content": None}, {}, None):
        with pytest.raises(openai_answers.Refusal, match=f"finish_reason {said}"):
            openai_answers.completion(choice(finish_reason=said, message=message))
    with pytest.raises(openai_answers.BadAnswer, match="message must be"):
        openai_answers.completion(choice(message=None))


def test_tokens_that_all_went_into_thoughts_leave_an_empty_answer() -> None:
    cut = choice(message={"content": None}, finish_reason="length")
    assert openai_answers.fault(cut) is None
    found = openai_answers.completion(cut)
    assert (found.text, found.finish_reason) == ("", "length")


def test_an_answer_in_parts_is_its_texts() -> None:
    parts = [
        {"type": "thinking", "thinking": "hm"},
        {"type": "text", "text": "The answer "},
        {"type": "text", "text": "is B"},
    ]
    assert openai_answers.completion(choice(message={"content": parts})).text == "The answer is B"
    for odd in ([], [{"type": "thinking", "thinking": "hm"}], [{"type": "text", "text": 1}]):
        with pytest.raises(openai_answers.BadAnswer, match="content must be a text"):
            openai_answers.completion(choice(message={"content": odd}))


@pytest.mark.parametrize(
    ("said", "used"),
    [
        ({"input_tokens": 7, "output_tokens": 2}, (7, 2)),
        ({"prompt_tokens": 7, "total_tokens": 9}, (7, 2)),
        ({"prompt_tokens": 7, "completion_tokens": None, "total_tokens": 7}, (7, 0)),
        ({"prompt_tokens": 7}, None),
        ({"prompt_tokens": 7, "total_tokens": 3}, None),
    ],
)
def test_usage_in_the_words_of_other_services(said: dict[str, Any], used: Any) -> None:
    found = openai_answers.usage({"usage": said})
    assert found == (ledger.Usage(*used) if used else None)
