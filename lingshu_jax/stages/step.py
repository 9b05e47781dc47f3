# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The training step of stages 1 to 3: one jitted function of state and batch.

Axes: B rows of the global batch, A accumulation steps.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from lingshu_jax.common import sharding, structs, topologies
from lingshu_jax.models import axes, qwen2_5_vl
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import guard, losses, optim
from lingshu_jax.stages import state as train_state

Metrics = dict[str, Array]


class BatchLoss(NamedTuple):
    """Sums over a batch, with their weights.

    Attributes:
      loss: Cross entropy.
      by_source: The same of each source; no gradient flows.
      z: Squares of log Z under the same weights.
    """

    loss: losses.WeightedSum
    by_source: losses.WeightedSum
    z: losses.WeightedSum


def make_train_step(
    config: stage_config.StageConfig,
    model: qwen2_5_vl.Qwen2_5_VL,
    optimizer: optax.GradientTransformation,
    *,
    num_sources: int,
    device_kind: str = "",
) -> jax.stages.Wrapped:
    """`train_step` of a stage, jitted; the state is donated.

    Args:
      config: The stage.
      model: The model.
      optimizer: From `optim.make_optimizer`.
      num_sources: Sources of the mixture.
      device_kind: JAX's name of the devices, for the compiler's options.

    Returns:
      A jitted function of state, batch, rates and max_loss.
    """
    return jax.jit(
        functools.partial(
            train_step,
            model=model,
            optimizer=optimizer,
            accumulation_steps=config.accumulation_steps,
            num_sources=num_sources,
            z_loss=config.optim.z_loss,
        ),
        donate_argnums=0,
        compiler_options=topologies.COMPILER_OPTIONS.get(device_kind),
    )


def train_step(
    state: train_state.TrainState,
    batch: structs.Batch,
    rates: Mapping[str, Any],
    max_loss: Any = np.inf,
    *,
    model: qwen2_5_vl.Qwen2_5_VL,
    optimizer: optax.GradientTransformation,
    accumulation_steps: int,
    num_sources: int,
    z_loss: float = 0.0,
) -> tuple[train_state.TrainState, Metrics]:
    """One optimizer step on a global batch.

    Losses and gradients are weighted sums over all micro-batches, rows and devices, divided
    once by the weight of the whole batch: how it is cut does not change the number.

    A step whose loss or gradient is not finite, or whose loss exceeds `max_loss`, is counted but
    leaves weights and optimizer state as they were, bit by bit.

    Args:
      state: Before the step; donate it.
      batch: B rows; B divides by `accumulation_steps`.
      rates: Path -> learning rate of every trained leaf.
      max_loss: From `guard.Guard.max_loss`; data, so that another limit is the same program.
      model: The model.
      optimizer: From `optim.make_optimizer`.
      accumulation_steps: A, micro-batches one after the other.
      num_sources: Sources of the mixture, for the loss of each.
      z_loss: Weight of the mean square of log Z beside the cross entropy; 0 leaves it out.

    Returns:
      The state after the step, and scalars by name (`loss`, the cross entropy alone, `z_loss`
      where it has a weight, `grad_norm`, `grad_norm/<part>`, `skipped` and why, and
      `source_loss` with one entry a source, NaN where absent).
    """

    def sums(trained: optim.Leaves, micro: structs.Batch) -> tuple[Array, Any]:
        params = optim.unflatten({**trained, **state.frozen})
        out = batch_loss(params, micro, model=model, num_sources=num_sources)
        return out.loss.total + z_loss * out.z.total if z_loss else out.loss.total, out

    gradients, out = accumulate(sums, state.trained, batch, accumulation_steps)
    scale = 1.0 / jnp.maximum(out.loss.weight, 1e-20)
    gradients = scale_to(state.trained, gradients, scale)
    with jax.named_scope("optimizer"):
        directions, opt_state = optimizer.update(gradients, state.opt_state, state.trained)
        moved = optim.descend(state.trained, directions, rates)
    norms = gradient_norms(gradients)
    is_good, flags = guard.judge(out.loss.mean(), norms["grad_norm"], max_loss)
    metrics = {
        "loss": out.loss.mean(),
        "source_loss": out.by_source.total / out.by_source.weight,
        **({"z_loss": z_loss * out.z.mean()} if z_loss else {}),
        **norms,
        **flags,
    }
    state = dataclasses.replace(
        state,
        step=state.step + 1,
        trained=guard.choose(is_good, moved, state.trained),
        opt_state=guard.choose(is_good, opt_state, state.opt_state),
    )
    return state, metrics


