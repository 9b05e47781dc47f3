# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""One global batch gives one loss and one gradient, however it is split.

Cut in accumulation steps, packed, over data-parallel, fsdp, tensor and context devices, for both
normalisations; rows hold very different numbers of trained tokens, and pictures or none. The
optimizer is a trace without memory: its state after a step is the gradient.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lingshu_jax.common import sharding, structs
from lingshu_jax.data import messages, packing
from lingshu_jax.models import axes, qwen2_5_vl
from lingshu_jax.stages import optim, step
from lingshu_jax.stages import state as train_state
from tests import small
from tests.models import goldens

ROWS, SOURCES = 8, 2
LOSS_TOLERANCE, GRADIENT_TOLERANCE, MARGIN = 1e-6, 1e-4, 100
# The small model with heads for a tensor axis of eight.
SIZE = dataclasses.replace(
    small.SIZE,
    vision=dataclasses.replace(small.SIZE.vision, num_heads=8),
    text=dataclasses.replace(
        small.SIZE.text, num_heads=16, num_kv_heads=8, head_dim=12, mrope_section=(1, 3, 2)
    ),
)
MODEL = qwen2_5_vl.Qwen2_5_VL(size=SIZE)
BUDGET = packing.Budget(tokens=96, patches=8 * 64)  # for a context axis of eight
# Eight sequences, a row for each or packed unevenly.
SEPARATE = tuple((i,) for i in range(ROWS))
PACKED = ((0,), (1,), (2, 3, 5), (4,), (6, 7), (), (), ())
BATCHES: dict[str, tuple[str, Any]] = {
    f"{kind}, {normalization}": (kind, normalization)
    for kind in ("some images", "text only")
    for normalization in ("token", "sequence")
}
TRACE = optax.trace(decay=0.0)
# Mesh and accumulation steps; every axis is 2, 4 and 8 once, on as many devices as it asks for.
SPLITS = {
    "data=2 steps=4": ({"data": 2}, 4),
    "data=4 fsdp=2": ({"data": 4, "fsdp": 2}, 1),
    "data=8": ({"data": 8}, 1),
    "fsdp=8": ({"fsdp": 8}, 1),
    "fsdp=4 tensor=2 steps=2": ({"fsdp": 4, "tensor": 2}, 2),
    "data=2 tensor=4": ({"data": 2, "tensor": 4}, 1),
    "data=2 fsdp=2 tensor=2 steps=2": ({"data": 2, "fsdp": 2, "tensor": 2}, 2),
    "tensor=8": ({"tensor": 8}, 1),
    "context=8": ({"context": 8}, 1),
    "fsdp=2 context=4": ({"fsdp": 2, "context": 4}, 1),
    "tensor=2 context=2 steps=4": ({"tensor": 2, "context": 2}, 4),
    "data=2 fsdp=2 context=2 steps=2": ({"data": 2, "fsdp": 2, "context": 2}, 2),
    "fsdp=2 tensor=2 context=2": ({"fsdp": 2, "tensor": 2, "context": 2}, 1),
}


class Outcome(NamedTuple):
    """Of one step."""

    loss: float
    gradients: dict[str, np.ndarray]


class Gap(NamedTuple):
    """Relative differences of the loss, and of the gradient that differs most, in norm."""

    loss: float
    gradient: float

    def is_small(self) -> bool:
        return self.loss < LOSS_TOLERANCE and self.gradient < GRADIENT_TOLERANCE

    def is_large(self) -> bool:
        return self.loss > MARGIN * LOSS_TOLERANCE and self.gradient > MARGIN * GRADIENT_TOLERANCE


@functools.cache
def compiled_step(accumulation_steps: int) -> Any:
    return goldens.compiled_quickly()(
        functools.partial(
            step.train_step,
            model=MODEL,
            optimizer=TRACE,
            accumulation_steps=accumulation_steps,
            num_sources=SOURCES,
        )
    )


def make_mesh(**sizes: int) -> jax.sharding.Mesh:
    return sharding.make_mesh(sizes, jax.devices()[: int(np.prod([*sizes.values()], initial=1))])


@functools.cache
def initial_state(mesh: jax.sharding.Mesh) -> train_state.TrainState:
    """Placed as a run places it."""
    host = small.random_params(SIZE)
    params = jax.device_put(host, sharding.param_shardings(host, axes.PARAM_AXES, mesh))
    trained = optim.flatten(params)
    places = train_state.opt_shardings(trained, TRACE, mesh)
    opt_state = jax.jit(TRACE.init, out_shardings=places)(trained)
    count = jax.device_put(jnp.int32(0), sharding.replicated(mesh))
    return train_state.TrainState(step=count, trained=trained, frozen={}, opt_state=opt_state)


