# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Our side of `train_step.py`: the stages' training step on packed rows, state donated.

    PYTHONPATH=. python -m benchmarks.train_step_ours --work=DIR

DIR is written by `train_step_work.write`; every line on standard input makes one timed run.
"""

import argparse
import functools
import importlib.metadata
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import train_step_sides
from lingshu_jax.common import runtime, sharding, structs
from lingshu_jax.models import axes, flops, hf, hf_config, qwen2_5_vl
from lingshu_jax.stages import config, measures, optim, optim_config, step, trainer
from lingshu_jax.stages import state as train_state

GRIDS = "grids"
STD = 0.02


class Trainer:
    """Model, state and batches of one row of the table."""

    def __init__(self, work: train_step_sides.Work, flags: argparse.Namespace) -> None:
        """Makes the weights and compiles nothing yet.

        Args:
          work: What is computed.
          flags: `attention` names our backend; "" takes the default.
        """
        settings = work.settings
        self.size = hf_config.read(work.folder)
        self.mesh = sharding.make_mesh({}, jax.devices()[:1])
        named = {"attention": flags.attention} if flags.attention else {}
        self.model = trainer.make_model(
            config.ModelConfig(
                init_from=config.RANDOM,
                param_dtype=settings["param_dtype"],
                compute_dtype=settings["compute_dtype"],
                remat=settings["remat"],
                **named,
            ),
            self.size,
        )
        rates = settings["rates"]
        optimizer_config = optim_config.OptimConfig(
            trainable=tuple((f"{part}/.*", rates[part]) for part in rates),
            schedule="constant",
            warmup_steps=0,
            weight_decay=settings["weight_decay"],
            clip_norm=settings["clip_norm"],
        )
        self.groups = optim.assign_groups(
            list(hf.leaf_shapes(self.size)), optimizer_config.rules(optimizer_config.trainable)
        )
        self.optimizer = optim.make_optimizer(optimizer_config, self.groups)
        self.rates = optim.leaf_rates(self.groups, 1, 0)
        self.state = train_state.create(self._params(work), self.groups, self.optimizer, self.mesh)
        self.arrays = [
            {name: array for name, array in arrays.items() if name != GRIDS}
            for arrays in work.steps()
        ]
        self.step_fn = jax.jit(
            functools.partial(
                step.train_step,
                model=self.model,
                optimizer=self.optimizer,
                accumulation_steps=1,
                num_sources=1,
            ),
            donate_argnums=0,
        )

    def _params(self, work: train_step_sides.Work) -> dict[str, Any]:
        settings = work.settings
        frozen = {name for group in self.groups if group.peak is None for name in group.names}
        shapes = hf.leaf_shapes(self.size)
        dtypes = {
            name: jnp.dtype(settings["frozen_dtype" if name in frozen else "param_dtype"])
            for name in shapes
        }
        places = sharding.param_shardings(
            qwen2_5_vl.abstract_params(self.size, jnp.dtype(jnp.float32)),
            axes.PARAM_AXES,
            self.mesh,
        )
        if work.has_weights:
            return hf.load_params(work.folder, self.size, dtypes, places)
        key, params = jax.random.key(0), {}
        for number, (name, shape) in enumerate(shapes.items()):
            leaf = _draw(jax.random.fold_in(key, number), shape, dtypes[name])
            hf.insert(params, name, leaf + 1 if name.endswith("scale") else leaf)
        return params

    def step(self, index: int) -> float:
        """A training step as the loop takes it, with the batch's way to the device."""
        with jax.set_mesh(self.mesh):
            placed = sharding.place_batch(self.arrays[index], self.mesh)
            batch = structs.Batch.from_arrays(placed)
            self.state, values = self.step_fn(self.state, batch, self.rates, np.float32(np.inf))
        return float(jax.block_until_ready(values)["loss"])

    def memory_bytes(self) -> float:
        """Peak of the device, on a CPU of the process."""
        return measures.memory_bytes()

    def describe(self) -> dict[str, Any]:
        """Versions, the device, and what one run holds: tokens, images, useful FLOPs, fill."""
        counted = [measures.measure(arrays) for arrays in self.arrays]
        totals = {
            name: sum(counts[name] for _, counts in counted)
            for name in ("tokens", "images", "sequences")
        }
        fills = ("fill/tokens", "fill/patches")
        trained = self.state.trained
        return {
            **totals,
            **{name: float(np.mean([counts[name] for _, counts in counted])) for name in fills},
            "flops": sum(flops.train_flops(self.size, one, trained).total for one, _ in counted),
            "peak_flops": flops.peak_flops(),
            "device": jax.devices()[0].device_kind,
            "versions": {name: importlib.metadata.version(name) for name in ("jax", "flax")},
            "attention": getattr(self.model, "attention", "xla"),
        }


@functools.partial(jax.jit, static_argnums=(1, 2))
def _draw(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """Random, for a chip's speed depends on how many bits change."""
    return (STD * jax.random.normal(key, shape, jnp.float32)).astype(dtype)


def make(work: train_step_sides.Work, flags: argparse.Namespace) -> Trainer:
    """The trainer, after what every command does first.

    Args:
      work: As of `Trainer`.
      flags: As of `Trainer`.
    """
    runtime.start()
    return Trainer(work, flags)


if __name__ == "__main__":
    train_step_sides.serve(make)
