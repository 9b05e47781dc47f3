# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
import json
import pathlib
import time
from collections.abc import Callable

import pytest

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


@pytest.fixture
def sleep(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A clock that only moves when it is told to."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def move(seconds: float) -> None:
        now[0] += seconds

    return move


def take_steps(
    workdir: pathlib.Path, steps: range, sleep: Callable[[float], None]
) -> list[tuple[float, float]]:
    """A process: 4 s of start, then 3 s of step and 1 s of data each; goodput and seconds."""
    watch = metrics.Stopwatch(useful=("step",))
    watch.add(metrics.time_spent(metrics.read_rows(workdir), steps[0] - 1))
    writer = metrics.MetricsWriter(workdir, after_step=steps[0] - 1)
    sleep(4)
    watch.lap("start")
    for step in steps:
        sleep(1)
        watch.lap("data")
        sleep(3)
        watch.lap("step")
        watch.take()
        writer.write(step, {"goodput": watch.goodput(), "run_seconds": watch.run_seconds})
    writer.close()
    rows = metrics.read_rows(workdir)
    return [(row["goodput"], row["run_seconds"]) for row in rows]


def test_goodput_is_that_of_the_whole_run(
    tmp_path: pathlib.Path, sleep: Callable[[float], None]
) -> None:
    assert take_steps(tmp_path, range(1, 5), sleep)[-1] == pytest.approx((12 / 20, 20))
    sleep(1000)  # nobody runs
    # Steps 3 and 4 were lost: their 8 s count as time, the second attempt as steps.
    goodput, seconds = take_steps(tmp_path, range(3, 6), sleep)[-1]
    assert seconds == pytest.approx(20 + 4 + 3 * 4)
    assert goodput == pytest.approx(5 * 3 / seconds)


def test_the_second_process_alone_would_look_better(
    tmp_path: pathlib.Path, sleep: Callable[[float], None]
) -> None:
    take_steps(tmp_path, range(1, 5), sleep)
    (tmp_path / "metrics.jsonl").unlink()
    goodput, seconds = take_steps(tmp_path, range(3, 6), sleep)[-1]
    assert (goodput, seconds) == pytest.approx((9 / 16, 16))


def test_a_lap_in_parts(sleep: Callable[[float], None]) -> None:
    watch = metrics.Stopwatch(useful=("decode", "rest"))
    sleep(2)
    watch.restart()
    sleep(10)
    assert watch.split({"decode": 6.0, "sync": 1.0}, rest="rest") == 10
    sleep(4)
    watch.split({"sync": 4.0}, rest="rest")
    assert watch.take() == {"decode": 6.0, "sync": 5.0, "rest": 3.0}
    assert watch.goodput() * watch.run_seconds == pytest.approx(6 + 3)


class Kept:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, object]] = []
        self.is_closed = False

    def write(self, step: int, scalars: metrics.Scalars) -> None:
        self.rows.append((step, dict(scalars)))

    def close(self) -> None:
        self.is_closed = True


def test_rows_go_to_other_places_as_well(tmp_path: pathlib.Path) -> None:
    kept, silent = Kept(), Kept()
    writer = metrics.MetricsWriter(tmp_path, after_step=0, others=[kept])
    writer.write(1, {"loss": 2.0})
    writer.close()
    assert kept.rows == [(1, {"loss": 2.0})] and kept.is_closed
    other = metrics.MetricsWriter(tmp_path, after_step=0, others=[silent], is_silent=True)
    other.write(2, {"loss": 1.0})
    other.close()
    assert not silent.rows and [row["step"] for row in metrics.read_rows(tmp_path)] == [1]


def test_other_names_go_everywhere_but_into_the_file(tmp_path: pathlib.Path) -> None:
    kept, aliases = Kept(), {"a": ("x", "y"), "b": ("z",), "c": ("a",)}
    writer = metrics.MetricsWriter(tmp_path, after_step=0, others=[kept], aliases=aliases)
    writer.write(1, {"a": 1.0, "c": None})
    writer.close()
    assert metrics.read_rows(tmp_path) == [{"step": 1, "a": 1.0, "c": None}]
    # A name of ours is never overwritten.
    assert kept.rows == [(1, {"a": 1.0, "c": None, "x": 1.0, "y": 1.0})]
    board = b"".join(path.read_bytes() for path in (tmp_path / "tensorboard").iterdir())
    assert all(f"\n\x01{name}".encode() in board for name in "axy") and b"\n\x01z" not in board
