# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Keys and values of the tokens seen so far: where a token goes, how prompts come and go.

Every function writes where the cache lies, if the program that calls it is given the cache to keep
(`donate_argnums`) or carries it through a loop.

Axes: L layers, R prompts, B = R J rows, J samples of a prompt, S prompt places, U places of new
tokens, K key/value heads, H head width; P prompts that come.
"""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from lingshu_jax.models import layers, sizes

KEYS_AND_VALUES = ("keys", "values", "new_keys", "new_values")


@flax.struct.dataclass
class Cache:
    """An argument and a result, never hidden state.

    Prompts stand apart from what follows them: a prompt is kept once for all of its samples and
    never written again. Each row counts its own new tokens, so that rows may begin at different
    times. `take_apart` gives each layer arrays of its own, as `text.take_apart` its parameters.

    Attributes:
      keys: Rotated keys of the prompts [L, R, K, H, S], heads before places.
      values: Their values [L, R, K, S, H].
      lengths: Prompt places in use, int32 [R].
      new_keys: Rotated keys of the new tokens, each row its own [L, B, K, U, H].
      new_values: Their values [L, B, K, U, H].
      new_lengths: Places of new tokens in use, int32 [B].
    """

    keys: Any  # without shapes: programs are lowered for mere descriptions of arrays
    values: Any
    lengths: Any
    new_keys: Any
    new_values: Any
    new_lengths: Any


def empty(
    size: sizes.TextSize,
    dtype: jnp.dtype,
    *,
    prompts: int,
    samples: int,
    prompt_places: int,
    new_places: int,
) -> Cache:
    """Room for prompts and their samples, all of it free.

    Args:
      size: Of the text model.
      dtype: Of keys and values.
      prompts: R.
      samples: J.
      prompt_places: S.
      new_places: U.
    """
    rows = prompts * samples

    def room(rows: int, places: int) -> Array:
        shape = (size.num_layers, rows, size.num_kv_heads, places, size.head_dim)
        return jnp.zeros(shape, dtype)

    values = room(prompts, prompt_places)
    return Cache(
        keys=jnp.swapaxes(values, 3, 4),
        values=values,
        lengths=jnp.zeros(prompts, jnp.int32),
        new_keys=room(rows, new_places),
        new_values=room(rows, new_places),
        new_lengths=jnp.zeros(rows, jnp.int32),
    )


def take_apart(cache: Cache) -> Cache:
    """The same with a tuple of layers in the place of each stack of keys or values.

    Args:
      cache: Of stacks.
    """
    parts = {name: layers.split_stack(getattr(cache, name)) for name in KEYS_AND_VALUES}
    return dataclasses.replace(cache, **parts)


def put(
    stack: Float[Array, "L B K U H"],
    tokens: Float[Array, "B K H"],
    *,
    layer: Int[Array, ""],
    places: Int[Array, " B"],
) -> Float[Array, "L B K U H"]:
    """One token a row at the row's own place of one layer; a row that is full keeps what it has.

    Args:
      stack: Keys or values of the new tokens.
      tokens: The newest ones.
      layer: Where in the stack.
      places: Where in each row.
    """
    # Rows are a batch axis of the scatter, so that it stays on the device where a row lies.
    axes = jax.lax.ScatterDimensionNumbers(
        update_window_dims=(1, 2),
        inserted_window_dims=(0, 3),
        scatter_dims_to_operand_dims=(0, 3),
        operand_batching_dims=(1,),
        scatter_indices_batching_dims=(0,),
    )
    index = jnp.stack([jnp.broadcast_to(layer, places.shape), places], axis=-1)
    return jax.lax.scatter(
        stack,
        index,
        tokens.astype(stack.dtype),
        axes,
        indices_are_sorted=True,
        unique_indices=True,
        mode=jax.lax.GatherScatterMode.FILL_OR_DROP,
    )


def insert(cache: Cache, prompts: Cache, slots: Int[Array, " P"]) -> Cache:
    """Prompts that were just read, each in the place of another whose samples have ended.

    Args:
      cache: R prompts with room for new tokens.
      prompts: P of them, of no more places than the cache has; their new tokens are not taken.
      slots: Where each one goes, no two to the same; one that is R or more goes nowhere.
    """

    def place(stack: Array, new: Array) -> Array:
        parts = stack.at[:, slots, :, : new.shape[3], : new.shape[4]]
        return parts.set(new.astype(stack.dtype), mode="drop", unique_indices=True)

    is_begun = jnp.zeros(cache.lengths.shape, bool).at[slots].set(True, mode="drop")
    cache = free(cache, is_begun)
    return dataclasses.replace(
        cache,
        keys=jax.tree.map(place, cache.keys, prompts.keys),
        values=jax.tree.map(place, cache.values, prompts.values),
        lengths=cache.lengths.at[slots].set(prompts.lengths, mode="drop", unique_indices=True),
    )


def free(cache: Cache, is_free: Bool[Array, " R"]) -> Cache:
    """The cache without some of its prompts and their samples, which then cost no reading.

    Args:
      cache: R prompts.
      is_free: Which of them are let go.
    """
    samples = cache.new_lengths.shape[0] // cache.lengths.shape[0]
    return dataclasses.replace(
        cache,
        lengths=jnp.where(is_free, 0, cache.lengths),
        new_lengths=jnp.where(jnp.repeat(is_free, samples), 0, cache.new_lengths),
    )
