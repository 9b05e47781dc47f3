# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Conversion and export killed while they write: nothing looks finished, and they run again."""

import dataclasses
import pathlib
import signal
import time

import numpy as np
import pytest

from lingshu_jax import convert, export
from lingshu_jax.common import checkpoints
from lingshu_jax.models import safetensors_files
from tests import small

pytestmark = pytest.mark.kill

KILLS, KILLS_REDUCED = 10, 2
# A hundred megabytes: long enough to write that a process can be killed in the middle.
LARGER = dataclasses.replace(
    small.SIZE,
    text=dataclasses.replace(small.SIZE.text, num_layers=16, mlp_dim=8192, vocab_size=8192),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return small.write_folder(tmp_path_factory.mktemp("kill") / "hf", LARGER)


def kill_while_writing(command: str, *flags: str, seen: pathlib.Path, wait: float) -> bool:
    """Starts a command, kills it `wait` seconds after `seen` appears; whether it still ran."""
    process = small.start(command, *flags)
    while process.poll() is None and not any(seen.parent.glob(seen.name)):
        time.sleep(0.002)
    time.sleep(wait)
    process.kill()
    process.communicate()
    return process.returncode == -signal.SIGKILL


def same_tensors(left: pathlib.Path, right: pathlib.Path) -> bool:
    ours, theirs = safetensors_files.Tensors(left), safetensors_files.Tensors(right)
    return set(ours) == set(theirs) and all(np.array_equal(ours[n], theirs[n]) for n in ours)


def test_a_killed_conversion(folder: pathlib.Path, tmp_path: pathlib.Path, reduced: bool) -> None:
    rng, killed = np.random.default_rng(0), 0
    for trial in range(KILLS_REDUCED if reduced else KILLS):
        target = tmp_path / f"checkpoint{trial}"
        flags = [f"--hf={folder}", f"--checkpoint={target}"]
        seen, wait = target / "0*", float(rng.uniform(0, 0.1))
        killed += kill_while_writing("convert", *flags, seen=seen, wait=wait)
        opened = checkpoints.Checkpoints(target)
        is_complete = opened.latest_step() is not None
        opened.close()
        if is_complete:
            continue  # killed after the commit
        assert checkpoints.is_unused(target)
        convert.convert(folder, target)
        export.export(target, tmp_path / f"back{trial}")
        assert same_tensors(tmp_path / f"back{trial}", folder)
    assert killed, "every process had finished before it was killed"


def test_a_killed_export(folder: pathlib.Path, tmp_path: pathlib.Path, reduced: bool) -> None:
    rng, killed = np.random.default_rng(1), 0
    convert.convert(folder, tmp_path / "checkpoint")
    for trial in range(KILLS_REDUCED if reduced else KILLS):
        target = tmp_path / f"hf{trial}"
        flags = [f"--checkpoint={tmp_path / 'checkpoint'}", f"--hf={target}"]
        seen = target.with_name(f"{target.name}.partial")
        killed += kill_while_writing("export", *flags, seen=seen, wait=float(rng.uniform(0, 0.1)))
        if not target.exists():
            export.export(tmp_path / "checkpoint", target)
        assert same_tensors(target, folder)
        assert not seen.exists()
    assert killed, "every process had finished before it was killed"
