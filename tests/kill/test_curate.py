# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A curation killed again and again ends with the files of one that nobody disturbs."""

import os
import pathlib
import signal
import subprocess
import time

import numpy as np
import pytest

from data_tools import mixture
from tests.kill import curating

pytestmark = pytest.mark.kill

KILLS, KILLS_REDUCED = 10, 2
GONE_SECONDS = 60.0  # a tenth of a second, but on a machine that is busy


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return curating.write_data(tmp_path_factory.mktemp("curate") / "data")


@pytest.fixture(scope="module")
def expected(data: pathlib.Path) -> dict[str, bytes]:
    """The files of a run that nobody disturbs."""
    output = data.parent / "whole"
    said = curating.finish(curating.start(data, output), output)
    assert f"ingest: {curating.ROWS + 75} rows in" in said
    found = curating.files(output)
    assert {"summary.json", "card.html", f"{mixture.MIXTURES}/everything/manifest.json"} <= set(
        found
    )
    assert not [name for name in found if "partial" in name]
    return found


def count(output: pathlib.Path) -> int:
    """Files that are there under their names."""
    return sum(not name.endswith(".partial") for _, _, names in os.walk(output) for name in names)


def wait_until(process: subprocess.Popen[str], output: pathlib.Path, files: int) -> None:
    """Until so many files are there."""
    while process.poll() is None and count(output) < files:
        time.sleep(0.01)


def wait_until_gone(group: int) -> None:
    """Until no process of a group is there."""
    end = time.monotonic() + GONE_SECONDS
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)
    raise AssertionError("processes have outlived the command")


def test_a_killed_curation_ends_with_the_same_files(
    data: pathlib.Path, expected: dict[str, bytes], tmp_path: pathlib.Path, reduced: bool
) -> None:
    """At random moments from the first file to the last, half of them without its processes."""
    kills = KILLS_REDUCED if reduced else KILLS
    rng, output, left = np.random.default_rng(0), tmp_path / "out", 0
    for number, moment in enumerate(sorted(rng.integers(1, len(expected) - 5, kills))):
        before = curating.files(output)
        process = curating.start(data, output)
        wait_until(process, output, max(int(moment), count(output) + 1))
        time.sleep(float(rng.uniform(0, 0.3)))
        if number % 2:
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, output.with_suffix(".log").read_text()
        wait_until_gone(process.pid)
        found = curating.files(output)
        whole = {name for name in found if not name.endswith(".partial")}
        left += len(found) - len(whole)
        # What was finished stays as it was, and nobody goes on writing.
        assert {name for name in before if not name.endswith(".partial")} <= whole
        time.sleep(0.5)
        assert curating.files(output) == found
    curating.finish(curating.start(data, output), output)
    assert curating.differing(curating.files(output), expected) == []
    print(f"\n{kills} kills: {len(expected)} files equal, {left} partial files on the way")


def test_a_changed_byte_and_a_lost_file_are_noticed(expected: dict[str, bytes]) -> None:
    name = "mixtures/everything/manifest.json"
    assert curating.differing({**expected, name: expected[name][:-1]}, expected) == [name]
    assert curating.differing({}, expected) == sorted(expected)
