# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""METEOR 1.5, the program in Java that pycocoevalcap brings along; absent without the two.

It reads lines and answers each before it reads the next. Texts are tokens of the Penn Treebank
rules, as pycocoevalcap hands them over (meteor/meteor.py@ad63453). MedEvalKit calls NLTK's METEOR,
which gives other numbers and needs WordNet.
"""

import importlib.util
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from lingshu_jax.common import errors
from lingshu_jax.eval.report_metrics import lexical

NEEDS = "needs Java and the package pycocoevalcap in this environment"
_JAR = "meteor-1.5.jar"
_BAR = "|||"  # between the fields of a line
_SECONDS = 60  # that it takes to end


def find_jar() -> Path | None:
    """The program, if it and Java are there."""
    package = importlib.util.find_spec("pycocoevalcap")
    if package is None or not package.submodule_search_locations or not shutil.which("java"):
        return None
    jar = Path(next(iter(package.submodule_search_locations))) / "meteor" / _JAR
    return jar if jar.is_file() else None


def scores(
    said: Sequence[lexical.Tokens], truths: Sequence[Sequence[lexical.Tokens]], jar: Path
) -> tuple[list[float], float]:
    """METEOR of each report, in [0, 1], and of all together.

    Args:
      said: Tokens of each report; one without has 0.
      truths: Tokens of its references.
      jar: From `find_jar`.

    Raises:
      UserError: If the program gives up.
    """
    command = ["java", "-jar", "-Xmx2G", jar.name, "-", "-", "-stdio", "-l", "en", "-norm"]
    with subprocess.Popen(  # its data lie beside it
        command,
        cwd=jar.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
    ) as program:
        try:
            asked = zip(said, truths, strict=True)
            counts = [
                _ask(program, ["SCORE", *map(_text, golds), _text(one)]) for one, golds in asked
            ]
            _write(program, ["EVAL", *counts])
            found = [float(_read(program)) for _ in counts]
            return found, float(_read(program))
        finally:
            program.kill()
            program.wait(_SECONDS)


def _ask(program: subprocess.Popen[str], fields: Sequence[str]) -> str:
    _write(program, fields)
    return _read(program)


def _write(program: subprocess.Popen[str], fields: Sequence[str]) -> None:
    assert program.stdin is not None
    try:
        program.stdin.write(f" {_BAR} ".join(fields) + "\n")
        program.stdin.flush()
    except BrokenPipeError as error:
        raise _gone() from error


def _read(program: subprocess.Popen[str]) -> str:
    stream: IO[str] | None = program.stdout
    assert stream is not None
    line = stream.readline().strip()
    if not line or line.startswith("Error"):
        raise _gone()
    return line


def _gone() -> errors.UserError:
    return errors.UserError("METEOR's program ended without an answer; does `java -version` run?")


def _text(words: lexical.Tokens) -> str:
    """A text on one line without the mark between fields."""
    return " ".join(word for word in words if _BAR not in word)
