# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What a stage keeps in the memory of each device, from shapes alone: nothing is compiled or made.

`python -m lingshu_jax.aot` compiles the step for a TPU and knows the temporaries as well.
"""

import math
import os
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lingshu_jax.aot import programs
from lingshu_jax.common import sharding, topologies
from lingshu_jax.models import axes, qwen2_5_vl, sizes
from lingshu_jax.rl import config as rl_config
from lingshu_jax.rl import config_engine
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import optim
from lingshu_jax.stages import state as train_state

AnyMesh = jax.sharding.Mesh | jax.sharding.AbstractMesh


class Machine(NamedTuple):
    """The devices of a run.

    Attributes:
      mesh: Abstract where a preset names a machine that is not here.
      device: What one is called.
      memory: Of one, in bytes; 0 where it is not known.
      is_here: Whether the run could start on this machine.
    """

    mesh: AnyMesh
    device: str
    memory: float
    is_here: bool


def find_machine(config: stage_config.MeshConfig) -> Machine:
    """The machine that a mesh is for: that of its preset, else this one.

    Args:
      config: Validated.

    Raises:
      UserError: If sizes do not fit the devices that are here.
    """
    here = jax.devices()
    chip = topologies.PRESETS[config.preset].topology.chip if config.preset else None
    is_other = chip is not None and (
        chip.device_kind != here[0].device_kind or math.prod(config.sizes().values()) != len(here)
    )
    if chip is not None and is_other:
        shape = tuple(config.sizes().get(axis, 1) for axis in sharding.MESH_AXES)
        kinds = (jax.sharding.AxisType.Auto,) * len(shape)
        mesh = jax.sharding.AbstractMesh(shape, sharding.MESH_AXES, axis_types=kinds)
        return Machine(mesh, f"{chip.device_kind}, preset {config.preset}", chip.hbm_bytes, False)
    return Machine(config.make_mesh(), here[0].device_kind, _memory_of(here), True)


def _memory_of(devices: list[Any]) -> float:
    """Of one device; those of a CPU share the machine's."""
    if devices[0].platform == "cpu":
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / len(devices)
    known = [chip for chip in topologies.CHIPS.values()]
    return next((x.hbm_bytes for x in known if x.device_kind == devices[0].device_kind), 0.0)


def estimate(
    config: stage_config.StageConfig,
    size: sizes.ModelSize,
    layout: train_state.Layout,
    mesh: AnyMesh,
) -> dict[str, int]:
    """Bytes on a device by what they are for.

    Of activations only what every pass keeps is counted, the input of each block where `remat` is
    "full"; other policies keep more, and each needs room to compute in.

    Args:
      config: The stage, complete.
      size: The model's sizes.
      layout: Its parameters.
      mesh: The devices.
    """
    optimizer = optim.make_optimizer(config.optim, layout.groups)
    state = train_state.abstract(layout.shapes, layout.groups, optimizer, mesh)
    rl = config if isinstance(config, rl_config.RLStageConfig) else None
    trained = programs.device_bytes(state.trained)
    wide = {
        name: jax.ShapeDtypeStruct(leaf.shape, jnp.float32, sharding=leaf.sharding)
        for name, leaf in state.trained.items()
    }
    is_summed = rl is not None or config.accumulation_steps > 1
    found = {
        "trained parameters": trained,
        "frozen parameters": programs.device_bytes(state.frozen),
        "optimizer state": programs.device_bytes(state.opt_state),
        "gradients": trained,
        "sum of the gradients of several passes": programs.device_bytes(wide) if is_summed else 0,
        "batch": _batch_bytes(config, size, mesh),
        "activations at least": _kept_bytes(config, size, mesh),
    }
    if rl is not None:
        found["reference model"] = programs.reference_bytes(state, rl)
        if rl.rl.engine == config_engine.JAX:
            found |= _sampler_bytes(rl, size, mesh)
    return {name: count for name, count in found.items() if count}


def _batch_bytes(config: stage_config.StageConfig, size: sizes.ModelSize, mesh: AnyMesh) -> int:
    data = config.data
    shape = {"tokens": data.tokens_per_row, "patches": data.patches_per_row}
    one = jax.eval_shape(lambda: qwen2_5_vl.empty_batch(size, rows=1, **shape))
    rows = data.rows_per_batch
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct((rows, *x.shape[1:]), x.dtype), one)
    return programs.device_bytes(
        jax.tree.map(
            lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place),
            shapes,
            sharding.batch_shardings(shapes, mesh),
        )
    )


def _kept_bytes(config: stage_config.StageConfig, size: sizes.ModelSize, mesh: AnyMesh) -> int:
    """The inputs of the blocks, in the compute dtype, split as `stream` is."""
    rows = config.data.rows_per_batch // config.accumulation_steps
    width = jnp.dtype(config.model.compute_dtype).itemsize
    total = 0
    for layers, places, dim in (
        (size.text.num_layers, config.data.tokens_per_row, size.text.embed_dim),
        (size.vision.num_layers, config.data.patches_per_row, size.vision.embed_dim),
    ):
        shape = (rows, places, dim)
        spec = sharding.activation_spec(shape, ("batch", "stream", None), mesh)
        here = jax.NamedSharding(mesh, spec).shard_shape(shape)
        total += layers * math.prod(here) * width
    return total


def _sampler_bytes(
    config: rl_config.RLStageConfig, size: sizes.ModelSize, mesh: AnyMesh
) -> dict[str, int]:
    """What our engine keeps beside the trainer."""
    dtype = jnp.dtype(config.model.compute_dtype)
    shapes = qwen2_5_vl.abstract_params(size, dtype)
    places = sharding.param_shardings(shapes, axes.PARAM_AXES, mesh, sharding.GENERATE_RULES)
    weights = jax.tree.map(
        lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), shapes, places
    )
    shape = programs.decoded_shape(config, sharding.batch_parts(mesh))
    cache = programs.cache_shapes(size.text, dtype, shape, mesh)
    return {
        "sampler's weights": programs.device_bytes(weights),
        "keys and values while sampling": programs.device_bytes(cache),
    }
