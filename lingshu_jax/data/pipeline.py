# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Encoded rows to batches: plan every epoch, decode the rows of this process.

The packed rows of all epochs form one stream, and batch b is made of the next `rows_per_batch`
rows of it. Counted in rows, an epoch's last batch is completed with rows of the next epoch, and
the very last one with empty rows; counted in sequences, every epoch fills whole batches
(`batch_plans.py`). The plan of an epoch is a pure function of the lengths, the seed and the
epoch: every process computes the same one, and the state of the reader is (epoch, row).
"""

import fractions
import functools
import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import grain
import numpy as np
from absl import logging

from lingshu_jax.common import errors
from lingshu_jax.data import batch_plans, mixtures, packing, store

MAX_DECODE_THREADS = 16
# Batches of a stream that has no end; far below what grain's counters hold.
ENDLESS = 2**40

Batch = dict[str, np.ndarray]
State = dict[str, int | str]


class Fill(NamedTuple):
    """Share of the budget that carries data, in [0, 1]."""

    tokens: float
    patches: float


class Amounts(NamedTuple):
    """How much of each source an epoch reads.

    Attributes:
      names: Of the sources, in the order of the source ids.
      copies: Of each row, on average; from `mixtures.copies`.
    """

    names: Sequence[str]
    copies: Sequence[fractions.Fraction]


class Pipeline:
    """Packed batches of a mixture, the same on every process.

    Attributes:
      num_examples: Examples that the first epoch reads, copies counted.
      layout: How they become batches.
    """

    def __init__(
        self,
        rows: store.Store,
        *,
        layout: batch_plans.Layout,
        amounts: Amounts,
        epochs: int | None,
        seed: int,
        process_index: int = 0,
        process_count: int = 1,
    ) -> None:
        """Checks the layout; nothing is read yet.

        Args:
          rows: The encoded rows, the same on every process.
          layout: Complete; the rows are a multiple of `process_count`.
          amounts: Of the sources.
          epochs: How many; None repeats without end.
          seed: Of the shuffles.
          process_index: Which process this is.
          process_count: Among how many.

        Raises:
          UserError: If a value makes no sense.
        """
        if layout.rows_per_batch < 1 or layout.rows_per_batch % process_count:
            raise errors.UserError(
                f"rows_per_batch must be a positive multiple of the {process_count} processes,"
                f" got {layout.rows_per_batch}"
            )
        if epochs is not None and epochs < 1:
            raise errors.UserError(f"epochs must be positive or None, got {epochs}")
        layout.budget.validate(rows.geometry)
        self.layout = layout
        self._rows, self._amounts, self._epochs, self._seed = rows, amounts, epochs, seed
        self._process_index, self._process_count = process_index, process_count
        self._lock = threading.Lock()
        self._plans: dict[int, _EpochRows] = {}
        self._counts: dict[int, int] = {}
        self.num_examples = len(first_epoch(rows, amounts, seed))

    @functools.cached_property
    def num_batches(self) -> int | None:
        """Batches of all epochs; None without end."""
        if self._epochs is None:
            return None
        rows = sum(self._count_rows(epoch) for epoch in range(self._epochs))
        return -(-rows // self.layout.rows_per_batch)

    @functools.cached_property
    def fill(self) -> Fill:
        """Fill over the first epoch, its last rows included; no pixel is read for it."""
        plan, budget = self._plan(0), self.layout.budget
        lengths, cell = self._rows.lengths[plan.members], self._rows.geometry.cell_patches
        sizes = np.arange(1, lengths.windows.shape[1] + 1)
        patches = int(lengths.windows.sum(axis=0) @ sizes) * cell
        return Fill(
            int(lengths.tokens.sum()) / (len(plan) * budget.tokens),
            patches / (len(plan) * budget.patches),
        )

    def first_row(self) -> list[int]:
        """Numbers of the examples in the first row of the first batch."""
        return self._plan(0)[0]

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hash of everything that the order of the rows depends on."""
        parts = (self._seed, self.layout, tuple(self._amounts.names), tuple(self._amounts.copies))
        digest = hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass"))
        for array in (self._rows.lengths.tokens, self._rows.lengths.windows, self._rows.source_ids):
            digest.update(array.tobytes())
        return digest.hexdigest()[:16]

    def batches(self, state: State | None = None) -> Iterator[tuple[Batch, State]]:
        """Reads batches; each comes with the state from which the next one follows.

        Args:
          state: Where to go on, from an earlier run with the same rows, seed and layout; None
            begins with the first epoch. The number of processes may have changed.

        Returns:
          An iterator of the rows of this process, stacked by name, and the state, which can be
          written as JSON.

        Raises:
          UserError: If the state belongs to other data, or an image does not decode.
        """
        start = (0, 0)
        if state is not None:
            if state["fingerprint"] != self.fingerprint:
                raise errors.UserError(
                    f"the data, seed or budget have changed since the state was saved:"
                    f" fingerprint {self.fingerprint}, saved {state['fingerprint']}"
                )
            start = (int(state["epoch"]), int(state["row"]))
        return self._read(*start)

    def _read(self, epoch: int, row: int) -> Iterator[tuple[Batch, State]]:
        """The generator behind `batches`."""
        rows_per_batch = self.layout.rows_per_batch
        rows_here = rows_per_batch // self._process_count
        first = self._process_index * rows_here

        def read(index: int, start: tuple[int, int] = (epoch, row)) -> Batch:
            batch, place = divmod(index, rows_here)
            offset = batch * rows_per_batch + first + place
            return self._assemble(*self._locate(*start, offset))

        rows = _Rows(self._count_left(epoch, row) * rows_here, read)
        options = grain.ReadOptions(
            num_threads=min(MAX_DECODE_THREADS, os.cpu_count() or 1),
            prefetch_buffer_size=2 * rows_here,
        )
        for batch in grain.MapDataset.source(rows).to_iter_dataset(options).batch(rows_here):
            epoch, row = self._locate(epoch, row, rows_per_batch)
            yield batch, {"epoch": epoch, "row": row, "fingerprint": self.fingerprint}

    def _plan(self, epoch: int) -> "_EpochRows":
        """The rows of an epoch; the two newest plans are kept."""
        with self._lock:
            if epoch not in self._plans:
                kept = sorted(self._plans)[-1:]
                self._plans = {old: self._plans[old] for old in kept}
                self._plans[epoch] = self._make_plan(epoch)
                self._counts[epoch] = len(self._plans[epoch])
            return self._plans[epoch]

    def _make_plan(self, epoch: int) -> "_EpochRows":
        """Shuffles the examples and packs them; rows that are not in batches yet, too."""
        draws = mixtures.draws(self._seed, epoch)
        members = _members(self._rows, self._amounts, self._seed, epoch)
        order = mixtures.shuffled(members, draws)
        lengths, geometry = self._rows.lengths[order], self._rows.geometry
        if self.layout.sequences_per_batch:
            planned = batch_plans.plan_batches(lengths, self.layout, geometry=geometry)
            if epoch < (self._epochs or 1):
                batch_plans.check(planned, lengths, self.layout)
            elif planned.short:
                logging.warning("epoch %d has %d batches that are short", epoch, planned.short)
            return _EpochRows(planned.rows, order)
        plan = packing.plan(lengths, self.layout.budget, geometry=geometry)
        assert not plan.oversize, "oversize examples were dropped before"
        turned = mixtures.shuffled(np.arange(len(plan.rows)), draws)
        return _EpochRows([plan.rows[i] for i in turned], order)

    def _count_rows(self, epoch: int) -> int:
        """Rows of an epoch."""
        if epoch not in self._counts:
            self._plan(epoch)
        return self._counts[epoch]

    def _locate(self, epoch: int, row: int, offset: int) -> tuple[int, int]:
        """Epoch and row that stand `offset` rows further on; (epochs, 0) past the end."""
        row += offset
        while self._epochs is None or epoch < self._epochs:
            count = self._count_rows(epoch)
            if row < count:
                return epoch, row
            epoch, row = epoch + 1, row - count
        return epoch, 0

    def _count_left(self, epoch: int, row: int) -> int:
        """Batches from a place to the end of the stream."""
        if self._epochs is None:
            return ENDLESS
        left = sum(self._count_rows(later) for later in range(epoch, self._epochs)) - row
        return -(-left // self.layout.rows_per_batch)

    def _assemble(self, epoch: int, row: int) -> Batch:
        """Decodes one row; an empty one past the end."""
        is_past = self._epochs is not None and epoch >= self._epochs
        members = [] if is_past else self._plan(epoch)[row]
        return packing.assemble(
            [self._rows[number] for number in members],
            self.layout.budget,
            geometry=self._rows.geometry,
            pad_id=self._rows.pad_id,
            normalization=self.layout.normalization,
        )


def first_epoch(rows: store.Store, amounts: Amounts, seed: int) -> mixtures.Places:
    """Which rows the first epoch reads, in its order.

    Args:
      rows: The encoded rows.
      amounts: Of the sources.
      seed: Of the shuffles.
    """
    return mixtures.shuffled(_members(rows, amounts, seed, 0), mixtures.draws(seed, 0))


def _members(rows: store.Store, amounts: Amounts, seed: int, epoch: int) -> mixtures.Places:
    places = [np.flatnonzero(rows.source_ids == i) for i in range(len(amounts.names))]
    return mixtures.epoch_members(places, amounts.names, amounts.copies, epoch=epoch, seed=seed)


class _EpochRows:
    """The packed rows of an epoch by number, held as two arrays.

    Attributes:
      members: Numbers of the examples, row after row.
    """

    def __init__(self, rows: Sequence[Sequence[int]], order: mixtures.Places) -> None:
        places = np.fromiter((i for row in rows for i in row), np.int64)
        self.members = order[places].astype(np.int32)
        self._ends = np.cumsum([0, *map(len, rows)])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, row: int) -> list[int]:
        return self.members[self._ends[row] : self._ends[row + 1]].tolist()


class _Rows:
    """Rows by number, as grain reads them."""

    def __init__(self, count: int, read: Callable[[int], Batch]) -> None:
        self._count, self._read = count, read

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Batch:
        return self._read(index)
