# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Frozen leaves in bfloat16 under float32 training: the same losses, the published bits."""

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

from lingshu_jax import convert, export
from lingshu_jax.common import checkpoints, sharding
from lingshu_jax.models import hf, lora
from lingshu_jax.stages import initial, optim
from lingshu_jax.stages import state as train_state
from tests import small
from tests.stages import small_stage, test_loop

STEPS, SAVE_EVERY = 4, 2
CONFIG = """
from tests.stages import small_stage


def get_config(arg):
    stage = small_stage.get_config(arg)
    stage.optim.trainable = (("text/.*", None), (".*", 3e-3))
    stage.model.compute_dtype = "bfloat16"
    stage.data.rows_per_batch = 2
    stage.steps, stage.save_every_steps = 4, 2
    return stage
"""
MODULES = "text/layers/attention/(q|v)|merger/up"
LORA = [f"--config.lora.modules={MODULES}", "--config.lora.rank=4", "--config.lora.alpha=8"]
FLOAT32, BFLOAT16 = jnp.dtype(jnp.float32), jnp.dtype(jnp.bfloat16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Weights in bfloat16, as they are published."""
    return small.write_folder(tmp_path_factory.mktemp("frozen_dtype") / "hf", dtype="bfloat16")


@pytest.fixture(scope="module")
def train(
    folder: pathlib.Path, small_rows: pathlib.Path
) -> Callable[[pathlib.Path, str, list[str]], pathlib.Path]:
    """Runs the stage, or goes on with it; the frozen dtype and flags are the caller's."""
    config = folder.parent / "stage.py"
    config.write_text(CONFIG)

    def run(workdir: pathlib.Path, dtype: str, flags: list[str]) -> pathlib.Path:
        where = [f"--config={config}:{folder},{small_rows}", f"--workdir={workdir}"]
        flags = [*where, f"--config.model.frozen_dtype={dtype}", *flags]
        small.finish(small.start("train", *flags))
        return workdir

    return run


@pytest.fixture(scope="module")
def half(train: Any, folder: pathlib.Path) -> pathlib.Path:
    return train(folder.parent / "half", "bfloat16", [])


@pytest.fixture(scope="module")
def adapted(train: Any, folder: pathlib.Path) -> pathlib.Path:
    return train(folder.parent / "adapted", "bfloat16", LORA)


def stored(workdir: pathlib.Path) -> dict[str, np.ndarray]:
    """Path -> values of the last step, in the dtype that they are saved in."""
    saved = checkpoints.Checkpoints(checkpoints.find(workdir))
    leaves = {name: leaf[()] for name, leaf in optim.flatten(saved.stored_params()).items()}
    saved.close()
    return leaves


def published(folder: pathlib.Path) -> dict[str, np.ndarray]:
    return optim.flatten(hf.load_params(folder, small.SIZE))


def same(left: Any, right: Any) -> bool:
    return left.dtype == right.dtype and np.asarray(left).tobytes() == np.asarray(right).tobytes()


def load(path: pathlib.Path, dtype: Any) -> dict[str, Any]:
    mesh = sharding.make_mesh({"fsdp": 8})
    return optim.flatten(initial.find(path).load(mesh, dtype))


def test_losses_are_those_of_float32(
    half: pathlib.Path, train: Any, tmp_path: pathlib.Path
) -> None:
    """And so is every trained value: compute casts the same bits."""
    whole = train(tmp_path / "whole", "", [])
    assert test_loop.curve(half) == test_loop.curve(whole)
    ours, theirs = stored(half), stored(whole)
    assert all(same(leaf, ours[n]) for n, leaf in theirs.items() if not n.startswith("text/"))
    assert {leaf.dtype for leaf in theirs.values()} == {FLOAT32}


def test_frozen_leaves_are_saved_as_they_are_published(
    half: pathlib.Path, folder: pathlib.Path
) -> None:
    first, last = published(folder), stored(half)
    assert first.keys() == last.keys()
    for name, leaf in last.items():
        is_frozen = name.startswith("text/")
        assert leaf.dtype == (BFLOAT16 if is_frozen else FLOAT32), name
        assert same(leaf, first[name]) == is_frozen, name


def test_weights_of_more_bits_lose_them(small_folder: pathlib.Path) -> None:
    """The twin: these are float32 at the hub, so that the frozen ones are rounded."""
    first = published(small_folder)
    dtypes = {name: BFLOAT16 if name.startswith("text/") else FLOAT32 for name in first}
    for name, leaf in load(small_folder, dtypes).items():
        assert same(leaf, first[name].astype(dtypes[name])), name
        is_kept = (np.asarray(leaf).astype(np.float32) == first[name]).all()
        assert is_kept != name.startswith("text/"), name


def test_the_run_says_so(half: pathlib.Path, adapted: pathlib.Path) -> None:
    lines = (half / "params.txt").read_text().splitlines()
    rows = {line.split("\t")[0]: line.split("\t")[1:] for line in lines}
    assert rows["param_dtype"] == ["float32"] and rows["frozen_dtype"] == ["bfloat16"]
    assert rows["text/embed/embedding"] == ["(288, 64)", "bfloat16", "0.0", "frozen"]
    assert rows["merger/up/kernel"] == ["(128, 128)", "float32", "0.1", "trained"]
    for run, dtype in ((half, "float32"), (adapted, "bfloat16")):
        config = json.loads((run / "checkpoints" / "assets" / "config.json").read_text())
        assert config["torch_dtype"] == dtype  # the widest that is held


def test_a_run_goes_on_bit_by_bit(half: pathlib.Path, train: Any, tmp_path: pathlib.Path) -> None:
    again = pathlib.Path(shutil.copytree(half, tmp_path / "again"))
    shutil.rmtree(again / "checkpoints" / str(STEPS))
    (again / "finished.json").unlink()
    train(again, "bfloat16", [])
    assert test_loop.curve(again) == test_loop.curve(half)
    ours = stored(again)
    assert all(same(leaf, ours[name]) for name, leaf in stored(half).items())


def test_the_next_stage_trains_it_in_float32(half: pathlib.Path) -> None:
    """It asks for other dtypes than were saved."""
    saved = stored(half)
    for dtype in (FLOAT32, BFLOAT16):
        for name, leaf in load(half, dtype).items():
            assert same(leaf, saved[name].astype(dtype)), name
    mixed = {name: FLOAT32 if name.startswith("text/") else BFLOAT16 for name in saved}
    for source in (half / "checkpoints", half):
        assert all(same(x, saved[n].astype(mixed[n])) for n, x in load(source, mixed).items())


def test_export_and_conversion_keep_both_dtypes(
    half: pathlib.Path, folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    export.export(half, tmp_path / "hf")
    ours, theirs = (
        safetensors.numpy.load_file(path / "model.safetensors")
        for path in (tmp_path / "hf", folder)
    )
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert same(tensor, theirs[name]) != name.startswith("visual."), name
    assert json.loads((tmp_path / "hf" / "config.json").read_text())["torch_dtype"] == "float32"
    convert.convert(tmp_path / "hf", tmp_path / "back")
    back = stored(tmp_path / "back")
    assert all(same(leaf, back[name]) for name, leaf in stored(half).items())
    export.export(half, tmp_path / "narrow", dtype="bfloat16")
    narrow = safetensors.numpy.load_file(tmp_path / "narrow" / "model.safetensors")
    assert all(same(narrow[name], tensor.astype(BFLOAT16)) for name, tensor in ours.items())


def test_adapters_are_trained_in_float32_over_it(
    adapted: pathlib.Path, folder: pathlib.Path
) -> None:
    first, last = published(folder), stored(adapted)
    assert all(same(last[name], leaf) for name, leaf in first.items())
    added = {name: last[name] for name in last.keys() - first.keys()}
    assert len(added) == 3 * 3 and {leaf.dtype for leaf in added.values()} == {FLOAT32}
    assert all(added[name].any() for name in added if name.endswith("lora_b"))


@pytest.mark.parametrize("held", [BFLOAT16, FLOAT32], ids=str)
def test_merging_rounds_once(held: Any, key: jax.Array, tmp_path: pathlib.Path) -> None:
    """Whatever the kernels are held in and wanted in; a twin that rounds twice differs."""
    base = jax.tree.map(lambda leaf: leaf.astype(held), small.random_params())
    params = lora.add(base, MODULES, rank=3, alpha=6.0, key=key)
    for module, adapter in lora.find(params).items():
        hf.insert(params, f"{module}/lora_b", 0.1 * np.ones(adapter.b.shape, np.float32))
    folder = checkpoints.Checkpoints(tmp_path / "adapted")
    start = small.write_folder(tmp_path / "hf")
    folder.write_assets(start, json.loads((start / "config.json").read_text()))
    folder.save(4, params, opt_state=None, meta={})
    folder.close()
    names = [f"{module}/kernel" for module in lora.find(params)]
    exact = optim.flatten(lora.merge(params, dict.fromkeys(names, FLOAT32)))
    rounded = optim.flatten(jax.tree.map(lambda leaf: leaf.astype(BFLOAT16), params))
    twice = optim.flatten(lora.merge(optim.unflatten(rounded)))
    export.export(tmp_path / "adapted", tmp_path / "out", dtype="float32")
    exported = optim.flatten(hf.load_params(tmp_path / "out", small.SIZE))
    wide, narrow = load(tmp_path / "adapted", FLOAT32), load(tmp_path / "adapted", BFLOAT16)
    for name in names:
        for leaf in (wide[name], exported[name]):
            np.testing.assert_allclose(leaf, exact[name], rtol=0, atol=1e-6)
        off = np.asarray(narrow[name]) != np.asarray(exact[name]).astype(BFLOAT16)
        assert off.mean() < 1e-3, name  # one addition of the update may be in another order
        assert held == BFLOAT16 or (narrow[name] != twice[name]).mean() > 0.01, name


def test_each_leaf_has_its_dtype(folder: pathlib.Path, small_rows: pathlib.Path) -> None:
    """Also where the trained ones are the narrower; the twin asks for one dtype."""
    stage = small_stage.get_config(f"{folder},{small_rows}")
    stage.optim.trainable = (("vision/.*", None), (".*", 1e-3))
    assert {leaf.dtype for leaf in jax.tree.leaves(layout(stage).shapes)} == {FLOAT32}
    stage.model.param_dtype, stage.model.frozen_dtype = "bfloat16", "float32"
    found = layout(stage)
    for name, dtype in found.dtypes.items():
        assert dtype == (FLOAT32 if name.startswith("vision/") else BFLOAT16), name
    assert found.widest_dtype == "float32"
    assert list(found.dtypes) == list(hf.leaf_shapes(small.SIZE))


def layout(stage: Any) -> train_state.Layout:
    return train_state.lay_out(small.SIZE, stage)
