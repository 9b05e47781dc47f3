# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What must not change the result, and what must: packing, and the pixels of an image."""

import dataclasses
from collections.abc import Callable, Sequence
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
    """A few words, each picture or clip behind some more, and an answer that is trained."""
    special, shape = golden.size.special, golden.size.vision.geometry
    tokens, media = rng.integers(0, special.pad, 4).tolist(), []
    for pixels in pictures:
        count, height, width, _ = pixels.shape
        is_video = count > 1
        grid = geometry.Grid(
            (count + 1) // 2, height // shape.patch_size, width // shape.patch_size
        )
        seconds = 0.75 if is_video else None
        media.append(goldens.to_media(len(tokens) + 1, grid, pixels, seconds))
        pad = special.video_pad if is_video else special.image_pad
        inside = [pad] * shape.num_tokens(grid)
        tokens += [special.vision_start, *inside, special.vision_end]
        tokens += rng.integers(0, special.pad, 3).tolist()
    answer = rng.integers(0, special.pad, 9).tolist()
    weights = np.array([0.0] * len(tokens) + [1.0] * len(answer), np.float32)
    ids = np.array(tokens + answer)
    return goldens.to_encoded(name, ids, weights, media=media, shape=shape)


def make_pictures(rng: np.random.Generator, *shapes: tuple[int, int]) -> list[np.ndarray]:
    return [rng.integers(0, 256, (1, *shape, 3), dtype=np.uint8) for shape in shapes]


def mixed_row(golden: goldens.Golden, rng: np.random.Generator) -> list[messages.Encoded]:
    """Two images of different shape, text alone, one image, a clip of three pictures."""
    two, one = make_pictures(rng, (112, 140), (56, 84)), make_pictures(rng, (140, 84))
    clip = rng.integers(0, 256, (3, 56, 84, 3), dtype=np.uint8)
    return [
        make_sequence(golden, rng, "two", two),
        make_sequence(golden, rng, "none", []),
        make_sequence(golden, rng, "one", one),
        make_sequence(golden, rng, "clip", [clip]),
    ]


def join_segments(batch: structs.Batch) -> structs.Batch:
    return dataclasses.replace(batch, segment_ids=np.minimum(batch.segment_ids, 1))


def shift_positions(batch: structs.Batch) -> structs.Batch:
    return dataclasses.replace(batch, positions=np.roll(batch.positions, 1, axis=2))


def shift_media(batch: structs.Batch) -> structs.Batch:
    return dataclasses.replace(batch, media_index=np.roll(batch.media_index, 1, axis=1))


def join_frames(batch: structs.Batch) -> structs.Batch:
    frames = np.minimum(batch.images.patch_frame_ids, 1)
    return dataclasses.replace(
        batch, images=dataclasses.replace(batch.images, patch_frame_ids=frames)
    )


def join_windows(batch: structs.Batch) -> structs.Batch:
    windows = np.minimum(batch.images.window_ids, 1)
    return dataclasses.replace(batch, images=dataclasses.replace(batch.images, window_ids=windows))


# What is broken, and the sequences of the row that must notice; the others must not.
BREAKS: dict[str, tuple[Callable[[structs.Batch], structs.Batch], set[str]]] = {
    "segments_joined": (join_segments, {"none", "one", "clip"}),
    "positions_shifted": (shift_positions, {"two", "none", "one", "clip"}),
    "media_shifted": (shift_media, {"two", "one", "clip"}),
    "frames_joined": (join_frames, {"two", "one", "clip"}),
    "windows_joined": (join_windows, {"two", "one", "clip"}),
}


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
    alone = {
        sequence.id: goldens.split(
            logits_of(golden, goldens.make_batch(golden, [[sequence]])), [sequence]
        )[sequence.id]["logits"]
        for sequence in row
    }

    def gaps(batch: structs.Batch) -> dict[str, float]:
        parts = goldens.split(logits_of(golden, batch), row)
        return {key: goldens.gap(parts[key]["logits"], theirs) for key, theirs in alone.items()}

    assert max(gaps(packed).values()) < TOLERANCE
    for twin, (break_it, noticing) in BREAKS.items():
        broken = gaps(break_it(packed))
        assert min(broken[key] for key in noticing) > MARGIN * TOLERANCE, twin
        assert all(broken[key] < TOLERANCE for key in alone.keys() - noticing), twin


@EACH_MODEL
def test_packed_gradients_equal_unpacked(name: str, rng: np.random.Generator) -> None:
    """The loss, and the gradient of every single parameter."""
    golden = goldens.load(name)
    model = qwen2_5_vl.Qwen2_5_VL(size=golden.size)
    row = mixed_row(golden, rng)
    packed = goldens.make_batch(golden, [row])
    alone = [goldens.make_batch(golden, [[sequence]]) for sequence in row]
    broken = [break_it(packed) for break_it, _ in BREAKS.values()]
    results = [
        goldens.loss_and_gradients(golden.params, batch, model=model)
        for batch in (packed, *broken, *alone)
    ]
    losses = np.array([loss for loss, _ in results])
    gradients = [jax.tree.map(np.asarray, gradient) for _, gradient in results]
    first = 1 + len(broken)
    total = jax.tree.map(lambda *leaves: sum(leaves), *gradients[first:])
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(total)), "an idle parameter"
    assert goldens.gap(losses[0], losses[first:].sum()) < TOLERANCE
    assert gradient_gap(gradients[0], total) < 10 * TOLERANCE
    for twin, gradient in zip(BREAKS, gradients[1:first], strict=True):
        assert gradient_gap(gradient, total) > MARGIN * TOLERANCE, twin


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
