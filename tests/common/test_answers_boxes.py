# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import json
import math

import pytest

from lingshu_jax.common import answers, answers_boxes

BOX = (10.0, 20.0, 30.0, 40.0)
OTHER = (1.0, 2.0, 3.5, 4.0)


@pytest.mark.parametrize(
    ("text", "boxes"),
    [
        ("[10, 20, 30, 40]", [BOX]),
        ("[10.0,20.0,30.0,40.0]", [BOX]),
        ("[[10, 20, 30, 40], [1, 2, 3.5, 4]]", [BOX, OTHER]),
        ('{"bbox_2d": [10, 20, 30, 40], "label": "mass 3"}', [BOX]),
        ('[{"bbox_2d": [10, 20, 30, 40]}, {"bbox": [1, 2, 3.5, 4]}]', [BOX, OTHER]),
        ('```json\n[{"bbox_2d": [10, 20, 30, 40]}]\n```', [BOX]),
        ('{"boxes": [[10, 20, 30, 40], [1, 2, 3.5, 4]]}', [BOX, OTHER]),
        ("(10, 20), (30, 40)", [BOX]),
        ("(10,20),(30,40)", [BOX]),
        ("<|box_start|>(10,20),(30,40)<|box_end|>", [BOX]),
        ("(10,20),(30,40)\n(1,2),(3.5,4)", [BOX, OTHER]),
        ("(10, 20, 30, 40)", [BOX]),
        ("[[10, 20], [30, 40]] is the mass", [BOX]),
        ("The box is [10, 20, 30, 40].", [BOX]),
        ("[-5, -5, 1e1, .5]", [(-5.0, -5.0, 10.0, 0.5)]),
    ],
)
def test_forms(text, boxes):
    assert answers_boxes.parse(text) == boxes


@pytest.mark.parametrize(
    "text",
    [
        "",
        "in the middle",
        "[10, 20, 30]",
        "[10, 20, 30, 40, 50]",
        "[30, 20, 10, 40]",
        "[10, 40, 30, 20]",
        "[10, 20, 10, 40]",
        '["10", "20", "30", "40"]',
        "[true, 20, 30, 40]",
        "[NaN, 20, 30, 40]",
        "[10, 20, Infinity, 40]",
        "[10, 20, 1e12, 40]",
        "[[10, 20, 30, 40], [3, 2, 1, 0]]",
        "[[10, 20, 30, 40], null]",
        "[10, 20, 30, 40] or [1, 2, 3]",
        "2 boxes: [10, 20, 30, 40]",
        "{}",
        "[]",
        '{"label": "mass"}',
        json.dumps([list(BOX)] * 101),
        "[" * 100_000,
    ],
)
def test_anything_else_is_none(text):
    assert answers_boxes.parse(text) is None


def test_iou():
    assert answers_boxes.iou(BOX, BOX) == 1.0
    assert answers_boxes.iou(BOX, (20.0, 20.0, 40.0, 40.0)) == pytest.approx(1 / 3)
    assert answers_boxes.iou(BOX, (30.0, 40.0, 50.0, 60.0)) == 0.0


def test_overlap_matches_one_to_one():
    near = (10.0, 20.0, 30.0, 38.0)  # IoU 0.9 with BOX
    assert answers_boxes.overlap([OTHER, BOX], [BOX, OTHER], least=0.5) == 1.0
    assert answers_boxes.overlap([near], [BOX], least=0.5) == pytest.approx(0.9)
    assert answers_boxes.overlap([near], [BOX], least=0.95) == 0.0
    # The better of two claims, and the other one costs.
    assert answers_boxes.overlap([near, BOX], [BOX], least=0.5) == pytest.approx(0.5)
    assert answers_boxes.overlap([BOX], [BOX, OTHER], least=0.5) == pytest.approx(0.5)


def test_matching_is_the_best_one_not_the_first():
    # Greedy pairing would take the 1.0 and leave nothing for the other gold.
    gold = [(0.0, 0.0, 10.0, 10.0), (0.0, 0.0, 10.0, 14.0)]
    found = [(0.0, 0.0, 10.0, 10.0), (0.0, 0.0, 10.0, 6.0)]
    total = answers_boxes.overlap(found, gold, least=0.5)
    pairs = [10 / 14 + 6 / 10, 1.0 + 0.0]
    assert total == pytest.approx(max(pairs) / 2)
    assert not math.isclose(total, pairs[1] / 2)


@pytest.mark.parametrize(
    ("response", "correct"),
    [("[10, 20, 30, 38]", True), ("[10, 20, 20, 30]", False), ("here", False)],
)
def test_the_judge_counts_half_of_iou(response, correct):
    verdict = answers.judge(response, gold="[10, 20, 30, 40]", answer_type="box")
    assert verdict.correct is correct
