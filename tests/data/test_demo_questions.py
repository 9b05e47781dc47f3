# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Questions about views: golds follow the pixels, and no answer is right more often."""

from collections import Counter

import numpy as np
import pytest

from lingshu_jax.common import answers
from lingshu_jax.data import demo_images, demo_questions, volumes


def view(gray, modality="CT", plane=None):
    pixels = np.repeat(np.asarray(gray, np.uint8)[..., None], 3, axis=-1)
    header = volumes.Header(plane=plane)
    picture = demo_images.Picture("000/000", pixels, modality, header, 1, 1)
    return demo_images.View("train-0000", picture, pixels, False)


def facts(gray, **kwargs):
    return demo_questions.Facts.of(view(gray, **kwargs))


def left_bright(height=9, width=7):
    gray = np.full((height, width), 20)
    gray[:, : width // 2] = 200
    return gray


@pytest.fixture
def asker(rng):
    return demo_questions.Asker(["CT", "MR", "ultrasound"], rng)


def answer(asker, kind, gray, **kwargs):
    question = demo_questions.KINDS[kind](asker, facts(gray, **kwargs))
    return None if question is None else question.answer


@pytest.mark.parametrize(
    ("kind", "turn", "expected"),
    [
        ("left_right", np.asarray, "left"),
        ("left_right", np.fliplr, "right"),
        ("left_right", np.flipud, "left"),
        ("left_right", np.transpose, None),
        ("top_bottom", np.transpose, "top"),
        ("top_bottom", np.rot90, "bottom"),
        ("top_bottom", np.asarray, None),
    ],
)
def test_halves_follow_mirrors(asker, kind, turn, expected):
    assert answer(asker, kind, turn(left_bright())) == expected


@pytest.mark.parametrize(
    ("rows", "columns", "letter"),
    [
        (slice(0, 4), slice(0, 3), "A"),
        (slice(0, 4), slice(4, 7), "B"),
        (slice(5, 9), slice(0, 3), "C"),
        (slice(5, 9), slice(4, 7), "D"),
    ],
)
def test_quadrant_letters(asker, rows, columns, letter):
    gray = np.zeros((9, 7))
    gray[rows, columns] = 200
    question = demo_questions.KINDS["quadrant"](asker, facts(gray))
    assert question.answer == letter
    option = question.options["ABCD".index(letter)]
    assert f"{letter}. {option}" in question.text and option in question.thought


def test_inverting_exchanges_dark_bright_and_centre_border(asker):
    gray = np.zeros((8, 12), np.uint8)
    gray[2:6, 3:9] = 255
    assert (answer(asker, "brightness", gray), answer(asker, "centre", gray)) == ("dark", "yes")
    inverted = 255 - gray
    assert answer(asker, "brightness", inverted) == "bright"
    assert answer(asker, "centre", inverted) == "no"


def test_close_calls_are_not_asked(asker):
    gray = np.full((8, 8), 110)
    gray[:, :4] += 10
    for kind in ("left_right", "top_bottom", "quadrant", "brightness", "centre", "wider"):
        assert answer(asker, kind, gray) is None, kind


def test_modality_kinds_agree_with_the_header(asker):
    gray = left_bright()
    assert answer(asker, "modality", gray, modality="MR") == "MR"
    assert answer(asker, "modality_choice", gray, modality="ultrasound") == "C"
    for _ in range(20):
        question = demo_questions.KINDS["modality_yes_no"](asker, facts(gray, modality="MR"))
        assert question.answer == ("yes" if "MR" in question.text else "no")
    for kind in ("modality", "modality_yes_no", "modality_choice"):
        assert answer(asker, kind, gray, modality="PET") is None
        assert answer(asker, kind, gray, modality=None) is None


def test_wider_follows_its_wording(asker):
    for _ in range(8):
        question = demo_questions.KINDS["wider"](asker, facts(left_bright(height=5, width=9)))
        assert question.answer == ("yes" if "wider than" in question.text else "no")
    assert "wider" not in demo_questions.SEEING_KINDS


def test_balance_makes_golds_equally_frequent(asker, rng):
    pairs = []
    for i in range(90):
        gray = left_bright() if i % 3 else np.fliplr(left_bright())
        one = view(gray, modality="CT" if i % 2 else "MR", plane="axial")
        pairs += [(one, q) for q in asker.ask(demo_questions.Facts.of(one), demo_questions.KINDS)]
    kept = demo_questions.balance(pairs, most=40, rng=rng)
    golds = Counter((q.kind, q.answer) for _, q in kept)
    assert golds["left_right", "left"] == golds["left_right", "right"] == 20
    assert golds["modality", "CT"] == golds["modality", "MR"] == 20
    assert not any(kind == "plane" for kind, _ in golds), "one gold only: no image is needed"
    # The twin: unbalanced, the constant answer would be right two times in three.
    raw = Counter(q.answer for _, q in pairs if q.kind == "left_right")
    assert raw["left"] == 2 * raw["right"]


def test_every_gold_is_its_own_right_answer(asker):
    gray = np.zeros((9, 12))
    gray[:4, :5] = 255
    for question in asker.ask(facts(gray, plane="axial"), demo_questions.KINDS):
        answers.check_gold(
            question.answer, answer_type=question.answer_type, options=question.options
        )


@pytest.mark.parametrize(
    ("noun", "expected"),
    [("CT", "a CT"), ("MR", "an MR"), ("axial MR", "an axial MR"), ("ultrasound", "an ultrasound")],
)
def test_articles(noun, expected):
    assert demo_questions.an(noun) == expected
