# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Loss and gradients on meshes of eight devices equal those of one device."""

import dataclasses
import functools
from typing import Any

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from lingshu_jax.common import sharding, structs
from lingshu_jax.data import packing
from lingshu_jax.models import axes
from tests import small
from tests.models import goldens

TOLERANCE, MARGIN = 1e-5, 100
MESHES = {
    "data_fsdp": {"data": 2, "fsdp": 4},
    "data_fsdp_tensor": {"data": 2, "fsdp": 2, "tensor": 2},
}


@functools.cache
def make_batch() -> structs.Batch:
    budget = packing.Budget(tokens=64, patches=128)
    return small.make_batch(small.mixed_rows(np.random.default_rng(0), 8), budget)


def run(mesh: jax.sharding.Mesh, batch: structs.Batch) -> tuple[jax.Array, dict[str, Any]]:
    """Sum of the losses and its gradient, parameters and rows placed as in training."""
    host = small.random_params()
    places = sharding.param_shardings(host, axes.PARAM_AXES, mesh)
    params = jax.device_put(host, places)
    return goldens.loss_and_gradients(params, sharding.place_batch(batch, mesh), model=small.MODEL)


@functools.cache
def reference() -> tuple[jax.Array, dict[str, Any]]:
    return run(sharding.make_mesh({}, jax.devices()[:1]), make_batch())


def largest_gap(
    ours: tuple[jax.Array, dict[str, Any]], theirs: tuple[jax.Array, dict[str, Any]]
) -> float:
    """Of the loss, and of each gradient relative to the largest one of its leaf."""
    floor = 1e-3 * max(np.abs(leaf).max() for leaf in jax.tree.leaves(theirs[1]))

    def gap(a: jax.Array, b: jax.Array) -> float:
        a, b = np.asarray(a), np.asarray(b)
        return float(np.abs(a - b).max() / max(np.abs(b).max(), floor))

    return max(jax.tree.leaves(jax.tree.map(gap, ours, theirs)))


@pytest.mark.parametrize("name", MESHES)
def test_a_mesh_equals_one_device(name: str) -> None:
    out = run(sharding.make_mesh(MESHES[name]), make_batch())
    assert largest_gap(out, reference()) < TOLERANCE


def test_one_row_less_fails() -> None:
    batch = make_batch()
    weights = batch.loss_weights.copy()
    weights[5] = 0.0
    mesh = sharding.make_mesh(MESHES["data_fsdp"])
    out = run(mesh, dataclasses.replace(batch, loss_weights=weights))
    assert largest_gap(out, reference()) > MARGIN * TOLERANCE


def test_rows_may_stand_on_any_device() -> None:
    turned = jax.tree.map(lambda leaf: np.roll(leaf, 3, axis=0), make_batch())
    out = run(sharding.make_mesh(MESHES["data_fsdp"]), turned)
    assert largest_gap(out, reference()) < TOLERANCE


def test_placements_are_as_stated() -> None:
    mesh = sharding.make_mesh(MESHES["data_fsdp_tensor"])
    places = sharding.param_shardings(small.random_params(), axes.PARAM_AXES, mesh)
    text, vision = places["text"], places["vision"]
    assert text["embed"]["embedding"].spec == PartitionSpec("tensor", "fsdp")
    assert text["head"].spec == PartitionSpec("fsdp", "tensor")
    attention = text["layers"]["attention"]
    assert attention["q"]["kernel"].spec == PartitionSpec(None, "fsdp", "tensor", None)
    assert attention["out"]["kernel"].spec == PartitionSpec(None, "tensor", None, "fsdp")
    qkv = vision["blocks"]["attention"]["qkv"]["kernel"]
    assert qkv.spec == PartitionSpec(None, "fsdp", None, "tensor", None)
    assert sharding.batch_sharding(mesh).spec == PartitionSpec(("data", "fsdp"))
