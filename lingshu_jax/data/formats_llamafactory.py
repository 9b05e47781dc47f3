# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The format `llamafactory`: a folder with LLaMA-Factory's dataset_info.json.

    {"rad": {"file_name": "rad.json", "formatting": "sharegpt",
             "columns": {"messages": "messages", "images": "images"},
             "tags": {"role_tag": "role", "content_tag": "content",
                      "user_tag": "user", "assistant_tag": "assistant"}}}

The entries are read in their order, or those that `dataset` names. As there, an entry that has
`columns` (or `tags`) has no others than it lists. Files may be json, jsonl or parquet. Of an
entry with `num_samples` the first rows are read; LLaMA-Factory draws them.

Source: hiyouga/LLaMA-Factory@ff6d4d1, src/llamafactory/data/{parser,converter,loader}.py.
"""

import contextlib
import itertools
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lingshu_jax.common import errors
from lingshu_jax.data import formats, formats_media, formats_messages

INFO = "dataset_info.json"
ALPACA = {"prompt": "instruction", "query": "input", "response": "output"}
SHAREGPT = {"messages": "conversations"}
TAGS = {
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": "human",
    "assistant_tag": "gpt",
    "system_tag": "system",
}
SPEAKERS = {"user_tag": "user", "assistant_tag": "assistant", "system_tag": "system"}
UNREAD_COLUMNS = ("tools", "audios")
PREFERENCE_COLUMNS = {"chosen", "rejected", "kto_tag"}


def read_llamafactory(
    path: Path, options: formats.Options
) -> Iterator[formats.Record | formats.Refusal]:
    """Every row of the chosen entries.

    Args:
      path: The folder, or its dataset_info.json, or one of its files: then the entries of it.
      options: `image_root` is LLaMA-Factory's media_dir. `columns` stand in dataset_info.json.

    Raises:
      UserError: If a named entry cannot be read. Where none is named, an entry that cannot be
        read is one refused row.
    """
    folder, entries = _entries(path, options.dataset)
    files = formats_messages.media_files(folder, options)
    for name, entry in entries.items():
        try:
            _check(name, entry)
            rows = _Rows(entry, files, options.media_newline)
            read = formats.read_files(_files(folder, entry), rows.parse)
            yield from itertools.islice(read, entry.get("num_samples"))
        except errors.UserError as error:
            if options.dataset:
                raise
            yield formats.Refusal(0, name, formats.one_line(error))


def row_files(path: Path, options: formats.Options) -> list[Path]:
    """dataset_info.json and the files of the chosen entries that are here.

    Args:
      path: As in `read_llamafactory`.
      options: As there.
    """
    folder, entries = _entries(path, options.dataset)
    found = [folder / INFO]
    for entry in entries.values():
        # An empty folder is refused by the reader.
        with contextlib.suppress(errors.UserError):
            found += _files(folder, entry) if _is_here(folder, entry) else []
    return found


class _Rows:
    """What the rows of one entry mean."""

    def __init__(
        self,
        entry: Mapping[str, Any],
        files: formats_media.MediaFiles,
        newline: formats.MediaNewline,
    ) -> None:
        self._files: formats_media.MediaFiles = files
        self._newline: formats.MediaNewline = newline
        self._is_sharegpt = entry.get("formatting") == "sharegpt"
        self._columns = _columns(entry)
        self._tags: Mapping[str, str] = entry.get("tags", TAGS)
        self._speakers = {
            self._tags[tag]: role for tag, role in SPEAKERS.items() if self._tags.get(tag)
        }

    def parse(self, row: formats.Row) -> tuple[formats.Messages, dict[str, Any]]:
        """The messages and the meta of a row."""
        for name in UNREAD_COLUMNS:
            if self._value(row, name):
                raise formats.RowError(f"rows with {name} are not read")
        said = self._sharegpt(row) if self._is_sharegpt else self._alpaca(row)
        system = self._value(row, "system")
        if system and said[0]["role"] != "system":
            said = [{"role": "system", "content": system}, *said]
        media = {
            kind: formats_media.as_list(self._value(row, f"{kind}s"))
            for kind in formats_messages.KINDS
        }
        tagged = formats_messages.with_tags(said, media, newline=self._newline)
        messages = formats_messages.canonical(tagged, self._files)
        return messages, formats.without(row, *self._columns.values())

    def _value(self, row: formats.Row, name: str) -> Any:
        """The value of one of LLaMA-Factory's columns; None where the entry has no such."""
        column = self._columns.get(name)
        return None if column is None else row.get(column)

    def _sharegpt(self, row: formats.Row) -> list[dict[str, Any]]:
        return formats_messages.turns(
            self._value(row, "messages"),
            self._speakers,
            role_key=self._tags["role_tag"],
            content_key=self._tags["content_tag"],
        )

    def _alpaca(self, row: formats.Row) -> list[dict[str, Any]]:
        said = formats_messages.pairs(self._value(row, "history"))
        asked = [self._value(row, name) for name in ("prompt", "query")]
        if not all(isinstance(text, str | None) for text in asked):
            raise formats.RowError("prompt and query must be strings")
        said.append({"role": "user", "content": "\n".join(text for text in asked if text)})
        response = self._value(row, "response")
        if response is not None:
            said.append({"role": "assistant", "content": response})
        return said


