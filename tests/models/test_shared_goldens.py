# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The published pixel values and vision orders, as the arrays of a batch bring them to the model.

Positions and sizes alone are compared in tests/common/test_geometry.py, patch order in
tests/data/test_images.py.
"""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from lingshu_jax.common import geometry
from lingshu_jax.data import images, packing
from lingshu_jax.models import vision
from tests.models import goldens

TOLERANCE, MARGIN = 1e-6, 100
CHANNEL = 2 * 14 * 14  # values of a patch in one channel


class Reference(NamedTuple):
    """The first values of patch 0, normalised, and the picture they come from."""

    values: np.ndarray
    picture: Image.Image

    @property
    def pixels(self) -> np.ndarray:
        """The values as 0..255: undoing the normalisation lands on whole numbers."""
        channel = np.arange(len(self.values)) // CHANNEL
        std, mean = np.array(geometry.PIXEL_STD)[channel], np.array(geometry.PIXEL_MEAN)[channel]
        raw = (self.values * std + mean) * 255
        assert np.abs(raw - np.rint(raw)).max() < 1e-4
        return np.rint(raw).astype(np.uint8)


@pytest.fixture(scope="module")
def reference(shared_dir: Path) -> Reference:
    folder = shared_dir / "data/tokenizer_qwen2/preprocess_reference"
    values = np.loadtxt(folder / "pixel_values_reference.txt")
    assert len(values) == 1000
    return Reference(values, images.open_image(str(folder / "australia.jpg")))


def first_patch(picture: Image.Image, size: tuple[int, int] = (360, 540)) -> np.ndarray:
    """Patch 0 of a picture in the grid that smart_resize gives to `size`."""
    height, width = size
    grid = geometry.image_grid(height, width, min_pixels=3136, max_pixels=12_845_056)
    return images.load_patches(images.Media(start=0, grid=grid, image=picture))[:1]


@functools.partial(jax.jit, static_argnames="shape")
def on_device(patches: jax.Array, shape: geometry.VisionGeometry) -> jax.Array:
    return vision.normalize(patches, shape)


def test_resized_pixels_are_the_published_ones(reference: Reference) -> None:
    """No value of a thousand differs; another resizer or a second resizing would."""
    ours = first_patch(reference.picture)[0, :1000]
    np.testing.assert_array_equal(ours, reference.pixels)
    twice = first_patch(reference.picture.resize((540, 360), Image.Resampling.BICUBIC))
    smooth = first_patch(reference.picture.resize((532, 364), Image.Resampling.BILINEAR))
    for wrong in (twice, smooth):
        assert (wrong[0, :1000] != reference.pixels).any()


def test_pixels_normalised_on_the_device_are_the_published_ones(reference: Reference) -> None:
    patches = first_patch(reference.picture)

    def gap(patches: np.ndarray) -> float:
        out = np.asarray(on_device(jnp.asarray(patches[None]), geometry.QWEN2_5_VL))[0, 0]
        return float(np.abs(out[:1000] - reference.values).max())

    assert gap(patches) <= TOLERANCE
    channels = patches.reshape(1, 3, CHANNEL)
    assert gap(channels[:, ::-1].reshape(1, -1)) > MARGIN * TOLERANCE
    assert gap(np.maximum(patches, 1) - 1) > MARGIN * TOLERANCE  # one level less


class Order(NamedTuple):
    """What a row's arrays say of its patches and cells, in the words of the golden file."""

    window_index: list[int]
    cu_window_seqlens: list[int]
    cu_seqlens: list[int]
    reverse: list[int]
    pos_hw: list[list[int]]


