# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Attention of one new token a row: over its prompt, which samples share, and its own new tokens.

Axes: R prompts, B = R J rows, J samples of a prompt, S prompt places, U places of new tokens,
N = K G query heads, K key/value heads, G query heads per key/value head, H head width.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


class Part(NamedTuple):
    """One layer's keys and values, heads before places: every product runs over whole heads."""

    keys: Float[Array, "B K S H"]
    values: Float[Array, "B K S H"]


def attend(
    q: Float[Array, "B N H"],
    *,
    prompt: Part,
    lengths: Int[Array, " R"],
    new: Part,
    used: Int[Array, ""],
) -> Float[Array, "B N H"]:
    """One softmax over both parts; a prompt is read once for all of its samples.

    Args:
      q: Rotated queries of the newest token; a prompt's samples side by side.
      prompt: Of R rows and S places.
      lengths: Prompt places in use.
      new: Of B rows and U places, the newest token's included.
      used: Places of it in use, the same for all rows.

    Returns:
      Attended values in the dtype of the cached ones; the softmax is float32.
    """
    rows, heads, width = q.shape
    prompts, kv_heads = prompt.keys.shape[:2]
    grouped = q.reshape(rows, kv_heads, heads // kv_heads, width)
    # The samples of a prompt are further queries of its key/value heads.
    shared = jnp.moveaxis(grouped.reshape(prompts, -1, *grouped.shape[1:]), 1, 2)
    is_prompt = jnp.arange(prompt.keys.shape[2])[None, :] < lengths[:, None]
    is_new = jnp.arange(new.keys.shape[2]) < used
    over_prompt = _logits("RKJGH,RKSH->RKJGS", shared, prompt, is_prompt[:, None, None, None, :])
    over_new = _logits("BKGH,BKUH->BKGU", grouped, new, is_new[None, None, None, :])

    def of_row(x: Array) -> Array:  # RKJG... -> BKG...
        return jnp.moveaxis(x, 2, 1).reshape(rows, *x.shape[1:2], *x.shape[3:])

    def of_prompt(x: Array) -> Array:  # BKG -> RKJG, with an axis for the places
        return jnp.moveaxis(x.reshape(prompts, -1, *x.shape[1:]), 1, 2)[..., None]

    largest = jnp.maximum(of_row(over_prompt.max(axis=-1)), over_new.max(axis=-1))
    prompt_exp = jnp.exp(over_prompt - of_prompt(largest))
    new_exp = jnp.exp(over_new - largest[..., None])
    total = of_row(prompt_exp.sum(axis=-1)) + new_exp.sum(axis=-1)
    prompt_probs, new_probs = prompt_exp / of_prompt(total), new_exp / total[..., None]
    attended = of_row(_weigh("RKJGS,RKSH->RKJGH", prompt_probs, prompt))
    attended += _weigh("BKGU,BKUH->BKGH", new_probs, new)
    return attended.astype(prompt.values.dtype).reshape(rows, heads, width)


def _logits(product: str, q: Array, part: Part, mask: Array) -> Array:
    logits = jnp.einsum(product, q, part.keys, preferred_element_type=jnp.float32)
    return jnp.where(mask, logits * q.shape[-1] ** -0.5, jnp.finfo(jnp.float32).min)


def _weigh(product: str, probs: Array, part: Part) -> Array:
    probs = probs.astype(part.values.dtype)
    return jnp.einsum(product, probs, part.values, preferred_element_type=jnp.float32)
