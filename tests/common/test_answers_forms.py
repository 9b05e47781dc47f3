# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The form of an answer never changes its strict verdict: same words, same verdict."""

import itertools
import random

import pytest

from lingshu_jax.common import answers
from lingshu_jax.eval import compat

OPTIONS = ["Aortic dissection", "Pneumonia", "Vitamin B12 deficiency", "No acute disease"]
# By name: what is asked, and answers right, wrong, and such that are none.
KINDS = {
    "choice": (
        {"answer_type": "choice", "options": OPTIONS, "gold": "B"},
        (
            *("B", "b", "Pneumonia", "B. Pneumonia", "B) Pneumonia", "(B) Pneumonia"),
            *("B: Pneumonia", "Option B", "D", "A", "Aortic dissection", "No acute disease"),
            *("C. Vitamin B12 deficiency", "Z", "A, B", "B. Aortic dissection"),
            *("I cannot determine the answer", "Influenza"),
        ),
    ),
    "choice_zh": (
        {"answer_type": "choice", "options": ["肺炎", "主动脉夹层", "正常"], "gold": "A"},
        ("A", "A. 肺炎", "选项A", "肺炎", "B", "主动脉夹层", "无法判断"),
    ),
    "choices": (
        {"answer_type": "choices", "options": OPTIONS, "gold": "A, C"},
        (
            *("A, C", "AC", "C, A", "A and C", "A、C", "Aortic dissection, Vitamin B12 deficiency"),
            *("A, B", "B", "Pneumonia", "I cannot determine the answer"),
        ),
    ),
    "yes_no": (
        {"answer_type": "yes_no", "gold": "yes"},
        (
            *("Yes", "yes", "YES", "是", "Yes, there is a nodule", "No", "no", "否", "没有"),
            *("No, it is not normal", "Normal", "I cannot determine the answer"),
        ),
    ),
    "number": (
        {"answer_type": "number", "gold": "3"},
        ("3", "3.0", "3 lesions", "three", "三个", "4", "-3", "two", "3 or 4", "many"),
    ),
    "quantity": (
        {"answer_type": "number", "gold": "2.5 cm"},
        ("2.5 cm", "25 mm", "2.5", "3.5 cm", "2.5 kg", "2-3 cm"),
    ),
    "open": (
        {"answer_type": "open", "gold": "left lung"},
        ("left lung", "Left lung", "The left lung", "right lung", "I'm sorry"),
    ),
    "open_zh": ({"answer_type": "open", "gold": "MRI"}, ("MRI", "核磁共振", "CT")),
    "box": (
        {"answer_type": "box", "gold": "[10, 20, 30, 40]"},
        ("[10, 20, 30, 40]", "(10, 20), (30, 40)", "[50, 60, 70, 80]", "nowhere"),
    ),
    "report": (
        {"answer_type": "report", "gold": "Findings: clear lungs."},
        ("Findings: clear lungs.", "findings: clear lungs", "Findings: opacity."),
    ),
}
MARKS = (
    *("{}", "**{}**", "*{}*", "__{}__", "_{}_", "`{}`", '"{}"', "“{}”", "'{}'", "({})", "[{}]"),
    *("{}.", "{}!", "{}。", "**{}.**", " {} ", "\u200b{}\ufeff", "${}$", "<b>{}</b>"),
    *("\\text{{{}}}", "\\textbf{{{}}}", "\\mathrm{{{}}}", "(**{}**)", "**({})**", "{}\n"),
)
CONTAINERS = (
    *("{}", "\\boxed{{{}}}", "$\\boxed{{{}}}$", "\\[\\boxed{{{}}}\\]", "\\boxed{{\\text{{{}}}}}"),
    *("<answer>{}</answer>", "<answer>\n{}\n</answer>", "<ANSWER>{}</ANSWER>"),
    *("<answer>\\boxed{{{}}}</answer>", "<answer>**{}**</answer>"),
    *("Answer: {}", "**Answer:** {}", "**Answer**: {}", "### Answer\n{}", "### Answer: {}"),
    *("Final answer: {}", "Final Answer: **{}**", "The answer is {}", "The answer is: {}"),
    *("The final answer is {}.", "The correct answer is {}.", "**Answer**\n\n{}"),
    *("答案：{}", "答案是{}", "正确答案是：{}", "正确答案为{}", "最终答案\n{}"),
    *("```\n{}\n```", "```text\n{}\n```", "Answer:\n```\n{}\n```", "- {}", "> {}", "• {}"),
    *('{{"answer": "{}"}}', '{{\n  "answer_choice": "{}"\n}}', "{{'answer': {}}}"),
)
AROUND = (
    *("{}", "\n\n{}\n\n", "\ufeff{}", "{}</s>", "{}<|im_end|>\n"),
    "<think>A or B? yes, no, 3 cats, left lung, [1, 2, 3, 4]</think>{}",
    "<think>\nThe answer is C.\n</think>\n\n{}",
    "maybe A, no\n</think>\n{}",
    "<thinking>\n\\boxed{{D}} <answer>A</answer></thinking>\n{}",
    "<Reasoning>x < y</Reasoning> {}",
)


