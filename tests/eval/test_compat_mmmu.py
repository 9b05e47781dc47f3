# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import random

import pytest

from lingshu_jax.eval import compat, compat_mmmu

OPTIONS = ["cat", "dog and cow", "cow"]
CHOICES = ("(A) cat", "(B) dog and cow", "(C) cow")


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("B", "B"),
        ("B.", "B"),
        ("'B'.", "B"),
        ("'B.'", None),  # each mark is stripped once, the point before the quotes
        ("(B)", "B"),
        ("(A) is wrong, (C) is right", "C"),
        ("(B) or A", "B"),  # brackets first
        ("it is B or A", "A"),  # the last
        ("b", None),  # case matters
        ("I say cow, for it has a horn", "C"),
        ("I say dog and cow, not the cat", "A"),
        ("dog and cow", None),  # too short for a text to count
        ("I see a dog and cow here", "C"),  # the last place, where the shorter text begins
        ("", None),
    ],
)
def test_reading_a_letter(response, letter):
    assert compat_mmmu.read_letter(response, OPTIONS) == letter


@pytest.mark.parametrize(
    ("response", "said"),
    [
        ("Lung.", ["lung"]),
        ("The value is 1,234.5 so 3", [3.0]),
        ("x\ntherefore the answer is lung", ["lung"]),
        ("a = 4\nb = 5.678", [5.68]),  # an equation counts in the last line
        ("it is 1e3 mm", ["1e3 mm", 1000.0, 3.0]),
        ("so x", [" x", "x "]),
        ("the answer is ", ["is"]),
    ],
)
def test_reading_an_open_answer(response, said):
    assert compat_mmmu.read_open(response) == said


@pytest.mark.parametrize(
    ("gold", "response", "correct"),
    [
        ("lung", "it is the left lung", True),
        ("Lung", "heart", False),
        ("3.50", "it is 3.5", True),
        ("3", "13", False),
        ("x", "x-ray", False),  # a single character needs a blank
        ("x", "it is x", True),
    ],
)
def test_an_open_answer_contains_the_gold(gold, response, correct):
    verdict = compat.judge_mmmu(response, compat.Item(gold))
    assert (verdict.correct, verdict.kind) == (correct, "short")


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("<answer>B</answer> or C", "B"),
        ("\\boxed{C} and B", "C"),
        ("<answer>A \\boxed{C}</answer>", "C"),
    ],
)
def test_tags_and_boxes_come_first(response, letter):
    verdict = compat.judge_mmmu(response, compat.Item("C", CHOICES))
    assert verdict.as_row() == {"correct": letter == "C", "kind": "choice", "parsed": letter}


@pytest.mark.parametrize("response", ["", "no idea", "\\boxed{B"])
def test_what_names_nothing_is_drawn_by_chance_and_says_so(response):
    verdict = compat.judge_mmmu(response, compat.Item("A", CHOICES))
    assert verdict.fields["guessed"]
    assert verdict.fields["parsed"] == random.Random(42).choice("ABC")


def test_one_generator_draws_on_from_item_to_item():
    generator = random.Random(compat.SEED)
    items = [compat.Item("A", CHOICES[:n], generator=generator) for n in (3, 2, 3, 3)]
    drawn = [compat.judge_mmmu("?", item).fields["parsed"] for item in items]
    wanted = random.Random(42)
    assert drawn == [wanted.choice("ABC"[:n]) for n in (3, 2, 3, 3)]
    assert drawn != [compat.judge_mmmu("?", compat.Item("A", CHOICES)).fields["parsed"]] * 4


def test_numbers_that_json_does_not_know_stand_as_text():
    assert compat.judge_mmmu("nan", compat.Item("3")).fields["parsed"] == ["nan"]
