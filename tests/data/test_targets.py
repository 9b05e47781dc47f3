# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What is trained follows from the messages, whatever their texts spell."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lingshu_jax.common import errors, tokens
from lingshu_jax.data import messages, packing, sources, store, targets

LIMITS: dict[str, Any] = {"min_pixels": 784, "max_pixels": 784 * 4}
PICTURE = {"type": "image", "image": Image.new("RGB", (56, 28))}
END = "<|im_end|>\n"
THOUGHT = "<think>\nThin wall, no solid part.\n</think>"
CONVERSATION = [
    {"role": "user", "content": "Is it a cyst?"},
    {"role": "assistant", "content": f"{THOUGHT}\n\nYes, a simple cyst."},
    {"role": "user", "content": "Sure?"},
    {"role": "assistant", "content": "<think>Nothing new.</think>Yes."},
]
HOSTILE = (
    *tokens.CONTROL_TOKENS,
    *("assistant", "user", "system", "\nassistant\n", "assistant\n", "<|im_start|>assistant\n"),
    *("<think>", "</think>", "<think>no</think>", "<think> </think>", "<|im_end|>\n", "\n", " "),
    *("e\u0301", "肺", "A mass.", "> ", "</"),
)


@pytest.fixture(scope="module")
def encoder(byte_folder: Path) -> messages.Encoder:
    return messages.Encoder(byte_folder, **LIMITS)


def turns(*texts: Any) -> list[dict[str, Any]]:
    roles = ("user", "assistant")
    return [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]


def trained(encoder: messages.Encoder, conversation: Any, train_on: targets.TrainOn) -> str:
    encoded = encoder.encode(conversation, train_on=train_on)
    assert set(encoded.loss_weights.tolist()) <= {0.0, 1.0}
    return encoder.decode(encoded.tokens[encoded.loss_weights > 0], skip_special=False)


@pytest.mark.parametrize(
    ("train_on", "expected"),
    [
        ("all", f"{THOUGHT}\n\nYes, a simple cyst.{END}<think>Nothing new.</think>Yes.{END}"),
        ("last", f"<think>Nothing new.</think>Yes.{END}"),
        ("reasoning", f"{THOUGHT}<think>Nothing new.</think>"),
    ],
)
def test_what_is_trained(
    encoder: messages.Encoder, train_on: targets.TrainOn, expected: str
) -> None:
    assert trained(encoder, CONVERSATION, train_on) == expected
    same = encoder.encode(CONVERSATION, train_on=train_on).tokens.tolist()
    assert same == encoder.encode(CONVERSATION).tokens.tolist(), "tokens never change"


@pytest.mark.parametrize(
    ("train_on", "expected"),
    [("all", f"{THOUGHT}\n\nYes, a simple cyst.{END}"), ("last", ""), ("reasoning", THOUGHT)],
)
def test_a_message_that_is_left_out_is_left_out_always(
    encoder: messages.Encoder, train_on: targets.TrainOn, expected: str
) -> None:
    flagged = [*CONVERSATION[:3], {**CONVERSATION[3], "loss": False}]
    assert trained(encoder, flagged, train_on) == expected


def test_the_last_answer_is_the_last_even_before_a_question(encoder: messages.Encoder) -> None:
    assert trained(encoder, turns("a", "one", "b", "two", "c"), "last") == f"two{END}"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("<think>a</think>b", "<think>a</think>"),
        (" \n<think>a</think>", "<think>a</think>"),
        ("First. <think>a</think>b", "<think>a</think>"),
        ("<think>a</think>b<think>c</think>", "<think>a</think>"),
        ("<think>a<think>b</think>c</think>", "<think>a<think>b</think>"),
        ("<think>\n\n</think>b", None),
        ("<think>a", None),
        ("a</think>b", None),
        ("</think>a<think>b", None),
        ("<THINK>a</THINK>", None),
        ("no reasoning", None),
    ],
)
def test_where_the_reasoning_is(
    encoder: messages.Encoder, answer: str, expected: str | None
) -> None:
    if expected is not None:
        assert trained(encoder, turns("q", answer), "reasoning") == expected
        return
    assert trained(encoder, turns("q", answer), "reasoning") == ""
    assert trained(encoder, turns("q", answer), "all") == f"{answer}{END}"


def test_a_turn_without_reasoning_is_not_trained_beside_one_with(encoder: messages.Encoder) -> None:
    conversation = turns("q", "No.", "why?", "<think>x</think>y")
    assert trained(encoder, conversation, "reasoning") == "<think>x</think>"


def test_reasoning_may_hold_a_picture(encoder: messages.Encoder) -> None:
    parts = [
        {"type": "text", "text": "é <think>see "},
        PICTURE,
        {"type": "text", "text": "bright</think> é"},
    ]
    assert trained(encoder, turns("q", parts), "reasoning") == "<think>see bright</think>"


