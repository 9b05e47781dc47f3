# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Hugging Face folders: there and back bit by bit; whatever does not fit is an error."""

import copy
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
from lingshu_jax.models import hf, hf_config, sizes
from tests import small

Tensors = dict[str, np.ndarray]
NO_LAYERS = json.dumps(
    {
        "model_type": "qwen2_5_vl",
        "rope_scaling": {"type": "mrope", "mrope_section": [3, 5, 4]},
        "hidden_size": 64,
        "num_attention_heads": 4,
    }
)
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
        (with_a_transposed_tensor, ["model.layers.0.mlp.up_proj.weight", "[64, 96]"]),
        (with_a_short_vector, ["model.norm.weight", "[63]", "[64]"]),
        (with_a_transposed_embedding, ["model.embed_tokens.weight", "[64, 288]", "[288, 64]"]),
        (truncated, ["model.safetensors", "damaged"]),
        (cut_inside_the_header, ["model.safetensors", "damaged"]),
        (pickled, ["model.safetensors", "pickled .bin files are not read"]),
        (with_an_index_of_missing_shards, ["holds no model-00001-of-00002.safetensors"]),
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
    assert str(folder) in str(raised.value) or "tensor" in str(raised.value)


def test_many_missing_tensors_are_counted(folder: pathlib.Path) -> None:
    write_tensors(folder, {"model.norm.weight": np.ones(64, np.float32)})
    with pytest.raises(errors.UserError, match=r"and \d+ more; unused tensors \[\]"):
        hf.load_params(folder, small.SIZE)


# config.json


def as_4_57(config: dict[str, Any]) -> None:
    """Flat and nested; the tie flag only nested where it is true."""
    config["rope_scaling"] |= {"type": "default", "rope_type": "default"}
    config["text_config"] = {k: v for k, v in config.items() if k != "vision_config"}
    if config["tie_word_embeddings"]:
        del config["tie_word_embeddings"]


def as_5(config: dict[str, Any]) -> None:
    """Text fields nested only, rope under rope_parameters."""
    top = {"architectures", "model_type", "vision_config", "tie_word_embeddings"}
    text = {
        key: config.pop(key) for key in list(config) if key not in top and "token_id" not in key
    }
    scaling = text.pop("rope_scaling")
    text["rope_parameters"] = {
        "rope_theta": text.pop("rope_theta"),
        "rope_type": "default",
        "type": "mrope",
        "mrope_section": scaling["mrope_section"],
    }
    config["text_config"] = text | {"tie_word_embeddings": config["tie_word_embeddings"]}
    config["vision_config"]["rope_parameters"] = {"rope_type": "axial", "rope_theta": 10000.0}


def as_4_49(config: dict[str, Any]) -> None:
    """The vision part keeps only a few keys."""
    kept = ("hidden_size", "in_chans", "intermediate_size", "spatial_patch_size")
    kept += ("tokens_per_second",)
    config["vision_config"] = {key: config["vision_config"][key] for key in kept}
    config["rope_scaling"] |= {"type": "default", "rope_type": "default"}


@pytest.mark.parametrize("name", ["3b", "7b", "32b", "72b"])
@pytest.mark.parametrize("layout", [dict, as_4_57, as_5, as_4_49])
def test_each_layout_gives_the_same_sizes(layout: Callable[[Any], Any], name: str) -> None:
    size = sizes.get(name)
    config = copy.deepcopy(hf_config.dump(size, dtype="bfloat16"))
    layout(config)
    assert hf_config.parse(json.loads(json.dumps(config))) == size


def test_files_that_omit_everything_get_the_published_tower() -> None:
    size = sizes.get("7b")
    config = hf_config.dump(size, dtype="bfloat16")
    config["vision_config"] = {"hidden_size": 1280, "spatial_patch_size": 14}
    assert hf_config.parse(config).vision == size.vision


def test_other_values_are_read_not_assumed(small_folder: pathlib.Path) -> None:
    """Every size of the small model differs from the published ones."""
    assert hf_config.read(small_folder) == small.SIZE
    published = sizes.get("7b")
    for part in ("vision", "text"):
        ours, theirs = (dataclasses.asdict(getattr(x, part)) for x in (small.SIZE, published))
        same = {key for key in ours if ours[key] == theirs[key]}
        assert same <= {"geometry", "rms_norm_eps", "tie_embeddings"}


@pytest.mark.parametrize(
    ("top", "nested", "is_tied"),
    [(True, None, True), (None, True, True), (False, True, True), (False, None, False)],
)
def test_the_tie_flag_may_stand_in_two_places(
    top: bool | None, nested: bool | None, is_tied: bool
) -> None:
    config = hf_config.dump(small.SIZE, dtype="float32")
    del config["tie_word_embeddings"]
    if top is not None:
        config["tie_word_embeddings"] = top
    if nested is not None:
        config["text_config"] = {"tie_word_embeddings": nested}
    assert hf_config.parse(config).text.tie_embeddings == is_tied


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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "holds no config.json"),
        ("{", "is not JSON"),
        ("[]", "must hold a JSON object"),
        ('{"model_type": "llama"}', "model_type 'llama'"),
        ('{"model_type": "qwen2_5_vl"}', "is not multimodal rope"),
        (NO_LAYERS, "lacks the field 'num_hidden_layers'"),
    ],
    ids=["missing", "broken", "a_list", "other_model", "empty", "no_layers"],
)
def test_bad_config(folder: pathlib.Path, text: str | None, message: str) -> None:
    (folder / "config.json").unlink()
    if text is not None:
        (folder / "config.json").write_text(text)
    with pytest.raises(errors.UserError, match=message):
        hf_config.read(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rope_scaling": {"type": "yarn", "factor": 4.0}}, "not multimodal rope"),
        ({"use_sliding_window": True}, "use_sliding_window true is not supported"),
        ({"num_attention_heads": 3}, "num_attention_heads 3 is not a multiple"),
        ({"hidden_size": "64"}, "hidden_size must be a whole number above 0, got '64'"),
        ({"vision_config": None}, "hidden_size"),
    ],
    ids=["yarn", "sliding_window", "heads", "wrong_type", "no_tower"],
)
def test_unusable_config(folder: pathlib.Path, change: dict[str, Any], message: str) -> None:
    change_config(folder, lambda config: config.update(change))
    with pytest.raises(errors.UserError, match=message):
        hf_config.read(folder)


def test_the_dtype_can_be_chosen(small_folder: pathlib.Path) -> None:
    params = hf.load_params(small_folder, small.SIZE, jnp.dtype(jnp.bfloat16))
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(jnp.bfloat16)}
