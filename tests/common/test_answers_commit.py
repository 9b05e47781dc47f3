# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import time

import pytest

from lingshu_jax.common import answers_commit

OPTIONS = ("Pneumothorax", "Pleural effusion", "Cardiomegaly", "Possible fracture")


def fault(text: str, value: str, answer_type: str, **more: object) -> str | None:
    options = OPTIONS if answer_type == "choice" else ()
    fields = {"options": options, "question": "Which one?"} | more
    return answers_commit.fault(text, value=value, answer_type=answer_type, **fields)


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("B", "B", None),
        ("b", "B", None),
        ("B. Pleural effusion", "B", None),
        ("B. A, C and D are incorrect.", "B", None),
        ("B rather than A", "B", None),
        ("B. There is no pneumothorax.", "B", None),
        ("D. Possible fracture", "D", None),  # the option's own doubt
        ("possible pleural effusion", "B", "hedged"),
        ("B, perhaps", "B", "hedged"),
        ("B is wrong", "B", "hedged"),
        ("anything but B", "B", "hedged"),
        ("B?", "B", "hedged"),
        ("B <!-- C -->", "B", "hedged"),
        ("B. C.", "B", "several"),
        ("B, then C", "B", "several"),
        ("A to D", "D", "several"),
        ("B or something", "B", "several"),
        ("Pleural effusion / empyema", "B", "several"),
        ("B. Pleural effusion and cardiomegaly", "B", "several"),
        ("both A and B", "B", "several"),
        ("B. I cannot determine this.", "B", "refusal"),
        ("最可能是B", "B", None),
        ("可能是B", "B", "hedged"),
    ],
)
def test_choice(text, value, expected):
    assert fault(text, value, "choice") == expected


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("yes", "yes", None),
        ("Yes, no pneumothorax", "yes", None),
        ("Yes. No doubt about it.", "yes", None),
        ("No, there is no mass or nodule.", "no", None),
        ("No, in either lung", "no", None),
        ("Yes and no", "yes", "several"),
        ("Yes (no)", "yes", "several"),
        ("No, yes", "no", "several"),
        ("Yes is false", "yes", "several"),
        ("Yes for the right, no for the left", "yes", "several"),
        ("是,不是", "yes", "several"),
        ("有,右肺没有病变", "yes", None),
        ("yes, unless it is old", "yes", "hedged"),
    ],
)
def test_yes_no(text, value, expected):
    assert fault(text, value, "yes_no") == expected


def test_a_question_about_what_is_wrong_may_be_answered():
    assert fault("Yes, it is wrong", "yes", "yes_no") == "several"
    assert fault("Yes, it is wrong", "yes", "yes_no", question="Is the tube wrong?") is None


@pytest.mark.parametrize(
    ("text", "gold", "question", "expected"),
    [
        ("5 mm", "5 mm", "", None),
        ("about 5 mm", "5 mm", "", None),
        ("5 mm (0.5 cm)", "5 mm", "", None),
        ("5 (five)", "5", "", None),
        ("the largest one is 5 mm", "5 mm", "", None),
        ("5 or 6", "5", "", "several"),
        ("5, six", "5", "", "several"),
        ("5|5", "5", "", "several"),
        ("at least 5", "5", "", "hedged"),
        ("at least 5", "at least 5", "", None),
        ("≤ 5", "5", "", "hedged"),
        ("not 5", "5", "", "hedged"),
        ("2-3", "2-3", "", None),
        ("7%", "7", "How many?", "unit"),
        ("7%", "7", "What percentage?", None),
    ],
)
def test_number(text, gold, question, expected):
    assert fault(text, "5", "number", golds=(gold,), question=question) == expected


@pytest.mark.parametrize(
    ("text", "answer_type", "expected"),
    [
        ("B B B", "choice", True),
        ("B, B", "choice", False),
        ("yes no " * 20, "yes_no", True),
        ("x" * 1501, "open", True),
        ("The lungs are clear. " * 50, "report", True),
        ("[10, 20, 30, 40] " * 10, "box", False),
    ],
)
def test_repetition(text, answer_type, expected):
    assert answers_commit.is_repeated(text, answer_type) is expected


@pytest.mark.parametrize("unit", ["a, ", "not ", "B or ", "is ", "( ", "and a ", "50 / ", "x\x01"])
def test_the_longest_answers_are_read_in_time(unit):
    text = (unit * 1000)[: answers_commit.MAX_CHARACTERS]
    began = time.perf_counter()
    for answer_type in ("choice", "yes_no", "number", "open", "choices"):
        fault(text, "B", answer_type)
    assert time.perf_counter() - began < 2.0
