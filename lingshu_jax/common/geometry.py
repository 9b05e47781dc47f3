# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Image sizes, visual token counts, vision windows and M-RoPE positions; numpy only.

A *patch* is 14 x 14 pixels of two frames. A *cell* is a 2 x 2 square of patches, which the
merger turns into one visual token. Natural order is (frame, cell row, cell column, 2, 2).

Axes: N tokens of one sequence.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32

from lingshu_jax.common import errors

MAX_ASPECT_RATIO = 200

# By channel, of values 0..1: what every Qwen2.5-VL preprocessor_config.json holds (CLIP's).
PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)


class Grid(NamedTuple):
    """Size of one image or video in patches: frames (pairs of pictures), rows, columns."""

    t: int
    h: int
    w: int


@dataclasses.dataclass(frozen=True)
class VisionGeometry:
    """The sizes that tie pixels to patches, windows and visual tokens.

    Attributes:
      patch_size: Side of a patch, pixels.
      temporal_patch_size: Pictures in a patch; a still image is repeated to this length.
      merge_size: Side of a cell, patches.
      window_size: Side of an attention window, pixels.
      tokens_per_second: Temporal positions of one second of video.
    """

    patch_size: int = 14
    temporal_patch_size: int = 2
    merge_size: int = 2
    window_size: int = 112
    tokens_per_second: float = 2.0

    @property
    def factor(self) -> int:
        """Side of a cell in pixels; image sides are multiples of it."""
        return self.patch_size * self.merge_size

    @property
    def window_cells(self) -> int:
        """Side of a full window, cells."""
        return self.window_size // self.factor

    @property
    def cell_patches(self) -> int:
        """Patches of one cell, 4."""
        return self.merge_size**2

    @property
    def slot_cells(self) -> int:
        """Cells of a full window, 16, which is the size of a window slot."""
        return self.window_cells**2

    @property
    def slot_patches(self) -> int:
        """Patches of a full window, 64, which is the size of a window slot."""
        return self.slot_cells * self.cell_patches

    @property
    def patch_dim(self) -> int:
        """Values of one patch, 3 * 2 * 14 * 14 = 1176."""
        return 3 * self.temporal_patch_size * self.patch_size**2

    def num_patches(self, grid: Grid) -> int:
        """Patches of an image or video."""
        return grid.t * grid.h * grid.w

    def num_tokens(self, grid: Grid) -> int:
        """Visual tokens of an image or video, after merging."""
        return self.num_patches(grid) // self.cell_patches


QWEN2_5_VL = VisionGeometry()


def smart_resize(
    height: int, width: int, *, min_pixels: int, max_pixels: int, factor: int = 28
) -> tuple[int, int]:
    """The size to which an image is resized before it is cut into patches.

    Both sides become multiples of `factor` and the area is brought between the limits, the
    aspect ratio kept as well as that allows. Ties round half to even. Because no side falls
    below `factor`, an area above `max_pixels` remains possible at extreme aspect ratios.

    Args:
      height: Pixels, > 0.
      width: Pixels, > 0.
      min_pixels: Smallest area of the result.
      max_pixels: Largest area of the result.
      factor: What each side must be a multiple of.

    Returns:
      Height and width in pixels.

    Raises:
      UserError: If a side is not positive or the aspect ratio is above 200.

    Source: Qwen2.5-VL image processor of transformers >= 4.57, which has the lower bound of
    `factor` in the shrinking branch.
    """
    if min(height, width) < 1:
        raise errors.UserError(f"image size must be positive, got {height} x {width}")
    if max(height, width) / min(height, width) > MAX_ASPECT_RATIO:
        raise errors.UserError(
            f"image aspect ratio must be at most {MAX_ASPECT_RATIO}, got {height} x {width}"
        )
    new_height = round(height / factor) * factor
    new_width = round(width / factor) * factor
    if new_height * new_width > max_pixels:
        scale = math.sqrt(height * width / max_pixels)
        new_height = max(factor, math.floor(height / scale / factor) * factor)
        new_width = max(factor, math.floor(width / scale / factor) * factor)
    elif new_height * new_width < min_pixels:
        scale = math.sqrt(min_pixels / (height * width))
        new_height = math.ceil(height * scale / factor) * factor
        new_width = math.ceil(width * scale / factor) * factor
    return new_height, new_width


