# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The one exception that means: the user can mend this."""

import difflib
from collections.abc import Iterable
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


def require_word(field: str, value: Any, known: Iterable[str]) -> None:
    """Refuses a field of a config that is none of some words; the nearest one is suggested.

    Args:
      field: As of `require`.
      value: What it is.
      known: The words.

    Raises:
      UserError: If the value is none of them.
    """
    known = tuple(known)
    if value not in known:
        raise UserError(
            f"config.{field} must be one of {known}, got {value!r}{suggest(value, known)}"
        )


def suggest(value: Any, known: Iterable[str]) -> str:
    """What a misspelt word may have meant, for the end of a line; empty where nothing is near.

    Args:
      value: The word.
      known: The words that there are.
    """
    near = difflib.get_close_matches(str(value), [word for word in known if word], n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
