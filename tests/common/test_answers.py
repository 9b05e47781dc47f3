# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import time

import pytest

from lingshu_jax.common import answers, answers_text, errors

OPTIONS = ("Pneumothorax", "Pleural effusion", "Effusion with a fluid level", "Normal chest")

# Dressings that change the form of an answer and not what it says.
DRESSINGS = (
    "{}",
    "  {}\n",
    "{}.",
    "**{}**",
    "`{}`",
    '"{}"',
    "({})",
    "<b>{}</b>",
    "\u200b{}\ufeff",
    "<answer>{}</answer>",
    "<answer>\n**{}**\n</answer>",
    "\\boxed{{{}}}",
    "$\\boxed{{\\text{{{}}}}}$",
    "Answer: {}",
    "**Answer:** {}",
    "The answer is {}.",
    "Final answer:\n{}",
    "答案：{}",
    "<think>Perhaps A, no, yes, 7.</think>{}",
    "<think>a</think>\n<answer>{}</answer>",
    "It might be A, no, 7.</THINK>\n{}",
    "<answer>A</answer> on reflection <answer>{}</answer>",
    "\\boxed{{A}}, rather \\boxed{{{}}}",
)


@pytest.mark.parametrize("dressing", DRESSINGS)
@pytest.mark.parametrize(
    ("answer_type", "answer", "value"),
    [
        ("choice", "B", "B"),
        ("choice", "Pleural effusion", "B"),
        ("yes_no", "yes", "yes"),
        ("yes_no", "No", "no"),
        ("number", "2.5", 2.5),
        ("open", "left lung", "left lung"),
    ],
)
def test_dressing_never_changes_the_value(dressing, answer_type, answer, value):
    found = answers.extract(dressing.format(answer), answer_type=answer_type, options=OPTIONS)
    assert found == answers_text.Extraction("ok", value)


@pytest.mark.parametrize("answer_type", answers.ANSWER_TYPES)
@pytest.mark.parametrize(
    ("response", "finish_reason", "status"),
    [
        pytest.param(None, "stop", "empty", id="none"),
        pytest.param(" \u200b\n", "length", "empty", id="blank"),
        pytest.param("<think>B, yes, 2</think> ", "stop", "empty", id="only-reasoning"),
        pytest.param("<think>so B", "stop", "truncated", id="open-reasoning"),
        pytest.param("B yes 2 <Thinking>so", "stop", "truncated", id="answer-before-reasoning"),
        pytest.param("<think>a</think><think>B", "stop", "truncated", id="second-thought"),
        pytest.param("Yes, 2, B", "length", "truncated", id="cut-off"),
        pytest.param("I'm sorry, but I cannot answer that.", "stop", "refusal", id="sorry"),
        pytest.param("As an AI, this cannot be determined", "stop", "refusal", id="ai"),
        pytest.param("无法判断。", "stop", "refusal", id="refusal-zh"),
    ],
)
def test_statuses_common_to_all_types(answer_type, response, finish_reason, status):
    found = answers.extract(
        response, answer_type=answer_type, options=OPTIONS, finish_reason=finish_reason
    )
    assert found == answers_text.Extraction(status)


@pytest.mark.parametrize("answer_type", answers.ANSWER_TYPES)
@pytest.mark.parametrize(
    "unit", ["<think>", "<answer>", "\\boxed{", "\\text{", "(", "not ", "十", "1/", "A B ", "<b "]
)
def test_long_repetitions_are_read_in_time(answer_type, unit):
    began = time.perf_counter()
    answers.extract(unit * 5000, answer_type=answer_type, options=OPTIONS)
    assert time.perf_counter() - began < 2.0


def test_cut_off_with_a_container_is_read():
    found = answers.extract(
        "<answer>B</answer> because", answer_type="choice", options=OPTIONS, finish_reason="length"
    )
    assert found == answers_text.Extraction("ok", "B")


def test_cut_off_with_a_useless_line_is_truncated():
    found = answers.extract(
        "B is likely. The answer is the one that",
        answer_type="choice",
        options=OPTIONS,
        finish_reason="length",
    )
    assert found.status == "truncated"


