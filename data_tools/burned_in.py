# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Finds text that is burned into pictures, and covers it; no weights.

Text is rows of small parts, the letters, that stand out from what is around them, have about one
height, one brightness and one width of stroke, and stand on a line. Parts are looked for in the
picture and in smaller copies of it, bright ones and dark ones, at several steps of contrast.

Single letters, as the L and R of a side, are not found: they name nobody. What is printed larger
than a twelfth or so of the picture, turned on its side or written by hand is not found either.

Axes: H rows, W columns, N parts.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image
from scipy import ndimage, sparse, spatial

VERSION = 1  # changes with what is found

CONTRASTS = (32, 64, 112)  # steps of grey by which letters stand out
LOW, HIGH = 5, 34  # height of letters, pixels, of the copy that is looked at
STROKE = 9  # widest stroke, pixels
SMALLEST_SIDE = 48
FEWEST = 4  # letters of a text
FEWEST_PARTS = {1: 3, 2: 3, 4: 5}  # of a text, in each copy; letters that touch are one part
ALIGNED = 1.4  # share of the letters that stand on the line, and of those that reach as high
EVEN_HEIGHT, EVEN_SHADE = 0.3, 20.0  # spread of letters, of their height and in steps of grey
TALLEST = 2.2  # of a line, heights of a letter
# Rise at the edge of letters, of how far they stand out; anatomy is sharper in smaller copies.
SHARP = {1: 1.0, 2: 1.1, 4: 1.2}
SAME_SHADE, SPACE = 32, 1.6  # of a text's signs; between its words, heights of a letter
MOST_EMPTY = 0.15  # that the box around two adds, of the smaller one's area
MOST_PARTS = 40_000  # of a step; a picture of so many holds no text that could be told


class Box(NamedTuple):
    """A text, as pixels of a picture; `right` and `bottom` are the first behind it."""

    left: int
    top: int
    right: int
    bottom: int


class _Parts(NamedTuple):
    """Connected parts of one step; boxes as in `Box`."""

    boxes: Int[np.ndarray, "N 4"]
    level: Float[np.ndarray, " N"]
    sharp: Float[np.ndarray, " N"]

    def some(self, chosen: np.ndarray) -> "_Parts":
        """Those of a mask or of indices."""
        return _Parts(*(values[chosen] for values in self))


def find(image: UInt8[np.ndarray, "H W"]) -> list[Box]:
    """Where there may be text, of letters of about 8 pixels and more.

    Args:
      image: Grey values.

    Returns:
      Boxes from top to bottom, none of them within another.
    """
    found: list[Box] = []
    for factor, small in _copies(image):
        steep = _extreme(np.maximum, small, 3) - _extreme(np.minimum, small, 3)
        for seen in (small, 255 - small):
            for box in _texts(seen, steep, factor):
                found.append(_clipped([factor * side for side in box], image.shape))
    return union(found)


def union(boxes: Iterable[Box]) -> list[Box]:
    """The same texts in fewer boxes, from top to bottom.

    Boxes become one where that covers little else: those of lines that only touch stay apart.

    Args:
      boxes: Of one picture, or of several frames of one size.
    """
    made: list[Box] = []
    for box in sorted(set(boxes), key=_area, reverse=True):
        while other := next((one for one in made if _are_one(one, box)), None):
            made.remove(other)
            box = _around(one=other, two=box)
        made.append(box)
    return sorted(made, key=lambda box: (box.top, box.left))


def _area(box: Box) -> int:
    return max(0, box.right - box.left) * max(0, box.bottom - box.top)


def _around(one: Box, two: Box) -> Box:
    ends = max(one.right, two.right), max(one.bottom, two.bottom)
    return Box(min(one.left, two.left), min(one.top, two.top), *ends)


def _are_one(one: Box, two: Box) -> bool:
    ends = min(one.right, two.right), min(one.bottom, two.bottom)
    both = _area(Box(max(one.left, two.left), max(one.top, two.top), *ends))
    empty = _area(_around(one, two)) - (_area(one) + _area(two) - both)
    return empty <= MOST_EMPTY * min(_area(one), _area(two))


