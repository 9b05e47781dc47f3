# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import pytest

from lingshu_jax.common import answers_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, ""),
        ("Ｂ：２．５", "B:2.5"),
        ("½", "1/2"),
        ("2½", "2 1/2"),
        ("cm²", "cm2"),
        ("a\u200bb\ufeff\u00ad\u2060", "ab"),
        ("‘x’ “y”", "'x' \"y\""),
        ("1–2 — −3 ‑", "1-2 - -3 -"),
        ("plain", "plain"),
    ],
)
def test_normalise(text, expected):
    assert answers_text.normalise(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no tags", "no tags"),
        ("<think>a</think>b", " b"),
        ("<Reasoning>a\nb</REASONING >c", " c"),
        ("<think>a<reasoning>b</reasoning></think>c", " c"),
        ("a</think>b</think>c", "c"),
        ("<think>a", None),
        ("b <thought>", None),
        ("<thinker>a", "<thinker>a"),
    ],
)
def test_strip_reasoning(text, expected):
    assert answers_text.strip_reasoning(text) == expected


@pytest.mark.parametrize(
    ("text", "expected", "kind"),
    [
        ("<answer>A</answer> <answer>B</answer>", "B", "tag"),
        ("<answer>B</answer> <answer> </answer>", "B", "tag"),
        ("<answer>so \\boxed{B}</answer>", "B", "tag"),
        ("<answer>B</answer> \\boxed{A}", "B", "tag"),
        ("<answer>A <answer>B</answer>", "B", "tag"),
        ("\\boxed{A} \\boxed{\\frac{1}{2}}", "1/2", "box"),
        ("\\boxed{A} \\boxed{}", "A", "box"),
        ("\\boxed{\\mathbf{\\text{B}}}", "B", "box"),
        ("\\boxed{\\{B\\}", "\\boxed{\\{B\\}", "whole"),
        ("\\boxed{\\boxed{B} or", "B", "box"),
        ("answer: A \\boxed{B", "A \\boxed{B", "line"),
        ("Answer: A\nFinal answer: B\nmore", "B", "line"),
        ("Answer: A\nAnswer:", "A", "line"),
        ("**Answer**:\n\n**B**", "B**", "line"),
        ("the best option is C", "C", "line"),
        ("正确答案为 B", "B", "line"),
        ("故选B", "B", "line"),
        ("选项B", "选项B", "whole"),
        ("answers vary", "answers vary", "whole"),
    ],
)
def test_find_container(text, expected, kind):
    assert answers_text.find_container(text) == answers_text.Container(expected, kind)


@pytest.mark.parametrize(
    "text",
    [
        "i'm unable to answer",
        "I can't see the image",
        "It cannot be determined.",
        "Sorry!",
        "We could not reliably determine this",
        "不能确定",
    ],
)
def test_refusals(text):
    assert answers_text.is_refusal(text)


@pytest.mark.parametrize(
    "text", ["unknown", "not sure", "maybe", "可能", "the mass cannot be seen", "the AI model"]
)
def test_hedges_are_no_refusals(text):
    assert not answers_text.is_refusal(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("B</s>", "B"),
        ("B <|im_end|>\n<|endoftext|> ", "B"),
        ("B<|eot_id|>", "B"),
        ("a </s> b", "a </s> b"),
        ("x < y", "x < y"),
        ("```\nB\n```", "\nB\n"),
        ("```text\nB\n```", "\nB\n"),
        ("```B```", "```B```"),
        ("```B\n```", "```B\n"),  # no kind of text: the answer
    ],
)
def test_what_stands_around_an_answer_goes(text, expected):
    assert answers_text.without_frame(text) == expected


def test_many_end_tokens_take_no_long_time():
    assert answers_text.without_frame("x" + "</s> " * 20_000) == "x"
    assert answers_text.without_frame("</s> " * 20_000 + "x").endswith("x")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- left", "left"),
        ("> > left", "left"),
        ("### left", "left"),
        ("- 3", "- 3"),
        ("> 5 mm", "> 5 mm"),
        ("-left", "-left"),
    ],
)
def test_a_bullet_in_front_goes_unless_of_a_number(text, expected):
    assert answers_text.without_lead(text) == expected


@pytest.mark.parametrize(
    ("text", "behind"),
    [
        ("### Answer\nB", "B"),
        ("**Answer**\n\nB", "B"),
        ("x\n最终答案\nB", "B"),
        ('{"answer": "B"}', '"B"}'),
        ('{"why": "x", "answer_choice": "B"}', '"B"}'),
        ("The best option is B", "B"),
    ],
)
def test_headings_and_keys_are_markers(text, behind):
    assert answers_text.find_container(text) == (behind, "line")


@pytest.mark.parametrize("text", ["The answer key", "Answers\nB", "an answer\nto B", "a choice: B"])
def test_words_that_only_look_like_a_marker(text):
    assert answers_text.find_container(text).kind == "whole"
