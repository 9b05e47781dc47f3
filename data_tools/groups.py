# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Rows that have a key in common: the first one stays, the others are named. No pairs are compared.

Keys of every partition are written to tables of their own; Daft groups them, as many keys at a
time as fit the memory; what has to go is written by partition again.

    FOLDER/keys/<partition>    key, first, part, row, series
    FOLDER/drops/<partition>   row, of: the row that stays, and its key
    FOLDER/GROUPED             written last
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow
from pyarrow import compute, parquet

from data_tools import engine, steps
from data_tools import rows as rows_lib

KEYS, DROPS, DONE = "keys", "drops", "GROUPED"
ROWS_AT_A_TIME = 4_000_000  # of key tables in one query, some hundred bytes each
SCHEMA = pyarrow.schema(
    [(name, pyarrow.string()) for name in ("key", "first", "part", "row", "series")]
)
DROPS_SCHEMA = pyarrow.schema([(name, pyarrow.string()) for name in ("row", "of", "key")])


class Key(NamedTuple):
    """A key of a row.

    Attributes:
      key: Equal for rows of which one is enough.
      rank: Of rows with one key that of the lowest rank stays, then that of the first id.
      row: Id of the row.
      series: Rows of the series that stays all stay; "" is none.
    """

    key: str
    rank: int
    row: str
    series: str = ""


def write_keys(folder: Path, part: str, keys: Sequence[Key]) -> None:
    """Writes the keys of a partition.

    Args:
      folder: Of the groups.
      part: Name of the partition.
      keys: Of its rows; a row may have none, or several.
    """
    values = [
        {
            "key": key.key,
            "first": f"{key.rank:06d} {key.row}",
            "part": part,
            "row": key.row,
            "series": key.series,
        }
        for key in keys
    ]
    rows_lib.write_table(folder / KEYS / part, pyarrow.Table.from_pylist(values, schema=SCHEMA))


def plan(
    folder: Path,
    parts: Sequence[str],
    work: Callable[[str], Any],
    run: steps.Run,
    *,
    check: Callable[[pyarrow.Table], pyarrow.Table] | None = None,
) -> None:
    """Writes the keys that are missing, and groups them.

    Args:
      folder: Of the groups.
      parts: Names of all partitions.
      work: Writes the keys of one.
      run: How work is spread.
      check: Of the table of `candidates`, those rows that really equal the one that stays; None
        takes a key as proof.
    """
    if (folder / DONE).is_file():
        return
    run.each(work, [part for part in parts if not (folder / KEYS / part).is_file()])
    found = candidates([folder / KEYS / part for part in parts])
    drops = _once(check(found) if check else found)
    for part in parts:
        ours = drops.filter(compute.field("part") == part).drop_columns(["part"])
        rows_lib.write_table(folder / DROPS / part, ours.cast(DROPS_SCHEMA))
    steps.write_json(folder / DONE, {"dropped": drops.num_rows})


def read_drops(folder: Path, part: str) -> dict[str, tuple[str, str]]:
    """The rows of a partition that have to go, with the row that stays and their key.

    Args:
      folder: Of the groups, planned.
      part: Name of the partition.
    """
    found = parquet.read_table(folder / DROPS / part).to_pylist()
    return {entry["row"]: (entry["of"], entry["key"]) for entry in found}


def candidates(files: Sequence[Path]) -> pyarrow.Table:
    """All rows that share a key with one that stays: columns part, row, of, key; in no order.

    A row with several keys may be there several times.

    Args:
      files: From `write_keys`.
    """
    total = sum(parquet.read_metadata(file).num_rows for file in files)
    passes = max(1, math.ceil(total / ROWS_AT_A_TIME))
    return pyarrow.concat_tables([_group(files, number, passes) for number in range(passes)])


def _group(files: Sequence[Path], number: int, passes: int) -> pyarrow.Table:
    """The same for the keys of one pass."""
    daft = engine.load()
    col = daft.col
    keys = daft.read_parquet([str(file) for file in files])
    if passes > 1:
        keys = keys.where((col("key").hash() % passes) == number)
    first = keys.groupby("key").agg(col("first").min().alias("kept"))
    kept = keys.join(first, left_on=["key", "first"], right_on=["key", "kept"]).select(
        col("key"), col("row").alias("of"), col("series").alias("kept_series")
    )
    others = keys.join(kept, on="key").where(
        (col("row") != col("of")) & ((col("series") == "") | (col("series") != col("kept_series")))
    )
    return others.select("part", "row", "of", "key").to_arrow()


def _once(table: pyarrow.Table) -> pyarrow.Table:
    """Each row once, with the first of what it equals."""
    firsts = table.group_by(["part", "row"]).aggregate([("of", "min"), ("key", "min")])
    named = firsts.rename_columns({"of_min": "of", "key_min": "key"})
    return named.select(["part", "row", "of", "key"]).sort_by(
        [("part", "ascending"), ("row", "ascending")]
    )