def image_grid(
    height: int,
    width: int,
    *,
    min_pixels: int,
    max_pixels: int,
    geometry: VisionGeometry = QWEN2_5_VL,
) -> Grid:
    """The patch grid of a still image of the given size; `smart_resize` decides it."""
    new_height, new_width = smart_resize(
        height, width, min_pixels=min_pixels, max_pixels=max_pixels, factor=geometry.factor
    )
    return Grid(1, new_height // geometry.patch_size, new_width // geometry.patch_size)


def windows(grid: Grid, geometry: VisionGeometry = QWEN2_5_VL) -> list[Int32[np.ndarray, " cells"]]:
    """The attention windows of an image or video, each as its natural cell indices.

    Frames come first, then windows row by row, then cells row by row. Windows at the right and
    lower edges hold fewer cells; nothing is padded and no window is empty.

        grid (1, 4, 6) = 2 x 3 cells -> [[0, 1, 2, 3, 4, 5]]
        grid (1, 4, 10) = 2 x 5 cells -> [[0, 1, 2, 3, 5, 6, 7, 8], [4, 9]]
    """
    rows, columns = grid.h // geometry.merge_size, grid.w // geometry.merge_size
    cells = np.arange(grid.t * rows * columns, dtype=np.int32).reshape(grid.t, rows, columns)
    side = geometry.window_cells
    return [
        cells[frame, row : row + side, column : column + side].reshape(-1)
        for frame in range(grid.t)
        for row in range(0, rows, side)
        for column in range(0, columns, side)
    ]


class MediaSpan(NamedTuple):
    """Where the visual tokens of one image or video stand in a sequence.

    Attributes:
      start: Index of the first visual token.
      grid: Its size in patches.
      seconds_per_grid: Video time from one frame of the grid to the next; None for an image.
    """

    start: int
    grid: Grid
    seconds_per_grid: float | None = None


def mrope_positions(
    num_tokens: int, media: Sequence[MediaSpan], geometry: VisionGeometry = QWEN2_5_VL
) -> Int32[np.ndarray, "3 N"]:
    """Temporal, row and column positions of every token of one sequence.

    A text token adds one on all three axes. The visual tokens of an image share one temporal
    position and count rows and columns from it; those of a video also advance in time, by
    `seconds_per_grid * tokens_per_second` a frame, truncated. Text goes on one after the
    largest position so far.

    Args:
      num_tokens: Length of the sequence.
      media: Its images and videos in order of `start`, not overlapping.
      geometry: Sizes of a cell and of a second.

    Returns:
      The positions, int32.

    Source: Qwen's own fine-tuning code (rope2d, `get_rope_index_25`). Differs from transformers
    for videos: the versions of it disagree with each other.
    """
    positions = np.empty((3, num_tokens), np.int32)
    done, following = 0, 0
    for start, grid, seconds_per_grid in media:
        text = start - done
        positions[:, done:start] = np.arange(following, following + text)
        block = _media_block(grid, seconds_per_grid, geometry) + (following + text)
        done = start + block.shape[1]
        positions[:, start:done] = block
        following = int(block.max()) + 1
    positions[:, done:] = np.arange(following, following + num_tokens - done)
    return positions


def _media_block(
    grid: Grid, seconds_per_grid: float | None, geometry: VisionGeometry
) -> Int32[np.ndarray, "3 N"]:
    """Positions of one image or video relative to its start."""
    shape = (grid.t, grid.h // geometry.merge_size, grid.w // geometry.merge_size)
    frames, rows, columns = np.indices(shape, np.int32).reshape(3, -1)
    # float32, and the product before the truncation: the order of the original.
    seconds = frames.astype(np.float32) * np.float32(seconds_per_grid or 0.0)
    times = (seconds * np.float32(geometry.tokens_per_second)).astype(np.int32)
    return np.stack([times, rows, columns])
