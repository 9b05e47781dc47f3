# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""How every command starts and how it fails: flags in, one clear line out."""

import errno
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from absl import app, flags
from ml_collections import config_flags

from lingshu_jax.common import config_help, errors, flag_errors

# Of what the user can mend although the command is right: space, quota, permission.
_FULL = (errno.ENOSPC, errno.EDQUOT)
_MENDABLE = (*_FULL, errno.EROFS, errno.EACCES, errno.EPERM)
_LONGEST_CAUSE = 160  # characters
_NO_BACKEND = "Unable to initialize backend"  # jax says which and what else there is
_OUT_OF_MEMORY = "RESOURCE_EXHAUSTED"  # how XLA says it, whatever the device
_FILES = {"default": "", "example": ""}  # of --config, from `define_config`


def define_config(default: str = "", *, example: str = "configs/stage3_instruct.py:7b") -> None:
    """Defines `--config=FILE.py[:ARG]` with typed `--config.a.b=value` overrides.

    Args:
      default: The file where none is given.
      example: The file whose fields `--help` shows where none is given and there is no default.
    """
    # Read when flags are parsed, with the errors of that, and not already where they are defined.
    _FILES.update(default=default, example=example)
    config_flags.DEFINE_config_file(
        "config", lock_config=True, help_string="Config file, as configs/x.py:variant."
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
    except MemoryError as error:
        fail(_say_too_large(error, "this machine"))
    except RuntimeError as error:
        if _NO_BACKEND in str(error):
            fail(str(error))
        if _OUT_OF_MEMORY not in str(error):
            raise
        fail(_say_too_large(error, "a device"))
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
    hint = "free some space" if error.errno in _FULL else "choose a folder that you may write to"
    line = f"{error.strerror}{where}; {hint} and give the same command"
    print(f"error: {said or line}", file=sys.stderr, flush=True)
    os._exit(2)


def _say_too_large(error: BaseException, where: str) -> str:
    """Memory that did not suffice, and which options of this command need less."""
    first = next(iter(str(error).splitlines()), "")[:_LONGEST_CAUSE]
    if "config" in flags.FLAGS:
        hint = (
            "more devices along config.mesh.fsdp, config.lora.modules or "
            "config.model.frozen_dtype=bfloat16, config.model.remat=full, more "
            "config.accumulation_steps, fewer config.data.rows_per_batch or tokens_per_row, in "
            "stage 4 fewer config.rl.generation_rows; --dry_run estimates what is needed"
        )
    else:
        hint = "fewer --rows, a smaller --max_new_tokens, smaller images, --tensor over devices"
    return f"the memory of {where} is too small: {first}; less take {hint}"


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
        example = f", as --config={_FILES['example']}" if name == "config" else ""
        raise errors.UserError(f"--{name} is required{example}")
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
    """absl's parser with our help; unknown flags, fields, types and files become a UserError."""
    if "config" in flags.FLAGS and _FILES["default"] and not flag_errors.config_file(argv):
        argv = [argv[0], f"--config={_FILES['default']}", *argv[1:]]
    asked = [arg.lstrip("-") for arg in argv[1:] if arg.startswith("-")]
    for name in ("help", "?", "helpfull", "helpshort"):
        if name in asked:
            _print_help(name, argv)
            sys.exit(0)
    try:
        arguments = flags.FLAGS(argv, known_only=False)
        if "config" in flags.FLAGS:
            # A file that was not found gives an object which raises when it is first used.
            getattr(flag("config"), "validate", None)
        return arguments
    except (flags.Error, AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        # ml_collections raises Python's own types for a misspelt field or a wrong type.
        raise errors.UserError(flag_errors.explain(error, argv)) from error
    except (OSError, ImportError, SyntaxError) as error:
        raise errors.UserError(flag_errors.explain_file(error, argv)) from error


def _print_help(asked: str, argv: list[str]) -> None:
    """The command's flags, and the fields of its config unless the short help will do."""
    app.usage(shorthelp=asked != "helpfull", writeto_stdout=True)
    if "config" not in flags.FLAGS:
        return
    if asked == "helpshort":
        print("\n--help shows the fields of the config as well.")
        return
    given = flag_errors.config_file(argv)
    file = given or _FILES["example"]
    try:
        config = flag_errors.load(file)
    except errors.UserError as error:
        print(f"\nFields of the config: --config=FILE.py --help shows them ({error}).")
        return
    other = "" if given else "; --config=FILE.py --help shows those of another"
    print(f"\nfields of --config={file}{other}:\n\n{config_help.describe(config)}")
