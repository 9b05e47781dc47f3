# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The command generate with an engine that needs no model and takes its time.

    python -m tests.engines.answering LOG SECONDS FLAGS OF GENERATE

`LOG` gets the id of each row when it is asked, `SECONDS` go by before each answer.
"""

import pathlib
import subprocess

from lingshu_jax import generate
from tests.engines import stand_in


def start(log: pathlib.Path, seconds: float, *flags: str) -> subprocess.Popen[str]:
    """Starts the command."""
    return stand_in.start("tests.engines.answering", log, seconds, flags)


if __name__ == "__main__":
    stand_in.serve(stand_in.StandIn, generate)
