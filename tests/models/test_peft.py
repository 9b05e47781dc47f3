# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""PEFT folders written and read without peft; `tests/oracle/test_peft.py` has it load them."""

import json
import pathlib
import re
from collections.abc import Callable
from typing import Any

import jax
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from flax import traverse_util

from lingshu_jax.common import errors
from lingshu_jax.models import layers, lora, peft
from tests import small
from tests.models import test_lora

BASE = "Qwen/Qwen2.5-VL-7B-Instruct"
PREFIX = "base_model.model."
MERGER = ["merger/norm/scale", "merger/up/kernel", "merger/up/bias"]
MERGER += ["merger/down/kernel", "merger/down/bias"]


def flat(params: layers.Params) -> dict[str, Any]:
    return traverse_util.flatten_dict(params, sep="/")


def modules_in_memory() -> set[str]:
    """Linear layers of the small model in transformers, and some that must stay untouched."""
    text, vision = "model.language_model.layers", "model.visual.blocks"
    names = {f"{text}.{i}.self_attn.{n}_proj" for i in range(test_lora.LAYERS) for n in "qkvo"}
    blocks = [(text, i) for i in range(test_lora.LAYERS)]
    blocks += [(vision, i) for i in range(test_lora.BLOCKS)]
    names |= {f"{p}.{i}.mlp.{n}_proj" for p, i in blocks for n in ("gate", "up", "down")}
    names |= {f"{vision}.{i}.attn.{n}" for i in range(test_lora.BLOCKS) for n in ("qkv", "proj")}
    return names | {"model.visual.merger.mlp.0", "model.visual.merger.mlp.2"}


OTHERS = {"lm_head", "model.language_model.embed_tokens", "model.visual.patch_embed.proj"}


