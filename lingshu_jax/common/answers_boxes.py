# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Boxes in pictures: from the text of an answer to boxes, and how well they cover the gold's.

A box is [x1, y1, x2, y2] with x1 < x2 and y1 < y2, in whatever unit the gold has. Read are JSON,
as [10, 20, 30, 40], lists of such and Qwen2.5-VL's own {"bbox_2d": [10, 20, 30, 40], "label": "x"},
and the corners (10, 20), (30, 40). All numbers must belong to a box, and one box that is none
spoils the answer.
"""

import json
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from lingshu_jax.common import answers_text

Box = tuple[float, float, float, float]

MAX_BOXES = 100
RIGHT_IOU = 0.5  # of a box that is found, as detection counts it (Everingham et al., VOC 2010)

_KEYS = ("bbox_2d", "bbox", "box")
_N = r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*"
_CORNERS = re.compile(rf"\({_N},{_N}\)\s*(?:,|-|to|and)?\s*\({_N},{_N}\)")
_FLAT = re.compile(rf"\[{_N},{_N},{_N},{_N}\]|\({_N},{_N},{_N},{_N}\)")
_NESTED = re.compile(rf"\[\s*\[{_N},{_N}\]\s*,\s*\[{_N},{_N}\]\s*\]")
_FENCE = re.compile(r"```[a-z]*\n?|<\|(?:box|object_ref)_(?:start|end)\|>")
_AROUND = " \t\r\n*_`\"'.,;:!。"
# Between boxes and around them: words, but no further number and no bracket that was not read.
_REST = re.compile(r"[^\d\[\]{}]*")


def parse(text: str) -> list[Box] | None:
    """The boxes that a text holds.

    Args:
      text: What stands in the answer container, normalised.

    Returns:
      In order; None if there are none, more than MAX_BOXES, or anything else that looks like one.
    """
    plain = answers_text.without_lead(_FENCE.sub(" ", text))
    # A closing brace alone is what is left of {"answer": [...]} behind its key.
    plain = plain.strip(_AROUND if "{" in plain else _AROUND + "}")
    numbers = _of_json(plain)
    if numbers is None:
        numbers = _of_text(plain)
    boxes = [box for box in map(_box, numbers) if box is not None]
    if not boxes or len(boxes) < len(numbers) or len(boxes) > MAX_BOXES:
        return None
    return boxes


def extract(text: str) -> answers_text.Extraction:
    """`ok` with the boxes as JSON, or `refusal` or `unparsed`."""
    boxes = parse(text)
    if boxes is None:
        return answers_text.refusal_or_unparsed(text)
    return answers_text.Extraction("ok", json.dumps(boxes))


def iou(box: Box, other: Box) -> float:
    """Intersection over union, in [0, 1]."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    shared = max(width, 0.0) * max(height, 0.0)
    return shared / (_area(box) + _area(other) - shared)


def overlap(found: Sequence[Box], gold: Sequence[Box], *, least: float) -> float:
    """How well boxes cover the gold's: matched one to one, the sum of IoU over the larger number.

    A box too many costs as much as a box too few, so many guesses are no way to a match.

    Args:
      found: At least one.
      gold: At least one.
      least: A pair of smaller IoU is no match and counts 0; the whole picture matches nothing.

    Returns:
      In [0, 1]; 1 for equal sets of boxes.
    """
    from scipy import optimize

    table = np.array([[iou(box, other) for other in gold] for box in found])
    table[table < least] = 0.0
    rows, columns = optimize.linear_sum_assignment(table, maximize=True)
    return float(table[rows, columns].sum()) / max(len(found), len(gold))


def _of_json(text: str) -> list[Any] | None:
    """The entries of a JSON answer that should be boxes; None if it is no JSON."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, dict):
        for key in (*_KEYS, "boxes", "answer"):
            if isinstance(value.get(key), list):
                return _entries(value[key])
        return []
    return _entries(value)


def _entries(value: Any) -> list[Any]:
    if not isinstance(value, list):
        return []
    if len(value) == 4 and not any(isinstance(item, list | dict) for item in value):
        return [value]
    return [_flat(item) for item in value]


def _flat(item: Any) -> Any:
    if isinstance(item, dict):
        return next((item[key] for key in _KEYS if key in item), None)
    return item


def _of_text(text: str) -> list[Any]:
    """Boxes in running text; none where a number or a bracket is left over."""
    found: list[list[float]] = []
    rest = text
    for pattern in (_NESTED, _CORNERS, _FLAT):
        for match in pattern.finditer(rest):
            found.append([float(number) for number in match.groups() if number is not None])
        rest = pattern.sub(" ", rest)
    rest = rest.strip()
    if rest[:1] == "[" and rest[-1:] == "]":  # a list of pairs of corners
        rest = rest[1:-1]
    return found if _REST.fullmatch(rest) else []


def _box(numbers: Any) -> Box | None:
    if not isinstance(numbers, list) or len(numbers) != 4:
        return None
    if any(isinstance(n, bool) or not isinstance(n, int | float) for n in numbers):
        return None
    if not all(abs(n) < 1e9 and math.isfinite(n) for n in numbers):
        return None
    x1, y1, x2, y2 = map(float, numbers)
    return (x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
