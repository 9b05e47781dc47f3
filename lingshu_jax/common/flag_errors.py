# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What was wrong with a command line, in one line that says what was meant, if that can be guessed.

absl and ml_collections raise the errors; their texts say what happened inside them.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

from absl import flags
from ml_collections.config_flags import config_flags

from lingshu_jax.common import config_help, errors

_CONFIG = "config"


def config_file(argv: Sequence[str]) -> str:
    """What stands behind `--config`, its variant included; empty where it is not given.

    Args:
      argv: The command line.
    """
    for place, arg in enumerate(argv):
        name, sign, value = arg.lstrip("-").partition("=")
        if arg.startswith("-") and name == _CONFIG:
            return value if sign else "".join(argv[place + 1 : place + 2])
    return ""


def load(file: str) -> Any:
    """The config of a file as it is without overrides.

    Args:
      file: As behind `--config`.

    Raises:
      UserError: If there is no such file, or it refuses its variant.
    """
    if not file:
        raise errors.UserError("none is given")
    try:
        config = config_flags.ConfigFileFlagParser(_CONFIG).parse(file)
        getattr(config, "validate", None)  # raises where the file was not found
    except (TypeError, ValueError, KeyError) as error:
        raise errors.UserError(_own_words(error)) from error
    except (OSError, ImportError, SyntaxError) as error:
        raise errors.UserError(_file_words(error, file)) from error
    return config


def explain(error: Exception, argv: Sequence[str]) -> str:
    """An error of the parser in our words where there is more to say, else in its own.

    Args:
      error: What absl or ml_collections raised.
      argv: The command line, with the default of `--config` where it has one.
    """
    if isinstance(error, flags.UnrecognizedFlagError):
        return _unknown_flag(error.flagname, argv)
    known = _own_words(error)
    if isinstance(error, config_flags.FlagOrderError):
        return f"{known.split()[1]}: --config=FILE.py must stand before it"
    pairs = [arg.lstrip("-").partition("=") for arg in argv if arg.startswith("-")]
    overrides = [(name, value) for name, _, value in pairs if name.startswith(f"{_CONFIG}.")]
    if not overrides or _is_ours(error):
        return known
    try:
        config = load(config_file(argv))
    except errors.UserError:
        return known
    for name, _ in overrides:
        if reason := config_help.explain_unknown(config, name):
            return reason
    for name, value in overrides:
        refused = isinstance(error, flags.IllegalFlagValueError) and f"--{name}=" in known
        if refused and (reason := config_help.explain_value(config, name, value)):
            return reason
    return known


def explain_file(error: Exception, argv: Sequence[str]) -> str:
    """Why the config file cannot be used.

    Args:
      error: What opening or running it raised.
      argv: The command line.
    """
    return _file_words(error, config_file(argv))


def _unknown_flag(name: str, argv: Sequence[str]) -> str:
    if name.startswith(f"{_CONFIG}.") and _CONFIG in flags.FLAGS:
        return f"--{name} sets a field of a config: give --config=FILE.py before it"
    near = errors.suggest(f"--{name}", [f"--{known}" for known in flags.FLAGS])
    return f"unknown flag --{name}{near or '; --help lists those of this command'}"


def _file_words(error: Exception, file: str) -> str:
    path = pathlib.Path(file.partition(":")[0])
    if isinstance(error, ImportError) and not isinstance(error, errors.UserError):
        return (
            f"--config={file}: {error}; start the command in the folder that holds configs/ and "
            "lingshu_jax/"
        )
    if path.is_file() or not isinstance(error, OSError):
        return f"--config={file}: {error}"
    found = [*path.parent.glob("*.py"), *pathlib.Path("configs").glob("*.py")]
    near = errors.suggest(path.stem, [other.stem for other in found])
    near = next((f"; did you mean '{other}'?" for other in found if repr(other.stem) in near), "")
    return f"--config={file}: there is no file {path}, seen from the folder that you are in{near}"


def _is_ours(error: BaseException) -> bool:
    return any(isinstance(one, errors.UserError) for one in _chain(error))


def _own_words(error: BaseException) -> str:
    """What a config file itself complained about, else the parser's own words.

    ml_collections wraps an error of `get_config` in a text that holds the whole trace.
    """
    for inner in reversed(_chain(error)):
        if isinstance(inner, errors.UserError | OSError):
            return str(inner)
    return str(error.args[0] if error.args else error)


def _chain(error: BaseException) -> list[BaseException]:
    chain = [error]
    while (inner := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(inner)
    return chain
