# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""How every command starts and how it fails: flags in, one clear line out."""

import dataclasses
import errno
import os
import re
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from absl import app, flags
from ml_collections import config_flags

from lingshu_jax.common import errors

# Of what the user can mend although the command is right: space, quota, permission.
_MENDABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)


def define_config(default: str | None = None) -> None:
    """Defines `--config=FILE.py[:ARG]` with typed `--config.a.b=value` overrides.

    Args:
      default: The file where none is given.
    """
    config_flags.DEFINE_config_file(
        "config", default, lock_config=True, help_string="Config file, as configs/x.py:variant."
    )


def run(main: Callable[[list[str]], None], define_flags: Callable[[], None]) -> None:
    """Runs `main(argv)` under absl; what the user can mend is one line and exit code 2.

    Args:
      main: Receives the program name and the arguments that are no flags.
      define_flags: Defines the command's flags. Not done on import, because commands import
        one another and their flags share names.
    """
    define_flags()
    try:
        app.run(_without_extra_arguments(main), flags_parser=_parse_flags)
    except errors.UserError as error:
        fail(str(error))
    except OSError as error:
        if error.errno not in _MENDABLE:
            raise
        _leave(error)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on or starts again", file=sys.stderr)
        sys.exit(130)  # as a shell reports SIGINT


def fail(message: str) -> None:
    """Prints one line on standard error and leaves with exit code 2."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)


def _leave(error: OSError) -> NoReturn:
    """As `fail`, but closes nothing more.

    On a full disk exit handlers and threads fail as well, and their traces would hide the line.
    """
    said: BaseException | None = error
    while said is not None and not isinstance(said, errors.UserError):
        said = said.__context__
    where = f": {error.filename}" if error.filename else ""
    print(f"error: {said or f'{error.strerror}{where}'}", file=sys.stderr, flush=True)
    os._exit(2)


def flag(name: str) -> Any:
    """The value of a flag, None where it was not given and has no default.

    Args:
      name: Without dashes.
    """
    return flags.FLAGS[name].value


def required(name: str) -> Any:
    """The value of a flag; a missing one is the user's error, named.

    Args:
      name: Without dashes; its default is None.

    Raises:
      UserError: If the flag was not given or is empty.
    """
    if flag(name) in (None, ""):
        raise errors.UserError(f"--{name} is required")
    return flag(name)


def _without_extra_arguments(main: Callable[[list[str]], None]) -> Callable[[list[str]], None]:
    def checked(argv: list[str]) -> None:
        if len(argv) > 1:
            raise errors.UserError(
                f"unexpected argument {argv[1]!r}; options are written --name=value"
            )
        main(argv)

    return checked


def _parse_flags(argv: list[str]) -> list[str]:
    """absl's parser; unknown flags, fields, types and config files become a UserError."""
    try:
        arguments = flags.FLAGS(argv, known_only=False)
        if "config" in flags.FLAGS:
            # A file that was not found gives an object which raises when it is first used.
            getattr(flag("config"), "validate", None)
        return arguments
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        # ml_collections raises Python's own types for a misspelt field or a wrong type.
        raise errors.UserError(_cause(error)) from error
    except SyntaxError as error:
        raise errors.UserError(f"--config: {error}") from error


def _cause(error: BaseException) -> str:
    """What a config file itself complained about, else the parser's own words.

    ml_collections wraps an error of `get_config` in a text that holds the whole trace.
    """
    chain: list[BaseException] = [error]
    while (inner := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(inner)
    for inner in reversed(chain):
        if isinstance(inner, errors.UserError | OSError):
            return str(inner)
    text = str(error.args[0] if error.args else error)
    unknown = re.search(r"Field (\w+) not found on dataclass <class '([\w.]+)\.(\w+)'>", text)
    if unknown and unknown[2] in sys.modules:
        field, module, name = unknown.groups()
        known = [f.name for f in dataclasses.fields(getattr(sys.modules[module], name))]
        return f"unknown field {field!r} of {name}; known: {', '.join(known)}"
    return text
