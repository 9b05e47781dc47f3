# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The loop over blocks against one dense product: values, gradients, what is skipped, meshes."""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lingshu_jax.common import errors, sharding
from lingshu_jax.models import attention, attention_masks, attention_xla

TOLERANCE, MARGIN = 2e-5, 100
BATCH, LENGTH, HEADS, KV_HEADS, WIDTH, BLOCK = 2, 44, 6, 2, 5, 8

Rows = list[list[tuple[int, int]]]  # of each row (id, places) in order
BRANCH = attention_masks.BRANCH
PACKED: Rows = [[(1, 9), (2, 20), (3, 11), (0, 4)], [(1, 30), (2, 14)]]
MIXED: Rows = [[(3, 10), (1, 5), (3, 12), (0, 3), (1, 14)], [(2, 7), (1, 7), (2, 20), (1, 10)]]
FORKED: Rows = [
    [(1, 9), (1 + BRANCH, 6), (1 + 2 * BRANCH, 11), (2, 10), (2 + BRANCH, 5), (0, 3)],
    [(1, 20), (1 + BRANCH, 12), (1 + 2 * BRANCH, 12)],
]
CASES = pytest.mark.parametrize(
    ("rows", "causal"),
    [(PACKED, True), (PACKED, False), (MIXED, True), (MIXED, False), (FORKED, True)],
    ids=["packed", "packed_full", "mixed", "mixed_full", "forked"],
)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CPU_BLOCK", "CPU_BLOCK_CAUSAL"):
        monkeypatch.setattr(attention_xla, name, BLOCK)


def make_ids(rows: Rows) -> jax.Array:
    return jnp.asarray([[one for one, n in row for _ in range(n)] for row in rows], jnp.int32)


def make_arrays(rng: np.random.Generator, batch: int = BATCH) -> list[jax.Array]:
    """q, k, v and the weights of the loss."""
    return [
        jnp.asarray(rng.standard_normal((batch, LENGTH, heads, WIDTH)), jnp.float32)
        for heads in (HEADS, KV_HEADS, KV_HEADS, HEADS)
    ]


def both(ids: jax.Array, causal: bool, arrays: list[jax.Array]) -> list[np.ndarray]:
    """Output and gradients of q, k and v as `attend` gives them."""

    def forward(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
        return attention.attend(q, k, v, q_segments=ids, kv_segments=ids, causal=causal)

    def run(q: jax.Array, k: jax.Array, v: jax.Array, d_out: jax.Array) -> list[jax.Array]:
        out, pull = jax.vjp(forward, q, k, v)
        return [out, *pull(d_out)]

    return [np.asarray(x) for x in jax.jit(run)(*arrays)]


def gap(ones: list[np.ndarray], others: list[np.ndarray]) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(ones, others, strict=True))


@pytest.fixture
def by_blocks(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[np.ndarray]]:
    def run(ids: jax.Array, causal: bool, arrays: list[jax.Array]) -> list[np.ndarray]:
        with monkeypatch.context() as patch:
            patch.setattr(attention, "DENSE_QUERIES", 0)
            return both(ids, causal, arrays)

    return run


@CASES
def test_blocks_equal_one_product(
    rng: np.random.Generator, by_blocks: Callable[..., list[np.ndarray]], rows: Rows, causal: bool
) -> None:
    arrays, ids = make_arrays(rng), make_ids(rows)
    dense = both(ids, causal, arrays)
    assert gap(by_blocks(ids, causal, arrays), dense) < TOLERANCE
    # Twins: another mask is far from it, in the values and in every gradient.
    for broken in (
        by_blocks(jnp.roll(ids, 1, axis=1), causal, arrays),
        both(ids * 0, True, arrays),
    ):
        gaps = [float(np.abs(a - b).max()) for a, b in zip(broken, dense, strict=True)]
        assert min(gaps) > MARGIN * TOLERANCE, gaps


def test_a_branch_does_not_see_another(
    rng: np.random.Generator, by_blocks: Callable[..., list[np.ndarray]]
) -> None:
    q, k, v, d_out = make_arrays(rng)
    ids = make_ids(FORKED)
    other = jnp.where((ids == 1 + BRANCH)[..., None, None], 7.0, v)
    before, after = (by_blocks(ids, True, [q, k, x, d_out])[0] for x in (v, other))
    is_same = np.asarray(ids != 1 + BRANCH)
    np.testing.assert_array_equal(before[is_same], after[is_same])
    assert np.abs(before - after)[~is_same].max() > 0.1


