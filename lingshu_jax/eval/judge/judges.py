# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The judges of an evaluation, and where each keeps its replies.

judges/NAME.json                        what decides its verdicts
BENCHMARK/judge/NAME.jsonl              replies, see `replies.py`; keys are ids of rows, or of
                                        criteria
BENCHMARK/judge/calibration/NAME.jsonl  replies of `calibration.py`
"""

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lingshu_jax.common import errors
from lingshu_jax.engines import protocol
from lingshu_jax.eval import folder
from lingshu_jax.eval.judge import prompts

FOLDER, REPLIES, CALIBRATION = "judges", "judge", "calibration"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Judge:
    """What decides verdicts; a judge is never continued with other settings.

    Attributes:
      name: Of its files and columns; "" is made of model and style.
      style: Of its prompts.
      model: As the user names it.
      engine: Which generator.
      weights: As of `registry.Choice.settings`, like the next four.
      dtype: The same.
      files: The same.
      base_url: The same.
      dialect: The same.
      seed: Of requests, and of what is drawn.
      max_new_tokens: Longest reply.
    """

    name: str = ""
    style: str = "strict"
    model: str
    engine: str = ""
    weights: str = ""
    dtype: str = ""
    files: str = ""
    base_url: str = ""
    dialect: str = ""
    seed: int = 0
    max_new_tokens: int = 4096

    def validate(self) -> None:
        """Raises UserError where a value is not allowed."""
        if self.style not in prompts.STYLES:
            raise errors.UserError(
                f"--style must be one of {', '.join(prompts.STYLES)}, got {self.style!r}"
            )
        if not _NAME.fullmatch(self.title):
            raise errors.UserError(
                "--name must be letters, digits, dots, dashes and underscores, at most 100, got "
                f"{self.title!r}"
            )
        self.sampling.validate()

    @property
    def title(self) -> str:
        """The name, or the model's last part, with the style where that is not the first one."""
        if self.name:
            return self.name
        made = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(self.model).name).strip("-.")
        return made if self.style == "strict" else f"{made}-{self.style}"

    @property
    def sampling(self) -> protocol.SamplingParams:
        """How replies are decoded: greedy."""
        return protocol.SamplingParams(max_new_tokens=self.max_new_tokens, seed=self.seed)

    def recorded(self) -> dict[str, Any]:
        """As its file has it."""
        versions = {style: prompts.VERSIONS[style] for style in (self.style, "rubric")}
        return {**dataclasses.asdict(self), "name": self.title, "versions": versions}


def with_settings(judge: Judge, found: Mapping[str, Any]) -> Judge:
    """A judge with all that decides the replies of its engine.

    Args:
      judge: With engine and model.
      found: From `registry.Choice.settings`.
    """
    names = {field.name for field in dataclasses.fields(Judge)}
    return dataclasses.replace(judge, **{k: v for k, v in found.items() if k in names})


def begin(output_dir: Path, judge: Judge) -> None:
    """Notes a judge, unless it is there.

    Args:
      output_dir: Of the evaluation.
      judge: Valid.

    Raises:
      UserError: If there is another one of this name.
    """
    path, new = output_dir / FOLDER / f"{judge.title}.json", judge.recorded()
    with folder.locked(output_dir):
        if not path.is_file():
            path.parent.mkdir(exist_ok=True)
            folder.write_text(path, folder.dump(new))
            return
        old = json.loads(path.read_text(encoding="utf-8"))
    for name, value in new.items():
        if old.get(name) != value:
            raise errors.UserError(
                f"the judge {judge.title} of {output_dir} had {name} = {old.get(name)!r}, now it is"
                f" {value!r}; choose another --name"
            )


def read_all(output_dir: Path) -> dict[str, dict[str, Any]]:
    """What `recorded` says of each judge of an evaluation, by name.

    Args:
      output_dir: Of the evaluation.
    """
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted((output_dir / FOLDER).glob("*.json"))
    }


def file(output_dir: Path, benchmark: str, judge: str) -> Path:
    """Where a judge keeps its replies on answers.

    Args:
      output_dir: Of the evaluation.
      benchmark: Its name.
      judge: Its name.
    """
    return output_dir / benchmark / REPLIES / f"{judge}.jsonl"


def calibration_file(output_dir: Path, benchmark: str, judge: str) -> Path:
    """Where a judge keeps its replies on what is known.

    Args:
      output_dir: Of the evaluation.
      benchmark: Its name.
      judge: Its name.
    """
    return output_dir / benchmark / REPLIES / CALIBRATION / f"{judge}.jsonl"
