# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A whole stage at a very small size, through the command: its files, a kill, the resume."""

import copy
import importlib
import json
import pathlib
import signal
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lingshu_jax.common import checkpoints, errors, metrics, sharding
from lingshu_jax.models import axes
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import initial, loop, optim, optim_config
from lingshu_jax.stages import state as train_state
from tests import small
from tests.stages import small_stage

STEPS, SAVE_EVERY = 24, 4
CONFIG = """
from lingshu_jax.data import sources
from lingshu_jax.stages import config, optim_config


def get_config(arg="plain"):
    return config.StageConfig(
        stage="instruct",
        model=config.ModelConfig(init_from={init_from!r}, compute_dtype="float32", remat="none"),
        data=config.DataConfig(
            sources=(
                sources.Source(name="first", path="rows.jsonl"),
                sources.Source(name="second", path="rows.jsonl", weight=0.5),
            ),
            root={root!r},
            tokens_per_row=128,
            patches_per_row=128,
            rows_per_batch=2,
            normalization="token",
            min_pixels=784,
            max_pixels=9408,
        ),
        optim=optim_config.OptimConfig(
            trainable=(("vision/blocks/.*", None), ("vision/.*", 1e-3), (".*", 3e-3)),
            warmup_steps=3,
            weight_decay=0.1,
        ),
        steps={steps},
        save_every_steps={save_every},
    )
"""


