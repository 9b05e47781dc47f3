# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Attention of one new token a row: over its prompt, which samples share, and its own new tokens.

Places are read in blocks, as many as the longest row needs; a part of no more than one block is
read whole. What rows share is one softmax, so that neither the blocks nor what other rows hold
change a row by more than rounding, and rows that fit in the same blocks not at all.

Axes: R prompts, B = R J rows, J samples of a prompt, S prompt places, U places of new tokens,
N = K G query heads, K key/value heads, G query heads per key/value head, H head width; M queries of
a key/value head.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

BLOCK = 512  # places
SMALLEST = jnp.finfo(jnp.float32).min


class Part(NamedTuple):
    """One layer of prompts: [B K H S] and [B K S H]; or of new tokens: both [B K U H].

    Every product runs over whole heads. Prompts are written once, so that their keys lie as the
    product wants them; XLA on a CPU is slow where both operands are transposed.
    """

    keys: Float[Array, "B K _ _"]
    values: Float[Array, "B K S H"]


class _Sums(NamedTuple):
    """A softmax over some of the places, not yet divided."""

    largest: Float[Array, "B K M"]
    total: Float[Array, "B K M"]
    attended: Float[Array, "B K M H"]


def num_blocks(lengths: Int[Array, " B"]) -> Int[Array, ""]:
    """Blocks that the longest row needs; the same for all layers.

    Args:
      lengths: Places in use.
    """
    return -(-jnp.max(lengths) // BLOCK)


def attend(
    q: Float[Array, "B N H"],
    *,
    prompt: Part,
    lengths: Int[Array, " R"],
    new: Part,
    new_lengths: Int[Array, " B"],
    blocks: tuple[Int[Array, ""], Int[Array, ""]],
) -> Float[Array, "B N H"]:
    """One softmax over both parts; a prompt is read once for all of its samples.

    Args:
      q: Rotated queries of the newest token; a prompt's samples side by side.
      prompt: Of R rows and S places.
      lengths: Prompt places in use.
      new: Of B rows and U places, the newest token's included.
      new_lengths: Places of it in use; every row has one or more.
      blocks: `num_blocks` of both.

    Returns:
      Attended values in the dtype of the cached ones; the softmax is float32.
    """
    rows, heads, width = q.shape
    prompts, kv_heads = prompt.values.shape[:2]
    q = q.reshape(rows, kv_heads, heads // kv_heads, width)
    # The samples of a prompt are further queries of its key/value heads.
    shared = jnp.moveaxis(q.reshape(prompts, -1, *q.shape[1:]), 1, 2)
    of_prompt = _sum(
        shared.reshape(prompts, kv_heads, -1, width),
        prompt,
        lengths,
        blocks=blocks[0],
        logits=_prompt_logits,
    )
    of_new = _sum(q, new, new_lengths, blocks=blocks[1], logits=_new_logits)

    def of_row(x: Array) -> Array:  # R K (J G) ... -> B K G ...
        x = x.reshape(*shared.shape[:4], *x.shape[3:])
        return jnp.moveaxis(x, 2, 1).reshape(rows, kv_heads, -1, *x.shape[4:])

    both = _join(_Sums(*map(of_row, of_prompt)), of_new)
    attended = both.attended / both.total[..., None]
    return attended.astype(prompt.values.dtype).reshape(rows, heads, width)


def _prompt_logits(q: Array, keys: Array) -> Array:
    return jnp.einsum("RKMH,RKHS->RKMS", q, keys, preferred_element_type=jnp.float32)


def _new_logits(q: Array, keys: Array) -> Array:
    # Keys first: one of two transposed operands less.
    logits = jnp.einsum("BKUH,BKMH->BKUM", keys, q, preferred_element_type=jnp.float32)
    return jnp.swapaxes(logits, 2, 3)


def _sum(
    q: Float[Array, "B K M H"],
    part: Part,
    lengths: Int[Array, " B"],
    *,
    blocks: Int[Array, ""],
    logits: Callable[[Array, Array], Array],
) -> _Sums:
    """All places of a part."""
    places = part.values.shape[2]
    if places <= BLOCK:
        is_seen = jnp.arange(places)[None, :] < lengths[:, None]
        return _sum_block(q, part, is_seen, logits)
    key_axis = 3 if logits is _prompt_logits else 2

    def add(number: Array, sums: _Sums) -> _Sums:
        # The last block begins earlier where the places are no multiple; none is taken twice.
        start = jnp.minimum(number * BLOCK, places - BLOCK)
        at = start + jnp.arange(BLOCK)[None, :]
        is_seen = (at >= number * BLOCK) & (at < lengths[:, None])
        block = Part(
            jax.lax.dynamic_slice_in_dim(part.keys, start, BLOCK, key_axis),
            jax.lax.dynamic_slice_in_dim(part.values, start, BLOCK, 2),
        )
        return _join(sums, _sum_block(q, block, is_seen, logits))

    zeros = jnp.zeros(q.shape, jnp.float32)
    nothing = _Sums(zeros[..., 0] + SMALLEST, zeros[..., 0], zeros)
    return jax.lax.fori_loop(0, blocks, add, nothing)


def _sum_block(q: Array, part: Part, is_seen: Array, logits: Callable[..., Array]) -> _Sums:
    is_seen = is_seen[:, None, None, :]
    values = jnp.where(is_seen, logits(q, part.keys) * q.shape[-1] ** -0.5, SMALLEST)
    largest = jnp.max(values, axis=-1)
    # The second `where` is for a row that sees nothing here: exp(0) is not 0.
    probs = jnp.where(is_seen, jnp.exp(values - largest[..., None]), 0.0)
    attended = jnp.einsum(
        "BKMS,BKSH->BKMH",
        probs.astype(part.values.dtype),
        part.values,
        preferred_element_type=jnp.float32,
    )
    return _Sums(largest, jnp.sum(probs, axis=-1), attended)


def _join(one: _Sums, other: _Sums) -> _Sums:
    """The softmax over the places of both."""
    largest = jnp.maximum(one.largest, other.largest)
    weights = [jnp.exp(sums.largest - largest) for sums in (one, other)]
    total = one.total * weights[0] + other.total * weights[1]
    attended = one.attended * weights[0][..., None] + other.attended * weights[1][..., None]
    return _Sums(largest, total, attended)
