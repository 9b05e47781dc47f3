# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What `benchmarks/rl_run.py` makes of the rows of its stages."""

import json

import pytest

from benchmarks import rl_run
from configs import rl_run as rl_run_config


def write_rows(folder, seconds):
    rows = [{"step": i + 1, "seconds/eval": 100.0, **row} for i, row in enumerate(seconds)]
    folder.mkdir()
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_training_counts_steps_in_the_middle_and_no_examination(tmp_path):
    write_rows(
        tmp_path / "rl",
        [
            {"seconds/decode": 50.0, "seconds/update": 9.0},  # compiles
            {"seconds/decode": 1.0, "seconds/update": 2.0, "seconds/save": 7.0},
            {"seconds/decode": 1.0, "seconds/update": 1.0},
        ],
    )
    assert rl_run.training_seconds(tmp_path / "rl") == 3 * 3.0


def test_fine_tuning_takes_the_time_of_the_updates(tmp_path):
    folders = {name: tmp_path / name for name in rl_run.MODELS}
    write_rows(folders["form"], [{"seconds/step": 0.5}] * 4)
    write_rows(folders["rl"], [{"seconds/decode": 2.0, "seconds/update": 1.0}] * 10)
    config = rl_run_config.get_config()
    assert rl_run.as_long(config.tuning, folders).steps == 60
    folders["tuning"].mkdir()
    (folders["tuning"] / "config.json").write_text(json.dumps({"steps": 7}))
    assert rl_run.as_long(config.tuning, folders).steps == 7, "a run that began keeps its steps"


def test_tables_hold_what_was_answered():
    def rows(*right):
        kinds = (rl_run.CLOSED, rl_run.CLOSED, rl_run.OPEN)
        return [
            {"id": f"{i}", "answer_type": kind, "accuracy": one, "format": 1.0}
            for i, (kind, one) in enumerate(zip(kinds, right, strict=True))
        ]

    before, after = rows(1.0, 0.0, 0.0), rows(1.0, 1.0, 0.0)
    scores = rl_run.scores({"seeing": after, "blind": before, "shuffled": before[:1]})
    assert scores["accuracy"] == pytest.approx(2 / 3) and scores["blind"] == pytest.approx(1 / 3)
    assert (scores["closed"], scores["open"], scores["shuffled"]) == (1.0, 0.0, 1.0)
    gain = rl_run.gain(after, before)
    assert gain["mean"] == pytest.approx(1 / 3) and gain["low"] <= gain["mean"] <= gain["high"]
    page = rl_run.to_markdown(
        {
            "trial_steps": 0,
            "steps": dict.fromkeys(rl_run.MODELS, 3),
            "seconds": dict.fromkeys(rl_run.MODELS, 9.4),
            "scores": dict.fromkeys(rl_run.MODELS, scores),
            "gains": {"rl": gain, "tuning": gain},
            "reward": {"reward/accuracy": [0.25, 0.5]},
        }
    )
    assert "| GRPO | 3 | 9 | 66.7% | 100.0% | 0.0% | 100.0% | 33.3% | 100.0% |" in page
    assert "* GRPO: +33.3 points over before" in page
    assert "| reward/accuracy | 25.0% | 50.0% |" in page
