# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Alarms ring in constructed bad runs, and in no good one."""

import dataclasses

import numpy as np
import pytest

from lingshu_jax.common import errors
from lingshu_jax.engines import protocol
from lingshu_jax.rl import config_monitors, monitors, questions, rewards, rollout
from tests import small

SETTINGS = config_monitors.MonitorConfig(patience=3, baseline_steps=4)
GOOD = {"length/mean": 100.0, "entropy": 0.6, "logprob_gap/mean": 0.01}
GOOD |= {"importance/effective_share": 0.99}
PROMPT = questions.Prompt(
    id="q",
    messages=(),
    question=rewards.Question(text="?", gold="yes", answer_type="yes_no"),
    encoded=small.sequence(np.random.default_rng(0)),
)


def completion(tokens, finish_reason="stop"):
    return protocol.Completion(
        text="", tokens=tuple(tokens), logprobs=(0.0,) * len(tokens), finish_reason=finish_reason
    )


def group(*, rows, form=1.0, accuracy=1.0, finish_reason="stop"):
    terms = {"format": form, "accuracy": accuracy}
    reward = rewards.Reward(0.5 * form + accuracy, terms, "ok", None)
    return rollout.Group(PROMPT, [completion(r, finish_reason) for r in rows], [reward] * len(rows))


def different(count=4, length=40):
    """Completions in which nothing comes twice."""
    return [range(1000 * i, 1000 * i + length) for i in range(count)]


def looping(count=4):
    """Completions that end in a loop, each in one of its own."""
    return [[*range(1000 * i, 1000 * i + 20), *[7000 + i, 8000 + i] * 20] for i in range(count)]


HEALTHY = [group(rows=different())]


def run(steps, settings=SETTINGS):
    """Alarms that are up at the end, and the monitors; steps are (groups, scalars)."""
    watched = monitors.Monitors(settings)
    row = {}
    for step, (groups, scalars) in enumerate(steps, start=1):
        row = watched.observe(step, groups, scalars)
    names = {name.removeprefix("alarm/") for name, on in row.items() if on and "alarm/" in name}
    return names, watched


def after_a_good_start(groups=HEALTHY, *, times=3, **scalars):
    bad = {name.replace("__", "/"): value for name, value in scalars.items()}
    return [(HEALTHY, GOOD)] * 6 + [(groups, GOOD | bad)] * times


BAD = {
    "form_one_and_accuracy_zero": (
        [([group(rows=different(), accuracy=0.0)], GOOD)] * 3,
        {"format_without_accuracy"},
    ),
    "half_of_the_accuracy_gone": (
        after_a_good_start([group(rows=different(), accuracy=0.4)]),
        {"format_without_accuracy"},
    ),
    "longer_and_longer": (after_a_good_start(length__mean=301.0), {"length_drift"}),
    "shorter_and_shorter": (after_a_good_start(length__mean=33.0), {"length_drift"}),
    "everything_cut_off": (
        after_a_good_start([group(rows=different(), finish_reason="length")]),
        {"length_drift"},
    ),
    "loops": ([([group(rows=looping())], GOOD)] * 3, {"repetition"}),
    "all_the_same": ([([group(rows=[range(40)] * 4)], GOOD)] * 3, {"duplicates"}),
    "entropy_gone": (after_a_good_start(entropy=0.05), {"entropy_collapse"}),
    "entropy_up": (after_a_good_start(entropy=1.9), {"entropy_explosion"}),
    "sampler_and_learner_differ": (
        [(HEALTHY, GOOD | {"logprob_gap/mean": 0.06})] * 3,
        {"ratio_gap"},
    ),
    "few_samples_count": (
        [(HEALTHY, GOOD | {"importance/effective_share": 0.4})] * 3,
        {"ratio_gap"},
    ),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD.keys())
def test_a_bad_run_is_named(case):
    steps, names = case
    assert run(steps)[0] == names
    # The twin: one step less is not patience enough.
    assert run(steps[:-1])[0] == set()


def test_every_alarm_has_a_bad_run():
    assert set().union(*(names for _, names in BAD.values())) == set(config_monitors.ALARMS)


GOOD_RUNS = {
    "same": after_a_good_start(times=30),
    "form_is_not_learned_yet": [([group(rows=different(), form=0.2, accuracy=0.0)], GOOD)] * 30,
    "half_the_length": after_a_good_start(length__mean=50.0, times=30),
    "entropy_falls_to_a_fifth": after_a_good_start(entropy=0.12, times=30),
    "short_equal_answers": [
        ([group(rows=[*different(3, 4), *different(1, 4)])], GOOD),
    ]
    * 30,
    "other_terms": [
        (
            [rollout.Group(PROMPT, [completion(range(9))], [rewards.Reward(1.0, {}, "ok", None)])],
            GOOD,
        )
    ]
    * 30,
}


@pytest.mark.parametrize("steps", GOOD_RUNS.values(), ids=GOOD_RUNS.keys())
def test_a_good_run_is_quiet(steps):
    assert run(steps)[0] == set()


