# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What a dry run says is what the run would do, and it leaves nothing behind."""

import dataclasses
import json
import math
import pathlib

import jax
import pytest

from configs import stage1_shallow_align, stage3_instruct, stage4_rl
from lingshu_jax import dry_run, dry_run_memory
from lingshu_jax.common import errors
from lingshu_jax.data import sources
from lingshu_jax.models import sizes
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import optim, trainer
from lingshu_jax.stages import state as train_state
from tests import small

GIB = 2**30


def stage(
    config: stage_config.StageConfig, rows: pathlib.Path, start: pathlib.Path | str
) -> stage_config.StageConfig:
    """A stage on other rows, from other weights, on one row for each of the eight devices."""
    source = sources.Source(name="rows", path=str(rows / "rows.jsonl"))
    config.data = dataclasses.replace(config.data, sources=(source,), root="", rows_per_batch=8)
    config.model = dataclasses.replace(config.model, init_from=str(start))
    return config


def text_of(config: stage_config.StageConfig, folder: pathlib.Path) -> str:
    config.validate()
    folder.mkdir()
    return "\n".join(dry_run.describe(config, folder))


def test_a_stage(
    small_rows: pathlib.Path, small_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    config = stage(stage3_instruct.get_config("tiny"), small_rows, small_folder)
    config.steps = 6
    text = text_of(config, tmp_path / "dry")
    layout = train_state.lay_out(small.SIZE, config)
    count = sum(leaf.size for leaf in jax.tree.leaves(layout.shapes["text"]))
    assert f"text/.*    {count:,}" in text
    assert "data 1, fsdp 8, tensor 1, context 1: 8 devices (cpu)" in text
    assert "rows    12    0        12" in text
    # Twelve sequences of about 100 tokens, two in a row: all in the first batch.
    assert "6 steps of 8 rows: 6.00 epochs of 12 sequences" in text
    assert "tokens           (8, 256)" in text
    assert "trained between \u27e6 and \u27e7" in text
    assert "\u27e6It is " in text and "assistant" in text.rpartition("\u27e6")[0]
    assert "note:" not in text and "TOO MUCH" not in text


def test_refused_rows_are_counted(
    small_rows: pathlib.Path, small_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    config = stage(stage3_instruct.get_config("tiny"), small_rows, small_folder)
    lines = (small_rows / "rows.jsonl").read_text().splitlines()
    (tmp_path / "rows.jsonl").write_text("\n".join([lines[0], "{", lines[3]]) + "\n")
    config.data.sources[0].path = str(tmp_path / "rows.jsonl")
    text = text_of(config, tmp_path / "dry")
    assert "rows    3     1        2" in text
    assert "dropped: rows, line 2" in text and "broken JSON" in text


def test_print_stage_leaves_nothing_and_knows_another_run(
    small_rows: pathlib.Path,
    small_folder: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = stage(stage3_instruct.get_config("tiny"), small_rows, small_folder)
    config.data.cache = str(tmp_path / "cache")
    dry_run.print_stage(config, tmp_path / "run")
    assert "dry run of stage instruct" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
    (tmp_path / "run").mkdir()
    other = stage_config.to_dict(dataclasses.replace(config, seed=1))
    (tmp_path / "run" / "config.json").write_text(json.dumps(other))
    with pytest.raises(errors.UserError, match="holds a run with seed = 1, not 42"):
        dry_run.print_stage(config, tmp_path / "run")


def test_a_large_model_that_is_not_here(small_rows: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Without its weights or tokenizer, and for a machine that is another one."""
    config = stage1_shallow_align.get_config("7b")
    config = stage(config, small_rows, config.model.init_from)
    config.data.rows_per_batch = 64
    config.mesh.preset = "v5e-64"
    text = text_of(config, tmp_path / "dry")
    assert "note: Qwen/Qwen2.5-VL-7B-Instruct is not on this machine" in text
    assert "vision/.*  631,975,680    2e-06" in text
    assert "text/.*    7,615,616,512  -" in text and "frozen" in text
    assert "64 devices (TPU v5 lite, preset v5e-64; another machine than this one)" in text
    assert "(28, 56, 18944) on each device" in text


def test_weights_of_an_unknown_size_are_an_error(
    small_rows: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    config = stage(stage3_instruct.get_config("tiny"), small_rows, "runs/earlier")
    with pytest.raises(errors.UserError, match=r"runs/earlier is no folder .* --config.model.size"):
        text_of(dataclasses.replace(config, model=_without_size(config.model)), tmp_path / "dry")


def _without_size(model: stage_config.ModelConfig) -> stage_config.ModelConfig:
    return dataclasses.replace(model, size="")


def test_stage_4(
    small_rows: pathlib.Path, small_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    config = stage4_rl.get_config("tiny")
    stage(config, small_rows, small_folder)
    rows = [json.loads(line) for line in (small_rows / "rows.jsonl").read_text().splitlines()]
    rows = [
        {**row, "answer": "yes", "answer_type": "yes_no"} for row in rows if row["id"] != "row1"
    ]
    for row in rows:
        for part in row["messages"][0]["content"]:
            if part["type"] == "image":
                part["image"] = str(small_rows / part["image"])
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {**rows[0], "answer": ""}]))
    config.data.sources[0].path = str(path)
    config.data.sources[0].image_root = str(small_rows)
    config.rl.eval.sources = ()
    text = text_of(config, tmp_path / "dry")
    assert "dry run of stage rl" in text
    assert "rows    12    1        " in text
    assert "no answer: the answer cannot be verified" in text
    assert "11 prompts, 0 held out" in text
    assert "60 updates in 60 rollout batches of 12 prompts x 8 answers" in text
    assert "an answer is judged against 'yes'" in text
    assert "sampler's weights" in text and "reference model" in text


@pytest.mark.parametrize("preset", ["v5e-16", "v6e-256"])
def test_memory_is_what_the_shapes_come_to(preset: str) -> None:
    """Parameters and moments by hand: each is split over fsdp and tensor, but for small ones."""
    config = stage3_instruct.get_config("7b")
    config.mesh.preset = preset
    config.data.patches_per_row = 16384
    machine = dry_run_memory.find_machine(config.mesh)
    size = sizes.get("7b")
    layout = train_state.lay_out(size, config)
    found = dry_run_memory.estimate(config, size, layout, machine.mesh)
    count = sum(leaf.size for leaf in jax.tree.leaves(layout.shapes))
    split = machine.mesh.shape["fsdp"] * machine.mesh.shape["tensor"]
    assert found["trained parameters"] == pytest.approx(4 * count / split, rel=0.02)
    assert found["optimizer state"] == pytest.approx(8 * count / split, rel=0.02)
    assert machine.memory == (16 if preset.startswith("v5e") else 32) * GIB
    assert not machine.is_here


def test_memory_of_the_state_is_that_of_real_arrays(
    small_folder: pathlib.Path, small_rows: pathlib.Path
) -> None:
    config = stage(stage3_instruct.get_config("tiny"), small_rows, small_folder)
    machine = dry_run_memory.find_machine(config.mesh)
    layout = train_state.lay_out(small.SIZE, config)
    found = dry_run_memory.estimate(config, small.SIZE, layout, machine.mesh)
    optimizer = optim.make_optimizer(config.optim, layout.groups)
    wanted = train_state.abstract(layout.shapes, layout.groups, optimizer, machine.mesh)
    zeros = jax.jit(
        lambda: jax.tree.map(lambda x: jax.numpy.zeros(x.shape, x.dtype), wanted.trained),
        out_shardings=jax.tree.map(lambda x: x.sharding, wanted.trained),
    )()
    here = sum(leaf.addressable_shards[0].data.nbytes for leaf in zeros.values())
    assert found["trained parameters"] == found["gradients"] == here
    assert machine.is_here and math.isfinite(machine.memory)
    trainer.check_batch(config.data, config.mesh.make_mesh())


def test_passes_that_do_not_divide_are_named(
    small_rows: pathlib.Path, small_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    config = stage(stage3_instruct.get_config("tiny"), small_rows, small_folder)
    config.accumulation_steps = 2
    text = text_of(config, tmp_path / "dry")
    assert "TOO MANY PASSES: the 4 rows of one do not divide over 8 parts" in text
    assert "config.accumulation_steps=1 would" in text
