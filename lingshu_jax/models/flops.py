# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Useful floating-point operations of a step, for MFU.

    mfu = (flops/text + flops/vision) / (seconds of the step * peak of all devices)

A product of an [M, K] and a [K, N] matrix counts 2 M K N. Every product with a weight counts

    1 (forward) + 1 if its weight is trained + 1 if anything before it is trained

and the two products of attention, q k and p v, count 1 + 2 where anything before them is trained.
Work is that of real tokens, patches and targets; causal attention counts at half of n^2, windowed
attention the real patches of its windows.

Not counted: padding, recomputation, weight gradients of what is frozen, the backward pass below
the lowest trained part, the head at tokens that are no target, low-rank adapters, norms, the
softmax and the optimizer.
"""

import os
from collections.abc import Collection, Iterator
from typing import NamedTuple

import jax

from lingshu_jax.common import errors, topologies
from lingshu_jax.models import sizes

STATED_PEAK = "LINGSHU_PEAK_FLOPS"  # FLOP/s of one device, for kinds that are not listed
# Parts of the model in the order of the forward pass; a stack is one part.
_CHAIN = (
    *("vision/patch_embed", "vision/blocks", "merger/norm", "merger/up", "merger/down"),
    *("text/embed", "text/layers", "text/norm", "text/head"),
)
_STACKS = ("vision/blocks", "text/layers")
_HEAD = "text/head"


class Work(NamedTuple):
    """What the real, unpadded part of a batch holds.

    Attributes:
      tokens: Text and visual tokens.
      token_pairs: Sum over sequences of length squared.
      patches: Image patches.
      frame_pairs: Sum over frames of patches squared.
      window_pairs: Sum over attention windows of patches squared.
      targets: Tokens that are predicted.
    """

    tokens: float
    token_pairs: float
    patches: float
    frame_pairs: float
    window_pairs: float
    targets: float


class Flops(NamedTuple):
    """Operations of the language model with its head, and of the tower with the merger."""

    text: float
    vision: float

    @property
    def total(self) -> float:
        """Both."""
        return self.text + self.vision


class Product(NamedTuple):
    """One kind of product.

    Attributes:
      part: Where in the model.
      weight: Path of the kernel; "" in attention.
      forward: Operations of the forward pass.
      is_trained: Whether the weight is.
      is_behind: Whether anything before it is.
    """

    part: str
    weight: str
    forward: float
    is_trained: bool = False
    is_behind: bool = False

    @property
    def passes(self) -> int:
        """How often as many operations as the forward pass has are needed."""
        return 1 + self.is_trained + self.is_behind if self.weight else 1 + 2 * self.is_behind


def train_flops(size: sizes.ModelSize, work: Work, trained: Collection[str]) -> Flops:
    """Forward and needed backward operations of one optimizer step on that work.

    Args:
      size: The model's sizes.
      work: Of the whole global batch.
      trained: Paths of the trained parameters; adapters move a part without its weights.
    """
    totals = {"text": 0.0, "vision": 0.0}
    for one in products(size, work, trained):
        totals["text" if one.part.startswith("text/") else "vision"] += one.passes * one.forward
    return Flops(**totals)


def products(size: sizes.ModelSize, work: Work, trained: Collection[str] = ()) -> Iterator[Product]:
    """Every kind of product of the model, and what a step needs of it.

    Args:
      size: As of `train_flops`.
      work: As of `train_flops`.
      trained: As of `train_flops`.
    """
    moved = [i for i, part in enumerate(_CHAIN) if any(n.startswith(part) for n in trained)]
    lowest = min(moved, default=len(_CHAIN))
    for one in (*_vision(size, work), *_text(size, work)):
        place = _CHAIN.index(one.part)
        # Inside a stack every layer but the first stands behind a trained one.
        is_behind = lowest < place or (lowest == place and one.part in _STACKS)
        yield one._replace(is_trained=one.weight in trained, is_behind=is_behind)


def peak_flops() -> float | None:
    """Peak of all devices together, in FLOP/s.

    `LINGSHU_PEAK_FLOPS` in the environment states that of one device.

    Returns:
      None where the kind of device is unknown, as a CPU, and nothing is stated.

    Raises:
      UserError: If what is stated is no positive number.
    """
    peak = _stated_peak() or topologies.PEAK_FLOPS.get(jax.devices()[0].device_kind)
    return None if peak is None else peak * jax.device_count()


def _stated_peak() -> float | None:
    text = os.environ.get(STATED_PEAK, "")
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise errors.UserError(
            f"{STATED_PEAK} must be the FLOP/s of one device, as 9.89e14, got {text!r}"
        )
    return value


def _text(size: sizes.ModelSize, work: Work) -> Iterator[Product]:
    text, part = size.text, "text/layers"
    width, heads = text.embed_dim, text.num_heads * text.head_dim
    kv_heads = text.num_kv_heads * text.head_dim
    outputs = {
        **{"attention/q": heads, "attention/k": kv_heads, "attention/v": kv_heads},
        **{"attention/out": heads, "mlp/gate": text.mlp_dim, "mlp/up": text.mlp_dim},
        "mlp/down": text.mlp_dim,
    }
    for name, other in outputs.items():
        forward = 2 * text.num_layers * work.tokens * width * other
        yield Product(part, f"{part}/{name}/kernel", forward)
    # Two products of 2 n^2 operations a head and channel, of which the causal half is needed.
    yield Product(part, "", 2 * text.num_layers * work.token_pairs * heads)
    head = "text/embed/embedding" if text.tie_embeddings else _HEAD
    yield Product(_HEAD, head, 2 * work.targets * width * text.vocab_size)


def _vision(size: sizes.ModelSize, work: Work) -> Iterator[Product]:
    vision, part = size.vision, "vision/blocks"
    width, merged = vision.embed_dim, vision.merged_dim
    embed = 2 * work.patches * vision.geometry.patch_dim * width
    yield Product("vision/patch_embed", "vision/patch_embed/kernel", embed)
    outputs = {
        **{"attention/qkv": 3 * width, "attention/out": width},
        **{"mlp/gate": vision.mlp_dim, "mlp/up": vision.mlp_dim, "mlp/down": vision.mlp_dim},
    }
    for name, other in outputs.items():
        forward = 2 * vision.num_layers * work.patches * width * other
        yield Product(part, f"{part}/{name}/kernel", forward)
    full = len(vision.full_attention_layers)
    pairs = full * work.frame_pairs + (vision.num_layers - full) * work.window_pairs
    yield Product(part, "", 4 * pairs * width)
    cells = work.patches / vision.geometry.cell_patches
    yield Product("merger/up", "merger/up/kernel", 2 * cells * merged * merged)
    yield Product("merger/down", "merger/down/kernel", 2 * cells * merged * size.text.embed_dim)
