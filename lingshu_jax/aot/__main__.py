# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Compiles a stage's real step for a TPU topology on a CPU host; prints one JSON line.

`python -m lingshu_jax.aot --config=configs/stage3_instruct.py:32b --topology=v5e:16x16`
"""

import json
import sys

import jax
from absl import flags

from lingshu_jax.aot import plans, rows, search
from lingshu_jax.common import cli, errors, topologies
from lingshu_jax.rl import config as rl_config


def define_flags() -> None:
    """Defines the command's flags."""
    cli.define_config()
    flags.DEFINE_string("topology", None, "CHIP:SHAPE or CHIP:SHAPE*SLICES, as v5e:16x16*2.")
    flags.DEFINE_string(
        "program", "", f"One of {', '.join(rows.PROGRAMS)}; default train, or update for stage 4."
    )
    flags.DEFINE_integer("rows_per_device", 1, "Rows of a pass on each device.")
    flags.DEFINE_integer(
        "sequences_per_row", plans.SEQUENCES_PER_ROW, "How rows are assumed to be filled."
    )
    flags.DEFINE_boolean("search", False, "Tries batch, rematerialisation and mesh.")


def main(argv: list[str]) -> None:
    """Reads the flags, compiles and prints."""
    del argv
    config = cli.required("config")
    topology = topologies.parse(cli.required("topology"))
    if topology.chip.platform != "tpu":
        raise errors.UserError(
            f"topology {topology.name}: programs for GPUs are compiled on a GPU only"
        )
    is_rl = isinstance(config, rl_config.RLStageConfig)
    program = cli.flag("program") or ("update" if is_rl else "train")
    if program not in rows.PROGRAMS:
        allowed = ", ".join(rows.PROGRAMS)
        raise errors.UserError(f"--program must be one of {allowed}, got {program}")
    if program in ("train", "update") and (program == "update") != is_rl:
        raise errors.UserError(
            f"--program must be update for stage 4 and train for the others, got {program}"
        )
    for name in ("rows_per_device", "sequences_per_row"):
        if cli.flag(name) < 1:
            raise errors.UserError(f"--{name} must be >= 1, got {cli.flag(name)}")
    jax.config.update("jax_platforms", "cpu")  # a TPU that is here is not asked
    plan = plans.make(
        config,
        topology,
        rows_per_device=cli.flag("rows_per_device"),
        sequences_per_row=cli.flag("sequences_per_row"),
        generates=program in ("prefill", "decode"),
    )
    if cli.flag("search"):
        row = search.run(plan, program, sys.argv[1:])
    else:
        row = rows.make(plan, program)
    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    cli.run(main, define_flags)
