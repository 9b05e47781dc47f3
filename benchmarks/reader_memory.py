# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Memory of a process that surveys, encodes, plans and reads many rows, as a Markdown table.

    PYTHONPATH=. python benchmarks/reader_memory.py [--rows=50000]

Half of the rows are text, half have one of 40 pictures; all is made in a temporary folder, with a
tokenizer of one token a byte. Memory is the largest that the process has had.
"""

import argparse
import fractions
import json
import platform
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image

from lingshu_jax.data import (
    batch_plans,
    messages,
    mixtures,
    pipeline,
    sources,
    store,
    tokenizer_files,
)

PICTURES, TEXT_BYTES = 40, 1000
SOURCE = sources.Source(name="rows", path="rows.jsonl")
LAYOUT = batch_plans.Layout(tokens_per_row=4096, patches_per_row=4096, rows_per_batch=2)
PARTS = 10  # of each phase, between which the memory is noted
Item = TypeVar("Item")


class Note(NamedTuple):
    """Memory at one moment.

    Attributes:
      phase: What was being done.
      rows: How many rows were behind.
      seconds: Since the phase began.
      mebibytes: Largest resident set so far.
    """

    phase: str
    rows: int
    seconds: float
    mebibytes: float


def write_rows(folder: Path, count: int) -> None:
    """Writes `rows.jsonl`, its pictures, and a tokenizer.

    Args:
      folder: An empty folder.
      count: Of rows.
    """
    rng = np.random.default_rng(0)
    for i, side in enumerate(rng.integers(56, 224, (PICTURES, 2)).tolist()):
        pixels = rng.integers(0, 256, (*side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    tokenizer_files.write_tokenizer(folder, (), tokenizer_files.MIN_VOCAB)
    with (folder / "rows.jsonl").open("w") as file:
        for i, length in enumerate(rng.integers(TEXT_BYTES // 2, TEXT_BYTES * 3 // 2, count)):
            question = [{"type": "text", "text": f"Row {i}: " + "what is it? " * (length // 12)}]
            if i % 2:
                question.insert(0, {"type": "image", "image": f"{i % PICTURES}.png"})
            turns = [
                {"role": "user", "content": question},
                {"role": "assistant", "content": f"It is number {i}."},
            ]
            file.write(json.dumps({"id": str(i), "messages": turns}) + "\n")


def measure(folder: Path, count: int) -> Iterator[Note]:
    """Does what a training process does before its first step, then reads an epoch.

    Args:
      folder: From `write_rows`.
      count: Its rows.
    """
    clock = _Clock()
    yield clock.note("start", 0)
    assert mixtures.survey(SOURCE, folder).good == count
    yield clock.note("survey", count)
    encoder = messages.Encoder(folder, min_pixels=3136, max_pixels=200_704)
    share = mixtures.Share(SOURCE, np.arange(count))
    notes: list[Note] = []
    rows = store.build(
        _noting(mixtures.Examples([share], folder), count, clock, notes),
        encoder,
        names=("rows",),
        folder=folder / "encoded",
        mixture="",
        options=store.Options(budget=LAYOUT.budget),
    )
    yield from notes
    clock = _Clock()
    amounts = pipeline.Amounts(("rows",), [fractions.Fraction(1)])
    reader = pipeline.Pipeline(rows, layout=LAYOUT, amounts=amounts, epochs=1, seed=0)
    batches = reader.num_batches or 0
    yield clock.note("plan", count)
    clock, read = _Clock(), 0
    for number, (batch, _) in enumerate(reader.batches(), start=1):
        read += int(batch["segment_ids"].max(axis=1).sum())
        if number * PARTS // batches > (number - 1) * PARTS // batches:
            yield clock.note("read", read)
    assert read == count


class _Clock:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def note(self, phase: str, rows: int) -> Note:
        # Not getrusage: its peak survives the exec that started this process, so that a large
        # parent would hide everything.
        lines = Path("/proc/self/status").read_text().splitlines()
        (peak,) = (int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))
        return Note(phase, rows, time.perf_counter() - self._start, peak)


def _noting(items: Iterable[Item], count: int, clock: _Clock, notes: list[Note]) -> Iterator[Item]:
    """The same items; a note is taken after each tenth of them."""
    for number, item in enumerate(items, start=1):
        yield item
        if number * PARTS // count > (number - 1) * PARTS // count:
            notes.append(clock.note("encode", number))


def growth(notes: Iterable[Note], phase: str) -> float:
    """Mebibytes that a phase added after its first fifth.

    Args:
      notes: From `measure`.
      phase: "encode" or "read".
    """
    peaks = [note.mebibytes for note in notes if note.phase == phase]
    return peaks[-1] - peaks[len(peaks) // 5]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    count = parser.parse_args().rows
    print(f"{count:,} rows, Python {platform.python_version()}, {platform.machine()}\n")
    print("| phase | rows | seconds | MiB |\n|---|---|---|---|")
    notes = []
    with tempfile.TemporaryDirectory() as name:
        write_rows(Path(name), count)
        for note in measure(Path(name), count):
            print(f"| {note.phase} | {note.rows:,} | {note.seconds:.0f} | {note.mebibytes:.0f} |")
            notes.append(note)
    for phase in ("encode", "read"):
        print(f"\n{phase}: {growth(notes, phase):.1f} MiB more after the first fifth")


if __name__ == "__main__":
    main()
