# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Tiny asymmetric Qwen2.5-VL models and their inputs; numpy only.

No two widths are equal, kv heads differ from heads, rope_theta, eps, window pattern and
mrope_section are not the defaults: a symmetric toy hides transposes and fields that nobody reads.
Nothing here imports lingshu_jax: patch order, positions and normalisation are written a second
time, from the definition, so that they can disagree.
"""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

PATCH, TEMPORAL, MERGE = 14, 2, 2
MEAN = np.array([0.48145466, 0.4578275, 0.40821073])
STD = np.array([0.26862954, 0.26130258, 0.27577711])
# Offsets of the special tokens behind the text vocabulary, in the order of the real tokenizer.
PAD, IM_START, IM_END = 0, 1, 2
VISION_START, VISION_END, VISION_PAD, IMAGE_PAD, VIDEO_PAD = 9, 10, 11, 12, 13
NUM_SPECIAL = 22


@dataclasses.dataclass(frozen=True, kw_only=True)
class TinyModel:
    """Sizes of one random checkpoint, in the words of its config.json."""

    name: str
    seed: int
    weight_std: float
    tie: bool
    num_text_tokens: int
    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    intermediate_size: int
    rope_theta: float
    mrope_section: tuple[int, int, int]
    rms_norm_eps: float
    vision_hidden_size: int
    vision_depth: int
    vision_heads: int
    vision_intermediate_size: int
    fullatt_block_indexes: tuple[int, ...]

    def special(self, offset: int) -> int:
        """The id of a special token: they stand right behind the text vocabulary."""
        return self.num_text_tokens + offset

    def hub_config(self) -> dict:
        """config.json in the layout of the published checkpoints: text fields at the top."""
        return {
            "architectures": ["Qwen2_5_VLForConditionalGeneration"],
            "attention_dropout": 0.0,
            "bos_token_id": self.special(PAD),
            "eos_token_id": self.special(IM_END),
            "vision_start_token_id": self.special(VISION_START),
            "vision_end_token_id": self.special(VISION_END),
            "vision_token_id": self.special(VISION_PAD),
            "image_token_id": self.special(IMAGE_PAD),
            "video_token_id": self.special(VIDEO_PAD),
            "hidden_act": "silu",
            "hidden_size": self.hidden_size,
            "initializer_range": 0.02,
            "intermediate_size": self.intermediate_size,
            "max_position_embeddings": 4096,
            "max_window_layers": self.num_hidden_layers,
            "model_type": "qwen2_5_vl",
            "num_attention_heads": self.num_attention_heads,
            "num_hidden_layers": self.num_hidden_layers,
            "num_key_value_heads": self.num_key_value_heads,
            "rms_norm_eps": self.rms_norm_eps,
            "rope_theta": self.rope_theta,
            "rope_scaling": {"type": "mrope", "mrope_section": list(self.mrope_section)},
            "sliding_window": 32768,
            "tie_word_embeddings": self.tie,
            "torch_dtype": "float32",
            "use_cache": True,
            "use_sliding_window": False,
            "vision_config": self._vision_config(),
            "vocab_size": self.vocab_size,
        }

    def _vision_config(self) -> dict:
        return {
            "depth": self.vision_depth,
            "hidden_act": "silu",
            "hidden_size": self.vision_hidden_size,
            "intermediate_size": self.vision_intermediate_size,
            "num_heads": self.vision_heads,
            "in_chans": 3,
            "out_hidden_size": self.hidden_size,
            "patch_size": PATCH,
            "spatial_merge_size": MERGE,
            "spatial_patch_size": PATCH,
            "window_size": 112,
            "fullatt_block_indexes": list(self.fullatt_block_indexes),
            "tokens_per_second": 2,
            "temporal_patch_size": TEMPORAL,
            "model_type": "qwen2_5_vl",
        }


REGULAR_UNTIED = TinyModel(
    name="regular_untied",
    seed=1,
    weight_std=0.2,
    tie=False,
    num_text_tokens=150,
    vocab_size=180,  # eight rows behind the last special token, as in the published models
    hidden_size=48,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    intermediate_size=76,
    rope_theta=3000.0,
    mrope_section=(1, 2, 3),
    rms_norm_eps=1e-3,
    vision_hidden_size=40,
    vision_depth=4,
    vision_heads=2,
    vision_intermediate_size=52,
    fullatt_block_indexes=(1, 3),
)
IRREGULAR_TIED = TinyModel(
    name="irregular_tied",
    seed=7,
    weight_std=0.2,
    tie=True,
    num_text_tokens=122,
    vocab_size=144,
    hidden_size=60,
    num_hidden_layers=2,
    num_attention_heads=6,
    num_key_value_heads=3,
    intermediate_size=68,
    rope_theta=50000.0,
    mrope_section=(2, 1, 2),
    rms_norm_eps=1e-4,
    vision_hidden_size=36,
    vision_depth=5,
    vision_heads=3,
    vision_intermediate_size=44,
    fullatt_block_indexes=(0, 3),
)
MODELS = (REGULAR_UNTIED, IRREGULAR_TIED)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """One unpadded sequence; media in the order of their place in the text.

    `frames[i]` is uint8 [T, height, width, 3]: T = 1 for an image, even for a video.
    """

    tokens: np.ndarray
    positions: np.ndarray
    loss_weights: np.ndarray
    media_starts: np.ndarray
    frames: tuple[np.ndarray, ...]
    is_video: bool
    seconds_per_grid: float

    @property
    def grids(self) -> np.ndarray:
        """The (t, h, w) in patches of each medium."""
        return np.array([grid_of(frames) for frames in self.frames], np.int64).reshape(-1, 3)

    @property
    def patches(self) -> np.ndarray:
        """All patches as uint8 [P, 1176], media one after another."""
        empty = np.zeros((0, 3 * TEMPORAL * PATCH * PATCH), np.uint8)
        return np.concatenate([empty] + [patchify(frames) for frames in self.frames])


def grid_of(frames: np.ndarray) -> tuple[int, int, int]:
    """Patches in time, height and width; a single frame counts as two."""
    t, height, width, _ = frames.shape
    return max(t // TEMPORAL, 1), height // PATCH, width // PATCH


def patchify(frames: np.ndarray) -> np.ndarray:
    """uint8 [T, H, W, 3] to [num_patches, 1176]: rows 2x2 block-major, values (C, T, 14, 14)."""
    t, h, w = grid_of(frames)
    if len(frames) == 1:
        frames = np.repeat(frames, TEMPORAL, axis=0)
    halves = (range(0, h, MERGE), range(0, w, MERGE), range(MERGE), range(MERGE))
    rows = []
    for ti, (bh, bw, dy, dx) in itertools.product(range(t), itertools.product(*halves)):
        top, left = PATCH * (bh + dy), PATCH * (bw + dx)
        pair = frames[ti * TEMPORAL : (ti + 1) * TEMPORAL]
        block = pair[:, top : top + PATCH, left : left + PATCH]
        rows.append(block.transpose(3, 0, 1, 2).reshape(-1))
    return np.stack(rows)


def normalise(patches: np.ndarray) -> np.ndarray:
    """uint8 patches to the float64 pixel values that the model is trained on."""
    channels = patches.reshape(len(patches), 3, -1).astype(np.float64) / 255
    return ((channels - MEAN[None, :, None]) / STD[None, :, None]).reshape(patches.shape)


def mrope(model: TinyModel, tokens: np.ndarray, grids: np.ndarray, seconds: float) -> np.ndarray:
    """M-RoPE positions int64 [3, N], one token at a time (Qwen's own rule for video times)."""
    pads = {model.special(IMAGE_PAD), model.special(VIDEO_PAD)}
    out, following, i, left = np.zeros((3, len(tokens)), np.int64), 0, 0, list(grids)
    while i < len(tokens):
        if tokens[i] not in pads:
            out[:, i] = following
            following, i = following + 1, i + 1
            continue
        t, h, w = left.pop(0)
        start = following
        for ti in range(t):
            for y in range(h // MERGE):
                for x in range(w // MERGE):
                    out[:, i] = start + int(ti * seconds * 2), start + y, start + x
                    following, i = max(following, out[:, i].max() + 1), i + 1
    return out


def make_case(
    model: TinyModel,
    rng: np.random.Generator,
    frames: Sequence[np.ndarray],
    text_lengths: Sequence[int],
    *,
    is_video: bool = False,
    seconds_per_grid: float = 1.0,
) -> Case:
    """Text of the given lengths with one medium after each run but the last."""
    pad = model.special(VIDEO_PAD if is_video else IMAGE_PAD)
    grids = np.array([grid_of(f) for f in frames], np.int64).reshape(-1, 3)
    tokens, starts = [], []
    for i, length in enumerate(text_lengths):
        tokens.extend(rng.integers(0, model.num_text_tokens, length).tolist())
        if i < len(grids):
            starts.append(len(tokens) + 1)
            inside = [pad] * (int(grids[i].prod()) // MERGE**2)
            tokens += [model.special(VISION_START), *inside, model.special(VISION_END)]
    tokens = np.array(tokens, np.int64)
    weights = np.where(np.arange(len(tokens)) >= len(tokens) - text_lengths[-1], 1.0, 0.0)
    return Case(
        tokens=tokens,
        positions=mrope(model, tokens, grids, seconds_per_grid),
        loss_weights=weights.astype(np.float32),
        media_starts=np.array(starts, np.int64),
        frames=tuple(frames),
        is_video=is_video,
        seconds_per_grid=seconds_per_grid,
    )


def make_cases(model: TinyModel) -> dict[str, Case]:
    """Three images of different shape in one row, text alone, and a short video.

    The merged grids 4x5 and 7x3 are no multiples of the 4x4 window on one side or both. The third
    image is grey, within two levels of the normalisation's mean: only there do the vision tower's
    normalisation layers see inputs small enough for their eps to matter.
    """
    rng = np.random.default_rng(model.seed)
    colour = [
        rng.integers(0, 256, (1, height, width, 3), dtype=np.uint8)
        for height, width in ((112, 140), (196, 84))
    ]
    grey = np.round(255 * MEAN) + rng.integers(-2, 3, (1, 56, 56, 3))
    video = rng.integers(0, 256, (6, 56, 84, 3), dtype=np.uint8)
    return {
        "images": make_case(model, rng, [*colour, grey.astype(np.uint8)], (5, 3, 1, 14)),
        "text": make_case(model, rng, [], (23,)),
        "video": make_case(model, rng, [video], (4, 9), is_video=True, seconds_per_grid=0.75),
    }


def random_weights(model: TinyModel, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Seeded weights by name; norm scales around 1, all else of mean 0.

    Rounded to bfloat16 values, so that the stored file is half as large; float32 all the same.
    """
    rng = np.random.default_rng(model.seed + 1000)
    out = {}
    for name in sorted(shapes):
        values = model.weight_std * rng.standard_normal(shapes[name])
        if "norm" in name or "ln_q" in name:
            values = 1 + values
        bits = values.astype(np.float32).view(np.uint32)
        out[name] = ((bits + 0x8000) & np.uint32(0xFFFF0000)).view(np.float32)
    return out
