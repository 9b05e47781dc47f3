# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The order of the vision blocks, and that padding is nobody's neighbour."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lingshu_jax.common import geometry, structs
from lingshu_jax.data import packing
from lingshu_jax.models import layers, rope, sizes, vision
from tests import small
from tests.models import goldens

F32 = jnp.dtype(jnp.float32)
TOLERANCE, MARGIN = 1e-5, 100


@pytest.mark.parametrize(
    ("full_layers", "depth", "period"),
    [
        ((7, 15, 23, 31), 32, 8),
        ((1, 3), 4, 2),
        ((0, 3), 4, 4),
        ((), 6, 1),
        ((0, 1, 2), 3, 1),
        ((2,), 3, 3),
        ((0, 2), 3, 3),
    ],
    ids=["published", "regular", "irregular", "windows_only", "full_only", "last", "prime_depth"],
)
def test_pattern_period(full_layers: tuple[int, ...], depth: int, period: int) -> None:
    assert vision.pattern_period(full_layers, depth) == period


@pytest.mark.parametrize(
    ("full_layers", "period", "runs"),
    [
        ((7, 15, 23, 31), 8, [(0, 7, False), (7, 8, True)]),
        ((0, 3), 4, [(0, 1, True), (1, 3, False), (3, 4, True)]),
        ((0, 1), 3, [(0, 2, True), (2, 3, False)]),
        ((), 1, [(0, 1, False)]),
    ],
    ids=["published", "both_ends", "neighbours", "windows_only"],
)
def test_attention_runs(
    full_layers: tuple[int, ...], period: int, runs: list[tuple[int, int, bool]]
) -> None:
    assert vision.attention_runs(full_layers, period) == runs


def size_with(full_layers: tuple[int, ...]) -> sizes.VisionSize:
    return dataclasses.replace(small.SIZE.vision, full_attention_layers=full_layers)


def make_images(
    rng: np.random.Generator, budget: packing.Budget = small.BUDGET
) -> tuple[structs.Images, int]:
    """Three images of different shape in one row, and how many merged tokens they have."""
    row = [
        small.sequence(rng, "a", pictures=[(56, 84), (112, 140)]),
        small.sequence(rng, "b", pictures=[(84, 28)]),
    ]
    pictures = jax.tree.map(jnp.asarray, small.make_batch([row], budget).images)
    return pictures, sum(sequence.num_patches for sequence in row) // 4


def scanned(params: layers.Params, pictures: structs.Images, size: sizes.VisionSize) -> Any:
    return vision.Vision(size).apply({"params": params}, pictures)


def unrolled(params: layers.Params, pictures: structs.Images, size: sizes.VisionSize) -> Any:
    """One block after the other, each with the attention its index says."""

    def to_slots(values: jax.Array) -> jax.Array:
        padded = jnp.pad(values[0], ((0, 1), (0, 0)))
        return padded[pictures.window_gather[0]][None]

    pixels = vision.normalize(pictures.patches, size.geometry) @ params["patch_embed"]["kernel"]
    # Patches that are no image's gather zeros before normalisation, so their features differ.
    empty = vision.normalize(jnp.zeros_like(pictures.patches[:, :1]), size.geometry)
    is_used = (pictures.window_gather < pictures.patches.shape[1])[..., None]
    x = jnp.where(is_used, to_slots(pixels), empty @ params["patch_embed"]["kernel"])
    angles = rope.vision_angles(to_slots(pictures.patch_hw), head_dim=size.head_dim)
    frames = to_slots(pictures.patch_frame_ids[..., None])[..., 0]
    block = vision.Block(size, F32, F32)
    for i in range(size.num_layers):
        one = {"params": jax.tree.map(lambda leaf, i=i: leaf[i], params["blocks"])}
        if i in size.full_attention_layers:
            x = block.apply(one, x, angles, frames)
        else:
            cut = (y.reshape(-1, vision.SLOT, y.shape[-1]) for y in (x, angles))
            x = block.apply(one, *cut, pictures.window_ids[0]).reshape(x.shape)
    return x


@goldens.compiled_quickly(static_argnames=("forward", "size"))
def with_gradients(forward: Any, params: layers.Params, pictures: Any, size: Any) -> Any:
    """Features of the real places, and gradients of a function of them."""

    def objective(params: layers.Params) -> Any:
        is_real = (pictures.window_ids > 0).reshape(pictures.window_gather.shape)
        out = jnp.where(is_real[..., None], forward(params, pictures, size), 0.0)
        return jnp.mean(jnp.sin(out)), out

    gradients, out = jax.grad(objective, has_aux=True)(params)
    return {"out": out, **gradients}


def largest_gap(ours: Any, theirs: Any) -> float:
    return max(jax.tree.leaves(jax.tree.map(goldens.gap, ours, theirs)))


