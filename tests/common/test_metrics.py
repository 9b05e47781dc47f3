# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
import json
import pathlib

from lingshu_jax.common import metrics


def write_steps(workdir: pathlib.Path, steps: list[int], *, after: int, loss: float = 0.5) -> None:
    writer = metrics.MetricsWriter(workdir, after_step=after)
    for step in steps:
        writer.write(step, {"loss": loss, "mfu": None})
    writer.close()


def test_rows_come_back_as_written(tmp_path: pathlib.Path) -> None:
    write_steps(tmp_path, [1, 2], after=0)
    assert metrics.read_rows(tmp_path) == [
        {"step": 1, "loss": 0.5, "mfu": None},
        {"step": 2, "loss": 0.5, "mfu": None},
    ]
    assert list((tmp_path / "tensorboard").iterdir())


def test_floats_keep_every_bit(tmp_path: pathlib.Path) -> None:
    value = 0.1 + 2**-52
    write_steps(tmp_path, [1], after=0, loss=value)
    assert metrics.read_rows(tmp_path)[0]["loss"] == value


def test_a_continued_run_writes_each_step_once(tmp_path: pathlib.Path) -> None:
    write_steps(tmp_path, [1, 2, 3], after=0)
    write_steps(tmp_path, [3, 4], after=2, loss=0.25)
    rows = metrics.read_rows(tmp_path)
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert [row["loss"] for row in rows] == [0.5, 0.5, 0.25, 0.25]


def test_without_dropping_steps_would_be_there_twice(tmp_path: pathlib.Path) -> None:
    write_steps(tmp_path, [1, 2, 3], after=0)
    write_steps(tmp_path, [3], after=3)
    assert [row["step"] for row in metrics.read_rows(tmp_path)] == [1, 2, 3, 3]


def test_a_torn_last_line_is_no_row(tmp_path: pathlib.Path) -> None:
    write_steps(tmp_path, [1, 2], after=0)
    path = tmp_path / "metrics.jsonl"
    whole = path.read_text()
    path.write_text(whole + json.dumps({"step": 3, "loss": 1.0})[:-4])
    assert [row["step"] for row in metrics.read_rows(tmp_path)] == [1, 2]
    write_steps(tmp_path, [3], after=2)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3]


def test_no_file_has_no_rows(tmp_path: pathlib.Path) -> None:
    assert metrics.read_rows(tmp_path) == []
