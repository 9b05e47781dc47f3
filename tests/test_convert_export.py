# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Hugging Face folder -> checkpoint -> Hugging Face folder: identical tensors, whole or nothing."""

import json
import pathlib
import shutil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from lingshu_jax import convert, export
from lingshu_jax.common import checkpoints, errors, sharding
from lingshu_jax.data import messages
from lingshu_jax.models import axes, hf, lora, peft
from lingshu_jax.stages import initial, optim, trainer
from tests import small


def tensors_of(folder: pathlib.Path) -> dict[str, np.ndarray]:
    return safetensors.numpy.load_file(folder / "model.safetensors")


def assert_identical(left: pathlib.Path, right: pathlib.Path) -> None:
    ours, theirs = tensors_of(left), tensors_of(right)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert tensor.dtype == theirs[name].dtype, name
        is_equal = tensor.tobytes() == theirs[name].tobytes()
        assert is_equal, name  # asserting the equality itself would show every byte that differs


@pytest.fixture(scope="module")
def checkpoint(
    small_folder: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("converted") / "checkpoint"
    convert.convert(small_folder, folder)
    return folder


@pytest.fixture(scope="module")
def exported(checkpoint: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("exported") / "hf"
    export.export(checkpoint, folder)
    return folder


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_tensors_come_back_bit_by_bit(dtype: str, tmp_path: pathlib.Path) -> None:
    source = small.write_folder(tmp_path / "hf", dtype=dtype)
    convert.convert(source, tmp_path / "checkpoint")
    export.export(tmp_path / "checkpoint", tmp_path / "back")
    assert_identical(tmp_path / "back", source)
    assert json.loads((tmp_path / "back" / "config.json").read_text())["torch_dtype"] == dtype


def test_rounding_on_the_way_is_noticed(checkpoint: pathlib.Path, tmp_path: pathlib.Path) -> None:
    export.export(checkpoint, tmp_path / "half", dtype="bfloat16")
    convert.convert(tmp_path / "half", tmp_path / "checkpoint")
    export.export(tmp_path / "checkpoint", tmp_path / "back", dtype="float32")
    export.export(checkpoint, tmp_path / "whole")
    with pytest.raises(AssertionError):
        assert_identical(tmp_path / "back", tmp_path / "whole")


def test_each_parameter_keeps_its_own_dtype(
    small_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    source = tmp_path / "mixed"
    shutil.copytree(small_folder, source)
    tensors = tensors_of(source)
    half = {n: x.astype(jnp.bfloat16) for n, x in tensors.items() if "norm" not in n}
    safetensors.numpy.save_file(tensors | half, source / "model.safetensors")
    convert.convert(source, tmp_path / "checkpoint")
    export.export(tmp_path / "checkpoint", tmp_path / "back_in_one")
    config = json.loads((tmp_path / "back_in_one" / "config.json").read_text())
    assert config["torch_dtype"] == "bfloat16"
    assert_identical(tmp_path / "back_in_one", source)


def test_bfloat16_survives_float32(tmp_path: pathlib.Path) -> None:
    source = small.write_folder(tmp_path / "hf", dtype="bfloat16")
    convert.convert(source, tmp_path / "checkpoint")
    export.export(tmp_path / "checkpoint", tmp_path / "wide", dtype="float32")
    convert.convert(tmp_path / "wide", tmp_path / "wide_checkpoint")
    export.export(tmp_path / "wide_checkpoint", tmp_path / "back", dtype="bfloat16")
    assert_identical(tmp_path / "back", source)
    config = json.loads((tmp_path / "back" / "config.json").read_text())
    assert config["torch_dtype"] == "bfloat16"


def test_the_exported_folder_is_complete(
    small_folder: pathlib.Path, exported: pathlib.Path
) -> None:
    names = {path.name for path in exported.iterdir()}
    assert names == {path.name for path in small_folder.iterdir()} | {"README.md"}
    assert hf.read_config(exported) == small.SIZE
    for name in names - {"config.json", "README.md", "model.safetensors"}:
        assert (exported / name).read_bytes() == (small_folder / name).read_bytes(), name
    encoder = messages.Encoder(exported, **small.PIXELS)
    assert encoder.special == small.SIZE.special
    assert "not a medical device" in (exported / "README.md").read_text()


def test_nothing_but_the_folders_appears(checkpoint: pathlib.Path, exported: pathlib.Path) -> None:
    assert [path.name for path in checkpoint.parent.iterdir()] == ["checkpoint"]
    assert {path.name for path in checkpoint.iterdir()} == {"0", "assets"}
    assert [path.name for path in exported.parent.iterdir()] == ["hf"]


def test_a_stage_can_start_from_either(
    small_folder: pathlib.Path, checkpoint: pathlib.Path
) -> None:
    folder, converted = initial.find(small_folder), initial.find(checkpoint)
    assert (folder.is_checkpoint, converted.is_checkpoint) == (False, True)
    assert folder.size == converted.size


def test_an_interrupted_conversion_is_written_again(
    small_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    target = tmp_path / "checkpoint"
    (target / "0.orbax-checkpoint-tmp").mkdir(parents=True)
    (target / "assets.partial").mkdir()
    convert.convert(small_folder, target)
    export.export(target, tmp_path / "back")
    assert_identical(tmp_path / "back", small_folder)


def test_an_interrupted_export_is_written_again(
    checkpoint: pathlib.Path, small_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "hf.partial").mkdir()
    (tmp_path / "hf.partial" / "stray.txt").write_text("")
    export.export(checkpoint, tmp_path / "hf")
    assert_identical(tmp_path / "hf", small_folder)
    assert [path.name for path in tmp_path.iterdir()] == ["hf"]
    assert not (tmp_path / "hf" / "stray.txt").exists()


def test_the_newest_step_of_a_run_is_exported(
    checkpoint: pathlib.Path, small_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    workdir = tmp_path / "run"
    shutil.copytree(checkpoint, workdir / "checkpoints")
    folder = checkpoints.Checkpoints(workdir / "checkpoints")
    newer = small.random_params(seed=1)
    stacked = frozenset(name for name in hf.leaf_shapes(small.SIZE) if axes.is_stacked(name))
    folder.save(5, newer, opt_state={"mu": newer}, meta={}, stacked=stacked)
    folder.close()
    export.export(workdir, tmp_path / "hf")
    expected = dict(hf.hub_tensors(newer, small.SIZE))
    ours = tensors_of(tmp_path / "hf")
    assert all(ours[name].tobytes() == tensor.tobytes() for name, tensor in expected.items())
    assert ours.keys() == expected.keys() == tensors_of(small_folder).keys()


@pytest.fixture
def adapted(
    checkpoint: pathlib.Path, key: jax.Array, tmp_path: pathlib.Path
) -> tuple[pathlib.Path, dict[str, Any]]:
    """A checkpoint with adapters, trained so far that they matter, and its parameters."""
    params = lora.add(
        small.random_params(), r"text/layers/attention/\w+|merger/down", rank=3, alpha=6.0, key=key
    )
    noise = np.random.default_rng(3)
    for module, adapter in lora.find(params).items():
        hf.insert(params, f"{module}/lora_b", noise.standard_normal(adapter.b.shape, np.float32))
    shutil.copytree(checkpoint / "assets", tmp_path / "adapted" / "assets")
    folder = checkpoints.Checkpoints(tmp_path / "adapted")
    trained = [name for name in optim.flatten(params) if lora.is_adapter(name)]
    folder.save(4, params, opt_state=None, meta={trainer.TRAINED: trained})
    folder.close()
    return tmp_path / "adapted", params


def test_adapters_are_merged_on_the_way(
    adapted: tuple[pathlib.Path, dict[str, Any]], tmp_path: pathlib.Path
) -> None:
    source, params = adapted
    export.export(source, tmp_path / "hf")
    merged = lora.merge(jax.tree.map(np.asarray, params))
    expected = dict(hf.hub_tensors(merged, small.SIZE))
    ours = tensors_of(tmp_path / "hf")
    assert ours.keys() == expected.keys()
    for name, tensor in expected.items():
        np.testing.assert_allclose(ours[name], tensor, rtol=0, atol=1e-5, err_msg=name)
    plain = dict(hf.hub_tensors(lora.strip(params), small.SIZE))
    changed = {name for name in ours if np.abs(ours[name] - plain[name]).max() > 1e-2}
    assert len(changed) == 4 * small.SIZE.text.num_layers + 1
    loaded = initial.find(source).load(sharding.make_mesh({"fsdp": 8}), jnp.dtype(jnp.float32))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-5), loaded, merged)


def test_adapters_alone(
    adapted: tuple[pathlib.Path, dict[str, Any]], checkpoint: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    source, params = adapted
    export.export_adapter(source, tmp_path / "adapter")
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] is None  # a folder's name may be a stranger's id
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "adapter").iterdir()}
    assert len(set(modes.values())) == 1, modes
    back = peft.read(tmp_path / "adapter", small.SIZE)
    jax.tree.map(np.testing.assert_array_equal, back, lora.split(params)[1])
    with pytest.raises(errors.UserError, match="hold no LoRA adapters"):
        export.export_adapter(checkpoint, tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.fixture
def damaged(small_folder: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / "damaged"
    shutil.copytree(small_folder, folder)
    tensors = tensors_of(folder)
    del tensors["model.norm.weight"]
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")
    return folder


def test_conversion_of_bad_input_leaves_nothing(
    damaged: pathlib.Path,
    checkpoint: pathlib.Path,
    small_folder: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    target = tmp_path / "checkpoint"
    (tmp_path / "empty").mkdir()
    cases = [
        (damaged, r"missing tensors \['model.norm.weight'\]"),
        (tmp_path / "nowhere", "no folder .*nowhere"),
        (tmp_path / "empty", "empty is neither a Hugging Face folder"),
        (checkpoint, "is a checkpoint already"),
    ]
    for source, message in cases:
        with pytest.raises(errors.UserError, match=message):
            convert.convert(source, target)
        assert not target.exists()
    (tmp_path / "file").touch()
    with pytest.raises(errors.UserError, match="cannot make the folder .*file/inside: Not a dir"):
        convert.convert(small_folder, tmp_path / "file" / "inside")


def test_a_folder_in_use_is_not_touched(
    small_folder: pathlib.Path, checkpoint: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    (tmp_path / "site" / "assets").mkdir(parents=True)
    (tmp_path / "site" / "assets" / "logo.png").write_text("mine")
    places = [tmp_path / name for name in ("file", "full", "site")]
    for target in (checkpoint, small_folder, *places):
        with pytest.raises(errors.UserError, match=f"--checkpoint={target} is in use"):
            convert.convert(small_folder, target)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["notes.txt"]
    assert (tmp_path / "site" / "assets" / "logo.png").read_text() == "mine"


def test_export_of_bad_input_leaves_nothing(
    checkpoint: pathlib.Path, small_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    without_step = tmp_path / "without"
    shutil.copytree(checkpoint / "assets", without_step / "assets")
    cases = [
        (small_folder, "is no checkpoint folder"),
        (tmp_path / "nowhere", "is no checkpoint folder"),
        (without_step, "holds no complete checkpoint"),
    ]
    for source, message in cases:
        with pytest.raises(errors.UserError, match=message):
            export.export(source, tmp_path / "hf")
    assert [path.name for path in tmp_path.iterdir()] == ["without"]


def test_export_never_overwrites(checkpoint: pathlib.Path, exported: pathlib.Path) -> None:
    before = (exported / "model.safetensors").stat().st_mtime_ns
    with pytest.raises(errors.UserError, match="exists already; choose a new folder"):
        export.export(checkpoint, exported)
    assert (exported / "model.safetensors").stat().st_mtime_ns == before


def test_a_checkpoint_of_other_sizes_is_refused(
    checkpoint: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(checkpoint, copy)
    path = copy / "assets" / "config.json"
    config = json.loads(path.read_text())
    config["num_hidden_layers"] += 1
    path.write_text(json.dumps(config))
    with pytest.raises(errors.UserError, match=r"text/layers/.*\(2, .*not \(3, "):
        export.export(copy, tmp_path / "hf")
    assert not (tmp_path / "hf").exists()


def test_the_commands(small_folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    target = tmp_path / "checkpoint"
    flags = [f"--hf={small_folder}", f"--checkpoint={target}"]
    out = small.finish(small.start("convert", *flags))
    assert json.loads(out) == {"checkpoint": str(target), "step": 0}
    flags = [f"--checkpoint={target}", f"--hf={tmp_path / 'hf'}", "--dtype=bfloat16"]
    assert json.loads(small.finish(small.start("export", *flags))) == {"hf": str(tmp_path / "hf")}
    other = f"--hf={tmp_path / 'other'}"
    failing = {
        "is no checkpoint folder": small.start("export", f"--checkpoint={tmp_path}", other),
        "no --dtype": small.start("export", "--adapter", "--dtype=bfloat16", flags[0], other),
        "leave --checkpoint out": small.start(
            "convert", "--verify", f"--hf={small_folder}", flags[0]
        ),
        "cannot write --hf=/dev/null/x": small.start("export", flags[0], "--hf=/dev/null/x"),
    }
    for words, process in failing.items():
        assert words in small.fail(process)
    assert not (tmp_path / "other").exists()
    assert {leaf.dtype for leaf in tensors_of(small_folder).values()} == {np.dtype(np.float32)}
    assert {leaf.dtype for leaf in tensors_of(tmp_path / "hf").values()} == {jnp.dtype("bfloat16")}
