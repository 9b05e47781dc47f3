# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The table of formats: which reader reads which format word (docs/data_formats.md).

A new format is a module `formats_<word>.py` with a reader, and a line in `FORMATS`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from lingshu_jax.common import errors
from lingshu_jax.data import (
    formats,
    formats_llamafactory,
    formats_llava,
    formats_messages,
    formats_rl,
    formats_swift,
    formats_tfds,
    formats_vqa_rad,
)


def _row_files(path: Path, options: formats.Options) -> list[Path]:
    return formats.row_files(path, options.split)


class Format(NamedTuple):
    """How files of one format are read.

    Attributes:
      read: The reader.
      columns: Names that `columns` of a source may map.
      splits: The only values of `split`; () is any.
      row_files: The files that hold the rows, for the record of what was read.
    """

    read: formats.Reader
    columns: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    row_files: Callable[[Path, formats.Options], list[Path]] = _row_files


FORMATS: dict[str, Format] = {
    "array_record": Format(formats_messages.read_array_record, ("id", "messages")),
    "easyr1": Format(
        formats_rl.read_easyr1, ("id", *formats_rl.EASYR1_COLUMNS, *formats_rl.GOLD_COLUMNS)
    ),
    "llamafactory": Format(
        formats_llamafactory.read_llamafactory, row_files=formats_llamafactory.row_files
    ),
    "llava": Format(formats_llava.read_llava, ("id", "conversations", "image", "video")),
    "messages": Format(formats_messages.read_messages, ("id", "messages")),
    "swift": Format(
        formats_swift.read_swift,
        ("id", "messages", "system", "query", "response", "history", "images", "videos"),
    ),
    "tfds": Format(formats_tfds.read_tfds, formats_tfds.COLUMNS, row_files=formats_tfds.row_files),
    "verl": Format(
        formats_rl.read_verl, ("id", *formats_rl.VERL_COLUMNS, *formats_rl.GOLD_COLUMNS)
    ),
    "vqa_rad": Format(
        formats_vqa_rad.read_vqa_rad,
        splits=formats_vqa_rad.SPLITS,
        row_files=formats_vqa_rad.row_files,
    ),
}


def get(word: str) -> Format:
    """The format of a word.

    Args:
      word: As in `sources.Source`.

    Raises:
      UserError: If the word is unknown; the known ones are listed.
    """
    if word not in FORMATS:
        raise errors.UserError(
            f"unknown format {word!r}; known: {', '.join(sorted(FORMATS))}"
            f"{errors.suggest(word, FORMATS)}"
        )
    return FORMATS[word]
