# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Files of rows: JSON lines, JSON lists, Parquet and ArrayRecord are read, JSON lines written.

A file gives pairs of a line and a row: an object, or the reason why there is none. What the rows
of a format mean is said in its own module, `formats_*.py`; `readers.py` is the table of them. A
reader yields a `Record` or a `Refusal` for every row: nothing is skipped in silence and nothing
is repaired. Rows come one after the other, but a `.json` list is parsed whole.
"""

import dataclasses
import importlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from lingshu_jax.common import errors, paths

Row = dict[str, Any]
Messages = tuple[dict[str, Any], ...]
MediaNewline = Literal["keep", "swallow_one", "strip"]
MEDIA_NEWLINES: tuple[MediaNewline, ...] = get_args(MediaNewline)

ARRAY_RECORD = re.compile(r"\.array_?record(-\d+-of-\d+)?$")
# A folder's files that are no rows, but what Hugging Face writes beside them.
NO_ROWS = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
SPLIT_OF_FILE = re.compile(r"(train|test|validation|valid|val|dev)(?![a-z])")


class Record(NamedTuple):
    """One good row.

    Attributes:
      line: Line of the file (1 is the first), or the place among its rows.
      row_id: The row's own id, else `<file stem>:<line>`.
      messages: Canonical messages, from `formats_messages.canonical`.
      meta: All other keys of the row, in JSON values.
    """

    line: int
    row_id: str
    messages: Messages
    meta: dict[str, Any]


class Refusal(NamedTuple):
    """One row that cannot be used, and why; `line` and `row_id` as in `Record`."""

    line: int
    row_id: str
    reason: str


class RowError(ValueError):
    """A row breaks a rule; the text is the reason that dropped.jsonl shows."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """How a file is read; `sources.Source` has the same fields for the user.

    Attributes:
      image_root: Folder that all media paths start from; None: the file's own.
      allow_outside: Media may lie outside the image root.
      media_newline: What stays around an image tag, see `formats_messages.with_tags`.
      split: Which part, where a folder or a data set has several.
      dataset: Which entries of a list of data sets, joined by commas; "" is all.
      columns: Our name of a column to the file's, where they differ.
    """

    image_root: Path | None = None
    allow_outside: bool = False
    media_newline: MediaNewline = "keep"
    split: str = "train"
    dataset: str = ""
    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)


Reader = Callable[[Path, Options], Iterator[Record | Refusal]]
# The messages and the meta of a row; raises RowError.
Parse = Callable[[Row], tuple[Messages, dict[str, Any]]]


def read_files(
    paths: Sequence[Path], parse: Parse, columns: Mapping[str, str] | None = None
) -> Iterator[Record | Refusal]:
    """Every row of some files, one file after the other.

    Args:
      paths: From `row_files`.
      parse: What a row means.
      columns: As in `Options`.
    """
    for path in paths:
        for line, value in read_values(path):
            row_id = f"{path.stem}:{line}"
            yield make_record(value, parse, line=line, row_id=row_id, columns=columns)


def make_record(
    value: Any,
    parse: Parse,
    *,
    line: int,
    row_id: str,
    columns: Mapping[str, str] | None = None,
) -> Record | Refusal:
    """What a row means, or why it is refused.

    Args:
      value: From `read_values`.
      parse: What a row means.
      line: Its place.
      row_id: For a row without an id of its own.
      columns: As in `Options`.
    """
    try:
        row = _renamed(_checked(value), columns or {})
        row_id = _own_id(row) or row_id
        messages, meta = parse(row)
    except RowError as error:
        return Refusal(line, row_id, one_line(error))
    except RecursionError:
        return Refusal(line, row_id, "values are nested too deeply")
    return Record(line, row_id, messages, meta)


def one_line(error: Exception) -> str:
    """The text of an error without its line breaks."""
    return " ".join(str(error).split())


def without(row: Row, *names: str) -> dict[str, Any]:
    """The meta of a row: what is left of it, in JSON values.

    Args:
      row: As read.
      names: Keys that have become messages; `id` is left out as well.
    """
    return {key: _plain(row[key]) for key in row if key != "id" and key not in names}


def all_row_files(path: Path) -> list[Path]:
    """The one file, or those of a folder that hold rows, by name.

    Args:
      path: File or folder; a folder's files may also lie in its `data` folder.

    Raises:
      UserError: If there is none.
    """
    if os.path.isfile(path):  # unlike Path.is_file, false for a name that no file can have
        return [path]
    if not os.path.isdir(path):
        raise errors.UserError(f"no such file: {str(path)[:1000]}")
    found = _files_with_rows(path)
    if not found and (path / "data").is_dir():
        found = _files_with_rows(path / "data")
    if not found:
        raise errors.UserError(f"{path} holds no .jsonl, .json, .parquet or .array_record file")
    return found


def row_files(path: Path, split: str) -> list[Path]:
    """The files of a source: the one file, or those of a folder that belong to a split.

    A folder whose files are named after splits, as `train-00000-of-00002.parquet`, gives those
    of one split; any other gives all of them.

    Args:
      path: As in `all_row_files`.
      split: As in `Options`.

    Raises:
      UserError: If there is none.
    """
    found = all_row_files(path)
    named = sorted({_split_of(file) for file in found} - {""})
    if path.is_file() or not named:
        return found
    if split not in named:
        raise errors.UserError(
            f"{path} has no file of the split {split!r}; it has {', '.join(named)}"
        )
    return [file for file in found if _split_of(file) == split]


def read_rows(path: Path) -> Iterator[tuple[int, Row | RowError]]:
    """The rows of a file with their places; (line, the reason) where there is no object.

    Args:
      path: As in `read_values`.

    Raises:
      UserError: As in `read_values`.
    """
    for line, value in read_values(path):
        try:
            yield line, _checked(value)
        except RowError as error:
            yield line, error


def read_values(path: Path) -> Iterator[tuple[int, Any]]:
    """What stands in the rows of a file, with their places.

    Args:
      path: `.parquet`; `.array_record`, records being JSON; a `.json` list; anything else holds
        one JSON object a line, and blank lines are no rows.

    Yields:
      (line, value), or (line, a RowError where there is none).

    Raises:
      UserError: If the file is missing or damaged as a whole.
    """
    if not path.is_file():
        raise errors.UserError(f"no such file: {path}")
    if path.suffix == ".parquet":
        yield from _parquet_rows(path)
    elif ARRAY_RECORD.search(path.name):
        yield from read_array_record(path)
    elif path.suffix == ".json" and _is_list(path):
        yield from _list_rows(path)
    else:
        yield from _lines(path)


def read_array_record(path: Path) -> Iterator[tuple[int, Any]]:
    """The records of an ArrayRecord file, parsed as JSON; (place, value or RowError).

    Args:
      path: The file, whatever its name.

    Raises:
      UserError: If it is no ArrayRecord file.
    """
    # Compiled, without types: imported by name.
    library = importlib.import_module("array_record.python.array_record_module")
    reader = library.ArrayRecordReader(str(path))
    if not reader.ok():
        raise errors.UserError(f"{path} is no ArrayRecord file, or it is truncated")
    for place in range(reader.num_records()):
        try:
            [record] = reader.read(place, place + 1)
        except (RuntimeError, IndexError) as error:
            yield place + 1, RowError(f"damaged record: {error}")
            continue
        yield place + 1, _parse(record)


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> int:
    """Writes rows, one object a line; the file appears complete or not at all.

    Args:
      path: The file; its folder is made.
      rows: JSON objects.

    Returns:
      The number of rows.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with paths.whole_file(path) as partial, partial.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(_dump(row) + "\n")
            count += 1
    return count


