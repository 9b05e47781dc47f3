# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Attention on NVIDIA GPUs from Hopper on: tokamax's Mosaic kernel, the extra `[tokamax]`.

Its mask is a range of keys for each query, which is what a packed document is; blocks out of range
are skipped, forward and backward. Forked rows and ids that come back later are not ranges: they go
to the portable backend while the program runs. Kernel and mask are private to tokamax, so the
extra pins one version; version 0.0.12 fails on jax 0.11.2 with a TypeError, in which case "auto"
takes the next kernel (`attention_backends`).

Axes: B batch, T query tokens, S key/value tokens, N query heads, K key/value heads, H head width.
"""

import functools
import importlib

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from lingshu_jax.common import errors
from lingshu_jax.models import attention_masks, attention_xla

PACKAGE = "tokamax._src.ops.attention"


def attend(
    q: Float[Array, "B T N H"],
    k: Float[Array, "B S K H"],
    v: Float[Array, "B S K H"],
    ids: tuple[Int[Array, "B T"], Int[Array, "B S"]],
    *,
    causal: bool,
) -> Float[Array, "B T N H"]:
    """`attention.attend` by tokamax, or by blocks where the ids are not those of documents.

    Args:
      q: Queries, already rotated.
      k: Keys, already rotated.
      v: Values.
      ids: Segment ids of the queries and of the keys: the same, a row attends to itself.
      causal: Whether later keys are hidden.

    Raises:
      UserError: If tokamax is not installed.
    """
    return jax.lax.cond(
        jnp.array_equal(*ids) & attention_masks.are_documents(ids[0]),
        functools.partial(_attend_ranges, causal=causal),
        functools.partial(attention_xla.attend, causal=causal),
        *(q, k, v, ids),
    )


def _attend_ranges(q, k, v, ids, *, causal):
    try:
        api, base = (importlib.import_module(f"{PACKAGE}.{name}") for name in ("api", "base"))
    except ImportError as absent:
        raise errors.UserError(
            "attention backend 'tokamax' needs pip install 'lingshu-jax[tokamax]'"
        ) from absent
    starts, ends = (x[:, None] for x in find_ranges(ids[0]))
    mask = base.Mask(k_start=starts, k_end=None if causal else ends, is_causal=causal)
    return api.IMPLEMENTATIONS["mosaic_gpu"](q, k, v, mask=mask)


def find_ranges(ids: Int[Array, "B T"]) -> tuple[Int[Array, "B T"], Int[Array, "B T"]]:
    """Where the document of each token begins and where it ends.

    Args:
      ids: Segment ids; every run of one is a document, the padding as well.
    """
    length = ids.shape[1]
    is_start, index = attention_masks.starts(ids), jnp.arange(length, dtype=jnp.int32)[None, :]
    begins = jax.lax.cummax(jnp.where(is_start, index, 0), axis=1)
    following = jnp.where(is_start, index, length)
    ends = jax.lax.cummin(following, axis=1, reverse=True)
    return begins, jnp.append(ends[:, 1:], jnp.full_like(ends[:, :1], length), axis=1)
