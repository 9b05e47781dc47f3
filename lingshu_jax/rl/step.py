# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The GRPO update: passes over packed rows are summed, then one optimizer step is taken.

An update has as many rows as its completions fill, so its passes are separate calls of one
compiled program. The weights of its tokens hold the division of its loss, so passes only add.

Axes: B rows of a pass, T tokens, N completions.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from lingshu_jax.common import sharding, structs
from lingshu_jax.models import qwen2_5_vl
from lingshu_jax.rl import losses
from lingshu_jax.stages import guard, optim
from lingshu_jax.stages import losses as stage_losses
from lingshu_jax.stages import state as train_state
from lingshu_jax.stages import step as stage_step

Metrics = dict[str, Array]


@flax.struct.dataclass
class PassSums:
    """What a pass over some rows gives; passes of an update are added.

    Attributes:
      gradients: Of the loss; float32, as 8 bits cannot add 1 to 256.
      loss: Its value.
      terms: What it is the sum of, by name.
      means: Named sums over tokens, to be divided by `num_tokens`.
      maxima: Named largest values.
      num_tokens: Completion tokens.
    """

    gradients: optim.Leaves
    loss: Array
    terms: Metrics
    means: Metrics
    maxima: Metrics
    num_tokens: Array


def token_logprobs(
    params: Any, batch: structs.Batch, *, model: qwen2_5_vl.Qwen2_5_VL
) -> Float[Array, "B T"]:
    """log p of every token, for the old policy and for the reference.

    Args:
      params: Nested dict.
      batch: Packed rows.
      model: The model.
    """
    return _predict(params, batch, model)[0]


def kl_sums(
    logprobs: Float[Array, "B T"],
    ref_logprobs: Float[Array, "B T"],
    places: Float[Array, "B T"],
    *,
    estimator: str,
    count: int,
) -> Float[Array, " N"]:
    """The KL estimate of each completion: the sum over its tokens.

    Args:
      logprobs: Under the policy.
      ref_logprobs: Under the reference.
      places: 1 + the completion's number at its tokens, 0 elsewhere.
      estimator: Name in `losses.KL_ESTIMATORS`.
      count: N; a completion in other rows gets 0.

    Returns:
      The same on every device.
    """
    estimates = losses.KL_ESTIMATORS[estimator](logprobs, ref_logprobs, places > 0)
    sums = jnp.zeros(count + 1, jnp.float32).at[places.astype(jnp.int32)].add(estimates)
    return sharding.constrain(sums[1:], None)


def gradient_pass(
    trained: optim.Leaves,
    frozen: optim.Leaves,
    batch: structs.Batch,
    *,
    model: qwen2_5_vl.Qwen2_5_VL,
    options: losses.Options,
) -> PassSums:
    """Loss and gradients of some rows of an update.

    Args:
      trained: Path -> leaf, differentiated by.
      frozen: Path -> leaf.
      batch: Packed rows with the extras `advantages` and `sampler_logprobs`; with
        `old_logprobs` unless the weights are still those that sampled, in which case the old
        policy is the current one and the ratio exactly 1; with `ref_logprobs` for the KL term.
        Its loss weights are those of `weights.completion_weights`.
      model: The model.
      options: Constants of the loss.
    """

    def loss(leaves: optim.Leaves) -> tuple[Array, tuple[losses.PolicyLoss, Array]]:
        params = optim.unflatten({**leaves, **frozen})
        logprobs, entropies = _predict(params, batch, model)
        terms = losses.grpo_loss(
            logprobs,
            batch.extras.get("old_logprobs", jax.lax.stop_gradient(logprobs)),
            batch.extras["sampler_logprobs"],
            ref_logprobs=batch.extras.get("ref_logprobs"),
            advantages=batch.extras["advantages"],
            loss_weights=batch.loss_weights,
            segment_ids=batch.segment_ids,
            options=options,
        )
        entropy = jnp.sum(jnp.where(batch.loss_weights > 0, entropies, 0.0))
        return terms.total, (terms, entropy)

    (value, (terms, entropy)), gradients = jax.value_and_grad(loss, has_aux=True)(trained)
    return PassSums(
        gradients=stage_step.in_place(stage_step.to_float32(gradients)),
        loss=value,
        terms=terms.terms,
        means={**terms.sums, "entropy": entropy},
        maxima=terms.maxima,
        num_tokens=terms.num_tokens,
    )


def add_passes(total: PassSums, one: PassSums) -> PassSums:
    """The sums of two passes; donate the first."""
    return PassSums(
        gradients=jax.tree.map(jnp.add, total.gradients, one.gradients),
        loss=total.loss + one.loss,
        terms=jax.tree.map(jnp.add, total.terms, one.terms),
        means=jax.tree.map(jnp.add, total.means, one.means),
        maxima=jax.tree.map(jnp.maximum, total.maxima, one.maxima),
        num_tokens=total.num_tokens + one.num_tokens,
    )


def update(
    state: train_state.TrainState,
    passes: PassSums,
    rates: Mapping[str, Any],
    *,
    optimizer: optax.GradientTransformation,
) -> tuple[train_state.TrainState, Metrics]:
    """One optimizer step with the summed gradients; none where they are not finite.

    Args:
      state: Before the step; donate it.
      passes: The sum of all passes of the update.
      rates: Path -> learning rate of every trained leaf.
      optimizer: From `optim.make_optimizer`.

    Returns:
      The state after the step, and scalars by name.
    """
    gradients = stage_step.scale_to(state.trained, passes.gradients, 1.0)
    directions, opt_state = optimizer.update(gradients, state.opt_state, state.trained)
    norms = stage_step.gradient_norms(gradients)
    is_good, flags = guard.judge(passes.loss, norms["grad_norm"], jnp.inf)
    moved = optim.descend(state.trained, directions, rates)
    state = dataclasses.replace(
        state,
        step=state.step + 1,
        trained=guard.choose(is_good, moved, state.trained),
        opt_state=guard.choose(is_good, opt_state, state.opt_state),
    )
    means = {k: losses.divide(total, passes.num_tokens) for k, total in passes.means.items()}
    mean, square = means["importance/mean"], means.pop("importance/square")
    means["importance/effective_share"] = losses.divide(mean**2, square)
    return state, {
        "loss": passes.loss,
        **passes.terms,
        **means,
        **passes.maxima,
        **norms,
        **flags,
    }


def _predict(
    params: Any, batch: structs.Batch, model: qwen2_5_vl.Qwen2_5_VL
) -> tuple[Array, Array]:
    hidden = qwen2_5_vl.apply(model, params, batch)
    head = qwen2_5_vl.apply(model, params, method=model.head_kernel)
    predicted = stage_losses.token_logprobs(
        hidden, head, batch.tokens, is_tied=model.size.text.tie_embeddings
    )
    return predicted.logprobs, predicted.entropies
