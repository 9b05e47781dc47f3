# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Our side of `decode.py`: the program that the engine runs, on prompts that are encoded already.

    PYTHONPATH=. python -m benchmarks.decode_ours --work=DIR

DIR is written by `decode_work.write`. Step 0 ends after the first new token, step 1 after all.
"""

import argparse
import importlib.metadata
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import decode_work, train_step_sides
from lingshu_jax.common import structs
from lingshu_jax.models import generate, hf, hf_config, qwen2_5_vl, sampling
from lingshu_jax.stages import measures

STD = 0.02


class Generator:
    """Weights and prompts of one row of the table."""

    def __init__(self, work: train_step_sides.Work, flags: argparse.Namespace) -> None:
        """Makes or reads the weights.

        Args:
          work: What is computed.
          flags: Not used.
        """
        self.settings, self.size = work.settings, hf_config.read(work.folder)
        dtype = jnp.dtype(self.settings["dtype"])
        self.model = qwen2_5_vl.Qwen2_5_VL(size=self.size, dtype=dtype, param_dtype=dtype)
        device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        if work.has_weights:
            shapes = qwen2_5_vl.abstract_params(self.size, dtype)
            places = jax.tree.map(lambda _: device, shapes)
            self.params = hf.load_params(work.folder, self.size, dtype, places)
        else:
            self.params = random_params(self.size, dtype)
        arrays = decode_work.read(work.folder)
        self.next_positions = jnp.asarray(arrays.pop(decode_work.NEXT))
        names = set(arrays) - set(decode_work.THEIRS)
        self.batch = structs.Batch.from_arrays({name: arrays[name] for name in names})
        self.tokens: list[list[int]] = []

    def step(self, index: int) -> float:
        """Prefill with one new token, or with all of them; the tokens wait on the host."""
        rows, capacity = self.settings["rows"], self.settings["new_tokens"]
        count = capacity if index else 1
        out = generate.generate(
            self.params,
            jax.tree.map(jnp.asarray, self.batch),
            self.next_positions,
            sampling.make(rows, max_new_tokens=count),
            model=self.model,
            samples=1,
            capacity=capacity,
            stop_ids=(),
            is_apart=jax.default_backend() == "cpu",
        )
        self.tokens = np.asarray(out.tokens)[:, :count].tolist()
        return float(out.lengths.sum())

    def memory_bytes(self) -> float:
        """Peak of the device, on a CPU of the process."""
        return measures.memory_bytes()

    def describe(self) -> dict[str, Any]:
        """Versions, the device, all new tokens, and the bytes of the weights a step reads."""
        text = dict(self.params["text"])
        if not self.size.text.tie_embeddings:
            del text["embed"]  # a row of it for each row of the batch
        return {
            "tokens": self.tokens,
            "weight_bytes": sum(leaf.nbytes for leaf in jax.tree.leaves(text)),
            "device": jax.devices()[0].device_kind,
            "versions": {name: importlib.metadata.version(name) for name in ("jax", "flax")},
        }


def random_params(size: Any, dtype: Any) -> dict[str, Any]:
    """Made where they stay, leaf by leaf.

    Args:
      size: The model's sizes.
      dtype: Of the weights.
    """

    def draw(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        return (STD * jax.random.normal(key, shape, jnp.float32)).astype(dtype)

    drawn, params = jax.jit(draw, static_argnums=1), {}
    for number, (name, shape) in enumerate(hf.leaf_shapes(size).items()):
        leaf = drawn(jax.random.key(number), shape)
        hf.insert(params, name, leaf + 1 if name.endswith("scale") else leaf)
    return params


if __name__ == "__main__":
    train_step_sides.serve(Generator)
