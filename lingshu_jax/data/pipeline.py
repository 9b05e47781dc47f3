# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Examples to batches: encode once, plan every epoch, decode the rows of this process.

The rows of all epochs form one stream, and batch b is made of the next `rows_per_batch` rows of
it, so an epoch's last batch is completed with rows of the next epoch, and the very last one with
empty rows. The plan of an epoch is a pure function of the examples, the seed and the epoch:
every process computes the same one, and the state of the reader is (epoch, row).
"""

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
from lingshu_jax.data import images, messages, packing, sources

MAX_DECODE_THREADS = 16
# Batches of a stream that has no end; far below what grain's counters hold.
ENDLESS = 2**40

Batch = dict[str, np.ndarray]
State = dict[str, int | str]


class Fill(NamedTuple):
    """Share of the budget that carries data, in [0, 1]."""

    tokens: float
    patches: float


class Pipeline:
    """Packed batches of a mixture, the same on every process.

    Attributes:
      dropped: Examples that were refused, with reasons; nothing takes their place.
      source_names: Names that `source_ids` index, in the order of appearance.
      num_examples: Examples that are read in every epoch.
    """

    def __init__(
        self,
        examples: Sequence[sources.Example],
        encoder: messages.Encoder,
        *,
        budget: packing.Budget,
        rows_per_batch: int,
        epochs: int | None,
        seed: int,
        normalization: packing.Normalization = "token",
        process_index: int = 0,
        process_count: int = 1,
        verify_images: bool = False,
    ) -> None:
        """Encodes all examples; images are opened for their sizes only.

        Args:
          examples: The mixture, in an order that is the same on every process.
          encoder: Tokenizer and image sizes.
          budget: Tokens and patches of a row.
          rows_per_batch: Rows of a batch over all processes; a multiple of `process_count`.
          epochs: How often every example is read; None repeats without end.
          seed: Of the shuffle.
          normalization: Of the loss weights, see `packing.assemble`.
          process_index: Which process this is.
          process_count: Among how many.
          verify_images: Decodes every image once, so that a truncated one is dropped here
            instead of stopping the run when its row comes.

        Raises:
          UserError: If a value makes no sense or no example is left.
        """
        if rows_per_batch < 1 or rows_per_batch % process_count:
            raise errors.UserError(
                f"rows_per_batch must be a positive multiple of the {process_count} processes,"
                f" got {rows_per_batch}"
            )
        if epochs is not None and epochs < 1:
            raise errors.UserError(f"epochs must be positive or None, got {epochs}")
        budget.validate(encoder.geometry)
        self._encoder, self._budget = encoder, budget
        self._normalization: packing.Normalization = normalization
        self._rows_per_batch, self._epochs, self._seed = rows_per_batch, epochs, seed
        self._process_index, self._process_count = process_index, process_count
        self.dropped: list[sources.Dropped] = []
        self.source_names = tuple(dict.fromkeys(example.source for example in examples))
        self._encoded: list[messages.Encoded] = []
        self._lengths: list[packing.Length] = []
        for example in examples:
            self._add(example, verify_images=verify_images)
        self.num_examples = len(self._encoded)
        logging.info("%d examples, %d dropped", self.num_examples, len(self.dropped))
        if not self._encoded:
            reason = f"; the first: {self.dropped[0].reason}" if self.dropped else ""
            raise errors.UserError(f"no example to read, {len(self.dropped)} dropped{reason}")
        self._lock = threading.Lock()
        self._plans: dict[int, list[list[int]]] = {}
        self._counts: dict[int, int] = {}

    @functools.cached_property
    def num_batches(self) -> int | None:
        """Batches of all epochs; None without end."""
        if self._epochs is None:
            return None
        rows = sum(self._count_rows(epoch) for epoch in range(self._epochs))
        return -(-rows // self._rows_per_batch)

    @functools.cached_property
    def fill(self) -> Fill:
        """Fill over the first epoch, its last rows included; no pixel is read for it."""
        num_rows = self._count_rows(0)
        tokens = sum(length.tokens for length in self._lengths)
        patches = (
            sum(length.cells for length in self._lengths) * self._encoder.geometry.cell_patches
        )
        return Fill(
            tokens / (num_rows * self._budget.tokens), patches / (num_rows * self._budget.patches)
        )

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hash of everything that the order of the rows depends on."""
        names = [(encoded.id, encoded.source_id) for encoded in self._encoded]
        described = repr((self._seed, self._budget, self.source_names, names, self._lengths))
        return hashlib.sha256(described.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def batches(self, state: State | None = None) -> Iterator[tuple[Batch, State]]:
        """Reads batches; each comes with the state from which the next one follows.

        Args:
          state: Where to go on, from an earlier run with the same examples, seed and budget;
            None begins with the first epoch. The number of processes may have changed.

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
        rows_here = self._rows_per_batch // self._process_count
        first = self._process_index * rows_here

        def read(index: int, start: tuple[int, int] = (epoch, row)) -> Batch:
            batch, place = divmod(index, rows_here)
            offset = batch * self._rows_per_batch + first + place
            return self._assemble(*self._locate(*start, offset))

        rows = _Rows(self._count_left(epoch, row) * rows_here, read)
        options = grain.ReadOptions(
            num_threads=min(MAX_DECODE_THREADS, os.cpu_count() or 1),
            prefetch_buffer_size=2 * rows_here,
        )
        for batch in grain.MapDataset.source(rows).to_iter_dataset(options).batch(rows_here):
            epoch, row = self._locate(epoch, row, self._rows_per_batch)
            yield batch, {"epoch": epoch, "row": row, "fingerprint": self.fingerprint}

    def _add(self, example: sources.Example, *, verify_images: bool) -> None:
        """Encodes one example, or notes why not."""
        try:
            encoded = self._encoder.encode(
                example.messages,
                id=example.id,
                source_id=self.source_names.index(example.source),
            )
            length = packing.length(encoded, self._encoder.geometry)
            self._check(encoded, length)
            if verify_images:
                for media in encoded.media:
                    images.verify(media)
        except errors.UserError as error:
            self.dropped.append(
                sources.Dropped(
                    id=example.id, source=example.source, line=example.line, reason=str(error)
                )
            )
            return
        self._encoded.append(encoded)
        self._lengths.append(length)

    def _check(self, encoded: messages.Encoded, length: packing.Length) -> None:
        """Refuses an example without targets, or too long for any row."""
        if not encoded.loss_weights.any():
            raise errors.UserError("nothing to train on: no assistant message")
        if not packing.fits(length, self._budget, self._encoder.geometry):
            raise errors.UserError(
                f"{encoded.num_tokens} tokens and {encoded.num_patches} patches do not fit into a"
                f" row of {self._budget.tokens} tokens and {self._budget.patches} patches"
            )

    def _plan(self, epoch: int) -> list[list[int]]:
        """The rows of an epoch, as indices of examples; the two newest plans are kept."""
        with self._lock:
            if epoch not in self._plans:
                kept = sorted(self._plans)[-1:]
                self._plans = {old: self._plans[old] for old in kept}
                self._plans[epoch] = self._make_plan(epoch)
                self._counts[epoch] = len(self._plans[epoch])
            return self._plans[epoch]

    def _make_plan(self, epoch: int) -> list[list[int]]:
        """Shuffles the examples, packs them, and shuffles the rows."""
        # Raw draws: numpy keeps a bit generator's stream for good, but not a permutation.
        draws = np.random.PCG64(np.random.SeedSequence([self._seed, epoch]))
        order = np.argsort(draws.random_raw(len(self._encoded)), kind="stable").tolist()
        plan = packing.plan(
            [self._lengths[i] for i in order], self._budget, geometry=self._encoder.geometry
        )
        assert not plan.oversize, "oversize examples were dropped before"
        rows = [[order[i] for i in row] for row in plan.rows]
        return [rows[i] for i in np.argsort(draws.random_raw(len(rows)), kind="stable")]

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
        return -(-left // self._rows_per_batch)

    def _assemble(self, epoch: int, row: int) -> Batch:
        """Decodes one row; an empty one past the end."""
        is_past = self._epochs is not None and epoch >= self._epochs
        members = [] if is_past else self._plan(epoch)[row]
        return packing.assemble(
            [self._encoded[i] for i in members],
            self._budget,
            geometry=self._encoder.geometry,
            pad_id=self._encoder.special.pad,
            normalization=self._normalization,
        )


class _Rows:
    """Rows by number, as grain reads them."""

    def __init__(self, count: int, read: Callable[[int], Batch]) -> None:
        self._count, self._read = count, read

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Batch:
        return self._read(index)
