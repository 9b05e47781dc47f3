# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A flat page as a photograph of it: turned, seen aslant, unevenly lit, a little blurred and noisy.

No trigonometry, no linear algebra and no floating-point arrays: plain Python and Pillow give the
same bytes everywhere.
"""

import io
import random
from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image, ImageChops, ImageFilter

LEAST_SCALE = 0.93  # of a small part of the page, by the slant
_TURN = 0.03  # tangent of half the angle: 3.4 degrees
_SLANT = 0.02  # of a side, by which a corner is drawn outwards
_SURROUND = (0.01, 0.04)  # of a side, around the page
_DESKS = ((96, 78, 60), (70, 72, 78), (128, 110, 92), (52, 60, 58), (150, 148, 144))
_LIGHT = (175, 255)  # of 255, at the points of a grid
_GRID = 3
_BLUR = (0.2, 0.6)  # pixels
_NOISE = (4, 18)  # levels from the darkest to the brightest
_QUALITY = (65, 92)  # of JPEG

Point = tuple[float, float]


class Placed(NamedTuple):
    """Where the corners of a page lie in the picture.

    Attributes:
      corners: Upper left, upper right, lower right, lower left; x and y in pixels.
      width: Of the picture.
      height: Likewise.
    """

    corners: tuple[Point, Point, Point, Point]
    width: int
    height: int


def take(page: Image.Image, rng: random.Random) -> bytes:
    """A JPEG file of the page, with nothing beside the pixels.

    Args:
      page: In red, green and blue.
      rng: Every chance comes from it.
    """
    placed = place(page.width, page.height, rng)
    shown = page.transform(
        (placed.width, placed.height),
        Image.Transform.PERSPECTIVE,
        coefficients(placed.corners, page.width, page.height),
        Image.Resampling.BICUBIC,
        fillcolor=rng.choice(_DESKS),
    )
    shown = shown.filter(ImageFilter.GaussianBlur(rng.uniform(*_BLUR)))
    shown = _noisy(ImageChops.multiply(shown, _light(shown.size, rng)), rng)
    file = io.BytesIO()
    shown.save(file, "JPEG", quality=rng.randint(*_QUALITY))
    return file.getvalue()


def place(width: int, height: int, rng: random.Random) -> Placed:
    """Turns the page and draws its corners outwards: no part of it becomes smaller by much.

    Args:
      width: Of the page.
      height: Likewise.
      rng: Every chance comes from it.
    """
    half = rng.uniform(-_TURN, _TURN)
    cosine, sine = (1 - half * half) / (1 + half * half), 2 * half / (1 + half * half)
    turned: list[Point] = []
    for right, down in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        x = right * width * (0.5 + rng.uniform(0, _SLANT))
        y = down * height * (0.5 + rng.uniform(0, _SLANT))
        turned.append((cosine * x - sine * y, sine * x + cosine * y))
    edge = rng.uniform(*_SURROUND) * (width + height) / 2
    left, top = min(x for x, _ in turned) - edge, min(y for _, y in turned) - edge
    first, second, third, fourth = ((x - left, y - top) for x, y in turned)
    return Placed(
        (first, second, third, fourth),
        round(max(x for x, _ in turned) - left + edge),
        round(max(y for _, y in turned) - top + edge),
    )


def coefficients(corners: Sequence[Point], width: int, height: int) -> tuple[float, ...]:
    """The eight numbers that lead from the picture back to the page, as Pillow takes them.

    Args:
      corners: Of the page in the picture, as of `Placed`.
      width: Of the page.
      height: Likewise.
    """
    # From the unit square to a quadrangle in closed form (Heckbert, Fundamentals of Texture
    # Mapping and Image Warping, 1989), then the adjugate for the way back.
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = corners
    dx1, dx2, dy1, dy2 = x1 - x2, x3 - x2, y1 - y2, y3 - y2
    sx, sy = x0 - x1 + x2 - x3, y0 - y1 + y2 - y3
    area = dx1 * dy2 - dx2 * dy1
    g, h = (sx * dy2 - dx2 * sy) / area, (dx1 * sy - sx * dy1) / area
    a, b, c = x1 - x0 + g * x1, x3 - x0 + h * x3, x0
    d, e, f = y1 - y0 + g * y1, y3 - y0 + h * y3, y0
    back = (
        (e - f * h, c * h - b, b * f - c * e),
        (f * g - d, a - c * g, c * d - a * f),
        (d * h - e * g, b * g - a * h, a * e - b * d),
    )
    scales = (width, height, 1)
    whole = [
        scales[row] * back[row][column] / back[2][2] for row in range(3) for column in range(3)
    ]
    return tuple(whole[:8])


def _light(size: tuple[int, int], rng: random.Random) -> Image.Image:
    """Brighter and darker regions that pass into each other."""
    grid = Image.new("L", (_GRID, _GRID))
    grid.putdata([rng.randint(*_LIGHT) for _ in range(_GRID * _GRID)])
    spread = grid.resize(size, Image.Resampling.BICUBIC)
    return Image.merge("RGB", [spread] * 3)


def _noisy(picture: Image.Image, rng: random.Random) -> Image.Image:
    levels = rng.randint(*_NOISE)
    # Two equal chances added: weak noise is more frequent than strong.
    first, second = (
        Image.frombytes("L", picture.size, rng.randbytes(picture.width * picture.height))
        for _ in range(2)
    )
    scale = [(value * levels + 127) // 255 for value in range(256)]
    noise = ImageChops.add(first, second, scale=2).point(scale)
    grains = Image.merge("RGB", [noise] * 3)
    return ImageChops.add(picture, grains, scale=1, offset=-(levels // 2))
