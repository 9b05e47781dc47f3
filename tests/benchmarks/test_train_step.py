# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The benchmark of the training step: what both sides compute, our side of it, and the table."""

import argparse
import pathlib
import sys
from typing import Any

import numpy as np
import pytest

from benchmarks import train_step, train_step_ours, train_step_sides, train_step_work

PLAN = train_step.check_row().plan


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> train_step_sides.Work:
    folder = tmp_path_factory.mktemp("work")
    train_step.write_check(folder)
    return train_step_sides.Work(folder)


def test_rows_hold_whole_examples_with_their_images(work: train_step_sides.Work) -> None:
    steps = work.steps()
    assert len(steps) == PLAN.steps
    for arrays in steps:
        assert arrays["tokens"].shape == (PLAN.rows, PLAN.tokens_per_row)
        assert (arrays["segment_ids"] > 0).mean() > 0.8
        patches = np.zeros(PLAN.rows, int)
        np.add.at(patches, arrays["grids"][:, 0], arrays["grids"][:, 2:].prod(axis=1))
        assert np.array_equal(patches, (arrays["patch_frame_ids"] > 0).sum(axis=1))
        assert patches.min() > 0
        is_image = arrays["tokens"] == PLAN.size.special.image_pad
        assert np.array_equal(is_image, arrays["media_index"] >= 0)
        assert not arrays["loss_weights"][is_image].any()
    assert not np.array_equal(steps[0]["tokens"], steps[1]["tokens"])


def test_text_only_has_no_image(rng: np.random.Generator) -> None:
    row = train_step.cpu_rows()[1]
    lengths = train_step_work.drawn_lengths(rng, 100, row.plan.pixels)
    [arrays] = train_step_work.make_steps(row.plan, lengths)
    assert not len(arrays["grids"]) and not arrays["patch_frame_ids"].any()


def test_drawn_images_keep_to_their_limits(rng: np.random.Generator) -> None:
    low, high = 64, 256
    lengths = train_step_work.drawn_lengths(rng, 800, (low * 28 * 28, high * 28 * 28))
    cells = np.array([one.grid.h * one.grid.w // 4 for one in lengths if one.grid])
    assert len(cells) == 300 and low / 2 < cells.min() and cells.max() <= high
    assert 100 < np.median(cells) < 160  # log-uniform


def test_our_side_trains(work: train_step_sides.Work) -> None:
    trainer = train_step_ours.Trainer(work, argparse.Namespace(attention=""))
    first = [trainer.step(0) for _ in range(4)]
    assert first[-1] < first[0] - 0.01
    about, arrays = trainer.describe(), work.steps()
    assert about["tokens"] == sum((one["segment_ids"] > 0).sum() for one in arrays)
    assert about["images"] == sum(len(one["grids"]) for one in arrays)
    assert about["flops"] > 0 and about["peak_flops"] is None


def test_the_other_side_is_asked_rightly() -> None:
    folder = pathlib.Path("WORK")
    asked = train_step.command(train_step.BUCKETED, folder, "PYTHON")
    module = "benchmarks.train_step_torch"
    assert asked == ["PYTHON", "-m", module, "--work=WORK", "--attention=bucketed"]
    ours = train_step.command(train_step.OURS, folder, "PYTHON")
    assert ours == [sys.executable, "-m", "benchmarks.train_step_ours", "--work=WORK"]


def test_the_gpu_form_has_the_issues_order() -> None:
    rows = train_step.gpu_rows()
    shown = [
        (row.plan.size.text.num_layers, row.plan.rates["text"], row.plan.with_images)
        for row in rows
    ]
    assert shown == [(36, 1e-5, True), (28, None, True), (28, 1e-5, True), (36, 1e-5, False)]


class FakeSide:
    """A side that has finished."""

    def __init__(self, runs: list[float], error: str = "", ready: Any = None) -> None:
        self.runs, self.error, self.memory_bytes = runs, error, 2.0**31
        self.cpu_runs = [2 * run for run in runs]
        self.ready = ready or {}


def test_the_faster_torch_is_compared() -> None:
    ready = {"tokens": 600.0, "images": 3.0, "flops": 30.0, "peak_flops": 100.0}
    sides: dict[str, Any] = {
        train_step.OURS: FakeSide([1.0, 3.0, 2.0], ready=ready),
        train_step.BUCKETED: FakeSide([5.0, 5.0, 6.0]),
        train_step.PACKED: FakeSide([4.0, 3.0, 3.0]),
    }
    result = train_step.summarise(train_step.check_row(), sides)
    ours = result["sides"][train_step.OURS]
    assert (ours["tokens_per_second"], ours["images_per_second"]) == (300, 1.5)
    assert ours["mfu"] == 0.15 and result["times_torch"] == 1.5
    lines = list(train_step.table_lines(result))
    assert len(lines) == 4 and len({line.count("|") for line in lines}) == 1
    assert "1.00, 3.00, 2.00 | 2.00 | 4.00 | 300 | 1.50 | 15.0% | 2.0" in lines[0]


def test_a_side_that_fails_is_a_row_that_says_so() -> None:
    ready = {"tokens": 600.0, "images": 3.0, "flops": 30.0, "peak_flops": None}
    sides: dict[str, Any] = {
        train_step.OURS: FakeSide([2.0], ready=ready),
        train_step.BUCKETED: FakeSide([], error="out of memory"),
    }
    result = train_step.summarise(train_step.check_row(), sides)
    lines = list(train_step.table_lines(result))
    assert len(lines) == 2 and "| out of memory |" in lines[1]
    assert result["times_torch"] is None


ANSWERS = """
import sys
print('{"losses": [1.0]}', flush=True)
for _ in sys.stdin:
    answer = '"seconds": 2.0, "cpu_seconds": 3.0, "memory_bytes": 4.0, "steps": [[2.0, 3.0]]'
    print("{" + answer + "}", flush=True)
"""
FALLS = "import sys; print('cannot', file=sys.stderr); sys.exit(3)"
SAYS = """print('{"error": "out of memory"}')"""


@pytest.mark.parametrize(
    ("script", "error", "runs"),
    [
        (ANSWERS, "", [2.0, 2.0]),
        (FALLS, "ended with 3: cannot", []),
        (SAYS, "out of memory", []),
    ],
    ids=["answers", "falls", "says"],
)
def test_a_side_answers_or_says_why_not(
    script: str, error: str, runs: list[float], tmp_path: pathlib.Path
) -> None:
    asked = [sys.executable, "-c", script]
    side = train_step_sides.Side(asked, device="cpu", log=tmp_path / "log")
    train_step_sides.alternate([side], 2)
    assert (side.error, side.runs) == (error, runs)


def test_reasons_fit_into_a_cell() -> None:
    reason = train_step_sides.in_one_line(RuntimeError("CUDA out of memory. Tried to\nallocate"))
    assert reason == "out of memory"
    assert train_step_sides.in_one_line(ValueError("a | b\nc")) == "ValueError: a / b"
