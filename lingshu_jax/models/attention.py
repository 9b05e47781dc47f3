# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""attend(): grouped-query attention over packed segments, one signature for all backends.

Axes: B batch, T query tokens, S key/value tokens, N = K G query heads, K key/value heads,
G query heads per key/value head, H head width.
"""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.sharding import AbstractMesh
from jaxtyping import Array, Bool, Float, Int

from lingshu_jax.common import errors, sharding
from lingshu_jax.models import (
    attention_cudnn,
    attention_masks,
    attention_splash,
    attention_tokamax,
    attention_xla,
)

# Up to so many queries one product over the whole row is fastest, whatever the backend: a new
# token beside a cache, a short prompt, a short row.
DENSE_QUERIES = 192

# kernel(q, k, v, (q_segments, kv_segments), causal=causal) by name.
KERNELS: Mapping[str, Callable[..., Any]] = {
    "xla": attention_xla.attend,
    "splash": attention_splash.attend,
    "cudnn": attention_cudnn.attend,
    "tokamax": attention_tokamax.attend,
}
BACKENDS = tuple(KERNELS)


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
    the id `i + b BRANCH` (`attention_masks`) and sees itself and its trunk i, but no other
    branch. Padding is segment 0 and sees other padding: its output is finite and nobody reads it.

    Args:
      q: Queries, already rotated.
      k: Keys, already rotated.
      v: Values.
      q_segments: Segment id of each query.
      kv_segments: Segment id of each key.
      causal: Whether later keys are hidden.
      backend: One of `BACKENDS`.

    Returns:
      Attended values in the dtype of `v`; the softmax is float32. A query that sees no key gets
      something finite.

    Raises:
      UserError: If the backend is unknown, or the heads do not divide over the mesh.
    """
    if backend not in BACKENDS:
        raise errors.UserError(
            f"unknown attention backend {backend!r}; known: {', '.join(BACKENDS)}"
        )
    if q.shape[1] <= DENSE_QUERIES:
        mask = attention_masks.visible(q_segments, kv_segments, causal=causal)
        return checkpoint_name(_attend_dense(q, k, v, mask), attention_xla.SAVED[0])
    kernel = KERNELS[backend]
    mesh = sharding.active_mesh()
    if mesh is None:
        return kernel(q, k, v, (q_segments, kv_segments), causal=causal)
    return _attend_sharded(kernel, mesh, (q, k, v, q_segments, kv_segments), causal=causal)


def _attend_dense(
    q: Float[Array, "B T N H"],
    k: Float[Array, "B S K H"],
    v: Float[Array, "B S K H"],
    mask: Bool[Array, "B T S"],
) -> Float[Array, "B T N H"]:
    batch, length, heads, width = q.shape
    grouped = q.reshape(batch, length, k.shape[2], heads // k.shape[2], width)
    # T before G, as in the queries: the logits are made in the order that the product gives.
    logits = jnp.einsum("BTKGH,BSKH->BKTGS", grouped, k, preferred_element_type=jnp.float32)
    logits = logits * width**-0.5
    logits = jnp.where(mask[:, None, :, None, :], logits, jnp.finfo(jnp.float32).min)
    probs = jax.nn.softmax(logits, axis=-1).astype(v.dtype)
    return jnp.einsum("BKTGS,BSKH->BTKGH", probs, v).reshape(batch, length, heads, width)


def _attend_sharded(
    kernel: Callable[..., Any], mesh: AbstractMesh, arrays: tuple[Array, ...], *, causal: bool
) -> Float[Array, "B T N H"]:
    """Runs a kernel on each device's own rows and heads, which the partitioner cannot split.

    Raises:
      UserError: If the heads do not divide over the devices that share a row.
    """
    q, k, v, *ids = arrays
    axes = sharding.ACTIVATION_RULES["heads"]
    sizes = {axis: mesh.shape[axis] for axis in axes or ()}
    parts = math.prod(sizes.values())
    if q.shape[2] % parts:
        described = " x ".join(f"{axis}={size}" for axis, size in sizes.items())
        raise errors.UserError(
            f"attention splits its heads over the mesh axes {described}, but {q.shape[2]} heads "
            "do not divide by that"
        )
    # Where key/value heads are too few for that, each is held as often as it takes.
    times = parts // math.gcd(k.shape[2], parts)
    k, v = (jnp.repeat(x, times, axis=2) for x in (k, v))
    q_spec, k_spec, ids_spec = (
        sharding.activation_spec(x.shape, ("batch", None, "heads", None)[: x.ndim], mesh)
        for x in (q, k, ids[0])
    )
    return jax.shard_map(
        functools.partial(kernel, causal=causal),
        mesh=mesh,
        in_specs=(q_spec, k_spec, k_spec, (ids_spec, ids_spec)),
        out_specs=q_spec,
        check_vma=False,
    )(q, k, v, tuple(ids))


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
    # Heads before places: forward and backward are then plain products of stacked matrices.
    q, k, v = (jnp.moveaxis(x, 3, 2) for x in (q, k, v))
    mask = ids[..., :, None] == ids[..., None, :]
    logits = jnp.einsum("BWNTH,BWNSH->BWNTS", q, k, preferred_element_type=jnp.float32)
    logits = logits * q.shape[-1] ** -0.5
    logits = jnp.where(mask[:, :, None, :, :], logits, jnp.finfo(jnp.float32).min)
    probs = jax.nn.softmax(logits, axis=-1).astype(v.dtype)
    return jnp.moveaxis(jnp.einsum("BWNTS,BWNSH->BWNTH", probs, v), 2, 3)
