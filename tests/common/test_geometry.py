# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lingshu_jax.common import errors, geometry

LIMITS = {"min_pixels": 3136, "max_pixels": 12_845_056}


@pytest.fixture(scope="module")
def goldens(shared_dir: Path) -> dict[str, Any]:
    return json.loads((shared_dir / "reference/qwen2_5_vl_goldens.json").read_text())


def resize_or_error(height: int, width: int, min_pixels: int, max_pixels: int) -> Any:
    try:
        size = geometry.smart_resize(height, width, min_pixels=min_pixels, max_pixels=max_pixels)
    except errors.UserError:
        return "ValueError"
    return list(size)


def spans(case: dict[str, Any]) -> list[geometry.MediaSpan]:
    """Finds the media of a golden case by its pad ids."""
    images = [(geometry.Grid(*grid), None) for grid in case["image_grid_thw"] or []]
    videos = [
        (geometry.Grid(*grid), seconds)
        for grid, seconds in zip(
            case["video_grid_thw"] or [], case["second_per_grid_ts"] or [], strict=True
        )
    ]
    waiting = {151655: images, 151656: videos}
    found, place = [], 0
    while place < len(case["input_ids"]):
        media = waiting.get(case["input_ids"][place])
        if media:
            grid, seconds = media.pop(0)
            found.append(geometry.MediaSpan(place, grid, seconds))
            place += geometry.VisionGeometry().num_tokens(grid)
        else:
            place += 1
    return found


def window_index(grids: list[list[int]], *, shape: geometry.VisionGeometry) -> list[int]:
    index, offset = [], 0
    for grid in grids:
        index += [int(c) + offset for w in geometry.windows(geometry.Grid(*grid), shape) for c in w]
        offset += shape.num_tokens(geometry.Grid(*grid))
    return index


def test_smart_resize_goldens(goldens: dict[str, Any]) -> None:
    for height, width, min_pixels, max_pixels, expected in goldens["smart_resize"]:
        assert resize_or_error(height, width, min_pixels, max_pixels) == expected
    assert len(goldens["smart_resize"]) == 64


def test_smart_resize_goldens_notice_rounding_half_up(
    goldens: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(geometry, "round", lambda x: math.floor(x + 0.5), raising=False)
    rows = goldens["smart_resize"]
    assert any(resize_or_error(*row[:4]) != row[4] for row in rows)


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        pytest.param(70, 70, (56, 56), id="half_rounds_to_even_down"),
        pytest.param(42, 98, (56, 112), id="half_rounds_to_even_up"),
        pytest.param(1, 150, (28, 700), id="thin_image_grows"),
        pytest.param(4000, 20, (4004, 28), id="ratio_of_exactly_200_is_allowed"),
    ],
)
def test_smart_resize_by_hand(height: int, width: int, expected: tuple[int, int]) -> None:
    assert geometry.smart_resize(height, width, **LIMITS) == expected


def test_smart_resize_keeps_one_cell_when_shrinking() -> None:
    assert geometry.smart_resize(3000, 20, min_pixels=784, max_pixels=28 * 28 * 4) == (672, 28)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        pytest.param((20, 4001), "at most 200, got 20 x 4001", id="too_thin"),
        pytest.param((0, 50), "must be positive, got 0 x 50", id="empty"),
    ],
)
def test_smart_resize_refuses(size: tuple[int, int], message: str) -> None:
    with pytest.raises(errors.UserError, match=message):
        geometry.smart_resize(*size, **LIMITS)


def test_image_grid_counts_patches() -> None:
    assert geometry.image_grid(56, 84, **LIMITS) == geometry.Grid(1, 4, 6)


def test_geometry_of_the_released_model() -> None:
    shape = geometry.VisionGeometry()
    assert (shape.factor, shape.window_cells, shape.slot_cells) == (28, 4, 16)
    assert (shape.slot_patches, shape.cell_patches, shape.patch_dim) == (64, 4, 1176)
    assert (
        shape.num_patches(geometry.Grid(2, 4, 6)),
        shape.num_tokens(geometry.Grid(2, 4, 6)),
    ) == (48, 12)


def test_windows_goldens(goldens: dict[str, Any]) -> None:
    shape = geometry.VisionGeometry()
    for case in goldens["window"]:
        assert window_index(case["grid_thw"], shape=shape) == case["window_index"]
        sizes = [
            4 * len(w) for g in case["grid_thw"] for w in geometry.windows(geometry.Grid(*g), shape)
        ]
        assert [0, *np.cumsum(sizes)] == case["cu_window_seqlens"]


def test_windows_goldens_notice_another_window_size(goldens: dict[str, Any]) -> None:
    shape = geometry.VisionGeometry(window_size=84)
    cases = goldens["window"]
    assert any(window_index(c["grid_thw"], shape=shape) != c["window_index"] for c in cases)


def test_windows_at_the_edge_are_smaller() -> None:
    found = [w.tolist() for w in geometry.windows(geometry.Grid(2, 4, 10))]
    assert found == [[0, 1, 2, 3, 5, 6, 7, 8], [4, 9], [10, 11, 12, 13, 15, 16, 17, 18], [14, 19]]


def test_mrope_goldens(goldens: dict[str, Any]) -> None:
    for case in goldens["mrope_qwen_reference"]:
        positions = geometry.mrope_positions(len(case["input_ids"]), spans(case))
        np.testing.assert_array_equal(positions, case["position_ids"])
        assert positions.max() + 1 - len(case["input_ids"]) == case["delta_unpadded"]


def test_mrope_goldens_notice_other_seconds(goldens: dict[str, Any]) -> None:
    shape = geometry.VisionGeometry(tokens_per_second=4.0)
    wrong = [
        case["name"]
        for case in goldens["mrope_qwen_reference"]
        if not np.array_equal(
            geometry.mrope_positions(len(case["input_ids"]), spans(case), shape),
            case["position_ids"],
        )
    ]
    assert len(wrong) == 6 and "one image" not in wrong


def test_mrope_without_media_counts() -> None:
    assert geometry.mrope_positions(3, []).tolist() == [[0, 1, 2]] * 3


def test_mrope_by_hand() -> None:
    positions = geometry.mrope_positions(9, [geometry.MediaSpan(1, geometry.Grid(1, 4, 6))])
    assert positions.tolist() == [
        [0, 1, 1, 1, 1, 1, 1, 4, 5],
        [0, 1, 1, 1, 2, 2, 2, 4, 5],
        [0, 1, 2, 3, 1, 2, 3, 4, 5],
    ]


def test_mrope_of_a_video_advances_in_time_before_truncation() -> None:
    media = [geometry.MediaSpan(0, geometry.Grid(4, 2, 2), seconds_per_grid=0.25)]
    assert geometry.mrope_positions(5, media)[0].tolist() == [0, 0, 1, 1, 2]
