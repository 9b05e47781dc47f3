# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Arrays larger than the memory, written block by block in the layout that orbax reads."""

import collections
import itertools
from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
import tensorstore as ts

from lingshu_jax.common import paths

_WRITES_IN_FLIGHT = 3  # blocks in memory


class StreamedLeaf(Protocol):
    """What `write` wants of an array.

    Attributes:
      shape: Of the whole.
      dtype: Of its values.
      is_stacked: Whether axis 0 is the layer.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    is_stacked: bool

    def blocks(self) -> Iterable[tuple[tuple[Any, ...], np.ndarray]]:
        """(index, values) pairs that cover the whole; all but the last of a layer equal in size."""
        ...


async def write(leaf: StreamedLeaf, folder: Any) -> None:
    """Writes one array.

    Chunks are the blocks, in the order of axes in which the first one lies in memory.

    Args:
      leaf: The array.
      folder: Its own, which exists.
    """
    blocks = iter(leaf.blocks())
    index, first = next(blocks)
    metadata = {
        "shape": leaf.shape,
        "chunks": (1, *first.shape) if leaf.is_stacked else first.shape,
        "dtype": leaf.dtype.name if leaf.dtype.name == "bfloat16" else leaf.dtype.str,
        "order": "F" if first.flags.f_contiguous and not first.flags.c_contiguous else "C",
        "compressor": None,
    }
    # As with `cp`: a conversion can be made again, so a chunk does not wait for the disk.
    context = ts.Context({"file_io_sync": False})
    store = await ts.open(
        {"driver": "zarr", "kvstore": paths.tensorstore_spec(folder), "metadata": metadata},
        create=True,
        open=True,
        context=context,
    )
    writing: collections.deque[Any] = collections.deque()
    for place, values in itertools.chain([(index, first)], blocks):
        if len(writing) == _WRITES_IN_FLIGHT:
            await writing.popleft()
        # Nothing writes into a block, so tensorstore needs no copy of its own.
        writing.append(store[place].write(values, can_reference_source_data_indefinitely=True))
    for write in writing:
        await write
