# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What is read of a run's folder for its page."""

import dataclasses
from pathlib import Path

import pytest

from lingshu_jax import report_run
from lingshu_jax.stages import optim
from tests import report_folders
from tests.stages import test_config


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    """A run in which every group has something of its own, and which has not begun."""
    config = test_config.load("stage3_instruct", "tiny")
    options = {"weight_decay": 0.0, "schedule": "wsd", "warmup_steps": 7, "final_fraction": 0.25}
    trainable = (("vision/.*", None), ("merger/.*", 1e-4, options), ("text/.*", 2e-3))
    config.optim = dataclasses.replace(config.optim, trainable=trainable, z_loss=1e-4)
    report_folders.write_config(tmp_path, config, tmp_path)
    return tmp_path


def test_the_parameter_table_comes_back(workdir: Path) -> None:
    run = report_run.read(workdir)
    assert [group._replace(size=0) for group in run.groups] == [
        report_run.Group("vision/.*", 0, "-", "-", "-", "-", "-", True),
        report_run.Group("merger/.*", 0, "0.0001", "0.0", "wsd", "7", "0.25", False),
        report_run.Group("text/.*", 0, "0.002", "0.1", "cosine", "10", "0.0", False),
    ]
    sizes = [leaf.size for leaf in optim.flatten(report_folders.PARAMS).values()]
    assert sum(group.size for group in run.groups) == sum(sizes)
    assert len(run.parameters) == len(sizes)


def test_what_holds_for_every_step_comes_back(workdir: Path) -> None:
    settings = {name: value for name, value in report_run.read(workdir).settings}
    assert settings["optimizer"] == "AdamW, b1 0.9, b2 0.98, eps 1e-08"
    assert (settings["z_loss"], settings["clip_norm"]) == ("0.0001", "1.0")
    assert (settings["normalization"], settings["accumulation_steps"]) == ("token", "1")


def test_a_run_without_the_table_has_none(workdir: Path) -> None:
    (workdir / "params.txt").unlink()
    run = report_run.read(workdir)
    assert run.settings == run.groups == run.parameters == []
