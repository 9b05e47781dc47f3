# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Trains one stage: `python -m lingshu_jax.train --config=configs/x.py:7b --workdir=DIR`."""

import dataclasses
import pathlib
from typing import Any

from absl import flags

from lingshu_jax import dry_run, examination
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
    _check(config)
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


def _check(config: stage_config.StageConfig) -> None:
    """What the environment lacks is found before any work."""
    config.validate()
    wandb_log.require(config.wandb)
    flops.peak_flops()


def define_flags() -> None:
    """Defines the command's flags."""
    cli.define_config()
    flags.DEFINE_string(
        "workdir", None, "Folder of the run, or s3:// or gs://; continued if it exists."
    )
    flags.DEFINE_string(
        "profile_steps", None, "Steps to trace, as 10:15 for 10 to 14; for config.profile_steps."
    )
    flags.DEFINE_bool(
        "dry_run",
        False,
        "Reads the data and prints what would be trained, on which devices, in how much memory "
        "and in how many steps; trains nothing and writes nothing.",
    )


def main(argv: list[str]) -> None:
    """Reads the flags and runs the stage, or says what it would do."""
    del argv
    config = cli.required("config")
    if cli.flag("profile_steps") is not None:
        config = dataclasses.replace(config, profile_steps=cli.flag("profile_steps"))
    if cli.flag("dry_run"):
        _dry_run(config, cli.flag("workdir") or "")
        return
    address = cli.required("workdir")
    runtime.start(several_hosts=True)
    with runtime.main_first("fetch the workdir"):
        workdir = paths.fetched(address)
    runtime.wait_for_all("the workdir is fetched")
    with paths.kept_in_store(workdir, is_writer=runtime.is_main_host()):
        summary = run_stage(config, workdir)
    if runtime.is_main_host():
        print(loop.format_summary(summary))


def _dry_run(config: stage_config.StageConfig, address: str) -> None:
    runtime.start(keeps_programs=False)
    _check(config)
    is_local = bool(address) and not paths.is_remote(address)  # a store's mirror would be written
    dry_run.print_stage(config, pathlib.Path(address).absolute() if is_local else None)


if __name__ == "__main__":
    cli.run(main, define_flags)
