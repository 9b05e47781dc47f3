# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The work of `decode.py`, the same for both sides: prompts with an image each, random weights.

All prompts of a batch are equally long, so that neither side pads; ids and pixels are random. More
than `train_step_work.BEFORE_IMAGE` tokens are text, so that text follows the image: transformers
takes the new tokens for parts of an image that ends the prompt.
"""

import dataclasses
import json
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import train_step_sides, train_step_work
from lingshu_jax.common import geometry
from lingshu_jax.data import packing, slots
from lingshu_jax.models import hf, hf_config, qwen2_5_vl, sizes

SHAPE = geometry.QWEN2_5_VL
NEXT = "next_positions"
# What transformers is given: ids, patches of all images, their grids.
THEIRS = ("prompt_ids", "pictures", "grids")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What is generated, as both sides are told.

    Attributes:
      size: The model.
      dtype: Of weights and activations.
      rows: Prompts of the batch.
      prompt_tokens: Of each prompt, its visual ones included.
      image_side: Height and width of its image, in patches.
      new_tokens: Of each answer.
      device: "cpu" or "gpu".
      threads: On the CPU.
      steps: Two for `train_step_sides`: one new token, and all of them.
      has_weights: Whether both sides read the same; else each makes its own, which is as fast.
    """

    size: sizes.ModelSize
    dtype: str = "bfloat16"
    rows: int = 1
    prompt_tokens: int = 512
    image_side: int = 32
    new_tokens: int = 128
    device: str = "gpu"
    threads: int = 0
    steps: int = 2
    has_weights: bool = False


def write(plan: Plan, folder: pathlib.Path) -> None:
    """Writes the folder that both sides read.

    Args:
      plan: What is generated.
      folder: Where to; must exist.
    """
    prompts: dict[str, Any] = make_prompts(plan)
    np.savez(folder / train_step_sides.STEPS.format(0), **prompts)
    config: dict[str, Any] = hf_config.dump(plan.size, dtype=plan.dtype)
    (folder / train_step_sides.CONFIG).write_text(json.dumps(config))
    settings = dataclasses.asdict(plan)
    del settings["size"]
    (folder / train_step_sides.SETTINGS).write_text(json.dumps(settings))
    if plan.has_weights:
        model = qwen2_5_vl.Qwen2_5_VL(size=plan.size)
        params = jax.jit(lambda key: qwen2_5_vl.init_params(model, key))(jax.random.key(0))
        hf.write_weights(params, plan.size, folder, dtype=jnp.dtype(plan.dtype))


def make_prompts(plan: Plan) -> dict[str, np.ndarray]:
    """Arrays of `common.structs.Batch` by name, `next_positions`, and those of `THEIRS`.

    Args:
      plan: How many, and how long.
    """
    rng, grid = np.random.default_rng(0), geometry.Grid(1, plan.image_side, plan.image_side)
    words = plan.prompt_tokens - SHAPE.num_tokens(grid)
    lengths = [train_step_work.Lengths(words, 0, grid)] * plan.rows
    prompts = train_step_work.make_examples(lengths, plan.size, rng)
    windows = packing.length(prompts[0], SHAPE).windows
    patches = slots.slots_needed(windows) * SHAPE.slot_patches
    budget = packing.Budget(plan.prompt_tokens, patches)
    options: Any = {"geometry": SHAPE, "pad_id": plan.size.special.pad}
    rows = [packing.prompt_row(prompt, budget, **options) for prompt in prompts]
    arrays = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    count = grid.h * grid.w
    return {
        **arrays,
        NEXT: np.array([prompt.next_position for prompt in prompts], np.int32),
        "prompt_ids": np.stack([prompt.tokens for prompt in prompts]),
        "pictures": np.concatenate([row["patches"][:count] for row in rows]),
        "grids": np.array([[1, grid.h, grid.w]] * plan.rows),
    }


def read(folder: pathlib.Path) -> dict[str, np.ndarray]:
    """What `make_prompts` made.

    Args:
      folder: From `write`.
    """
    with np.load(folder / train_step_sides.STEPS.format(0)) as stored:
        return {name: stored[name] for name in stored.files}
