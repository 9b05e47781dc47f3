# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Folders are read and written in pieces, and the pieces are the whole."""

import json
import pathlib
import struct
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from lingshu_jax.common import errors
from lingshu_jax.models import axes, hf, safetensors_files
from tests import small


class Watched:
    """A parameter that remembers the largest part of it that was asked for."""

    def __init__(self, array: np.ndarray):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.largest = 0

    def __getitem__(self, index: Any) -> np.ndarray:
        part = self.array[index]
        self.largest = max(self.largest, part.nbytes)
        return part


def test_parts_of_a_leaf_equal_parts_of_the_whole(
    small_folder: pathlib.Path, rng: np.random.Generator
) -> None:
    whole = hf.load_params(small_folder, small.SIZE)
    for path, leaf in hf.open_leaves(small_folder, small.SIZE).items():
        expected = hf.lookup(whole, path)
        np.testing.assert_array_equal(leaf[()], expected)
        for _ in range(4):
            ends = [sorted(rng.integers(0, n + 1, 2).tolist()) for n in leaf.shape]
            index = tuple(slice(*pair) for pair in ends)
            np.testing.assert_array_equal(leaf[index], expected[index])
            assert leaf[index].flags.c_contiguous


@pytest.mark.parametrize("max_bytes", [500, 4_000, 10**9])
def test_blocks_cover_a_leaf_once(small_folder: pathlib.Path, max_bytes: int) -> None:
    for path, leaf in hf.open_leaves(small_folder, small.SIZE).items():
        found = np.full(leaf.shape, np.nan, np.float32)
        for index, values in leaf.blocks(max_bytes):
            assert np.isnan(found[index]).all(), path
            found[index] = values
        np.testing.assert_array_equal(found, leaf[()])


@pytest.mark.parametrize("max_bytes", [8_000, None])
def test_a_tensor_in_blocks_is_the_tensor(max_bytes: int | None, tmp_path: pathlib.Path) -> None:
    params = small.random_params()
    hf.write_weights(params, small.SIZE, tmp_path)
    expected = safetensors.numpy.load_file(tmp_path / "model.safetensors")
    watched = jax.tree.map(Watched, params)
    entries = hf.hub_entries(watched, small.SIZE, max_bytes=max_bytes)
    safetensors_files.write(tmp_path, entries)
    found = safetensors.numpy.load_file(tmp_path / "model.safetensors")
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    assert found.keys() == expected.keys()
    for path, shape in hf.leaf_shapes(small.SIZE).items():
        leaf = hf.lookup(watched, path)
        layer = leaf.array.nbytes // (shape[0] if axes.is_stacked(path) else 1)
        assert leaf.largest <= (max_bytes or layer), path


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_the_library_reads_what_we_write(dtype: str, tmp_path: pathlib.Path) -> None:
    tensors = {
        "a": np.arange(12, dtype=np.float32).reshape(3, 4).astype(dtype),
        "b.c": np.ones((2, 1, 3), dtype),
        "ü": np.zeros(5, dtype),
    }
    entries = [
        safetensors_files.Entry(n, x.shape, x.dtype, [lambda x=x: x[:1], lambda x=x: x[1:]])
        for n, x in tensors.items()
    ]
    safetensors_files.write(tmp_path, entries)
    found = safetensors.numpy.load_file(tmp_path / "model.safetensors")
    mapped = safetensors_files.Tensors(tmp_path)
    assert found.keys() == tensors.keys() == set(mapped)
    for name, tensor in tensors.items():
        assert found[name].dtype == mapped[name].dtype == tensor.dtype
        np.testing.assert_array_equal(found[name], tensor)
        np.testing.assert_array_equal(mapped[name], tensor)
        assert not mapped[name].flags.writeable


def test_a_block_too_few_is_noticed(tmp_path: pathlib.Path) -> None:
    tensor = np.ones((4, 2), np.float32)
    entry = safetensors_files.Entry("a", tensor.shape, tensor.dtype, [lambda: tensor[:3]])
    with pytest.raises(AssertionError, match="a: 24 bytes, not 32"):
        safetensors_files.write(tmp_path, [entry])


def test_quantised_weights_are_refused_by_name(tmp_path: pathlib.Path) -> None:
    tensors = {"a.weight": np.ones(3, np.float32), "a.qweight": np.ones(3, np.int32)}
    safetensors.numpy.save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(errors.UserError, match=r"dtypes than F32, F16, BF16: .*a.qweight: I32"):
        safetensors_files.Tensors(tmp_path)


def test_layers_of_several_dtypes_are_refused(
    small_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    tensors = safetensors.numpy.load_file(small_folder / "model.safetensors")
    name = "model.layers.1.mlp.up_proj.weight"
    tensors[name] = tensors[name].astype(ml_dtypes.bfloat16)
    safetensors.numpy.save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(errors.UserError, match=r"mlp.up_proj.weight have several dtypes: .*bfloat"):
        hf.open_leaves(tmp_path, small.SIZE)


def test_an_index_cannot_name_files_elsewhere(tmp_path: pathlib.Path) -> None:
    index = {"weight_map": {"a": "../secret.safetensors"}}
    (tmp_path / safetensors_files.INDEX).write_text(json.dumps(index))
    with pytest.raises(errors.UserError, match="names files outside its folder"):
        safetensors_files.Tensors(tmp_path)


def test_a_header_that_lies_is_damage(tmp_path: pathlib.Path) -> None:
    header = {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 8]}}
    text = json.dumps(header).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(8))
    with pytest.raises(errors.UserError, match="is damaged or no safetensors file"):
        safetensors_files.Tensors(tmp_path)


def test_device_arrays_are_written_as_host_arrays(tmp_path: pathlib.Path) -> None:
    params = small.random_params()
    hf.write_weights(jax.tree.map(jnp.asarray, params), small.SIZE, tmp_path)
    found = safetensors.numpy.load_file(tmp_path / "model.safetensors")
    for name, tensor in hf.hub_tensors(params, small.SIZE):
        assert found[name].tobytes() == tensor.tobytes(), name
