# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The arrays that cross from the input workers to the jitted step.

Axes: B rows, T tokens of a row, P image patches of a row (a multiple of 64), M = P / 4
merged visual tokens, W = P / 64 window slots. `data/packing.py` makes the arrays (without
B) under the same names; this struct is not covered by the shape hook of the tests, because
the hook breaks `jax.tree.map` over annotated structs.
"""

from collections.abc import Mapping
from typing import Any, Self

import flax.struct
from jaxtyping import Array, Float, Int, UInt8


@flax.struct.dataclass
class Images:
    """The patch budget of a batch: every image and video frame of its rows.

    Attributes:
      patches: Raw pixel values 0..255 in patch order (2 x 2 block-major inside an image,
        images one after the other); one row is (channel, frame, y, x) flattened. Padding 0.
      patch_frame_ids: 1, 2, ... one id a frame (an image is one frame). Padding 0.
      patch_hw: Row and column of the patch in its frame. Padding 0.
      window_gather: For each place in the window slots (64 places a slot) the patch that
        stands there. Padding P, out of range, which gathers zeros.
      window_ids: Id of the attention window inside its slot, 1, 2, .... Padding 0.
      merged_inverse: For each merged token in patch order its place in slot order. Padding 0.
    """

    patches: UInt8[Array, "B P C"]
    patch_frame_ids: Int[Array, "B P"]
    patch_hw: Int[Array, "B P 2"]
    window_gather: Int[Array, "B P"]
    window_ids: Int[Array, "B W 64"]
    merged_inverse: Int[Array, "B M"]


@flax.struct.dataclass
class Batch:
    """Packed rows of text with their images.

    Attributes:
      tokens: Token ids. Padding is the tokenizer's pad id.
      positions: Rotary positions on the time, height and width axes. Padding 0.
      segment_ids: 1, 2, ... one id a packed sequence. Padding 0.
      loss_weights: Weight of token t as a target, predicted from token t - 1; the first
        token of a sequence has 0. Padding 0.
      media_index: Merged visual token (row of the merger's output, in patch order) that
        stands at this place. -1 for text and padding.
      source_ids: Index of the data source in the mixture. Padding -1.
      images: The patch arrays of the same rows.
      extras: Further per-token arrays [B, T] by name (reinforcement learning's advantages
        and log-probabilities). Padding 0.
    """

    tokens: Int[Array, "B T"]
    positions: Int[Array, "B 3 T"]
    segment_ids: Int[Array, "B T"]
    loss_weights: Float[Array, "B T"]
    media_index: Int[Array, "B T"]
    source_ids: Int[Array, "B T"]
    images: Images
    extras: dict[str, Float[Array, "B T"]]

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> Self:
        """Builds the struct from stacked rows by name; unknown names become `extras`."""
        image_names = Images.__dataclass_fields__
        text_names = set(cls.__dataclass_fields__) - {"images", "extras"}
        return cls(
            images=Images(**{name: arrays[name] for name in image_names}),
            extras={
                k: v for k, v in arrays.items() if k not in text_names and k not in image_names
            },
            **{name: arrays[name] for name in text_names},
        )
