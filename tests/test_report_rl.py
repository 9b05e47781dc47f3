# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Alarms and rollouts, as the page of a run of stage 4 shows them."""

import dataclasses
import json

import pytest

from lingshu_jax import report, report_rl, report_run
from lingshu_jax.rl import config_monitors
from tests import report_folders


@pytest.fixture
def workdir(tmp_path):
    data = report_folders.write_data(tmp_path / "data")
    return report_folders.write_rl(tmp_path / "stage4_rl", data)


@pytest.fixture
def run(workdir):
    return report_run.read(workdir)


def with_alarm(run, values):
    rows = [{"step": 10 * at, "alarm/x": value} for at, value in enumerate(values, start=1)]
    return report_rl.alarms(dataclasses.replace(run, rows=rows))


def test_when_an_alarm_was_up(run):
    (alarm,) = with_alarm(run, [0.0, 1.0, 1.0, 0.0, None, 1.0, 0.0])
    assert alarm == report_rl.Alarm("x", "", 20, 60, 2, 3, False)
    (alarm,) = with_alarm(run, [1.0, None])
    assert (alarm.first, alarm.times, alarm.rows, alarm.is_up) == (10, 1, 1, True)
    (alarm,) = with_alarm(run, [0.0, 0.0])
    assert (alarm.first, alarm.times, alarm.rows, alarm.is_up) == (None, 0, 0, False)


def test_raised_alarms_come_first(run):
    rows = [{"step": 1, "alarm/a": 0.0, "alarm/b": 0.0, "alarm/c": 1.0}]
    rows.append({"step": 2, "alarm/a": 0.0, "alarm/b": 1.0, "alarm/c": 0.0})
    found = report_rl.alarms(dataclasses.replace(run, rows=rows))
    assert [alarm.name for alarm in found] == ["c", "b", "a"]
    assert report_rl.alarms(dataclasses.replace(run, rows=[{"step": 1}])) == []


def test_every_alarm_has_a_meaning():
    assert set(report_rl.MEANINGS) == set(config_monitors.ALARMS)


def test_equal_rollouts_are_counted_and_none_is_lost(run):
    shown = report_rl.rollouts(run)
    assert list(shown) == [1, 4]
    for question in shown[1]:
        assert sum(c["count"] for c in question.completions) + question.hidden == 4
        rewards = [c["reward"] for c in question.completions]
        assert rewards == sorted(rewards, reverse=True)


def write_step(workdir, step, rewards):
    """A rollout file: question -> the rewards of its completions, each of another text."""
    rows = []
    for name, earned in rewards.items():
        for sample, reward in enumerate(earned):
            rows.append(
                {"step": step, "id": name, "sample": sample, "question": name, "gold": "g"}
                | {"answer_type": "open", "completion": f"{name} {sample}", "tokens": 1}
                | {"finish_reason": "length", "rewards": {"mine": reward}, "reward": reward}
                | {"status": "ok", "parsed": None, "advantage": 0.0, "images": []}
            )
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (workdir / "rollouts" / f"{step:06d}.jsonl").write_text(text)


@pytest.mark.parametrize(
    ("count", "steps"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (6, [1, 3, 6])]
)
def test_first_middle_and_last_batch_are_shown(workdir, count, steps):
    for path in (workdir / "rollouts").iterdir():
        path.unlink()
    for step in range(1, count + 1):
        write_step(workdir, step, {"q": [1.0]})
    assert list(report_rl.rollouts(report_run.read(workdir))) == steps


def test_contrasts_best_and_worst_are_shown(workdir):
    flat = {f"flat{i}": [i / 10] * 8 for i in range(5)}
    steep = {f"steep{i}": [0.0] * 4 + [1.0 + i] * 4 for i in range(5)}
    write_step(workdir, 4, {**flat, **steep})
    asked = report_rl.rollouts(report_run.read(workdir))[4]
    assert [(question.row["id"], question.why) for question in asked] == [
        *((f"steep{i}", "answers earn differently") for i in (4, 3, 2)),
        ("flat0", "earns least"),
        ("steep1", "earns most"),
    ]
    rewards = [[c["reward"] for c in question.completions] for question in asked]
    assert rewards[0] == [5.0] * 3 + [0.0] * 2 and asked[0].hidden == 3
    assert asked[0].accuracy is None


def test_long_completions_are_folded_and_cut_ones_named(workdir):
    write_step(workdir, 4, {"q": [1.0]})
    path = workdir / "rollouts" / "000004.jsonl"
    row = json.loads(path.read_text())
    path.write_text(
        json.dumps({**row, "completion": "word " * 200 + "end", "left_out": True}) + "\n"
    )
    page = report.write_run_page(workdir).read_text()
    assert "<details><summary>word word" in page and "(1,003 characters)</summary>word" in page
    assert "cut off" in page and "not learned from" in page
    path.write_text(json.dumps({**row, "completion": "word " * 60}) + "\n")
    page = report.write_run_page(workdir).read_text()
    assert "<summary>word" not in page and "word word" in page