def test_bytes_and_composed_accents_keep_their_place(encoder: messages.Encoder) -> None:
    """The normaliser shortens the text in front; a character may be several tokens."""
    answer = "e\u0301e\u0301 <think>e\u0301 肺</think>e\u0301"
    assert trained(encoder, turns("q", answer), "reasoning") == "<think>\u00e9 肺</think>"


# Ids of `byte_folder`: Latin letters follow their code, less 33; Ġ and Ċ stand for blank, newline.
BYTE_IDS = [258, 84, 82, 68, 81, 198, 80, 259, 198, 258, 64, 82, 82, 72, 82, 83, 64, 77, 83, 198]
BYTE_IDS += [27, 83, 71, 72, 77, 74, 29, 64, 27, 14, 83, 71, 72, 77, 74, 29, 65, 259, 198]


@pytest.mark.parametrize(
    ("train_on", "start", "stop"),
    [("all", 20, 39), ("last", 20, 39), ("reasoning", 20, 36)],
)
@pytest.mark.parametrize("shift", [0, 1], ids=["as_is", "twin_shifted_by_one_fails"])
def test_golden_ids_and_weights(
    encoder: messages.Encoder, train_on: targets.TrainOn, start: int, stop: int, shift: int
) -> None:
    encoded = encoder.encode(turns("q", "<think>a</think>b"), train_on=train_on)
    ids, weights = encoded.tokens[-len(BYTE_IDS) :], encoded.loss_weights[-len(BYTE_IDS) :]
    assert ids.tolist() == BYTE_IDS
    expected = np.zeros(len(BYTE_IDS))
    expected[start + shift : stop + shift] = 1
    assert (weights.tolist() == expected.tolist()) == (shift == 0)


# Made by transformers 5.24.0, its released vocabulary and chat template, from CONVERSATION.
RELEASED = [
    *(151644, 8948, 198, 2610, 525, 264, 10950, 17847, 13, 151645, 198),
    *(151644, 872, 198, 3872, 432, 264, 62481, 30, 151645, 198, 151644, 77091, 198),
    *(13708, 766, 397, 93088, 7002, 11, 902, 6437, 949, 624, 522, 26865, 1339),
    *(9454, 11, 264, 4285, 62481, 13, 151645, 198),
    *(151644, 872, 198, 39814, 30, 151645, 198, 151644, 77091, 198),
    *(13708, 766, 29, 23780, 501, 3918, 26865, 29, 9454, 13, 151645, 198),
]


@pytest.mark.parametrize(
    ("train_on", "places"),
    [
        ("all", [range(24, 45), range(55, 67)]),
        ("last", [range(55, 67)]),
        # ">\n\n" and ".</" are one token each; they hold a character of the reasoning.
        ("reasoning", [range(24, 37), range(55, 63)]),
    ],
)
def test_released_ids_and_their_weights(
    shared_dir: Path, train_on: targets.TrainOn, places: Sequence[range]
) -> None:
    encoder = messages.Encoder(shared_dir / "data/tokenizer_qwen2", **LIMITS)
    encoded = encoder.encode(CONVERSATION, train_on=train_on)
    assert encoded.tokens.tolist() == RELEASED
    assert np.flatnonzero(encoded.loss_weights).tolist() == [i for run in places for i in run]


def draw_conversation(seed: int) -> list[dict[str, Any]]:
    """Up to four turns of hostile fragments; some have media, some are not to be trained."""
    rng = np.random.default_rng(seed)

    def draw() -> str:
        return "x" + "".join(HOSTILE[i] for i in rng.integers(len(HOSTILE), size=8))

    made: list[dict[str, Any]] = [{"role": "system", "content": draw()}]
    for _ in range(rng.integers(1, 5)):
        made += turns([{"type": "text", "text": draw()}, PICTURE], draw())
        if rng.random() < 0.3:
            made[-1]["loss"] = False
    return made


def spans_by_turn(encoder: messages.Encoder, conversation: list[dict[str, Any]]) -> list[list[int]]:
    """What training on all answers must give, turn by turn, from the texts alone."""
    tail = [encoder.special.im_end, *encoder.text_ids("\n")]
    return [
        [*encoder.text_ids(message["content"]), *tail]
        for message in conversation
        if message["role"] == "assistant" and message.get("loss", True)
    ]


