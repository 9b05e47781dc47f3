# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Rotary position embedding: two axes for patches, three for text tokens.

Axes: B batch, T tokens, N heads, H head width, P patches.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

VISION_THETA = 10_000.0


def rotate(
    x: Float[Array, "*batch N H"], angles: Float[Array, "*batch F"]
) -> Float[Array, "*batch N H"]:
    """Rotates the pairs (x_i, x_{i + H/2}) by `angles`, the same for every head.

        y = x cos(angles) + rotate_half(x) sin(angles)

    Args:
      x: Queries or keys.
      angles: H / 2 angles in radians for each position.

    Returns:
      The rotated vectors in the dtype of `x`, which also holds the products: give float32
      where the checkpoint's own code multiplies in float32 (the vision tower).
    """
    cos = jnp.cos(angles).astype(x.dtype)[..., None, :]
    sin = jnp.sin(angles).astype(x.dtype)[..., None, :]
    first, second = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def vision_angles(patch_hw: Int[Array, "*batch 2"], *, head_dim: int) -> Float[Array, "*batch F"]:
    """Angles of a patch: its row turns the first quarter of the head, its column the next.

    Args:
      patch_hw: Row and column of each patch in its frame.
      head_dim: Width H of a head, a multiple of 4.

    Returns:
      H / 2 angles in radians, float32 (bfloat16 is off by 0.12 rad at 64 patches a side).
    """
    frequencies = _frequencies(head_dim // 2, VISION_THETA)
    angles = patch_hw.astype(jnp.float32)[..., None] * frequencies[(None,) * patch_hw.ndim]
    return angles.reshape(*patch_hw.shape[:-1], head_dim // 2)


def text_angles(
    positions: Int[Array, "B 3 T"],
    *,
    head_dim: int,
    theta: float,
    mrope_section: tuple[int, int, int],
) -> Float[Array, "B T F"]:
    """Multimodal rotary angles: each frequency listens to one of time, height and width.

    Args:
      positions: Positions on the three axes; equal on all three for text.
      head_dim: Width H of a head.
      theta: Base of the frequencies.
      mrope_section: How many frequencies, highest first, follow time, height and width.

    Returns:
      H / 2 angles in radians, float32.

    Source: transformers, modeling_qwen2_5_vl.py, apply_multimodal_rotary_pos_emb; splitting
      the doubled section list there is the same as assigning one axis a frequency here.
    """
    frequencies = _frequencies(head_dim, theta)
    ends = np.cumsum(mrope_section)
    # No gather over the axes: jax 0.11.2 cannot split one whose tokens are over two mesh axes.
    parts = [
        positions[:, axis, :, None].astype(jnp.float32) * frequencies[None, None, end - count : end]
        for axis, (count, end) in enumerate(zip(mrope_section, ends, strict=True))
    ]
    return jnp.concatenate(parts, axis=-1)


def _frequencies(dim: int, theta: float) -> Float[np.ndarray, " F"]:
    """theta^(-2i / dim) in float64: an accelerator's float32 power is off at long contexts."""
    return (theta ** -(np.arange(0, dim, 2, dtype=np.float64) / dim)).astype(np.float32)
