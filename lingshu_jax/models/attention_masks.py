# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Who sees whom: segments, causal order and the forks of a segment.

Axes: B batch, T query tokens, S key/value tokens.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

BRANCH = 1 << 16  # segment id i + b BRANCH is branch b of segment i


def visible(
    q_segments: Int[Array, "*batch T"],
    kv_segments: Int[Array, "*batch S"],
    *,
    causal: bool,
    q_start: int | Int[Array, ""] = 0,
    kv_start: int | Int[Array, ""] = 0,
) -> Bool[Array, "*batch T S"]:
    """True where query t may see key s.

    Args:
      q_segments: Segment id of each query.
      kv_segments: Segment id of each key.
      causal: Whether later keys are hidden; only then does a branch see its trunk.
      q_start: Index of the first query in its row, where a block of a row is given.
      kv_start: The same for the first key.
    """
    mask = q_segments[..., :, None] == kv_segments[..., None, :]
    if not causal:
        return mask
    mask = mask | (trunks(q_segments)[..., :, None] == kv_segments[..., None, :])
    q_index = q_start + jnp.arange(q_segments.shape[-1])
    kv_index = kv_start + jnp.arange(kv_segments.shape[-1])
    is_before = q_index[:, None] >= kv_index[None, :]
    return mask & is_before[(None,) * (mask.ndim - 2)]


def trunks(segments: Int[Array, "*shape"]) -> Int[Array, "*shape"]:
    """The segment that each branch grows from; a segment without branches is its own."""
    return segments % BRANCH


def starts(segments: Int[Array, "B T"]) -> Bool[Array, "B T"]:
    """True where an id differs from the one before."""
    return jnp.diff(segments, axis=1, prepend=segments[:, :1] - 1) != 0


def are_documents(segments: Int[Array, "B T"], most: int | None = None) -> Bool[Array, ""]:
    """Whether every id is one run of its row and none is a branch.

    Args:
      segments: Segment ids of rows.
      most: Runs that a row may have, padding included.
    """
    runs = jnp.sum(starts(segments), axis=1)
    distinct = jnp.sum(starts(jnp.sort(segments, axis=1)), axis=1)
    is_plain = (runs == distinct) & (jnp.max(segments, axis=1) < BRANCH)
    return jnp.all(is_plain if most is None else is_plain & (runs <= most))
