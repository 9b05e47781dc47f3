# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Batches that are counted in sequences, and budgets that are computed from lengths.

A batch of S sequences is S consecutive ones of the epoch's order, whichever rows they lie in.
They are packed best-fit into a fixed number of rows; one that finds no room any more is put off
to the head of the next batch, and the next one of the order takes its place, so the number is
exact. Only the last batch of an epoch may hold fewer.
"""

import collections
import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lingshu_jax.common import errors
from lingshu_jax.common import geometry as geometry_lib
from lingshu_jax.data import packing, slots

LOOK_AHEAD = 8  # batches' worth of sequences that are tried before a batch stays short
SAMPLE = 16384  # lengths that a number is sought with
MORE_ROWS = 0.01  # that a fitted patch budget may cost
MOST_PUT_OFF = 0.02  # of the sequences, where the number of rows is computed


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """How sequences become batches.

    Attributes:
      tokens_per_row: T.
      patches_per_row: P, whole window slots; 0 is to be computed by `complete`.
      rows_per_batch: Rows of a batch over all processes; 0 likewise, with sequences_per_batch.
      sequences_per_batch: S; 0 counts a batch in rows.
      sequences_per_row: At most so many share a row; 0 is as many as fit.
      normalization: Of the loss weights, see `packing.assemble`.
    """

    tokens_per_row: int
    patches_per_row: int
    rows_per_batch: int
    sequences_per_batch: int = 0
    sequences_per_row: int = 0
    normalization: packing.Normalization = "token"

    @property
    def budget(self) -> packing.Budget:
        """Of one row."""
        return packing.Budget(
            self.tokens_per_row, self.patches_per_row, sequences=self.sequences_per_row
        )


class BatchPlan(NamedTuple):
    """The rows of an epoch, batch after batch, all batches of the same number of rows.

    Attributes:
      rows: Indices of the examples of each row; rows that are not needed are empty.
      put_off: How often a sequence found no room in its batch.
      short: Batches before the last that hold too few sequences.
    """

    rows: list[list[int]]
    put_off: int
    short: int


def plan_batches(
    lengths: Sequence[packing.Length],
    layout: Layout,
    *,
    geometry: geometry_lib.VisionGeometry = geometry_lib.QWEN2_5_VL,
) -> BatchPlan:
    """Places an epoch into batches of S sequences; a pure function of its arguments.

    Args:
      lengths: In the order of the epoch; each fits into a row by itself.
      layout: All its numbers but `sequences_per_row` positive.
      geometry: Size of a slot.
    """
    waiting = collections.deque(range(len(lengths)))
    rows: list[list[int]] = []
    sizes, put_off = [], 0
    while waiting:
        opened = packing.OpenRows(layout.budget, geometry, most=layout.rows_per_batch)
        late = _fill(opened, waiting, lengths, layout, geometry=geometry)
        waiting.extendleft(reversed(late))
        put_off += len(late)
        sizes.append(sum(map(len, opened.rows)))
        rows += opened.rows + [[] for _ in range(layout.rows_per_batch - len(opened.rows))]
    short = sum(size < layout.sequences_per_batch for size in sizes[:-1])
    return BatchPlan(rows, put_off, short)


def _fill(
    opened: packing.OpenRows,
    waiting: collections.deque[int],
    lengths: Sequence[packing.Length],
    layout: Layout,
    *,
    geometry: geometry_lib.VisionGeometry,
) -> list[int]:
    """Fills one batch from the head of `waiting`; the sequences that found no room, in order."""
    wanted = layout.sequences_per_batch
    head = [waiting.popleft() for _ in range(min(wanted, len(waiting)))]
    late, placed = [], 0
    for index in packing.largest_first(head, lengths, layout.budget, geometry=geometry):
        if opened.place(index, lengths[index]):
            placed += 1
        else:
            late.append(index)
    for _ in range(LOOK_AHEAD * wanted):
        if placed == wanted or not waiting:
            break
        index = waiting.popleft()
        if opened.place(index, lengths[index]):
            placed += 1
        else:
            late.append(index)
    return sorted(late)


class Multiples(NamedTuple):
    """What the numbers that are computed must be multiples of, for the devices to share them.

    Attributes:
      rows: Of a batch.
      slots: Of a row.
    """

    rows: int = 1
    slots: int = 1


ONE = Multiples()


def complete(
    layout: Layout,
    lengths: packing.Lengths,
    order: np.ndarray,
    *,
    multiples: Multiples = ONE,
    geometry: geometry_lib.VisionGeometry = geometry_lib.QWEN2_5_VL,
) -> Layout:
    """Computes the numbers that are 0; a pure function of its arguments.

    Args:
      layout: What is given.
      lengths: Of all examples.
      order: The first epoch: which examples, in which order.
      multiples: Of what rows and slots must be.
      geometry: Size of a slot.
    """
    if not layout.patches_per_row:
        patches = fit_patches(lengths, order, layout, geometry=geometry)
        step = multiples.slots * geometry.slot_patches
        patches = math.ceil(patches / step) * step
        layout = dataclasses.replace(layout, patches_per_row=patches)
    if not layout.rows_per_batch:
        rows = fit_rows(lengths[order], layout, multiple=multiples.rows, geometry=geometry)
        layout = dataclasses.replace(layout, rows_per_batch=rows)
    return layout


def fit_patches(
    lengths: packing.Lengths,
    order: np.ndarray,
    layout: Layout,
    *,
    geometry: geometry_lib.VisionGeometry = geometry_lib.QWEN2_5_VL,
) -> int:
    """The patches a row needs so that its tokens run out first.

    The smallest number of slots, in steps of a hundredth, for which a sample of the epoch packs
    into at most one per cent more rows than without any limit on patches; no smaller than
    what any one example needs.

    Args:
      lengths: Of all examples.
      order: The first epoch; its first `SAMPLE` are packed.
      layout: Tokens and sequences of a row.
      geometry: Size of a slot.

    Returns:
      P, a multiple of the patches of a slot.
    """
    sample = lengths[order[:SAMPLE]]

    def count(num_slots: int) -> int:
        budget = dataclasses.replace(layout.budget, patches=num_slots * geometry.slot_patches)
        return len(packing.plan(sample, budget, geometry=geometry).rows)

    fewest = count(layout.tokens_per_row)
    full = sum(item.cells for item in sample) / (fewest * geometry.slot_cells)
    num_slots = max(math.ceil(full), *(slots.slots_needed(item.windows) for item in lengths), 1)
    # A search by halves would not do: a little more room may cost a row.
    while num_slots < layout.tokens_per_row and count(num_slots) > fewest * (1 + MORE_ROWS):
        num_slots += max(1, round(full / 100))
    return num_slots * geometry.slot_patches


def fit_rows(
    lengths: Sequence[packing.Length],
    layout: Layout,
    *,
    multiple: int = 1,
    geometry: geometry_lib.VisionGeometry = geometry_lib.QWEN2_5_VL,
) -> int:
    """The smallest number of rows for batches of S sequences, few of which are put off.

    Args:
      lengths: In the order of an epoch.
      layout: Everything but the rows.
      multiple: What the number must be a multiple of.
      geometry: Size of a slot.
    """
    sample = lengths[:SAMPLE]
    batches = -(-len(sample) // layout.sequences_per_batch)
    full = sum(item.tokens for item in sample) / (batches * layout.tokens_per_row)
    rows = multiple * max(math.floor(full / multiple), 1)
    # Too few rows take long to try: they are found on the sample.
    for tried in (sample, lengths):
        while not _is_enough(rows, tried, layout, geometry=geometry):
            rows += multiple
    return rows


def _is_enough(
    rows: int,
    lengths: Sequence[packing.Length],
    layout: Layout,
    *,
    geometry: geometry_lib.VisionGeometry,
) -> bool:
    layout = dataclasses.replace(layout, rows_per_batch=rows)
    plan = plan_batches(lengths, layout, geometry=geometry)
    return not plan.short and plan.put_off <= MOST_PUT_OFF * len(lengths)


def check(plan: BatchPlan, lengths: Sequence[packing.Length], layout: Layout) -> None:
    """Refuses rows that are too few for the sequences of a batch.

    Args:
      plan: Of `lengths`.
      lengths: In the order of an epoch.
      layout: What it was planned with.

    Raises:
      UserError: If a batch before the last is short; the line says how many rows it takes.
    """
    if plan.short:
        raise errors.UserError(
            f"data.rows_per_batch = {layout.rows_per_batch} is too small: {plan.short} batches"
            f" cannot hold {layout.sequences_per_batch} sequences in rows of"
            f" {layout.tokens_per_row} tokens and {layout.patches_per_row} patches; give at least"
            f" {fit_rows(lengths, layout)}, or 0 to have it computed"
        )