def mask(image: UInt8[np.ndarray, "H W"], boxes: Sequence[Box]) -> UInt8[np.ndarray, "H W"]:
    """A copy without what the boxes cover: each has the median of the pixels around it.

    Args:
      image: Grey values; a channel of a coloured picture.
      boxes: From `find`.
    """
    made = image.copy()
    for left, top, right, bottom in boxes:
        wide = max(2, (bottom - top) // 2)
        around = image[max(0, top - wide) : bottom + wide, max(0, left - wide) : right + wide]
        ring = np.ones(around.shape, bool)
        ring[min(wide, top) :, min(wide, left) :][: bottom - top, : right - left] = False
        made[top:bottom, left:right] = np.median(around[ring]) if ring.any() else 0
    return made


def _copies(image: UInt8[np.ndarray, "H W"]) -> Iterator[tuple[int, UInt8[np.ndarray, "H W"]]]:
    picture = Image.fromarray(image)
    for factor in SHARP:
        if factor > 1 and min(image.shape) < factor * SMALLEST_SIDE:
            return
        yield factor, np.asarray(picture.reduce(factor) if factor > 1 else picture)


def _texts(
    image: UInt8[np.ndarray, "H W"], steep: UInt8[np.ndarray, "H W"], factor: int
) -> Iterator[Box]:
    """Bright texts of a copy."""
    opened = _extreme(np.maximum, _extreme(np.minimum, image, STROKE), STROKE)
    raised = image - opened
    for contrast in CONTRASTS:
        parts, signs = _parts(image, raised, steep, contrast)
        if len(parts.boxes) >= FEWEST_PARTS[factor]:
            yield from _lines(parts, signs, factor)


def _extreme(pick: np.ufunc, image: np.ndarray, size: int) -> np.ndarray:
    """The lowest or highest value of the square around each pixel, as far as there are pixels.

    Much faster than the filters of `scipy.ndimage`: whole rows are compared at a time, and of the
    squares those that grow by doubling.

    Args:
      pick: `np.minimum` or `np.maximum`.
      image: Grey values, or a mask.
      size: Side of the square, odd.
    """
    none = 255 if pick is np.minimum else 0
    for _ in range(2):
        image = np.pad(image, ((size // 2, size // 2), (0, 0)), constant_values=none)
        width = 1
        while width < size:
            step = min(width, size - width)
            image, width = pick(image[:-step], image[step:]), width + step
        image = image.T
    return image


def _parts(
    image: UInt8[np.ndarray, "H W"],
    raised: UInt8[np.ndarray, "H W"],
    steep: UInt8[np.ndarray, "H W"],
    contrast: int,
) -> tuple[_Parts, _Parts]:
    """The connected parts that may be letters, and those that may be any sign of a text."""
    seen = raised > contrast
    labels = np.empty(seen.shape, np.int32)
    ndimage.label(seen, np.ones((3, 3)), output=labels)
    count = int(labels.max(initial=0))
    flat = labels.ravel()
    inside = np.flatnonzero(seen)
    of = flat[inside]
    boxes = _boxes(of, inside, count, seen.shape[1])
    area = np.bincount(of, minlength=count + 1)[1:]
    core = _extreme(np.minimum, seen, 3)
    edge = np.flatnonzero(seen & ~core)
    at_edge = flat[edge]
    sums = [np.bincount(at_edge, one.ravel()[edge], count + 1)[1:] for one in (steep, raised)]
    sharp = sums[0] / np.maximum(sums[1], 1)
    level = _level(of, image.ravel()[inside], count)
    parts = _Parts(boxes, level, sharp)
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    filled = area / np.maximum(width * height, 1)
    small = (height <= 1.5 * HIGH) & (width <= 6 * HIGH)
    good = (height >= LOW) & (height <= HIGH) & (width <= 6 * height) & (filled > 0.12)
    good &= (filled < 0.95) | (width < 0.5 * height)
    if good.sum() > MOST_PARTS:
        good[:] = False
    return parts.some(good), parts.some(small)


def _boxes(
    of: Int[np.ndarray, " P"], places: Int[np.ndarray, " P"], count: int, columns: int
) -> Int[np.ndarray, "N 4"]:
    """The box of each part, from the places of its pixels in the flattened picture."""
    y, x = np.divmod(places, columns)
    ends = np.full((2, count + 1), places.max(initial=0) + 1), np.zeros((2, count + 1), np.int64)
    for axis, values in enumerate((x, y)):
        np.minimum.at(ends[0][axis], of, values)
        np.maximum.at(ends[1][axis], of, values + 1)
    return np.concatenate(ends)[:, 1:].T


def _level(
    of: Int[np.ndarray, " P"], values: UInt8[np.ndarray, " P"], count: int
) -> Float[np.ndarray, " N"]:
    """The upper quartile of the values of each part."""
    order = np.lexsort((values, of))
    starts = np.searchsorted(of[order], np.arange(1, count + 1))
    ends = np.searchsorted(of[order], np.arange(1, count + 1), side="right")
    return values[order][np.minimum(starts + (ends - starts) * 3 // 4, len(of) - 1)].astype(
        np.float64
    )


def _lines(parts: _Parts, signs: _Parts, factor: int) -> Iterator[Box]:
    """Rows of letters."""
    left, top, right, bottom = parts.boxes.T
    height = bottom - top
    tree = spatial.KDTree(np.stack([(left + right) / 2, (top + bottom) * 1.5], -1))
    pairs = tree.query_pairs(3.0 * HIGH, output_type="ndarray")
    if not len(pairs):
        return
    one, two = pairs.T
    low, high = np.minimum(height[one], height[two]), np.maximum(height[one], height[two])
    overlap = np.minimum(bottom[one], bottom[two]) - np.maximum(top[one], top[two])
    gap = np.maximum(left[one], left[two]) - np.minimum(right[one], right[two])
    on_line = np.minimum(abs(bottom[one] - bottom[two]), abs(top[one] - top[two]))
    level = abs(parts.level[one] - parts.level[two])
    good = (overlap >= 0.6 * low) & (high <= 2.0 * low + 1) & (gap <= 0.8 * high)
    good &= (gap >= -0.3 * high) & (on_line <= 0.2 * high + 1) & (level <= 40)
    graph = sparse.coo_array((np.ones(good.sum()), (one[good], two[good])), (len(height),) * 2)
    _, groups = sparse.csgraph.connected_components(graph, directed=False)
    order = np.argsort(groups, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        if len(members) >= FEWEST_PARTS[factor] and (
            box := _text(parts.some(members), signs, factor)
        ):
            yield box


def _text(parts: _Parts, signs: _Parts, factor: int) -> Box | None:
    """The box of a row of letters, if they look like one text."""
    left, top, right, bottom = parts.boxes.T
    height, width = bottom - top, right - left
    usual = float(np.median(height))
    # Letters that touch count as several.
    letters = np.maximum(1, np.rint(width / (0.75 * usual))).sum()
    if letters < FEWEST or bottom.max() - top.min() > TALLEST * usual:
        return None
    near = 0.12 * usual + 0.5
    aligned = sum(np.mean(abs(ends - np.median(ends)) <= near) for ends in (bottom, top))
    if aligned < ALIGNED or np.std(height) > EVEN_HEIGHT * usual:
        return None
    if np.std(parts.level) > EVEN_SHADE or np.median(parts.sharp) < SHARP[factor]:
        return None
    return _grown(parts, signs, usual)


def _grown(parts: _Parts, signs: _Parts, usual: float) -> Box:
    """The box with the signs of the same shade that follow or stand before it, and a margin."""
    left, right = int(parts.boxes[:, 0].min()), int(parts.boxes[:, 2].max())
    top, bottom = int(parts.boxes[:, 1].min()), int(parts.boxes[:, 3].max())
    middle = (signs.boxes[:, 1] + signs.boxes[:, 3]) / 2
    near = (middle > top - 0.2 * usual) & (middle < bottom + 0.3 * usual)
    near &= signs.boxes[:, 3] - signs.boxes[:, 1] <= 2 * usual
    near &= signs.sharp >= SHARP[1]
    near &= abs(signs.level - np.median(parts.level)) <= SAME_SHADE
    starts, _, ends, _ = signs.boxes[near].T
    while True:
        reached = (ends > left - SPACE * usual) & (starts < right + SPACE * usual)
        wider = (
            min(left, int(starts[reached].min(initial=left))),
            max(right, int(ends[reached].max(initial=right))),
        )
        if wider == (left, right):
            break
        left, right = wider
    pad = 0.35 * usual + 1
    return Box(int(left - pad), int(top - pad), int(right + pad), int(bottom + pad))


def _clipped(box: Sequence[float], shape: tuple[int, ...]) -> Box:
    left, top, right, bottom = box
    return Box(
        max(0, int(left)), max(0, int(top)), min(shape[1], int(right)), min(shape[0], int(bottom))
    )
