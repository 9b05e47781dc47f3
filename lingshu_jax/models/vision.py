# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Qwen2.5-VL's vision tower and merger over packed patches of static shape.

Patches are gathered once into window slots of 64 places (`structs.Images`); every block then
works in slot order. Windowed blocks attend inside the ids of a slot; full-attention blocks
attend inside frames, which is the same in any order. The merger undoes the order.

Ids, where a block takes them, are those of frames [B, P] or those of windows [B, W, 64]; the latter
make it a windowed block.

Axes: B rows, P patch places, W = P / 64 slots, D width, N heads, H head width, M = P / 4
merged cells.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float, Int

from lingshu_jax.common import geometry as geometry_lib
from lingshu_jax.common import sharding, structs
from lingshu_jax.models import attention, layers, rope, sizes

SLOT = 64  # patch places of one window slot


class Attention(nn.Module):
    """Self-attention of patches, inside windows or inside frames."""

    size: sizes.VisionSize
    dtype: jnp.dtype
    param_dtype: jnp.dtype
    backend: str = "xla"

    @nn.compact
    def __call__(
        self, x: Float[Array, "B P D"], angles: Float[Array, "B P F"], ids: Int[Array, " B *place"]
    ) -> Float[Array, "B P D"]:
        """Attends among the places of equal id."""
        heads = (self.size.num_heads, self.size.head_dim)
        options: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        qkv = layers.Dense((3, *heads), name="qkv", **options)(x)
        q, k, v = (qkv[:, :, i] for i in range(3))
        # Rotation in float32, as the checkpoint's own code does for the tower only.
        q, k = (rope.rotate(y.astype(jnp.float32), angles).astype(x.dtype) for y in (q, k))
        if ids.ndim == 3:
            named = (checkpoint_name(y, layers.QKV) for y in (q, k, v))
            q, k, v = (y.reshape(*ids.shape, *heads) for y in named)
            out = attention.attend_slots(q, k, v, ids).reshape(*x.shape[:2], *heads)
            out = checkpoint_name(out, layers.ATTENDED[0])
        else:
            whole = (
                checkpoint_name(sharding.constrain(y, "batch", None, "heads", None), layers.QKV)
                for y in (q, k, v)
            )
            out = attention.attend(
                *whole, q_segments=ids, kv_segments=ids, causal=False, backend=self.backend
            )
        return layers.Dense(x.shape[-1], axis=(-2, -1), name="out", **options)(out)


class Block(nn.Module):
    """Pre-norm block: attention, then gated MLP."""

    size: sizes.VisionSize
    dtype: jnp.dtype
    param_dtype: jnp.dtype
    backend: str = "xla"

    @nn.compact
    def __call__(
        self, x: Float[Array, "B P D"], angles: Float[Array, "B P F"], ids: Int[Array, " B *place"]
    ) -> Float[Array, "B P D"]:
        """Adds attention and MLP to the residual stream."""
        eps, param_dtype = self.size.rms_norm_eps, self.param_dtype
        attend = Attention(self.size, self.dtype, param_dtype, self.backend, name="attention")
        mlp = layers.GatedMLP(self.size.mlp_dim, True, self.dtype, param_dtype, name="mlp")
        x = checkpoint_name(x, layers.LAYER_INPUT)
        out = attend(layers.RMSNorm(eps, param_dtype, name="norm1")(x), angles, ids)
        x = x + checkpoint_name(out, layers.ATTENTION_OUT)
        x = sharding.constrain(x, "batch", "stream", None)
        x = x + mlp(layers.RMSNorm(eps, param_dtype, name="norm2")(x))
        return sharding.constrain(x, "batch", "stream", None)


