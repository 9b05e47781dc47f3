# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Prompts that come and go in a cache, and where rows that began at different times write."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lingshu_jax.models import kv_cache
from tests import small

SLOTS, SAMPLES, PLACES, NEW = 3, 2, 16, 4


def make(prompts: int = SLOTS, places: int = PLACES, value: float = 0.0) -> kv_cache.Cache:
    cache = kv_cache.empty(
        small.SIZE.text,
        jnp.dtype(jnp.float32),
        prompts=prompts,
        samples=SAMPLES,
        prompt_places=places,
        new_places=NEW,
    )
    return dataclasses.replace(cache, keys=cache.keys + value, values=cache.values - value)


def read_prompts() -> kv_cache.Cache:
    """Two that were just read, shorter than the places there are."""
    return dataclasses.replace(make(2, 10, 5.0), lengths=jnp.array([7, 10], jnp.int32))


@pytest.mark.parametrize("is_apart", [False, True], ids=["stacked", "apart"])
def test_prompts_go_to_their_slots_alone(is_apart: bool) -> None:
    cache = dataclasses.replace(
        make(value=1.0),
        lengths=jnp.array([4, 16, 2], jnp.int32),
        new_lengths=jnp.array([1, 2, 3, 4, 1, 2], jnp.int32),
    )
    prompts = read_prompts()
    if is_apart:
        cache, prompts = kv_cache.take_apart(cache), kv_cache.take_apart(prompts)
    out = jax.jit(kv_cache.insert)(cache, prompts, jnp.array([2, SLOTS]))
    assert out.lengths.tolist() == [4, 16, 7]
    assert out.new_lengths.tolist() == [1, 2, 3, 4, 0, 0]
    for keys in out.keys if is_apart else (out.keys,):
        assert (keys[:, :2] == 1).all() and (keys[:, 2, :, :, 10:] == 1).all()
        assert (keys[:, 2, :, :, :10] == 5).all()
    for values in out.values if is_apart else (out.values,):
        assert (values[:, :2] == -1).all() and (values[:, 2, :, :10] == -5).all()


def test_freed_slots_are_empty_and_others_stay() -> None:
    cache = dataclasses.replace(
        make(),
        lengths=jnp.array([4, 16, 2], jnp.int32),
        new_lengths=jnp.array([1, 2, 3, 4, 1, 2], jnp.int32),
    )
    out = kv_cache.free(cache, jnp.array([False, True, False]))
    assert out.lengths.tolist() == [4, 0, 2]
    assert out.new_lengths.tolist() == [1, 2, 0, 0, 1, 2]


def test_every_row_writes_at_its_own_place() -> None:
    stack = make().new_keys
    tokens = jnp.arange(1.0, 1 + stack.shape[1])[:, None, None] + jnp.zeros((1, *stack.shape[2::2]))
    places = np.array([0, 3, 1, NEW, 2, NEW + 5])
    out = np.asarray(kv_cache.put(stack, tokens, layer=jnp.int32(1), places=jnp.asarray(places)))
    expected = np.zeros(stack.shape, np.float32)
    for row, place in enumerate(places):
        if place < NEW:  # a full row keeps what it has
            expected[1, row, :, place] = row + 1
    np.testing.assert_array_equal(out, expected)


def test_nothing_of_the_cache_is_copied() -> None:
    """Of one that is given away: less is held beside it than one layer of its prompts.

    The twin keeps what it gave, and all of it is copied.
    """
    cache = make(places=4096)

    def change(cache: kv_cache.Cache, prompts: kv_cache.Cache) -> kv_cache.Cache:
        tokens = jnp.ones((SLOTS * SAMPLES, *cache.new_keys.shape[2::2]))
        put = kv_cache.put(cache.new_keys, tokens, layer=jnp.int32(0), places=cache.new_lengths)
        cache = dataclasses.replace(cache, new_keys=put)
        return kv_cache.free(
            kv_cache.insert(cache, prompts, jnp.array([1, 9])), jnp.ones(SLOTS) > 1
        )

    def memory(**options: Any) -> Any:
        return jax.jit(change, **options).lower(cache, read_prompts()).compile().memory_analysis()

    held = sum(leaf.nbytes for leaf in jax.tree.leaves(cache))
    given, kept = memory(donate_argnums=0), memory()
    assert given.alias_size_in_bytes >= held > kept.alias_size_in_bytes
    assert given.temp_size_in_bytes < cache.keys[0].nbytes
    assert kept.output_size_in_bytes - kept.alias_size_in_bytes >= held
