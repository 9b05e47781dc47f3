# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Random asymmetric checkpoints, their rows, and the same rows changed where it must be seen."""

import dataclasses
import pathlib
import types
from typing import Any

import numpy as np

from lingshu_jax.data import packing
from lingshu_jax.models import hf
from tests.make_golden import tiny_models
from tests.models import goldens

BUDGET = packing.Budget(tokens=192, patches=1024)
PATCH, CELL = 14, 28  # pixels
WINDOW = 8  # patches a side
# Standard deviation of the logits. Wider, and rounding shows in the log-probabilities; narrower,
# and the two best tokens are often equally good.
SPREAD = 3.0


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
    vision_heads = int(rng.integers(2, 5))
    depth, full = _random_depth(rng, is_regular=seed % 3 == 0)
    words = int(rng.integers(100, 200))
    return tiny_models.TinyModel(
        name=f"random_{seed}",
        seed=seed,
        weight_std=0.15,
        tie=bool(seed % 2),
        num_text_tokens=words,
        vocab_size=words + tiny_models.NUM_SPECIAL + int(rng.integers(0, 9)),
        hidden_size=2 * half * heads,
        num_hidden_layers=int(rng.integers(1, 4)),
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        intermediate_size=int(rng.integers(40, 90)),
        rope_theta=float(np.round(10 ** rng.uniform(1.0, 2.3))),
        mrope_section=(first, second - first, half - second),
        rms_norm_eps=float(rng.choice([1e-6, 1e-5, 1e-3])),
        vision_hidden_size=vision_heads * 4 * int(rng.integers(2, 5)),
        vision_depth=depth,
        vision_heads=vision_heads,
        vision_intermediate_size=int(rng.integers(30, 70)),
        fullatt_block_indexes=full,
    )


def _random_depth(rng: np.random.Generator, *, is_regular: bool) -> tuple[int, tuple[int, ...]]:
    """Blocks of the tower, and those with full attention: each k-th one, or any."""
    if is_regular:
        period, repeats = int(rng.integers(2, 4)), int(rng.integers(2, 4))
        depth = period * repeats
        return depth, tuple(range(period - 1, depth, period))
    depth = int(rng.integers(2, 7))
    full = rng.choice(depth, int(rng.integers(1, depth)), replace=False)
    return depth, tuple(sorted(full.tolist()))


def picture(rng: np.random.Generator, height: int, width: int, count: int = 1) -> np.ndarray:
    """Random pixels [count, H, W, 3] of so many cells."""
    return rng.integers(0, 256, (count, CELL * height, CELL * width, 3), dtype=np.uint8)


def random_cases(model: tiny_models.TinyModel) -> dict[str, tiny_models.Case]:
    """Rows of no image, one image, several, and the most extreme aspect ratio.

    The first and the last of the several are equal in size, and wider than a window.
    """
    rng = np.random.default_rng(20_000 + model.seed)
    strip = (1, 54) if model.seed % 2 else (54, 1)  # 28 x 1512 pixels
    height, width = (int(side) for side in rng.integers(1, 13, 2))
    twin = int(rng.integers(1, 6)), int(rng.integers(5, 9))
    twins = [picture(rng, *twin), picture(rng, 3, 2), picture(rng, *twin)]
    make = tiny_models.make_case
    return {
        "none": make(model, rng, [], (int(rng.integers(8, 40)),)),
        "one": make(model, rng, [picture(rng, height, width)], (3, 12)),
        "several": make(model, rng, twins, (2, 4, 1, 15)),
        "strip": make(model, rng, [picture(rng, *strip)], (5, 9)),
    }


def other_pixels(case: tiny_models.Case) -> dict[str, tiny_models.Case]:
    """Two images swapped; two patches exchanged over the first window edge of the first image."""
    frames = case.frames[0].copy()
    edge = WINDOW * PATCH
    inside, outside = slice(edge - PATCH, edge), slice(edge, edge + PATCH)
    frames[:, :PATCH, inside] = case.frames[0][:, :PATCH, outside]
    frames[:, :PATCH, outside] = case.frames[0][:, :PATCH, inside]
    return {
        "images_swapped": dataclasses.replace(case, frames=case.frames[::-1]),
        "patch_over_edge": dataclasses.replace(case, frames=(frames, *case.frames[1:])),
    }


def other_positions(case: tiny_models.Case) -> dict[str, tiny_models.Case]:
    """The first image stands later, further down, or further right."""
    changed = {}
    start, count = case.media_starts[0], case.grids[0].prod() // tiny_models.MERGE**2
    for axis, name in enumerate(("time_moved", "rows_moved", "columns_moved")):
        positions = case.positions.copy()
        positions[axis, start : start + count] += 40
        changed[name] = dataclasses.replace(case, positions=positions)
    return changed


def build(module: types.ModuleType, model: tiny_models.TinyModel) -> Any:
    """The checkpoint in transformers; the last norm is scaled for logits of the wished spread."""
    oracle = module.build(model)
    inputs = module.model_inputs(random_cases(model)["several"], module.torch.float32)
    with module.torch.no_grad():
        spread = oracle(**inputs).logits.std()
        oracle.model.language_model.norm.weight.mul_(SPREAD / spread)
    return oracle


def to_golden(oracle: Any, folder: pathlib.Path) -> goldens.Golden:
    """Saves the oracle as transformers does and loads it as ours."""
    oracle.save_pretrained(folder)
    size = hf.read_config(folder)
    params = hf.load_params(folder, size)
    return goldens.Golden(size, params, {}, {})