def test_only_blocks_that_meet_are_computed() -> None:
    pairs_of = jax.jit(attention_xla._pairs, static_argnames="causal")
    ids = make_ids([[(1, 16), (2, 16), (3, 16)]]).reshape(1, 6, 8)
    causal, full = (pairs_of(ids, ids, causal=c) for c in (True, False))
    assert (int(causal.count), int(full.count)) == (9, 12)
    # An image that comes back later is met again, and no block between.
    ids = make_ids([[(1, 8), (2, 8), (1, 8)]]).reshape(1, 3, 8)
    pairs = pairs_of(ids, ids, causal=False)
    queries, keys = (np.asarray(x)[: int(pairs.count)] for x in (pairs.queries, pairs.keys))
    assert list(zip(queries, keys, strict=True)) == [(0, 0), (0, 2), (1, 1), (2, 0), (2, 2)]
    # The branches of one segment fall into classes of their own.
    ids = make_ids([[(1, 8), *((1 + b * BRANCH, 8) for b in range(1, 5))]]).reshape(1, 5, 8)
    assert int(pairs_of(ids, ids, causal=True).count) == 5 + 4


def test_a_query_that_sees_nothing_gets_zeros_and_gives_none(rng: np.random.Generator) -> None:
    q, k, v, d_out = make_arrays(rng)
    ones = jnp.ones((BATCH, LENGTH), jnp.int32)

    @jax.jit
    def run(q: jax.Array, k: jax.Array, v: jax.Array) -> list[jax.Array]:
        forward = functools.partial(attention_xla.attend, causal=False)
        out, pull = jax.vjp(lambda *qkv: forward(*qkv, (2 * ones, ones)), q, k, v)
        return [out, *pull(d_out)]

    for array in run(q, k, v):
        np.testing.assert_array_equal(array, jnp.zeros_like(array))


def test_bfloat16_keeps_its_sums_in_float32(
    rng: np.random.Generator, by_blocks: Callable[..., list[np.ndarray]]
) -> None:
    arrays, ids = make_arrays(rng), make_ids(PACKED)
    rounded = [x.astype(jnp.bfloat16) for x in arrays]
    exact = both(ids, True, [x.astype(jnp.float32) for x in rounded])
    blocks = by_blocks(ids, True, rounded)
    assert {x.dtype for x in blocks} == {np.dtype(jnp.bfloat16)}
    # Probabilities and results are rounded to 8 bits; a sum in bfloat16 would be off by more.
    for one, other in zip(blocks, exact, strict=True):
        assert np.abs(one.astype(np.float32) - other).max() < 2e-2 * np.abs(other).max()


@pytest.mark.parametrize(
    "sizes",
    [{"fsdp": 2, "tensor": 2}, {"data": 2, "context": 2}, {"tensor": 3, "context": 2}],
    ids=["tensor", "context", "more_parts_than_key_value_heads"],
)
def test_a_mesh_changes_nothing(
    rng: np.random.Generator, by_blocks: Callable[..., list[np.ndarray]], sizes: dict[str, int]
) -> None:
    arrays, ids = make_arrays(rng), make_ids(PACKED)
    alone = by_blocks(ids, True, arrays)
    with jax.set_mesh(sharding.make_mesh(sizes, jax.devices()[: math.prod(sizes.values())])):
        spread = by_blocks(ids, True, arrays)
    assert gap(spread, alone) < TOLERANCE


def test_heads_that_do_not_divide_are_refused(
    rng: np.random.Generator, by_blocks: Callable[..., list[np.ndarray]]
) -> None:
    mesh = sharding.make_mesh({"tensor": 2, "context": 2}, jax.devices()[:4])
    message = "tensor=2 x context=2, but 6 heads do not divide"
    with jax.set_mesh(mesh), pytest.raises(errors.UserError, match=message):
        by_blocks(make_ids(PACKED), True, make_arrays(rng))
