# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Memory does not grow with the rows: the benchmark's measurement, short, in its own process."""

import os
import pathlib
import subprocess
import sys

import pytest

ROWS, MOST_MEBIBYTES = 4000, 20
SCRIPT = """
import pathlib, sys
from benchmarks import reader_memory
from lingshu_jax.data import records

folder, count, keep = pathlib.Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "keep"
kept, pack, unpack = [], records.pack, records.unpack


def keeping_pack(encoded):
    kept.append(encoded)
    return pack(encoded)


def keeping_unpack(record, geometry):
    kept.append(unpack(record, geometry))
    return kept[-1]


if keep:
    records.pack, records.unpack = keeping_pack, keeping_unpack
reader_memory.write_rows(folder, count)
notes = list(reader_memory.measure(folder, count))
print(*(reader_memory.growth(notes, phase) for phase in ("encode", "read")))
"""


def growth(repo: pathlib.Path, folder: pathlib.Path, *, keep: str) -> list[float]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), str(ROWS), keep],
        cwd=repo,
        env={**os.environ, "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [float(number) for number in done.stdout.split()]


@pytest.mark.parametrize("keep", ["nothing", "keep"], ids=["as_is", "a_leak_is_noticed"])
def test_memory_stays_flat(repo: pathlib.Path, tmp_path: pathlib.Path, keep: str) -> None:
    grown = growth(repo, tmp_path, keep=keep)
    assert all((number > MOST_MEBIBYTES) == (keep == "keep") for number in grown), grown
