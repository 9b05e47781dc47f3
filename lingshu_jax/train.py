# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Trains one stage: `python -m lingshu_jax.train --config=configs/x.py:7b --workdir=DIR`."""

import dataclasses
import pathlib
from typing import Any

from absl import flags

from lingshu_jax import examination
from lingshu_jax.common import cli, paths, runtime, wandb_log
from lingshu_jax.models import flops
from lingshu_jax.rl import config as rl_config
from lingshu_jax.rl import loop as rl_loop
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import loop, run_folder


def run_stage(config: stage_config.StageConfig, workdir: pathlib.Path) -> dict[str, Any]:
    """Runs any of the four stages.

    Args:
      config: Not yet validated.
      workdir: The run's folder.

    Returns:
      The summary that `finished.json` holds.

    Raises:
      UserError: If the config or an input cannot be used.
    """
    config.validate()
    # What the environment lacks is found before any work.
    wandb_log.require(config.wandb)
    flops.peak_flops()
    workdir = workdir.absolute()
    if isinstance(config, rl_config.RLStageConfig):
        return rl_loop.run(config, workdir)
    finished = run_folder.open_run(config, workdir)
    if finished is not None:
        return finished
    examine = None
    if config.validation.every_steps and config.validation.benchmarks:
        examine = examination.Examination(config, workdir)
    return loop.run(config, workdir, examine=examine)


def define_flags() -> None:
    """Defines the command's flags."""
    cli.define_config()
    flags.DEFINE_string(
        "workdir", None, "Folder of the run, or s3:// or gs://; continued if it exists."
    )
    flags.DEFINE_string(
        "profile_steps", None, "Steps to trace, as 10:15 for 10 to 14; for config.profile_steps."
    )


def main(argv: list[str]) -> None:
    """Reads the flags and runs the stage."""
    del argv
    address, config = cli.required("workdir"), cli.required("config")
    if cli.flag("profile_steps") is not None:
        config = dataclasses.replace(config, profile_steps=cli.flag("profile_steps"))
    runtime.start(several_hosts=True)
    with runtime.main_first("fetch the workdir"):
        workdir = paths.fetched(address)
    runtime.wait_for_all("the workdir is fetched")
    with paths.kept_in_store(workdir, is_writer=runtime.is_main_host()):
        summary = run_stage(config, workdir)
    if runtime.is_main_host():
        print(loop.format_summary(summary))


if __name__ == "__main__":
    cli.run(main, define_flags)
