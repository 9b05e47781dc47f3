# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import pytest

from lingshu_jax.common import answers, answers_choice

OPTIONS = ("Pneumothorax", "Pleural effusion", "Effusion with a fluid level", "Normal chest")


@pytest.mark.parametrize(
    ("text", "status", "value"),
    [
        ("b", "ok", "B"),
        ("f", "invalid", "F"),
        ("A or B", "multi", "AB"),
        ("ABD", "multi", "ABD"),
        ("BAD", "unparsed", None),
        ("B, B", "ok", "B"),
        ("(B) Pleural effusion", "ok", "B"),
        ("B - Pleural effusion", "ok", "B"),
        ("B-Pleural effusion", "ok", "B"),
        ("B、Pleural effusion", "ok", "B"),
        ("- **B.** Pleural effusion", "ok", "B"),
        ("B, because the costophrenic angle is blunt", "ok", "B"),
        ("B\n\nA is wrong because there is no line.", "ok", "B"),
        ("B. Pneumothorax", "conflict", "B"),
        ("B Pneumothorax", "conflict", "B"),
        ("Option B: Pneumothorax", "conflict", "B"),
        ("Pneumothorax (B)", "conflict", "B"),
        ("Pleural effusion (B)", "ok", "B"),
        ("B is right, there is no pneumothorax", "ok", "B"),
        ("E. Pleural effusion", "conflict", "E"),
        ("Option E", "invalid", "E"),
        ("I would go with E.", "invalid", "E"),
        ("I choose option b here", "ok", "B"),
        ("I am sure about (C)", "ok", "C"),
        ("It is **C** for me", "ok", "C"),
        ("It must be B", "ok", "B"),
        ("A is correct", "ok", "A"),
        ("A large opacity", "unparsed", None),
        ("A pleural effusion", "ok", "B"),
        ("I see nothing", "unparsed", None),
        ("C-like shape", "unparsed", None),
        ("vitamin B12", "unparsed", None),
        ("e.g. something", "unparsed", None),
        ("A is wrong, B is right", "unparsed", None),
        ("not B", "unparsed", None),
        ("pneumothorax and pleural effusion", "unparsed", None),
        ("This shows pleural effusion rather than pneumothorax.", "ok", "B"),
        ("not pneumothorax but pleural effusion", "ok", "B"),
        ("There is no pleural effusion", "unparsed", None),
        ("There is an effusion with a fluid level", "ok", "C"),
        ("pleural effusions", "unparsed", None),
        ("I cannot determine this", "refusal", None),
    ],
)
def test_extract(text, status, value):
    assert answers_choice.extract(text, OPTIONS) == (status, value)


@pytest.mark.parametrize(
    ("text", "options", "value"),
    [
        ("C. difficile", ("Listeria", "C. difficile", "Anthrax"), "B"),
        ("C. difficile is likely", ("Listeria", "C. difficile", "Anthrax"), "B"),
        ("A and B", ("one", "two", "A and B"), "C"),
        ("It is vitamin  D deficiency", ("vitamin A", "vitamin D"), "B"),
        ("Both", ("both", "BOTH", "Both"), "C"),
        ("2.5 mg", ("5 mg", "2.5 mg"), "B"),
        ("give 2.5 mg now", ("5 mg", "2.5 mg"), "B"),
        ("诊断为乙", ("甲", "乙"), "B"),
        ("不是甲，而是乙", ("甲", "乙"), "B"),
        ("J", tuple("abcdefghij"), "J"),
    ],
)
def test_option_text_decides(text, options, value):
    assert answers_choice.extract(text, options) == ("ok", value)


@pytest.mark.parametrize(
    ("text", "status", "value"),
    [
        ("ABD", "ok", "ABD"),
        ("DBA", "ok", "ABD"),
        ("D、B、A", "ok", "ABD"),
        ("A and A and B", "ok", "AB"),
        ("b", "ok", "B"),
        ("正确的是A和C", "ok", "AC"),
        ("I choose BD because", "ok", "BD"),
        ("A, E", "invalid", "AE"),
        ("以上都不是", "unparsed", None),
        ("抱歉", "refusal", None),
    ],
)
def test_extract_set(text, status, value):
    assert answers_choice.extract_set(text, OPTIONS) == (status, value)


def test_without_letters_needs_every_letter():
    assert answers_choice.without_letters(["A. left", "B.right", "(C) both"]) == [
        "left",
        "right",
        "both",
    ]
    assert answers_choice.without_letters(["A. left", "right"]) == ["A. left", "right"]


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("Not listed among the options provided", ("x", "y"), ("unparsed", None)),
        ("C. X", ("a b", "V", "X"), ("ok", "C")),
        ("C. V", ("a b", "V", "X"), ("multi", "CV")),
        ("C) X", ("a b", "V", "X"), ("ok", "C")),
        ("There is no evidence for it", ("yes", "no", "maybe"), ("unparsed", None)),
        ("There is no evidence. So: maybe", ("yes", "no", "maybe"), ("ok", "C")),
        ("No, there is no evidence", ("yes", "no", "maybe"), ("ok", "B")),
        ("My answer is: no", ("yes", "no", "maybe"), ("ok", "B")),
        ("I choose 'B'", ("x", "y"), ("ok", "B")),
        ("A, B!", ("x", "y"), ("multi", "AB")),
    ],
)
def test_words_that_only_look_like_a_choice(text, options, expected):
    assert answers_choice.extract(text, options) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("right lung, left lung", ("ok", "AB")),
        ("Left lung and aorta, thoracic!", ("ok", "BC")),
        ("aorta, thoracic", ("ok", "C")),
        ("left lung, perhaps", ("unparsed", None)),
        ("not the left lung", ("unparsed", None)),
        ("A, left lung", ("ok", "A")),
    ],
)
def test_a_set_may_be_a_list_of_option_texts(text, expected):
    options = ("right lung", "left lung", "aorta, thoracic")
    assert answers_choice.extract_set(text, options) == expected


def test_the_overlap_of_two_sets_of_letters():
    pairs = {("AB", "AB"): 1.0, ("AB", "BC"): 1 / 3, ("", "A"): 0.0, ("C", "AB"): 0.0}
    assert {pair: answers_choice.jaccard(*pair) for pair in pairs} == pairs


def test_a_letter_beyond_the_options_beside_the_text_of_one():
    found = answers_choice.extract("option X lung", ["lung", "5", "rib"])
    assert found == ("conflict", "X")


def test_a_gold_letter_is_a_letter_where_options_are_letters_too():
    labels = ["A", "C", "D", "E", "B"]  # of a figure, in another order
    assert answers_choice.gold_letter("B", labels) == "B"
    assert answers.judge("B", gold="B", answer_type="choice", options=labels).correct
    assert not answers.judge("E", gold="B", answer_type="choice", options=labels).correct


def test_options_that_differ_in_case_alone_are_two():
    crosses = ["BB Bb", "Bb Bb", "bb bb"]
    assert answers_choice.gold_letter("Bb Bb", crosses) == "B"
    assert not answers.judge("A", gold="B", answer_type="choice", options=crosses).correct
    assert not answers_choice.same_option("A", "B", ["Aa", "aa"])
    assert answers.judge("A", gold="B", answer_type="choice", options=["Same", "same "]).correct
