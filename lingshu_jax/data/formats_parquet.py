# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Rows of Parquet files; imported with the first of them, for it needs `lingshu-jax[data]`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet

from lingshu_jax.common import errors
from lingshu_jax.data import formats

BATCH_ROWS = 64  # rows may hold pictures
BROKEN = (pyarrow.ArrowException, OSError, ValueError)


def read_parquet(path: Path) -> Iterator[tuple[int, Any]]:
    """The rows of a file with their places, one batch in memory at a time.

    Args:
      path: The file.

    Yields:
      (place, row), or (place, a RowError): what is missing of a damaged row group is refused
      row by row.

    Raises:
      UserError: If the file as a whole does not read.
    """
    try:
        file = parquet.ParquetFile(path)
    except BROKEN as error:
        raise errors.UserError(f"{path} is no Parquet file, or it is truncated: {error}") from error
    line = 0
    with file:
        for group in range(file.num_row_groups):
            end = line + file.metadata.row_group(group).num_rows
            for row in _group_rows(file, group):
                if line < end:
                    line += 1
                    yield line, row
            while line < end:
                line += 1
                yield line, formats.RowError(f"row group {group} is damaged")


def _group_rows(file: parquet.ParquetFile, group: int) -> Iterator[Any]:
    """Rows of a row group up to the first damage, and the reason of that in the next place."""
    try:
        for batch in file.iter_batches(BATCH_ROWS, row_groups=[group]):
            yield from _batch_rows(batch)
    except BROKEN as error:
        yield formats.RowError(f"row group {group} is damaged: {error}")


def _batch_rows(batch: pyarrow.RecordBatch) -> Iterator[Any]:
    """Rows of a batch; text that is no UTF-8 refuses its own row only."""
    for place in range(batch.num_rows):
        try:
            [row] = batch.slice(place, 1).to_pylist()
        except ValueError as error:
            row = formats.RowError(f"a value does not read: {error}")
        yield row
