# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Attention block by block in plain JAX: the portable backend, with its own backward.

The flash form (arXiv:2205.14135, arXiv:2307.08691): no T x S array is ever made, the forward
keeps the log-sum-exp of each query, the backward recomputes a block's probabilities from it.
The loop runs over the list of those (row, query block, key block) that share an id, so packed
rows cost what their documents cost, whatever the order of the ids.

Axes: B batch, T query tokens, S key/value tokens, N = K G query heads, K key/value heads,
G query heads per key/value head, H head width; I query blocks of t, J key blocks of s.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float, Int

from lingshu_jax.models import attention_masks

# Queries and keys of a block. On two CPU cores 128 is the fastest where half of a document is
# hidden by the causal order, and 256 where a frame is seen whole. Other devices want fewer, larger
# products; 512 keeps the float32 logits of 28 heads at 29 MB.
CPU_BLOCK, CPU_BLOCK_CAUSAL, BLOCK = 256, 128, 512
# Ids fall into so many classes when blocks are compared; ids that share one cost a block in vain.
# It is a prime so that the branches of one segment fall apart.
ID_CLASSES = 509
NOTHING = -1  # id of the places that fill up the last block
SMALLEST = jnp.finfo(jnp.float32).min
# Names of what the forward keeps, for rematerialisation policies.
SAVED = ("attended", "attended_log_sums")


def attend(
    q: Float[Array, "B T N H"],
    k: Float[Array, "B S K H"],
    v: Float[Array, "B S K H"],
    ids: tuple[Int[Array, "B T"], Int[Array, "B S"]],
    *,
    causal: bool,
) -> Float[Array, "B T N H"]:
    """`attention.attend` by blocks; a query that sees no key gets zeros."""
    attended: Any = _attend((q, k, v, *ids), causal)
    return attended


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _attend(arrays: tuple[Array, ...], causal: bool) -> Array:
    return _forward(arrays, causal)[0]


def _forward(arrays, causal):
    out, log_sums = _by_platform(_forward_blocks, arrays, causal=causal)
    out, log_sums = (
        checkpoint_name(x, name) for x, name in zip((out, log_sums), SAVED, strict=True)
    )
    return out, (arrays, out, log_sums)


def _backward(causal, kept, d_out):
    arrays, out, log_sums = kept
    # float32: what every probability of a query is lowered by.
    lowered = jnp.sum(d_out.astype(jnp.float32) * out.astype(jnp.float32), axis=-1)
    grads = _by_platform(_backward_blocks, arrays, d_out, log_sums, lowered, causal=causal)
    return ((*grads, None, None),)


_attend.defvjp(_forward, _backward)


def _by_platform(run: Callable[..., Any], *arrays: Any, causal: bool) -> Any:
    """`run` with the block of the platform that the program is compiled for."""
    run = functools.partial(run, causal=causal)
    return jax.lax.platform_dependent(
        *arrays,
        cpu=functools.partial(run, block=CPU_BLOCK_CAUSAL if causal else CPU_BLOCK),
        default=functools.partial(run, block=BLOCK),
    )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Pairs:
    """The block pairs to compute: the first `count` of `rows`, `queries` and `keys`."""

    rows: Array
    queries: Array
    keys: Array
    count: Array