@pytest.mark.parametrize(
    ("answer_type", "response", "gold", "correct"),
    [
        ("yes_no", "Yes, there is a nodule", "yes", True),
        ("yes_no", "Yes, there is no doubt", "Yes", True),
        ("yes_no", "是", "包含", True),
        ("yes_no", "yes", "no", False),
        ("yes_no", "I cannot determine", "no", False),
        ("yes_no", "diagnosis: pneumonia", "no", False),
        ("choice", "B", "Pleural effusion", True),
        ("choice", "pleural effusion", "B", True),
        ("choice", "b) Pleural effusion", "b", True),
        ("choice", "A", "B", False),
        ("choice", "B. Pneumothorax", "B", False),
        ("choices", "C, A", "AC", True),
        ("choices", "A", "AC", False),
        ("number", "25 mm", "2.5 cm", True),
        ("number", "25", "2.5 cm", False),
        ("number", "0.5", "50%", True),
        ("number", "50", "50%", True),
        ("number", "3", "2", False),
        ("number", "2 or 3", "2", False),
        ("number", "2-3 cm", "20 to 30 mm", True),
        ("number", "2 cm", "2 kg", False),
        ("number", "about 2.51", "2.5", True),
        ("open", "The Left Lung.", "left lung", True),
        ("open", "MR", "核磁共振", True),
        ("open", "spleen and liver", "liver, spleen", True),
        ("open", "liver", "liver, spleen", False),
        ("open", "right lung", "left lung", False),
    ],
)
def test_judge(answer_type, response, gold, correct):
    verdict = answers.judge(response, gold=gold, answer_type=answer_type, options=OPTIONS)
    assert verdict.correct is correct


def test_options_of_equal_text_are_one_answer():
    options = ("Left", "Right", "left ")
    assert answers.judge("C", gold="A", answer_type="choice", options=options).correct
    assert not answers.judge("B", gold="A", answer_type="choice", options=options).correct


@pytest.mark.parametrize(
    ("gold", "answer_type", "options"),
    [
        ("E", "choice", OPTIONS),
        ("fracture", "choice", OPTIONS),
        ("perhaps", "yes_no", ()),
        ("many", "number", ()),
        ("A", "choice", ()),
        ("A", "essay", ()),
        (" .", "open", ()),
    ],
)
def test_gold_that_does_not_fit_its_type_is_named(gold, answer_type, options):
    with pytest.raises(errors.UserError, match="gold answer|options|answer_type"):
        answers.check_gold(gold, answer_type=answer_type, options=options)


@pytest.mark.parametrize(
    "text",
    [
        "<think>a</think><answer>b</answer>",
        " <think>\na\n</think>\n\n<answer> b </answer>\n",
        "<think>a</think><answer>b</answer>\n\n",
    ],
)
def test_think_answer(text):
    assert answers.parse_think_answer(text) == answers.ThinkAnswer("a", "b")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "b",
        "<answer>b</answer>",
        "<think>a</think>",
        "<answer>b</answer><think>a</think>",
        "x <think>a</think><answer>b</answer>",
        "<think>a</think> so <answer>b</answer>",
        "<think>a</think><answer>b</answer> done",
        "<think>a</think><answer>b</answer><answer>b</answer>",
        "<think>a</think><think>a</think><answer>b</answer>",
        "<think>a <answer>b</answer></think><answer>b</answer>",
        "<think>a<answer>b</think></answer>",
        "<think><think>a</think></think><answer>b</answer>",
        "<THINK>a</THINK><answer>b</answer>",
        "<think>a</think><answer>b",
        "<think>a</think><answer>b <Answer>c</Answer></answer>",
        "<think>a</think><answer>b \uff1canswer\uff1ec\uff1c/answer\uff1e</answer>",
        "<think>a</think><answer>&lt;answer&gt;b&lt;/answer&gt;</answer>",
        "<think>a</think><answer>b<ans\u200bwer></answer>",
        "<think>a</think><answer><thought>a</thought>b</answer>",
        "<think>a</think><answer>a\u202eb</answer>",
        "<think>a</think><answer>b<|im_end|></answer>",
        "<think>a</think><answer>b<script>c</script></answer>",
    ],
)
def test_any_other_form_is_refused(text):
    assert answers.parse_think_answer(text) is None


@pytest.mark.parametrize(
    ("think", "answer"),
    [
        ("x < 5 and y > 3 <b>", "<b>B</b>"),
        ("a", "<|box_start|>(1,2),(3,4)<|box_end|>"),
        ("a", "<5"),
    ],
)
def test_what_a_form_may_hold(think, answer):
    text = f"<think>{think}</think><answer>{answer}</answer>"
    assert answers.parse_think_answer(text) == answers.ThinkAnswer(think, answer)


@pytest.mark.parametrize(
    ("gold", "options", "answer_type"),
    [
        ("B", OPTIONS, "choice"),
        ("Normal chest", OPTIONS, "choice"),
        ("AC", OPTIONS, "choices"),
        ("Yes", (), "yes_no"),
        ("5 mm", (), "number"),
        ("[1, 2, 3, 4]", (), "box"),
        ("left lung", (), "open"),
    ],
)
def test_infer_type(gold, options, answer_type):
    assert answers.infer_type(gold, options) == answer_type
    answers.check_gold(gold, answer_type=answer_type, options=options)
