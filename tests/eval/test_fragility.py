# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What the form of an answer does to a score: MedEvalKit's moves by up to 85 points, strict's not.

The figures are those of MedEvalKit's own functions at 9b12e3b, over the 1,273 questions of MedQA.
"""

import gzip
import json

import pytest

from lingshu_jax.common import answers, answers_choice
from lingshu_jax.eval import compat

RUN = "evaldata/medevalkit_fork_saitejalekkala33/textonly-medqa-usmle_MedQA-USMLE_results.json.gz"
# Form: % that compat counts as right where the letter is the gold, and where it is the next one.
NAMED = {
    "{x}": (100, 0),
    "{x}.": (100, 0),
    "{x}. {text}": (100, 0),
    "{x}) {text}": (100, 0),
    "({x}) {text}": (100, 0),
    "Answer: {x}": (100, 0),
    "The answer is {x}.": (100, 0),
    "\\boxed{{{x}}}": (100, 0),
    "<answer>{x}</answer>": (100, 0),
    "({x})": (48.9, 15.6),
    "**{x}**": (49.6, 15.1),
    "Answer: ({x})": (48.9, 15.6),
    "The correct option is {x}.": (16.5, 28.8),
    "Option {x}": (24.0, 25.1),
    "\\boxed{{\\text{{{x}}}}}": (13.3, 25.5),
    "{wide}": (27.7, 27.7),
    "答案：{x}": (49.6, 15.1),
}
# Here a score depends on the words; all that can be said is that it is far from both ends.
VAGUE = ("<think>It is a matter of thought.</think>{x}", "<think>\nfever\n</think>\n{x}")
UNNAMED = {
    "": ("empty", 27.7),
    "I'm sorry, but I can't provide medical advice.": ("refusal", 22.5),
}


@pytest.fixture(scope="module")
def questions(shared_dir):
    """Gold letter, options as shown, and their texts."""
    rows = json.loads(gzip.decompress((shared_dir / RUN).read_bytes()))
    shown = [(row["answer"], tuple(row["choices"])) for row in rows]
    assert len(shown) == 1273
    return [(gold, choices, answers_choice.without_letters(choices)) for gold, choices in shown]


def fill(form, letter, texts):
    """An answer of this form."""
    text = texts["ABCD".index(letter)]
    return form.format(x=letter, text=text, wide=chr(ord(letter) + 0xFEE0))


def following(letter):
    return "ABCD"["ABCD".index(letter) - 3]


def compat_shares(questions, form):
    """% right of gold letters and of the letters after them."""
    shares = []
    for choose in (str, following):
        verdicts = [
            compat.judge_choice(fill(form, choose(gold), texts), compat.Item(gold, choices))
            for gold, choices, texts in questions
        ]
        shares.append(100 * sum(bool(v.correct) for v in verdicts) / len(verdicts))
    return tuple(shares)


def strict_verdicts(questions, form, choose):
    return [
        answers.judge(
            fill(form, choose(gold), texts), gold=gold, answer_type="choice", options=texts
        )
        for gold, _, texts in questions
    ]


@pytest.mark.parametrize("form", NAMED)
def test_compat_moves_with_the_form_as_medevalkit_does(questions, form):
    assert compat_shares(questions, form) == pytest.approx(NAMED[form], abs=0.05)


@pytest.mark.parametrize("form", [*NAMED, *VAGUE, "{x}, because it is {text}"])
def test_strict_does_not_move_with_the_form(questions, form):
    questions = questions[:300]
    right = strict_verdicts(questions, form, str)
    assert {(v.correct, v.status) for v in right} == {(True, "ok")}
    wrong = strict_verdicts(questions, form, following)
    equal = [
        texts["ABCD".index(g)] == texts["ABCD".index(following(g))] for g, _, texts in questions
    ]
    assert [v.correct for v in wrong] == equal
    assert {v.status for v in wrong} == {"ok"}


@pytest.mark.parametrize("form", VAGUE)
def test_compat_guesses_behind_a_thought(questions, form):
    assert all(15 < share < 35 for share in compat_shares(questions, form))


@pytest.mark.parametrize("response", UNNAMED)
def test_who_never_answers_gets_chance_from_compat_and_nothing_from_strict(questions, response):
    status, share = UNNAMED[response]
    assert compat_shares(questions, response) == pytest.approx((share, share), abs=0.05)
    verdicts = strict_verdicts(questions[:300], response, str)
    assert {(v.correct, v.status, v.value) for v in verdicts} == {(False, status, None)}
