# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The jitted functions of training and generation, with shapes and places for arguments.

They are the functions that a run calls; nothing here has values.
"""

import dataclasses
import functools
import math
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp

from lingshu_jax.aot import plans
from lingshu_jax.common import sharding, structs
from lingshu_jax.models import axes, generate, kv_cache, lora, qwen2_5_vl, sizes
from lingshu_jax.rl import config as rl_config
from lingshu_jax.rl import learner
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import optim, step, trainer
from lingshu_jax.stages import state as train_state

DECODED_ROWS = 16  # on each part of the mesh, where the config says nothing
NEW_TOKENS = 2048


class Program(NamedTuple):
    """Something to compile.

    Attributes:
      name: For messages.
      function: Jitted.
      args: Shapes with their places.
      resident: Bytes on a device of what a run keeps there meanwhile and does not pass.
      trained: Paths of the trained parameters.
      kwargs: Further arguments.
    """

    name: str
    function: jax.stages.Wrapped
    args: tuple[Any, ...]
    resident: int = 0
    trained: tuple[str, ...] = ()
    kwargs: dict[str, Any] = {}

    def lower(self, mesh: jax.sharding.Mesh) -> jax.stages.Lowered:
        """Traces it on a mesh."""
        with jax.set_mesh(mesh):
            return self.function.lower(*self.args, **self.kwargs)


class _Stage(NamedTuple):
    """What every training program of a stage is made of."""

    state: train_state.TrainState
    model: qwen2_5_vl.Qwen2_5_VL
    optimizer: Any
    rates: dict[str, Any]


def train_program(plan: plans.Plan, mesh: jax.sharding.Mesh) -> Program:
    """The step of stages 1 to 3.

    Args:
      plan: The stage.
      mesh: Devices of its topology.
    """
    stage, config = _stage(plan, mesh), plan.config
    function = step.make_train_step(
        config,
        stage.model,
        stage.optimizer,
        num_sources=len(config.data.sources),
        device_kind=plan.topology.chip.device_kind,
    )
    args = (stage.state, _batch(plan, mesh), stage.rates, _scalar(mesh))
    return Program("train", function, args, trained=tuple(stage.state.trained))


def grpo_programs(plan: plans.Plan, mesh: jax.sharding.Mesh) -> tuple[Program, Program]:
    """The gradient pass of an update and the optimizer step that ends it.

    While a pass runs, moments, reference and the sum of the passes before it stay where they
    are; while the optimizer runs, the reference does.

    Args:
      plan: Stage 4.
      mesh: Devices of its topology.
    """
    stage, config = _stage(plan, mesh), cast(rl_config.RLStageConfig, plan.config)
    state, trained = stage.state, tuple(stage.state.trained)
    device_kind = plan.topology.chip.device_kind
    jitted = learner.make_programs(config.rl, stage.model, stage.optimizer, device_kind=device_kind)
    names = ["advantages", "sampler_logprobs", "old_logprobs"]
    names += ["ref_logprobs"] if config.rl.has_kl_loss else []
    batch = _batch(plan, mesh, extras=names)
    args = (state.trained, state.frozen, batch)
    with jax.set_mesh(mesh):
        sums = jax.eval_shape(jitted.gradients, *args)
    gradients = {
        name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=state.trained[name].sharding)
        for name, leaf in sums.gradients.items()
    }
    rest = jax.tree.map(lambda leaf: _placed(leaf, sharding.replicated(mesh)), sums)
    sums = dataclasses.replace(rest, gradients=gradients)
    reference = reference_bytes(state, config)
    resident = device_bytes(state.opt_state) + reference + device_bytes(gradients)
    return (
        Program("gradients", jitted.gradients, args, resident, trained),
        Program("optimizer", jitted.update, (state, sums, stage.rates), reference, trained),
    )


def prefill_program(plan: plans.Plan, mesh: jax.sharding.Mesh) -> Program:
    """Reading prompts: their last hidden states and the cache.

    Args:
      plan: A stage, for the sizes of a row.
      mesh: Devices of its topology.
    """
    model, params = _generator(plan, mesh)
    function = jax.jit(functools.partial(generate.prefill, model=model))
    return Program("prefill", function, (params, _batch(plan, mesh)))


def decode_program(plan: plans.Plan, mesh: jax.sharding.Mesh) -> Program:
    """One more token of every row, after a whole prompt and all new tokens but one.

    Args:
      plan: A stage, for the sizes of prompt and answer.
      mesh: Devices of its topology.
    """
    model, params = _generator(plan, mesh)
    shape = decoded_shape(plan.config, plan.parts)
    cache = cache_shapes(plan.size.text, model.dtype, shape, mesh)
    place = sharding.batch_sharding(mesh)
    ids = jax.ShapeDtypeStruct((shape.rows,), jnp.int32, sharding=place)
    function = jax.jit(functools.partial(generate.decode_step, model=model), donate_argnums=3)
    return Program("decode", function, (params, ids, ids, cache))


class Decoded(NamedTuple):
    """What is decoded together."""

    prompts: int
    rows: int
    prompt_tokens: int
    new_tokens: int


def decoded_shape(config: stage_config.StageConfig, parts: int) -> Decoded:
    """As stage 4 samples; for other stages 16 rows on each part, prompts as long as a row.

    Args:
      config: The stage.
      parts: Over how many devices the rows of a batch are split.
    """
    if isinstance(config, rl_config.RLStageConfig):
        group = config.rl.rollouts_per_prompt
        prompts = max(1, -(-(config.rl.generation_rows // group) // parts)) * parts
        lengths = config.rl.max_prompt_tokens, config.rl.max_new_tokens
        return Decoded(prompts, prompts * group, *lengths)
    rows = DECODED_ROWS * parts
    return Decoded(rows, rows, config.data.tokens_per_row, NEW_TOKENS)


def device_bytes(tree: Any) -> int:
    """What shapes with places take on one device.

    Args:
      tree: Of `ShapeDtypeStruct`.
    """
    return sum(
        math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(tree)
    )


def _stage(plan: plans.Plan, mesh: jax.sharding.Mesh) -> _Stage:
    config = plan.config
    layout = train_state.lay_out(plan.size, config)
    optimizer = optim.make_optimizer(config.optim, layout.groups)
    state = train_state.abstract(layout.shapes, layout.groups, optimizer, mesh)
    model = trainer.make_model(config.model, plan.size, mesh.devices.flat[0])
    return _Stage(state, model, optimizer, dict.fromkeys(state.trained, _scalar(mesh)))


def _generator(plan: plans.Plan, mesh: jax.sharding.Mesh) -> tuple[qwen2_5_vl.Qwen2_5_VL, Any]:
    """The model and its parameters as generation reads them."""
    model = trainer.make_model(plan.config.model, plan.size, mesh.devices.flat[0])
    shapes = qwen2_5_vl.abstract_params(plan.size, model.dtype)
    places = sharding.param_shardings(shapes, axes.PARAM_AXES, mesh, sharding.GENERATE_RULES)
    return model, jax.tree.map(_placed, shapes, places)


def _batch(plan: plans.Plan, mesh: jax.sharding.Mesh, extras: Any = ()) -> structs.Batch:
    data = plan.config.data
    one = qwen2_5_vl.empty_batch(
        plan.size, rows=1, tokens=data.tokens_per_row, patches=data.patches_per_row
    )
    one = dataclasses.replace(one, extras=dict.fromkeys(extras, one.loss_weights))
    shapes = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((data.rows_per_batch, *x.shape[1:]), x.dtype), one
    )
    return jax.tree.map(_placed, shapes, sharding.batch_shardings(shapes, mesh))


def cache_shapes(
    size: sizes.TextSize,
    dtype: jnp.dtype,
    shape: Decoded,
    mesh: jax.sharding.Mesh | jax.sharding.AbstractMesh,
) -> kv_cache.Cache:
    """Keys and values of what is decoded together, with their places.

    Args:
      size: Of the text model.
      dtype: Of keys and values.
      shape: Rows and lengths.
      mesh: The devices.
    """
    make = functools.partial(
        kv_cache.empty,
        size,
        dtype,
        prompts=shape.prompts,
        samples=shape.rows // shape.prompts,
        prompt_places=shape.prompt_tokens,
        new_places=shape.new_tokens,
    )

    def place(leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        if leaf.ndim == 1:  # lengths
            return _placed(leaf, sharding.batch_sharding(mesh))
        names = (None, "batch", "kv_heads", None, None)
        spec = sharding.activation_spec(leaf.shape, names, mesh)
        return _placed(leaf, jax.NamedSharding(mesh, spec))

    return jax.tree.map(place, jax.eval_shape(make))


def reference_bytes(state: train_state.TrainState, config: rl_config.RLStageConfig) -> int:
    """The first weights of what is trained; adapters begin with none, see `rl/loop.py`.

    Args:
      state: Shapes with their places.
      config: Of stage 4; without a KL term there is no reference.
    """
    if not config.rl.kl_coef:
        return 0
    dtype = jnp.dtype(config.model.compute_dtype)
    base = {name: leaf for name, leaf in state.trained.items() if not lora.is_adapter(name)}
    return device_bytes(
        {n: jax.ShapeDtypeStruct(x.shape, dtype, sharding=x.sharding) for n, x in base.items()}
    )


def _placed(leaf: Any, place: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place)


def _scalar(mesh: jax.sharding.Mesh) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((), jnp.float32, sharding=sharding.replicated(mesh))
