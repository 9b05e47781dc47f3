# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Which rows are kept for validation: whole groups, so that nothing is seen on both sides.

Rows are of one group if they share a picture, a patient, a case, a series or a parent, or if each
shares one with a third. A whole group goes to one side, for all mixtures of a curation alike. The
groups are those of `scipy.sparse.csgraph`: eight bytes a key are in memory, never a row.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int64, UInt64
from scipy import sparse
from scipy.sparse import csgraph

from data_tools import rows as rows_lib
from lingshu_jax.common import errors


def number(text: str) -> int:
    """A text as 64 bits that are spread evenly.

    Args:
      text: Any.
    """
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")


def keys(row: rows_lib.Row, columns: Sequence[str]) -> list[str]:
    """What a row must not share with one of the other side.

    Args:
      row: With the fact `image_hashes` where it has media.
      columns: Facts, or columns of its publisher, that name its patient or case.

    Raises:
      UserError: If its pictures were never hashed.
    """
    if row.media and "image_hashes" not in row.facts:
        raise errors.UserError(f"row {row.id} has no image_hashes: dedup_images comes first")
    found = [f"row {row.id}"]
    found += [f"picture {key}" for keys in row.facts.get("image_hashes", ()) for key in keys]
    for column in columns:
        value = row.facts.get(column) or row.meta.get(column)
        if isinstance(value, str | int) and value:
            found.append(f"{row.source} {column} {value}")
    return [*found, *(f"row {parent}" for parent in parents(row))]


def parents(row: rows_lib.Row) -> list[str]:
    """Ids of the rows that a made row was made from; none of any other row.

    Args:
      row: Its `provenance` may have `parents`.
    """
    provenance = row.meta.get("provenance")
    found = provenance.get("parents") if isinstance(provenance, dict) else None
    return [parent for parent in found or () if isinstance(parent, str)]


def groups(
    rows: Int64[np.ndarray, " K"], keys: UInt64[np.ndarray, " K"], count: int
) -> Int64[np.ndarray, " rows"]:
    """The group of each row, numbered from 0.

    Args:
      rows: The row that each key is of.
      keys: The keys; each row has one at least.
      count: Rows that there are.
    """
    names, places = np.unique(keys, return_inverse=True)
    size = count + len(names)
    ones = np.ones(len(rows), np.int8)
    links = sparse.coo_array((ones, (rows, places + count)), shape=(size, size))
    _, labels = csgraph.connected_components(links, directed=False)
    return np.unique(labels[:count], return_inverse=True)[1].astype(np.int64)


def held_out(
    labels: Int64[np.ndarray, " rows"], draws: UInt64[np.ndarray, " rows"], share: float
) -> Bool[np.ndarray, " rows"]:
    """Which rows are for validation: groups in a drawn order, up to the first that is too many.

    A group that is larger than what is wanted in all stays in training.

    Args:
      labels: From `groups`.
      draws: A number of each row; the smallest one of a group draws for it.
      share: Of the rows, 0 to 1; it is not exceeded.
    """
    if not len(labels):
        return np.zeros(0, np.bool_)
    sizes = np.bincount(labels)
    firsts = np.full(len(sizes), np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(firsts, labels, draws)
    # Of many draws the smallest is very small, but its last bytes are as any other's: in their
    # order, large groups come no sooner.
    order = np.argsort(firsts.byteswap(), kind="stable")
    order = order[sizes[order] <= int(share * len(labels))]
    fits = np.cumsum(sizes[order]) <= int(share * len(labels))
    chosen = np.zeros(len(sizes), np.bool_)
    chosen[order[fits]] = True
    return chosen[labels]
