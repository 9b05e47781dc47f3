# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A stage trained by several processes is the run of one, file by file and step by step."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lingshu_jax.common import metrics, sharding
from lingshu_jax.stages import initial, optim
from tests.distributed import processes

pytestmark = pytest.mark.kill

STEPS, SAVE_EVERY = 32, 4
TOLERANCE, PARAMS_TOLERANCE = 1e-5, 1e-4
# What the number of processes must not change; the first four are sums or means over all of them.
COUNTS = ("tokens", "sequences", "images", "fill/tokens", "fill/patches", "lr/all")


@pytest.fixture(scope="module")
def config(small_folder: pathlib.Path, small_rows: pathlib.Path) -> list[str]:
    file = f"tests/stages/small_stage.py:{small_folder},{small_rows}"
    return [f"--config={file}", f"--config.steps={STEPS}"]


def train(
    config: list[str], workdir: pathlib.Path, *, count: int, devices: int, until: int = STEPS
) -> processes.Group:
    """Trains to the end, or until a step is saved, and then ends all processes at once."""
    logs = workdir.with_name(f"{workdir.name}-{count}-processes")
    args = [*config, f"--workdir={workdir}"]
    with processes.joined(count, "lingshu_jax.train", args, folder=logs, devices=devices) as group:
        if until == STEPS:
            group.finish()
        else:
            group.wait_until(lambda: (workdir / "checkpoints" / str(until)).is_dir())
    return group


def values(workdir: pathlib.Path, *names: str) -> np.ndarray:
    rows = metrics.read_rows(workdir)
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    return np.array([[row[name] for name in names] for row in rows])


def gap(ours: pathlib.Path, theirs: pathlib.Path) -> float:
    """The largest of both curves, relative."""
    curves = [values(folder, "loss", "grad_norm") for folder in (ours, theirs)]
    return float(np.abs(curves[0] / curves[1] - 1).max())


def final_params(workdir: pathlib.Path) -> dict[str, np.ndarray]:
    """Of the last checkpoint, read by one process on one device."""
    mesh = sharding.make_mesh({}, jax.devices()[:1])
    params = initial.find(workdir).load(mesh, jnp.dtype(jnp.float32))
    return {name: np.asarray(leaf) for name, leaf in optim.flatten(params).items()}


def params_gap(ours: pathlib.Path, theirs: pathlib.Path) -> float:
    """The largest of all leaves, relative, in norm."""
    expected = final_params(theirs)
    return max(
        float(np.linalg.norm(leaf - expected[name]) / np.linalg.norm(expected[name]))
        for name, leaf in final_params(ours).items()
    )


@pytest.fixture(scope="module")
def alone(config: list[str], tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A run of one process with four devices."""
    workdir = tmp_path_factory.mktemp("alone") / "run"
    train(config, workdir, count=1, devices=4)
    return workdir


def test_two_processes_are_one_run(
    config: list[str], alone: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    workdir = tmp_path / "run"
    group = train(config, workdir, count=2, devices=2)
    assert gap(workdir, alone) < TOLERANCE
    assert params_gap(workdir, alone) < PARAMS_TOLERANCE
    np.testing.assert_allclose(values(workdir, *COUNTS), values(alone, *COUNTS), rtol=1e-12)
    names = {path.name for path in workdir.iterdir()}
    assert names == {path.name for path in alone.iterdir()}
    for name in ("config.json", "params.txt", "data.json", "dropped.jsonl", "rewritten.jsonl"):
        assert (workdir / name).read_text() == (alone / name).read_text(), name
    ours, theirs = (json.loads((f / "finished.json").read_text()) for f in (workdir, alone))
    for name in ("steps", "examples", "dropped", "rewritten", "trained", "frozen"):
        assert ours[name] == theirs[name], name
    assert "rows encoded" in group.output(0) and "last_loss" in group.output(0)
    assert not any(word in group.output(1) for word in ("encoded", "last_loss", "step/s"))


def test_rows_that_overlap_in_part_are_refused(config: list[str], tmp_path: pathlib.Path) -> None:
    """Three shares of rows over two processes."""
    axes = ["--config.mesh.data=3", "--config.mesh.fsdp=1", "--config.mesh.tensor=2"]
    args = [*config, *axes, "--config.data.rows_per_batch=6", f"--workdir={tmp_path / 'run'}"]
    with processes.joined(2, "lingshu_jax.train", args, folder=tmp_path, devices=3) as group:
        assert group.wait() == [2, 2], group.said()
    assert "gives processes rows that overlap in part" in group.output(1)
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_run_goes_on_with_another_number_of_processes(
    config: list[str], alone: pathlib.Path, tmp_path: pathlib.Path, reduced: bool
) -> None:
    if reduced:
        pytest.skip("the short form joins two processes once")
    workdir = tmp_path / "run"
    train(config, workdir, count=2, devices=2, until=SAVE_EVERY)
    train(config, workdir, count=1, devices=4, until=2 * SAVE_EVERY)
    assert not (workdir / "finished.json").exists()
    train(config, workdir, count=4, devices=1)
    assert gap(workdir, alone) < TOLERANCE
    assert params_gap(workdir, alone) < PARAMS_TOLERANCE
