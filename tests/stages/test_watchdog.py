# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Who is behind, as the heartbeats say; and a process that hangs, ended by its own watchdog."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from lingshu_jax.stages import watchdog

HANG = """
import pathlib, sys, time
from lingshu_jax.stages import watchdog

def fail(*args, **options):
    raise {"OSError": OSError, "RuntimeError": RuntimeError}[sys.argv[5]]("out of reach")

if len(sys.argv) > 4:
    setattr(watchdog, sys.argv[4], fail)
watch = watchdog.Watchdog(pathlib.Path(sys.argv[1]), hang_seconds=0.4)
watch.start()
for step in range(int(sys.argv[2])):
    watch.beat(step, "data")
    time.sleep(0.05)

def wait_for_a_batch():
    time.sleep(float(sys.argv[3]))

watch.beat(7, "data")
wait_for_a_batch()
watch.close()
print("done")
"""


def beat(process: int, step: int, phase: str, written: float = 100.0) -> watchdog.Beat:
    return watchdog.Beat(process, f"host{process}", step, phase, since=0.0, written=written)


@pytest.mark.parametrize(
    ("beats", "named", "unnamed"),
    [
        ([beat(0, 7, "step"), beat(1, 7, "data")], ["process 1 on host1"], ["host0"]),
        ([beat(0, 8, "data"), beat(1, 7, "save")], ["process 1 on host1"], ["host0"]),
        # It went on furthest, but is gone: the others wait for it.
        (
            [beat(0, 7, "step"), beat(1, 7, "save", written=50.0), beat(2, 7, "data")],
            ["process 1 on host1", "writes no heartbeats any more"],
            ["host0", "host2"],
        ),
        ([beat(0, 7, "step"), 1], ["process 1, which never wrote"], ["host0"]),
        ([beat(i, 7, "step") for i in range(6)], ["host0", "host3", "and 2 more"], ["host4"]),
    ],
)
def test_the_one_that_is_behind_is_named(
    beats: list[watchdog.Beat | int], named: list[str], unnamed: list[str]
) -> None:
    told = watchdog.describe(beats, interval=10.0)
    assert all(name in told for name in named), told
    assert not any(name in told for name in unnamed), told


def run(folder: pathlib.Path, *args: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": "."}
    return subprocess.run(
        [sys.executable, "-c", HANG, str(folder), *args],
        cwd=pathlib.Path(__file__).resolve().parents[2],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_process_that_hangs_is_named_and_ended(tmp_path: pathlib.Path) -> None:
    process = run(tmp_path, "3", "60")
    assert process.returncode == watchdog.EXIT_CODE and process.stdout == ""
    first, *stacks = process.stderr.lstrip().splitlines()
    assert first.startswith("error: no progress for 0 s; behind: process 0 on "), first
    assert "(step 7, phase data since " in first
    assert any("wait_for_a_batch" in line for line in stacks), "the stacks are shown"
    written = json.loads((tmp_path / watchdog.HEARTBEATS / "0.json").read_text())
    assert (written["process"], written["step"], written["phase"]) == (0, 7, "data")


@pytest.mark.parametrize(
    ("function", "error", "told"),
    [
        ("read", "OSError", "the heartbeats cannot be read: out of reach"),
        ("describe", "RuntimeError", ""),
    ],
)
def test_it_ends_whatever_fails_on_the_way(
    tmp_path: pathlib.Path, function: str, error: str, told: str
) -> None:
    process = run(tmp_path, "3", "60", function, error)
    assert process.returncode == watchdog.EXIT_CODE and process.stdout == ""
    assert told in process.stderr


def test_progress_is_left_alone(tmp_path: pathlib.Path) -> None:
    """Many phases, together far longer than one may be."""
    process = run(tmp_path, "40", "0")
    assert (process.returncode, process.stdout) == (0, "done\n"), process.stderr


def test_it_may_be_switched_off(tmp_path: pathlib.Path) -> None:
    watch = watchdog.Watchdog(tmp_path, hang_seconds=0.0)
    watch.start()
    watch.close()
    assert not (tmp_path / watchdog.HEARTBEATS).exists()
