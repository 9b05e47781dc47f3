# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lingshu_jax.common import errors, geometry
from tests import positions

LIMITS: dict[str, Any] = {"min_pixels": 3136, "max_pixels": 12_845_056}


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


def test_smart_resize_goldens_notice_another_ratio(
    goldens: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = [row[:4] for row in goldens["smart_resize"] if row[4] == "ValueError"]
    assert refused and all(max(row[:2]) > 200 * min(row[:2]) for row in refused)
    monkeypatch.setattr(geometry, "MAX_ASPECT_RATIO", 10_000)
    assert all(resize_or_error(*row) != "ValueError" for row in refused)


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
        found = geometry.mrope_positions(len(case["input_ids"]), spans(case))
        np.testing.assert_array_equal(found, case["position_ids"])
        assert found.max() + 1 - len(case["input_ids"]) == case["delta_unpadded"]


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


@pytest.mark.parametrize("place", range(9))
def test_mrope_goldens_notice_a_medium_one_token_off(goldens: dict[str, Any], place: int) -> None:
    case = goldens["mrope_qwen_reference"][place]
    shifted = [span._replace(start=span.start - 1) for span in spans(case)]
    wrong = geometry.mrope_positions(len(case["input_ids"]), shifted)
    assert not np.array_equal(wrong, case["position_ids"])


def test_mrope_without_media_counts() -> None:
    assert geometry.mrope_positions(3, []).tolist() == [[0, 1, 2]] * 3


def test_mrope_by_hand() -> None:
    found = geometry.mrope_positions(9, [geometry.MediaSpan(1, geometry.Grid(1, 4, 6))])
    assert found.tolist() == [
        [0, 1, 1, 1, 1, 1, 1, 4, 5],
        [0, 1, 1, 1, 2, 2, 2, 4, 5],
        [0, 1, 2, 3, 1, 2, 3, 4, 5],
    ]


def test_mrope_of_a_video_advances_in_time_before_truncation() -> None:
    media = [geometry.MediaSpan(0, geometry.Grid(4, 2, 2), seconds_per_grid=0.25)]
    assert geometry.mrope_positions(5, media)[0].tolist() == [0, 0, 1, 1, 2]


# Positions of images and videos against a second implementation, one token at a time.


def whole_seconds_first(frame: int, seconds: float) -> int:
    """As in several releases of transformers."""
    return frame * int(seconds) * 2


def in_float64(frame: int, seconds: float) -> int:
    """Differs from frame 39 of a video of 1.3 pictures a second on."""
    return int(frame * seconds * 2)


def rounded(frame: int, seconds: float) -> int:
    return round(frame * seconds * 2)


def random_media(rng: np.random.Generator) -> tuple[int, list[geometry.MediaSpan]]:
    """One to four media, still or moving, between runs of text that may be empty."""
    media, length = [], 0
    for _ in range(rng.integers(1, 5)):
        length += int(rng.integers(0, 6))
        is_video = rng.random() < 0.6
        pictures = int(rng.integers(1, 90)) if is_video else 1
        rate = positions.FRAME_RATES[rng.integers(len(positions.FRAME_RATES))]
        height, width = (2 * int(side) for side in rng.integers(1, 6, 2))
        grid = geometry.Grid((pictures + 1) // 2, height, width)
        media.append(geometry.MediaSpan(length, grid, 2 / rate if is_video else None))
        length += geometry.QWEN2_5_VL.num_tokens(grid)
    return length + int(rng.integers(0, 6)), media


def mismatches(**wrong: Any) -> int:
    """How many of 150 random sequences get other positions than by the token."""
    rng = np.random.default_rng(0)
    cases = [random_media(rng) for _ in range(150)]
    return sum(
        geometry.mrope_positions(length, media).tolist()
        != positions.by_the_token(length, media, **wrong)
        for length, media in cases
    )


def test_positions_of_any_media() -> None:
    assert mismatches() == 0


def test_still_pictures_take_no_time() -> None:
    one_frame = [geometry.MediaSpan(2, geometry.Grid(1, 4, 6), seconds) for seconds in (None, 7.0)]
    still, moving = (geometry.mrope_positions(11, [span]) for span in one_frame)
    np.testing.assert_array_equal(still, moving)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"time": whole_seconds_first}, id="whole_seconds_first"),
        pytest.param({"time": in_float64}, id="float64"),
        pytest.param({"time": rounded}, id="rounded"),
        pytest.param(
            {"after": lambda _, first, grid: first + max(grid.h, grid.w) // 2},
            id="text_after_the_larger_side",
        ),
        pytest.param(
            {"after": lambda block, first, _: first + len(block)}, id="text_after_the_tokens"
        ),
    ],
)
def test_other_rules_of_time_are_noticed(wrong: dict[str, Any]) -> None:
    assert mismatches(**wrong) > 0


@pytest.mark.parametrize("rate", positions.FRAME_RATES)
def test_positions_at_every_frame_rate(rate: float) -> None:
    """101 pictures make 51 frames; the last one is the pair of a repeated picture."""
    span = geometry.MediaSpan(3, geometry.Grid(51, 2, 4), 2 / rate)
    found = geometry.mrope_positions(110, [span])
    assert found.tolist() == positions.by_the_token(110, [span])
    times = found[0, 3:105:2] - 3
    assert times[0] == 0 and (np.diff(times) >= 0).all()
    # A frame lasts 2 / rate seconds of two positions each.
    exact = 4 / rate * np.arange(51)
    assert ((times > exact - 1 - 1e-3) & (times <= exact + 1e-3)).all(), "truncated, never rounded"
    assert found[:, 105].tolist() == [1 + max(times[-1] + 3, 3 + 1)] * 3