def read_files(folder: pathlib.Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    config = json.loads((folder / peft.CONFIG).read_text())
    return config, safetensors.numpy.load_file(folder / peft.WEIGHTS)


@pytest.fixture
def written(tmp_path: pathlib.Path) -> pathlib.Path:
    """Adapters on every module."""
    peft.write(tmp_path / "adapters", test_lora.adapted(), base=BASE)
    return tmp_path / "adapters"


def test_names_and_shapes_of_the_file(written: pathlib.Path) -> None:
    _, tensors = read_files(written)
    modules = modules_in_memory()
    ends = ("lora_A.weight", "lora_B.weight")
    assert tensors.keys() == {f"{PREFIX}{module}.{end}" for module in modules for end in ends}
    shapes = {name.removeprefix(PREFIX): leaf.shape for name, leaf in tensors.items()}
    rank = test_lora.RANK
    assert shapes["model.language_model.layers.1.self_attn.q_proj.lora_B.weight"] == (96, rank)
    assert shapes["model.language_model.layers.1.self_attn.o_proj.lora_A.weight"] == (rank, 96)
    assert shapes["model.visual.blocks.3.attn.qkv.lora_B.weight"] == (96, rank)
    assert shapes["model.visual.merger.mlp.0.lora_A.weight"] == (rank, 128)
    a = test_lora.adapted()["text"]["layers"]["attention"]["out"]["lora_a"][1]
    stored = tensors[f"{PREFIX}model.language_model.layers.1.self_attn.o_proj.lora_A.weight"]
    assert (stored == a.reshape(96, rank).T).all()


def test_config_of_the_folder(written: pathlib.Path) -> None:
    config, _ = read_files(written)
    assert config["peft_type"] == "LORA" and config["task_type"] == "CAUSAL_LM"
    assert config["base_model_name_or_path"] == BASE and config["inference_mode"] is True
    assert (config["r"], config["lora_alpha"]) == (test_lora.RANK, test_lora.ALPHA)
    assert config["rank_pattern"] == config["alpha_pattern"] == {}
    assert config["modules_to_save"] is None


@pytest.mark.parametrize("pattern", [".*", "text/layers/mlp/gate", "vision/.*/gate|merger/down"])
def test_target_modules_hit_exactly_the_adapted(tmp_path: pathlib.Path, pattern: str) -> None:
    """gate_proj is in text and vision; the regex is matched against the whole name."""
    peft.write(tmp_path / "x", test_lora.adapted(pattern), base=BASE)
    config, tensors = read_files(tmp_path / "x")
    everything = modules_in_memory() | OTHERS
    hit = {name for name in everything if re.fullmatch(config["target_modules"], name)}
    assert hit == {name.removeprefix(PREFIX).rpartition(".lora_")[0] for name in tensors}
    assert ("model.language_model.layers.0.mlp.gate_proj" in hit) == pattern.startswith((".", "t"))
    assert ("model.visual.blocks.0.mlp.gate_proj" in hit) == (not pattern.startswith("t"))


def test_round_trip(written: pathlib.Path) -> None:
    again, before = flat(peft.read(written, small.SIZE)), flat(lora.split(test_lora.adapted())[1])
    assert again.keys() == before.keys()
    for name, leaf in before.items():
        assert again[name].dtype == np.float32 and again[name].tobytes() == leaf.tobytes(), name


def test_leaves_that_read_themselves_are_written_too(
    written: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    stored = jax.tree.map(test_lora.Stored, test_lora.adapted())
    peft.write(tmp_path / "stored", stored, base=BASE)
    for name in (peft.CONFIG, peft.WEIGHTS):
        assert (tmp_path / "stored" / name).read_bytes() == (written / name).read_bytes()


def test_ranks_and_scales_that_differ(tmp_path: pathlib.Path) -> None:
    """By module, as after two calls of `add`, and by layer, as PEFT allows for the scale."""
    key = jax.random.key(1)
    params = test_lora.adapted("text/layers/mlp/.*")
    params = lora.add(params, "text/layers/attention/q", rank=3, alpha=1.0, key=key)
    scale = np.array([test_lora.SCALE, 0.25], np.float32)
    params["text"]["layers"]["mlp"]["up"]["lora_scale"] = scale
    peft.write(tmp_path / "x", params, base=BASE)
    config, _ = read_files(tmp_path / "x")
    text = r"model\.language_model\.layers\."
    assert config["rank_pattern"] == {rf"{text}{i}\.self_attn\.q_proj": 3 for i in range(2)}
    assert config["alpha_pattern"] == {
        **{rf"{text}{i}\.self_attn\.q_proj": 1.0 for i in range(2)},
        rf"{text}1\.mlp\.up_proj": 1.25,
    }
    again, before = flat(peft.read(tmp_path / "x", small.SIZE)), flat(lora.split(params)[1])
    assert all((again[name] == np.asarray(leaf)).all() for name, leaf in before.items())


def test_an_alpha_is_written_without_the_rounding_of_its_scale(tmp_path: pathlib.Path) -> None:
    params = lora.add(
        small.random_params(), "merger/up", rank=48, alpha=16.0, key=jax.random.key(0)
    )
    peft.write(tmp_path / "x", params, base=BASE)
    assert read_files(tmp_path / "x")[0]["lora_alpha"] == 16.0


def test_a_trained_merger_is_saved_whole(tmp_path: pathlib.Path) -> None:
    params = test_lora.adapted("text/.*")
    trained = ["merger/down/kernel", *flat(lora.split(params)[1])]
    peft.write(tmp_path / "x", params, base=BASE, trained=trained)
    config, tensors = read_files(tmp_path / "x")
    assert config["modules_to_save"] == ["model.visual.merger"]
    kernel = tensors[f"{PREFIX}model.visual.merger.mlp.2.weight"]
    assert (kernel == params["merger"]["down"]["kernel"].T).all()
    again = flat(peft.read(tmp_path / "x", small.SIZE))
    assert {name for name in again if not lora.is_adapter(name)} == set(MERGER)
    for name in MERGER:
        assert again[name].tobytes() == flat(params)[name].tobytes()


@pytest.mark.parametrize(
    ("pattern", "trained", "message"),
    [
        ("text/.*", ["text/head"], r"trained \['text/head'\].*export the merged model"),
        ("text/.*", ["vision/patch_embed/kernel", *MERGER], r"\['vision/patch_embed/kernel'\]"),
        ("merger/up", ["merger/up/kernel"], "the merger and adapters inside it"),
    ],
)
def test_what_a_folder_cannot_hold_is_named(
    tmp_path: pathlib.Path, pattern: str, trained: list[str], message: str
) -> None:
    with pytest.raises(errors.UserError, match=message):
        peft.write(tmp_path / "x", test_lora.adapted(pattern), base=BASE, trained=trained)
    assert not list(tmp_path.iterdir())


def test_nothing_to_write(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.UserError, match="no LoRA adapters"):
        peft.write(tmp_path / "x", small.random_params(), base=BASE)
    with pytest.raises(errors.UserError, match="exists already"):
        peft.write(tmp_path, test_lora.adapted(), base=BASE)


def rewrite(
    folder: pathlib.Path,
    *,
    settings: dict[str, Any] | None = None,
    rename: Callable[[str], str | None] = str,
    change: Callable[[np.ndarray], np.ndarray] = np.asarray,
) -> None:
    """The folder with other settings, names (None drops the tensor) or values."""
    config, tensors = read_files(folder)
    (folder / peft.CONFIG).write_text(json.dumps({**config, **(settings or {})}))
    renamed = {new: change(leaf) for name, leaf in tensors.items() if (new := rename(name))}
    safetensors.numpy.save_file(renamed, folder / peft.WEIGHTS)


def test_names_of_older_releases_are_read(written: pathlib.Path) -> None:
    before = flat(peft.read(written, small.SIZE))

    def older(name: str) -> str:
        return name.replace("model.language_model.", "model.").replace("model.visual.", "visual.")

    rewrite(written, rename=older)
    again = flat(peft.read(written, small.SIZE))
    assert all((again[name] == leaf).all() for name, leaf in before.items())


def test_half_precision_is_read_as_float32(written: pathlib.Path) -> None:
    before = flat(peft.read(written, small.SIZE))
    rewrite(written, change=lambda leaf: leaf.astype(ml_dtypes.bfloat16))
    for name, leaf in flat(peft.read(written, small.SIZE)).items():
        assert leaf.dtype == np.float32
        np.testing.assert_allclose(leaf, before[name], rtol=2**-8)


def test_scales_of_rslora_and_of_patterns(written: pathlib.Path) -> None:
    """rsLoRA divides by the root of the rank; a pattern may name the end of a module's name."""
    rewrite(written, settings={"use_rslora": True, "alpha_pattern": {"gate_proj": 4, "mlp": 9}})
    adapters = lora.find(peft.read(written, small.SIZE))
    for module, adapter in adapters.items():
        alpha = 4.0 if module.endswith("gate") else test_lora.ALPHA
        np.testing.assert_allclose(adapter.scale, alpha / test_lora.RANK**0.5, rtol=1e-6)


def without(part: str) -> Callable[[str], str | None]:
    return lambda name: None if part in name else name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"settings": {"use_dora": True}}, "only plain LoRA can be read, not .*use_dora"),
        ({"settings": {"peft_type": "IA3"}}, "not {'peft_type': 'IA3'}"),
        ({"settings": {"init_lora_weights": "pissa"}}, "'init_lora_weights': 'pissa'"),
        ({"settings": {"lora_alpha": None}}, "must be JSON with lora_alpha"),
        ({"rename": without("layers.1.self_attn.q_proj")}, "1 of the 2 layers of text/.*/q;"),
        ({"rename": without("layers.1.self_attn.q_proj.lora_A")}, "1 of the 2 layers of text"),
        ({"rename": lambda n: n.replace("q_proj", "query")}, r"left over: \['model.*query.lora_A"),
        ({"rename": lambda n: n.replace("layers.1.", "layers.7.")}, "1 of the 2 layers"),
        ({"rename": without("lora_")}, "left over: none"),
        (
            {"change": lambda x: x[:, :-1]},
            r"lora_A of vision/.* has shape \[5, 31\], not \[5, 32\]",
        ),
        ({"change": lambda x: x[:-1]}, r"lora_B of vision/.* has shape \[95, 5\], not \[96, 4\]"),
        ({"change": lambda x: x.reshape(-1)}, "must be matrices"),
    ],
)
def test_a_folder_that_does_not_fit_is_named(
    written: pathlib.Path, changes: dict[str, Any], message: str
) -> None:
    rewrite(written, **changes)
    with pytest.raises(errors.UserError, match=message) as raised:
        peft.read(written, small.SIZE)
    assert "\n" not in str(raised.value)


def test_a_damaged_folder_is_named(written: pathlib.Path) -> None:
    weights = written / peft.WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(errors.UserError, match="is damaged or no safetensors file"):
        peft.read(written, small.SIZE)
    weights.rename(written / "adapter_model.bin")
    with pytest.raises(errors.UserError, match="holds no adapter_model.safetensors .*not read"):
        peft.read(written, small.SIZE)
    (written / peft.CONFIG).write_text("{")
    with pytest.raises(errors.UserError, match="adapter_config.json must be JSON"):
        peft.read(written, small.SIZE)
