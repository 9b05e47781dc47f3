# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A reader killed again and again, by one, two or four processes in turn, loses no batch."""

import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest

from lingshu_jax.data import pipeline
from tests import small
from tests.kill import reader

pytestmark = pytest.mark.kill

KILLS, KILLS_REDUCED = 20, 3
COUNTS = (1, 2, 4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("reader")
    small.write_folder(folder / "hf")
    small.write_rows(folder / "rows", count=400)
    return folder


@pytest.fixture(scope="module")
def expected(folder: pathlib.Path) -> list[str]:
    """The hashes of a run that nobody disturbs."""
    hashes = [line["sha256"] for line in reader.read(folder, 1)]
    assert len(hashes) == len(set(hashes)) == reader.EPOCHS * 60
    return hashes


def start(folder: pathlib.Path, process_count: int, lines: pathlib.Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.kill.reader", str(folder), str(process_count), str(lines)],
        cwd=pathlib.Path(__file__).resolve().parents[2],
        env={**os.environ, "PYTHONPATH": "."},
        stderr=subprocess.PIPE,
        text=True,
    )


def size(path: pathlib.Path) -> int:
    return path.stat().st_size if path.exists() else 0


def read_until_killed(
    folder: pathlib.Path, process_count: int, lines: pathlib.Path, wait: float
) -> bool:
    """Kills a reader `wait` seconds after its first new line; whether it was still reading."""
    process, before = start(folder, process_count, lines), size(lines)
    while process.poll() is None and size(lines) <= before:
        time.sleep(0.002)
    time.sleep(wait)
    process.kill()
    _, error = process.communicate()
    assert process.returncode in (0, -9), error
    return process.returncode == -9


def test_a_killed_reader_goes_on_exactly(
    folder: pathlib.Path, expected: list[str], tmp_path: pathlib.Path, reduced: bool
) -> None:
    rng, kills, lines = np.random.default_rng(0), 0, tmp_path / "lines.jsonl"
    wanted = KILLS_REDUCED if reduced else KILLS
    for trial in range(wanted):
        done = len(reader.lines_of(lines))
        wait = float(rng.uniform(0, 0.15))
        kills += read_until_killed(folder, COUNTS[trial % 3], lines, wait)
        found = [line["sha256"] for line in reader.lines_of(lines)]
        assert len(found) > done, "every reader writes at least one line"
        assert found == expected[: len(found)]
    assert kills == wanted, "a reader had finished before it was killed"
    last = start(folder, COUNTS[wanted % 3], lines)
    _, error = last.communicate(timeout=300)
    assert last.returncode == 0, error
    assert [line["sha256"] for line in reader.lines_of(lines)] == expected


def test_a_reader_killed_while_it_encodes(
    folder: pathlib.Path, expected: list[str], tmp_path: pathlib.Path
) -> None:
    """What it left half-written is not taken for encoded rows."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("hf", "rows"):
        (copy / name).symlink_to(folder / name)
    lines = tmp_path / "lines.jsonl"
    process = start(copy, 1, lines)
    while process.poll() is None and not any(copy.glob("encoded/*.partial-*")):
        time.sleep(0.001)
    process.kill()
    process.communicate()
    assert process.returncode == -9 and any(copy.glob("encoded/*.partial-*"))
    assert not lines.exists() or not reader.lines_of(lines)
    hashes = [line["sha256"] for line, _ in zip(reader.read(copy, 2), expected, strict=False)]
    assert hashes == expected


def test_a_state_of_the_wrong_place_is_noticed(folder: pathlib.Path, expected: list[str]) -> None:
    """One row further on is another batch."""
    first: pipeline.State = next(reader.read(folder, 1))["state"]
    late: pipeline.State = {**first, "row": int(first["row"]) + 1}
    assert next(reader.read(folder, 1, first))["sha256"] == expected[1]
    assert next(reader.read(folder, 1, late))["sha256"] != expected[1]
