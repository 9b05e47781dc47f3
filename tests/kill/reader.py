# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Reads batches as some processes together and writes a line for each: its hash, and the state.

    python -m tests.kill.reader FOLDER COUNT_OF_PROCESSES LINES

`FOLDER` holds `hf`, a tokenizer, and `rows`, from `tests/small.py`; the encoded rows are kept
there. `LINES` is appended to, and reading goes on after its last line.
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lingshu_jax.data import messages, packing, pipeline, sources
from tests.data import stores

BUDGET = packing.Budget(tokens=320, patches=320)
PIXELS = {"min_pixels": 28 * 28, "max_pixels": 28 * 28 * 12}
EPOCHS = 6


def make_readers(folder: Path, process_count: int) -> list[pipeline.Pipeline]:
    """The readers of all processes."""
    source = sources.Source(name="rows", path="rows.jsonl")
    examples = sources.read(source, folder / "rows").examples
    encoder = messages.Encoder(folder / "hf", **PIXELS)
    rows = stores.build(examples, encoder, folder / "encoded", budget=BUDGET)
    return [
        pipeline.Pipeline(
            rows,
            layout=stores.layout(BUDGET, 4, sequences_per_batch=10),
            amounts=stores.amounts(("rows",), 1.5),
            epochs=EPOCHS,
            seed=0,
            process_index=index,
            process_count=process_count,
        )
        for index in range(process_count)
    ]


def read(
    folder: Path, process_count: int, state: pipeline.State | None = None
) -> Iterator[dict[str, Any]]:
    """The hash of every global batch, and the state after it."""
    streams = [reader.batches(state) for reader in make_readers(folder, process_count)]
    for parts in zip(*streams, strict=True):
        digest = hashlib.sha256()
        for name in sorted(parts[0][0]):
            digest.update(np.concatenate([batch[name] for batch, _ in parts]).tobytes())
        states = [after for _, after in parts]
        assert all(after == states[0] for after in states)
        yield {"sha256": digest.hexdigest(), "state": states[0]}


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The lines that were written to the end."""
    if not path.exists():
        return []
    whole = path.read_text().rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines()]


def main(folder: str, process_count: str, path: str) -> None:
    """Goes on where the lines end."""
    lines = lines_of(Path(path))
    state = lines[-1]["state"] if lines else None
    Path(path).write_text("".join(json.dumps(line) + "\n" for line in lines))
    with Path(path).open("a") as file:
        for line in read(Path(folder), int(process_count), state):
            file.write(json.dumps(line) + "\n")
            file.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
