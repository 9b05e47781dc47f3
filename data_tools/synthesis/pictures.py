# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures that are shown to a model, or that rows hold: pixels alone, named by their content."""

import hashlib
from pathlib import Path

from data_tools import picture_files
from data_tools import rows as rows_lib
from lingshu_jax.common import paths

_KNOWN = 4096  # files whose place is remembered
_DIGITS = 24
_PNG = b"\x89PNG"


class Pictures:
    """A folder of pictures; equal ones are one file."""

    def __init__(self, folder: Path):
        """Makes nothing yet.

        Args:
          folder: Beside the files of rows.
        """
        self._folder = folder
        self._known: dict[str, Path] = {}

    def put(self, medium: rows_lib.Medium) -> Path:
        """Keeps a picture; its file has nothing beside the pixels.

        Args:
          medium: A picture.

        Raises:
          UserError: If it cannot be read.
        """
        if medium.path in self._known:
            return self._known[medium.path]
        data = picture_files.embed(medium).files[0]
        suffix = ".png" if data.startswith(_PNG) else ".jpg"
        path = self._folder / f"{hashlib.sha256(data).hexdigest()[:_DIGITS]}{suffix}"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            with paths.whole_file(path) as partial:
                partial.write_bytes(data)
        if medium.path:
            if len(self._known) >= _KNOWN:
                self._known.clear()
            self._known[medium.path] = path
        return path

    def address(self, medium: rows_lib.Medium) -> str:
        """Where a picture is, seen from the files of rows.

        Args:
          medium: As of `put`.

        Raises:
          UserError: As of `put`.
        """
        return f"{self._folder.name}/{self.put(medium).name}"
