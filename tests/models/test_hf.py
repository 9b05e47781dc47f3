# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Hugging Face folders: there and back bit by bit; whatever does not fit is an error."""

import dataclasses
import json
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from lingshu_jax.common import errors
from lingshu_jax.models import hf, sizes
from tests import small

Tensors = dict[str, np.ndarray]
TIED = dataclasses.replace(
    small.SIZE, text=dataclasses.replace(small.SIZE.text, tie_embeddings=True)
)


def read_tensors(folder: pathlib.Path) -> Tensors:
    return {
        name: tensor
        for path in folder.glob("*.safetensors")
        for name, tensor in safetensors.numpy.load_file(path).items()
    }


def write_tensors(folder: pathlib.Path, tensors: Tensors) -> None:
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")


def assert_identical(left: Tensors, right: Tensors) -> None:
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert tensor.dtype == right[name].dtype and tensor.shape == right[name].shape, name
        assert tensor.tobytes() == right[name].tobytes(), name


@pytest.fixture
def folder(small_folder: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy that a test may damage."""
    return pathlib.Path(shutil.copytree(small_folder, tmp_path / "hf"))


def change_config(folder: pathlib.Path, change: Callable[[dict[str, Any]], None]) -> None:
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("size", [small.SIZE, TIED], ids=["untied", "tied"])
def test_there_and_back(size: sizes.ModelSize, dtype: str, tmp_path: pathlib.Path) -> None:
    source = small.write_folder(tmp_path / "hf", size, dtype=dtype)
    assert hf.read_config(source) == size
    params = hf.load_params(source, size)
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(params)} == {dtype}
    back = tmp_path / "back"
    back.mkdir()
    hf.write_weights(params, size, back)
    assert_identical(read_tensors(back), read_tensors(source))
    assert ("lm_head.weight" in read_tensors(back)) != size.text.tie_embeddings


def test_one_changed_value_is_noticed(small_folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    params = hf.load_params(small_folder, small.SIZE)
    params["text"]["layers"]["attention"]["q"]["kernel"][1, 2, 3, 4] *= 1 + 1e-6
    hf.write_weights(params, small.SIZE, tmp_path)
    with pytest.raises(AssertionError, match="layers.1.self_attn.q_proj.weight"):
        assert_identical(read_tensors(tmp_path), read_tensors(small_folder))


def test_tensors_have_the_published_names_and_shapes(small_folder: pathlib.Path) -> None:
    shapes = {name: tensor.shape for name, tensor in read_tensors(small_folder).items()}
    vision, text = small.SIZE.vision, small.SIZE.text
    heads, kv_heads = text.num_heads * text.head_dim, text.num_kv_heads * text.head_dim
    expected = {
        "visual.patch_embed.proj.weight": (vision.embed_dim, 3, 2, 14, 14),
        "visual.blocks.3.attn.qkv.weight": (3 * vision.embed_dim, vision.embed_dim),
        "visual.blocks.0.attn.qkv.bias": (3 * vision.embed_dim,),
        "visual.blocks.0.mlp.down_proj.weight": (vision.embed_dim, vision.mlp_dim),
        "visual.merger.ln_q.weight": (vision.embed_dim,),
        "visual.merger.mlp.2.weight": (text.embed_dim, 4 * vision.embed_dim),
        "model.embed_tokens.weight": (text.vocab_size, text.embed_dim),
        "model.layers.1.self_attn.q_proj.weight": (heads, text.embed_dim),
        "model.layers.1.self_attn.k_proj.bias": (kv_heads,),
        "model.layers.0.self_attn.o_proj.weight": (text.embed_dim, heads),
        "lm_head.weight": (text.vocab_size, text.embed_dim),
    }
    assert {name: shapes[name] for name in expected} == expected


def test_the_other_naming_is_read(folder: pathlib.Path) -> None:
    def renamed(name: str) -> str:
        if name.startswith("visual."):
            return f"model.{name}"
        return name.replace("model.", "model.language_model.", 1)

    tensors = {renamed(name): tensor for name, tensor in read_tensors(folder).items()}
    assert "model.language_model.layers.0.input_layernorm.weight" in tensors
    expected = hf.load_params(folder, small.SIZE)
    write_tensors(folder, tensors)
    jax.tree.map(np.testing.assert_array_equal, hf.load_params(folder, small.SIZE), expected)


def test_two_names_of_one_tensor_are_an_error(folder: pathlib.Path) -> None:
    tensors = read_tensors(folder)
    tensors["model.language_model.norm.weight"] = tensors["model.norm.weight"] + 1
    write_tensors(folder, tensors)
    with pytest.raises(errors.UserError, match=r"model\.norm\.weight"):
        hf.load_params(folder, small.SIZE)


def test_an_indexed_folder_equals_a_single_file(
    small_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    params = hf.load_params(small_folder, small.SIZE)
    hf.write_weights(params, small.SIZE, tmp_path, shard_bytes=100_000)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    files = sorted(tmp_path.glob("*.safetensors"))
    assert len(files) > 2 and files[0].name == f"model-00001-of-{len(files):05d}.safetensors"
    assert set(index["weight_map"].values()) == {path.name for path in files}
    assert index["metadata"]["total_size"] == sum(x.nbytes for x in jax.tree.leaves(params))
    for path in files:
        stored = safetensors.numpy.load_file(path)
        assert sum(x.nbytes for x in stored.values()) <= 100_000 or len(stored) == 1
        assert all(index["weight_map"][name] == path.name for name in stored)
    assert_identical(read_tensors(tmp_path), read_tensors(small_folder))
    jax.tree.map(np.testing.assert_array_equal, hf.load_params(tmp_path, small.SIZE), params)


def without_a_tensor(folder: pathlib.Path) -> None:
    tensors = read_tensors(folder)
    del tensors["visual.merger.mlp.0.bias"]
    write_tensors(folder, tensors)


def with_an_extra_tensor(folder: pathlib.Path) -> None:
    extra = {"model.layers.2.mlp.up_proj.weight": np.zeros((2, 2), np.float32)}
    write_tensors(folder, {**read_tensors(folder), **extra})


def with_a_transposed_tensor(folder: pathlib.Path) -> None:
    tensors = read_tensors(folder)
    name = "model.layers.0.mlp.up_proj.weight"
    write_tensors(folder, {**tensors, name: np.ascontiguousarray(tensors[name].T)})


def with_a_short_vector(folder: pathlib.Path) -> None:
    tensors = read_tensors(folder)
    write_tensors(folder, {**tensors, "model.norm.weight": tensors["model.norm.weight"][:-1]})


def with_a_transposed_embedding(folder: pathlib.Path) -> None:
    tensors = read_tensors(folder)
    name = "model.embed_tokens.weight"
    write_tensors(folder, {**tensors, name: np.ascontiguousarray(tensors[name].T)})


def with_an_older_order_of_patch_axes(folder: pathlib.Path) -> None:
    tensors = read_tensors(folder)
    name = "visual.patch_embed.proj.weight"
    moved = np.ascontiguousarray(tensors[name].swapaxes(1, 2))
    write_tensors(folder, {**tensors, name: moved})


def truncated(folder: pathlib.Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def cut_inside_the_header(folder: pathlib.Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:100])


def pickled(folder: pathlib.Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def with_an_index_of_missing_shards(folder: pathlib.Path) -> None:
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def with_a_broken_index(folder: pathlib.Path) -> None:
    (folder / "model.safetensors.index.json").write_text("{")


def with_an_index_without_a_map(folder: pathlib.Path) -> None:
    (folder / "model.safetensors.index.json").write_text("{}")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (without_a_tensor, ["missing tensors ['visual.merger.mlp.0.bias']", "unused tensors []"]),
        (with_an_extra_tensor, ["missing tensors []", "['model.layers.2.mlp.up_proj.weight']"]),
        (with_a_transposed_tensor, ["model.layers.0.mlp.up_proj.weight [64, 96] not [96, 64]"]),
        (with_a_short_vector, ["model.norm.weight [63] not [64]"]),
        (with_a_transposed_embedding, ["model.embed_tokens.weight [64, 288] not [288, 64]"]),
        (with_an_older_order_of_patch_axes, ["[32, 2, 3, 14, 14] not [32, 3, 2, 14, 14]"]),
        (truncated, ["model.safetensors", "damaged"]),
        (cut_inside_the_header, ["model.safetensors", "damaged"]),
        (pickled, ["model.safetensors", "pickled .bin files are not read"]),
        (with_an_index_of_missing_shards, ["holds no ['model-00001-of-00002.safetensors'], which"]),
        (with_a_broken_index, ["model.safetensors.index.json"]),
        (with_an_index_without_a_map, ["model.safetensors.index.json", "weight_map"]),
    ],
)
def test_damage_is_one_clear_error(
    folder: pathlib.Path, damage: Callable[[pathlib.Path], None], words: list[str]
) -> None:
    damage(folder)
    with pytest.raises(errors.UserError) as raised:
        hf.load_params(folder, small.SIZE)
    assert all(word in str(raised.value) for word in words), raised.value
    assert str(folder) in str(raised.value)


def test_every_wrong_shape_is_listed(folder: pathlib.Path) -> None:
    tensors = read_tensors(folder)
    biases = {n: tensor[:-1] for n, tensor in tensors.items() if n.endswith("attn.proj.bias")}
    write_tensors(folder, {**tensors, **biases, "extra": np.zeros(1, np.float32)})
    with pytest.raises(errors.UserError, match=r"unused tensors \['extra'\]") as raised:
        hf.open_leaves(folder, small.SIZE)
    assert all(f"{name} [31] not [32]" in str(raised.value) for name in biases) and len(biases) == 4


def test_many_missing_tensors_are_counted(folder: pathlib.Path) -> None:
    write_tensors(folder, {"model.norm.weight": np.ones(64, np.float32)})
    with pytest.raises(errors.UserError, match=r"and \d+ more; unused tensors \[\]"):
        hf.load_params(folder, small.SIZE)


def test_a_head_that_differs_unties(folder: pathlib.Path) -> None:
    change_config(folder, lambda config: config.update(tie_word_embeddings=True))
    size = hf.read_config(folder)
    assert not size.text.tie_embeddings
    params = hf.load_params(folder, size)
    head = read_tensors(folder)["lm_head.weight"]
    np.testing.assert_array_equal(params["text"]["head"], head.T)


def test_a_stored_copy_of_the_embedding_stays_tied(tmp_path: pathlib.Path) -> None:
    source = small.write_folder(tmp_path / "hf", TIED)
    tensors = read_tensors(source)
    copied = {"lm_head.weight": tensors["model.embed_tokens.weight"].copy()}
    write_tensors(source, {**tensors, **copied})
    assert hf.read_config(source) == TIED
    assert "head" not in hf.load_params(source, TIED)["text"]


def test_untied_without_a_head_is_an_error(folder: pathlib.Path) -> None:
    tensors = read_tensors(folder)
    del tensors["lm_head.weight"]
    write_tensors(folder, tensors)
    with pytest.raises(errors.UserError, match=r"missing tensors \['lm_head.weight'\]"):
        hf.load_params(folder, hf.read_config(folder))


def test_a_tied_head_without_an_embedding_is_an_error(folder: pathlib.Path) -> None:
    change_config(folder, lambda config: config.update(tie_word_embeddings=True))
    tensors = read_tensors(folder)
    del tensors["model.embed_tokens.weight"]
    write_tensors(folder, tensors)
    with pytest.raises(errors.UserError, match=r"missing tensors \['model.embed_tokens.weight'\]"):
        hf.load_params(folder, hf.read_config(folder))


def test_the_dtype_can_be_chosen(small_folder: pathlib.Path) -> None:
    params = hf.load_params(small_folder, small.SIZE, jnp.dtype(jnp.bfloat16))
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(jnp.bfloat16)}
