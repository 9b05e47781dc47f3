# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Safetensors files of any size: mapped into memory, written tensor by tensor.

The safetensors library checks every file that is read. It hands out copies and wants all tensors
of a file at once, so mapping and writing are done here, by its published format: the length of
the header (8 bytes, little endian), the header (JSON: name to dtype, shape and offsets), the data.

Source: safetensors documentation, "Format".
"""

import collections
import json
import pathlib
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from typing import NamedTuple

import ml_dtypes
import numpy as np
import safetensors

from lingshu_jax.common import errors

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
SHARD_BYTES = 5 * 2**30
_HEADER_ALIGNMENT = 8
_BLOCKS_AHEAD = 2

# The dtypes that weights of these models come in; others are quantised or not weights.
DTYPES: Mapping[str, np.dtype] = {
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
}


class Entry(NamedTuple):
    """One tensor to be written.

    Attributes:
      name: In the file.
      shape: Of the whole tensor.
      dtype: One of `DTYPES`.
      blocks: Each makes a part of its content, the C-contiguous arrays that follow each other
        along the first axis; several may run at a time.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    blocks: Sequence[Callable[[], np.ndarray]]

    @property
    def nbytes(self) -> int:
        """Size of the tensor in the file."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


class Tensors(Mapping[str, np.ndarray]):
    """The tensors of a folder as read-only arrays mapped from its files; nothing is copied."""

    def __init__(self, folder: pathlib.Path, rename: Callable[[str], str] = str):
        """Maps the shards named by the index, or model.safetensors.

        Args:
          folder: A Hugging Face folder.
          rename: From the name in the file to the key of this mapping.

        Raises:
          UserError: If there are no safetensors, a shard is missing or damaged, a tensor has a
            dtype that is not in `DTYPES`, or two tensors have one name.
        """
        self._tensors: dict[str, np.ndarray] = {}
        for path in _find_shards(folder):
            for stored, tensor in _map_file(path):
                name = rename(stored)
                if name in self._tensors:
                    raise errors.UserError(f"{folder} holds two tensors for {name}")
                self._tensors[name] = tensor

    def __getitem__(self, name: str) -> np.ndarray:
        """The mapped tensor."""
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        """Iterates over the names."""
        return iter(self._tensors)

    def __len__(self) -> int:
        """How many tensors there are."""
        return len(self._tensors)


def write(
    folder: pathlib.Path, entries: Iterable[Entry], *, shard_bytes: int = SHARD_BYTES
) -> None:
    """Writes one file, or several and their index; holds a few blocks at a time.

    Args:
      folder: Where to; must exist.
      entries: The tensors.
      shard_bytes: A file is closed before it would grow beyond this.
    """
    shards: list[list[Entry]] = [[]]
    room = shard_bytes
    for entry in entries:
        if entry.nbytes > room and shards[-1]:
            shards.append([])
            room = shard_bytes
        shards[-1].append(entry)
        room -= entry.nbytes
    names = _shard_names(len(shards))
    for name, shard in zip(names, shards, strict=True):
        _write_file(folder / name, shard)
    if len(shards) > 1:
        weight_map = {e.name: n for n, shard in zip(names, shards, strict=True) for e in shard}
        total = sum(entry.nbytes for shard in shards for entry in shard)
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (folder / INDEX).write_text(json.dumps(index, indent=2))


def _write_file(path: pathlib.Path, entries: Sequence[Entry]) -> None:
    names = {dtype: name for name, dtype in DTYPES.items()}
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for entry in entries:
        end = offset + entry.nbytes
        header[entry.name] = {
            "dtype": names[entry.dtype],
            "shape": list(entry.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _HEADER_ALIGNMENT)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        names_of_blocks = [entry.name for entry in entries for _ in entry.blocks]
        written = dict.fromkeys(names_of_blocks, 0)
        blocks = _make_ahead(make for entry in entries for make in entry.blocks)
        for name, block in zip(names_of_blocks, blocks, strict=True):
            written[name] += file.write(_as_bytes(block))
    for entry in entries:
        found = written[entry.name]
        assert found == entry.nbytes, f"{entry.name}: {found} bytes, not {entry.nbytes}"


def _make_ahead(makers: Iterable[Callable[[], np.ndarray]]) -> Iterator[np.ndarray]:
    """The blocks in order; the next ones are made by threads while one is in use."""
    with futures.ThreadPoolExecutor(_BLOCKS_AHEAD) as pool:
        pending: collections.deque[futures.Future[np.ndarray]] = collections.deque()
        for make in makers:
            pending.append(pool.submit(make))
            if len(pending) > _BLOCKS_AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _as_bytes(block: np.ndarray) -> memoryview:
    assert block.flags.c_contiguous, "blocks are C-contiguous"
    return block.reshape(-1).view(np.uint8).data


def _map_file(path: pathlib.Path) -> Iterator[tuple[str, np.ndarray]]:
    """(name, mapped tensor) of one file that the library has found to be whole."""
    try:
        with safetensors.safe_open(path, framework="np"):
            pass
    except (safetensors.SafetensorError, OSError) as error:
        raise errors.UserError(f"{path} is damaged or no safetensors file: {error}") from error
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    dtypes = {name: about["dtype"] for name, about in header.items()}
    odd = [f"{name}: {dtype}" for name, dtype in dtypes.items() if dtype not in DTYPES]
    if odd:
        raise errors.UserError(
            f"{path} holds tensors of other dtypes than {', '.join(DTYPES)}: {shorten(odd)}; "
            "quantised weights are not read"
        )
    is_empty = path.stat().st_size == 8 + length  # which cannot be mapped
    data = np.empty(0, np.uint8) if is_empty else np.memmap(path, mode="r", offset=8 + length)
    data = np.asarray(data)
    for name, about in header.items():
        start, end = about["data_offsets"]
        yield name, data[start:end].view(DTYPES[about["dtype"]]).reshape(about["shape"])


def _find_shards(folder: pathlib.Path) -> list[pathlib.Path]:
    index = folder / INDEX
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise errors.UserError(
                f"{index} must be JSON with a weight_map from tensor to file: {error}"
            ) from error
    else:
        names = [SINGLE]
    inside = [name for name in names if pathlib.Path(str(name)).name == name]
    if len(inside) < len(names):
        raise errors.UserError(f"{index} names files outside its folder: {names}")
    missing = [name for name in names if not (folder / name).is_file()]
    if missing and index.is_file():
        raise errors.UserError(f"{folder} holds no {shorten(missing)}, which {INDEX} names")
    if missing:
        raise errors.UserError(
            f"{folder} holds no {SINGLE}; a Hugging Face folder with safetensors weights is "
            "needed (pickled .bin files are not read)"
        )
    return [folder / name for name in names]


def _shard_names(count: int) -> list[str]:
    if count == 1:
        return [SINGLE]
    return [f"model-{i:05d}-of-{count:05d}.safetensors" for i in range(1, count + 1)]


def shorten(names: Sequence[str]) -> str:
    """The first eight and how many more, for a message."""
    return f"{names[:8]} and {len(names) - 8} more" if len(names) > 8 else str(names)
