# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The engine of stage 4: which one, and when it gets new weights.

vLLM itself is asked in `tests/vllm/test_rl.py`. Here an engine of ours takes copies as it does.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from lingshu_jax.common import errors
from lingshu_jax.rl import live_engines, loop, rollout
from tests.rl import test_loop

Runs = dict[int, Path]


class Copying(live_engines.JaxLive):
    """Has weights of its own, and notes when it is given new ones and when it rests."""

    has_own_weights = True
    noted: list[str]

    def set_params(self, params: Any) -> None:
        self.noted.append("weights")
        super().set_params(jax.tree.map(jnp.copy, params))

    def rest(self) -> None:
        self.noted.append("rest")


def run(
    folders: tuple[Path, Path], workdir: Path, engine: type[live_engines.JaxLive], *, ahead: int
) -> list[dict[str, Any]]:
    """The rollouts of four steps, two batches, with an examination before each and at the end."""
    config = test_loop.make_config(*folders)
    config.rl.rollouts_ahead = ahead
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live_engines, "JaxLive", engine)
        loop.run(config, workdir, reward_fn=test_loop.small_ids)
    return list(rollout.read_records(workdir / loop.ROLLOUTS))


@pytest.mark.parametrize("ahead", [0, 1])
def test_an_engine_with_weights_of_its_own_gets_each_once(
    ahead: int, model_folder: Path, question_folder: Path, tmp_path: Path
) -> None:
    Copying.noted = []
    folders = (model_folder, question_folder)
    copied = run(folders, tmp_path / "copied", Copying, ahead=ahead)
    assert copied == run(folders, tmp_path / "shared", live_engines.JaxLive, ahead=ahead)
    # For the first batch and examination; for the second, which are of one step unless the batch
    # was sampled ahead, with the first weights; for the last examination.
    once = ["weights", "rest"] * 2 if not ahead else ["weights", "weights", "rest"]
    assert Copying.noted == [*once, "weights"]


def test_several_processes_cannot_sample_ahead_or_with_vllm(
    model_folder: Path, question_folder: Path
) -> None:
    settings = test_loop.make_config(model_folder, question_folder).rl
    live_engines.check(settings, processes=2)
    for name, value in (("rollouts_ahead", 1), ("engine", "vllm")):
        changed = dataclasses.replace(settings, **{name: value})
        live_engines.check(changed, processes=1)
        with pytest.raises(errors.UserError, match=f"rl.{name} must be .* where 2 processes"):
            live_engines.check(changed, processes=2)


def test_an_interpreter_that_is_not_there_is_named(
    model_folder: Path, question_folder: Path
) -> None:
    settings = test_loop.make_config(model_folder, question_folder).rl
    settings.vllm.python = sys.executable
    live_engines.check(settings, processes=1)
    settings.vllm.python = "absent/python"
    with pytest.raises(errors.UserError, match="rl.vllm.python must be the interpreter .*absent"):
        live_engines.check(settings, processes=1)


def test_without_vllm_in_this_environment_the_run_says_so(
    model_folder: Path, question_folder: Path, tmp_path: Path
) -> None:
    config = test_loop.make_config(model_folder, question_folder)
    config.rl.engine = "vllm"
    with pytest.raises(errors.UserError, match="vLLM is not installed"):
        loop.run(config, tmp_path)
