# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Vision windows in slots.

A slot has the size of one full window (16 cells = 64 patches); smaller windows share slots and
are told apart by ids. Windows are placed from the largest to the smallest, each into the slot
with the least room that suffices, so the number of slots depends on the sizes alone.

Axes: P patches of a row, M = P / 4 cells, W = P / 64 slots.
"""

import functools
import heapq
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int, Int32

from lingshu_jax.common import errors
from lingshu_jax.common import geometry as geometry_lib


@functools.lru_cache(maxsize=65536)
def window_counts(
    grid: geometry_lib.Grid, geometry: geometry_lib.VisionGeometry
) -> Int[np.ndarray, " cells"]:
    """How many windows of 1, 2, ... cells an image has; as long as a slot has cells."""
    sizes = [len(window) for window in geometry_lib.windows(grid, geometry)]
    counts = np.bincount(sizes, minlength=geometry.slot_cells + 1)[1:]
    counts.flags.writeable = False
    return counts


@functools.lru_cache(maxsize=65536)
def slots_needed(counts: tuple[int, ...]) -> int:
    """Slots that hold these windows.

    Args:
      counts: How many windows of 1, 2, ... cells; the length is the cells of a slot.

    Returns:
      The number of slots that `gather_arrays` uses for them, whatever their order.
    """
    capacity = len(counts)
    free = [0] * (capacity + 1)  # how many slots have so many free cells
    slots = 0
    for size in range(capacity, 0, -1):
        left = counts[size - 1]
        for room in range(size, capacity):
            if left and free[room]:
                left -= _fill(free, room, size, min(left, free[room] * (room // size)))
        if left:
            opened = -(-left // (capacity // size))
            slots += opened
            free[capacity] = opened
            _fill(free, capacity, size, left)
    return slots


def _fill(free: list[int], room: int, size: int, count: int) -> int:
    """Puts `count` windows into slots with `room` free cells, one slot after the other."""
    each = room // size
    whole, rest = divmod(count, each)
    free[room] -= whole + (rest > 0)
    free[room - each * size] += whole
    if rest:
        free[room - rest * size] += 1
    return count


def gather_arrays(
    grids: Sequence[geometry_lib.Grid],
    *,
    num_patches: int,
    geometry: geometry_lib.VisionGeometry,
) -> dict[str, np.ndarray]:
    """How the patches of a row are gathered into slots, and its visual tokens back.

    Args:
      grids: The images and videos of the row, in natural order.
      num_patches: P of the row, a multiple of the patches of a slot.
      geometry: Sizes of cells, windows and slots.

    Returns:
      `window_gather` int32[P], `window_ids` int32[W, 64] and `merged_inverse` int32[M], as
      `common.structs.Images` documents them.

    Raises:
      UserError: If the windows do not fit.
    """
    windows: list[Int32[np.ndarray, " cells"]] = []
    num_cells = 0
    for grid in grids:
        windows += [num_cells + window for window in geometry_lib.windows(grid, geometry)]
        num_cells += geometry.num_tokens(grid)
    cells = num_patches // geometry.cell_patches
    places = _places([len(window) for window in windows], geometry.slot_cells)
    if any(start >= cells for start, _ in places):
        raise errors.UserError(
            f"{num_cells * geometry.cell_patches} patches do not fit into the window slots of"
            f" {num_patches} patches"
        )
    gather = np.full(cells, -1, np.int32)
    ids = np.zeros(cells, np.int32)
    inverse = np.zeros(cells, np.int32)
    for window, (start, number) in zip(windows, places, strict=True):
        stop = start + len(window)
        gather[start:stop] = window
        ids[start:stop] = number
        inverse[window] = np.arange(start, stop)
    of_cell = np.arange(geometry.cell_patches, dtype=np.int32)
    patches = gather[:, None] * geometry.cell_patches + of_cell[None]
    return {
        "window_gather": np.where(gather[:, None] < 0, np.int32(num_patches), patches).reshape(-1),
        "window_ids": np.repeat(ids, geometry.cell_patches).reshape(-1, geometry.slot_patches),
        "merged_inverse": inverse,
    }


def _places(sizes: list[int], capacity: int) -> list[tuple[int, int]]:
    """For each window the row's cell where it begins, and its id in its slot."""
    rooms: list[list[int]] = [[] for _ in range(capacity + 1)]  # heaps of slots by free cells
    windows_of: list[int] = []  # number of windows in each slot
    places = [(0, 0)] * len(sizes)
    for window in sorted(range(len(sizes)), key=sizes.__getitem__, reverse=True):
        size = sizes[window]
        room = next((room for room in range(size, capacity + 1) if rooms[room]), capacity)
        if rooms[room]:
            slot = heapq.heappop(rooms[room])
        else:
            slot = len(windows_of)
            windows_of.append(0)
        windows_of[slot] += 1
        places[window] = (slot * capacity + capacity - room, windows_of[slot])
        heapq.heappush(rooms[room - size], slot)
    return places
