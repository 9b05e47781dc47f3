# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Layouts that several publishers share: a table in parts, and pictures as a tree of files."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lingshu_jax.common import errors
from lingshu_jax.eval import card as card_lib
from lingshu_jax.eval import files

_PART = re.compile(r"-\d+-of-(\d+)")


def parts(card: card_lib.Card, folder: Path, pattern: str) -> list[Path]:
    """The files `NAME-00000-of-00003...` of one table, in order.

    Args:
      card: Of the benchmark.
      folder: Where they are looked for.
      pattern: As of `files.matches`.

    Raises:
      UserError: If there is none, or not as many as their names say.
    """
    found = files.matches(folder, pattern) or [files.only(card, folder, pattern)]
    said = {int(match[1]) for path in found if (match := _PART.search(path.name))}
    if said and said != {len(found)}:
        names = ", ".join(path.name for path in found)
        raise errors.UserError(
            f"{card.name}: {folder} must hold {max(said)} files {pattern}, found {names}"
        )
    return found


def unpacked(card: card_lib.Card, wanted: Sequence[Path], archive: Path) -> Path:
    """The first of some folders that is there; an archive is unpacked only if none is.

    Args:
      card: Of the benchmark.
      wanted: Where the archive's content may lie, among them where `files.unpack` puts it.
      archive: A zip file; need not be there.

    Raises:
      UserError: If no folder is there and the archive is missing, does not unpack (into a folder
        that cannot be written, say), or holds something else.
    """
    if found := next(filter(Path.is_dir, wanted), None):
        return found
    places = " or ".join(os.path.relpath(folder, archive.parent) for folder in wanted)
    by_hand = f"unpack {archive.name} by hand so that {places} is in {archive.parent}"
    if archive.is_file():
        try:
            files.unpack(card, archive)
        except errors.UserError as error:
            raise errors.UserError(f"{error}; {by_hand}") from error
        if found := next(filter(Path.is_dir, wanted), None):
            return found
    raise errors.UserError(
        f"{card.name}: {archive.parent} has no folder {places}; put {archive.name} there, or"
        f" {by_hand}"
    )


def encoded(pictures: files.Pictures, cell: Any, where: str) -> bytes:
    """The encoded picture in a cell of a Parquet file; equal ones are kept once.

    Args:
      pictures: Of the benchmark.
      cell: `{"bytes", "path"}`, or the bytes themselves.
      where: Which cell, for the message.

    Raises:
      UserError: If there is none.
    """
    value = cell.get("bytes") if isinstance(cell, dict) else cell
    if not isinstance(value, bytes) or not value:
        raise errors.UserError(f"{where} must hold an encoded picture, found {str(cell)[:80]!r}")
    kept = pictures.get(value)
    assert isinstance(kept, bytes), "bytes were given"
    return kept


class PictureFiles:
    """Pictures by name below a folder. Each directory is listed once, no file is looked at."""

    def __init__(self, card: card_lib.Card, folder: Path):
        """Notes where names start.

        Args:
          card: Of the benchmark.
          folder: Where they start.
        """
        self._folder = str(folder)
        self._pictures = files.Pictures(card, folder)  # for what is not in a listing
        self._listed: dict[str, frozenset[str]] = {}

    def get(self, name: str) -> str:
        """The path of a picture.

        Args:
          name: Below the folder, with `/`.

        Raises:
          UserError: If there is no such file.
        """
        parent, _, base = name.rpartition("/")
        if parent not in self._listed:
            self._listed[parent] = self._list(parent)
        if base in self._listed[parent]:
            return f"{self._folder}/{name}"
        path = self._pictures.get(name)
        assert isinstance(path, str), "a name was given"
        return path

    def _list(self, parent: str) -> frozenset[str]:
        """Files in a folder; none if it is not there, or outside."""
        folder = os.path.join(self._folder, parent)
        if parent.startswith("/") or ".." in parent.split("/") or not os.path.isdir(folder):
            return frozenset()
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries if entry.is_file())
