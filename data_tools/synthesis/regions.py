# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Regions of a picture: the smallest boxes around what a mask shows, and boxes drawn in.

Axes: H rows, W columns.
"""

import io
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from data_tools import examples
from data_tools import rows as rows_lib
from data_tools.synthesis import seeds as seeds_lib
from lingshu_jax.data import images

LEAST_AREA = 16  # pixels; what is smaller is taken for a speck
MOST_PARTS = 64  # of a mask, the largest ones
# Bright colours, none of which is common in medical pictures; the one that stands out is taken.
COLOURS = ((255, 255, 0), (0, 255, 255), (255, 0, 255), (0, 255, 0), (255, 128, 0), (64, 96, 255))
_LEAST_WIDTH = 2  # of a line, in pixels
_SIDE_PER_WIDTH = 256
_SIDE_PER_FONT = 28
_FONTS = range(10, 65)
_NEAR = 10  # percentile of the distances to the pixels under a line that a colour is judged by
_DARK = 128
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_TOUCHING = np.ones((3, 3), int)  # corners count


class _Pen(NamedTuple):
    """What is drawn with."""

    drawing: ImageDraw.ImageDraw
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont
    colour: tuple[int, int, int]
    ink: str
    size: tuple[int, int]


def of_mask(
    mask: Bool[np.ndarray, "H W"], label: str, *, least_area: int = LEAST_AREA
) -> list[seeds_lib.Box]:
    """The smallest boxes around the connected parts of a mask; those that touch become one.

    Args:
      mask: True where the structure is.
      label: What it is.
      least_area: Pixels of the smallest part that counts.

    Returns:
      Boxes from the top down; none where every part is too small.
    """
    parts = np.empty(mask.shape, np.int32)
    ndimage.label(mask, structure=_TOUCHING, output=parts)
    areas = np.bincount(parts.ravel())[1:]
    large = [i for i in np.argsort(-areas, kind="stable") if areas[i] >= least_area][:MOST_PARTS]
    found = ndimage.find_objects(parts)
    boxes = [
        seeds_lib.Box(label, columns.start, rows.start, columns.stop, rows.stop)
        for rows, columns in (found[i] for i in large)
    ]
    return merge(boxes)


def merge(boxes: Iterable[seeds_lib.Box]) -> list[seeds_lib.Box]:
    """Boxes of which none touches another one of the same label: those that do become one.

    Args:
      boxes: Any.

    Returns:
      From the top down.
    """
    merged: list[seeds_lib.Box] = []
    for box in boxes:
        grown = box
        while near := [one for one in merged if _touch(one, grown)]:
            merged = [one for one in merged if one not in near]
            for one in near:
                grown = _union(grown, one)
        merged.append(grown)
    return sorted(merged, key=lambda box: (box.top, box.left, box))


def largest(boxes: Sequence[seeds_lib.Box], most: int) -> tuple[seeds_lib.Box, ...]:
    """The largest boxes, of each label one at least, in their order.

    Args:
      boxes: Any.
      most: So many; 0 is all.
    """
    if not most or len(boxes) <= most:
        return tuple(boxes)
    order = sorted(range(len(boxes)), key=lambda i: -_area(boxes[i]))
    first = {boxes[i].label: i for i in reversed(order)}
    leading = sorted(first.values(), key=order.index)
    chosen = list(dict.fromkeys((*leading, *order)))[:most]
    return tuple(boxes[i] for i in sorted(chosen))


def draw(picture: Image.Image, boxes: Sequence[seeds_lib.Box]) -> Image.Image:
    """A picture with boxes drawn in, numbered from 1, in a colour that stands out.

    Args:
      picture: In RGB.
      boxes: In pixels of it.
    """
    made = picture.copy()
    width = max(_LEAST_WIDTH, round(min(made.size) / _SIDE_PER_WIDTH))
    colour = _contrasting(np.asarray(made), boxes)
    side = min(max(round(min(made.size) / _SIDE_PER_FONT), _FONTS.start), _FONTS.stop - 1)
    ink = "black" if np.dot(colour, _LUMA) >= _DARK else "white"
    pen = _Pen(ImageDraw.Draw(made), ImageFont.load_default(side), colour, ink, made.size)
    for number, box in enumerate(boxes, start=1):
        # Lines lie outside, as far as there is room: what is inside stays to be seen.
        left, top = max(box.left - width, 0), max(box.top - width, 0)
        right = min(box.right + width, made.width) - 1
        bottom = min(box.bottom + width, made.height) - 1
        pen.drawing.rectangle((left, top, right, bottom), outline=colour, width=width)
        _tag(pen, str(number), (left, top, bottom))
    return made


def boxed(medium: rows_lib.Medium, boxes: Sequence[seeds_lib.Box]) -> rows_lib.Medium:
    """A picture of a row with boxes drawn in.

    Args:
      medium: The picture.
      boxes: As of `draw`.

    Raises:
      UserError: If it does not decode.
    """
    made = draw(images.open_image(examples.value(medium)), boxes)
    file = io.BytesIO()
    made.save(file, "PNG")
    return rows_lib.Medium(kind="image", data=file.getvalue())


def legend(boxes: Sequence[seeds_lib.Box]) -> str:
    """What the numbers of drawn boxes stand for, a line for each label.

    Args:
      boxes: As of `draw`.
    """
    numbers: dict[str, list[str]] = {}
    for number, box in enumerate(boxes, start=1):
        numbers.setdefault(box.label, []).append(str(number))
    return "\n".join(f"{', '.join(found)}: {label}" for label, found in numbers.items())


def _touch(one: seeds_lib.Box, other: seeds_lib.Box) -> bool:
    return (
        one.label == other.label
        and one.left <= other.right
        and other.left <= one.right
        and one.top <= other.bottom
        and other.top <= one.bottom
    )


def _union(one: seeds_lib.Box, other: seeds_lib.Box) -> seeds_lib.Box:
    return seeds_lib.Box(
        one.label,
        min(one.left, other.left),
        min(one.top, other.top),
        max(one.right, other.right),
        max(one.bottom, other.bottom),
    )


def _area(box: seeds_lib.Box) -> int:
    return (box.right - box.left) * (box.bottom - box.top)


def _contrasting(
    pixels: UInt8[np.ndarray, "H W 3"], boxes: Sequence[seeds_lib.Box]
) -> tuple[int, int, int]:
    """The colour that is far from nearly all pixels that the lines will cover."""
    under = np.concatenate([_edges(pixels, box) for box in boxes] or [pixels[0]])
    far = [np.percentile(_distances(under, colour), _NEAR) for colour in COLOURS]
    return COLOURS[int(np.argmax(far))]


def _edges(pixels: UInt8[np.ndarray, "H W 3"], box: seeds_lib.Box) -> UInt8[np.ndarray, "N 3"]:
    inside = pixels[box.top : box.bottom, box.left : box.right]
    return np.concatenate([inside[0], inside[-1], inside[:, 0], inside[:, -1]])


def _distances(
    pixels: UInt8[np.ndarray, "N 3"], colour: tuple[int, int, int]
) -> Float[np.ndarray, " N"]:
    return np.linalg.norm(pixels.astype(float) - np.array(colour, float), axis=1)


def _tag(pen: _Pen, text: str, sides: tuple[int, int, int]) -> None:
    """A number on a filled ground, above its box or below it, or in it where there is no room."""
    left, top, bottom = sides
    x0, y0, x1, y1 = pen.drawing.textbbox((0, 0), text, font=pen.font)
    width, height = round(x1 - x0) + 4, round(y1 - y0) + 4
    x = max(min(left, pen.size[0] - width - 1), 0)
    above, below = top - height, bottom + 1
    y = above if above >= 0 else below if below + height < pen.size[1] else top
    pen.drawing.rectangle((x, y, x + width, y + height), fill=pen.colour)
    pen.drawing.text((x + 2 - x0, y + 2 - y0), text, font=pen.font, fill=pen.ink)
