# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The work of a training step, the same for every side: lengths, examples, packed rows.

Token ids and pixels are random, for speed does not depend on them; lengths and image sizes are
those of VQA-RAD with MedQuAD, or drawn from distributions fitted to them:

    three in eight examples have an image and 41 tokens around it; the number of its visual tokens
    is log-uniform between the smallest and the largest allowed, its answer has 3 to 9 tokens;
    the others have 31 tokens of question and exp(N(5.23, 0.9)) of answer, 18 to 3,000.
"""

import dataclasses
import json
import pathlib
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from benchmarks import packing_fill, train_step_sides
from lingshu_jax.common import errors, geometry
from lingshu_jax.data import batch_plans, images, messages, packing, sources
from lingshu_jax.models import hf_config, sizes

SEED = 0
SURVEYED = 600  # examples of each source whose lengths are read
BEFORE_IMAGE = 15  # tokens of the system message and the opened turn
SHAPE = geometry.QWEN2_5_VL
PARTS = ("vision", "merger", "text")


class Lengths(NamedTuple):
    """What an example is made of.

    Attributes:
      prompt: Tokens that are not trained, without the visual ones.
      targets: Tokens that are.
      grid: Its image's patches, or None.
    """

    prompt: int
    targets: int
    grid: geometry.Grid | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What is computed, as both sides are told.

    Attributes:
      size: The model.
      rates: Peak learning rate of vision, merger and text; None where frozen.
      param_dtype: Of trained parameters and moments.
      frozen_dtype: Of frozen parameters.
      compute_dtype: Of activations and products.
      weight_decay: Of matrices.
      clip_norm: Of all gradients together.
      remat: "full" recomputes every block in the backward pass, "none" keeps everything.
      tokens_per_row: T.
      rows: Of the global batch of a step.
      steps: Of one timed run, each on its own batch.
      pixels: Smallest and largest image area.
      with_images: Whether there are any.
      device: "cpu" or "gpu".
      threads: On the CPU.
    """

    size: sizes.ModelSize
    rates: Mapping[str, float | None]
    param_dtype: str = "float32"
    frozen_dtype: str = "bfloat16"
    compute_dtype: str = "bfloat16"
    weight_decay: float = 0.1
    clip_norm: float = 1.0
    remat: str = "full"
    tokens_per_row: int = 8192
    rows: int = 4
    steps: int = 1
    pixels: tuple[int, int] = (packing_fill.MIN_PIXELS, packing_fill.MAX_PIXELS)
    with_images: bool = True
    device: str = "gpu"
    threads: int = 0


def real_lengths(data: pathlib.Path, pixels: tuple[int, int]) -> list[Lengths]:
    """Lengths of examples of VQA-RAD and MedQuAD, in the ratio of the two.

    Args:
      data: As for `packing_fill.py`.
      pixels: Smallest and largest image area.
    """
    rng, found = np.random.default_rng(SEED), []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        packing_fill.write_sources(data, folder)
        encoder = messages.Encoder(folder, min_pixels=pixels[0], max_pixels=pixels[1])
        read = [
            sources.read(
                sources.Source(name="vqa_rad", path=str(data / "vqa_rad"), format="vqa_rad")
            ),
            sources.read(sources.Source(name="medquad", path=str(folder / "medquad.jsonl"))),
        ]
        most = max(len(reading.examples) for reading in read)
        for reading in read:
            count = SURVEYED * len(reading.examples) // most
            for index in rng.permutation(len(reading.examples))[:count]:
                found.append(_lengths(encoder.encode(reading.examples[index].messages)))
    return found


def _lengths(encoded: messages.Encoded) -> Lengths:
    targets = int(np.count_nonzero(encoded.loss_weights))
    visual = encoded.num_patches // SHAPE.cell_patches
    grid = encoded.media[0].grid if encoded.media else None
    return Lengths(encoded.num_tokens - targets - visual, targets, grid)


def drawn_lengths(rng: np.random.Generator, count: int, pixels: tuple[int, int]) -> list[Lengths]:
    """Lengths from the distributions that the head of this file states.

    Args:
      rng: Where from.
      count: How many.
      pixels: Smallest and largest image area.
    """
    low, high = (np.log(area / SHAPE.factor**2) for area in pixels)
    found = []
    for index in range(count):
        if index % 8 >= 3:
            answer = int(np.clip(np.exp(rng.normal(5.23, 0.9)), 18, 3000))
            found.append(Lengths(31, answer, None))
            continue
        cells, ratio = np.exp(rng.uniform(low, high)), np.exp(rng.uniform(-0.4, 0.4))
        rows = max(1, int(np.sqrt(cells * ratio)))
        columns = max(1, int(cells / rows))
        grid = geometry.Grid(1, SHAPE.merge_size * rows, SHAPE.merge_size * columns)
        found.append(Lengths(41, int(rng.integers(3, 10)), grid))
    return found


