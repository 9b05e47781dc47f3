# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Live weights to vLLM: our parameters as named tensors of the hub, without files or pickle.

The tensors are those of an export (`models/hf.py`), in the order of the layers. Some at a time are
written into one piece of anonymous memory that vLLM's workers map by its name, and a description in
JSON tells them what lies where. So it works in one process and for a server of this machine.
"""

import contextlib
import mmap
import os
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from flax import traverse_util

from lingshu_jax.common import errors
from lingshu_jax.models import hf, lora, safetensors_files, sizes

BUCKET_BYTES = 256 * 2**20  # more where one tensor is larger
_ALIGNMENT = 64


@runtime_checkable
class Receiver(Protocol):
    """vLLM's protocol of weight updates, in process or behind HTTP."""

    def start_weight_update(self) -> None:
        """Before the first bucket."""
        ...

    def update_weights(self, update_info: dict[str, Any]) -> None:
        """Loads a bucket; its memory is free again afterwards."""
        ...

    def finish_weight_update(self) -> None:
        """After the last."""
        ...

    def close(self) -> None:
        """Ends the engine, whose weights are incomplete."""
        ...


class Sync(NamedTuple):
    """What a transfer took.

    Attributes:
      num_bytes: Of all tensors.
      seconds: From the first tensor to ready weights.
    """

    num_bytes: int
    seconds: float


class _Placed(NamedTuple):
    """A tensor and its place in its bucket, in bytes."""

    entry: safetensors_files.Entry
    offset: int


def send(
    params: Any,
    size: sizes.ModelSize,
    receiver: Receiver,
    *,
    dtype: jnp.dtype,
    bucket_bytes: int = BUCKET_BYTES,
) -> Sync:
    """Gives a vLLM engine these parameters; a failure on the way ends it.

    Args:
      params: Nested dict of arrays, on one device or sharded over those of this host; adapters
        are merged on the way.
      size: The model's sizes.
      receiver: Of the engine.
      dtype: In which it computes.
      bucket_bytes: Memory for tensors on their way.

    Raises:
      UserError: Before anything is sent, if a parameter is missing, left over, of another shape
        or spread over several hosts.
    """
    start = time.monotonic()
    # Merged part by part, as they are read.
    params = lora.merge_stored(params, dtype)
    _check(params, size)
    entries = hf.hub_entries(params, size, dtype=dtype, max_bytes=None)
    plan = _plan(sorted(entries, key=_layer), bucket_bytes)
    with _memory(max(_end(bucket) for bucket in plan)) as (path, memory), _complete(receiver):
        for bucket in plan:
            for placed in bucket:
                _write(placed, memory)
            receiver.update_weights(_describe(bucket, path, len(memory)))
    num_bytes = sum(placed.entry.nbytes for bucket in plan for placed in bucket)
    sync = Sync(num_bytes, time.monotonic() - start)
    logging.info("vLLM has new weights: %d bytes in %.2f seconds", *sync)
    return sync


def _check(params: Any, size: sizes.ModelSize) -> None:
    """Exactly the model's parameters, and all of each within reach."""
    leaves: dict[str, Any] = dict(traverse_util.flatten_dict(params, sep="/"))
    expected = hf.leaf_shapes(size)
    wrong = sorted(leaves.keys() ^ expected.keys())
    wrong += [n for n, leaf in leaves.items() if n in expected and leaf.shape != expected[n]]
    if wrong:
        raise errors.UserError(
            "parameters do not fit the model of the vLLM engine: missing, left over or of another"
            f" shape are {safetensors_files.shorten(wrong)}"
        )
    for name, leaf in leaves.items():
        if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
            raise errors.UserError(
                f"parameter {name} lies on several hosts: weights go to vLLM from one host alone"
            )


def _layer(entry: safetensors_files.Entry) -> tuple[str, int]:
    """Sorts by layer: vLLM holds on to tensors until those of their layer are there."""
    found = re.match(r"(.+\.)(\d+)\.", entry.name)
    return (found[1], int(found[2])) if found else (entry.name, 0)


def _plan(entries: Sequence[safetensors_files.Entry], bucket_bytes: int) -> list[list[_Placed]]:
    """Tensors in buckets, one after the other; a larger one has its own."""
    plan: list[list[_Placed]] = [[]]
    for entry in entries:
        offset = -(-_end(plan[-1]) // _ALIGNMENT) * _ALIGNMENT
        if plan[-1] and offset + entry.nbytes > bucket_bytes:
            plan.append([])
            offset = 0
        plan[-1].append(_Placed(entry, offset))
    return plan


def _end(bucket: Sequence[_Placed]) -> int:
    return bucket[-1].offset + bucket[-1].entry.nbytes if bucket else 0


@contextlib.contextmanager
def _memory(num_bytes: int) -> Iterator[tuple[str, np.ndarray]]:
    """Anonymous memory and a path by which others map it; gone with its last user.

    It counts as memory of this process: /dev/shm, which containers limit to 64 MB, is not used.
    """
    file = os.memfd_create("lingshu_weights")
    try:
        os.ftruncate(file, num_bytes)
        # Free at once for as long as it is not touched.
        yield f"/proc/{os.getpid()}/fd/{file}", np.frombuffer(mmap.mmap(file, num_bytes), np.uint8)
    finally:
        os.close(file)


@contextlib.contextmanager
def _complete(receiver: Receiver) -> Iterator[None]:
    """All weights arrive within the block, or the engine is ended: nothing asks half a model."""
    with contextlib.ExitStack() as on_failure:
        on_failure.callback(receiver.close)
        receiver.start_weight_update()
        yield
        receiver.finish_weight_update()
        on_failure.pop_all()


def _write(placed: _Placed, memory: np.ndarray) -> None:
    entry, offset = placed
    (make,) = entry.blocks
    memory[offset : offset + entry.nbytes] = make().reshape(-1).view(np.uint8)


def _describe(bucket: Sequence[_Placed], path: str, num_bytes: int) -> dict[str, Any]:
    """A bucket in JSON's types, as `vllm_worker.Bucket`."""
    tensors = [
        {
            "name": entry.name,
            "dtype": str(entry.dtype),
            "shape": list(entry.shape),
            "offset": offset,
        }
        for entry, offset in bucket
    ]
    return {"path": path, "num_bytes": num_bytes, "tensors": tensors}
