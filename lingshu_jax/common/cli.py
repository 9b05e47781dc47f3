# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""How every command starts and how it fails: flags in, one clear line out."""

import sys
from collections.abc import Callable

from absl import app, flags
from ml_collections import config_flags

from lingshu_jax.common import errors


def define_config() -> flags.FlagHolder:
    """Defines `--config=FILE.py[:ARG]` with typed `--config.a.b=value` overrides."""
    return config_flags.DEFINE_config_file(
        "config", lock_config=True, help_string="Config file, as configs/x.py:variant."
    )


def run(main: Callable[[list[str]], None]) -> None:
    """Runs `main(argv)` under absl; what the user can mend is one line and exit code 2.

    Args:
      main: Receives the program name and the arguments that are no flags.
    """
    try:
        app.run(_without_extra_arguments(main), flags_parser=_parse_flags)
    except errors.UserError as error:
        fail(str(error))


def fail(message: str) -> None:
    """Prints one line on standard error and leaves with exit code 2."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)


def required(holder: flags.FlagHolder[str | None]) -> str:
    """The flag's value; a missing one is the user's error, named.

    Args:
      holder: A flag whose default is None.

    Raises:
      UserError: If the flag was not given or is empty.
    """
    if not holder.value:
        raise errors.UserError(f"--{holder.name} is required")
    return holder.value


def _without_extra_arguments(main: Callable[[list[str]], None]) -> Callable[[list[str]], None]:
    def checked(argv: list[str]) -> None:
        if len(argv) > 1:
            raise errors.UserError(f"unexpected argument {argv[1]!r}; options are written --name=value")
        main(argv)

    return checked


def _parse_flags(argv: list[str]) -> list[str]:
    """absl's parser; unknown flags, fields, types and config files become a UserError."""
    try:
        return flags.FLAGS(argv, known_only=False)
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        # ml_collections raises Python's own types for a misspelt field or a wrong type.
        raise errors.UserError(str(error.args[0] if error.args else error)) from error
