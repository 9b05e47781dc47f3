# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A stage that trains adapters, through the command: what moves, what is saved, the resume."""

import dataclasses
import json
import pathlib
import shutil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lingshu_jax.common import checkpoints, errors, metrics, sharding
from lingshu_jax.models import axes, lora, qwen2_5_vl
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import initial, loop, optim, optim_config
from lingshu_jax.stages import trainer as trainer_lib
from tests import small
from tests.stages import test_config, test_loop

STEPS, SAVE_EVERY = 8, 4
MODULES = "text/layers/attention/(q|v)|merger/up|vision/blocks/mlp/down"
ADAPTED = {
    *("text/layers/attention/q", "text/layers/attention/v"),
    *("merger/up", "vision/blocks/mlp/down"),
}
FLAGS = [
    f"--config.lora.modules={MODULES}",
    "--config.lora.rank=4",
    "--config.lora.alpha=8",
    "--config.lora.learning_rate=1e-2",
]


@pytest.fixture(scope="module")
def config_file(
    small_folder: pathlib.Path, small_rows: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    path = tmp_path_factory.mktemp("config") / "small_stage.py"
    values = {"init_from": str(small_folder), "root": str(small_rows)}
    path.write_text(test_loop.CONFIG.format(**values, steps=STEPS, save_every=SAVE_EVERY))
    return path


@pytest.fixture(scope="module")
def workdir(config_file: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A run from start to end; adapters are switched on by flags alone."""
    workdir = tmp_path_factory.mktemp("lora") / "run"
    small.finish(small.start("train", f"--config={config_file}", f"--workdir={workdir}", *FLAGS))
    return workdir


def saved(workdir: pathlib.Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Parameters by path, and what stands beside them, of the last step."""
    mesh = sharding.make_mesh({}, jax.devices()[:1])
    shapes = qwen2_5_vl.abstract_params(small.SIZE, jnp.dtype(jnp.float32))
    shapes = jax.eval_shape(
        lambda tree: lora.add(tree, MODULES, rank=4, alpha=8.0, key=jax.random.key(0)), shapes
    )
    places = jax.tree.map(lambda _: sharding.replicated(mesh), shapes)
    folder = checkpoints.Checkpoints(workdir / "checkpoints")
    restored = folder.restore(checkpoints.abstract(shapes, places))
    folder.close()
    leaves = {name: np.asarray(leaf) for name, leaf in optim.flatten(restored.params).items()}
    return leaves, restored.meta


def test_adapters_move_and_nothing_else(workdir: pathlib.Path) -> None:
    before, (after, meta) = optim.flatten(small.random_params()), saved(workdir)
    adapters = lora.find(optim.unflatten(after))
    assert set(adapters) == ADAPTED
    for name, leaf in before.items():
        assert after[name].tobytes() == np.asarray(leaf).tobytes(), f"{name} moved"
    for module, adapter in adapters.items():
        assert np.all(adapter.scale == 2.0)
        assert (adapter.b != 0).mean() > 0.9, f"{module} did not move"
    trained = {f"{module}/lora_{part}" for module in ADAPTED for part in "ab"}
    assert set(meta[trainer_lib.TRAINED]) == trained


def test_a_later_stage_starts_from_the_merged_weights(workdir: pathlib.Path) -> None:
    mesh = sharding.make_mesh({"fsdp": 4, "tensor": 2})
    start = initial.find(workdir).load(mesh, jnp.dtype(jnp.float32))
    merged = optim.flatten(lora.merge(optim.unflatten(saved(workdir)[0])))
    places = optim.flatten(sharding.param_shardings(start, axes.PARAM_AXES, mesh))
    base = optim.flatten(small.random_params())
    found = optim.flatten(start)
    assert found.keys() == merged.keys()
    for name, leaf in found.items():
        assert leaf.sharding == places[name]
        np.testing.assert_allclose(leaf, merged[name], rtol=1e-5, atol=1e-6)
        is_adapted = name.removesuffix("/kernel") in ADAPTED
        assert np.array_equal(leaf, base[name]) != is_adapted, name


def test_the_loss_falls(workdir: pathlib.Path) -> None:
    rows = metrics.read_rows(workdir)
    assert rows[-1]["loss"] < 0.95 * rows[0]["loss"]
    assert {"grad_norm/text", "grad_norm/merger", "grad_norm/vision", "lr/lora_ab"} <= set(rows[0])
    assert max(row["lr/lora_ab"] for row in rows) == pytest.approx(1e-2)


def test_params_txt_and_summary_show_the_adapters(workdir: pathlib.Path) -> None:
    lines = [line.split("\t") for line in (workdir / "params.txt").read_text().splitlines()]
    groups = lines[[line[0][:7] for line in lines].index("# group") + 1 :]
    assert [(line[0], line[2], line[-1]) for line in groups[:3]] == [
        (".*/lora_scale", "-", "frozen"),
        (".*/lora_[ab]", "0.01", "trained"),
        (".*", "-", "frozen"),
    ]
    rows = {line[0]: line[1:] for line in lines}
    assert rows["merger/up/lora_a"] == ["(128, 4)", "float32", "0.1", "trained"]
    assert rows["merger/up/lora_scale"] == ["()", "float32", "0.0", "frozen"]
    assert rows["merger/up/kernel"][2:] == ["0.0", "frozen"]
    summary = json.loads((workdir / "finished.json").read_text())
    assert summary["trained"] == [".*/lora_[ab]"]
    assert summary["frozen"] == [".*/lora_scale", ".*"]


def test_a_run_goes_on_bit_by_bit(
    workdir: pathlib.Path, config_file: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """From the checkpoint in the middle, adapters and their moments included."""
    again = tmp_path / "run"
    shutil.copytree(workdir, again)
    shutil.rmtree(again / "checkpoints" / str(STEPS))
    (again / "finished.json").unlink()
    small.finish(small.start("train", f"--config={config_file}", f"--workdir={again}", *FLAGS))
    assert test_loop.curve(again) == test_loop.curve(workdir)
    ours, theirs = saved(again)[0], saved(workdir)[0]
    assert all(ours[name].tobytes() == leaf.tobytes() for name, leaf in theirs.items())


def with_lora(config_file: pathlib.Path, **changes: Any) -> stage_config.StageConfig:
    config = test_loop.load(config_file)
    config.lora = optim_config.LoraConfig(**{"modules": MODULES, "rank": 4, **changes})
    config.data.rows_per_batch = 8
    config.validate()
    return config


def make_trainer(config: stage_config.StageConfig, workdir: pathlib.Path) -> trainer_lib.Trainer:
    start = initial.find(pathlib.Path(config.model.init_from))
    trainer = trainer_lib.Trainer(config, start, total_steps=STEPS, workdir=workdir)
    trainer.restore()
    with trainer.running():
        return trainer  # nothing is saved in these tests


def test_frozen_leaves_have_no_optimizer_state(
    config_file: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """Eight devices; adapters and their moments lie as their kernels do."""
    config = with_lora(config_file)
    config.mesh = stage_config.MeshConfig(fsdp=4, tensor=2)
    trainer = make_trainer(config, tmp_path)
    trained = {f"{module}/lora_{part}" for module in ADAPTED for part in "ab"}
    assert set(trainer.state.trained) == trained
    paths = jax.tree_util.tree_leaves_with_path(trainer.state.opt_state)
    moments = [(path[-1].key, leaf) for path, leaf in paths if leaf.ndim]
    assert sorted(name for name, _ in moments) == sorted([*trained, *trained])
    for name, leaf in moments:
        assert leaf.sharding.spec == trainer.state.trained[name].sharding.spec
    specs = {name: leaf.sharding.spec for name, leaf in trainer.state.trained.items()}
    assert specs["text/layers/attention/q/lora_a"] == jax.P(None, "fsdp", None)
    assert specs["text/layers/attention/q/lora_b"] == jax.P(None, None, "tensor", None)


def test_the_base_may_be_half_precision(config_file: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Adapters and moments stay float32 over frozen bfloat16."""
    config = with_lora(config_file)
    config.model.param_dtype = "bfloat16"
    state = make_trainer(config, tmp_path).state
    assert {leaf.dtype for leaf in state.trained.values()} == {jnp.dtype(jnp.float32)}
    moments = [leaf for leaf in jax.tree.leaves(state.opt_state) if leaf.ndim]
    assert {leaf.dtype for leaf in moments} == {jnp.dtype(jnp.float32)}
    base = [leaf for name, leaf in state.frozen.items() if not lora.is_adapter(name)]
    assert {leaf.dtype for leaf in base} == {jnp.dtype(jnp.bfloat16)}


def test_full_modules_are_trained_beside_adapters(
    config_file: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    config = with_lora(config_file, modules="text/.*", train_base=True)
    config.optim.trainable = (("merger/.*", 1e-3), (".*", None))
    trainer = make_trainer(config, tmp_path)
    assert [group.pattern for group in trainer.groups] == [
        *(".*/lora_scale", ".*/lora_[ab]", "merger/.*", ".*")
    ]
    trained = set(trainer.state.trained)
    assert {name for name in trained if not lora.is_adapter(name)} == {
        *("merger/norm/scale", "merger/up/kernel", "merger/up/bias"),
        *("merger/down/kernel", "merger/down/bias"),
    }
    assert len(trained) == 5 + 2 * 7


def test_groups_of_a_config() -> None:
    """Adapters alone unless told otherwise; without adapters the groups are the stage's own."""
    own = (("vision/.*", 1e-5), (".*", None))
    optimizer = optim_config.OptimConfig(trainable=own, warmup_steps=0)
    adapters = ((".*/lora_scale", None), (".*/lora_[ab]", 3e-4))

    def groups(**changes: Any) -> Any:
        return dataclasses.replace(
            test_config.load("stage3_instruct", "tiny"),
            optim=optimizer,
            lora=optim_config.LoraConfig(learning_rate=3e-4, **changes),
        ).rules

    assert groups() == groups(train_base=True) == optimizer.rules(own)
    assert groups(modules="merger/up") == optimizer.rules((*adapters, (".*", None)))
    assert groups(modules="merger/up", train_base=True) == optimizer.rules((*adapters, *own))
    options = (("weight_decay", 0.05), ("schedule", "constant"))
    plain = groups(modules="merger/up")[1]
    assert groups(modules="merger/up", options=options)[1] == plain._replace(**dict(options))


def test_a_pattern_without_a_module_leaves_nothing_behind(
    config_file: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    config = with_lora(config_file, modules="text/layers/q_proj")
    with pytest.raises(errors.UserError, match="'text/layers/q_proj'; modules: .*text/layers/mlp"):
        loop.run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