def batch_loss(
    params: Any,
    batch: structs.Batch,
    *,
    model: qwen2_5_vl.Qwen2_5_VL,
    num_sources: int,
) -> BatchLoss:
    """Next-token loss of a batch, whole and by source, and squares of log Z.

    Args:
      params: Nested dict of all parameters.
      batch: Packed rows.
      model: The model.
      num_sources: Sources of the mixture.
    """
    hidden = qwen2_5_vl.apply(model, params, batch)
    head = qwen2_5_vl.apply(model, params, method=model.head_kernel)
    with jax.named_scope("loss"):
        logprobs, _, log_z = losses.token_logprobs(
            hidden, head, batch.tokens, is_tied=model.size.text.tie_embeddings
        )
    weights = batch.loss_weights
    sources = jnp.where(batch.source_ids >= 0, batch.source_ids, num_sources)
    zeros = jnp.zeros(num_sources + 1)
    by_source = losses.WeightedSum(
        zeros.at[sources].add(-weights * logprobs)[:-1], zeros.at[sources].add(weights)[:-1]
    )
    return BatchLoss(
        losses.next_token_loss(logprobs, weights),
        jax.lax.stop_gradient(by_source),
        losses.z_penalty(log_z, weights),
    )


def accumulate(
    sums: Callable[[optim.Leaves, structs.Batch], tuple[Array, Any]],
    trained: optim.Leaves,
    batch: structs.Batch,
    accumulation_steps: int,
) -> tuple[optim.Leaves, Any]:
    """Sums gradients and auxiliary sums over micro-batches.

    Args:
      sums: (leaves, micro-batch) -> (scalar to differentiate, tree of sums).
      trained: The leaves to differentiate by.
      batch: B rows.
      accumulation_steps: A; micro-batch a holds the rows a, a + A, ..., so that each is
        spread over all devices as the whole batch is.

    Returns:
      Gradients of the summed scalar, and the summed tree. Where several are added, gradients are
      float32 whatever the leaves are: 8 bits cannot add 1 to 256.
    """
    gradient: Callable[..., Any] = jax.grad(sums, has_aux=True)
    if accumulation_steps == 1:
        gradients, out = gradient(trained, batch)
        return in_place(gradients), out
    micro = jax.tree.map(
        lambda x: jnp.swapaxes(x.reshape(-1, accumulation_steps, *x.shape[1:]), 0, 1), batch
    )

    def precise(one: structs.Batch) -> Any:
        gradients, out = gradient(trained, one)
        return in_place(to_float32(gradients)), out

    def add(total: Any, one: structs.Batch) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, precise(one)), None

    # From zeros, so that the program holds forward and backward pass once.
    shapes = jax.eval_shape(precise, jax.tree.map(lambda x: x[0], micro))
    gradients, out = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    total, _ = jax.lax.scan(add, (in_place(gradients), out), micro)
    return total


def in_place(gradients: optim.Leaves) -> optim.Leaves:
    """Gradients where their parameters lie.

    What a jitted function returns, or a loop carries, may otherwise be whole on every device.

    Args:
      gradients: Path -> leaf.
    """
    mesh = sharding.active_mesh()
    if mesh is None:
        return gradients
    places = sharding.param_shardings(optim.unflatten(gradients), axes.PARAM_AXES, mesh)
    return jax.lax.with_sharding_constraint(gradients, optim.flatten(places))


def to_float32(leaves: optim.Leaves) -> optim.Leaves:
    """The leaves in the dtype in which gradients are added."""
    return {name: leaf.astype(jnp.float32) for name, leaf in leaves.items()}


def scale_to(trained: optim.Leaves, gradients: optim.Leaves, scale: Any) -> optim.Leaves:
    """Gradients times `scale`, rounded once, to the dtypes of their leaves.

    Args:
      trained: The leaves.
      gradients: Of them, float32 or in their dtypes.
      scale: float32; rounded to bfloat16 it would be another learning rate.
    """
    return {
        name: (leaf.astype(jnp.float32) * scale).astype(trained[name].dtype)
        for name, leaf in gradients.items()
    }


def gradient_norms(gradients: optim.Leaves) -> dict[str, Float[Array, ""]]:
    """`grad_norm` of everything and `grad_norm/<part>` of vision, merger and text, float32."""
    parts: dict[str, optim.Leaves] = {}
    for name, leaf in gradients.items():
        parts.setdefault(name.partition("/")[0], {})[name] = leaf
    norms = {f"grad_norm/{part}": optim.global_norm(leaves) for part, leaves in parts.items()}
    return {"grad_norm": optim.global_norm(gradients), **norms}
