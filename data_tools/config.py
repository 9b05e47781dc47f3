# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The configuration of a curation: the sources, and a section for each step."""

import dataclasses
import os
from typing import Literal

from data_tools import decontaminate as decontaminate_lib
from data_tools import dedup_images as dedup_images_lib
from data_tools import dedup_texts as dedup_texts_lib
from data_tools import filters as filters_lib
from lingshu_jax.common import errors
from lingshu_jax.data import sources

# What the rules of cleaning are for (arXiv 2506.07044, 2.1.4): captions of pictures, instructions
# about pictures, or text alone.
Kind = Literal["captions", "instructions", "text"]
KINDS: tuple[Kind, ...] = ("captions", "instructions", "text")


@dataclasses.dataclass(kw_only=True)
class CuratedSource(sources.Source):
    """A source and what curation has to know of it; where two hold the same, the first one stays.

    Attributes:
      kind: A word of `KINDS`.
      publisher: Key of the registry of sources, which has licence, terms and citation; "" is a
        source of the user's own.
    """

    kind: str = "instructions"
    publisher: str = ""

    def validate(self) -> None:
        """As `sources.Source.validate`."""
        super().validate()
        if self.kind not in KINDS:
            raise errors.UserError(
                f"source {self.name!r}: kind must be one of {', '.join(KINDS)}, got {self.kind!r}"
            )


@dataclasses.dataclass(kw_only=True)
class CurationConfig:
    """All of a curation.

    Attributes:
      sources: In the order of trust: of equal rows that of the first source stays.
      root: Folder that relative paths of the sources start from.
      rows_per_partition: Rows that are worked on, and lost by a kill, together.
      workers: Processes at a time; 0 is one for each CPU.
      seed: Of every draw.
      filters: What is left out.
      dedup_images: Where a picture may occur once.
      dedup_texts: Which texts are nearly the same.
      decontaminate: Which benchmarks are kept out.
    """

    sources: list[CuratedSource] = dataclasses.field(default_factory=list)
    root: str = ""
    rows_per_partition: int = 2000
    workers: int = 0
    seed: int = 0
    filters: filters_lib.Config = dataclasses.field(default_factory=filters_lib.Config)
    dedup_images: dedup_images_lib.Config = dataclasses.field(
        default_factory=dedup_images_lib.Config
    )
    dedup_texts: dedup_texts_lib.Config = dataclasses.field(default_factory=dedup_texts_lib.Config)
    decontaminate: decontaminate_lib.Config = dataclasses.field(
        default_factory=decontaminate_lib.Config
    )

    def validate(self) -> None:
        """Raises UserError naming the field, its value and what is allowed."""
        if not self.sources:
            raise errors.UserError("config.sources is empty: a curation needs a source")
        names = [source.name for source in self.sources]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise errors.UserError(f"two sources are named {', '.join(repeated)}")
        for source in self.sources:
            source.validate()
        for name, smallest in (("rows_per_partition", 1), ("workers", 0), ("seed", 0)):
            value = getattr(self, name)
            if value < smallest:
                raise errors.UserError(f"config.{name} must be >= {smallest}, got {value}")
        self.filters.validate()
        self.dedup_images.validate(names)
        self.dedup_texts.validate()
        self.decontaminate.validate(names)

    @property
    def num_workers(self) -> int:
        """Processes at a time."""
        return self.workers or os.cpu_count() or 1

    @property
    def kinds(self) -> dict[str, str]:
        """Kind of each source by name, in the order of trust."""
        return {source.name: source.kind for source in self.sources}
