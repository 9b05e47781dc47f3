# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Runs commands as `python -m` would, each in a fork of one process that has imported them all.

    python -m tests.forked_commands < CALLS.json

An import takes seconds, a fork none. `run` is what tests call.
"""

import importlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Sequence
from typing import IO, Any, NamedTuple

SECONDS = 60  # of a command
AT_ONCE = 4
REPO = pathlib.Path(__file__).resolve().parents[1]


class Call(NamedTuple):
    """A command.

    Attributes:
      module: As behind `python -m`.
      args: Behind it.
      env: Variables on top of the others; "" takes one away.
      absent: Packages that are as if they were not installed.
      folder: Where it is started; "" is the checkout.
      before: Python that is run first, to make the machine another one.
    """

    module: str
    args: Sequence[str]
    env: dict[str, str] = {}
    absent: Sequence[str] = ()
    folder: str = ""
    before: str = ""


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def run(calls: Sequence[Call], env: dict[str, str]) -> list[Done]:
    """Runs commands one after the other.

    Args:
      calls: The commands.
      env: Variables of all of them.
    """
    done = subprocess.run(
        [sys.executable, "-m", "tests.forked_commands"],
        input=json.dumps(calls),
        cwd=REPO,
        env={**os.environ, "PYTHONPATH": ".", **env},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [Done(*found) for found in json.loads(done.stdout)]


def _main() -> None:
    calls = [Call(*values) for values in json.load(sys.stdin)]
    for module in {call.module for call in calls}:
        importlib.import_module(module)
    done: list[Done] = []
    for first in range(0, len(calls), AT_ONCE):
        started = [_start(call) for call in calls[first : first + AT_ONCE]]
        done += [_finish(*one) for one in started]
    json.dump(done, sys.stdout)


def _start(call: Call) -> tuple[int, IO[bytes], IO[bytes]]:
    """The process of a command, and the files of its two streams."""
    out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
    with warnings.catch_warnings(action="ignore"):  # JAX warns of forks; it has no threads yet
        child = os.fork()
    if not child:
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        _become(call)
    return child, out, err


def _finish(child: int, out: IO[bytes], err: IO[bytes]) -> Done:
    _, status = os.waitpid(child, 0)
    texts = []
    for file in (out, err):
        with file:
            file.seek(0)
            texts.append(file.read().decode())
    return Done(os.waitstatus_to_exitcode(status), *texts)


def _become(call: Call) -> None:
    """The command itself; never returns."""
    code: Any = 1
    signal.alarm(SECONDS)  # whoever hangs ends
    try:
        for name, value in call.env.items():
            os.environ[name] = value
            if not value:
                del os.environ[name]
        for name in call.absent:
            loaded = [module for module in sys.modules if f"{module}.".startswith(f"{name}.")]
            sys.modules.update(dict.fromkeys((name, *loaded)))
        if call.folder:
            os.chdir(call.folder)
            sys.path[:] = [path for path in sys.path if pathlib.Path(path).resolve() != REPO]
            for module in [name for name in sys.modules if name.split(".")[0] == "configs"]:
                del sys.modules[module]
        exec(call.before, {})
        sys.argv = [call.module, *call.args]
        module = importlib.import_module(call.module)
        module.cli.run(module.main, module.define_flags)
    except SystemExit as end:
        code = end.code or 0
    finally:
        if sys.exception() is not None:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _main()