def _entries(path: Path, dataset: str) -> tuple[Path, dict[str, Any]]:
    """The folder, and the chosen entries by name."""
    folder = path if path.is_dir() else path.parent
    try:
        known = json.loads((folder / INFO).read_bytes())
    except OSError as error:
        raise errors.UserError(f"cannot read {folder / INFO}: {error.strerror}") from error
    except ValueError as error:
        raise errors.UserError(f"{folder / INFO} is not JSON: {error}") from error
    if not isinstance(known, dict):
        raise errors.UserError(f"{folder / INFO} must hold an object with an entry a data set")
    if path not in (folder, folder / INFO):
        known = {name: e for name, e in known.items() if _is_here(folder, e, file=path)}
        if not known:
            raise errors.UserError(f"no entry of {folder / INFO} has the file_name {path.name}")
    names = [name.strip() for name in dataset.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise errors.UserError(
                f"{folder / INFO} has no entry {name!r}; it has {', '.join(known)[:500]}"
            )
    return folder, {name: known[name] for name in names or known}


def _is_here(folder: Path, entry: Any, *, file: Path | None = None) -> bool:
    """Whether an entry's file, or that file, lies in the folder."""
    name = entry.get("file_name") if isinstance(entry, dict) else None
    if not isinstance(name, str):
        return False
    return os.path.exists(folder / name) if file is None else folder / name == file


def _files(folder: Path, entry: Mapping[str, Any]) -> list[Path]:
    return formats.all_row_files(folder / entry["file_name"])


def _columns(entry: Mapping[str, Any]) -> Mapping[str, str]:
    default = SHAREGPT if entry.get("formatting") == "sharegpt" else ALPACA
    columns = entry.get("columns", default)
    return {ours: theirs for ours, theirs in columns.items() if theirs is not None}


def _check(name: str, entry: Any) -> None:
    """Raises UserError where an entry asks for what is not read, or is malformed."""
    where = f"{INFO}, entry {name!r}"
    if not isinstance(entry, dict) or not isinstance(entry.get("file_name"), str):
        raise errors.UserError(f"{where}: only entries with a file_name are read")
    formatting = entry.get("formatting", "alpaca")
    if formatting not in ("alpaca", "sharegpt"):
        raise errors.UserError(
            f"{where}: formatting must be alpaca or sharegpt, got {formatting!r:.40}"
        )
    for part in ("columns", "tags"):
        found = entry.get(part, {})
        if not isinstance(found, dict) or not all(
            isinstance(value, str | None) for value in found.values()
        ):
            raise errors.UserError(f"{where}: {part} must be an object of strings")
    if entry.get("ranking") or PREFERENCE_COLUMNS & set(_columns(entry)):
        raise errors.UserError(f"{where}: preference data is not read")
    needed = "messages" if formatting == "sharegpt" else "prompt"
    if needed not in _columns(entry):
        raise errors.UserError(f"{where}: columns must name {needed}")
    for tag in ("role_tag", "content_tag", "user_tag", "assistant_tag"):
        if formatting == "sharegpt" and not entry.get("tags", TAGS).get(tag):
            raise errors.UserError(f"{where}: tags must name {tag}")
    count = entry.get("num_samples")
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 0):
        raise errors.UserError(f"{where}: num_samples must be a number, got {count!r:.40}")
