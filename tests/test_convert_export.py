# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Hugging Face folder -> checkpoint -> Hugging Face folder: identical tensors, whole or nothing."""

import json
import pathlib
import shutil

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from lingshu_jax import convert, export
from lingshu_jax.common import checkpoints, errors
from lingshu_jax.data import messages
from lingshu_jax.models import hf
from lingshu_jax.stages import initial
from tests import small


def tensors_of(folder: pathlib.Path) -> dict[str, np.ndarray]:
    return safetensors.numpy.load_file(folder / "model.safetensors")


def assert_identical(left: pathlib.Path, right: pathlib.Path) -> None:
    ours, theirs = tensors_of(left), tensors_of(right)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert tensor.dtype == theirs[name].dtype, name
        assert tensor.tobytes() == theirs[name].tobytes(), name


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


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_tensors_come_back_bit_by_bit(dtype: str, tmp_path: pathlib.Path) -> None:
    source = small.write_folder(tmp_path / "hf", dtype=dtype)
    convert.convert(source, tmp_path / "checkpoint", dtype=dtype)
    export.export(tmp_path / "checkpoint", tmp_path / "back")
    assert_identical(tmp_path / "back", source)


def test_rounding_on_the_way_is_noticed(small_folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    convert.convert(small_folder, tmp_path / "checkpoint", dtype="bfloat16")
    export.export(tmp_path / "checkpoint", tmp_path / "back", dtype="float32")
    with pytest.raises(AssertionError):
        assert_identical(tmp_path / "back", small_folder)


def test_bfloat16_survives_float32(tmp_path: pathlib.Path) -> None:
    source = small.write_folder(tmp_path / "hf", dtype="bfloat16")
    convert.convert(source, tmp_path / "checkpoint", dtype="float32")
    export.export(tmp_path / "checkpoint", tmp_path / "back", dtype="bfloat16")
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
    assert "Not a medical device" in (exported / "README.md").read_text()


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
    folder.save(5, newer, opt_state={"mu": newer}, meta={})
    folder.close()
    export.export(workdir, tmp_path / "hf")
    expected = dict(hf.hub_tensors(newer, small.SIZE))
    ours = tensors_of(tmp_path / "hf")
    assert all(ours[name].tobytes() == tensor.tobytes() for name, tensor in expected.items())
    assert ours.keys() == expected.keys() == tensors_of(small_folder).keys()


@pytest.fixture
def damaged(small_folder: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / "damaged"
    shutil.copytree(small_folder, folder)
    tensors = tensors_of(folder)
    del tensors["model.norm.weight"]
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")
    return folder


def test_conversion_of_bad_input_leaves_nothing(
    damaged: pathlib.Path, checkpoint: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    target = tmp_path / "checkpoint"
    (tmp_path / "empty").mkdir()
    cases = [
        (damaged, r"missing tensors \['model.norm.weight'\]"),
        (tmp_path / "nowhere", "no folder .*nowhere"),
        (tmp_path / "empty", "empty is no checkpoint folder"),
        (checkpoint, "is a checkpoint already"),
    ]
    for source, message in cases:
        with pytest.raises(errors.UserError, match=message):
            convert.convert(source, target)
        assert not target.exists()


def test_a_folder_in_use_is_not_touched(
    small_folder: pathlib.Path, checkpoint: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    for target in (checkpoint, small_folder, tmp_path / "file", tmp_path / "full"):
        with pytest.raises(errors.UserError, match=f"--checkpoint={target} is in use"):
            convert.convert(small_folder, target)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["notes.txt"]


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
    flags = [f"--hf={small_folder}", f"--checkpoint={target}", "--dtype=bfloat16"]
    out = small.finish(small.start("convert", *flags))
    assert json.loads(out) == {"checkpoint": str(target), "step": 0}
    failed = small.start("export", f"--checkpoint={tmp_path}", f"--hf={tmp_path / 'hf'}")
    assert "is no checkpoint folder" in small.fail(failed)
    stored = {leaf.dtype for leaf in tensors_of(small_folder).values()}
    assert stored == {np.dtype(np.float32)}, "the flag changed the dtype"
    export.export(target, tmp_path / "hf")
    assert {leaf.dtype for leaf in tensors_of(tmp_path / "hf").values()} == {jnp.dtype("bfloat16")}
