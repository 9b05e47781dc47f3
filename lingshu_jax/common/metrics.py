# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Numbers of a run: one JSONL row a step, the same to TensorBoard; where its time goes."""

import json
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import tensorboardX

from lingshu_jax.common import paths

Scalars = Mapping[str, float | int | None]


class Sink(Protocol):
    """Another place where rows go."""

    def write(self, step: int, scalars: Scalars) -> None:
        """Takes one row."""
        ...

    def close(self) -> None:
        """Ends."""
        ...


class MetricsWriter:
    """Appends rows to `metrics.jsonl` and to `tensorboard/` of a run's folder."""

    def __init__(
        self,
        workdir: pathlib.Path,
        *,
        after_step: int,
        others: Sequence[Sink] = (),
        aliases: Mapping[str, Sequence[str]] | None = None,
        is_silent: bool = False,
    ):
        """Opens both, dropping rows that a restored run will write again.

        Args:
          workdir: The run's folder.
          after_step: Rows of later steps are from before an interruption and go.
          others: Where rows go as well; closed with this.
          aliases: Further names of a metric, for TensorBoard and the others.
          is_silent: Writes nothing, as all hosts of a run but one.
        """
        self._others, self._is_silent = others, is_silent
        self._aliases = aliases or {}
        if is_silent:
            return
        self._path = workdir / "metrics.jsonl"
        drop_rows_after(self._path, after_step)
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
        if self._is_silent:
            return
        self._file.write(json.dumps({"step": step, **scalars}) + "\n")
        self._file.flush()
        known = self._aliases.items()
        shown = {other: scalars[name] for name, more in known if name in scalars for other in more}
        shown |= scalars
        for name, value in shown.items():
            if value is not None:
                self._board.add_scalar(name, value, step)
        for other in self._others:
            other.write(step, shown)

    def close(self) -> None:
        """Flushes and closes all."""
        if self._is_silent:
            return
        self._file.close()
        self._board.close()
        for other in self._others:
            other.close()


class Spent(NamedTuple):
    """Wall time of a run before this process: useful and all of it, in seconds."""

    useful: float = 0.0
    total: float = 0.0


class Stopwatch:
    """Wall time by what it went into, summed until it is taken."""

    def __init__(self, *, useful: tuple[str, ...]):
        """Starts.

        Args:
          useful: Names whose share of the time is the goodput.
        """
        self._useful, self._before = useful, Spent()
        self._start = self._last = time.perf_counter()
        self._seconds: dict[str, float] = {}
        self._useful_seconds = 0.0

    def add(self, before: Spent) -> None:
        """Counts what earlier processes of a continued run have spent.

        Args:
          before: From `time_spent`.
        """
        self._before = before
        self._useful_seconds += before.useful

    def lap(self, name: str) -> float:
        """Books the time since the last lap under `name`; returns it, in seconds."""
        now = time.perf_counter()
        elapsed, self._last = now - self._last, now
        self._seconds[name] = self._seconds.get(name, 0.0) + elapsed
        self._useful_seconds += elapsed if name in self._useful else 0.0
        return elapsed

    def split(self, parts: Mapping[str, float], *, rest: str) -> float:
        """Books the time since the last lap in parts; returns all of it, in seconds.

        Args:
          parts: Seconds by name, together no more than that time.
          rest: Where what they leave is booked.
        """
        elapsed = self.lap(rest)
        for name, seconds in parts.items():
            self._move(rest, name, seconds)
        return elapsed

    def _move(self, before: str, name: str, seconds: float) -> None:
        self._seconds[before] -= seconds
        self._seconds[name] = self._seconds.get(name, 0.0) + seconds
        self._useful_seconds += seconds * ((name in self._useful) - (before in self._useful))

    def restart(self) -> None:
        """What went by since the last lap is nobody's."""
        self._last = time.perf_counter()

    def take(self) -> dict[str, float]:
        """Seconds by name since the last take."""
        taken, self._seconds = self._seconds, {}
        return taken

    @property
    def run_seconds(self) -> float:
        """Wall time of all processes of the run so far; what lay between two is not counted."""
        return self._before.total + self._last - self._start

    def goodput(self) -> float:
        """Share of `run_seconds` that was useful; steps that were lost and redone count once."""
        return self._useful_seconds / max(self.run_seconds, 1e-9)


def time_spent(rows: Sequence[Mapping[str, Any]], step: int) -> Spent:
    """What the processes before this one spent, as their metric rows say.

    Args:
      rows: All rows that they left, from `read_rows`.
      step: Where the run goes on; what later rows took was lost.
    """
    timed = [row for row in rows if "run_seconds" in row]
    kept = [row for row in timed if row["step"] <= step]
    useful = kept[-1]["goodput"] * kept[-1]["run_seconds"] if kept else 0.0
    return Spent(useful, timed[-1]["run_seconds"] if timed else 0.0)


def read_rows(workdir: pathlib.Path, name: str = "metrics.jsonl") -> list[dict[str, Any]]:
    """All complete rows of a run; a torn last line is not one.

    Args:
      workdir: The run's folder.
      name: Of the file in it.
    """
    path = workdir / name
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("}\n")]


def drop_rows_after(path: pathlib.Path, step: int) -> None:
    """Drops the rows of later steps, and a torn last line.

    Args:
      path: A file of rows with `step`; made if it is not there.
      step: The last one that stays.
    """
    rows = read_rows(path.parent, path.name)
    kept = [row for row in rows if row["step"] <= step]
    with paths.whole_file(path) as partial:
        partial.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
