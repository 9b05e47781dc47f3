# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Numbers of a run: one JSONL row a step, the same to TensorBoard; where its time goes."""

import json
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import tensorboardX

Scalars = Mapping[str, float | int | None]


class MetricsWriter:
    """Appends rows to `metrics.jsonl` and to `tensorboard/` of a run's folder."""

    def __init__(self, workdir: pathlib.Path, *, after_step: int):
        """Opens both, dropping rows that a restored run will write again.

        Args:
          workdir: The run's folder.
          after_step: Rows of later steps are from before an interruption and go.
        """
        self._path = workdir / "metrics.jsonl"
        _drop_rows_after(self._path, after_step)
        self._file = self._path.open("a", encoding="utf-8")
        self._board = tensorboardX.SummaryWriter(
            str(workdir / "tensorboard"), purge_step=after_step + 1
        )

    def write(self, step: int, scalars: Scalars) -> None:
        """Writes one row.

        Args:
          step: The step the numbers belong to.
          scalars: By name; None (a value that does not exist here) is kept in the row only.
        """
        self._file.write(json.dumps({"step": step, **scalars}) + "\n")
        self._file.flush()
        for name, value in scalars.items():
            if value is not None:
                self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Flushes and closes both."""
        self._file.close()
        self._board.close()


class Stopwatch:
    """Wall time by what it went into, summed until it is taken."""

    def __init__(self, *, useful: tuple[str, ...]):
        """Starts.

        Args:
          useful: Names whose share of the time is the goodput.
        """
        self._useful = useful
        self._start = self._last = time.perf_counter()
        self._seconds: dict[str, float] = {}
        self._useful_seconds = 0.0

    def lap(self, name: str) -> None:
        """Books the time since the last lap under `name`."""
        now = time.perf_counter()
        elapsed, self._last = now - self._last, now
        self._seconds[name] = self._seconds.get(name, 0.0) + elapsed
        self._useful_seconds += elapsed if name in self._useful else 0.0

    def take(self) -> dict[str, float]:
        """Seconds by name since the last take."""
        taken, self._seconds = self._seconds, {}
        return taken

    def goodput(self) -> float:
        """Share of the wall time since the start that was useful."""
        return self._useful_seconds / max(self._last - self._start, 1e-9)


def read_rows(workdir: pathlib.Path) -> list[dict[str, Any]]:
    """All complete rows of a run; a torn last line is not one.

    Args:
      workdir: The run's folder.
    """
    path = workdir / "metrics.jsonl"
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("}\n")]


def _drop_rows_after(path: pathlib.Path, step: int) -> None:
    rows = read_rows(path.parent)
    kept = [row for row in rows if row["step"] <= step]
    partial = path.with_suffix(".partial")
    partial.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
    partial.rename(path)
