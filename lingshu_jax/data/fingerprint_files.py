# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Fingerprints of training rows in a Parquet file; needs `lingshu-jax[data]`.

One row a training row: `id`, `source`, and lists of unsigned 64-bit keys `images`, `texts` and
`ngrams`. The file says with which rules the keys were made, and is read batch by batch: whoever
looks something up in it holds what is looked up, never the file.
"""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow
from jaxtyping import Int64, UInt64
from pyarrow import parquet

from lingshu_jax.common import errors, paths
from lingshu_jax.data import fingerprints

BATCH_ROWS = 8192
_NOTE = b"lingshu_jax.fingerprints"  # key of the file's own metadata
_FORMAT = 1
_LISTS = ("images", "texts", "ngrams")
_SCHEMA = pyarrow.schema(
    [
        ("id", pyarrow.string()),
        ("source", pyarrow.string()),
        *((name, pyarrow.list_(pyarrow.uint64())) for name in _LISTS),
    ]
)
_BROKEN = (pyarrow.ArrowException, OSError, ValueError)


class Keys(NamedTuple):
    """The keys of a batch, those of one row behind those of the row before.

    Attributes:
      values: The keys.
      rows: The place in the batch of the row that each is of.
    """

    values: UInt64[np.ndarray, " keys"]
    rows: Int64[np.ndarray, " keys"]


class Batch(NamedTuple):
    """Some training rows.

    Attributes:
      sources: Names of the sources that occur.
      source_of: Place in `sources` of each row.
      images: Keys of pictures.
      texts: Keys of questions.
      ngrams: Keys of runs of words.
    """

    sources: list[str]
    source_of: Int64[np.ndarray, " rows"]
    images: Keys
    texts: Keys
    ngrams: Keys


def as_numbers(keys: Sequence[str]) -> UInt64[np.ndarray, " keys"]:
    """Keys as the file has them.

    Args:
      keys: Of `fingerprints`.
    """
    return np.array([int(key, 16) for key in keys], np.uint64)


def write(
    path: Path,
    prints: Iterable[fingerprints.Fingerprint],
    *,
    meta: Callable[[], Mapping[str, Any]],
) -> dict[str, Any]:
    """Writes the file, whole or not at all; some thousand rows are in memory at a time.

    Args:
      path: The file; its folder is made.
      prints: Of the rows.
      meta: Called after the last row: what else is noted in the file, JSON values.

    Returns:
      What is noted: `rows`, how many, also with pictures; versions; and `meta`.

    Raises:
      UserError: If the library that hashes pictures is not installed.
    """
    note = {
        "format": _FORMAT,
        "image_version": fingerprints.image_version(),
        "text_version": fingerprints.TEXT_VERSION,
    }
    counts = dict.fromkeys(("rows", "rows_with_images", *_LISTS), 0)
    rest = iter(prints)
    path.parent.mkdir(parents=True, exist_ok=True)
    with paths.whole_file(path) as partial, parquet.ParquetWriter(str(partial), _SCHEMA) as file:
        while some := list(itertools.islice(rest, BATCH_ROWS)):
            file.write_batch(_record_batch(some))
            counts["rows"] += len(some)
            counts["rows_with_images"] += sum(bool(one.images) for one in some)
            for name in _LISTS:
                counts[name] += sum(len(getattr(one, name)) for one in some)
        note |= {**counts, **meta()}
        file.add_key_value_metadata({_NOTE: json.dumps(note).encode()})
    return note


def read_note(path: Path) -> dict[str, Any]:
    """What is noted in a file of fingerprints.

    Args:
      path: The file.

    Raises:
      UserError: If it is none, or its keys were made by other rules than are used here.
    """
    try:
        with parquet.ParquetFile(path) as file:
            noted, schema = file.metadata.metadata or {}, file.schema_arrow
    except _BROKEN as error:
        raise errors.UserError(f"{path} is no Parquet file, or it is truncated: {error}") from error
    if _NOTE not in noted or not schema.remove_metadata().equals(_SCHEMA):
        raise errors.UserError(
            f"{path} holds no fingerprints; `python -m data_tools.fingerprint` makes them"
        )
    note = json.loads(noted[_NOTE])
    here = {"format": _FORMAT, "text_version": fingerprints.TEXT_VERSION}
    if note["images"]:
        here["image_version"] = fingerprints.image_version()
    for name, wanted in here.items():
        if note[name] != wanted:
            raise errors.UserError(
                f"{path} was made with {name} {note[name]!r}, here it is {wanted!r}: keys of the"
                " two cannot be compared; make the file again"
            )
    return note


def read(path: Path) -> Iterator[Batch]:
    """The rows of a file, without their ids, some thousand in memory at a time.

    Args:
      path: The file.

    Raises:
      UserError: As in `read_note`, or if a part of the file is damaged.
    """
    read_note(path)
    try:
        with parquet.ParquetFile(path) as file:
            for found in file.iter_batches(BATCH_ROWS, columns=["source", *_LISTS]):
                yield _batch(found)
    except _BROKEN as error:
        raise errors.UserError(f"{path} is damaged: {error}") from error


def _record_batch(some: Sequence[fingerprints.Fingerprint]) -> pyarrow.RecordBatch:
    columns: list[Any] = [[one.id for one in some], [one.source for one in some]]
    arrays: list[pyarrow.Array] = [pyarrow.array(column, pyarrow.string()) for column in columns]
    for name in _LISTS:
        keys = [getattr(one, name) for one in some]
        ends = np.cumsum([0, *map(len, keys)], dtype=np.int32)
        values = as_numbers([*itertools.chain.from_iterable(keys)])
        arrays.append(pyarrow.ListArray.from_arrays(pyarrow.array(ends), pyarrow.array(values)))
    return pyarrow.RecordBatch.from_arrays(arrays, schema=_SCHEMA)


def _batch(found: pyarrow.RecordBatch) -> Batch:
    sources = found.column("source").dictionary_encode()
    images, texts, ngrams = (_keys(found.column(name)) for name in _LISTS)
    return Batch(
        sources=sources.dictionary.to_pylist(),
        source_of=sources.indices.to_numpy().astype(np.int64),
        images=images,
        texts=texts,
        ngrams=ngrams,
    )


def _keys(column: Any) -> Keys:
    lengths = column.value_lengths().to_numpy(zero_copy_only=False)
    rows = np.repeat(np.arange(len(lengths), dtype=np.int64), lengths)
    return Keys(column.flatten().to_numpy(zero_copy_only=False), rows)
