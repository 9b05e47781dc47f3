# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A checkpoint written on one mesh is read on another: the same bytes, the same next steps."""

import functools
import itertools
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from lingshu_jax.common import checkpoints, sharding, structs
from lingshu_jax.models import axes
from lingshu_jax.stages import optim, optim_config, step
from lingshu_jax.stages import state as train_state
from tests import small
from tests.models import goldens

ROWS, BEFORE, AFTER = 8, 2, 2
TOLERANCE, MARGIN = 1e-6, 100
MESHES = {
    "one device": {},
    "data=2 fsdp=4": {"data": 2, "fsdp": 4},
    "fsdp=4 tensor=2": {"fsdp": 4, "tensor": 2},
}
CONFIG = optim_config.OptimConfig(
    trainable=(("vision/.*", None), (".*", 1e-3)), warmup_steps=0, weight_decay=0.1
)
META = {"data": {"row": 3}}


class Written(NamedTuple):
    """What a mesh left after `BEFORE` steps, and where it then went on its own."""

    folder: pathlib.Path
    state: dict[str, np.ndarray]
    losses: list[float]


def make_mesh(name: str) -> jax.sharding.Mesh:
    sizes = MESHES[name]
    return sharding.make_mesh(sizes, jax.devices()[: 8 if sizes else 1])


@functools.cache
def optimizer_of(seed: int = 0) -> Any:
    host = small.random_params(seed=seed)
    groups = optim.assign_groups(list(optim.flatten(host)), CONFIG.rules(CONFIG.trainable))
    return host, groups, optim.make_optimizer(CONFIG, groups)


def make_state(mesh: jax.sharding.Mesh, seed: int = 0) -> train_state.TrainState:
    host, groups, optimizer = optimizer_of(seed)
    params = jax.device_put(host, sharding.param_shardings(host, axes.PARAM_AXES, mesh))
    return train_state.create(params, groups, optimizer, mesh)


@functools.cache
def compiled_step() -> Any:
    options = {"model": small.MODEL, "optimizer": optimizer_of()[2]}
    return goldens.compiled_quickly()(
        functools.partial(step.train_step, **options, accumulation_steps=1, num_sources=2)
    )


def take_steps(
    state: train_state.TrainState, mesh: jax.sharding.Mesh, count: int
) -> tuple[train_state.TrainState, list[float]]:
    """Each on a batch of its own number."""
    losses = []
    for _ in range(count):
        rows = small.mixed_rows(np.random.default_rng(int(state.step)), ROWS)
        batch: structs.Batch = sharding.place_batch(small.make_batch(rows), mesh)
        state, metrics = compiled_step()(
            state, batch, dict.fromkeys(state.trained, np.float32(1e-3))
        )
        losses.append(float(metrics["loss"]))
    return state, losses


def host_copy(state: train_state.TrainState) -> dict[str, np.ndarray]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Written]:
    """A checkpoint of each mesh, made when it is first asked for."""

    @functools.cache
    def write(name: str) -> Written:
        mesh = make_mesh(name)
        state, _ = take_steps(make_state(mesh), mesh, BEFORE)
        path = tmp_path_factory.mktemp("written") / "c"
        folder = checkpoints.Checkpoints(path)
        train_state.save(folder, state, META, step=BEFORE)
        folder.close()
        return Written(path, host_copy(state), take_steps(state, mesh, AFTER)[1])

    return write


@pytest.mark.parametrize(("source", "target"), list(itertools.permutations(MESHES, 2)))
def test_bytes_and_next_losses(written: Callable[[str], Written], source: str, target: str) -> None:
    before, mesh = written(source), make_mesh(target)
    folder = checkpoints.Checkpoints(before.folder)
    blank = make_state(mesh, seed=1)
    restored, meta = train_state.restore(folder, blank, mesh)
    folder.close()
    assert int(restored.step) == BEFORE and meta == META
    after = host_copy(restored)
    assert after.keys() == before.state.keys()
    for name, leaf in before.state.items():
        assert leaf.tobytes() == after[name].tobytes(), name
    for part in ("trained", "frozen", "opt_state"):
        pairs = (jax.tree.leaves(getattr(x, part)) for x in (restored, blank))
        assert all(a.sharding == b.sharding for a, b in zip(*pairs, strict=True)), part
    _, losses = take_steps(restored, mesh, AFTER)
    np.testing.assert_allclose(losses, before.losses, rtol=TOLERANCE)


def test_moments_that_start_anew_fail(written: Callable[[str], Written]) -> None:
    before, mesh = written("one device"), make_mesh("one device")
    folder = checkpoints.Checkpoints(before.folder)
    blank = make_state(mesh, seed=1)
    restored, _ = train_state.restore(folder, blank, mesh)
    folder.close()
    _, losses = take_steps(restored.replace(opt_state=blank.opt_state), mesh, AFTER)
    assert abs(losses[-1] / before.losses[-1] - 1) > MARGIN * TOLERANCE
