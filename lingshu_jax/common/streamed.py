# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Arrays larger than the memory: written block by block as orbax reads them, read in parts."""

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


class StoredLeaf:
    """A parameter inside a step, read part by part.

    Attributes:
      shape: Of the whole.
      dtype: Of its values.
    """

    def __init__(self, item: Any, name: str, shape: tuple[int, ...], *, is_merged: bool):
        """Opens the array; values are read when they are asked for.

        Args:
          item: Folder of the parameters of a step, an absolute path or an address.
          name: Of the leaf, the keys of its path with dots between them.
          shape: Of the whole.
          is_merged: Whether the arrays of the folder lie together in one store (OCDBT).
        """
        base = paths.tensorstore_spec(item / name)
        if is_merged:
            whole = paths.tensorstore_spec(item)
            base = {"driver": "ocdbt", "base": whole, "path": f"{name}/"}
        # Mapped files spare a copy of every chunk.
        context = ts.Context({"file_io_mode": {"mode": "memmap"}})
        store = ts.open({"driver": "zarr", "kvstore": base}, read=True, context=context).result()
        self._store = store
        self._order = store.spec().to_json()["metadata"]["order"]
        self.shape, self.dtype = shape, store.dtype.numpy_dtype

    def __getitem__(self, index: Any) -> np.ndarray:
        """A part, in the order in which it is stored.

        Args:
          index: As of a numpy array.
        """
        part = self._store[index]
        out = np.empty(part.shape, self.dtype, order=self._order)
        ts.array(out).write(part).result()
        return out
