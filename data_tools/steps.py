# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Steps of curation: each takes the partitions of the one before and leaves its own.

    OUTPUT/steps/<NN>_<name>-<digest>/rows/part-00000.parquet      what goes on
                                      dropped/part-00000.parquet   what does not, and why
                                      counts/part-00000.json       rows in, out, dropped by reason
                                      plan/...                     what a step knows of all rows

The digest is over a step's settings and those of the steps before it: with other settings a step
has another folder, and what is finished is found again. A partition is finished when its file in
rows/ is there, which is written last.
"""

import collections
import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from absl import logging
from pyarrow import parquet

from data_tools import engine
from data_tools import rows as rows_lib
from lingshu_jax.common import errors, paths

ROWS, DROPPED, COUNTS, PLAN = "rows", "dropped", "counts", "plan"
SHOWN = 20  # dropped rows of a step that are shown


class Outcome(NamedTuple):
    """What becomes of the rows of a partition.

    Attributes:
      kept: Rows that go on, changed perhaps, in their order.
      dropped: The others, in theirs.
    """

    kept: list[rows_lib.Row]
    dropped: list[rows_lib.Dropped]


class Step(Protocol):
    """A step; a plain object that can go to other processes.

    Steps need no `plan` where each row is judged by itself.
    """

    @property
    def name(self) -> str:
        """In folder names and tables."""
        ...

    def settings(self) -> Mapping[str, Any]:
        """What decides the outcome, in JSON values, versions of libraries included."""
        ...

    def plan(self, source: Path, folder: Path, run: "Run") -> None:
        """Finds out what has to be known of all rows; called again, it goes on where it was.

        Args:
          source: Folder of the partitions.
          folder: Where to leave it, in files that appear whole.
          run: How work is spread.
        """
        ...

    def apply(self, rows: Sequence[rows_lib.Row], folder: Path, part: str) -> Outcome:
        """Does a partition; a pure function of the rows and of the plan.

        Args:
          rows: Of the partition.
          folder: Of the plan.
          part: Name of the partition, for what the plan has of it.
        """
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """How the work of a curation is spread.

    Attributes:
      output: Folder of the curation.
      workers: Processes at a time.
    """

    output: Path
    workers: int

    def each(self, work: Callable[[str], Any], names: Sequence[str]) -> None:
        """Calls a function with every name; see `engine.map_names`."""
        engine.map_names(work, names, workers=self.workers)


class State(NamedTuple):
    """Where a curation is.

    Attributes:
      folder: Of the last step; "" stands for none yet.
      digest: Over all settings so far.
      number: How many steps are done.
    """

    folder: Path
    digest: str
    number: int


def run_step(step: Step, state: State, run: Run) -> State:
    """Does what is missing of a step.

    Args:
      step: Which.
      state: After the step before.
      run: How.

    Returns:
      The state after it.

    Raises:
      UserError: As of the step.
    """
    after = next_state(step.name, step.settings(), state, run.output)
    source = state.folder / ROWS
    names = rows_lib.names(source)
    pending = [name for name in names if not (after.folder / ROWS / name).is_file()]
    logging.info("%s: %d of %d partitions to do", step.name, len(pending), len(names))
    if pending:
        plan = after.folder / PLAN
        plan.mkdir(parents=True, exist_ok=True)
        step.plan(source, plan, run)
        run.each(functools.partial(_do, step, source, after.folder), pending)
    (after.folder / ROWS).mkdir(parents=True, exist_ok=True)
    return after


def next_state(name: str, settings: Mapping[str, Any], state: State, output: Path) -> State:
    """Where a step leaves its rows.

    Args:
      name: Of the step.
      settings: Of the step.
      state: After the step before.
      output: Folder of the curation.
    """
    said = rows_lib.dump([state.digest, name, settings])
    digest = hashlib.sha256(said.encode()).hexdigest()[:12]
    folder = output / "steps" / f"{state.number:02d}_{name}-{digest}"
    return State(folder, digest, state.number + 1)


def commit(folder: Path, name: str, outcome: Outcome, *, given: int, counts: Any = None) -> None:
    """Writes what became of a partition, the rows last.

    Args:
      folder: Of the step.
      name: Of the partition.
      outcome: Of its rows.
      given: How many there were.
      counts: By source, where rows came in that are none of `outcome`; None counts them.

    Raises:
      UserError: If a row is neither kept nor dropped.
    """
    if given != len(outcome.kept) + len(outcome.dropped):
        raise errors.UserError(
            f"{folder.name} {name}: of {given} rows {len(outcome.kept)} are kept and "
            f"{len(outcome.dropped)} dropped"
        )
    rows_lib.write_dropped(folder / DROPPED / name, outcome.dropped)
    write_json(folder / COUNTS / f"{Path(name).stem}.json", counts or _count(outcome))
    rows_lib.write(folder / ROWS / name, outcome.kept)


def read_counts(folder: Path) -> dict[str, dict[str, Any]]:
    """How many rows of each source a step was given, kept and dropped by reason.

    Args:
      folder: Of a finished step.

    Returns:
      By source: `in`, `out`, `dropped` by reason.
    """
    total: dict[str, dict[str, Any]] = {}
    for path in sorted((folder / COUNTS).glob("*.json")):
        for source, counts in json.loads(path.read_text(encoding="utf-8")).items():
            found = total.setdefault(source, {"in": 0, "out": 0, "dropped": collections.Counter()})
            found["in"] += counts["in"]
            found["out"] += counts["out"]
            found["dropped"].update(counts["dropped"])
    for counts in total.values():
        counts["dropped"] = dict(sorted(counts["dropped"].items()))
    return dict(sorted(total.items()))


def read_dropped(folder: Path) -> Iterable[dict[str, Any]]:
    """All rows that a step left out, in the order of the partitions.

    Args:
      folder: Of a finished step.
    """
    for name in rows_lib.names(folder / DROPPED):
        yield from parquet.read_table(folder / DROPPED / name).to_pylist()


def write_json(path: Path, value: Any) -> None:
    """Writes JSON that appears whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with paths.whole_file(path) as partial:
        partial.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", "utf-8")


def read_json(path: Path) -> Any:
    """The value of a file of `write_json`."""
    return json.loads(path.read_text(encoding="utf-8"))


def _do(step: Step, source: Path, folder: Path, name: str) -> None:
    """A partition, in whatever process."""
    given = rows_lib.read(source / name)
    commit(folder, name, step.apply(given, folder / PLAN, name), given=len(given))


def _count(outcome: Outcome) -> dict[str, dict[str, Any]]:
    counts: dict[str, dict[str, Any]] = {}
    for row in outcome.kept:
        entry = counts.setdefault(row.source, {"in": 0, "out": 0, "dropped": {}})
        entry["in"] += 1
        entry["out"] += 1
    for row in outcome.dropped:
        entry = counts.setdefault(row.source, {"in": 0, "out": 0, "dropped": {}})
        entry["in"] += 1
        entry["dropped"][row.reason] = entry["dropped"].get(row.reason, 0) + 1
    return counts