def full_width(text):
    """Each visible ASCII character in its full-width form."""
    return "".join(chr(ord(c) + 0xFEE0) if 0x21 <= ord(c) <= 0x7E else c for c in text)


def forms(core, *, picks, rng):
    """Every single form of an answer, and so many mixtures of three as `picks` says."""
    for mark in MARKS:
        yield mark.format(core)
    for container in CONTAINERS:
        yield container.format(core)
    for around in AROUND:
        yield around.format(core)
    yield full_width(core)
    for _ in range(picks):
        inner = full_width(core) if rng.random() < 0.2 else core
        marked = rng.choice(MARKS).format(inner)
        yield rng.choice(AROUND).format(rng.choice(CONTAINERS).format(marked))


@pytest.mark.parametrize("kind", KINDS)
def test_the_form_of_an_answer_does_not_change_its_verdict(kind):
    asked, cores = KINDS[kind]
    rng = random.Random(0)
    verdicts = set()
    for core in cores:
        wanted = answers.judge(core, **asked)
        verdicts.add(wanted.correct)
        for text in forms(core, picks=200, rng=rng):
            assert answers.judge(text, **asked) == wanted, (core, text)
    assert verdicts == {True, False}


def test_every_mixture_of_forms_of_one_answer():
    asked = KINDS["choice"][0]
    for core in ("B", "A"):
        wanted = answers.judge(core, **asked)
        for mark, container, around in itertools.product(MARKS, CONTAINERS, AROUND):
            text = around.format(container.format(mark.format(core)))
            assert answers.judge(text, **asked) == wanted, text


def test_a_reader_that_form_misleads_is_found_out():
    choices = tuple(f"{letter}. {text}" for letter, text in zip("ABCD", OPTIONS, strict=True))
    found = {
        compat.judge_choice(text, compat.Item("B", choices)).correct
        for text in forms("B", picks=0, rng=random.Random(0))
    }
    assert found == {True, False}


def test_letters_before_text_and_reasons_behind_it():
    asked = KINDS["choice"][0]
    tails = ("{}. {}", "{}) {}", "({}) {}", "{}: {}", "**{}.** {}", "{}. {}\n\nIt is typical.")
    for letter, text in zip("ABCD", OPTIONS, strict=True):
        wanted = answers.judge(letter, **asked)
        for form in tails:
            assert answers.judge(form.format(letter, text), **asked) == wanted, form
        for reason in ("{}, because of the cough.", "{}\n\nThe cough says so.", "Option {}"):
            assert answers.judge(reason.format(letter), **asked) == wanted, reason


@pytest.mark.parametrize(
    ("response", "answer_type", "value"),
    [
        ("- 3", "number", 3.0),
        ("__-3__", "number", -3.0),
        ("x_3", "number", None),
        ("> 5 mm", "open", "> 5 mm"),  # more than, not a quotation
        ("- left lung", "open", "left lung"),
        ("```B\n```", "choice", "B"),
        ("I choose 'B'", "choice", "B"),
        ("I choose 'A, C'", "choices", "AC"),
        ("Kernig's", "choice", None),
        ("Pneumonia and aortic dissection", "choices", "AB"),
        ("Pneumonia without aortic dissection", "choices", None),
        ("The answer key has answers", "yes_no", None),
        ("Answer\nNo", "yes_no", "no"),
        ("[(10, 20), (30, 40)]", "box", "[[10.0, 20.0, 30.0, 40.0]]"),
        ("[(10, 20), (30, 40), 5]", "box", None),
    ],
)
def test_marks_that_look_like_form(response, answer_type, value):
    options = OPTIONS if answer_type in ("choice", "choices") else ()
    assert answers.extract(response, answer_type=answer_type, options=options).value == value
