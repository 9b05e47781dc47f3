# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Useful floating-point operations of a step, for MFU.

Counted: matrix products of real tokens and real patches, causal attention at half, forward
plus backward with respect to activations and to trained weights. Not counted: padding,
recomputation, weight gradients of frozen parts, the backward pass below the lowest trained
part, and low-rank adapters, which are small.
"""

from collections.abc import Collection
from typing import NamedTuple

import jax

from lingshu_jax.models import lora, sizes

# bfloat16 peak of one device, FLOP/s, from the vendors' data sheets.
PEAK_FLOPS = {
    "NVIDIA H100 80GB HBM3": 989e12,
    "NVIDIA H200": 989e12,
    "NVIDIA A100-SXM4-80GB": 312e12,
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5": 459e12,
    "TPU v6 lite": 918e12,
}


class Work(NamedTuple):
    """What the real, unpadded part of a batch holds.

    Attributes:
      tokens: Text and visual tokens.
      token_pairs: Sum over sequences of length squared.
      patches: Image patches.
      frame_pairs: Sum over frames of patches squared.
      targets: Tokens that are predicted.
    """

    tokens: float
    token_pairs: float
    patches: float
    frame_pairs: float
    targets: float


def train_flops(size: sizes.ModelSize, work: Work, trained: Collection[str]) -> float:
    """FLOPs of one optimizer step on that work.

    Args:
      size: The model's sizes.
      work: Of the whole global batch.
      trained: Paths of the trained parameters.

    Returns:
      Forward plus needed backward operations.
    """
    moved = {name.partition("/")[0] for name in trained}
    # Adapters need the gradient of the activations, not that of the weights.
    full = {name.partition("/")[0] for name in trained if not lora.is_adapter(name)}
    # forward 1, gradient with respect to activations 1, with respect to weights 1
    text_passes = 2.0 + ("text" in full)
    vision_passes = 1.0 + ("vision" in moved) + ("vision" in full)
    return text_passes * text_forward(size, work) + vision_passes * vision_forward(size, work)


def text_forward(size: sizes.ModelSize, work: Work) -> float:
    """Forward FLOPs of the language model, head included."""
    text = size.text
    heads, kv_heads = text.num_heads * text.head_dim, text.num_kv_heads * text.head_dim
    per_token = text.embed_dim * (2 * heads + 2 * kv_heads + 3 * text.mlp_dim)
    attention = 2 * work.token_pairs * heads / 2  # two products, causal half
    head = work.targets * text.embed_dim * text.vocab_size
    return 2.0 * (text.num_layers * (work.tokens * per_token + attention) + head)


def vision_forward(size: sizes.ModelSize, work: Work) -> float:
    """Forward FLOPs of the tower and the merger."""
    vision = size.vision
    width, slot = vision.embed_dim, vision.geometry.slot_patches
    per_patch = width * (4 * width + 3 * vision.mlp_dim)
    full = len(vision.full_attention_layers)
    windowed = vision.num_layers - full
    attention = 2 * width * (full * work.frame_pairs + windowed * work.patches * slot)
    cells = work.patches / vision.geometry.cell_patches
    merger = cells * vision.merged_dim * (vision.merged_dim + size.text.embed_dim)
    embed = work.patches * vision.geometry.patch_dim * width
    return 2.0 * (vision.num_layers * work.patches * per_patch + attention + merger + embed)


def peak_flops() -> float | None:
    """Peak of all devices together; None where the kind is unknown, as on a CPU."""
    peak = PEAK_FLOPS.get(jax.devices()[0].device_kind)
    return None if peak is None else peak * jax.device_count()