def _checked(value: Any) -> Row:
    if isinstance(value, RowError):
        raise value
    if not isinstance(value, dict):
        raise RowError(f"a row must be an object, got {type(value).__name__}")
    return value


def _renamed(row: Row, columns: Mapping[str, str]) -> Row:
    """The row under our names of its columns."""
    taken = {*columns, *columns.values()}
    kept = {key: value for key, value in row.items() if key not in taken}
    return kept | {ours: row[theirs] for ours, theirs in columns.items() if theirs in row}


def _own_id(row: Row) -> str:
    own = row.get("id")
    return str(own) if isinstance(own, str | int) and not isinstance(own, bool) else ""


def _plain(value: Any) -> Any:
    """A value in JSON types; what JSON does not know becomes its text, bytes their number."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | int | float):
        return value
    return f"{len(value)} bytes" if isinstance(value, bytes) else str(value)


def _files_with_rows(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if (path.suffix in (".jsonl", ".json", ".parquet") or ARRAY_RECORD.search(path.name))
        and path.is_file()
        and path.name not in NO_ROWS
    )


def _split_of(path: Path) -> str:
    """The split that a file's name begins with, or ""."""
    match = SPLIT_OF_FILE.match(path.name.lower())
    if not match:
        return ""
    return match[1] if match[1] in ("train", "test") else "validation"


def _is_list(path: Path) -> bool:
    """Whether JSON begins with a bracket; else it is JSON lines under another name."""
    with path.open("rb") as file:
        for raw in file:
            if text := raw.removeprefix(b"\xef\xbb\xbf").lstrip():
                return text.startswith(b"[")
    return True


def _list_rows(path: Path) -> Iterator[tuple[int, Any]]:
    rows = _parse(path.read_bytes())
    if not isinstance(rows, list):
        raise errors.UserError(f"{path} must hold a JSON list of rows: {rows}")
    yield from enumerate(rows, start=1)


def _lines(path: Path) -> Iterator[tuple[int, Any]]:
    with path.open("rb") as file:
        for line, raw in enumerate(file, start=1):
            if raw.strip():
                yield line, _parse(raw)


def _parse(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:  # bad UTF-8 is a ValueError too
        return RowError(f"broken JSON: {error}")


def _parquet_rows(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        reader = importlib.import_module("lingshu_jax.data.formats_parquet")
    except ImportError as error:
        raise errors.UserError(
            f"{path}: reading Parquet needs pyarrow; pip install 'lingshu-jax[data]'"
        ) from error
    return reader.read_parquet(path)


def _dump(row: dict[str, Any]) -> str:
    text = json.dumps(row, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair: only the escaped form can be written
        text = json.dumps(row)
    return text
