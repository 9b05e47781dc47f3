# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What completions earn."""

import pytest

from lingshu_jax.rl import rewards

YES = rewards.Question(text="Is there a mass?", gold="yes", answer_type="yes_no")
SIDE = rewards.Question(
    text="Which side?\nA. left\nB. right",
    gold="right",
    answer_type="choice",
    options=("left", "right"),
)
PAPER = rewards.FormatAccuracy()
GATED = rewards.FormatAccuracy(format_needs_answer=True)


def earn(completion, question=YES, reward=PAPER, finish_reason="stop"):
    return reward(completion, question, finish_reason=finish_reason)


CASES = {
    # name: (completion, paper's total, gated total)
    "right": ("<think>dense</think> <answer>yes</answer>", 1.5, 1.5),
    "right_over_lines": ("<think>a\nb</think>\n<answer>\nYes.\n</answer>\n", 1.5, 1.5),
    "wrong": ("<think>dense</think> <answer>no</answer>", 0.5, 0.0),
    "hedged": ("<think>dense</think> <answer>yes or no</answer>", 0.5, 0.0),
    "refusing": ("<think>dense</think> <answer>I cannot tell</answer>", 0.5, 0.0),
    "thought_is_no_answer": ("<think>yes</think> <answer>no</answer>", 0.5, 0.0),
    "bare": ("yes", 0.0, 0.0),
    "no_thought": ("<answer>yes</answer>", 0.0, 0.0),
    "answer_first": ("<answer>yes</answer> <think>dense</think>", 0.0, 0.0),
    "two_answers": ("<think>a</think> <answer>no</answer> <answer>yes</answer>", 0.0, 0.0),
    "text_after": ("<think>a</think> <answer>yes</answer> indeed", 0.0, 0.0),
    "unclosed": ("<think>a</think> <answer>yes", 0.0, 0.0),
    "empty_answer": ("<think>yes</think> <answer> </answer>", 0.0, 0.0),
    "nothing": ("", 0.0, 0.0),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_totals(case):
    completion, paper, gated = case
    assert earn(completion).total == paper
    assert earn(completion, reward=GATED).total == gated


def test_terms_are_named_and_unweighted():
    reward = earn(
        "<think>x</think> <answer>no</answer>", reward=rewards.FormatAccuracy(format_weight=9.0)
    )
    assert reward.terms == {"format": 1.0, "accuracy": 0.0}
    assert reward.total == 9.0
    assert (reward.status, reward.parsed) == ("ok", "no")


def test_malformed_says_so():
    reward = earn("yes")
    assert (reward.status, reward.parsed) == (rewards.MALFORMED, None)


@pytest.mark.parametrize("answer", ["B", "right", "B. right", "\\boxed{B}"])
def test_choice_by_letter_or_text(answer):
    assert earn(f"<think>x</think> <answer>{answer}</answer>", SIDE).terms["accuracy"] == 1.0


def test_twin_other_option_earns_only_the_format():
    assert earn("<think>x</think> <answer>A. left</answer>", SIDE).total == 0.5


def test_a_complete_answer_at_the_length_limit_counts():
    done = earn("<think>x</think> <answer>yes</answer>", finish_reason="length")
    assert done.total == 1.5


def test_weights_can_be_changed():
    reward = rewards.FormatAccuracy(format_weight=0.1, accuracy_weight=0.9)
    assert earn("<think>x</think> <answer>yes</answer>", reward=reward).total == pytest.approx(1.0)
