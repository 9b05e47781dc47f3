# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Boxes of masks, and boxes that are drawn."""

import io

import numpy as np
import pytest
from PIL import Image

from data_tools import rows as rows_lib
from data_tools.synthesis import regions, seeds

Box = seeds.Box


def mask_of(*rectangles, size=(40, 60)):
    mask = np.zeros(size, bool)
    for top, left, bottom, right in rectangles:
        mask[top:bottom, left:right] = True
    return mask


def test_a_box_is_the_smallest_one_around_a_part():
    found = regions.of_mask(mask_of((10, 20, 18, 33)), "nodule")
    assert found == [Box("nodule", 20, 10, 33, 18)]


def test_corners_that_meet_are_one_part_and_specks_are_none():
    diagonal = mask_of((4, 4, 10, 10), (10, 10, 16, 16), (30, 50, 32, 52))
    assert regions.of_mask(diagonal, "cyst") == [Box("cyst", 4, 4, 16, 16)]
    assert len(regions.of_mask(diagonal, "cyst", least_area=4)) == 2
    assert regions.of_mask(diagonal, "cyst", least_area=1000) == []


def test_parts_apart_keep_their_boxes_from_the_top_down():
    found = regions.of_mask(mask_of((20, 2, 30, 12), (2, 30, 8, 40)), "cell")
    assert found == [Box("cell", 30, 2, 40, 8), Box("cell", 2, 20, 12, 30)]


def test_boxes_that_touch_become_one_of_the_same_label_alone():
    first, second, other = Box("a", 0, 0, 10, 10), Box("a", 10, 5, 20, 15), Box("b", 5, 5, 9, 9)
    assert regions.merge([first, second, other]) == [Box("a", 0, 0, 20, 15), other]
    apart = second._replace(left=12)
    assert regions.merge([first, apart]) == [first, apart]


def test_a_box_that_joins_two_others_joins_all_three():
    ends = [Box("a", 0, 0, 4, 4), Box("a", 8, 0, 12, 4)]
    assert regions.merge([*ends, Box("a", 4, 0, 8, 4)]) == [Box("a", 0, 0, 12, 4)]


def test_the_largest_stay_and_each_label_has_one():
    boxes = [Box("cell", 0, 0, 10 + i, 10) for i in range(5)] + [Box("platelet", 0, 0, 2, 2)]
    assert regions.largest(boxes, 0) == tuple(boxes)
    kept = regions.largest(boxes, 3)
    assert kept == (boxes[3], boxes[4], boxes[5])
    assert regions.largest(boxes, 1) == (boxes[4],)


@pytest.mark.parametrize("ground", [(0, 0, 0), (255, 255, 255), (128, 128, 128), (230, 60, 150)])
def test_lines_stand_out_from_what_they_cover_and_leave_the_inside(ground):
    picture = Image.new("RGB", (300, 200), ground)
    box = Box("mass", 50, 60, 150, 120)
    drawn = np.asarray(regions.draw(picture, [box])).astype(int)
    line = drawn[60 - 1, 100]
    assert np.linalg.norm(line - np.array(ground)) > 150
    inside = drawn[box.top : box.bottom, box.left : box.right]
    assert (inside == ground).all()
    assert (np.asarray(picture) == ground).all(), "the picture itself is not drawn on"


def test_the_colour_depends_on_the_picture():
    box = [Box("mass", 5, 5, 40, 40)]
    yellow = Image.new("RGB", (60, 60), (255, 255, 0))
    blue = Image.new("RGB", (60, 60), (0, 0, 255))
    one, other = (np.asarray(regions.draw(ground, box))[4, 20] for ground in (yellow, blue))
    assert tuple(one) != tuple(other)
    assert tuple(one) != (255, 255, 0)


def test_lines_grow_with_the_picture():
    def covered(side):
        drawn = regions.draw(
            Image.new("L", (side, side)).convert("RGB"), [Box("x", 40, 40, 90, 90)]
        )
        row = np.asarray(drawn)[65, :90].any(axis=-1)
        return int(row[:40].sum())

    assert covered(100) == 2
    assert covered(1024) == 4


def test_boxes_at_the_edge_are_drawn_within_it():
    drawn = np.asarray(regions.draw(Image.new("RGB", (64, 64)), [Box("a", 0, 0, 64, 64)]))
    assert drawn[0].any(axis=-1).all() and drawn[-1].any(axis=-1).all()
    assert drawn[:, 0].any(axis=-1).all() and drawn[:, -1].any(axis=-1).all()


def test_a_boxed_picture_is_a_medium_of_its_own(tmp_path):
    Image.new("RGB", (80, 60), (10, 20, 30)).save(tmp_path / "a.png")
    medium = rows_lib.Medium(kind="image", path=str(tmp_path / "a.png"))
    made = regions.boxed(medium, [Box("a", 10, 20, 30, 40)])
    with Image.open(io.BytesIO(made.data)) as drawn:
        assert drawn.size == (80, 60)
        assert drawn.getpixel((20, 19)) != (10, 20, 30)


def test_the_legend_says_each_label_once():
    boxes = [Box("kidney", 0, 0, 9, 9), Box("tumour", 1, 1, 3, 3), Box("kidney", 20, 0, 29, 9)]
    assert regions.legend(boxes) == "1, 3: kidney\n2: tumour"