class Vision(nn.Module):
    """Patch embedding and blocks; features stay in slot order for the merger."""

    size: sizes.VisionSize
    dtype: jnp.dtype = jnp.dtype(jnp.float32)
    param_dtype: jnp.dtype = jnp.dtype(jnp.float32)
    remat: str = "none"
    backend: str = "xla"

    def setup(self) -> None:
        """Declares the patch embedding and the stack of blocks."""
        self.patch_embed = nn.Dense(
            self.size.embed_dim, use_bias=False, dtype=self.dtype, param_dtype=self.param_dtype
        )
        block = self._block()
        slot = (1, SLOT)
        example = (
            jnp.zeros((*slot, self.size.embed_dim), self.dtype),
            jnp.zeros((*slot, self.size.head_dim // 2), jnp.float32),
            jnp.zeros(slot, jnp.int32),
        )
        self.blocks = layers.stack(self, "blocks", block, self.size.num_layers, *example)

    def __call__(self, images: structs.Images) -> Float[Array, "B P D"]:
        """Features of every patch place, in slot order; padding places hold finite noise."""
        gather = images.window_gather
        pixels = _gather(images.patches, gather)
        x = self.patch_embed(normalize(pixels, self.size.geometry).astype(self.dtype))
        x = sharding.constrain(x, "batch", "stream", None)
        angles = rope.vision_angles(_gather(images.patch_hw, gather), head_dim=self.size.head_dim)
        frames = _gather(images.patch_frame_ids[..., None], gather)[..., 0]
        return self._run_blocks(x, angles, frames, images.window_ids)

    def _run_blocks(self, x, angles, frames, windows):
        """Scans over the periods of the full-attention pattern, inside it over equal runs."""
        period = pattern_period(self.size.full_attention_layers, self.size.num_layers)
        runs = attention_runs(self.size.full_attention_layers, period)
        stacked = jax.tree.map(lambda leaf: leaf.reshape(-1, period, *leaf.shape[1:]), self.blocks)
        # libtpu 0.0.52 compiles no offloading from nested scans.
        policy = "full" if self.remat == "offload" else self.remat
        forward = layers.remat(self._forward_block, policy)

        def run_period(x, params):
            for start, stop, is_full in runs:
                run = jax.tree.map(lambda leaf, a=start, b=stop: leaf[a:b], params)
                ids = frames if is_full else windows
                body = functools.partial(_run_block, forward, angles=angles, ids=ids)
                x, _ = jax.lax.scan(body, x, run)
            return x, None

        x, _ = jax.lax.scan(run_period, x, stacked)
        return x

    def _forward_block(self, params, x, angles, ids):
        return self._block().apply({"params": params}, x, angles, ids)

    def _block(self) -> Block:
        return Block(self.size, self.dtype, self.param_dtype, self.backend, parent=None)


class Merger(nn.Module):
    """Joins the patches of each merged cell and projects them to the text width."""

    size: sizes.VisionSize
    text_dim: int
    dtype: jnp.dtype = jnp.dtype(jnp.float32)
    param_dtype: jnp.dtype = jnp.dtype(jnp.float32)

    @nn.compact
    def __call__(
        self, x: Float[Array, "B P D"], merged_inverse: Int[Array, "B M"]
    ) -> Float[Array, "B M E"]:
        """Visual tokens in patch order."""
        merged = self.size.merged_dim
        options: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        x = layers.RMSNorm(self.size.rms_norm_eps, self.param_dtype, name="norm")(x)
        x = x.reshape(x.shape[0], -1, merged)
        x = nn.gelu(layers.Dense(merged, name="up", **options)(x), approximate=False)
        x = layers.Dense(self.text_dim, name="down", **options)(x)
        return jnp.take_along_axis(x, merged_inverse[..., None], axis=1)


def normalize(patches: Array, geometry: Any) -> Float[Array, "B P C"]:
    """Raw pixel values 0..255 to the checkpoint's normalised float32 values.

    Args:
      patches: Patch rows in the order (channel, frame, y, x).
      geometry: Gives the number of values a channel.

    Returns:
      (value / 255 - mean) / std by channel.
    """
    per_channel = geometry.patch_dim // 3
    mean = jnp.repeat(jnp.array(geometry_lib.PIXEL_MEAN, jnp.float32), per_channel)
    std = jnp.repeat(jnp.array(geometry_lib.PIXEL_STD, jnp.float32), per_channel)
    values = patches.astype(jnp.float32) / 255.0
    return (values - mean[None, None, :]) / std[None, None, :]


def pattern_period(full_layers: tuple[int, ...], num_layers: int) -> int:
    """The smallest period of the full-attention pattern that divides the depth."""
    is_full = [i in full_layers for i in range(num_layers)]
    for period in range(1, num_layers + 1):
        if num_layers % period == 0 and is_full == is_full[:period] * (num_layers // period):
            return period
    raise AssertionError("the depth itself is always a period")


def attention_runs(full_layers: tuple[int, ...], period: int) -> list[tuple[int, int, bool]]:
    """Runs (start, stop, is_full) of equal kind among the first `period` blocks.

    >>> attention_runs((2,), 4)
    [(0, 2, False), (2, 3, True), (3, 4, False)]
    """
    runs: list[tuple[int, int, bool]] = []
    for i in range(period):
        is_full = i in full_layers
        if runs and runs[-1][2] == is_full:
            runs[-1] = (runs[-1][0], i + 1, is_full)
        else:
            runs.append((i, i + 1, is_full))
    return runs


def _run_block(forward: Callable[..., Any], x: Array, params: Any, *, angles: Array, ids: Array):
    """One step of a scan over blocks."""
    return forward(params, x, angles, ids), None


def _gather(values: Array, index: Int[Array, "B P"]) -> Array:
    """Rows of `values` at `index`; an index out of range gives zeros."""
    take = jax.vmap(lambda rows, i: jnp.take(rows, i, axis=0, mode="fill", fill_value=0))
    return take(values, index)