def step_on(
    batch: structs.Batch, mesh: jax.sharding.Mesh, accumulation_steps: int = 1
) -> tuple[float, dict[str, jax.Array]]:
    """Loss and gradients, these as the mesh holds them, of the rows that this process has."""
    state = initial_state(mesh)
    rates = dict.fromkeys(state.trained, np.float32(1.0))
    placed = sharding.place_batch(batch, mesh)
    with jax.set_mesh(mesh):
        after, metrics = compiled_step(accumulation_steps)(state, placed, rates)
    return float(metrics["loss"]), after.opt_state.trace


def run(batch: structs.Batch, mesh: jax.sharding.Mesh, accumulation_steps: int = 1) -> Outcome:
    loss, gradients = step_on(batch, mesh, accumulation_steps)
    return Outcome(loss, {name: np.asarray(leaf) for name, leaf in gradients.items()})


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """In norm; without a picture the gradient of the vision tower is exactly nothing."""
    if not theirs.any():
        return float(ours.any())
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


def gap(ours: Outcome, theirs: Outcome) -> Gap:
    gradients = [difference(ours.gradients[name], leaf) for name, leaf in theirs.gradients.items()]
    return Gap(abs(ours.loss / theirs.loss - 1), max(gradients))


def make_sequences(kind: str) -> list[messages.Encoded]:
    """Eight; one trains sixty tokens, another a single one."""
    rng = np.random.default_rng(11)
    shapes = ((56, 84), (112, 56), (56, 56))
    made = []
    for i, answer in enumerate((3, 60, 1, 9, 30, 2, 5, 14)):
        pictures = [shapes[(i + j) % 3] for j in range(i % 3)] if kind == "some images" else []
        made.append(small.sequence(rng, f"{i}", pictures=pictures, answer=answer, source=i % 2))
    return made


def make_batch(kind: str, normalization: Any, rows: Sequence[Sequence[int]]) -> structs.Batch:
    sequences = make_sequences(kind)
    packed = [[sequences[i] for i in row] for row in rows]
    return small.make_batch(packed, BUDGET, normalization=normalization)


@pytest.fixture(scope="module")
def packed() -> dict[str, structs.Batch]:
    return {name: make_batch(*args, PACKED) for name, args in BATCHES.items()}


def reference() -> dict[str, Outcome]:
    """Each batch on one device, in one piece, a row for each sequence."""
    return {name: run(make_batch(*args, SEPARATE), make_mesh()) for name, args in BATCHES.items()}


@pytest.fixture(scope="module")
def expected() -> dict[str, Outcome]:
    return reference()


def largest_gap(
    batches: dict[str, structs.Batch],
    expected: dict[str, Outcome],
    mesh: jax.sharding.Mesh,
    accumulation_steps: int = 1,
) -> Gap:
    """Of all batches."""
    gaps = [
        gap(run(batch, mesh, accumulation_steps), expected[name]) for name, batch in batches.items()
    ]
    return Gap(max(gap.loss for gap in gaps), max(gap.gradient for gap in gaps))


@pytest.mark.parametrize("accumulation_steps", [1, 2, 4])
def test_packed_and_accumulated(
    packed: dict[str, structs.Batch], expected: dict[str, Outcome], accumulation_steps: int
) -> None:
    found = largest_gap(packed, expected, make_mesh(), accumulation_steps)
    assert found.is_small(), found


@pytest.mark.parametrize("name", SPLITS)
def test_on_a_mesh(
    packed: dict[str, structs.Batch], expected: dict[str, Outcome], name: str
) -> None:
    sizes, accumulation_steps = SPLITS[name]
    found = largest_gap(packed, expected, make_mesh(**sizes), accumulation_steps)
    assert found.is_small(), found


# A mean on each device, or in each micro-batch, and then the mean of these, is another number.


def mean_of_parts(batch: structs.Batch, parts: Sequence[slice]) -> structs.Batch:
    """Each part of the rows divided by its own weight instead of that of the batch."""
    weights = np.array(batch.loss_weights)
    for rows in parts:
        weights[rows] /= max(weights[rows].sum(), 1e-20)
    return dataclasses.replace(batch, loss_weights=weights)


@pytest.mark.parametrize("name", BATCHES)
def test_a_mean_on_each_device_fails(
    packed: dict[str, structs.Batch], expected: dict[str, Outcome], name: str
) -> None:
    devices = [slice(row, row + 1) for row in range(ROWS)]
    found = gap(run(mean_of_parts(packed[name], devices), make_mesh(data=8)), expected[name])
    assert found.is_large(), found


@pytest.mark.parametrize("name", BATCHES)
def test_a_mean_of_each_micro_batch_fails(
    packed: dict[str, structs.Batch], expected: dict[str, Outcome], name: str
) -> None:
    """Micro-batch a holds the rows a and a + 4."""
    micro = [slice(first, None, 4) for first in range(4)]
    found = gap(run(mean_of_parts(packed[name], micro), make_mesh(), 4), expected[name])
    assert found.is_large(), found
