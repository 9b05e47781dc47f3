# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What reviewers have decided: a file a reviewer, to which lines are added and nothing else.

A line is on the disk before the page hears of it (`engines/journal.py`). Its key is a number that
the page has drawn, so that a decision that is sent twice counts once. To undo is to decide again:
the line names the one that it takes back.
"""

import collections
import contextlib
import json
import os
import secrets
import threading
import unicodedata
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import filelock

from data_tools.reviewing import items as items_lib
from lingshu_jax.common import errors
from lingshu_jax.engines import journal

SKIP, UNDO = "skip", "undo"
PRIVATE, LOCK, SUFFIX = "private.json", ".lock", ".jsonl"
MOST_NAME = 180  # bytes of the name of a file

Given = Mapping[str, Any]


class SaveError(errors.UserError):
    """A decision is not on the disk; it may be sent again."""


class History(NamedTuple):
    """What one reviewer has decided.

    Attributes:
      name: As it was given.
      standing: The decision that stands on each item with its `number`, skips too.
      decided: The same without skips.
      seen: Items that were ever decided, undone or not: who decides them again knows the answer.
      undone: How many were taken back.
    """

    name: str
    standing: dict[str, Given]
    decided: dict[str, Given]
    seen: set[str]
    undone: int


class Store:
    """The decisions of a folder, for as long as this process has it."""

    def __init__(self, folder: Path):
        """Takes the folder, and reads what is there.

        Args:
          folder: Made if it is not there.

        Raises:
          UserError: If another process has it.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._lock = filelock.FileLock(folder / LOCK)
        try:
            self._lock.acquire(blocking=False)
        except filelock.Timeout as error:
            raise errors.UserError(f"{folder}: another process reviews with it") from error
        self.private = private(folder)
        self._writing = threading.Lock()
        self._journals: dict[str, journal.Journal] = {}
        self._given: dict[str, dict[str, Given]] = {}
        self._histories: dict[str, History] = {}
        self._names: dict[str, str] = {}
        for key, given in read_all(folder).items():
            self._given[key], self._histories[key] = given, replay(given)
            self._names[key] = self._histories[key].name

    def enter(self, name: str) -> str:
        """The key of a reviewer.

        Args:
          name: As somebody typed it; case and blanks make no difference.

        Raises:
          UserError: If it is no name.
        """
        key = key_of(name)
        self._names.setdefault(key, _spaced(name))
        return key

    def add(self, reviewer: str, number: str, given: Given) -> None:
        """Keeps a decision; it is on the disk when this returns. A known number changes nothing.

        Args:
          reviewer: From `enter`.
          number: Drawn by the page.
          given: In JSON values, with `item` and `verdict`.

        Raises:
          SaveError: If it cannot be written.
        """
        with self._writing:
            known = self._given.setdefault(reviewer, {})
            if number in known:
                return
            line = {**given, "reviewer": self._names[reviewer]}
            history = self._histories.get(reviewer)
            line["is_blind"] = history is None or given["item"] not in history.seen
            try:
                self._journal(reviewer).append(number, line)
            except OSError as error:
                self._reopen(reviewer)
                raise SaveError(f"a decision cannot be saved: {error.strerror}") from error
            known[number] = line
            self._histories[reviewer] = replay(known)

    def histories(self) -> dict[str, History]:
        """What stands, by key of the reviewer; those who have decided nothing are not there."""
        with self._writing:
            return dict(self._histories)

    def close(self) -> None:
        """Lets another process have the folder."""
        for opened in self._journals.values():
            opened.close()
        self._journals.clear()
        self._lock.release()

    def _journal(self, reviewer: str) -> journal.Journal:
        if reviewer not in self._journals:
            path = self._folder / f"{reviewer}{SUFFIX}"
            opened = journal.Journal(path, begin=_nothing, is_synced=True)
            opened.load()
            self._journals[reviewer] = opened
            folder = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(folder)  # the name of a new file, too
            finally:
                os.close(folder)
        return self._journals[reviewer]

    def _reopen(self, reviewer: str) -> None:
        """A half-written line goes, so that the next one does not stand behind it."""
        opened = self._journals.pop(reviewer, None)
        with contextlib.suppress(OSError):
            if opened is not None:
                opened.close()


def replay(lines: Mapping[str, Given]) -> History:
    """What stands after all decisions of a reviewer.

    Args:
      lines: By number, in their order.
    """
    stacks: dict[str, list[tuple[str, Given]]] = collections.defaultdict(list)
    seen: set[str] = set()
    undone = 0
    for number, given in lines.items():
        stack = stacks[given["item"]]
        if given["verdict"] != UNDO:
            stack.append((number, {**given, "number": number}))
            seen |= {given["item"]} if given["verdict"] != SKIP else set()
            continue
        left = [entry for entry in stack if entry[0] != given.get("undoes")]
        undone += len(stack) - len(left)
        stack[:] = left
    standing = {item: stack[-1][1] for item, stack in stacks.items() if stack}
    decided = {item: given for item, given in standing.items() if given["verdict"] != SKIP}
    name = next((str(given.get("reviewer")) for given in lines.values()), "")
    return History(name, standing, decided, seen, undone)


def read_all(folder: Path) -> dict[str, dict[str, Given]]:
    """All lines by reviewer and number, also while another process adds some.

    Args:
      folder: Of decisions; one that is not there has none.
    """
    found = {}
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        lines = dict(_whole(journal.read_answers(path)))
        if lines:
            found[path.name.removesuffix(SUFFIX)] = lines
    return found


def key_of(name: str) -> str:
    """The key of a reviewer, which is the name of a file too.

    Args:
      name: As of `Store.enter`.

    Raises:
      UserError: If it is no name.
    """
    spaced = _spaced(name)
    key = urllib.parse.quote(spaced.casefold(), safe=" ").replace(" ", "_")
    if not spaced or not spaced[0].isalnum() or not spaced.isprintable() or len(key) > MOST_NAME:
        raise errors.UserError(
            "a name or initials are needed: beginning with a letter or digit, of one line, and "
            f"not longer than {MOST_NAME} bytes"
        )
    return key


def private(folder: Path) -> dict[str, Any]:
    """What only this folder knows: the secret of all orders; the address while it is served.

    Args:
      folder: Of decisions.
    """
    path = folder / PRIVATE
    if path.is_file():
        return json.loads(path.read_text(encoding="utf-8"))
    return keep_private(folder, {"secret": secrets.token_hex(32)})


def keep_private(folder: Path, content: dict[str, Any]) -> dict[str, Any]:
    """Keeps that, readable by its owner alone; returns it.

    Args:
      folder: Of decisions.
      content: All of it.
    """
    partial = folder / f"{PRIVATE}.partial"
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / PRIVATE)
    return content


def is_closed(
    item: items_lib.Item, reviewer: str, histories: Mapping[str, History], overlap: int
) -> bool:
    """Whether enough others have decided an item that this reviewer has not.

    Args:
      item: Any.
      reviewer: Key.
      histories: From `Store.histories`.
      overlap: How many are enough; 0: nobody's decision closes it.
    """
    by = {key for key, history in histories.items() if item.key in history.decided}
    return bool(overlap) and reviewer not in by and len(by) >= overlap


def _whole(lines: Iterable[tuple[str, Given]]) -> Iterator[tuple[str, Given]]:
    """Those that say what they are about."""
    for number, given in lines:
        if isinstance(given.get("item"), str) and isinstance(given.get("verdict"), str):
            yield number, given


def _spaced(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name).split())


def _nothing() -> None:
    """A file of decisions needs no beginning."""
