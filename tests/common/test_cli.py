# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""How commands fail, seen from outside: a small command of its own, as a subprocess."""

import os
import pathlib
import subprocess
import sys

import pytest

COMMAND = """
import errno
import jax
from absl import flags
from lingshu_jax.common import cli, errors


def define_flags():
    cli.define_config(example="config.py")
    flags.DEFINE_integer("rows", 1, "Rows.")
    flags.DEFINE_string("output", None, "Where to.")


def main(argv):
    output = cli.required("output")
    if output == "bad":
        raise errors.UserError("--output must be good,\\n  got 'bad'")
    if output == "stop":
        raise KeyboardInterrupt
    if output == "memory":
        jax.numpy.zeros(1 << 46)
    if output == "full":
        raise OSError(errno.ENOSPC, "No space left on device", "/run/metrics.jsonl")
    if output == "fault":
        raise ValueError("a fault of ours")
    print(output, cli.flag("rows"), cli.flag("config"))


if __name__ == "__main__":
    cli.run(main, define_flags)
"""
CONFIG = '''
import dataclasses
from lingshu_jax.common import errors


@dataclasses.dataclass(kw_only=True)
class Part:
    """A part.

    Attributes:
      steps: How many.
      rate: Of them.
    """

    steps: int = 3
    rate: float = 0.5


@dataclasses.dataclass(kw_only=True)
class Config:
    name: str = "x"
    part: Part = dataclasses.field(default_factory=Part)


def get_config(arg="plain"):
    if arg != "plain":
        raise errors.UserError(f"unknown variant {arg!r}; known: plain")
    return Config()
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("command")
    (folder / "command.py").write_text(COMMAND)
    (folder / "config.py").write_text(CONFIG)
    (folder / "broken.py").write_text("def get_config(:\n")
    return folder


def run(folder: pathlib.Path, repo: pathlib.Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "command.py", *args],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(repo)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_values_arrive(folder: pathlib.Path, repo: pathlib.Path) -> None:
    flags = ["--output=o", "--rows=4", "--config=config.py", "--config.part.steps=7"]
    done = run(folder, repo, *flags)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "o 4 Config(name='x', part=Part(steps=7, rate=0.5))\n"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--output=bad"], ["--output must be good, got 'bad'"]),
        ([], ["--output is required"]),
        (["--output=full"], ["No space left on device: /run/metrics.jsonl; free some space"]),
        (["--output=memory"], ["memory of a device is too small", "config.mesh.fsdp"]),
        (["--output=o", "--rows=many"], ["rows", "many"]),
        (["--output=o", "--row=1"], ["--row", "did you mean '--rows'?"]),
        (["--output=o", "surplus"], ["'surplus'", "--name=value"]),
        (["--output=o", "--config=nowhere.py"], ["no file nowhere.py"]),
        (["--output=o", "--config=broken.py"], ["broken.py"]),
        (["--output=o", "--config=config.py:odd"], ["'odd'", "plain"]),
        (["--output=o", "--config=config.py", "--config.part.step=1"], ["did you mean 'steps'"]),
        (["--output=o", "--config=config.py", "--config.part.steps=x"], ["type int", "'x'"]),
    ],
    ids=[
        "user_error",
        "required",
        "full_disk",
        "out_of_memory",
        "wrong_type",
        "unknown_flag",
        "surplus_argument",
        "missing_config",
        "broken_config",
        "unknown_variant",
        "unknown_field",
        "wrong_field_type",
    ],
)
def test_bad_input_is_one_line(
    folder: pathlib.Path, repo: pathlib.Path, args: list[str], words: list[str]
) -> None:
    done = run(folder, repo, *args)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stderr and 'File "' not in done.stderr, done.stderr
    assert all(word in done.stderr for word in words), done.stderr


def test_a_fault_of_ours_keeps_its_trace(folder: pathlib.Path, repo: pathlib.Path) -> None:
    done = run(folder, repo, "--output=fault")
    assert done.returncode not in (0, 2)
    assert "Traceback" in done.stderr and "a fault of ours" in done.stderr


def test_an_interruption_is_one_line(folder: pathlib.Path, repo: pathlib.Path) -> None:
    done = run(folder, repo, "--output=stop")
    assert done.returncode == 130
    assert done.stderr.startswith("interrupted") and done.stderr.count("\n") == 1, done.stderr


@pytest.mark.parametrize(
    ("args", "words", "absent"),
    [
        (
            ["--help"],
            ["--rows: Rows.", "config.part.steps: How many", "fields of --config=con"],
            [],
        ),
        (["--config=config.py", "--help", "--row=1"], ["part.rate: Of them."], ["of another"]),
        (["--helpshort"], ["--rows: Rows."], ["--config.part"]),
        (["--helpfull"], ["--rows: Rows.", "--verbosity", "config.part.steps: How many"], []),
        (["--config=nowhere.py", "--help"], ["--rows: Rows.", "no file nowhere.py"], []),
    ],
    ids=["example", "given", "short", "full", "no_such_file"],
)
def test_help_shows_flags_and_fields(
    folder: pathlib.Path, repo: pathlib.Path, args: list[str], words: list[str], absent: list[str]
) -> None:
    done = run(folder, repo, *args)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert all(word in done.stdout for word in words), done.stdout
    assert not any(word in done.stdout for word in absent), done.stdout
