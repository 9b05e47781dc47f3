# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from lingshu_jax.common import checkpoints, errors, sharding

SHAPES = {"a": {"kernel": (8, 4), "bias": (4,)}, "norm": (8,)}


def make_params(seed: int = 0, dtype: Any = jnp.float32) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda shape: jnp.asarray(rng.standard_normal(shape), dtype),
        SHAPES,
        is_leaf=lambda x: isinstance(x, tuple),
    )


def abstract(params: dict[str, Any]) -> dict[str, Any]:
    return checkpoints.abstract(params, jax.tree.map(lambda leaf: leaf.sharding, params))


def assert_identical(left: Any, right: Any) -> None:
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        assert a.dtype == b.dtype
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> Iterator[checkpoints.Checkpoints]:
    opened = checkpoints.Checkpoints(tmp_path / "c", keep=2)
    yield opened
    opened.close()


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16], ids=["float32", "bfloat16"])
def test_a_step_comes_back_bit_by_bit(folder: checkpoints.Checkpoints, dtype: Any) -> None:
    params, opt_state = make_params(dtype=dtype), {"mu": make_params(1), "count": jnp.int32(3)}
    meta = {"data": {"epoch": 1, "row": 2}}
    folder.save(3, params, opt_state=opt_state, meta=meta)
    folder.wait()
    back = folder.restore(abstract(params), abstract_opt_state=abstract(opt_state))
    assert (back.step, back.meta) == (3, meta)
    assert_identical(back.params, params)
    assert_identical(back.opt_state, opt_state)


def test_parameters_alone_are_read_where_there_is_an_optimizer_state(
    folder: checkpoints.Checkpoints,
) -> None:
    params = make_params()
    folder.save(1, params, opt_state={"mu": make_params(1)}, meta={})
    folder.wait()
    back = folder.restore(abstract(params))
    assert back.opt_state is None
    assert_identical(back.params, params)


def test_the_newest_step_is_read_and_old_ones_go(folder: checkpoints.Checkpoints) -> None:
    for step in (1, 2, 3):
        folder.save(step, make_params(step), opt_state=None, meta={"step": step})
        folder.wait()
    assert folder.latest_step() == 3
    assert folder.restore(abstract(make_params())).meta == {"step": 3}
    older = folder.restore(abstract(make_params()), step=2)
    assert_identical(older.params, make_params(2))
    with pytest.raises(errors.UserError, match=r"of step 1; it has \[2, 3\]"):
        folder.restore(abstract(make_params()), step=1)


def test_a_step_that_is_being_saved_is_not_safe(
    folder: checkpoints.Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert folder.safe_step() is None
    for step in (1, 2):
        folder.save(step, make_params(), opt_state=None, meta={})
        folder.wait()
    assert folder.safe_step() == 2
    monkeypatch.setattr(folder._manager, "is_saving_in_progress", lambda: True)
    assert (folder.latest_step(), folder.safe_step()) == (2, 1)


def test_arrays_are_placed_as_asked(folder: checkpoints.Checkpoints) -> None:
    params = make_params()
    folder.save(1, params, opt_state=None, meta={})
    folder.wait()
    mesh = sharding.make_mesh({"fsdp": -1})
    split = NamedSharding(mesh, PartitionSpec("fsdp"))
    places = {
        "a": {"kernel": split, "bias": sharding.replicated(mesh)},
        "norm": split,
    }
    back = folder.restore(checkpoints.abstract(params, places))
    assert back.params["norm"].sharding == split
    assert_identical(back.params, params)


def test_an_empty_folder_holds_no_step(folder: checkpoints.Checkpoints) -> None:
    assert folder.latest_step() is None
    with pytest.raises(errors.UserError, match="holds no complete checkpoint"):
        folder.restore(abstract(make_params()))


def test_a_step_without_its_commit_is_not_seen(
    folder: checkpoints.Checkpoints, tmp_path: pathlib.Path
) -> None:
    folder.save(1, make_params(), opt_state=None, meta={})
    folder.wait()
    (tmp_path / "c" / "2.orbax-checkpoint-tmp-0").mkdir()
    again = checkpoints.Checkpoints(tmp_path / "c")
    assert again.latest_step() == 1
    again.close()


@pytest.mark.parametrize("change", ["shape", "missing", "unused"])
def test_other_parameters_are_refused(folder: checkpoints.Checkpoints, change: str) -> None:
    folder.save(1, make_params(), opt_state=None, meta={})
    folder.wait()
    wanted = abstract(make_params())
    if change == "shape":
        wanted["norm"] = jax.ShapeDtypeStruct((4,), jnp.float32, sharding=wanted["norm"].sharding)
    if change == "missing":
        wanted["more_norm"] = wanted["norm"]
    if change == "unused":
        del wanted["norm"]
    with pytest.raises(errors.UserError, match=r"c/1/params holds other arrays.*norm"):
        folder.restore(wanted)


def test_assets_are_copied_without_weights(
    folder: checkpoints.Checkpoints, tmp_path: pathlib.Path
) -> None:
    source = tmp_path / "hf"
    (source / "nested").mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "model.safetensors", "pytorch_model.bin"):
        (source / name).write_text("old")
    (source / "model.safetensors.index.json").write_text("{}")
    folder.write_assets(source, {"model_type": "new"})
    assert {path.name for path in folder.assets.iterdir()} == {"config.json", "tokenizer.json"}
    assert json.loads((folder.assets / "config.json").read_text()) == {"model_type": "new"}
    (source / "tokenizer.json").unlink()
    folder.write_assets(source, {})
    assert {path.name for path in folder.assets.iterdir()} == {"config.json"}
    assert checkpoints.find(tmp_path / "c") == tmp_path / "c"


def test_find_knows_a_workdir(folder: checkpoints.Checkpoints, tmp_path: pathlib.Path) -> None:
    (tmp_path / "run" / "checkpoints" / "assets").mkdir(parents=True)
    assert checkpoints.find(tmp_path / "run") == tmp_path / "run" / "checkpoints"
    with pytest.raises(errors.UserError, match=r"c is no checkpoint folder"):
        checkpoints.find(tmp_path / "c")


@pytest.mark.parametrize(
    ("name", "is_weight"),
    [
        ("model-00001-of-00002.safetensors", True),
        ("model.safetensors.index.json", True),
        ("optimizer.pt", True),
        ("tokenizer.json", False),
        ("merges.txt", False),
    ],
)
def test_weight_files(name: str, is_weight: bool) -> None:
    assert checkpoints.is_weight_file(name) == is_weight
