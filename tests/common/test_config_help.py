# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The help of a config: every field of every config has a text, and wrong fields are explained."""

import dataclasses
import importlib
import typing
from collections.abc import Iterator
from typing import Any

import pytest

from lingshu_jax.common import config_help
from tests import forked_commands

CONFIGS = (
    *((f"stage{name}", size) for name in ("1_shallow_align", "4_rl") for size in ("tiny", "7b")),
    *(("stage2_deep_align", "7b"), ("stage3_instruct", "7b"), ("recipe", "7b"), ("recipe", "tiny")),
    *(("ablation", "7b"), ("vqa_rad", "tiny"), ("curation", ".")),
)


@dataclasses.dataclass(kw_only=True)
class Part:
    """A part.

    Attributes:
      steps: How many, of
        all.
      rate: Of them.
    """

    steps: int = 3
    rate: float = 0.5


@dataclasses.dataclass(kw_only=True)
class Named:
    """One of many.

    Attributes:
      name: Its name.
    """

    name: str


@dataclasses.dataclass(kw_only=True)
class Config:
    """A config.

    Text in between.

    Attributes:
      part: First part.
      other: Second part.
      named: Many: with a colon.
      word: A word.

    And text behind it: not a field.
    """

    part: Part = dataclasses.field(default_factory=Part)
    other: Part = dataclasses.field(default_factory=lambda: Part(steps=7))
    named: tuple[Named, ...] = (Named(name="a"), Named(name="b"))
    word: str = "x"


@dataclasses.dataclass(kw_only=True)
class Longer(Config):
    """More of it.

    Attributes:
      word: Another text.
      more: What is new.
    """

    more: bool = False


def test_attributes_are_read_from_the_docstrings() -> None:
    assert config_help.attributes(Part) == {"steps": "How many, of all.", "rate": "Of them."}
    assert config_help.attributes(Longer) == {
        "part": "First part.",
        "other": "Second part.",
        "named": "Many: with a colon.",
        "word": "Another text.",
        "more": "What is new.",
    }


def test_every_field_stands_with_its_text_and_value() -> None:
    assert config_help.describe(Config()).split("\n") == [
        "  --config.named: Many: with a colon.",
        "    (tuple[Named, ...]; default: 2, named a, b)",
        "    --config.named[N].name: Its name.",
        "      (str; required)",
        "  --config.word: A word.",
        "    (str; default: 'x')",
        "",
        "  --config.part: First part.",
        "  --config.part.steps: How many, of all.",
        "    (int; default: 3)",
        "  --config.part.rate: Of them.",
        "    (float; default: 0.5)",
        "",
        "  --config.other: Second part.",
        "  --config.other.steps (default: 7)",
        "  --config.other.rate (default: 0.5)",
    ]


def make(name: str, arg: str) -> Any:
    return importlib.import_module(f"configs.{name}").get_config(arg)


def fields(config: Any, path: str = "--config") -> Iterator[tuple[type, str, str]]:
    """Class, name and flag of every field, those of parts and of what tuples hold included."""
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value, flag = getattr(config, field.name), f"{path}.{field.name}"
        yield type(config), field.name, flag
        if dataclasses.is_dataclass(value):
            yield from fields(value, flag)
        for part in typing.get_args(hints[field.name]):
            if dataclasses.is_dataclass(part) and isinstance(part, type):
                yield from ((part, one.name, "") for one in dataclasses.fields(part))


@pytest.mark.parametrize(("name", "arg"), CONFIGS)
def test_every_field_of_every_config_has_a_text(name: str, arg: str) -> None:
    config = make(name, arg)
    missing = {
        f"{kind.__name__}.{field}"
        for kind, field, _ in fields(config)
        if not config_help.attributes(kind).get(field)
    }
    assert not missing
    text = config_help.describe(config)
    shown = {line.split()[0].rstrip(":") for line in text.splitlines() if "--config" in line[:12]}
    assert {flag for _, _, flag in fields(config) if flag} <= shown
    assert max(map(len, text.splitlines())) <= config_help.WIDTH


def test_a_field_without_a_text_would_be_found() -> None:
    @dataclasses.dataclass(kw_only=True)
    class Silent(Part):
        """No text for its own field."""

        quiet: int = 1

    assert "quiet" not in config_help.attributes(Silent)
    assert "steps" in config_help.attributes(Silent)


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("config.part.step", ["Part has no field 'step'", "steps, rate", "did you mean 'steps'?"]),
        ("config.prt", ["Config has no field 'prt'", "did you mean 'part'?"]),
        ("config.rate", ["no field 'rate'", "did you mean '--config.part.rate'?"]),
        ("config.named[0].nam", ["Named has no field 'nam'", "did you mean 'name'?"]),
        ("config.named[2].name", ["named has 2 entries, the first is [0]"]),
        ("config.qqqq", ["no field 'qqqq'; it has part, other, named, word"]),
    ],
)
def test_what_is_wrong_with_a_field(flag: str, words: list[str]) -> None:
    line = config_help.explain_unknown(Config(), flag)
    assert line is not None and all(word in line for word in words), line
    assert flag != "config.qqqq" or "mean" not in line


@pytest.mark.parametrize("flag", ["config.part.steps", "config.named[1].name", "config.word"])
def test_nothing_is_wrong_with_a_field_that_there_is(flag: str) -> None:
    assert config_help.explain_unknown(Config(), flag) is None


def test_what_a_field_takes() -> None:
    config = Config()
    line = config_help.explain_value(config, "config.part.steps", "many")
    assert line == "--config.part.steps must be of type int, as 3 is, got 'many'"
    line = config_help.explain_value(config, "config.part", "5")
    assert line is not None and "--config.part.steps, --config.part.rate" in line
    assert config_help.explain_value(config, "config.none", "5") is None


def test_help_of_the_commands() -> None:
    calls = [
        forked_commands.Call("lingshu_jax.train", ["--config=configs/stage4_rl.py:tiny", "--help"]),
        forked_commands.Call("lingshu_jax.recipe", ["--helpfull"]),
        forked_commands.Call("data_tools.curate", ["--help"]),
    ]
    train, recipe, curate = forked_commands.run(calls, {})
    assert [done.code for done in (train, recipe, curate)] == [0, 0, 0]
    assert "fields of --config=configs/stage4_rl.py:tiny:" in train.out
    field = "  --config.optim.warmup_steps: Linear from 0 to the peak.\n    (int; default: 6)\n"
    assert field in train.out
    assert "--config.rl.kl_coef: Weight of the KL term" in train.out
    assert "fields of --config=configs/recipe.py:7b; --config=FILE.py --help shows" in recipe.out
    assert "--config.rl.rl.monitors.patience: Steps in a row" in recipe.out
    assert "--config.mixture.rows_per_shard: " in curate.out
