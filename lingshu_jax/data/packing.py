# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Packing: first a plan over lengths, then rows of fixed shape.

The plan needs no pixels: best-fit decreasing over some thousand examples at a time, for tokens
and patches together. A row holds at most T tokens and P patches. The patches live in slots of
one full vision window each; smaller windows share slots and none is cut, so the patches of a row
are used up when its slots are.

Axes: T tokens of a row, P patches of a row, M = P / 4 visual tokens, W = P / 64 slots,
N tokens of one conversation.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float32, Int, UInt8

from lingshu_jax.common import errors
from lingshu_jax.common import geometry as geometry_lib
from lingshu_jax.data import images, messages, slots

Normalization = Literal["token", "sequence"]
PLAN_WINDOW = 2048


@dataclasses.dataclass(frozen=True)
class Budget:
    """Fixed size of a row.

    Attributes:
      tokens: Text tokens, visual ones included.
      patches: Image patches, whole window slots.
      sequences: At most so many examples share a row; 0 is as many as fit.
    """

    tokens: int
    patches: int
    sequences: int = 0

    def validate(self, geometry: geometry_lib.VisionGeometry) -> None:
        """Raises UserError unless the row holds something and the patches fill whole slots."""
        if self.tokens < 1:
            raise errors.UserError(f"tokens of a row must be positive, got {self.tokens}")
        if self.patches < 1 or self.patches % geometry.slot_patches:
            raise errors.UserError(
                f"patches of a row must be a positive multiple of {geometry.slot_patches},"
                f" got {self.patches}"
            )


class Length(NamedTuple):
    """What an example needs of a row.

    Attributes:
      tokens: Its tokens.
      windows: How many vision windows of 1, 2, ... cells it has; as long as a slot has cells.
    """

    tokens: int
    windows: tuple[int, ...]

    @property
    def cells(self) -> int:
        """Cells of all windows."""
        return sum(size * count for size, count in enumerate(self.windows, start=1))


class Plan(NamedTuple):
    """Which examples share a row.

    Attributes:
      rows: Indices of the examples of each row.
      oversize: Indices of examples that fit no row by themselves.
    """

    rows: list[list[int]]
    oversize: list[int]


class Lengths(Sequence[Length]):
    """Many lengths, held as two arrays.

    Attributes:
      tokens: Of each.
      windows: Of each, by size.
    """

    def __init__(self, tokens: Int[np.ndarray, " N"], windows: Int[np.ndarray, "N S"]) -> None:
        """Holds the arrays."""
        self.tokens, self.windows = tokens, windows

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice | np.ndarray):
            return Lengths(self.tokens[index], self.windows[index])
        return Length(int(self.tokens[index]), tuple(self.windows[index].tolist()))


def length(encoded: messages.Encoded, geometry: geometry_lib.VisionGeometry) -> Length:
    """The length of an encoded conversation."""
    counts = np.zeros(geometry.slot_cells, np.int64)
    for media in encoded.media:
        counts += slots.window_counts(media.grid, geometry)
    return Length(encoded.num_tokens, tuple(counts.tolist()))


def fits(item: Length, budget: Budget, geometry: geometry_lib.VisionGeometry) -> bool:
    """Whether an example fits into a row by itself."""
    num_slots = budget.patches // geometry.slot_patches
    return item.tokens <= budget.tokens and slots.slots_needed(item.windows) <= num_slots


def token_budget(tokens: int, geometry: geometry_lib.VisionGeometry) -> Budget:
    """A row whose patches never run out before its tokens.

    Args:
      tokens: Of the row; an image has a token a cell, and needs at most a slot a cell.
      geometry: Size of a slot.
    """
    return Budget(tokens, tokens * geometry.slot_patches)


def plan(
    lengths: Sequence[Length],
    budget: Budget,
    *,
    geometry: geometry_lib.VisionGeometry = geometry_lib.QWEN2_5_VL,
    window: int = PLAN_WINDOW,
) -> Plan:
    """Places examples into rows; a pure function of its arguments.

    `window` examples at a time are placed from the largest to the smallest, each into the
    row that it leaves fullest. The emptiest rows of a window are placed again with the next
    one, so that only the last rows of all stay underfilled.

    Args:
      lengths: What each example needs, in the order of the epoch.
      budget: What a row holds.
      geometry: Size of a slot.
      window: Examples placed together, > 0. More fill better and mix the order more.

    Returns:
      The rows, which `assemble` is certain to fit, and the examples that fit none.
    """
    budget.validate(geometry)
    is_fit = [fits(item, budget, geometry) for item in lengths]
    waiting = [index for index, fit in enumerate(is_fit) if fit]
    rows: list[list[int]] = []
    carried: list[int] = []
    for start in range(0, len(waiting), window):
        opened = OpenRows(budget, geometry)
        indices = carried + waiting[start : start + window]
        for index in largest_first(indices, lengths, budget, geometry=geometry):
            opened.place(index, lengths[index])
        is_last = start + window >= len(waiting)
        emptiest = set() if is_last else opened.emptiest()
        carried = [i for row in sorted(emptiest) for i in opened.rows[row]]
        rows += [row for place, row in enumerate(opened.rows) if place not in emptiest]
    return Plan(rows, [index for index, fit in enumerate(is_fit) if not fit])


