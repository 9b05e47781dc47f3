# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Both sides of benchmarks/train_step.py take the same steps: losses from equal weights agree."""

import json
import pathlib
import sys

import pytest

from benchmarks import train_step, train_step_sides

pytestmark = pytest.mark.oracle
MARGIN = 10  # by which the twin must miss


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("work")
    train_step.write_check(folder)
    return folder


@pytest.fixture(scope="module")
def ours(folder: pathlib.Path) -> list[float]:
    return train_step.first_losses(train_step.OURS, folder, sys.executable)


@pytest.mark.parametrize("form", [train_step.BUCKETED, train_step.PACKED_SDPA])
def test_losses_agree(form: str, folder: pathlib.Path, ours: list[float]) -> None:
    theirs = train_step.first_losses(form, folder, sys.executable)
    gap = train_step.largest_gap({train_step.OURS: ours, form: theirs})
    print(f"\n{form}: {gap:.1e}")
    assert gap < train_step.CLOSE


def test_another_rate_is_noticed(folder: pathlib.Path, ours: list[float]) -> None:
    path = folder / train_step_sides.SETTINGS
    before = path.read_text()
    settings = json.loads(before)
    settings["rates"]["text"] *= 2
    path.write_text(json.dumps(settings))
    theirs = train_step.first_losses(train_step.BUCKETED, folder, sys.executable)
    path.write_text(before)
    gap = train_step.largest_gap({train_step.OURS: ours, train_step.BUCKETED: theirs})
    assert theirs[0] == pytest.approx(ours[0], rel=train_step.CLOSE), "before any update"
    assert gap > MARGIN * train_step.CLOSE
