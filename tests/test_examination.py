# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Benchmarks asked of live weights: the same answers and verdicts as an evaluation of a folder."""

import dataclasses
import json
import pathlib

import jax
import jax.numpy as jnp
import pytest

from lingshu_jax import examination
from lingshu_jax.common import errors
from lingshu_jax.engines import jax_engine
from lingshu_jax.eval import runner
from lingshu_jax.models import lora
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import optim, validation
from tests import small
from tests.stages import small_stage

TOKENS = 5


@pytest.fixture(scope="module")
def data_dir(small_rows: pathlib.Path) -> pathlib.Path:
    """A benchmark `asked` of six questions beside the rows."""
    lines = []
    for i, gold in enumerate(["yes", "no", "yes", "yes", "no", "yes"]):
        content = [{"type": "text", "text": f"Is it {i}?"}]
        if i % 2:
            content.insert(0, {"type": "image", "image": f"{i % 3}.png"})
        row = {"id": f"q{i}", "messages": [{"role": "user", "content": content}]}
        lines.append(json.dumps({**row, "answer": gold, "answer_type": "yes_no"}) + "\n")
    (small_rows / "asked.jsonl").write_text("".join(lines))
    return small_rows


@pytest.fixture
def config(small_folder: pathlib.Path, data_dir: pathlib.Path) -> stage_config.StageConfig:
    made = small_stage.get_config(f"{small_folder},{data_dir}")
    wanted = stage_config.ValidationConfig(
        benchmarks="asked", every_steps=2, samples=4, shown=3, max_new_tokens=TOKENS
    )
    return dataclasses.replace(made, validation=wanted)


def live(folder: pathlib.Path, workdir: pathlib.Path, params: object) -> validation.Live:
    return validation.Live(
        params, small.MODEL, folder, step=7, workdir=workdir, progress=lambda: None
    )


def test_live_weights_answer_as_their_folder_does(
    config: stage_config.StageConfig,
    small_folder: pathlib.Path,
    data_dir: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    examine = examination.Examination(config, tmp_path / "run")
    params = jax.tree.map(jnp.asarray, small.random_params())
    scalars = examine(live(small_folder, tmp_path / "run", params))
    settings = runner.Settings(
        model=str(small_folder),
        benchmarks="asked",
        data_dir=str(data_dir),
        limit=4,
        max_new_tokens=TOKENS,
    )
    evaluated = runner.evaluate(
        settings, tmp_path / "out", lambda: jax_engine.JaxEngine.from_folder(small_folder)
    )["benchmarks"]["asked"]
    names = ("strict_accuracy", "compat_accuracy", "constant_accuracy")
    assert scalars == {f"validation/asked/{name}": evaluated[name] for name in names}
    assert scalars["validation/asked/constant_accuracy"] == 0.75
    written = (tmp_path / "out" / "asked" / "samples.jsonl").read_text().splitlines()
    answers = [json.loads(line)["response"] for line in written]
    kept = (tmp_path / "run" / "samples" / "step_7.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in kept]
    assert [row["id"] for row in rows] == ["q0", "q1", "q2"]
    assert [row["response"] for row in rows] == answers[:3]
    assert [row["images"] for row in rows] == [[], [str(data_dir / "1.png")], []]
    assert all(row["correct"] in (True, False) and row["gold"] for row in rows)


def test_adapters_answer_as_merged_weights_do(
    config: stage_config.StageConfig, small_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    examine = examination.Examination(config, tmp_path)
    params = jax.tree.map(jnp.asarray, small.random_params())
    adapted = lora.add(params, ".*", rank=2, alpha=8.0, key=jax.random.key(0))
    leaves = optim.flatten(adapted)
    wide = {name: leaf + 0.3 for name, leaf in leaves.items() if name.endswith("lora_b")}
    adapted = optim.unflatten({**leaves, **wide})
    texts = []
    for weights in (params, adapted, lora.merge(adapted)):
        examine(live(small_folder, tmp_path, weights))
        rows = (tmp_path / "samples" / "step_7.jsonl").read_text().splitlines()
        texts.append([json.loads(row)["response"] for row in rows])
    assert texts[1] == texts[2] != texts[0]


@pytest.mark.parametrize(
    ("benchmarks", "words"),
    [("nothing", "unknown benchmark 'nothing'"), ("asked,asked", "more than once")],
)
def test_bad_names_are_found_before_any_work(
    config: stage_config.StageConfig, tmp_path: pathlib.Path, benchmarks: str, words: str
) -> None:
    config.validation.benchmarks = benchmarks
    with pytest.raises(errors.UserError, match=words):
        examination.Examination(config, tmp_path / "run")
    assert not list(tmp_path.iterdir())
