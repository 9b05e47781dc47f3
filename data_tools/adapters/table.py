# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The table of adapters: which publisher's layout is read under which word.

A new one is a few lines in a module here, and an entry of the registry. Words that are not in this
table are formats of training (`lingshu_jax/data/readers.py`).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from data_tools.adapters import (
    captions,
    conversations,
    dicom_folder,
    questions,
    reports,
    small,
    texts,
)
from lingshu_jax.data import formats

SPLITS = ("train",)  # adapters read what is for training


class Adapter(Protocol):
    """What reads a layout; `reading.Adapter` is most of them."""

    def row_files(self, path: Path) -> list[Path]:
        """The files that hold the rows of the set at a path."""
        ...

    def read(
        self, path: Path, options: formats.Options
    ) -> Iterator[formats.Record | formats.Refusal]:
        """Every row of the set at a path."""
        ...


ADAPTERS: dict[str, Adapter] = {
    **captions.ADAPTERS,
    **conversations.ADAPTERS,
    **questions.ADAPTERS,
    **reports.ADAPTERS,
    **texts.ADAPTERS,
    **small.ADAPTERS,
    **dicom_folder.ADAPTERS,
}
