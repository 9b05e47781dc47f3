# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""attend(): grouped-query attention over packed segments, one signature for all backends.

Axes: B batch, T query tokens, S key/value tokens, N = K G query heads, K key/value heads,
G query heads per key/value head, H head width.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from lingshu_jax.common import errors

# Beyond this many queries the reference works block by block, so that the logits of one
# block, not of all T x S pairs, are alive at a time.
QUERY_BLOCK = 512
SMALLEST_BLOCK = 64  # below this the loop costs more than the logits

BACKENDS = ("xla",)
BRANCH = 1 << 16  # segment id i + b BRANCH is branch b of segment i


def attend(
    q: Float[Array, "B T N H"],
    k: Float[Array, "B S K H"],
    v: Float[Array, "B S K H"],
    *,
    q_segments: Int[Array, "B T"],
    kv_segments: Int[Array, "B S"],
    causal: bool,
    backend: str = "xla",
) -> Float[Array, "B T N H"]:
    """Scaled dot-product attention inside segments.

    A query sees the keys of its own segment id; with `causal` only those at its own index
    or before, which needs T == S, and then a segment may fork: branch b > 0 of segment i has
    the id `i + b BRANCH` and sees itself and its trunk i, but no other branch. Padding is
    segment 0 and sees other padding: its output is finite and nobody reads it.

    Args:
      q: Queries, already rotated.
      k: Keys, already rotated.
      v: Values.
      q_segments: Segment id of each query.
      kv_segments: Segment id of each key.
      causal: Whether later keys are hidden.
      backend: One of `BACKENDS`.

    Returns:
      Attended values in the dtype of `v`; the softmax is float32. A query that sees no key
      attends uniformly.

    Raises:
      UserError: If the backend is unknown.
    """
    if backend not in BACKENDS:
        raise errors.UserError(
            f"unknown attention backend {backend!r}; known: {', '.join(BACKENDS)}"
        )
    batch, length, heads, width = q.shape
    grouped = q.reshape(batch, length, k.shape[2], heads // k.shape[2], width)
    attend_block = functools.partial(
        _attend_block, k=k, v=v, kv_segments=kv_segments, causal=causal
    )
    index = jnp.arange(length)
    block = math.gcd(length, QUERY_BLOCK)
    if length <= QUERY_BLOCK or block < SMALLEST_BLOCK:
        out = attend_block(grouped, q_segments, index)
    else:
        out = _in_blocks(jax.checkpoint(attend_block), grouped, q_segments, index, block=block)
    return out.reshape(batch, length, heads, width)


def attend_slots(
    q: Float[Array, "B W S N H"],
    k: Float[Array, "B W S N H"],
    v: Float[Array, "B W S N H"],
    ids: Int[Array, "B W S"],
) -> Float[Array, "B W S N H"]:
    """Attention inside the window slots of the vision tower: places of equal id see each other.

    Every slot is one small dense product, so that no kernel and no mask of a whole row is
    needed. Padding has the id 0 and sees the slot's other padding, as in `attend`.

    Args:
      q: Rotated queries of each place of a slot.
      k: Rotated keys.
      v: Values.
      ids: Window of each place.

    Returns:
      Attended values in the dtype of `v`; the softmax is float32.
    """
    mask = ids[..., :, None] == ids[..., None, :]
    logits = jnp.einsum("BWTNH,BWSNH->BWNTS", q, k, preferred_element_type=jnp.float32)
    logits = logits * q.shape[-1] ** -0.5
    logits = jnp.where(mask[:, :, None, :, :], logits, jnp.finfo(jnp.float32).min)
    probs = jax.nn.softmax(logits, axis=-1).astype(v.dtype)
    return jnp.einsum("BWNTS,BWSNH->BWTNH", probs, v)


def _in_blocks(attend_block, q, q_segments, index, *, block):
    """Runs `attend_block` over blocks of queries, one after the other."""
    blocks = q.shape[1] // block
    out = jax.lax.map(
        lambda block: attend_block(*block),
        (
            jnp.moveaxis(q.reshape(q.shape[0], blocks, block, *q.shape[2:]), 1, 0),
            jnp.moveaxis(q_segments.reshape(q.shape[0], blocks, block), 1, 0),
            index.reshape(blocks, block),
        ),
    )
    return jnp.moveaxis(out, 0, 1).reshape(q.shape)


def _attend_block(
    q: Float[Array, "B T K G H"],
    q_segments: Int[Array, "B T"],
    q_index: Int[Array, " T"],
    *,
    k: Float[Array, "B S K H"],
    v: Float[Array, "B S K H"],
    kv_segments: Int[Array, "B S"],
    causal: bool,
) -> Float[Array, "B T K G H"]:
    mask = _make_mask(q_segments, kv_segments, q_index if causal else None)
    logits = jnp.einsum("BTKGH,BSKH->BKGTS", q, k, preferred_element_type=jnp.float32)
    logits = logits * q.shape[-1] ** -0.5
    logits = jnp.where(mask[:, None, None, :, :], logits, jnp.finfo(jnp.float32).min)
    probs = jax.nn.softmax(logits, axis=-1).astype(v.dtype)
    return jnp.einsum("BKGTS,BSKH->BTKGH", probs, v)


def _make_mask(
    q_segments: Int[Array, "B T"],
    kv_segments: Int[Array, "B S"],
    q_index: Int[Array, " T"] | None,
) -> Bool[Array, "B T S"]:
    """True where query t may see key s; `q_index` is given for causal attention."""
    mask = q_segments[:, :, None] == kv_segments[:, None, :]
    if q_index is None:
        return mask
    mask = mask | ((q_segments % BRANCH)[:, :, None] == kv_segments[:, None, :])
    return mask & (q_index[None, :, None] >= jnp.arange(kv_segments.shape[1])[None, None, :])
