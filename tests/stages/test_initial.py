# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""First weights: the same from a Hugging Face folder and from a checkpoint, on any mesh."""

import json
import pathlib
import shutil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from lingshu_jax import convert
from lingshu_jax.common import errors, sharding
from lingshu_jax.models import axes, hf
from lingshu_jax.stages import initial
from tests import small

MESHES = ({"fsdp": 8}, {"data": 2, "fsdp": 2, "tensor": 2}, {"fsdp": 4, "data": 2})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return small.write_folder(tmp_path_factory.mktemp("initial") / "hf", dtype="bfloat16")


@pytest.fixture(scope="module")
def checkpoint(folder: pathlib.Path) -> pathlib.Path:
    target = folder.parent / "checkpoint"
    convert.convert(folder, target)
    return target


def assert_same(left: Any, right: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, left, right)


@pytest.mark.parametrize("sizes", MESHES, ids=str)
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32], ids=["bfloat16", "float32"])
def test_both_sources_give_the_same_placed_arrays(
    folder: pathlib.Path, checkpoint: pathlib.Path, sizes: dict[str, int], dtype: Any
) -> None:
    mesh, dtype = sharding.make_mesh(sizes), jnp.dtype(dtype)
    host = hf.load_params(folder, small.SIZE, dtype)
    places = sharding.param_shardings(host, axes.PARAM_AXES, mesh)
    for source in (folder, checkpoint):
        params = initial.find(source).load(mesh, dtype)
        assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {dtype}
        assert jax.tree.map(lambda leaf: leaf.sharding, params) == places
        assert_same(params, host)


def test_a_changed_layer_is_noticed(folder: pathlib.Path, checkpoint: pathlib.Path) -> None:
    """The twin: two layers of the checkpoint change places."""
    mesh = sharding.make_mesh({"fsdp": 8})
    chunks = checkpoint / "0" / "params" / "text.layers.mlp.up.kernel"
    first, second = (chunks / f"{layer}.0.0" for layer in (0, 1))
    contents = first.read_bytes(), second.read_bytes()
    first.write_bytes(contents[1])
    second.write_bytes(contents[0])
    try:
        params = initial.find(checkpoint).load(mesh, jnp.dtype(jnp.bfloat16))
        with pytest.raises(AssertionError):
            assert_same(params, hf.load_params(folder, small.SIZE))
    finally:
        first.write_bytes(contents[0])
        second.write_bytes(contents[1])


def test_each_device_reads_its_part_of_the_file(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing larger than a device's part is read, and no part twice."""
    largest: dict[int, int] = {}
    total: dict[int, int] = {}
    read = hf.Leaf.__getitem__

    def recorded(leaf: hf.Leaf, index: Any) -> np.ndarray:
        part = read(leaf, index)
        key = id(leaf)
        largest[key] = max(largest.get(key, 0), part.size)
        total[key] = total.get(key, 0) + part.size
        return part

    monkeypatch.setattr(hf.Leaf, "__getitem__", recorded)
    leaves: dict[str, hf.Leaf] = {}
    opened = hf.open_leaves
    monkeypatch.setattr(hf, "open_leaves", lambda *a: leaves.update(opened(*a)) or dict(leaves))
    mesh = sharding.make_mesh({"fsdp": 4, "tensor": 2})
    params = initial.find(folder).load(mesh, jnp.dtype(jnp.bfloat16))
    split = 0
    for path, leaf in leaves.items():
        placed = hf.lookup(params, path)
        part = int(np.prod(placed.sharding.shard_shape(placed.shape)))
        assert largest[id(leaf)] == part, path
        assert total[id(leaf)] == placed.size, path
        split += part < placed.size
    assert split > len(leaves) / 2


def test_a_converted_step_holds_one_layer_a_chunk(checkpoint: pathlib.Path) -> None:
    params = checkpoint / "0" / "params"
    shapes = hf.leaf_shapes(small.SIZE)
    for path, shape in shapes.items():
        about = json.loads((params / path.replace("/", ".") / ".zarray").read_text())
        expected = (1, *shape[1:]) if axes.is_stacked(path) else shape
        assert about["chunks"] == list(expected) and about["shape"] == list(shape), path
    assert any(axes.is_stacked(path) for path in shapes)


def test_a_damaged_folder_is_refused_before_it_is_loaded(
    folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    damaged = pathlib.Path(shutil.copytree(folder, tmp_path / "damaged"))
    path = damaged / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(errors.UserError, match="model.safetensors is damaged"):
        initial.find(damaged)
    tensors = safetensors.numpy.load_file(folder / "model.safetensors")
    del tensors["model.norm.weight"]
    safetensors.numpy.save_file(tensors, path)
    with pytest.raises(errors.UserError, match="model.norm.weight"):
        initial.find(damaged)
