# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Answers on disk as they come, so that a killed command repeats none of them.

A line is `{"row": KEY, "answer": {...}}`, appended and handed to the operating system at once: a
SIGKILL loses the line that is being written and no other.
"""

import contextlib
import fcntl
import json
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import IO, Any

from lingshu_jax.common import errors


class Journal:
    """The answers of a file so far, by the key of their row.

    Attributes:
      torn: Lines that a kill or a full disk left unreadable; their rows are asked again.
    """

    def __init__(self, path: pathlib.Path, *, begin: Callable[[], object], is_synced: bool = False):
        """Takes a journal, or begins one; no second process can while this one has it.

        What it holds is as it was, and not known, until `load`.

        Args:
          path: Its file.
          begin: Called before the first line is written.
          is_synced: A line is on the disk, safe from a power failure too, when `append` returns.

        Raises:
          UserError: If another process has it open.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._file, self._begin = path, _lock(path), begin
        self._is_synced = is_synced
        self._places: dict[str, int] = {}
        self.torn = 0

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def __len__(self) -> int:
        return len(self._places)

    def load(self) -> None:
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
        if self._is_synced:
            os.fsync(self._file.fileno())
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
        """Lets another process have it; an empty file goes."""
        if os.fstat(self._file.fileno()).st_size == 0:
            self._path.unlink(missing_ok=True)
        self._file.close()


def read_answers(path: pathlib.Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The whole lines of a journal, which another process may be writing; none if it is gone.

    Args:
      path: Its file.

    Yields:
      Keys and answers, in the order in which they came.
    """
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        for line in file:
            key = _key_of(line)
            if key is not None:
                yield key, json.loads(line)["answer"]


def _lock(path: pathlib.Path) -> IO[bytes]:
    """The file that has this name and that no other process has."""
    while True:
        file = path.open("a+b")
        try:
            # Let go by the system when the process ends, however it ends.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise errors.UserError(f"{path}: another process is writing it") from error
        # Who had it may have removed it between the two steps.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()


def _key_of(line: bytes) -> str | None:
    """The key of a whole line, None for what a line was torn to."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    is_whole = line.endswith(b"\n") and isinstance(row, dict) and "answer" in row
    return row.get("row") if is_whole else None