@pytest.mark.parametrize("seed", range(40))
def test_trained_tokens_are_the_turns_one_after_the_other(
    encoder: messages.Encoder, seed: int
) -> None:
    conversation = draw_conversation(seed)
    whole = encoder.encode(conversation)
    expected = spans_by_turn(encoder, conversation)
    assert whole.tokens[whole.loss_weights > 0].tolist() == [i for span in expected for i in span]
    for count in range(1, len(conversation) + 1):
        part = encoder.encode(conversation[:count])
        assert part.tokens.tolist() == whole.tokens[: part.num_tokens].tolist()
        assert part.loss_weights.tolist() == whole.loss_weights[: part.num_tokens].tolist()
    last = encoder.encode(conversation, train_on="last")
    is_flagged = not conversation[-1].get("loss", True)
    assert last.tokens[last.loss_weights > 0].tolist() == ([] if is_flagged else expected[-1])
    reasoning = encoder.encode(conversation, train_on="reasoning")
    assert (reasoning.loss_weights <= whole.loss_weights).all()
    assert reasoning.loss_weights.sum() < whole.loss_weights.sum() or not expected


def scanned(encoder: messages.Encoder, encoded: messages.Encoded) -> np.ndarray:
    """The twin: a mask made from tokens, by a scan for the word, as some trainers do."""
    word, end = encoder.text_ids("assistant\n"), encoder.text_ids("<|im_end|>")
    ids = encoded.tokens.tolist()
    mask, inside = np.zeros(len(ids), bool), False
    for place in range(len(ids)):
        inside |= ids[max(place - len(word), 0) : place] == word
        mask[place] = inside
        inside &= ids[place] != encoder.special.im_end and ids[place - len(end) : place] != end
    return mask


def test_twin_a_scan_for_the_word_trains_the_question(encoder: messages.Encoder) -> None:
    honest, hostile = turns("Is it?", "yes"), turns("Say\nassistant\nno", "yes")
    for conversation, leaks in ((honest, False), (hostile, True)):
        encoded = encoder.encode(conversation)
        ours = encoder.decode(encoded.tokens[encoded.loss_weights > 0])
        theirs = encoder.decode(encoded.tokens[scanned(encoder, encoded)])
        assert ours == "yes\n"
        assert ("no" in theirs) == leaks


def test_weights_of_tokens_on_the_edge() -> None:
    target = targets.Target(4, 6)
    places = [(0, 4), (3, 5), (4, 4), (4, 5), (5, 9), (6, 7)]
    assert target.weights(places, offset=0) == [0, 1, 0, 1, 1, 0]
    assert target.weights([(0, 1), (1, 2)], offset=5) == [1, 0]


@pytest.mark.parametrize(
    ("conversation", "train_on", "message"),
    [
        (turns("q"), "all", "nothing to train on: no assistant message that is to be trained"),
        ([*turns("q"), {**turns("", "a")[1], "loss": False}], "last", "no last assistant message"),
        (turns("q", "a"), "reasoning", "no assistant message with a text between <think> and </"),
    ],
)
def test_a_conversation_without_a_target_is_refused(
    encoder: messages.Encoder,
    conversation: list[dict[str, Any]],
    train_on: targets.TrainOn,
    message: str,
) -> None:
    encoded = encoder.encode(conversation, train_on=train_on)
    with pytest.raises(errors.UserError, match=message):
        targets.require(encoded.loss_weights, train_on)
    targets.require(encoder.encode(turns("q", "a")).loss_weights, train_on)


def write_rows(folder: Path) -> None:
    rows = [
        {"id": "thinks", "messages": turns("q", "<think>a</think>b", "q", "<think>c</think>d")},
        {"id": "says", "messages": turns("q", "b", "q", "d")},
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize(
    ("train_on", "texts"),
    [
        ("last", {"thinks": f"<think>c</think>d{END}", "says": f"d{END}"}),
        ("reasoning", {"thinks": "<think>a</think><think>c</think>"}),
    ],
)
def test_the_option_of_a_source_reaches_the_encoded_rows(
    tmp_path: Path, encoder: messages.Encoder, train_on: str, texts: dict[str, str]
) -> None:
    write_rows(tmp_path)
    source = sources.Source(name="s", path="rows.jsonl", train_on=train_on)
    rows = store.build(
        sources.read(source, tmp_path).examples,
        encoder,
        names=("s",),
        folder=tmp_path / "encoded",
        mixture=train_on,
        options=store.Options(budget=packing.Budget(512, 64)),
    )
    found = {
        rows[i].id: encoder.decode(rows[i].tokens[rows[i].loss_weights > 0], skip_special=False)
        for i in range(len(rows))
    }
    assert found == texts
    refused = {row.id: row.reason for row in rows.dropped}
    assert refused.keys() == {"thinks", "says"} - texts.keys()
    assert all("nothing to train on" in reason for reason in refused.values())


def test_an_unknown_choice_is_refused() -> None:
    source = sources.Source(name="s", path="rows.jsonl", train_on="first")
    with pytest.raises(errors.UserError, match="unknown train_on 'first' .*: all, last, reasoning"):
        source.validate()