def largest_first(
    indices: Sequence[int],
    lengths: Sequence[Length],
    budget: Budget,
    *,
    geometry: geometry_lib.VisionGeometry,
) -> list[int]:
    """Sorts examples by the larger of their two shares of a row, descending; stable.

    Args:
      indices: Which.
      lengths: What each example needs.
      budget: What a row holds.
      geometry: Size of a cell.
    """
    cells = budget.patches // geometry.cell_patches
    shares = [max(lengths[i].tokens / budget.tokens, lengths[i].cells / cells) for i in indices]
    return [indices[place] for place in np.argsort(-np.asarray(shares), kind="stable")]


class OpenRows:
    """Rows that are being filled, with what is left in each.

    Attributes:
      rows: Indices of the examples of each row.
    """

    def __init__(
        self, budget: Budget, geometry: geometry_lib.VisionGeometry, *, most: int | None = None
    ) -> None:
        """Begins with no row.

        Args:
          budget: What a row holds.
          geometry: Size of a slot.
          most: Rows that there may be; None is any number.
        """
        self.rows: list[list[int]] = []
        self._most = most
        self._num_slots = budget.patches // geometry.slot_patches
        self._max_sequences = budget.sequences
        self._capacity = np.asarray([budget.tokens, budget.patches // geometry.cell_patches])
        self._free = np.zeros((0, 2), np.int64)  # tokens and cells of each row
        self._windows = np.zeros((0, geometry.slot_cells), np.int64)

    def place(self, index: int, item: Length) -> bool:
        """Puts an example into the row that it leaves fullest, or opens one.

        Args:
          index: Of the example.
          item: What it needs; no more than an empty row has.

        Returns:
          False if it fits into no row and none may be opened.
        """
        need = np.asarray([item.tokens, item.cells])
        windows = np.asarray(item.windows)
        row = self._best_row(need, windows)
        if row is None:
            row = len(self.rows)
            if row == self._most:
                return False
            self.rows.append([])
            if row == len(self._free):
                self._grow()
        self.rows[row].append(index)
        self._free[row] -= need
        self._windows[row] += windows
        return True

    def emptiest(self) -> set[int]:
        """The fiftieth part of the rows, at least one, that has most left."""
        left = (self._free[: len(self.rows)] / self._capacity[None]).sum(axis=1)
        count = max(1, len(self.rows) // 50)
        return set(np.argsort(-left, kind="stable")[:count].tolist())

    def _best_row(
        self, need: Int[np.ndarray, " 2"], windows: Int[np.ndarray, " cells"]
    ) -> int | None:
        """The row with the least left afterwards, in both budgets together."""
        left = self._free[: len(self.rows)] - need[None]
        candidates = np.flatnonzero((left >= 0).all(axis=1))
        order = np.argsort((left[candidates] / self._capacity[None]).sum(axis=1), kind="stable")
        for row in candidates[order].tolist():
            if self._max_sequences and len(self.rows[row]) >= self._max_sequences:
                continue
            together = tuple((self._windows[row] + windows).tolist())
            if not need[1] or slots.slots_needed(together) <= self._num_slots:
                return row
        return None

    def _grow(self) -> None:
        """Doubles the room for rows; new rows are empty."""
        count = max(16, len(self._free))
        fresh = np.repeat(self._capacity[None], count, axis=0)
        self._free = np.concatenate([self._free, fresh])
        self._windows = np.pad(self._windows, ((0, count), (0, 0)))


def assemble(
    examples: Sequence[messages.Encoded],
    budget: Budget,
    *,
    geometry: geometry_lib.VisionGeometry,
    pad_id: int,
    normalization: Normalization = "token",
) -> dict[str, np.ndarray]:
    """Decodes the images of some examples and lays everything out as one row.

    Args:
      examples: In the order of their segments; none gives a row of padding.
      budget: Size of the row.
      geometry: Sizes of patches, windows and slots.
      pad_id: Token id of the padding.
      normalization: "token" keeps the loss weights; "sequence" divides those of each example
        by their sum, so that every example weighs the same.

    Returns:
      The arrays of `common.structs.Batch` without its first axis, by name, and the extras.

    Raises:
      UserError: If the examples do not fit or an image does not decode; the line names the row.
    """
    budget.validate(geometry)
    names = ", ".join(example.id for example in examples)
    total = sum(example.num_tokens for example in examples)
    if total > budget.tokens:
        raise errors.UserError(f"row {names!r}: {total} tokens, the budget is {budget.tokens}")
    grids = [media.grid for example in examples for media in example.media]
    try:
        gathers = slots.gather_arrays(grids, num_patches=budget.patches, geometry=geometry)
    except errors.UserError as error:
        raise errors.UserError(f"row {names!r}: {error}") from error
    return {
        **_text_arrays(examples, budget, pad_id, normalization),
        **_media_index(examples, budget, geometry),
        **_pixel_arrays(examples, budget, geometry),
        **gathers,
    }


def prompt_row(
    encoded: messages.Encoded,
    budget: Budget,
    *,
    geometry: geometry_lib.VisionGeometry,
    pad_id: int,
) -> dict[str, np.ndarray]:
    """One example as a row of its own."""
    return assemble([encoded], budget, geometry=geometry, pad_id=pad_id)


def _text_arrays(
    examples: Sequence[messages.Encoded],
    budget: Budget,
    pad_id: int,
    normalization: Normalization,
) -> dict[str, np.ndarray]:
    """Everything that has one value a token, except the media index."""
    arrays = {
        "tokens": np.full(budget.tokens, pad_id, np.int32),
        "positions": np.zeros((3, budget.tokens), np.int32),
        "segment_ids": np.zeros(budget.tokens, np.int32),
        "loss_weights": np.zeros(budget.tokens, np.float32),
        "source_ids": np.full(budget.tokens, -1, np.int32),
    }
    for name in sorted({name for example in examples for name in example.extras}):
        arrays[name] = np.zeros(budget.tokens, np.float32)
    start = 0
    for segment, example in enumerate(examples, start=1):
        place = slice(start, start + example.num_tokens)
        arrays["tokens"][place] = example.tokens
        arrays["positions"][:, place] = example.positions
        arrays["segment_ids"][place] = segment
        arrays["loss_weights"][place] = _target_weights(example, normalization)
        arrays["source_ids"][place] = example.source_id
        for name, values in example.extras.items():
            arrays[name][place] = values
        start = place.stop
    return arrays


def _target_weights(
    example: messages.Encoded, normalization: Normalization
) -> Float32[np.ndarray, " N"]:
    """Loss weights of one example; its first token has nothing to be predicted from."""
    weights = example.loss_weights.copy()
    weights[:1] = 0
    total = weights.sum()
    return weights / total if normalization == "sequence" and total > 0 else weights


def _media_index(
    examples: Sequence[messages.Encoded],
    budget: Budget,
    geometry: geometry_lib.VisionGeometry,
) -> dict[str, np.ndarray]:
    """For each token the visual token that stands there, in natural order; -1 for text."""
    index = np.full(budget.tokens, -1, np.int32)
    start, cell = 0, 0
    for example in examples:
        for media in example.media:
            count = geometry.num_tokens(media.grid)
            place = start + media.start
            index[place : place + count] = np.arange(cell, cell + count)
            cell += count
        start += example.num_tokens
    return {"media_index": index}


def _pixel_arrays(
    examples: Sequence[messages.Encoded],
    budget: Budget,
    geometry: geometry_lib.VisionGeometry,
) -> dict[str, np.ndarray]:
    """Patches in natural order, with the frame and the place each comes from."""
    patches = np.zeros((budget.patches, geometry.patch_dim), np.uint8)
    frame_ids = np.zeros(budget.patches, np.int32)
    places = np.zeros((budget.patches, 2), np.int32)
    start, frame = 0, 0
    for example in examples:
        for media in example.media:
            stop = start + geometry.num_patches(media.grid)
            patches[start:stop] = _load(example, media, geometry)
            numbers = np.arange(frame + 1, frame + media.grid.t + 1)
            frame_ids[start:stop] = np.repeat(numbers, media.grid.h * media.grid.w)
            places[start:stop] = _patch_places(media.grid, geometry)
            start, frame = stop, frame + media.grid.t
    return {"patches": patches, "patch_frame_ids": frame_ids, "patch_hw": places}


def _load(
    example: messages.Encoded, media: images.Media, geometry: geometry_lib.VisionGeometry
) -> UInt8[np.ndarray, "P C"]:
    """Pixels of one image; an error names the example as well."""
    try:
        return images.load_patches(media, geometry)
    except errors.UserError as error:
        raise errors.UserError(f"row {example.id!r}: {error}") from error


def _patch_places(
    grid: geometry_lib.Grid, geometry: geometry_lib.VisionGeometry
) -> Int[np.ndarray, "P 2"]:
    """Row and column of every patch of an image, in natural order."""
    merge = geometry.merge_size
    places = np.indices((grid.h, grid.w)).reshape(2, grid.h // merge, merge, grid.w // merge, merge)
    frame = places.transpose(1, 3, 2, 4, 0).reshape(-1, 2)
    return np.tile(frame, (grid.t, 1))
