# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The step that says which rows each mixture takes, and which of them are for validation.

A mixture takes a share of each of its sources, and at most so many rows, which are drawn by a hash
of their ids: not by their order, and a smaller choice is part of a larger one. A row may be in
several mixtures; its side, training or validation, is the same in all (`splits.py`).
"""

import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow
from jaxtyping import UInt64
from pyarrow import compute, parquet

from data_tools import rows as rows_lib
from data_tools import splits, steps
from lingshu_jax.common import errors
from lingshu_jax.data import formats_messages

TRAIN, VALIDATION = "train", "validation"
MIXTURES, SPLIT = "mixtures", "split"  # facts
KEYS, HELD, CHOICE = "keys", "held_out", "choice.json"
TAG, ANSWER_PICTURE, CLIPS = "image tag in text", "picture in an answer", "several clips"
NO_MIXTURE, NOT_DRAWN, NO_ANSWER = "in no mixture", "not drawn", "no answer to check"
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_SCHEMA = pyarrow.schema(
    [
        ("source", pyarrow.string()),
        ("place", pyarrow.int64()),
        ("draw", pyarrow.uint64()),
        ("has_answer", pyarrow.bool_()),
        ("keys", pyarrow.list_(pyarrow.uint64())),
    ]
)


@dataclasses.dataclass(kw_only=True)
class Mixture:
    """What one mixture takes.

    Attributes:
      name: Of its folder: small letters, digits and "_".
      shares: Share of the rows of each source by its name, above 0 and up to 1. Sources that the
        curation does not have are named in the manifest as absent.
      caps: At most so many rows of a source, by its name.
      needs_answer: Takes only rows whose meta has an `answer`, for reinforcement learning.
    """

    name: str
    shares: dict[str, float] = dataclasses.field(default_factory=dict)
    caps: dict[str, int] = dataclasses.field(default_factory=dict)
    needs_answer: bool = False

    def validate(self) -> None:
        """Raises UserError naming the field, its value and what is allowed."""
        where = f"mixture {self.name!r}"
        if not _NAME.fullmatch(self.name):
            raise errors.UserError(f"{where}: a name has small letters, digits and _")
        for source, share in self.shares.items():
            if not 0 < share <= 1:
                raise errors.UserError(f"{where}: share of {source!r} must be > 0, <= 1: {share}")
        for source, cap in self.caps.items():
            if cap < 1 or source not in self.shares:
                raise errors.UserError(
                    f"{where}: a cap must be >= 1 and of a source with a share, got "
                    f"{source!r}: {cap}"
                )


@dataclasses.dataclass(kw_only=True)
class Config:
    """The mixtures.

    Attributes:
      mixtures: Which; none is one mixture named "all", with all rows.
      validation: Share of the rows that is kept for validation, 0 to 0.5.
      rows_per_shard: At most; a shard is in memory while it is written.
      group_by: Facts or columns that name a patient or a case of a source.
    """

    mixtures: list[Mixture] = dataclasses.field(default_factory=list)
    validation: float = 0.01
    rows_per_shard: int = 1000
    group_by: tuple[str, ...] = ("patient", "patient_id", "subject_id", "case", "series")

    def validate(self, sources: Sequence[str]) -> None:
        """Raises UserError naming the field, its value and what is allowed.

        Args:
          sources: Names of all.
        """
        if not 0 <= self.validation <= 0.5:
            raise errors.UserError(
                f"config.mixture.validation must be 0 to 0.5, got {self.validation}"
            )
        if self.rows_per_shard < 1:
            raise errors.UserError(
                f"config.mixture.rows_per_shard must be >= 1, got {self.rows_per_shard}"
            )
        names = [mixture.name for mixture in self.mixtures]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise errors.UserError(f"two mixtures are named {', '.join(repeated)}")
        for mixture in self.mixtures:
            mixture.validate()
        if self.mixtures and not any(
            set(mixture.shares) & set(sources) for mixture in self.mixtures
        ):
            raise errors.UserError(
                f"no mixture takes any of the sources {', '.join(sources)}: see config.mixture"
            )

    def all_mixtures(self, sources: Sequence[str]) -> list[Mixture]:
        """The mixtures, or the one of all rows.

        Args:
          sources: Names of all.
        """
        return [*self.mixtures] or [Mixture(name="all", shares=dict.fromkeys(sources, 1.0))]


class Choice(NamedTuple):
    """Which rows are drawn.

    Attributes:
      limits: By mixture and source the largest draw that is taken.
      taken: By mixture and source, how many rows that is; 0 where nothing is left of it.
    """

    limits: Mapping[str, Mapping[str, int]]
    taken: Mapping[str, Mapping[str, int]]


@dataclasses.dataclass(frozen=True)
class Mix:
    """The step.

    Attributes:
      config: What is mixed.
      sources: Names of all, in the order of trust.
      seed: Of every draw.
    """

    config: Config
    sources: Sequence[str]
    seed: int = 0
    name: str = "mixture"

    def settings(self) -> dict[str, Any]:
        """As of `steps.Step`."""
        made = dataclasses.asdict(self.config)
        del made["rows_per_shard"]
        return {**made, "sources": list(self.sources), "seed": self.seed}

    def plan(self, source: Path, folder: Path, run: steps.Run) -> None:
        """Draws the rows of each mixture, and the groups for validation."""
        if (folder / CHOICE).is_file():
            return
        parts = rows_lib.names(source)
        missing = [part for part in parts if not (folder / KEYS / part).is_file()]
        run.each(functools.partial(self._write_keys, source, folder), missing)
        self._hold_out(folder, parts)
        steps.write_json(folder / CHOICE, self._choose(folder, parts)._asdict())

    def apply(self, rows: Sequence[rows_lib.Row], folder: Path, part: str) -> steps.Outcome:
        """As of `steps.Step`."""
        choice = read_choice(folder)
        held = parquet.read_table(folder / HELD / part)["place"].to_pylist()
        held = set(held)
        kept, dropped = [], []
        for place, row in enumerate(rows):
            names, reason = self._judge(row, choice)
            if reason:
                dropped.append(rows_lib.Dropped.of(row, reason))
            else:
                split = VALIDATION if place in held else TRAIN
                kept.append(row.knowing(**{MIXTURES: names, SPLIT: split}))
        return steps.Outcome(kept, dropped)

    def _judge(self, row: rows_lib.Row, choice: Choice) -> tuple[list[str], str]:
        """The mixtures of a row; or why it is in none."""
        if reason := fault(row):
            return [], reason
        every = self.config.all_mixtures(self.sources)
        wanting = [mixture for mixture in every if row.source in mixture.shares]
        if not wanting:
            return [], NO_MIXTURE
        able = [mixture for mixture in wanting if has_answer(row) or not mixture.needs_answer]
        if not able:
            return [], NO_ANSWER
        draw = self._draw(row)
        names = [m.name for m in able if draw <= choice.limits[m.name][row.source]]
        return names, "" if names else NOT_DRAWN

    def _draw(self, row: rows_lib.Row) -> int:
        return splits.number(f"{self.seed} choice {row.id}")

    def _write_keys(self, source: Path, folder: Path, part: str) -> None:
        values = [
            {
                "source": row.source,
                "place": place,
                "draw": self._draw(row),
                "has_answer": has_answer(row),
                "keys": [splits.number(key) for key in splits.keys(row, self.config.group_by)],
            }
            for place, row in enumerate(rows_lib.read(source / part))
            if not fault(row)
        ]
        table = pyarrow.Table.from_pylist(values, schema=_SCHEMA)
        rows_lib.write_table(folder / KEYS / part, table)

    def _choose(self, folder: Path, parts: Sequence[str]) -> Choice:
        columns = ["source", "draw", "has_answer"]
        every = _read(folder, parts, columns)
        limits: dict[str, dict[str, int]] = {}
        taken: dict[str, dict[str, int]] = {}
        for mixture in self.config.all_mixtures(self.sources):
            rows = every.filter(every["has_answer"]) if mixture.needs_answer else every
            ours = limits.setdefault(mixture.name, {})
            counts = taken.setdefault(mixture.name, {})
            for source, share in mixture.shares.items():
                draws = _numbers(
                    rows.filter(compute.call_function("equal", [rows["source"], source]))["draw"]
                )
                cap = mixture.caps.get(source, len(draws))
                wanted = min(round(share * len(draws)), cap)
                counts[source] = wanted
                ours[source] = int(np.partition(draws, wanted - 1)[wanted - 1]) if wanted else -1
        return Choice(limits, taken)

    def _hold_out(self, folder: Path, parts: Sequence[str]) -> None:
        tables = [_read(folder, [part], ["place", "draw", "keys"]) for part in parts]
        every = pyarrow.concat_tables(tables) if tables else _SCHEMA.empty_table()
        lengths = compute.call_function("list_value_length", [every["keys"]]).to_numpy()
        rows = np.repeat(np.arange(every.num_rows, dtype=np.int64), lengths)
        keys = _numbers(compute.call_function("list_flatten", [every["keys"]]))
        labels = splits.groups(rows, keys, every.num_rows)
        # Another draw than that of the rows: what a cap leaves out is on both sides.
        draws = _numbers(every["draw"]) ^ np.uint64(splits.number(f"{self.seed} side"))
        held = splits.held_out(labels, draws, self.config.validation)
        start = 0
        for part, table in zip(parts, tables, strict=True):
            ours = held[start : start + table.num_rows]
            start += table.num_rows
            chosen = table.select(["place"]).filter(pyarrow.array(ours))
            rows_lib.write_table(folder / HELD / part, chosen)


def fault(row: rows_lib.Row) -> str:
    """Why shards cannot hold a row; "" where they can.

    Args:
      row: Any.
    """
    if any(formats_messages.TAG.search(text) for text in row.texts()):
        return TAG  # readers would take it for a picture
    if sum(medium.kind == "video" for medium in row.media) > 1:
        return CLIPS
    holders = {
        message["role"]
        for message in row.messages
        for part in message["content"]
        if part["type"] != "text"
    }
    return ANSWER_PICTURE if holders - {"user"} else ""


def has_answer(row: rows_lib.Row) -> bool:
    """Whether an answer can be checked against what the row says is right.

    Args:
      row: Any.
    """
    answer = row.meta.get("answer")
    return isinstance(answer, str) and bool(answer.strip())


@functools.lru_cache(maxsize=1)
def read_choice(folder: Path) -> Choice:
    """What a plan has drawn.

    Args:
      folder: Of the plan.
    """
    return Choice(**steps.read_json(folder / CHOICE))


def _read(folder: Path, parts: Sequence[str], columns: list[str]) -> pyarrow.Table:
    tables = [parquet.read_table(folder / KEYS / part, columns=columns) for part in parts]
    return pyarrow.concat_tables(tables) if tables else _SCHEMA.empty_table().select(columns)


def _numbers(column: Any) -> UInt64[np.ndarray, " rows"]:
    return column.to_numpy().astype(np.uint64)
