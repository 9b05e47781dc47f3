# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What completions earn."""

import pytest

from lingshu_jax.common import errors
from lingshu_jax.rl import config_reward, rewards

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
    "empty_thought": ("<think> </think> <answer>yes</answer>", 0.0, 0.0),
    "yes_and_no": ("<think>a</think> <answer>yes and no</answer>", 0.5, 0.0),
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


ORGAN = rewards.Question(
    text="Which organ?", gold="left kidney", answer_type="open", aliases=("left nephros",)
)
BOX = rewards.Question(text="Where?", gold="[0, 0, 10, 10]", answer_type="box")
REPORT = rewards.Question(
    text="Findings?", gold="The heart is normal. The lungs are clear.", answer_type="report"
)


def accuracy(answer, question, **settings):
    reward = rewards.make(config_reward.RewardConfig(**settings))
    return earn(f"<think>x</think> <answer>{answer}</answer>", question, reward).terms["accuracy"]


def test_open_answers_match_exactly_or_by_token_f1():
    assert accuracy("The left kidney.", ORGAN) == 1.0
    assert accuracy("left nephros", ORGAN) == 1.0
    assert accuracy("kidney", ORGAN) == 0.0
    assert accuracy("kidney", ORGAN, open_match="f1") == pytest.approx(2 / 3)
    assert accuracy("kidney", ORGAN, open_match="f1", f1_threshold=0.6) == 1.0
    assert accuracy("kidney", ORGAN, open_match="f1", f1_threshold=0.7) == 0.0
    assert accuracy("perhaps the kidney", ORGAN, open_match="f1") == 0.0
    assert accuracy("I cannot answer: kidney", ORGAN, open_match="f1") == 0.0


def test_boxes_earn_their_overlap():
    assert accuracy("[0, 0, 10, 10]", BOX) == 1.0
    assert accuracy("[0, 0, 10, 8]", BOX) == pytest.approx(0.8)
    assert accuracy("[0, 0, 10, 4]", BOX) == 0.0
    assert accuracy("[0, 0, 10, 4]", BOX, box_min_iou=0.0) == pytest.approx(0.4)
    assert accuracy("[0, 0, 10, 10], [0, 0, 5, 5]", BOX) == pytest.approx(0.5)
    assert accuracy("[10, 10, 0, 0]", BOX, box_min_iou=0.0) == 0.0


def test_reports_earn_the_mean_of_their_metrics():
    half = "The heart is normal."
    rouge, f1 = (accuracy(half, REPORT, report_metrics=(m,)) for m in ("rouge_l", "token_f1"))
    both = accuracy(half, REPORT, report_metrics=("rouge_l", "token_f1"))
    assert 0 < rouge < 1
    assert both == pytest.approx((rouge + f1) / 2)


def test_the_gate_pays_the_form_as_far_as_the_answer_is_right():
    gated = rewards.make(config_reward.RewardConfig(format_needs_answer=True))
    text = "<think>x</think> <answer>[0, 0, 10, 8]</answer>"
    assert earn(text, BOX, gated).total == pytest.approx(1.5 * 0.8)


def test_many_earn_what_each_earns():
    asked = [rewards.Asked(completion, YES, "stop") for completion, *_ in CASES.values()]
    assert rewards.earn(PAPER, asked) == [earn(one.completion) for one in asked]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"format_weight": -1.0}, "config.rl.reward.format_weight must be >= 0, got -1.0"),
        ({"accuracy_weight": float("nan")}, "accuracy_weight must be >= 0, got nan"),
        ({"open_match": "near"}, "open_match must be one of"),
        ({"f1_threshold": 1.5}, "f1_threshold must be in [0, 1], got 1.5"),
        ({"f1_threshold": 0.5}, "f1_threshold must be 0 where open_match is not 'f1'"),
        ({"box_min_iou": -0.1}, "box_min_iou must be in [0, 1]"),
        ({"report_metrics": ()}, "report_metrics must be one or more of"),
        ({"report_metrics": ("meteor",)}, "report_metrics must be one or more of"),
        ({"judge": config_reward.JudgeConfig(weight=-1.0)}, "judge.weight must be >= 0"),
        ({"judge": config_reward.JudgeConfig(max_new_tokens=0)}, "judge.max_new_tokens must"),
        ({"judge": config_reward.JudgeConfig(timeout_seconds=0.0)}, "timeout_seconds must be > 0"),
        (
            {"function": "a.py:b", "judge": config_reward.JudgeConfig(model="m")},
            "judge.model must be '' beside a function of your own",
        ),
    ],
)
def test_settings_out_of_range_are_named(settings, said):
    with pytest.raises(errors.UserError) as raised:
        config = config_reward.RewardConfig()
        for name, value in settings.items():
            setattr(config, name, value)
        config.validate()
    assert said in str(raised.value)


def test_the_default_settings_are_the_papers():
    config = config_reward.RewardConfig()
    config.validate()
    assert rewards.make(config) == PAPER


@pytest.mark.parametrize(
    ("given", "aliases"),
    [(None, ()), ("a", ("a",)), (["a", " ", "b"], ("a", "b")), (("a",), ("a",))],
)
def test_aliases(given, aliases):
    assert rewards.read_aliases(given) == aliases


def test_aliases_of_another_type_are_refused():
    with pytest.raises(errors.UserError, match="aliases must be a list of texts"):
        rewards.read_aliases({"a": 1})