def _forward_blocks(arrays, *, causal, block):
    q, k, v, q_segments, kv_segments = arrays
    heads, group = q.shape[2:], q.shape[2] // k.shape[2]
    scale = q.shape[-1] ** -0.5
    q_blocks, k_blocks, v_blocks = (_split_heads(x, k.shape[2], block) for x in (q, k, v))
    q_ids, kv_ids = (_split_ids(x, block) for x in (q_segments, kv_segments))

    def add(carry, row, i, j):
        largest, total, attended = (_read(x, row, i) for x in carry)
        logits = scale * _product("KMH,KSH->KMS", _read(q_blocks, row, i), _read(k_blocks, row, j))
        mask = _mask(q_ids, kv_ids, (row, i, j), causal=causal, group=group)
        logits = jnp.where(mask, logits, SMALLEST)
        now = jnp.maximum(largest, jnp.max(logits, axis=-1))
        # The second `where` is for a query that sees nothing in the block: exp(0) is not 0.
        probs = jnp.where(mask, jnp.exp(logits - now[..., None]), 0.0)
        old = jnp.exp(largest - now)
        values = _product("KMS,KSH->KMH", probs.astype(v.dtype), _read(v_blocks, row, j))
        new = (
            now,
            total * old + jnp.sum(probs, axis=-1),
            attended * old[..., None] + values,
        )
        return tuple(_write(x, y, row, i) for x, y in zip(carry, new, strict=True))

    zeros = jnp.zeros(q_blocks.shape, jnp.float32)
    carry = (zeros[..., 0] + SMALLEST, zeros[..., 0], zeros)
    largest, total, attended = _loop(add, _pairs(q_ids, kv_ids, causal=causal), carry)
    total = jnp.where(total > 0, total, 1.0)
    out = (attended / total[..., None]).astype(v.dtype)
    log_sums = (largest + jnp.log(total))[..., None]
    length = q.shape[1]
    return _join_heads(out, heads[0], length), _join_heads(log_sums, heads[0], length)[..., 0]


def _backward_blocks(arrays, d_out, log_sums, lowered, *, causal, block):
    q, k, v, q_segments, kv_segments = arrays
    kv_heads, group = k.shape[2], q.shape[2] // k.shape[2]
    scale = q.shape[-1] ** -0.5
    q_blocks, k_blocks, v_blocks, d_blocks = (
        _split_heads(x, kv_heads, block) for x in (q, k, v, d_out)
    )
    log_sums, lowered = (_split_heads(x[..., None], kv_heads, block) for x in (log_sums, lowered))
    q_ids, kv_ids = (_split_ids(x, block) for x in (q_segments, kv_segments))

    def add(carry, row, i, j):
        q_block, d_block = _read(q_blocks, row, i), _read(d_blocks, row, i)
        k_block, v_block = _read(k_blocks, row, j), _read(v_blocks, row, j)
        logits = scale * _product("KMH,KSH->KMS", q_block, k_block)
        mask = _mask(q_ids, kv_ids, (row, i, j), causal=causal, group=group)
        probs = jnp.where(mask, jnp.exp(logits - _read(log_sums, row, i)), 0.0)
        d_probs = _product("KMH,KSH->KMS", d_block, v_block)
        d_logits = (probs * (d_probs - _read(lowered, row, i))).astype(q.dtype)
        dq, dk, dv = carry
        return (
            _add(dq, _product("KMS,KSH->KMH", d_logits, k_block), row, i),
            _add(dk, _product("KMS,KMH->KSH", d_logits, q_block), row, j),
            _add(dv, _product("KMS,KMH->KSH", probs.astype(q.dtype), d_block), row, j),
        )

    carry = tuple(jnp.zeros(x.shape, jnp.float32) for x in (q_blocks, k_blocks, v_blocks))
    dq, dk, dv = _loop(add, _pairs(q_ids, kv_ids, causal=causal), carry)
    dq, dk = (scale * dq).astype(q.dtype), (scale * dk).astype(k.dtype)
    return (
        _join_heads(dq, q.shape[2], q.shape[1]),
        _join_heads(dk, kv_heads, k.shape[1]),
        _join_heads(dv.astype(v.dtype), kv_heads, k.shape[1]),
    )


def _pairs(q_ids: Int[Array, "B I t"], kv_ids: Int[Array, "B J s"], *, causal: bool) -> _Pairs:
    """All pairs of blocks in which some query may see some key."""
    is_met = blocks_that_meet(q_ids, kv_ids, causal=causal, forks=causal)
    rows, queries, keys = jnp.nonzero(is_met, size=is_met.size, fill_value=0)
    return _Pairs(rows, queries, keys, jnp.sum(is_met))


