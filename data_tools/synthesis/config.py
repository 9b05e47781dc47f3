# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The configuration of a synthesis: what is written about, and a section for each recipe."""

import dataclasses
from typing import Any, NamedTuple, Protocol

from data_tools import config as curation
from data_tools.synthesis import asks
from data_tools.synthesis import dialogues as dialogues_lib
from data_tools.synthesis import labelled as labelled_lib
from data_tools.synthesis import long_captions as long_captions_lib
from data_tools.synthesis import ocr as ocr_lib
from data_tools.synthesis import reasoning as reasoning_lib
from data_tools.synthesis import self_instruct as self_instruct_lib
from data_tools.synthesis import template_vqa as template_vqa_lib
from lingshu_jax.common import errors


class Section(Protocol):
    """What the sections of all recipes have."""

    sources: tuple[str, ...]
    most: int

    def validate(self) -> None:
        """Raises UserError naming the field, its value and what is allowed."""
        ...


class Kind(NamedTuple):
    """A recipe.

    Attributes:
      make: Makes it from its section.
      section: Class of its section.
    """

    make: Any
    section: type


RECIPES: dict[str, Kind] = {
    "long_captions": Kind(long_captions_lib.LongCaptions, long_captions_lib.Config),
    "template_vqa": Kind(template_vqa_lib.TemplateVqa, template_vqa_lib.Config),
    "self_instruct": Kind(self_instruct_lib.SelfInstruct, self_instruct_lib.Config),
    "reasoning": Kind(reasoning_lib.Reasoning, reasoning_lib.Config),
    "ocr": Kind(ocr_lib.Ocr, ocr_lib.Config),
    "dialogues": Kind(dialogues_lib.Dialogues, dialogues_lib.Config),
}


@dataclasses.dataclass(kw_only=True)
class SynthesisConfig:
    """All of a synthesis; a recipe without sources is off.

    Attributes:
      sources: Rows that are written about, named as in the curation that takes the made rows: a
        made row then stays on the side, training or validation, of its parent.
      labelled: Pictures with labels that are written about.
      root: Folder that relative paths start from.
      salt: File of a secret for the hashes of patients and cases in ids; "" makes one in the folder
        of the run.
      seed: Of every draw.
      window: Seeds that are worked on at a time; several times what a server takes at a time.
      long_captions: Captions in five stages.
      template_vqa: Questions by template, from labels alone.
      self_instruct: Questions that a model makes of a picture and its caption.
      reasoning: Reasons that lead to a known answer.
      ocr: Questions as pictures, with reasons.
      dialogues: Answers to patients, written again.
    """

    sources: list[curation.CuratedSource] = dataclasses.field(default_factory=list)
    labelled: list[labelled_lib.LabelledSource] = dataclasses.field(default_factory=list)
    root: str = ""
    salt: str = ""
    seed: int = 0
    window: int = 1024
    long_captions: long_captions_lib.Config = dataclasses.field(
        default_factory=long_captions_lib.Config
    )
    template_vqa: template_vqa_lib.Config = dataclasses.field(
        default_factory=template_vqa_lib.Config
    )
    self_instruct: self_instruct_lib.Config = dataclasses.field(
        default_factory=self_instruct_lib.Config
    )
    reasoning: reasoning_lib.Config = dataclasses.field(default_factory=reasoning_lib.Config)
    ocr: ocr_lib.Config = dataclasses.field(default_factory=ocr_lib.Config)
    dialogues: dialogues_lib.Config = dataclasses.field(default_factory=dialogues_lib.Config)

    def validate(self) -> None:
        """Raises UserError naming the field, its value and what is allowed."""
        names = [source.name for source in (*self.sources, *self.labelled)]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise errors.UserError(f"two sources are named {', '.join(repeated)}")
        for source in (*self.sources, *self.labelled):
            source.validate()
        for name, smallest in (("seed", 0), ("window", 1)):
            if getattr(self, name) < smallest:
                raise errors.UserError(
                    f"config.{name} must be >= {smallest}, got {getattr(self, name)}"
                )
        for name in RECIPES:
            self._validate_section(name, names)
        if not self.used():
            raise errors.UserError(
                f"no recipe has sources; name some of {', '.join(names) or 'config.sources'} in"
                f" config.RECIPE.sources, a RECIPE being one of {', '.join(RECIPES)}"
            )

    def section(self, name: str) -> Section:
        """The section of a recipe.

        Args:
          name: Of `RECIPES`.
        """
        return getattr(self, name)

    def used(self) -> list[str]:
        """The recipes that have sources."""
        return [name for name in RECIPES if self.section(name).sources]

    def recipe(self, name: str) -> asks.Recipe:
        """A recipe as configured.

        Args:
          name: Of `RECIPES`.
        """
        return RECIPES[name].make(self.section(name))

    def _validate_section(self, name: str, sources: list[str]) -> None:
        section = self.section(name)
        section.validate()
        if section.most < 0:
            raise errors.UserError(f"config.{name}.most must be >= 0, got {section.most}")
        if unknown := [one for one in section.sources if one not in sources]:
            raise errors.UserError(
                f"config.{name}.sources names {unknown[0]!r}; known: {', '.join(sources) or 'none'}"
            )
