# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The one exception that means: the user can mend this."""

from typing import Any


class UserError(ValueError):
    """Bad input, said in one line that names the value and what is allowed.

    Entry points print the line without a stack trace and exit with code 2
    (`common.cli.run`); everything else is a fault of ours and keeps its trace.
    """


def require(condition: bool, field: str, value: Any, allowed: str) -> None:
    """Refuses a field of a config.

    Args:
      condition: Whether the value is allowed.
      field: Its path below `config`, as `data.fraction`.
      value: What it is.
      allowed: What it must be, to stand after "must be".

    Raises:
      UserError: If the condition does not hold.
    """
    if not condition:
        raise UserError(f"config.{field} must be {allowed}, got {value!r}")
