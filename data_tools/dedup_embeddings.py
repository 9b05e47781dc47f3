# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The step that leaves one of pictures that are nearly the same: crops, overlays, new contrasts.

It comes after the one by hashes, and looks in the same places. Vectors of pictures
(`embeddings.py`) become bits, by which side of random planes they are on, after their mean is
taken from them; rows that share a run of bits with one that stays are compared with it by cosine.
Runs are as long as the number of rows asks for, and so many that of 100 pairs that are just like
enough 99 share one. Where many rows share it, only the first one is compared: of 20,000 made
vectors in 40 clusters, 91 of 100 planted pairs at the threshold of 0.98 were found, and 99 of 100
at 0.99. Pictures that are alike without being the same, as two chests, are near each other too:
look at what it drops before it is believed. Slices of one series all stay.
"""

import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pyarrow
from jaxtyping import Float, Float32

from data_tools import dedup_images, embedding_models, embeddings, groups, steps
from data_tools import rows as rows_lib
from lingshu_jax.common import errors

REASON = "near-duplicate picture"
MEAN = "MEAN.json"
Use = Literal["auto", "on", "off"]
_EXTRA_BITS = 4  # beyond what would give each row a run of its own
_MOST_BITS, _MOST_RUNS = 48, 256
_FEWEST = 1000  # vectors that have a mean; of two, what is left without it are opposites
_MOST_COMMON = 0.999  # of vectors that are all the same
_LOWEST, _HIGHEST = 0.5, 0.9999  # cosines that runs are made for
_MISSED = 0.01  # of rows that are just like enough
_PAIRS_AT_A_TIME = 65_536


@dataclasses.dataclass(kw_only=True)
class Config:
    """Which pictures are nearly the same. The paper has no such step.

    Attributes:
      use: "auto": where there are weights; "on": with the stand-in as well; "off": never.
      threshold: Cosine from which two pictures are one, above 0 and below 1.
    """

    use: Use = "auto"
    threshold: float = 0.98

    def validate(self) -> None:
        """Raises UserError naming the field, its value and what is allowed."""
        if self.use not in get_args(Use):
            raise errors.UserError(
                f"config.dedup_embeddings.use must be one of {', '.join(get_args(Use))}, "
                f"got {self.use!r}"
            )
        if not 0 < self.threshold < 1:
            raise errors.UserError(
                "config.dedup_embeddings.threshold must be above 0 and below 1, "
                f"got {self.threshold}"
            )

    def is_on(self, embedding: embedding_models.Config) -> bool:
        """Whether the step is to be done.

        Args:
          embedding: What embeds.

        Raises:
          UserError: If it is asked for and nothing embeds.
        """
        if self.use == "on" and not embedding.is_on:
            raise errors.UserError(
                "config.dedup_embeddings.use is 'on': it needs config.embeddings.weights"
            )
        return self.use == "on" or (self.use == "auto" and embedding.has_weights)


@dataclasses.dataclass(frozen=True)
class DedupEmbeddings:
    """The step; only where `Config.is_on`.

    Attributes:
      config: What is nearly the same.
      images: Where pictures may occur once.
      embedding: What embeds.
      kinds: Kind of each source by name, in the order of trust.
    """

    config: Config
    images: dedup_images.Config
    embedding: embedding_models.Config
    kinds: Mapping[str, str]
    name: str = "dedup_embeddings"

    def settings(self) -> dict[str, Any]:
        """As of `steps.Step`."""
        return {
            **dataclasses.asdict(self.config),
            **dataclasses.asdict(self.images),
            "kinds": list(self.kinds.items()),
            "vectors": embedding_models.version(self.embedding),
        }

    def plan(self, source: Path, folder: Path, run: steps.Run) -> None:
        """Finds the rows whose pictures are like those of a row that stays."""
        parts = rows_lib.names(source)
        embeddings.plan(source, folder, run, self.embedding)
        if not (folder / MEAN).is_file():
            steps.write_json(folder / MEAN, _about(folder, parts))
        work = functools.partial(self._write_keys, source, folder)
        check = functools.partial(self._check, folder, parts)
        groups.plan(folder, parts, work, run, check=check)

    def apply(self, rows: Sequence[rows_lib.Row], folder: Path, part: str) -> steps.Outcome:
        """As of `steps.Step`."""
        drops = groups.read_drops(folder, part)
        kept, dropped = [], []
        for row in rows:
            if row.id in drops:
                dropped.append(rows_lib.Dropped.of(row, REASON, f"of {drops[row.id][0]}"))
            else:
                kept.append(row)
        return steps.Outcome(kept, dropped)

    def _write_keys(self, source: Path, folder: Path, part: str) -> None:
        about = steps.read_json(folder / MEAN)
        mean = np.array(about["mean"], np.float32)
        # Without what all have in common, two are less alike.
        common = min(float(mean @ mean), _MOST_COMMON)
        threshold = (self.config.threshold - common) / (1 - common)
        shape = shape_of_runs(about["rows"], threshold)
        vectors = embeddings.read(folder, part)
        places = vectors.by_row()
        ranks = {name: rank for rank, name in enumerate(self.kinds)}
        keys = []
        for row in rows_lib.read(source / part):
            ours, scope = places.get(row.id, []), self.images.scope(row.source, self.kinds)
            if scope is None or not ours or len(ours) != len(row.media):
                continue
            # Of rows of several pictures the first ones are looked up, and all are compared.
            vector = vectors.values[ours[0]].astype(np.float32) - mean
            series = dedup_images.series(row)
            keys += [
                groups.Key(f"{scope} {len(ours)} {run}", ranks[row.source], row.id, series)
                for run in runs_of_bits(vector, shape)
            ]
        groups.write_keys(folder, part, keys)

    def _check(self, folder: Path, parts: Sequence[str], found: pyarrow.Table) -> pyarrow.Table:
        """The candidates all of whose pictures are like enough."""
        if not found.num_rows:
            return found
        # A pair may share many runs.
        pairs = found.group_by(["part", "row", "of"]).aggregate([("key", "min")])
        pairs = pairs.rename_columns({"key_min": "key"}).select(found.column_names)
        wanted = pyarrow.chunked_array([*pairs["row"].chunks, *pairs["of"].chunks]).unique()
        tables = [embeddings.read(folder, part, wanted) for part in parts]
        tables = [table for table in tables if table.rows]
        known = embeddings.Vectors(
            [row for table in tables for row in table.rows],
            [medium for table in tables for medium in table.media],
            np.concatenate([table.values for table in tables]),
        )
        alike = _alike(known, pairs["row"].to_pylist(), pairs["of"].to_pylist())
        return pairs.filter(pyarrow.array(alike >= self.config.threshold))


def runs_of_bits(vector: Float32[np.ndarray, " D"], shape: tuple[int, int]) -> Iterator[str]:
    """The keys of a vector.

    Args:
      vector: Without the mean of all.
      shape: From `shape_of_runs`.
    """
    width, count = shape
    sides = (vector @ _planes(len(vector), width * count) > 0).reshape(count, width)
    for number, side in enumerate(sides):
        yield f"{number:03d} {np.packbits(side).tobytes().hex()}"


def shape_of_runs(rows: int, threshold: float) -> tuple[int, int]:
    """How many bits a run has, and how many runs there are.

    Of two that are just like enough, 99 of 100 share a run, unless that would take more runs than
    are made at most.

    Args:
      rows: Of all.
      threshold: Cosine that is like enough, of vectors without the mean of all.
    """
    width = min(_MOST_BITS, math.ceil(math.log2(max(rows, 2))) + _EXTRA_BITS)
    angle = math.acos(min(max(threshold, _LOWEST), _HIGHEST))
    same = (1 - angle / math.pi) ** width
    return width, min(_MOST_RUNS, math.ceil(math.log(_MISSED) / math.log1p(-same)))


def _about(folder: Path, parts: Sequence[str]) -> dict[str, Any]:
    """How many vectors there are, and their mean; 0 where they are few."""
    total, count = None, 0
    for part in parts:
        values = embeddings.read(folder, part).values
        if len(values):
            added = values.astype(np.float64).sum(0)
            total = added if total is None else total + added
            count += len(values)
    if total is None:
        return {"rows": 0, "mean": []}
    return {"rows": count, "mean": (total / count if count >= _FEWEST else 0 * total).tolist()}


def _alike(
    known: embeddings.Vectors, rows: Sequence[str], others: Sequence[str]
) -> Float[np.ndarray, " pairs"]:
    """The lowest cosine of the pictures of two rows, which have the same number of them."""
    places = known.by_row()
    lowest = np.ones(len(rows), np.float32)
    owners, left, right = [], [], []
    for pair, (row, other) in enumerate(zip(rows, others, strict=True)):
        owners += [pair] * len(places[row])
        left += places[row]
        right += places[other]
    for start in range(0, len(owners), _PAIRS_AT_A_TIME):
        piece = slice(start, start + _PAIRS_AT_A_TIME)
        one, two = (known.values[side[piece]].astype(np.float32) for side in (left, right))
        cosines = (one * two).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(two, axis=1)
        np.minimum.at(lowest, owners[piece], cosines)
    return lowest


@functools.cache
def _planes(width: int, count: int) -> Float32[np.ndarray, "D planes"]:
    return np.random.default_rng(0).normal(size=(width, count)).astype(np.float32)