def batch_arrays(grids: list[list[int]]) -> dict[str, np.ndarray]:
    """Blank media of these grids as one row."""
    media, start, shape = [], 0, geometry.QWEN2_5_VL
    for t, h, w in grids:
        grid = geometry.Grid(t, h, w)
        media.append(images.Media(start=start, grid=grid, image="none", blank=True))
        start += shape.num_tokens(grid)
    tokens = np.zeros(start, np.int32)
    encoded = goldens.to_encoded("a", tokens, np.zeros(start, np.float32), media=media, shape=shape)
    patches = 64 * -(-4 * start // 64) + 256
    budget = packing.Budget(tokens=start, patches=patches)
    return packing.assemble([encoded], budget, geometry=shape, pad_id=0)


def order_of(arrays: dict[str, np.ndarray], grids: list[list[int]]) -> Order:
    """Reads the orders back from the arrays of a row.

    Our slots may stand in any order, so windows are first sorted by their first cell of a frame,
    which is the order of the original: frames, then windows row by row.
    """
    count = sum(t * h * w for t, h, w in grids)
    gather, ids = arrays["window_gather"], arrays["window_ids"].reshape(-1)
    windows: dict[tuple[int, int], list[int]] = {}
    for place in np.flatnonzero(ids).tolist():
        windows.setdefault((place // 64, int(ids[place])), []).append(int(gather[place]))
    listed = sorted(windows.values(), key=lambda window: window_rank(window[0], grids))
    cells = [patch // 4 for window in listed for patch in window[::4]]
    inverse = arrays["merged_inverse"][: count // 4]
    # Where a cell went, and what the slots hold there, are each other's inverse.
    assert [int(gather[4 * place]) // 4 for place in inverse] == list(range(count // 4))
    frames = arrays["patch_frame_ids"][:count]
    return Order(
        window_index=cells,
        cu_window_seqlens=[0, *np.cumsum([len(window) for window in listed]).tolist()],
        cu_seqlens=[0, *np.cumsum(np.bincount(frames)[1:]).tolist()],
        reverse=np.argsort(cells).tolist(),
        pos_hw=arrays["patch_hw"][:count].tolist(),
    )


def window_rank(patch: int, grids: list[list[int]]) -> tuple[int, ...]:
    """Medium, frame, window row and window column of a patch in natural order."""
    for medium, (t, h, w) in enumerate(grids):
        if patch >= t * h * w:
            patch -= t * h * w
            continue
        frame, cell = divmod(patch // 4, h * w // 4)
        row, column = divmod(cell, w // 2)
        return medium, frame, row // 4, column // 4
    raise AssertionError("a patch beyond the last medium")


def drop_a_window_edge(arrays: dict[str, np.ndarray]) -> None:
    """The two windows of one slot become one, or a full one loses its last cell."""
    ids = arrays["window_ids"]
    slot = int(np.argmax(ids.max(axis=1)))
    if ids[slot].max() > 1:
        ids[slot] = np.minimum(ids[slot], 1)
    else:
        ids[slot, np.flatnonzero(ids[slot])[-4:]] = 2


def swap_patch_axes(arrays: dict[str, np.ndarray]) -> None:
    arrays["patch_hw"] = arrays["patch_hw"][:, ::-1]


def move_a_frame(arrays: dict[str, np.ndarray]) -> None:
    arrays["patch_frame_ids"][:4] = arrays["patch_frame_ids"].max() + 1


def swap_cells(arrays: dict[str, np.ndarray]) -> None:
    """Two cells of one window change places, in both directions."""
    gather, inverse = arrays["window_gather"], arrays["merged_inverse"]
    gather[:8] = np.roll(gather[:8], 4)
    first, second = gather[0] // 4, gather[4] // 4
    inverse[[first, second]] = inverse[[second, first]]


BREAKS: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "window_edge": (drop_a_window_edge, "cu_window_seqlens"),
    "patch_axes": (swap_patch_axes, "pos_hw"),
    "frame": (move_a_frame, "cu_seqlens"),
    "cells": (swap_cells, "window_index"),
}


@pytest.fixture(scope="module")
def windows(shared_dir: Path) -> list[dict[str, Any]]:
    file = json.loads((shared_dir / "reference/qwen2_5_vl_goldens.json").read_text())
    assert len(file["window"]) == 6
    return file["window"]


@pytest.mark.parametrize("case", range(6))
def test_vision_orders_of_a_row(windows: list[dict[str, Any]], case: int) -> None:
    """Window index and its inverse, window and frame lengths, places of patches: all exact."""
    golden = windows[case]
    ours = order_of(batch_arrays(golden["grid_thw"]), golden["grid_thw"])
    assert ours._asdict() == {name: golden[name] for name in Order._fields}


@pytest.mark.parametrize("case", range(6))
@pytest.mark.parametrize("name", BREAKS)
def test_broken_orders_are_noticed(windows: list[dict[str, Any]], case: int, name: str) -> None:
    golden, (break_it, field) = windows[case], BREAKS[name]
    arrays = batch_arrays(golden["grid_thw"])
    break_it(arrays)
    ours = order_of(arrays, golden["grid_thw"])
    assert ours._asdict()[field] != golden[field]
