# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The training command: which input it refuses, in one line, with nothing left behind."""

import pathlib

import pytest

from configs import stage3_instruct, stage4_rl
from lingshu_jax import train
from lingshu_jax.common import errors
from lingshu_jax.rl import config as rl_config
from lingshu_jax.stages import config as stage_config
from tests import small

STAGE3, STAGE4 = "configs/stage3_instruct.py:tiny", "configs/stage4_rl.py:tiny"
ROOT = "--config.data.root=nowhere"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([f"--config={STAGE3}", ROOT], ["absent", "nowhere/instruct.jsonl"]),
        ([f"--config={STAGE3}", "--config.optim.warmup_step=5"], ["'warmup_step'", "weight_decay"]),
        ([f"--config={STAGE3}", "--config.optim.warmup_steps=many"], ["warmup_steps", "many"]),
        ([f"--config={STAGE3}", "--config.stage=sft"], ["config.stage", "'sft'", "'instruct'"]),
        ([f"--config={STAGE3}", "--profile_steps=15:10"], ["profile_steps", "'15:10'", "FIRST"]),
    ],
    ids=["missing_path", "unknown_field", "wrong_type", "bad_value", "steps_out_of_order"],
)
def test_bad_commands_are_one_line(
    tmp_path: pathlib.Path, flags: list[str], words: list[str]
) -> None:
    line = small.fail(small.start("train", *flags, f"--workdir={tmp_path / 'run'}"))
    assert all(word in line for word in words), line
    assert not list(tmp_path.iterdir())


def test_weights_that_are_no_checkpoint(small_rows: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "weights").mkdir()
    flags = {
        "config": STAGE3,
        "workdir": tmp_path / "run",
        "config.data.root": small_rows,
        "config.data.sources[0].path": "rows.jsonl",
        "config.model.init_from": tmp_path / "weights",
    }
    line = small.fail(small.start("train", *(f"--{key}={value}" for key, value in flags.items())))
    assert "weights is neither a Hugging Face folder" in line
    assert [path.name for path in tmp_path.iterdir()] == ["weights"]


def stage(config: stage_config.StageConfig, **changes: object) -> stage_config.StageConfig:
    for name, value in changes.items():
        setattr(config, name, value)
    return config


def test_fields_are_checked_after_the_flags(tmp_path: pathlib.Path) -> None:
    """Both kinds of stage: a bad value set later is found before anything is read."""
    for module in (stage3_instruct, stage4_rl):
        config = stage(module.get_config("tiny"), save_every_steps=0)
        with pytest.raises(errors.UserError, match="config.save_every_steps must be >= 1, got 0"):
            train.run_stage(config, tmp_path / "run")
    assert isinstance(config, rl_config.RLStageConfig)
    assert not list(tmp_path.iterdir())
