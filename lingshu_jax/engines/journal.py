# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Answers on disk as they come, so that a killed command repeats none of them.

A line is `{"row": KEY, "answer": {...}}`, appended and handed to the operating system at once: a
SIGKILL loses the line that is being written and no other.
"""

import fcntl
import json
import pathlib
from collections.abc import Callable
from typing import Any

from lingshu_jax.common import errors


class Journal:
    """The answers of a file so far, by the key of their row.

    Attributes:
      torn: Lines that a kill or a full disk left unreadable; their rows are asked again.
    """

    def __init__(self, path: pathlib.Path, *, begin: Callable[[], object]):
        """Opens a journal, or begins one; no second process can while this one has it.

        Args:
          path: Its file.
          begin: Called before the first line is written.

        Raises:
          UserError: If another process has it open.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._file, self._begin = path, path.open("a+b"), begin
        try:
            # Let go by the system when the process ends, however it ends.
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise errors.UserError(f"{path}: another process is writing it") from error
        self._places: dict[str, int] = {}
        self.torn = 0
        self._find_lines()

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def __len__(self) -> int:
        return len(self._places)

    def append(self, key: str, answer: dict[str, Any]) -> None:
        """Adds a line.

        Args:
          key: Of the row.
          answer: In JSON values.
        """
        if not self._places:
            self._begin()
        line = json.dumps({"row": key, "answer": answer}) + "\n"
        place = self._file.seek(0, 2)
        self._file.write(line.encode())
        self._file.flush()
        self._places[key] = place

    def read(self, key: str) -> dict[str, Any]:
        """The answer to a row that has one."""
        self._file.seek(self._places[key])
        return json.loads(self._file.readline())["answer"]

    def clear(self) -> None:
        """Leaves out all answers."""
        self._file.truncate(0)
        self._places.clear()
        self.torn = 0

    def close(self) -> None:
        """Lets another process have it; without answers there is no file."""
        if not self._places:
            self._path.unlink()
        self._file.close()

    def _find_lines(self) -> None:
        """Notes where the answers stand; a last line without its end is cut off."""
        place, line = self._file.seek(0), b"\n"
        for line in self._file:
            key = _key_of(line)
            if key is None:
                self.torn += 1
            else:
                self._places[key] = place
            place += len(line)
        if not line.endswith(b"\n"):
            self._file.truncate(place - len(line))


def _key_of(line: bytes) -> str | None:
    """The key of a whole line, None for what a line was torn to."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    is_whole = line.endswith(b"\n") and isinstance(row, dict) and "answer" in row
    return row.get("row") if is_whole else None
