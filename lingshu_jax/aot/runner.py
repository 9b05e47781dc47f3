# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""`python -m lingshu_jax.aot` in a process of its own, whose memory goes back when it ends."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from lingshu_jax.common import errors


def run(arguments: Sequence[str]) -> dict[str, Any]:
    """The JSON values that one command prints.

    Args:
      arguments: Flags of the command.

    Raises:
      UserError: If it ends otherwise than with a line of JSON; says its last line.
    """
    command = [sys.executable, "-m", "lingshu_jax.aot", *arguments]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        raise errors.UserError(
            f"{' '.join(command[1:])} ended with code {done.returncode}: {said[-1]}"
        )
    return json.loads(lines[-1])
