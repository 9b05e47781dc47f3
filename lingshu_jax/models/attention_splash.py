# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Attention on TPU: JAX's splash kernel, which also skips what packed segments do not share.

The kernel takes a table of block pairs that is meant to be static. Here it is made from the
segment ids of each row, so a row costs what its documents cost. A forked row takes two passes,
over the keys of a query's own id and over those of its trunk, joined by their log-sum-exps; the
backward then calls the kernel's own backward twice with the joint one.

Forward and backward are private functions of JAX: a version is used once its parity test passes
(`attention_backends`).

Axes: B batch, T query tokens, S key/value tokens, N query heads, K key/value heads, H head width;
I query blocks, J key blocks.
"""

import contextlib
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.experimental.pallas.ops.tpu import splash_attention
from jax.experimental.pallas.ops.tpu.splash_attention import (
    splash_attention_kernel,
    splash_attention_mask_info,
)
from jaxtyping import Array, Bool, Float, Int

from lingshu_jax.models import attention_masks, attention_xla

LANES = 128  # lengths and head widths are filled up to a multiple of it
# 1024 queries and keys: half of the 2048 that is fastest for whole rows on v6e, because what
# documents do not share is skipped by blocks. The backward writes the gradients of the queries
# once for each key block, so those are larger.
BLOCKS, BACKWARD_KEYS = (1024, 512, 256, 128), 2048
COMPUTE_KEYS = 512  # keys of one product: its float32 logits fit the 16 MiB of VMEM of a v5e
UNSEEN_QUERY = -2  # an id that no key has
HIDDEN = splash_attention_kernel.DEFAULT_MASK_VALUE


def attend(
    q: Float[Array, "B T N H"],
    k: Float[Array, "B S K H"],
    v: Float[Array, "B S K H"],
    ids: tuple[Int[Array, "B T"], Int[Array, "B S"]],
    *,
    causal: bool,
    interpret: bool = False,
) -> Float[Array, "B T N H"]:
    """`attention.attend` by the splash kernel; every query must see some key.

    Args:
      q: Queries, already rotated.
      k: Keys, already rotated.
      v: Values.
      ids: Segment ids of the queries and of the keys.
      causal: Whether later keys are hidden.
      interpret: Whether the kernel is emulated, where there is no TPU.
    """
    width = q.shape[-1]
    # The kernel scales nothing. In float32: rounding the factor would shift every logit alike.
    q = (q.astype(jnp.float32) * width**-0.5).astype(q.dtype)
    q, k, v = (jnp.swapaxes(_fill_up(_fill_up(x, 1), 3), 1, 2) for x in (q, k, v))
    q_ids, kv_ids = (_fill_up(x, 1, attention_xla.NOTHING) for x in ids)
    out: Any = _attend_rows((q, k, v, q_ids, kv_ids), (causal, interpret))
    return jnp.swapaxes(out, 1, 2)[:, : ids[0].shape[1], :, :width]


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _attend_rows(arrays: tuple[Array, ...], options: tuple[bool, bool]) -> Array:
    """q, k and v with heads before tokens, ids of queries and keys; causal, interpret."""
    return _forward(arrays, options)[0]


def _forward(arrays, options):
    # Row by row: the table of block pairs is a scalar argument, which the kernel cannot batch.
    def run(row):
        return _forward_row(row, options)

    with _precision(arrays[0].dtype):
        out, log_sums = jax.lax.map(run, arrays)
    names = zip((out, log_sums), attention_xla.SAVED, strict=True)
    out, log_sums = (checkpoint_name(x, name) for x, name in names)
    return out, (*arrays, out, log_sums)


def _backward(options, kept, d_out):
    def run(row):
        return _backward_row(row, options)

    with _precision(d_out.dtype):
        grads = jax.lax.map(run, (*kept, d_out))
    return ((*grads, None, None),)


_attend_rows.defvjp(_forward, _backward)


def _precision(dtype: jnp.dtype) -> Any:
    """Of bfloat16 products Mosaic makes one kind only, whatever is asked for elsewhere."""
    is_rounded = dtype == jnp.bfloat16
    return jax.default_matmul_precision("default") if is_rounded else contextlib.nullcontext()


def _forward_row(row, options):
    q, k, v, q_ids, kv_ids = row
    causal, _ = options

    def run(q_ids):
        return _run_kernel((q, k, v, q_ids, kv_ids), options)

    if not causal:
        return run(q_ids)

    def joined():
        (own, own_sums), (trunk, trunk_sums) = run(q_ids), run(_trunk_ids(q_ids))
        log_sums = jnp.logaddexp(own_sums, trunk_sums)

        def share(part, sums):
            share = jnp.exp(sums - log_sums)[..., None]
            # Where no block was computed the kernel divided by zero.
            return jnp.where(share > 0, part.astype(jnp.float32) * share, 0.0)

        out = share(own, own_sums) + share(trunk, trunk_sums)
        return out.astype(v.dtype), log_sums

    return jax.lax.cond(_is_forked(q_ids), joined, lambda: run(q_ids))


def _backward_row(row, options):
    q, k, v, q_ids, kv_ids, out, log_sums, d_out = row
    causal, interpret = options

    def run(q_ids):
        info = _mask_info(q_ids, kv_ids, causal, axis=0)
        ids = splash_attention.SegmentIds(q_ids, kv_ids)
        grads = splash_attention_kernel._splash_attention_bwd(
            save_residuals=False,
            is_mqa=False,
            residual_checkpoint_name=None,
            block_sizes=_block_sizes(q.shape[1], k.shape[1]),
            res=(q, k, v, ids, None, out, log_sums, None, info),
            do=d_out,
            interpret=interpret,
            **_masking(causal),
        )
        return grads[3:6]

    if not causal:
        return run(q_ids)

    def joined():
        pairs = zip(run(q_ids), run(_trunk_ids(q_ids)), strict=True)
        return tuple(own + trunk for own, trunk in pairs)

    return jax.lax.cond(_is_forked(q_ids), joined, lambda: run(q_ids))


def _run_kernel(row, options) -> tuple[Float[Array, "N T H"], Float[Array, "N T"]]:
    """Output and log-sum-exp of the queries of one row over the keys of equal id."""
    causal, interpret = options
    q, k, v, q_ids, kv_ids = row
    out, (log_sums,) = splash_attention_kernel._splash_attention_forward(
        _mask_info(q_ids, kv_ids, causal, axis=1),
        q,
        k,
        v,
        splash_attention.SegmentIds(q_ids, kv_ids),
        sinks=None,
        is_mqa=False,
        block_sizes=_block_sizes(q.shape[1], k.shape[1]),
        residual_checkpoint_name=None,
        save_residuals=True,
        interpret=interpret,
        **_masking(causal),
    )
    return out, log_sums


def _masking(causal: bool) -> dict[str, Any]:
    return {
        "mask_value": HIDDEN,
        "mask_function": _is_before if causal else None,
        "attn_logits_soft_cap": None,
    }


def _is_before(q_index: Array, kv_index: Array) -> Array:
    return q_index >= kv_index


def _is_forked(q_ids: Int[Array, " T"]) -> Bool[Array, ""]:
    return jnp.any(q_ids >= attention_masks.BRANCH)


def _trunk_ids(q_ids: Int[Array, " T"]) -> Int[Array, " T"]:
    """Of each query of a branch the id of its trunk; other queries are served by their own."""
    is_branch = q_ids >= attention_masks.BRANCH
    return jnp.where(is_branch, attention_masks.trunks(q_ids), UNSEEN_QUERY)


def _mask_info(
    q_ids: Int[Array, " T"], kv_ids: Int[Array, " S"], causal: bool, *, axis: int
) -> splash_attention_mask_info.MaskInfo:
    """The kernel's table of block pairs.

    Args:
      q_ids: Ids of a row's queries.
      kv_ids: Ids of its keys.
      causal: Whether later keys are hidden.
      axis: That the kernel walks along: 1 over keys, as the forward, or 0 over queries.
    """
    q_block, kv_block, backward_block = _blocks(q_ids.size, kv_ids.size)
    kv_block = kv_block if axis == 1 else backward_block
    is_met = attention_xla.blocks_that_meet(
        q_ids.reshape(1, -1, q_block), kv_ids.reshape(1, -1, kv_block), causal=causal
    )[0]
    size = is_met.shape[axis]
    index = jnp.expand_dims(jnp.arange(size, dtype=jnp.int32), 1 - axis)
    # Where nothing is computed, the next block to compute stays fetched, or else the last.
    following = jax.lax.cummin(jnp.where(is_met, index, size), axis=axis, reverse=True)
    last = jnp.max(jnp.where(is_met, index, 0), axis=axis, keepdims=True)
    q_index: Any = jnp.arange(q_ids.size, dtype=jnp.int32) if causal else None
    return splash_attention_mask_info.MaskInfo(
        data_next=jnp.minimum(following, last)[None],
        mask_next=None,
        block_mask=is_met[None].astype(jnp.int32),
        partial_mask_blocks=None,
        q_sequence=q_index,
    )


def _blocks(queries: int, keys: int) -> tuple[int, int, int]:
    """The largest blocks that divide: of queries, of keys, of keys in the backward."""
    q_block, kv_block = (next(b for b in BLOCKS if n % b == 0) for n in (queries, keys))
    return q_block, kv_block, kv_block if keys % BACKWARD_KEYS else BACKWARD_KEYS


def _block_sizes(queries: int, keys: int) -> splash_attention.BlockSizes:
    q_block, kv_block, backward_block = _blocks(queries, keys)
    compute = min(kv_block, COMPUTE_KEYS)
    return splash_attention.BlockSizes(
        block_q=q_block,
        block_kv=kv_block,
        block_kv_compute=compute,
        block_q_dkv=q_block,
        block_kv_dkv=backward_block,
        block_kv_dkv_compute=compute,
        use_fused_bwd_kernel=True,
    )


def _fill_up(x: Array, axis: int, value: int = 0) -> Array:
    """`x` with an axis filled up to a multiple of `LANES`."""
    padding = [(0, 0)] * x.ndim
    padding[axis] = (0, -x.shape[axis] % LANES)
    return jnp.pad(x, padding, constant_values=value)
