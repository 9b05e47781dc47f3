# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Log-probabilities of given tokens, without a gradient and without holding all logits.

Axes: B rows, T tokens, D width.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lingshu_jax.common import sharding, structs
from lingshu_jax.models import layers, qwen2_5_vl

BLOCK = 64  # places of every row whose logits are alive at a time


def logprobs(
    params: layers.Params, batch: structs.Batch, *, model: qwen2_5_vl.Qwen2_5_VL
) -> Float[Array, "B T"]:
    """log p of each token that has a loss weight, under the raw logits of the place before it.

    Blocks of places in which no token has one cost nothing but the forward pass.

    Args:
      params: The model's parameters.
      batch: Packed rows, T a multiple of `BLOCK`; segments may fork (`models/attention.py`).
      model: The model.

    Returns:
      float32 nats, 0 where there is no weight; the same on all devices.
    """
    hidden = qwen2_5_vl.apply(model, params, batch)
    is_asked = batch.loss_weights > 0

    def of_block(block: tuple[Array, Array, Array]) -> Array:
        before, tokens, is_asked = block
        logits = qwen2_5_vl.apply(model, params, before, method=model.logits)
        logits = sharding.constrain(logits, "batch", None, "vocab")
        chosen = jnp.take_along_axis(logits, tokens[..., None], axis=-1)[..., 0]
        return jnp.where(is_asked, chosen - jax.nn.logsumexp(logits, axis=-1), 0.0)

    def one(block: tuple[Array, Array, Array]) -> Array:
        nothing = jnp.zeros(block[1].shape, jnp.float32)
        return jax.lax.cond(jnp.any(block[2]), of_block, lambda _: nothing, block)

    def blocks(x: Array) -> Array:  # B T ... -> T / BLOCK, B, BLOCK ...
        cut = x.reshape(x.shape[0], -1, BLOCK, *x.shape[2:])
        return jnp.moveaxis(cut, 1, 0)

    whole = (jnp.roll(hidden, 1, axis=1), batch.tokens, is_asked)
    found = jax.lax.map(one, jax.tree.map(blocks, whole))
    found = jnp.moveaxis(found, 0, 1).reshape(is_asked.shape)
    return sharding.constrain(found, None, None)
