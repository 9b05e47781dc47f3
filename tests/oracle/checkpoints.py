# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Random asymmetric checkpoints and rows for the oracle tests, and their way to our side."""

import pathlib
from typing import Any

import numpy as np
import safetensors.numpy

from lingshu_jax.common import geometry
from lingshu_jax.data import messages, packing
from lingshu_jax.models import hf
from tests.make_golden import tiny_models
from tests.models import goldens

BUDGET = packing.Budget(tokens=256, patches=1024)


def random_model(seed: int) -> tiny_models.TinyModel:
    """Sizes drawn at random; every published relation between them holds, no more.

    rope_theta is so small that the lowest frequencies, which follow columns, still turn within
    an image: with the published base a head this narrow would not notice a moved column.
    """
    rng = np.random.default_rng(10_000 + seed)
    heads = int(rng.choice([3, 4, 6, 8]))
    kv_heads = int(rng.choice([k for k in range(1, heads) if heads % k == 0]))
    half = int(rng.integers(4, 9))  # half a text head
    first, second = np.sort(rng.choice(np.arange(1, half), 2, replace=False)).tolist()
    vision_heads, depth = int(rng.integers(2, 5)), int(rng.integers(2, 7))
    full = rng.choice(depth, int(rng.integers(1, depth)), replace=False)
    words = int(rng.integers(100, 200))
    return tiny_models.TinyModel(
        name=f"random_{seed}",
        seed=seed,
        weight_std=0.2,
        tie=bool(seed % 2),
        num_text_tokens=words,
        vocab_size=words + tiny_models.NUM_SPECIAL + int(rng.integers(0, 9)),
        hidden_size=2 * half * heads,
        num_hidden_layers=int(rng.integers(1, 4)),
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        intermediate_size=int(rng.integers(40, 90)),
        rope_theta=float(np.round(10 ** rng.uniform(1.3, 3.3))),
        mrope_section=(first, second - first, half - second),
        rms_norm_eps=float(rng.choice([1e-6, 1e-5, 1e-3])),
        vision_hidden_size=vision_heads * 4 * int(rng.integers(2, 5)),
        vision_depth=depth,
        vision_heads=vision_heads,
        vision_intermediate_size=int(rng.integers(30, 70)),
        fullatt_block_indexes=tuple(sorted(full.tolist())),
    )


def random_cases(model: tiny_models.TinyModel) -> dict[str, tiny_models.Case]:
    """Rows of no image, one image, several, and the most extreme aspect ratio."""
    rng = np.random.default_rng(20_000 + model.seed)

    def pictures(*cells: tuple[int, int]) -> list[np.ndarray]:
        sizes = [(1, 28 * height, 28 * width, 3) for height, width in cells]
        return [rng.integers(0, 256, size, dtype=np.uint8) for size in sizes]

    def sides(count: int) -> list[tuple[int, int]]:
        return [(int(h), int(w)) for h, w in rng.integers(1, 9, (count, 2))]

    strip = (1, 54) if model.seed % 2 else (54, 1)  # 28 x 1512 pixels
    twin = sides(1)[0]
    make = tiny_models.make_case
    return {
        "none": make(model, rng, [], (int(rng.integers(8, 40)),)),
        "one": make(model, rng, pictures(*sides(1)), (3, 12)),
        "several": make(model, rng, pictures(twin, (3, 2), twin), (2, 4, 1, 15)),
        "strip": make(model, rng, pictures(strip), (5, 9)),
    }


def to_golden(oracle: Any, folder: pathlib.Path) -> goldens.Golden:
    """Saves the oracle as transformers does and loads it as ours."""
    oracle.save_pretrained(folder)
    size = hf.read_config(folder)
    params = hf.load_params(folder, size)
    tensors = safetensors.numpy.load_file(folder / "model.safetensors")
    return goldens.Golden(size, params, tensors, {})


def to_encoded(name: str, case: tiny_models.Case, golden: goldens.Golden) -> messages.Encoded:
    """A row as the data layer hands it over."""
    media = [
        goldens.to_media(int(start), geometry.Grid(*grid), frames)
        for start, grid, frames in zip(
            case.media_starts, case.grids.tolist(), case.frames, strict=True
        )
    ]
    shape = golden.size.vision.geometry
    return goldens.to_encoded(name, case.tokens, case.loss_weights, media=media, shape=shape)
