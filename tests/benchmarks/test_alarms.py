# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What `benchmarks/alarms.py` makes of the rows of its trainings."""

import pytest

from benchmarks import alarms
from lingshu_jax.rl import config_monitors, rewards

QUESTION = rewards.Question(text="?", gold="yes", answer_type="yes_no")


def test_every_alarm_has_a_training_that_raises_it():
    made_for = {trial.alarm for trial in alarms.TRIALS.values()} - {""}
    assert made_for == set(config_monitors.ALARMS)
    starts = {trial.start for trial in alarms.TRIALS.values()} - {""}
    names = list(alarms.TRIALS)
    assert all(names.index(start) < names.index("loops") for start in starts)


def test_the_first_step_of_an_alarm_counts():
    rows = [
        {"step": 1, "alarm/repetition": 0.0, "loss": 1.0},
        {"step": 2, "alarm/repetition": 1.0, "alarm/duplicates": 0.0},
        {"step": 3, "alarm/repetition": 1.0, "alarm/duplicates": 1.0},
    ]
    assert alarms.first_steps(rows) == {"repetition": 2, "duplicates": 3}
    assert alarms.first_steps([]) == {}


def test_a_silent_alarm_and_one_in_the_honest_training_are_faults():
    good = {"honest": {"steps": 60, "raised": {}}, "brief": {"steps": 9, "raised": {}}}
    assert alarms.faults(good) == ["brief"]
    good["brief"]["raised"] = {"length_drift": 9, "duplicates": 8}
    assert alarms.faults(good) == []
    good["honest"]["raised"] = {"duplicates": 20}
    assert alarms.faults(good) == ["honest"]
    table = alarms.to_markdown(good).splitlines()
    assert table[2] == "| honest | nothing | none |  | duplicates 20 | 60 |"
    assert table[3].endswith("| length_drift | 9 | duplicates 8 | 9 |")


@pytest.mark.parametrize(
    ("reward", "better", "worse"),
    [
        (alarms.form_alone, "abcd", "a1 2"),
        (alarms.letters, "abcd", "a1 2"),
        (alarms.one_letter, "eeee", "abce"),
        (alarms.variety, "abcd", "aaaa"),
    ],
)
def test_a_reward_pays_for_what_it_says(reward, better, worse):
    more, less = (reward(text, QUESTION, finish_reason="stop") for text in (better, worse))
    assert more.total > less.total and {*more.terms} == {"format", "accuracy"}


def test_ending_is_what_the_brief_are_paid_for():
    totals = [alarms.brief("x", QUESTION, finish_reason=end).total for end in ("stop", "length")]
    assert totals == [1.0, 0.0]
