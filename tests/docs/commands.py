# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The commands that the README and the pages of docs/ show, and the flags that commands have."""

import json
import pathlib
import re
import shlex
import subprocess
import sys
from typing import NamedTuple

REPO = pathlib.Path(__file__).resolve().parents[2]
PAGES = [
    REPO / "README.md",
    REPO / "CONTRIBUTING.md",
    *sorted((REPO / "docs").glob("*.md")),
    *sorted((REPO / "docs" / "tutorials").glob("*.md")),
]
# Told apart from prose by how they begin.
_START = re.compile(r"^(?:[A-Z_]+=\S+ )*(?:python|make|pip|TPU|gcloud|docker) ?")
_FENCE = re.compile(r"^```(\S*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`((?:[A-Z_]+=\S+ )*(?:python|make) [^`\n]+)`")

# Prints the flags of every module that it is given, as JSON; one process, for each import takes
# seconds. Commands share names of flags, so those of one are gone before the next.
_COLLECT = """
import importlib, json, sys
from absl import flags
found = {}
for name in sys.argv[1:]:
    before = set(flags.FLAGS)
    importlib.import_module(name).define_flags()
    found[name] = sorted(set(flags.FLAGS) - before) + ["help", "helpfull"]
    for flag in set(flags.FLAGS) - before:
        delattr(flags.FLAGS, flag)
print(json.dumps(found))
"""


class Command(NamedTuple):
    """A command as a page shows it.

    Attributes:
      page: Where, from the root of the checkout.
      text: In one line.
    """

    page: str
    text: str

    @property
    def words(self) -> list[str]:
        """Its words, without what stands before the program."""
        words = shlex.split(self.text.replace("\\|", "|").replace("...", ""), comments=True)
        while words and re.match(r"[A-Z_]+=", words[0]):
            del words[0]
        return words

    @property
    def module(self) -> str:
        """What `python -m` runs; "" of any other command."""
        words = self.words
        if words[:1] != ["python"] or len(words) < 2:
            return ""
        if words[1] == "-m":
            return words[2]
        if words[1].endswith(".py"):
            return words[1].removesuffix(".py").replace("/", ".")
        return ""

    @property
    def flags(self) -> list[str]:
        """Names of its flags, as `config.data.root`."""
        found = re.findall(r"(?<![\w-])--([a-z][\w.]*(?:\[\d+\][\w.]*)?)", self.text)
        return [*dict.fromkeys(found)]


def blocks(text: str) -> list[list[str]]:
    """The lines of each block without a language, those that a backslash parts joined.

    Args:
      text: Of a Markdown page.
    """
    plain = [block for language, block in _FENCE.findall(text) if not language]
    return [[*map(str.strip, re.sub(r"\\\n\s*", "", one).splitlines())] for one in plain]


def read(page: pathlib.Path) -> list[Command]:
    """All commands of a page, in blocks and in running text.

    Args:
      page: A Markdown file.
    """
    text = page.read_text(encoding="utf-8")
    name = str(page.relative_to(REPO))
    found = []
    for block in blocks(text):
        found += [Command(name, line) for line in block if _START.match(line)]
    return found + [Command(name, line) for line in _INLINE.findall(_FENCE.sub("", text))]


def every() -> list[Command]:
    """The commands of all pages."""
    return [command for page in PAGES for command in read(page)]


def _parsed(source: str) -> list[str]:
    """What a file of benchmarks/ adds to its parser, itself or by a module beside it."""
    found = re.findall(r"add_argument\(\s*\"--([\w-]+)\"", source)
    for name in re.findall(r"from benchmarks import ([\w, ]+)", source):
        for one in name.split(", "):
            text = (REPO / "benchmarks" / f"{one.split()[0]}.py").read_text(encoding="utf-8")
            found += re.findall(r"add_argument\(\s*\"--([\w-]+)\"", text)
    return found


def known_flags(modules: list[str]) -> dict[str, list[str]]:
    """The flags of commands by module, those of argparse as their source has them.

    Args:
      modules: With `define_flags`, or files of benchmarks/.
    """
    found, absl = {}, []
    for module in modules:
        path = REPO.joinpath(*module.split("."))
        source = (
            path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__main__.py"
        )
        text = source.read_text(encoding="utf-8")
        if "def define_flags" in text:
            absl.append(module if source.name != "__main__.py" else f"{module}.__main__")
        else:
            found[module] = [*_parsed(text), "help"]
    printed = subprocess.run(
        [sys.executable, "-c", _COLLECT, *absl],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    ).stdout
    for module, names in json.loads(printed.splitlines()[-1]).items():
        found[module.removesuffix(".__main__")] = names
    return found
