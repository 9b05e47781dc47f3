# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Two or four processes, joined by `lingshu_jax.common.runtime`, compute what one does.

The loss and the gradients of `lingshu_jax.stages.step`. The reference is one device of this
process, a row for each sequence, as in `tests/stages/test_splits.py`.
"""

import json
import pathlib

import numpy as np
import pytest

from tests.distributed import processes
from tests.stages import test_splits

pytestmark = pytest.mark.kill


def outcomes(
    folder: pathlib.Path, count: int, devices: int, sizes: dict[str, int]
) -> dict[str, test_splits.Outcome]:
    """Of every batch, from a mesh over the devices of all processes."""
    file = folder / "losses.json"
    args = [str(file), json.dumps(sizes)]
    with processes.joined(
        count, "tests.distributed.gradients", args, folder=folder, devices=devices
    ) as group:
        group.finish()
    losses = json.loads(file.read_text())
    found = {}
    for name in test_splits.BATCHES:
        with np.load(folder / f"{name}.npz") as stored:
            gradients = {leaf: stored[leaf] for leaf in stored.files}
        found[name] = test_splits.Outcome(losses[name], gradients)
    return found


@pytest.fixture(scope="module")
def expected() -> dict[str, test_splits.Outcome]:
    return test_splits.reference()


def check(found: dict[str, test_splits.Outcome], expected: dict[str, test_splits.Outcome]) -> None:
    for name, outcome in found.items():
        gap = test_splits.gap(outcome, expected[name])
        assert gap.is_small(), (name, gap)


def test_two_processes(expected: dict[str, test_splits.Outcome], tmp_path: pathlib.Path) -> None:
    """The rows of the batch over both, and two tensor devices in each."""
    check(outcomes(tmp_path, 2, 2, {"data": 2, "tensor": 2}), expected)


@pytest.mark.parametrize(
    ("count", "devices", "sizes"),
    [
        pytest.param(2, 2, {"tensor": 4}, id="both processes hold all rows"),
        pytest.param(2, 4, {"data": 2, "fsdp": 2, "tensor": 2}, id="two times four devices"),
        pytest.param(4, 1, {"fsdp": 4}, id="four processes"),
        pytest.param(4, 2, {"fsdp": 2, "tensor": 4}, id="two processes hold the same rows"),
    ],
)
def test_more_processes(
    count: int,
    devices: int,
    sizes: dict[str, int],
    expected: dict[str, test_splits.Outcome],
    tmp_path: pathlib.Path,
    reduced: bool,
) -> None:
    if reduced:
        pytest.skip("the short form joins two processes once")
    check(outcomes(tmp_path, count, devices, sizes), expected)