def test_an_alarm_goes_down_with_the_first_good_step():
    steps = after_a_good_start(entropy=0.01, times=5)
    assert run(steps)[0] == {"entropy_collapse"}
    assert run([*steps, (HEALTHY, GOOD)])[0] == set()


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_what_is_no_number_says_nothing(value):
    steps = after_a_good_start(entropy=0.01, times=2)
    unknown = [(HEALTHY, GOOD | {"entropy": value})] * 5
    assert run([*steps, *unknown])[0] == set()
    assert run([*steps, *unknown, steps[-1]])[0] == {"entropy_collapse"}
    assert run([(HEALTHY, GOOD | {"entropy": value})] * 4 + after_a_good_start())[0] == set()


def test_an_update_without_a_token_says_nothing_of_tokens():
    empty = {"entropy": 0.0, "logprob_gap/mean": 0.0, "importance/effective_share": 0.0}
    filtered = (HEALTHY, {"length/mean": 100.0, "importance/mean": 0.0, **empty})
    assert run([*after_a_good_start(), *[filtered] * 5])[0] == set()
    # The twin: were there tokens, both alarms would ring.
    real = (HEALTHY, {**filtered[1], "importance/mean": 0.1})
    assert run([*after_a_good_start(), *[real] * 5])[0] == {"entropy_collapse", "ratio_gap"}


def test_no_bound_no_alarm():
    settings = dataclasses.replace(SETTINGS, max_repetition=None)
    steps = [([group(rows=looping())], GOOD)] * 3
    row = monitors.Monitors(settings).observe(1, *steps[0])
    assert "alarm/repetition" not in row and row["monitor/repetition"] == 1.0
    assert run(steps, settings)[0] == set()


def test_the_run_ends_for_the_alarms_that_are_asked_for():
    steps = after_a_good_start(entropy=0.01)
    assert run(steps)[1].stop_reason is None
    other = dataclasses.replace(SETTINGS, stop_on=("ratio_gap",))
    assert run(steps, other)[1].stop_reason is None
    asked = dataclasses.replace(SETTINGS, stop_on=("ratio_gap", "entropy_collapse"))
    assert run(steps[:-1], asked)[1].stop_reason is None
    assert run(steps, asked)[1].stop_reason == (
        "alarm entropy_collapse (entropy 0.01 is below 0.06, baseline 0.6, 3 steps in a row)"
    )


def random_steps(count=60):
    rng = np.random.default_rng(1)
    for _ in range(count):
        groups = [group(rows=different(), accuracy=rng.uniform())]
        scalars = GOOD | {
            "entropy": rng.choice([0.01, 0.6]),
            "length/mean": rng.choice([9.0, 99.0]),
        }
        yield groups, {name: float(value) for name, value in scalars.items()}


@pytest.mark.parametrize("cut", [2, 5, 17, 41])
def test_a_continued_run_raises_the_same_alarms(cut):
    steps = [*random_steps()]
    whole, rows = monitors.Monitors(SETTINGS), []
    for step, (groups, scalars) in enumerate(steps, start=1):
        rows.append({"step": step, **scalars, **whole.observe(step, groups, scalars)})
    assert len({tuple(row.values())[-len(config_monitors.ALARMS) :] for row in rows}) > 2
    continued = monitors.Monitors(SETTINGS)
    continued.restore(rows[:cut])
    for row, (groups, scalars) in zip(rows[cut:], steps[cut:], strict=True):
        found = continued.observe(row["step"], groups, scalars)
        assert found == {name: row[name] for name in found}


def test_without_the_rows_before_there_is_no_baseline():
    steps = after_a_good_start(entropy=0.01)
    rows = [{"step": step, **scalars} for step, (_, scalars) in enumerate(steps, start=1)]
    for known, is_raised in ((rows[:8], 1.0), (rows[6:8], 0.0)):
        continued = monitors.Monitors(SETTINGS)
        continued.restore(known)
        assert continued.observe(9, *steps[8])["alarm/entropy_collapse"] == is_raised


def test_the_updates_of_a_rollout_batch_are_measured_once(monkeypatch):
    watched = monitors.Monitors(SETTINGS)
    first = watched.observe(1, HEALTHY, GOOD)
    monkeypatch.setattr(monitors, "repeated_share", None)
    assert watched.observe(2, HEALTHY, GOOD) == first


def test_repetition_by_hand():
    assert monitors.repeated_share(range(100)) == 0.0
    assert monitors.repeated_share([1, 2]) == 0.0
    assert monitors.repeated_share([5] * 27) == pytest.approx(19 / 20)
    # 33 runs; of the second ten tokens, three runs were there before.
    assert monitors.repeated_share([*range(10), *range(10), *range(50, 70)]) == pytest.approx(
        3 / 33
    )


def test_duplicates_by_hand():
    rows = [range(9), range(9), range(8), range(7)]
    measures = monitors.measure([group(rows=rows), group(rows=different())], SETTINGS)
    assert measures["monitor/duplicates"] == pytest.approx(1 / 6)


WRONG = {
    "patience": 0,
    "max_repetition": 1.5,
    "length_factor": 1.0,
    "max_logprob_gap": 0.0,
    "stop_on": ("entropy",),
}


@pytest.mark.parametrize(("name", "value"), WRONG.items(), ids=WRONG.keys())
def test_settings_that_make_no_sense(name, value):
    with pytest.raises(errors.UserError, match=f"rl.monitors.{name}"):
        config_monitors.MonitorConfig(**{name: value}).validate()