def make_examples(
    lengths: Sequence[Lengths], size: sizes.ModelSize, rng: np.random.Generator
) -> list[messages.Encoded]:
    """Examples of those lengths with random ids and pixels.

    Args:
      lengths: Of each.
      size: Gives the vocabulary.
      rng: Where from.
    """
    made = []
    for number, (prompt, targets, grid) in enumerate(lengths):
        ids = rng.integers(0, size.special.pad, prompt + targets)
        media: tuple[images.Media, ...] = ()
        if grid is not None:
            inside = np.full(SHAPE.num_tokens(grid), size.special.image_pad)
            before = min(BEFORE_IMAGE, prompt)
            ids = np.concatenate([ids[:before], inside, ids[before:]])
            shape = (grid.h * SHAPE.patch_size, grid.w * SHAPE.patch_size, 3)
            picture = Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))
            media = (images.Media(start=before, grid=grid, image=picture),)
        weights = np.zeros(len(ids), np.float32)
        weights[len(ids) - targets :] = 1
        spans = [medium.span for medium in media]
        made.append(
            messages.Encoded(
                id=str(number),
                source_id=0,
                tokens=ids.astype(np.int32),
                loss_weights=weights,
                positions=geometry.mrope_positions(len(ids), spans, SHAPE),
                media=media,
            )
        )
    return made


def make_steps(plan: Plan, lengths: Sequence[Lengths]) -> list[dict[str, np.ndarray]]:
    """The packed batch of each step, with the grids of its images.

    The patch budget is computed from the lengths, as a stage computes its own. Rows are drawn from
    all full ones, so that they are as mixed as an epoch.

    Args:
      plan: How many, and how long.
      lengths: To draw from, with repetition.

    Returns:
      The arrays of `common.structs.Batch` by name, and `grids`: row, segment, height and width in
      patches of each image, in the order of the patches.

    Raises:
      UserError: If the lengths fill too few rows.
    """
    rng, wanted = np.random.default_rng(SEED), plan.rows * plan.steps
    lengths = [one for one in lengths if plan.with_images or one.grid is None]
    mean = np.mean([_num_tokens(one) for one in lengths])
    count = int(1.3 * (wanted + 1) * plan.tokens_per_row / mean) + 8
    chosen = [lengths[i] for i in rng.integers(0, len(lengths), count)]
    examples = make_examples(chosen, plan.size, rng)
    needs = [packing.length(example, SHAPE) for example in examples]
    budget = _budget(plan, needs)
    packed = packing.plan(needs, budget, geometry=SHAPE)
    full = [row for row in packed.rows if _fill(row, needs, budget) > 0.8]
    if len(full) < wanted:
        raise errors.UserError(f"{count} examples fill {len(full)} rows, {wanted} are needed")
    order = rng.permutation(len(full))[:wanted].reshape(plan.steps, plan.rows)
    options = {"geometry": SHAPE, "pad_id": plan.size.special.pad}
    steps = []
    for step in order:
        rows = [[examples[i] for i in full[place]] for place in step]
        arrays = [packing.assemble(row, budget, **options) for row in rows]
        joined = {name: np.stack([array[name] for array in arrays]) for name in arrays[0]}
        steps.append({**joined, "grids": _grids(rows)})
    return steps


def _num_tokens(one: Lengths) -> int:
    visual = SHAPE.num_tokens(one.grid) if one.grid else 0
    return one.prompt + one.targets + visual


def _budget(plan: Plan, needs: Sequence[packing.Length]) -> packing.Budget:
    if not plan.with_images:
        return packing.Budget(plan.tokens_per_row, SHAPE.slot_patches)
    largest = packing.token_budget(plan.tokens_per_row, SHAPE)
    fitting = [one for one in needs if packing.fits(one, largest, SHAPE)]
    lengths = packing.Lengths(
        np.array([one.tokens for one in fitting]), np.array([one.windows for one in fitting])
    )
    layout = batch_plans.Layout(
        tokens_per_row=plan.tokens_per_row, patches_per_row=0, rows_per_batch=1
    )
    return batch_plans.complete(layout, lengths, np.arange(len(fitting)), geometry=SHAPE).budget


def _fill(row: Sequence[int], needs: Sequence[packing.Length], budget: packing.Budget) -> float:
    return sum(needs[i].tokens for i in row) / budget.tokens


def _grids(rows: Sequence[Sequence[messages.Encoded]]) -> np.ndarray:
    found = [
        (number, segment, media.grid.h, media.grid.w)
        for number, row in enumerate(rows)
        for segment, example in enumerate(row, start=1)
        for media in example.media
    ]
    return np.array(found, np.int64).reshape(-1, 4)


def write(plan: Plan, lengths: Sequence[Lengths], folder: pathlib.Path) -> None:
    """Writes the folder that both sides read; see `train_step_sides.Work`.

    Args:
      plan: What is computed.
      lengths: To draw examples from.
      folder: Where to; must exist.
    """
    for index, arrays in enumerate(make_steps(plan, lengths)):
        np.savez(folder / train_step_sides.STEPS.format(index), **arrays)
    config: dict[str, Any] = hf_config.dump(plan.size, dtype=plan.compute_dtype)
    (folder / train_step_sides.CONFIG).write_text(json.dumps(config))
    settings = dataclasses.asdict(plan)
    del settings["size"]
    (folder / train_step_sides.SETTINGS).write_text(json.dumps(settings))
