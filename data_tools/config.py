# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The configuration of a curation: the sources, and a section for each step."""

import dataclasses
import os
from typing import Literal

from data_tools import decontaminate as decontaminate_lib
from data_tools import dedup_embeddings as dedup_embeddings_lib
from data_tools import dedup_images as dedup_images_lib
from data_tools import dedup_texts as dedup_texts_lib
from data_tools import deidentify as deidentify_lib
from data_tools import embedding_models, modality_names, registry
from data_tools import filters as filters_lib
from data_tools import mixture as mixture_lib
from data_tools import modality as modality_lib
from data_tools.adapters import table
from lingshu_jax.common import errors
from lingshu_jax.data import formats, sources, targets

# What the rules of cleaning are for (arXiv 2506.07044, 2.1.4): captions of pictures, instructions
# about pictures, or text alone.
Kind = Literal["captions", "instructions", "text"]
KINDS: tuple[Kind, ...] = ("captions", "instructions", "text")
PUBLISHER = "publisher"  # a format word: that of the publisher's entry, else "messages"


@dataclasses.dataclass(kw_only=True)
class CuratedSource(sources.Source):
    """A source and what curation has to know of it; where two hold the same, the first one stays.

    Attributes:
      format: A word of `adapters.table.ADAPTERS` or of `readers.FORMATS`, or `PUBLISHER`.
      kind: A word of `KINDS`; "" is the publisher's, or "instructions" without one. So is `group`.
      publisher: Key of the registry of sources, which has licence, terms and citation; "" is a
        source of the user's own.
      fetch: Fetches an open set from the hub; `path` is then below what was fetched, "." all of it.
    """

    format: str = PUBLISHER
    kind: str = ""
    publisher: str = ""
    fetch: bool = False

    def __post_init__(self) -> None:
        """Takes from the publisher's entry what is not given."""
        entry = registry.ENTRIES.get(self.publisher)
        if self.format == PUBLISHER and not self.publisher:
            self.format = "messages"
        elif self.format == PUBLISHER and entry is not None:
            self.format = entry.format
        self.kind = self.kind or (entry.kind if entry else "instructions")
        self.group = self.group or (entry.group if entry else "")

    def validate(self) -> None:
        """As `sources.Source.validate`."""
        entry = registry.get(self.publisher) if self.publisher else None
        if entry is not None and not self.format:
            raise errors.UserError(
                f"source {self.name!r}: {entry.title} has labels and no texts; rows have to be"
                " written about it first"
            )
        if self.fetch and entry is None:
            raise errors.UserError(f"source {self.name!r}: fetch needs a publisher")
        if self.format in table.ADAPTERS:
            self._validate_adapted()
        else:
            super().validate()
        if self.kind not in KINDS:
            raise errors.UserError(
                f"source {self.name!r}: kind must be one of {', '.join(KINDS)}, got {self.kind!r}"
            )

    def _validate_adapted(self) -> None:
        """As the base class, for words that training does not know."""
        if not self.name or not self.path:
            raise errors.UserError(f"source {self.name!r} needs a name and a path")
        self._validate_share()
        for field, value, allowed in (
            ("split", self.split, table.SPLITS),
            ("media_newline", self.media_newline, formats.MEDIA_NEWLINES),
            ("train_on", self.train_on, targets.TRAIN_ON),
            *(("column", column, ()) for column in self.columns),
        ):
            if value not in allowed:
                raise errors.UserError(
                    f"source {self.name!r}: unknown {field} {value!r} of {self.format}; allowed: "
                    f"{', '.join(allowed) or 'none'}"
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
      deidentify: What becomes of DICOM and NIfTI files, and of text in pictures.
      filters: What is left out.
      embeddings: What embeds pictures, for modality, near-duplicates and suspects.
      modality: How the modality of a picture is found.
      dedup_images: Where a picture may occur once.
      dedup_embeddings: Which pictures are crops of others, or have something laid over them.
      dedup_texts: Which texts are nearly the same.
      decontaminate: Which benchmarks are kept out.
      mixture: Which rows go to which mixture, and which are for validation.
    """

    sources: list[CuratedSource] = dataclasses.field(default_factory=list)
    root: str = ""
    rows_per_partition: int = 2000
    workers: int = 0
    seed: int = 0
    deidentify: deidentify_lib.Config = dataclasses.field(default_factory=deidentify_lib.Config)
    filters: filters_lib.Config = dataclasses.field(default_factory=filters_lib.Config)
    embeddings: embedding_models.Config = dataclasses.field(default_factory=embedding_models.Config)
    modality: modality_lib.Config = dataclasses.field(default_factory=modality_lib.Config)
    dedup_images: dedup_images_lib.Config = dataclasses.field(
        default_factory=dedup_images_lib.Config
    )
    dedup_embeddings: dedup_embeddings_lib.Config = dataclasses.field(
        default_factory=dedup_embeddings_lib.Config
    )
    dedup_texts: dedup_texts_lib.Config = dataclasses.field(default_factory=dedup_texts_lib.Config)
    decontaminate: decontaminate_lib.Config = dataclasses.field(
        default_factory=decontaminate_lib.Config
    )
    mixture: mixture_lib.Config = dataclasses.field(default_factory=mixture_lib.Config)

    def validate(self) -> None:
        """Raises UserError naming the field, its value and what is allowed."""
        if not self.sources:
            raise errors.UserError("config.sources is empty: a curation needs a source")
        names = [source.name for source in self.sources]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise errors.UserError(f"two sources are named {', '.join(repeated)}")
        for source in self.sources:
            source.validate()
            if source.train_on == "reasoning":  # shards say which messages are trained, no less
                raise errors.UserError(
                    f"source {source.name!r}: train_on must be all or last in a curation, got "
                    "'reasoning': say so where the mixture is trained on"
                )
        for name, smallest in (("rows_per_partition", 1), ("workers", 0), ("seed", 0)):
            value = getattr(self, name)
            if value < smallest:
                raise errors.UserError(f"config.{name} must be >= {smallest}, got {value}")
        self.deidentify.validate()
        self.filters.validate()
        self.embeddings.validate()
        self.modality.validate()
        self.dedup_images.validate(names)
        self.dedup_embeddings.validate()
        self.dedup_texts.validate()
        self.decontaminate.validate(names)
        self.mixture.validate(names)

    @property
    def num_workers(self) -> int:
        """Processes at a time."""
        return self.workers or os.cpu_count() or 1

    @property
    def kinds(self) -> dict[str, str]:
        """Kind of each source by name, in the order of trust."""
        return {source.name: source.kind for source in self.sources}

    @property
    def declared(self) -> dict[str, str]:
        """The modality of each source whose publisher says that all its pictures are of one."""
        entries = {
            source.name: registry.get(source.publisher)
            for source in self.sources
            if source.publisher
        }
        words = {name: modality_names.of_word(e.modality) for name, e in entries.items()}
        return {name: word for name, word in words.items() if word}
