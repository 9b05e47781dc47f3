# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Folders as a chain of runs leaves them, with the real writers, without the training."""

import dataclasses
import pathlib
import shutil
from typing import Any

from configs import stage1_shallow_align, stage3_instruct, stage4_rl
from lingshu_jax.common import checkpoints
from lingshu_jax.data import sources
from lingshu_jax.models import hf_config
from lingshu_jax.rl import config as rl_config
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import initial, inputs, run_folder
from tests import small

STAGES = {
    "stage1": stage1_shallow_align,
    "stage3": stage3_instruct,
    "stage4": stage4_rl,
}
BASE_CARD = """---
license: other
license_name: research-only
license_link: https://example.org/license
language: [en, zh]
---
The card of the base.
"""


def write_base(folder: pathlib.Path, card: str = BASE_CARD) -> pathlib.Path:
    """A Hugging Face folder of the small model with a card."""
    small.write_folder(folder)
    (folder / "README.md").write_text(card)
    return folder


def write_chain(
    root: pathlib.Path, rows: pathlib.Path, base: pathlib.Path | str
) -> list[pathlib.Path]:
    """Three finished runs, each from the one before it."""
    made: list[pathlib.Path] = []
    for name in STAGES:
        before = made[-1] if made else base
        made.append(write_run(root / name, rows, before))
    return made


def write_run(
    workdir: pathlib.Path, rows: pathlib.Path, init_from: pathlib.Path | str, **changes: Any
) -> pathlib.Path:
    """A finished run; `changes` are fields of its config."""
    config = STAGES[workdir.name].get_config("tiny")
    path = str(rows / "rows.jsonl")
    data = dataclasses.replace(
        config.data, root="", sources=(sources.Source(name="cases", path=path),)
    )
    model = dataclasses.replace(config.model, init_from=str(init_from))
    config = dataclasses.replace(config, data=data, model=model, **changes)
    if isinstance(config, rl_config.RLStageConfig):
        exam = dataclasses.replace(
            config.rl.eval, sources=(sources.Source(name="exam", path=path),)
        )
        config = dataclasses.replace(config, rl=dataclasses.replace(config.rl, eval=exam))
    folder = workdir / "checkpoints"
    (folder / "40").mkdir(parents=True)
    (folder / "20").mkdir()
    start = _find(init_from)
    saved = checkpoints.Checkpoints(folder)
    saved.write_assets(start.assets, hf_config.dump(start.size, dtype="float32"))
    saved.close()
    run_folder.begin(config, workdir)
    _write_data(config, workdir, start)
    run_folder.finish(workdir, _summary(config))
    return workdir


def export(source: pathlib.Path, base: pathlib.Path, target: pathlib.Path) -> pathlib.Path:
    """A folder as an export leaves it before its card is written."""
    shutil.copytree(source / "checkpoints" / "assets", target)
    shutil.copy(base / "model.safetensors", target)
    return target


def _find(init_from: pathlib.Path | str) -> initial.Initial:
    path = pathlib.Path(init_from)
    if (path / "checkpoints").is_dir():
        path = path / "checkpoints"
        assets = path / checkpoints.ASSETS
        size = hf_config.read(assets)
        return initial.Initial(size=size, assets=assets, folder=path, is_checkpoint=True)
    return initial.find(path)


def _write_data(
    config: stage_config.StageConfig, workdir: pathlib.Path, start: initial.Initial
) -> None:
    mixture = inputs.read_mixture(config.data, workdir)
    dropped = [sources.Dropped(id="row1", source="cases", line=2, reason="too long")]
    held_out = None
    if isinstance(config, rl_config.RLStageConfig):
        exam = dataclasses.replace(config.data, sources=config.rl.eval.sources)
        held_out = inputs.read_mixture(exam, workdir).manifest.counted([])
    inputs.write_data(
        workdir, mixture.manifest.counted(dropped), dropped, start=start, held_out=held_out
    )


def _summary(config: stage_config.StageConfig) -> dict[str, Any]:
    quarters = {}
    if config.stage == "rl":
        for quarter, share in (("first", 0.25), ("last", 0.5)):
            scores = {"reward/accuracy": share, "eval/accuracy": share + 0.125}
            quarters[f"{quarter}_quarter"] = {**scores, "blind/accuracy": 0.125}
    losses = {"first_loss": 7.0625, "last_loss": 1.5}
    return {"stage": config.stage, "steps": 40, **losses, **quarters}
