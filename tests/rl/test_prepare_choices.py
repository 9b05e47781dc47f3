# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Multiple choice as open questions: what is rewritten, and what says that it cannot be."""

import pytest

from lingshu_jax.common import answers, prompts
from lingshu_jax.rl import prepare_choices

LOBES = ["left lobe", "right lobe", "both lobes of it"]
SIDES = ["left", "right"]


def asked(text, options=SIDES, header=""):
    return prompts.ask(prompts.ask_choice(text + header, options), prompts.CHOICE)


def rewrite(text, gold="A", options=SIDES):
    return prepare_choices.rewrite(text, gold=gold, options=options)


OPENED = {
    "lines with letters": (asked("Which side?"), "Which side?"),
    "a header": (asked("Which side?", header="\nOptions:"), "Which side?"),
    "MedEvalKit's form": ("Question: Which side?\nOptions: \nA. left\nB. right\n", "Which side?"),
    "one line": ("Which side?\nAnswer Choices: (A) left (B) right", "Which side?"),
    "brackets and commas": ("Which side? (A) left, (B) right.", "Which side?"),
    "bullets": ("Which side?\n- left\n- right\nPlease select one option.", "Which side?"),
    "not shown at all": ("Which side?", "Which side?"),
    "asked for before": (
        "Which side?\nChoose the correct option.\nA. left\nB. right",
        "Which side?",
    ),
    "what follows stays": (
        "Which side?\nA. left\nB. right\nThe film is a chest x-ray.",
        "Which side?\nThe film is a chest x-ray.",
    ),
    "Chinese": ("病变在什么位置？\nA. left\nB. right\n请直接回答选项字母。", "病变在什么位置？"),
}


@pytest.mark.parametrize("case", OPENED.values(), ids=OPENED.keys())
def test_options_and_the_letter_go(case):
    text, question = case
    made = rewrite(text)
    assert made == prepare_choices.Open(f"{question}\n{prompts.OPEN}", "left", "open")
    answers.check_gold(made.gold, answer_type=made.answer_type)


def test_the_gold_may_be_the_text_of_an_option():
    assert rewrite(asked("Which side?"), gold="right").gold == "right"


@pytest.mark.parametrize(
    ("option", "gold"),
    [
        ("Hurler  syndrome.", "Hurler syndrome"),
        ("Polycystic ovaries (PCO)", "Polycystic ovaries"),
        ("5-alpha reductase", "5-alpha reductase"),
        ("3rd ventricle", "3rd ventricle"),
        ("T2-weighted MRI", "T2-weighted MRI"),
        ("左肺上叶", "左肺上叶"),
    ],
)
def test_words_that_are_golds(option, gold):
    assert rewrite("What is it, then?", options=[option, "something"]).gold == gold


def test_yes_and_no_alone_become_a_yes_no_question():
    made = rewrite(asked("Is it enlarged?", ["Yes", "No."]), gold="B", options=["Yes", "No."])
    assert made == prepare_choices.Open(f"Is it enlarged?\n{prompts.YES_NO}", "no", "yes_no")


STAYS = {
    prepare_choices.NOT_FOUND: [
        ("Which side, 1) left or 2) right?", SIDES),
        ("Is it the left or the right?", SIDES),
    ],
    prepare_choices.NO_QUESTION: [
        ("A. left\nB. right", SIDES),
        ("The lesion is found on the\nA. left\nB. right", SIDES),
        ("What is on the ___ side?\nA. left\nB. right", SIDES),
    ],
    prepare_choices.REFERS: [
        (asked("Which of the following is seen?"), SIDES),
        (asked("Which one is larger?"), SIDES),
        (asked("Which is larger?"), SIDES),
        (asked("What is seen, EXCEPT one?"), SIDES),
        (asked("What is NOT seen?"), SIDES),
        (asked("Which option is right?"), SIDES),
        (asked("What best describes the side?"), SIDES),
        (asked("下列哪项正确？"), SIDES),
    ],
    prepare_choices.OPTION_REFERS: [
        ("Which side?", ["left", text])
        for text in (
            "all of the above",
            "None of these.",
            "both",
            "A and B",
            "neither left nor right",
            "以上都不是",
        )
    ],
    prepare_choices.NUMBER: [
        ("How many are there?", [text, "other number"])
        for text in ("3", "2 cm", "> 5 mm", "two", "2CO2 and 1ATP", "50%")
    ],
    prepare_choices.LONG: [
        ("What is it?", [text, "another"])
        for text in (
            "a mass in the left upper lobe",
            "left, right",
            "If it is blocked",
            "It is enlarged",
            "by diffusion",
            "electroencephalographically-determined-state",
        )
    ],
    prepare_choices.POLARITY: [("Is it?", ["yes", "no", "maybe"]), ("Is it?", ["yes", "left"])],
}


@pytest.mark.parametrize(
    ("reason", "case"), [(reason, case) for reason, cases in STAYS.items() for case in cases]
)
def test_what_stays_a_choice_says_why(reason, case):
    text, options = case
    assert rewrite(text, options=options) == prepare_choices.Choice(reason)


def test_an_image_that_follows_is_no_list_of_options():
    text = "What is shown in the following image?\nA. left lobe\nB. right lobe"
    assert rewrite(text, options=LOBES[:2]).gold == "left lobe"


def test_a_question_keeps_its_table():
    table = "Haemoglobin 14 g/dL\nPlatelets 260,000/mm3\n\nWhat is the diagnosis?"
    made = rewrite(f"{table}\nA. left\nB. right")
    assert made.text == f"{table}\n{prompts.OPEN}"
