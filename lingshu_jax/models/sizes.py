# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The sizes of Qwen2.5-VL, by name.

Source: config.json of the Qwen/Qwen2.5-VL-*-Instruct repositories. A Hugging Face folder
brings its own sizes (`models/hf.py`); the names here are what configs choose from.
"""

import dataclasses

from lingshu_jax.common import errors, tokens
from lingshu_jax.common import geometry as geometry_lib


@dataclasses.dataclass(frozen=True, kw_only=True)
class VisionSize:
    """The vision tower, without the merger.

    Attributes:
      num_layers: Blocks.
      embed_dim: Width.
      num_heads: Attention heads, each embed_dim / num_heads wide.
      mlp_dim: Width of the gated MLP.
      full_attention_layers: Blocks that attend over whole frames; the others in windows.
      geometry: Patch, merge and window sizes.
      rms_norm_eps: Epsilon of every norm; the same in all published checkpoints.
    """

    num_layers: int
    embed_dim: int
    num_heads: int
    mlp_dim: int
    full_attention_layers: tuple[int, ...]
    geometry: geometry_lib.VisionGeometry = geometry_lib.QWEN2_5_VL
    rms_norm_eps: float = 1e-6

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.embed_dim // self.num_heads

    @property
    def merged_dim(self) -> int:
        """Width of one merged cell, merge_size squared patches side by side."""
        return self.embed_dim * self.geometry.merge_size**2


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextSize:
    """The language model.

    Attributes:
      num_layers: Decoder blocks.
      embed_dim: Width.
      num_heads: Query heads.
      num_kv_heads: Key and value heads; num_heads is a multiple of it.
      head_dim: Width of one head.
      mlp_dim: Width of the gated MLP.
      vocab_size: Rows of the embedding.
      tie_embeddings: Whether the output head is the embedding.
      rope_theta: Base of the rotary frequencies.
      mrope_section: Frequencies given to time, height and width; sums to head_dim / 2.
      rms_norm_eps: Epsilon of every norm.
      max_positions: Longest context the checkpoint names.
    """

    num_layers: int
    embed_dim: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    mlp_dim: int
    vocab_size: int
    tie_embeddings: bool
    rope_theta: float = 1e6
    mrope_section: tuple[int, int, int] = (16, 24, 24)
    rms_norm_eps: float = 1e-6
    max_positions: int = 128_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelSize:
    """Everything that fixes the parameter shapes, and the ids of the special tokens."""

    vision: VisionSize
    text: TextSize
    special: tokens.SpecialIds

    def validate(self) -> None:
        """Raises UserError where two sizes cannot go together."""
        text, vision = self.text, self.vision
        if text.num_heads % text.num_kv_heads:
            raise errors.UserError(
                f"num_attention_heads {text.num_heads} is not a multiple of "
                f"num_key_value_heads {text.num_kv_heads}"
            )
        if 2 * sum(text.mrope_section) != text.head_dim:
            raise errors.UserError(
                f"mrope_section {text.mrope_section} must sum to half of head_dim {text.head_dim}"
            )
        if vision.embed_dim % (4 * vision.num_heads):
            raise errors.UserError(
                f"vision width {vision.embed_dim} must be a multiple of 4 times its "
                f"{vision.num_heads} heads (rotary pairs for height and width)"
            )
        outside = [i for i in vision.full_attention_layers if not 0 <= i < vision.num_layers]
        if outside:
            raise errors.UserError(
                f"full-attention block indexes {outside} are outside 0..{vision.num_layers - 1}"
            )


_QWEN_IDS = tokens.SpecialIds(
    pad=151643,
    im_start=151644,
    im_end=151645,
    vision_start=151652,
    vision_end=151653,
    vision_pad=151654,
    image_pad=151655,
    video_pad=151656,
)


def _qwen(text: TextSize, vision_mlp_dim: int) -> ModelSize:
    vision = VisionSize(
        num_layers=32,
        embed_dim=1280,
        num_heads=16,
        mlp_dim=vision_mlp_dim,
        full_attention_layers=(7, 15, 23, 31),
    )
    return ModelSize(vision=vision, text=text, special=_QWEN_IDS)


def _text(
    layers: int, width: int, *, heads: int, kv_heads: int, mlp: int, vocab: int = 152_064
) -> TextSize:
    return TextSize(
        num_layers=layers,
        embed_dim=width,
        num_heads=heads,
        num_kv_heads=kv_heads,
        head_dim=128,
        mlp_dim=mlp,
        vocab_size=vocab,
        tie_embeddings=vocab == 151_936,  # only the 3B checkpoint is tied
    )


TINY_BPE_SIZE = 1024  # learned byte-level tokens of the tiny model, before the special ones
SMALL_BPE_SIZE = 8192


def _ids_after(first: int) -> tokens.SpecialIds:
    """Where the vocabulary has so many tokens before the special ones."""
    return tokens.SpecialIds(
        pad=first,
        im_start=first + 1,
        im_end=first + 2,
        vision_start=first + 9,
        vision_end=first + 10,
        vision_pad=first + 11,
        image_pad=first + 12,
        video_pad=first + 13,
    )


SIZES = {
    "tiny": ModelSize(
        vision=VisionSize(
            num_layers=4,
            embed_dim=96,
            num_heads=4,
            mlp_dim=256,
            full_attention_layers=(1, 3),
        ),
        text=TextSize(
            num_layers=4,
            embed_dim=128,
            num_heads=4,
            num_kv_heads=2,
            head_dim=32,
            mlp_dim=384,
            vocab_size=1152,  # 1,024 + 22 special tokens, rounded up as the hub pads its own
            tie_embeddings=True,
            rope_theta=1e4,
            mrope_section=(4, 6, 6),
            max_positions=4096,
        ),
        special=_ids_after(TINY_BPE_SIZE),
    ),
    # The two of configs/real_run.py: for one CPU, and for one GPU with the real vocabulary.
    "small": ModelSize(
        vision=VisionSize(
            num_layers=4,
            embed_dim=128,
            num_heads=2,
            mlp_dim=344,
            full_attention_layers=(1, 3),
        ),
        text=TextSize(
            num_layers=4,
            embed_dim=192,
            num_heads=3,
            num_kv_heads=1,
            head_dim=64,
            mlp_dim=512,
            vocab_size=8256,  # 8,192 + 22 special tokens, rounded up
            tie_embeddings=True,
            rope_theta=1e4,
            mrope_section=(8, 12, 12),
            max_positions=4096,
        ),
        special=_ids_after(SMALL_BPE_SIZE),
    ),
    "base": ModelSize(
        vision=VisionSize(
            num_layers=6,
            embed_dim=256,
            num_heads=8,
            mlp_dim=688,
            full_attention_layers=(2, 5),
        ),
        text=TextSize(
            num_layers=6,
            embed_dim=384,
            num_heads=6,
            num_kv_heads=2,
            head_dim=64,
            mlp_dim=1024,
            vocab_size=151_936,
            tie_embeddings=True,
            rope_theta=1e4,
            mrope_section=(8, 12, 12),
            max_positions=8192,
        ),
        special=_QWEN_IDS,
    ),
    "3b": _qwen(_text(36, 2048, heads=16, kv_heads=2, mlp=11008, vocab=151_936), 3420),
    "7b": _qwen(_text(28, 3584, heads=28, kv_heads=4, mlp=18944), 3420),
    "32b": _qwen(_text(64, 5120, heads=40, kv_heads=8, mlp=27648), 3456),
    "72b": _qwen(_text(80, 8192, heads=64, kv_heads=8, mlp=29568), 3456),
}
PUBLISHED = ("3b", "7b", "32b", "72b")  # of the hub; the others begin from chance


def get(name: str) -> ModelSize:
    """The size of that name.

    Args:
      name: One of `SIZES`.

    Raises:
      UserError: If there is no such size; lists those that exist.
    """
    if name not in SIZES:
        raise errors.UserError(
            f"unknown model size {name!r}; known: {', '.join(SIZES)}{errors.suggest(name, SIZES)}"
        )
    return SIZES[name]
