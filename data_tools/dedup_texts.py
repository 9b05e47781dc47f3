# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The step that leaves one of texts that are nearly the same, that of the most trusted source.

MinHash and its bands come from `datasketch`. Rows that share a band with a row of a more trusted
source, or an earlier one, are compared with it by their signatures, and go if enough is equal.
Likeness is followed from row to row: what goes may be like one that goes itself.
"""

import dataclasses
import functools
import importlib.metadata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasketch
import numpy as np
import pyarrow
from jaxtyping import UInt64
from pyarrow import compute, parquet

from data_tools import groups, steps
from data_tools import rows as rows_lib
from lingshu_jax.common import errors
from lingshu_jax.data import fingerprints

REASON = "near-duplicate text"
SIGNATURES = "signatures"
_SCHEMA = pyarrow.schema([("row", pyarrow.string()), ("signature", pyarrow.binary())])


@dataclasses.dataclass(kw_only=True)
class Config:
    """Which texts are nearly the same. The paper states none of the numbers.

    Attributes:
      kinds: Of the sources that are compared with each other. Questions about pictures are alike
        without being the same.
      words: Runs of so many words are compared.
      threshold: Share of runs that two texts have in common, of those that either has.
      num_perm: Length of a signature.
    """

    kinds: tuple[str, ...] = ("text",)
    words: int = 5
    threshold: float = 0.8
    num_perm: int = 128

    def validate(self) -> None:
        """Raises UserError naming the field, its value and what is allowed."""
        for name, low, high in (("words", 1, 100), ("num_perm", 16, 4096)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise errors.UserError(
                    f"config.dedup_texts.{name} must be {low} to {high}, got {value}"
                )
        if not 0 < self.threshold < 1:
            raise errors.UserError(
                f"config.dedup_texts.threshold must be above 0 and below 1, got {self.threshold}"
            )


@dataclasses.dataclass(frozen=True)
class DedupTexts:
    """The step.

    Attributes:
      config: What is the same.
      kinds: Kind of each source by name, in the order of trust.
    """

    config: Config
    kinds: Mapping[str, str]
    name: str = "dedup_texts"

    def settings(self) -> dict[str, Any]:
        """As of `steps.Step`."""
        return {
            **dataclasses.asdict(self.config),
            "trust": list(self.kinds.items()),
            "words_of": fingerprints.TEXT_VERSION,
            "datasketch": importlib.metadata.version("datasketch"),
        }

    def plan(self, source: Path, folder: Path, run: steps.Run) -> None:
        """Makes all signatures and finds the rows that are like one that stays."""
        parts = rows_lib.names(source)
        work = functools.partial(self._write_keys, source, folder)
        check = functools.partial(self._check, [folder / SIGNATURES / part for part in parts])
        groups.plan(folder, parts, work, run, check=check)

    def apply(self, rows: Sequence[rows_lib.Row], folder: Path, part: str) -> steps.Outcome:
        """As of `steps.Step`."""
        drops = groups.read_drops(folder, part)
        kept = [row for row in rows if row.id not in drops]
        dropped = [
            rows_lib.Dropped.of(row, REASON, f"of {drops[row.id][0]}")
            for row in rows
            if row.id in drops
        ]
        return steps.Outcome(kept, dropped)

    def _write_keys(self, source: Path, folder: Path, part: str) -> None:
        keys, signatures = [], []
        ranks = {name: rank for rank, name in enumerate(self.kinds)}
        for row in rows_lib.read(source / part):
            if self.kinds[row.source] not in self.config.kinds:
                continue
            signature = sign("\n".join(row.texts()), self.config)
            if signature is None:
                continue
            signatures.append({"row": row.id, "signature": signature.tobytes()})
            rank = ranks[row.source]
            keys += [groups.Key(key, rank, row.id) for key in bands(signature, self.config)]
        table = pyarrow.Table.from_pylist(signatures, schema=_SCHEMA)
        rows_lib.write_table(folder / SIGNATURES / part, table)
        groups.write_keys(folder, part, keys)

    def _check(self, files: Sequence[Path], found: pyarrow.Table) -> pyarrow.Table:
        """The candidates whose signatures say that enough is equal."""
        if not found.num_rows:
            return found
        wanted = pyarrow.chunked_array([*found["row"].chunks, *found["of"].chunks]).unique()
        known = {
            entry["row"]: np.frombuffer(entry["signature"], np.uint64)
            for file in files
            for entry in _read_signatures(file, wanted)
        }
        pairs = zip(found["row"].to_pylist(), found["of"].to_pylist(), strict=True)
        alike = [likeness(known[row], known[of]) >= self.config.threshold for row, of in pairs]
        return found.filter(pyarrow.array(alike, pyarrow.bool_()))


def sign(text: str, config: Config) -> UInt64[np.ndarray, " num_perm"] | None:
    """The MinHash signature of a text; None where it has no words.

    Args:
      text: Any; a text of fewer words than a run is one run.
      config: Runs and length.
    """
    words = fingerprints.words(text)
    if not words:
        return None
    runs = {
        " ".join(words[start : start + config.words])
        for start in range(max(1, len(words) - config.words + 1))
    }
    hashed = datasketch.MinHash(num_perm=config.num_perm, seed=1)
    hashed.update_batch([run.encode() for run in sorted(runs)])
    return hashed.hashvalues.astype(np.uint64)


def bands(signature: UInt64[np.ndarray, " num_perm"], config: Config) -> Iterator[str]:
    """The keys of a signature: texts that are like each other share one, very likely.

    Args:
      signature: From `sign`.
      config: The threshold decides how many there are.
    """
    count, width = _bands(config.threshold, config.num_perm)
    for band in range(count):
        values = signature[band * width : (band + 1) * width]
        yield f"{band:03d} {values.tobytes().hex()}"


def likeness(one: UInt64[np.ndarray, " num_perm"], two: UInt64[np.ndarray, " num_perm"]) -> float:
    """The estimated share of runs that two texts have in common (Jaccard), 0 to 1.

    Args:
      one: Signature of a text.
      two: Of another one.
    """
    return float(np.mean(one == two))


@functools.cache
def _bands(threshold: float, num_perm: int) -> tuple[int, int]:
    """How many bands, and how wide, as `datasketch` chooses them."""
    index = datasketch.MinHashLSH(threshold=threshold, num_perm=num_perm)
    return index.b, index.r


def _read_signatures(file: Path, wanted: pyarrow.Array) -> list[dict[str, Any]]:
    table = parquet.read_table(file)
    return table.filter(compute.field("row").isin(wanted)).to_pylist()
