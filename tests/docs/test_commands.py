# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Every command that a page shows exists, with every flag and every field that it sets."""

import dataclasses
import importlib
import re

import pytest

from tests.docs import commands

COMMANDS = commands.every()
OURS = [c for c in COMMANDS if c.module.startswith(("lingshu_jax", "data_tools", "benchmarks"))]
EACH = pytest.mark.parametrize("command", OURS, ids=[f"{c.page}: {c.text[:60]}" for c in OURS])


@pytest.fixture(scope="module")
def known():
    return commands.known_flags(sorted({command.module for command in OURS}))


def unknown(command, known):
    """The flags of a command that it does not have; fields of a config are looked at below."""
    return [flag for flag in command.flags if flag.split(".")[0] not in known[command.module]]


def test_the_pages_show_commands():
    assert len(OURS) > 50
    modules = {command.module for command in OURS}
    assert {"lingshu_jax.train", "lingshu_jax.evaluate", "data_tools.curate"} <= modules


@EACH
def test_the_command_has_these_flags(command, known):
    assert not unknown(command, known), command.text


def test_a_flag_that_does_not_exist_would_be_found(known):
    wrong = commands.Command("x", "python -m lingshu_jax.train --config=a.py --work_dir=b")
    assert unknown(wrong, known) == ["work_dir"]


def test_a_module_that_does_not_exist_would_be_found():
    with pytest.raises(FileNotFoundError):
        commands.known_flags(["lingshu_jax.trian"])


@pytest.mark.parametrize("text", sorted({c.text for c in COMMANDS if c.words[:1] == ["make"]}))
def test_make_has_this_target(text):
    makefile = (commands.REPO / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    words = commands.Command("x", text).words[1:]
    wanted = [word for word in words if "=" not in word and not word.startswith("-")]
    assert set(wanted) <= targets, text


def config_of(command, tmp_path):
    """The config file of a command with its variant; None where a name stands for the user's."""
    found = re.search(r"--config=configs/(\w+)\.py(?::([^\s`'\"]*))?", command.text)
    if found is None:
        return None
    module = importlib.import_module(f"configs.{found[1]}")
    arg = found[2]
    if arg is not None:
        # A word in capitals is the reader's own folder.
        arg = re.sub(r"\b[A-Z][A-Z_]+\b", str(tmp_path), arg)
        if found[1] in ("curation", "synthesis"):  # look at the folder
            folder, *rest = arg.split(",")
            (tmp_path / folder).mkdir(exist_ok=True)
            arg = ",".join([str(tmp_path / folder), *rest])
    return module.get_config(arg) if arg else module.get_config()


def missing_fields(command, config):
    """Fields that a command sets and its config does not have."""
    missing = []
    for flag in command.flags:
        value, path = config, flag.split(".")[1:] if flag.startswith("config.") else []
        for name in path:
            name, _, index = name.partition("[")
            if not (dataclasses.is_dataclass(value) and hasattr(value, name)):
                missing.append(flag)
                break
            value = getattr(value, name)
            if index:
                break  # of a source: which sources there are is the file's
    return missing


CONFIGURED = [command for command in OURS if "--config=configs/" in command.text]


@pytest.mark.parametrize(
    "command", CONFIGURED, ids=[f"{c.page}: {c.text[:80]}" for c in CONFIGURED]
)
def test_the_config_has_these_fields(command, tmp_path):
    config = config_of(command, tmp_path)
    assert not missing_fields(command, config), command.text


def test_a_field_that_does_not_exist_would_be_found(tmp_path):
    text = "python -m lingshu_jax.train --config=configs/stage3_instruct.py:7b"
    wrong = commands.Command("x", f"{text} --config.optim.warmup_step=5 --config.epochs=1")
    assert missing_fields(wrong, config_of(wrong, tmp_path)) == ["config.optim.warmup_step"]


def test_commands_are_read_from_blocks_and_from_running_text(tmp_path, monkeypatch):
    monkeypatch.setattr(commands, "REPO", tmp_path)
    page = tmp_path / "a.md"
    page.write_text(
        "Say `make demo` or\n\n```\nPYTHONPATH=. python -m a.b --c=1 \\\n    --d.e=2\nplain text\n"
        "```\n```python\nmake(x)\n```\n"
    )
    first, second = commands.read(page)
    assert second.text == "make demo"
    assert (first.module, first.flags) == ("a.b", ["c", "d.e"])
