# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""How much of the window slots is padding: many images in rows of so many patches, no text.

`packing_fill.py` prints it, for sizes that are drawn and for those of real images.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from lingshu_jax.common import geometry as geometry_lib
from lingshu_jax.data import images, packing, slots

GEOMETRY = geometry_lib.QWEN2_5_VL
# Side in pixels and share of the images; each side is drawn around it, log-normally.
SIDES = ((256, 0.3), (512, 0.4), (1024, 0.3))
SPREAD = 0.25
MAX_PIXELS = 1280 * 28 * 28
ASKED = 0.01


class Padding(NamedTuple):
    """Some rows of patches.

    Attributes:
      rows: How many.
      slots: That hold a window.
      of_slots: Share of the places in those slots that hold no patch.
      bound: No other placement of the windows inside these rows has a smaller share.
      of_rows: Share of all places of the rows that hold no patch; the last row counts.
    """

    rows: int
    slots: int
    of_slots: float
    bound: float
    of_rows: float


def drawn_grids(count: int, seed: int) -> list[geometry_lib.Grid]:
    """Grids of images of medical-like sizes, the smallest as they are.

    Args:
      count: How many.
      seed: Of the draw.
    """
    rng = np.random.default_rng(seed)
    sides, shares = np.array(SIDES).T
    middle = rng.choice(sides, count, p=shares)[:, None]
    drawn = np.maximum(28, np.rint(middle * rng.lognormal(0.0, SPREAD, (count, 2))))
    limits = {"min_pixels": 28 * 28, "max_pixels": MAX_PIXELS}
    return [geometry_lib.image_grid(int(h), int(w), **limits) for h, w in drawn]


def file_grids(folder: Path, *, min_pixels: int, max_pixels: int) -> list[geometry_lib.Grid]:
    """Grids of the JPEG files of a folder, in the order of their names; headers alone are read.

    Args:
      folder: With `*.jpg`.
      min_pixels: Smaller ones are enlarged.
      max_pixels: Larger ones are shrunk.
    """
    limits = {"min_pixels": min_pixels, "max_pixels": max_pixels}
    paths = sorted(map(str, folder.glob("*.jpg")))
    shapes = [images.read_shape(path, is_video=False) for path in paths]
    return [geometry_lib.image_grid(shape.height, shape.width, **limits) for shape in shapes]


def measure(
    grids: Sequence[geometry_lib.Grid], patches_per_row: int, *, at_a_time: int = 2048
) -> Padding:
    """Packs images into rows as training does and counts.

    Args:
      grids: Of the images, none larger than a row.
      patches_per_row: P.
      at_a_time: Images that are placed together.
    """
    lengths = [
        packing.Length(1, tuple(slots.window_counts(grid, GEOMETRY).tolist())) for grid in grids
    ]
    budget = packing.Budget(tokens=len(grids), patches=patches_per_row)
    plan = packing.plan(lengths, budget, geometry=GEOMETRY, window=at_a_time)
    assert not plan.oversize
    return of_rows(lengths, plan.rows, patches_per_row)


def of_rows(
    lengths: Sequence[packing.Length], rows: Iterable[Sequence[int]], patches_per_row: int
) -> Padding:
    """Counts what a plan leaves empty.

    Args:
      lengths: Of all examples.
      rows: Numbers of the examples of each row.
      patches_per_row: P.
    """
    held = [np.sum([lengths[i].windows for i in row], axis=0) for row in rows]
    cells = sum(int(windows @ np.arange(1, len(windows) + 1)) for windows in held)
    used = sum(slots.slots_needed(tuple(windows.tolist())) for windows in held)
    fewest = sum(map(fewest_slots, held))
    places = len(held) * patches_per_row // GEOMETRY.cell_patches
    of_slots, bound = (1 - cells / max(1, n * GEOMETRY.slot_cells) for n in (used, fewest))
    return Padding(len(held), used, of_slots, bound, 1 - cells / places)


def fewest_slots(windows: Int[np.ndarray, " cells"]) -> int:
    """A number of slots that no placement of these windows goes below.

    Windows above half a slot never share one, and those below a size fill at most the rooms that
    are left beside them (the bound L2 of Martello and Toth, Knapsack Problems, 1990, 8.3).

    Args:
      windows: How many of 1, 2, ... cells.
    """
    room = len(windows)
    sizes, half = np.arange(1, room + 1), room // 2
    bounds = [math.ceil(windows @ sizes / room)]
    for least in range(half + 1):
        alone = windows[sizes > half].sum()
        beside = (sizes > half) & (sizes <= room - least)
        rooms = windows[beside] @ (room - sizes[beside])
        small = (sizes >= least) & (sizes <= half)
        bounds.append(alone + max(0, math.ceil((windows[small] @ sizes[small] - rooms) / room)))
    return int(max(bounds))