def blocks_that_meet(
    q_ids: Int[Array, "B I t"], kv_ids: Int[Array, "B J s"], *, causal: bool, forks: bool = False
) -> Bool[Array, "B I J"]:
    """True wherever some query of a block may see some key of another, and seldom elsewhere.

    Args:
      q_ids: Segment ids of the queries, by blocks.
      kv_ids: Segment ids of the keys.
      causal: Whether later keys are hidden.
      forks: Whether a branch sees its trunk.
    """
    seen_ids = _id_classes(q_ids)
    if forks:
        seen_ids = jnp.maximum(seen_ids, _id_classes(attention_masks.trunks(q_ids)))
    is_met = jnp.einsum("BIC,BJC->BIJ", seen_ids, _id_classes(kv_ids)) > 0
    if not causal:
        return is_met
    last_query = (1 + jnp.arange(q_ids.shape[1])) * q_ids.shape[2] - 1
    first_key = jnp.arange(kv_ids.shape[1]) * kv_ids.shape[2]
    return is_met & (last_query[:, None] >= first_key[None, :])[None]


def _id_classes(ids: Int[Array, "B I t"]) -> Float[Array, "B I C"]:
    """1 where a block holds an id of that class."""
    rows, blocks = jnp.indices(ids.shape[:2], sparse=True)
    zeros = jnp.zeros((*ids.shape[:2], ID_CLASSES), jnp.float32)
    return zeros.at[rows[..., None], blocks[..., None], ids % ID_CLASSES].set(1.0)


def _loop(body: Callable[..., Any], pairs: _Pairs, carry: Any) -> Any:
    """Folds `body(carry, row, query block, key block)` over the pairs, as many as there are."""

    def step(n, carry):
        return body(carry, pairs.rows[n], pairs.queries[n], pairs.keys[n])

    return jax.lax.fori_loop(0, pairs.count, step, carry)


def _mask(
    q_ids: Int[Array, "B I t"],
    kv_ids: Int[Array, "B J s"],
    at: tuple[Array, Array, Array],
    *,
    causal: bool,
    group: int,
) -> Bool[Array, "1 M s"]:
    """Who sees whom in one pair of blocks; each query stands there once a head of its group."""
    row, i, j = at
    mask = attention_masks.visible(
        _read(q_ids, row, i),
        _read(kv_ids, row, j),
        causal=causal,
        q_start=i * q_ids.shape[2],
        kv_start=j * kv_ids.shape[2],
    )
    return jnp.repeat(mask, group, axis=0)[None]


def _split_heads(
    x: Float[Array, "B T N H"], kv_heads: int, block: int
) -> Float[Array, "B I K M H"]:
    """Blocks of M = t G rows, one matrix a key/value head, so that every product is a plain one."""
    x = _fill_up(x, block, 0)
    batch, length, heads, width = x.shape
    x = x.reshape(batch, length // block, block, kv_heads, heads // kv_heads, width)
    x = jnp.moveaxis(x, 3, 2)
    return x.reshape(*x.shape[:3], -1, width)


def _join_heads(x: Float[Array, "B I K M H"], heads: int, length: int) -> Float[Array, "B T N H"]:
    """Undoes `_split_heads`."""
    batch, blocks, kv_heads, _, width = x.shape
    x = x.reshape(batch, blocks, kv_heads, -1, heads // kv_heads, width)
    return jnp.moveaxis(x, 2, 3).reshape(batch, -1, heads, width)[:, :length]


def _split_ids(ids: Int[Array, "B T"], block: int) -> Int[Array, "B I t"]:
    return _fill_up(ids, block, NOTHING).reshape(ids.shape[0], -1, block)


def _fill_up(x: Array, block: int, value: int) -> Array:
    """`x` with its second axis filled up to a multiple of `block`."""
    padding = [(0, 0), (0, -x.shape[1] % block)] + [(0, 0)] * (x.ndim - 2)
    return jnp.pad(x, padding, constant_values=value)


def _product(axes: str, a: Array, b: Array) -> Array:
    return jnp.einsum(axes, a, b, preferred_element_type=jnp.float32)


def _read(x: Array, row: Array, block: Array) -> Array:
    """`x[row, block]` without the gather and the scatter that indexing would make."""
    start = (row, block, *(0 for _ in x.shape[2:]))
    return jax.lax.dynamic_slice(x, start, (1, 1, *x.shape[2:]))[0, 0]


def _write(x: Array, value: Array, row: Array, block: Array) -> Array:
    start = (row, block, *(0 for _ in x.shape[2:]))
    return jax.lax.dynamic_update_slice(x, value[None, None], start)


def _add(x: Array, value: Array, row: Array, block: Array) -> Array:
    return _write(x, _read(x, row, block) + value, row, block)
