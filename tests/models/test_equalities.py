# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What must not change the result, and what must: packing, and the pixels of an image."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import pytest

from lingshu_jax.common import geometry, structs
from lingshu_jax.data import messages
from lingshu_jax.models import qwen2_5_vl
from tests.models import goldens

TOLERANCE, MARGIN = 1e-5, 100
LOGITS_TOLERANCE = 1e-4  # of the comparison with transformers
EACH_MODEL = pytest.mark.parametrize("name", goldens.NAMES)


def make_sequence(
    golden: goldens.Golden, rng: np.random.Generator, name: str, pictures: Sequence[np.ndarray]
) -> messages.Encoded:
    """A few words, each picture behind some more, and an answer that is trained."""
    special, shape = golden.size.special, golden.size.vision.geometry
    tokens, media = rng.integers(0, special.pad, 4).tolist(), []
    for pixels in pictures:
        _, height, width, _ = pixels.shape
        grid = geometry.Grid(1, height // shape.patch_size, width // shape.patch_size)
        media.append(goldens.to_media(len(tokens) + 1, grid, pixels))
        inside = [special.image_pad] * shape.num_tokens(grid)
        tokens += [special.vision_start, *inside, special.vision_end]
        tokens += rng.integers(0, special.pad, 3).tolist()
    answer = rng.integers(0, special.pad, 9).tolist()
    weights = np.array([0.0] * len(tokens) + [1.0] * len(answer), np.float32)
    ids = np.array(tokens + answer)
    return goldens.to_encoded(name, ids, weights, media=media, shape=shape)


def make_pictures(rng: np.random.Generator, *shapes: tuple[int, int]) -> list[np.ndarray]:
    return [rng.integers(0, 256, (1, *shape, 3), dtype=np.uint8) for shape in shapes]


def mixed_row(golden: goldens.Golden, rng: np.random.Generator) -> list[messages.Encoded]:
    """Two images of different shape, text alone, one image."""
    two, one = make_pictures(rng, (112, 140), (56, 84)), make_pictures(rng, (140, 84))
    return [
        make_sequence(golden, rng, "two", two),
        make_sequence(golden, rng, "none", []),
        make_sequence(golden, rng, "one", one),
    ]


def logits_of(golden: goldens.Golden, batch: structs.Batch) -> dict[str, jax.Array]:
    return goldens.forward(golden.params, batch, size=golden.size, like=golden.size)


def gradient_gap(ours: dict[str, Any], theirs: dict[str, Any]) -> float:
    """Largest difference of any leaf, relative to the largest gradient of that leaf."""
    # A key bias turns all scores of a query alike but for the rotation: its gradient is small
    # and all rounding, so leaves are held against at least 1e-3 of the largest.
    floor = 1e-3 * max(np.abs(leaf).max() for leaf in jax.tree.leaves(theirs))
    gaps = jax.tree.map(
        lambda a, b: np.abs(a - b).max() / max(np.abs(b).max(), floor), ours, theirs
    )
    return max(jax.tree.leaves(gaps))


@EACH_MODEL
def test_packed_logits_equal_unpacked(name: str, rng: np.random.Generator) -> None:
    golden = goldens.load(name)
    row = mixed_row(golden, rng)
    packed = goldens.make_batch(golden, [row])
    joined = dataclasses.replace(packed, segment_ids=np.minimum(packed.segment_ids, 1))
    parts = goldens.split(logits_of(golden, packed), row)
    broken = goldens.split(logits_of(golden, joined), row)
    for sequence in row:
        alone = logits_of(golden, goldens.make_batch(golden, [[sequence]]))
        theirs = goldens.split(alone, [sequence])[sequence.id]["logits"]
        assert goldens.gap(parts[sequence.id]["logits"], theirs) < TOLERANCE
        if sequence is not row[0]:
            assert goldens.gap(broken[sequence.id]["logits"], theirs) > MARGIN * TOLERANCE


@EACH_MODEL
def test_packed_gradients_equal_unpacked(name: str, rng: np.random.Generator) -> None:
    golden = goldens.load(name)
    model = qwen2_5_vl.Qwen2_5_VL(size=golden.size)
    row = mixed_row(golden, rng)
    packed = goldens.make_batch(golden, [row])
    joined = dataclasses.replace(packed, segment_ids=np.minimum(packed.segment_ids, 1))
    alone = [goldens.make_batch(golden, [[sequence]]) for sequence in row]
    results = [
        goldens.loss_and_gradients(golden.params, batch, model=model)
        for batch in (packed, joined, *alone)
    ]
    losses = np.array([loss for loss, _ in results])
    gradients = [jax.tree.map(np.asarray, gradient) for _, gradient in results]
    total = jax.tree.map(lambda *leaves: sum(leaves), *gradients[2:])
    assert goldens.gap(losses[0], losses[2:].sum()) < TOLERANCE
    assert gradient_gap(gradients[0], total) < 10 * TOLERANCE
    assert gradient_gap(gradients[1], total) > MARGIN * TOLERANCE


@EACH_MODEL
def test_the_image_matters(name: str, rng: np.random.Generator) -> None:
    """Two images change places, one patch is greyed: the answer's logits move a hundredfold."""
    golden = goldens.load(name)
    first, second = make_pictures(rng, (84, 112), (84, 112))
    patched = first.copy()
    patched[:, :14, :14] = 128
    tokens_seed = 3

    def answer_logits(*pictures: np.ndarray) -> np.ndarray:
        sequence = make_sequence(golden, np.random.default_rng(tokens_seed), "pair", pictures)
        outputs = logits_of(golden, goldens.make_batch(golden, [[sequence]]))
        return goldens.split(outputs, [sequence])["pair"]["logits"][-9:]

    reference = answer_logits(first, second)
    for changed in (answer_logits(second, first), answer_logits(patched, second)):
        assert goldens.gap(changed, reference) > MARGIN * LOGITS_TOLERANCE
