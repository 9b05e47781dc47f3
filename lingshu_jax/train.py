# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Trains one stage: `python -m lingshu_jax.train --config=configs/x.py:7b --workdir=DIR`."""

import pathlib
from typing import Any

from absl import flags

from lingshu_jax.common import cli, runtime
from lingshu_jax.rl import config as rl_config
from lingshu_jax.rl import loop as rl_loop
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import loop


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
    workdir = workdir.absolute()
    if isinstance(config, rl_config.RLStageConfig):
        return rl_loop.run(config, workdir)
    return loop.run(config, workdir)


def define_flags() -> None:
    """Defines the command's flags."""
    cli.define_config()
    flags.DEFINE_string("workdir", None, "Folder of the run; continued if it exists.")


def main(argv: list[str]) -> None:
    """Reads the flags and runs the stage."""
    del argv
    workdir = pathlib.Path(cli.required("workdir"))
    config = cli.required("config")
    runtime.start()
    summary = run_stage(config, workdir)
    if runtime.is_main_host():
        print(loop.format_summary(summary))


if __name__ == "__main__":
    cli.run(main, define_flags)