@pytest.mark.parametrize("full_layers", [(1, 3), (0, 3)], ids=["regular", "irregular"])
def test_scans_equal_a_loop_over_blocks(
    rng: np.random.Generator, full_layers: tuple[int, ...]
) -> None:
    params = small.random_params()["vision"]
    pictures, _ = make_images(rng)
    reference = with_gradients(unrolled, params, pictures, size_with(full_layers))
    out = with_gradients(scanned, params, pictures, size_with(full_layers))
    assert jax.tree.structure(out["blocks"]) == jax.tree.structure(params["blocks"])
    assert largest_gap(out, reference) < TOLERANCE
    other = with_gradients(scanned, params, pictures, size_with((1, 2)))
    assert largest_gap(other, reference) > MARGIN * TOLERANCE


@pytest.mark.parametrize(
    ("full_layers", "depth", "runs"),
    [
        ((7, 15, 23, 31), 32, 2),
        ((1, 3), 4, 2),
        ((0, 9, 21), 32, 6),
        ((15,), 31, 3),
        ((), 32, 1),
    ],
    ids=["published", "regular", "irregular", "prime_depth", "windows_only"],
)
def test_a_block_is_traced_once_a_run(full_layers: tuple[int, ...], depth: int, runs: int) -> None:
    """However deep the tower is, and whatever its pattern."""
    size = dataclasses.replace(size_with(full_layers), num_layers=depth)
    whole = dataclasses.replace(small.SIZE, vision=size)
    params = jax.eval_shape(lambda: small.random_params(whole)["vision"])
    pictures, _ = make_images(np.random.default_rng(0))
    traced = str(jax.make_jaxpr(lambda params: scanned(params, pictures, size))(params))
    assert traced.count(" scan[") == runs + 1
    assert traced.count("dot_general[") == 1 + 7 * runs


@goldens.compiled_quickly()
def visual_tokens(params: layers.Params, pictures: structs.Images) -> jax.Array:
    return small.MODEL.apply({"params": params}, pictures, method=small.MODEL.encode_images)


def with_noise(pictures: structs.Images, rng: np.random.Generator, start: int) -> structs.Images:
    """Random pixels in the rows of `patches` from `start` on."""
    pixels = np.asarray(pictures.patches).copy()
    pixels[:, start:] = rng.integers(0, 256, pixels[:, start:].shape)
    return dataclasses.replace(pictures, patches=jnp.asarray(pixels))


def test_padding_patches_do_not_reach_real_ones(rng: np.random.Generator) -> None:
    params = small.random_params()
    pictures, count = make_images(rng)
    reference = np.asarray(visual_tokens(params, pictures))[:, :count]
    assert 4 * count < pictures.patches.shape[1], "the case needs padding"
    noisy = visual_tokens(params, with_noise(pictures, rng, 4 * count))
    np.testing.assert_array_equal(noisy[:, :count], reference)
    real = visual_tokens(params, with_noise(pictures, rng, 4 * count - 1))
    assert goldens.gap(real[:, :count], reference) > MARGIN * TOLERANCE


def test_a_larger_budget_changes_nothing(rng: np.random.Generator) -> None:
    params = small.random_params()
    seed = rng.bit_generator.seed_seq
    pictures, count = make_images(np.random.default_rng(seed))
    wide = packing.Budget(tokens=small.BUDGET.tokens, patches=320)
    wider, _ = make_images(np.random.default_rng(seed), wide)
    reference = np.asarray(visual_tokens(params, pictures))[:, :count]
    assert goldens.gap(visual_tokens(params, wider)[:, :count], reference) < TOLERANCE
    joined = dataclasses.replace(wider, window_ids=jnp.maximum(wider.window_ids, 1))
    assert goldens.gap(visual_tokens(params, joined)[:, :count], reference) > MARGIN * TOLERANCE


def test_an_empty_row_is_finite() -> None:
    params: Any = small.random_params()
    pictures = jax.tree.map(jnp.asarray, small.make_batch([[]]).images)
    assert np.isfinite(visual_tokens(params, pictures)).all()


def test_pixels_are_normalised_by_channel() -> None:
    patches = np.zeros((1, 1, 1176), np.uint8)
    patches[..., 392:784] = 255
    out = np.asarray(vision.normalize(jnp.asarray(patches), small.SIZE.vision.geometry))[0, 0]
    mean, std = np.array(geometry.PIXEL_MEAN), np.array(geometry.PIXEL_STD)
    expected = (np.array([0.0, 1.0, 0.0]) - mean) / std
    np.testing.assert_allclose(out, np.repeat(expected, 392), rtol=1e-6)
    assert abs(expected[0] - expected[2]) > 0.1