@pytest.fixture(scope="module")
def config_file(
    small_folder: pathlib.Path, small_rows: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    path = tmp_path_factory.mktemp("config") / "small_stage.py"
    values = {"init_from": str(small_folder), "root": str(small_rows)}
    path.write_text(CONFIG.format(**values, steps=STEPS, save_every=SAVE_EVERY))
    return path


def load(config_file: pathlib.Path) -> stage_config.StageConfig:
    spec = importlib.util.spec_from_file_location("small_stage", config_file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()


@pytest.fixture(scope="module")
def workdir(config_file: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A run from start to end."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    out = small.finish(small.start("train", f"--config={config_file}", f"--workdir={workdir}"))
    assert f"steps              {STEPS}" in out
    return workdir


def curve(workdir: pathlib.Path) -> list[tuple[int, float, float]]:
    return [(row["step"], row["loss"], row["grad_norm"]) for row in metrics.read_rows(workdir)]


def test_every_step_has_a_row_of_the_named_values(workdir: pathlib.Path) -> None:
    rows = metrics.read_rows(workdir)
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    expected = {
        *("step", "loss", "grad_norm", "grad_norm/vision", "grad_norm/merger", "grad_norm/text"),
        *("lr/vision", "lr/all", "tokens", "images", "fill/tokens", "fill/patches"),
        *("tokens_per_second", "mfu", "goodput", "memory_bytes", "seconds/data", "seconds/step"),
        *("flops/text", "flops/vision", "run_seconds"),
    }
    sources = {"loss/first", "loss/second"}  # in the row of a step that had sequences of it
    assert all(expected <= row.keys() and sources & row.keys() for row in rows)
    assert sources <= set().union(*rows)
    for row in rows:
        assert 0 < row["fill/tokens"] <= 1 and 0 <= row["fill/patches"] <= 1
        assert row["tokens"] > 0 and row["mfu"] is None and 0 < row["goodput"] <= 1
    assert [row["lr/all"] for row in rows[:5]] == pytest.approx(
        [0, 1e-3, 2e-3, 3e-3, 3e-3], rel=0.01
    )
    assert rows[-1]["loss"] < 0.8 * rows[0]["loss"]


def test_the_folder_holds_what_a_run_leaves(
    workdir: pathlib.Path, config_file: pathlib.Path
) -> None:
    names = {path.name for path in workdir.iterdir()}
    assert names == {
        *("config.json", "params.txt", "metrics.jsonl", "tensorboard", "checkpoints"),
        *("data.json", "dropped.jsonl", "rewritten.jsonl", "encoded", "heartbeats"),
        "finished.json",
    }
    resolved = json.loads((workdir / "config.json").read_text())
    assert resolved == json.loads(json.dumps(stage_config.to_dict(load(config_file))))
    kept = {path.name for path in (workdir / "checkpoints").iterdir()}
    assert kept == {"assets", str(STEPS - SAVE_EVERY), str(STEPS)}
    summary = json.loads((workdir / "finished.json").read_text())
    assert summary["steps"] == STEPS and summary["examples"] == 12 + 6
    assert summary["frozen"] == ["vision/blocks/.*"]
    assert summary["last_loss"] == metrics.read_rows(workdir)[-1]["loss"]


def test_params_txt_says_what_was_trained(workdir: pathlib.Path) -> None:
    lines = (workdir / "params.txt").read_text().splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith("# group: ")) + 1
    groups = [line.split("\t") for line in lines[first : first + 3]]
    assert [(g[0], g[2], g[-1]) for g in groups] == [
        ("vision/blocks/.*", "-", "frozen"),
        ("vision/.*", "0.001", "trained"),
        (".*", "0.003", "trained"),
    ]
    total = sum(int(group[1].replace(",", "")) for group in groups)
    assert total == sum(leaf.size for leaf in jax.tree.leaves(small.random_params()))


def final_params(workdir: pathlib.Path) -> dict[str, np.ndarray]:
    mesh = sharding.make_mesh({}, jax.devices()[:1])
    params = initial.find(workdir).load(mesh, jnp.dtype(jnp.float32))
    return {name: np.asarray(leaf) for name, leaf in optim.flatten(params).items()}


def test_the_checkpoint_holds_the_trained_model(workdir: pathlib.Path) -> None:
    before, after = optim.flatten(small.random_params()), final_params(workdir)
    for name, leaf in after.items():
        is_frozen = name.startswith("vision/blocks/")
        assert (leaf.tobytes() == np.asarray(before[name]).tobytes()) == is_frozen, name


def test_a_killed_run_goes_on_bit_by_bit(
    workdir: pathlib.Path, config_file: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    killed = tmp_path / "run"
    command = ("train", f"--config={config_file}", f"--workdir={killed}")
    process = small.start(*command)
    while not (killed / "checkpoints" / str(SAVE_EVERY)).is_dir() and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "the run ended before it was killed"
    assert not (killed / "finished.json").exists()
    assert len(metrics.read_rows(killed)) < STEPS
    small.finish(small.start(*command))
    assert curve(killed) == curve(workdir)
    ours, theirs = final_params(killed), final_params(workdir)
    assert all(ours[name].tobytes() == theirs[name].tobytes() for name in theirs)


def test_no_two_steps_are_alike(workdir: pathlib.Path) -> None:
    """A resume one row too early or too late would be noticed above."""
    losses = [loss for _, loss, _ in curve(workdir)]
    assert len(set(losses)) == len(losses)


def files_of(workdir: pathlib.Path) -> dict[str, Any]:
    return {str(path): path.stat().st_mtime_ns for path in workdir.rglob("*")}


def test_a_finished_run_is_left_alone(workdir: pathlib.Path, config_file: pathlib.Path) -> None:
    before = files_of(workdir)
    summary = loop.run(load(config_file), workdir)
    assert summary == json.loads((workdir / "finished.json").read_text())
    assert files_of(workdir) == before


def test_another_config_is_refused(workdir: pathlib.Path, config_file: pathlib.Path) -> None:
    config = load(config_file)
    config.optim.warmup_steps = 5
    before = files_of(workdir)
    with pytest.raises(errors.UserError, match=r"holds a run with optim.warmup_steps = 3, not 5"):
        loop.run(config, workdir)
    assert files_of(workdir) == before


def test_layout_and_logging_may_change(workdir: pathlib.Path, config_file: pathlib.Path) -> None:
    config = load(config_file)
    config.mesh.fsdp, config.log_every_steps, config.keep_checkpoints = 1, 7, 5
    assert loop.run(config, workdir)["steps"] == STEPS


def test_rows_of_every_third_step_lose_no_second(
    small_folder: pathlib.Path, small_rows: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    config = small_stage.get_config(f"{small_folder},{small_rows}")
    config.steps, config.save_every_steps, config.log_every_steps = 7, 2, 3
    loop.run(config, tmp_path / "run")
    rows = metrics.read_rows(tmp_path / "run")
    assert [row["step"] for row in rows] == [3, 6, 7]
    booked = [name for row in rows for name in row if name.startswith("seconds/")]
    assert set(booked) == {f"seconds/{name}" for name in ("start", "data", "step", "save")}
    total = sum(row[name] for row in rows for name in set(booked) & row.keys())
    assert total == pytest.approx(rows[-1]["run_seconds"], rel=1e-6)
    # The speed is of the row's own step: three steps took longer, and one as long.
    of_all = [row["tokens"] / row["seconds/step"] for row in rows]
    assert rows[0]["tokens_per_second"] > of_all[0] and rows[1]["tokens_per_second"] > of_all[1]
    assert rows[2]["tokens_per_second"] == pytest.approx(of_all[2])


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("data.root", "nowhere", "no source .* is there; absent: .*nowhere/rows.jsonl"),
        ("model.init_from", "nowhere", "init_from=nowhere is no folder"),
        ("optim.trainable", (("audio/.*", 1.0), (".*", 1.0)), r"\['audio/.\*'\] win no parameter"),
        ("data.rows_per_batch", 3, "rows_per_batch must be a multiple of the 8 devices .*got 3"),
        ("data.tokens_per_row", 20, "no example to read"),
        ("mesh.fsdp", 3, "does not fit 8 devices"),
        ("mesh.preset", "v5e-16", "one for the 8 devices .* got 'v5e-16'"),
    ],
)
def test_bad_input_leaves_nothing_behind(
    config_file: pathlib.Path, tmp_path: pathlib.Path, path: str, value: Any, message: str
) -> None:
    config = load(config_file)
    parent, _, name = path.rpartition(".")
    setattr(getattr(config, parent), name, value)
    if path != "data.rows_per_batch":
        config.data.rows_per_batch = 8
    with pytest.raises(errors.UserError, match=message):
        loop.run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_file_is_no_workdir(config_file: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    for workdir in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(errors.UserError, match="cannot write to --workdir"):
            loop.run(load(config_file), workdir)


def test_what_is_computed_is_noted_and_kept(
    config_file: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """A batch of five sequences; its rows and their patches come from the lengths."""
    config, workdir = load(config_file), tmp_path / "run"
    config.steps, config.epochs = 0, 1
    config.data.patches_per_row = config.data.rows_per_batch = 0
    config.data.sequences_per_batch = 5
    asked = copy.deepcopy(config)
    summary = loop.run(config, workdir)
    assert config == asked, "the config that was given is not changed"
    rows = metrics.read_rows(workdir)
    assert [row["sequences"] for row in rows] == [5, 5, 5, 3] and summary["examples"] == 18
    resolved = json.loads((workdir / "config.json").read_text())["data"]
    assert resolved["patches_per_row"] > 0 and resolved["patches_per_row"] % 64 == 0
    assert resolved["rows_per_batch"] > 0 and resolved["rows_per_batch"] % 8 == 0
    assert summary["rewritten"] == 0 and (workdir / "rewritten.jsonl").read_text() == ""
    assert loop.run(asked, workdir) == summary
    explicit = copy.deepcopy(asked)
    explicit.data.rows_per_batch = resolved["rows_per_batch"]
    assert loop.run(explicit, workdir) == summary
    explicit.data.rows_per_batch += 8
    with pytest.raises(errors.UserError, match=r"a run with data.rows_per_batch = \d+, not \d+"):
        loop.run(explicit, workdir)


def test_a_state_may_move_to_another_mesh(tmp_path: pathlib.Path) -> None:
    """Saved on one device, restored on eight: the same bytes, placed as the mesh says."""
    config = optim_config.OptimConfig(
        trainable=(("vision/.*", None), (".*", 1e-3)), warmup_steps=0, weight_decay=0.1
    )
    folder = checkpoints.Checkpoints(tmp_path / "c")

    def make(mesh: jax.sharding.Mesh, seed: int) -> train_state.TrainState:
        host = small.random_params(seed=seed)
        groups = optim.assign_groups(list(optim.flatten(host)), config.rules(config.trainable))
        params = jax.device_put(host, sharding.param_shardings(host, axes.PARAM_AXES, mesh))
        return train_state.create(params, groups, optim.make_optimizer(config, groups), mesh)

    one = make(sharding.make_mesh({}, jax.devices()[:1]), seed=0)
    marked = jax.tree.map(lambda leaf: leaf + 1, one.opt_state)
    one = train_state.TrainState(
        step=one.step, trained=one.trained, frozen=one.frozen, opt_state=marked
    )
    train_state.save(folder, one, {"data": {"row": 3}}, step=7)
    folder.wait()
    mesh = sharding.make_mesh({"fsdp": 4, "tensor": 2})
    blank = make(mesh, seed=1)
    restored, meta = train_state.restore(folder, blank, mesh)
    folder.close()
    assert int(restored.step) == 7 and meta == {"data": {"row": 3}}
    for part in ("trained", "frozen", "opt_state"):
        ours, theirs = (jax.tree.leaves(getattr(x, part)) for x in (restored, one))
        places = [leaf.sharding for leaf in jax.tree.leaves(getattr(blank, part))]
        for a, b, place in zip(ours, theirs, places, strict=True):
            assert np.asarray(a).tobytes() == np.asarray(b).tobytes()
            assert a.sharding == place
