# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The command generate with an engine that needs no model and takes its time.

    python -m tests.engines.answering LOG SECONDS FLAGS OF GENERATE

`LOG` gets the id of each row when it is asked, `SECONDS` go by before each answer.
"""

import os
import pathlib
import subprocess
import sys

from lingshu_jax import generate
from lingshu_jax.common import cli
from lingshu_jax.engines import registry
from tests.engines import stand_in


def start(log: pathlib.Path, seconds: float, *flags: str) -> subprocess.Popen[str]:
    """Starts the command."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.engines.answering", str(log), str(seconds), *flags],
        cwd=pathlib.Path(__file__).resolve().parents[2],
        env={**os.environ, "PYTHONPATH": "."},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


if __name__ == "__main__":
    engine = stand_in.StandIn(log=pathlib.Path(sys.argv.pop(1)), seconds=float(sys.argv.pop(1)))
    registry.Choice.make = lambda _: engine
    cli.run(generate.main, generate.define_flags)
