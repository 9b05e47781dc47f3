# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What adapters share: files found by pattern, tables and XML row by row, turns, hashes.

An adapter reads one publisher's layout: which files, what a row of them is, what the row says.
Every row becomes a record or a refusal, as with the formats of training.
"""

import csv
import dataclasses
import gzip
import hashlib
import io
import json
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from data_tools import filter_texts
from data_tools.adapters import prompts
from lingshu_jax.common import errors
from lingshu_jax.data import formats, formats_media, formats_messages

GZIP = ".gz"
TABLES = {".csv": ",", ".tsv": "\t"}
Pair = tuple[int, Any]  # a place, and a row or a RowError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """Where a set lies.

    Attributes:
      path: Its folder, or one of its files.
      options: As its source is read.
      media: Its pictures.
    """

    path: Path
    options: formats.Options
    media: formats_media.MediaFiles

    @property
    def folder(self) -> Path:
        """The folder of the set."""
        return self.path if self.path.is_dir() else self.path.parent


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adapter:
    """How one publisher's layout is read.

    Attributes:
      files: What holds the rows: alternatives, each of one or more patterns below the folder. The
        first alternative that has any file is read; each file may also end with .gz.
      parse: Gives what a row of a set means.
      rows: The rows of a file with their places.
      pictures: Folders that names of pictures start from; the first that is there, else the set's.
    """

    files: tuple[tuple[str, ...], ...]
    parse: Callable[[Place], formats.Parse]
    rows: Callable[[Path], Iterable[Pair]]
    pictures: tuple[str, ...] = ()

    def row_files(self, path: Path) -> list[Path]:
        """The files that hold the rows.

        Args:
          path: Folder of the set, or one of its files.

        Raises:
          UserError: If there is none.
        """
        if path.is_file():
            return [path]
        for patterns in self.files:
            found = [file for pattern in patterns for file in _matches(path, pattern)]
            if found:
                return found
        wanted = " or ".join(" and ".join(patterns) for patterns in self.files)
        raise errors.UserError(f"{path} holds no {wanted}")

    def read(
        self, path: Path, options: formats.Options
    ) -> Iterator[formats.Record | formats.Refusal]:
        """Every row of a set.

        Args:
          path: Folder of the set, or one of its files.
          options: `image_root`, `allow_outside` and `media_newline` count.

        Raises:
          UserError: If there is no file.
        """
        folder = path if path.is_dir() else path.parent
        there = [folder / name for name in self.pictures if (folder / name).is_dir()]
        root = options.image_root or next(iter(there), folder)
        media = formats_media.MediaFiles(root, allow_outside=options.allow_outside)
        parse = self.parse(Place(path=path, options=options, media=media))
        for file in self.row_files(path):
            stem = file.name.removesuffix(GZIP).rpartition(".")[0]
            try:
                for line, value in self.rows(file):
                    yield formats.make_record(value, parse, line=line, row_id=f"{stem}:{line}")
            except (OSError, EOFError, zlib.error) as error:
                raise errors.UserError(f"{file} is damaged: {error}") from error


def values(file: Path) -> Iterator[Pair]:
    """What stands in the rows of a table, of JSON or of Parquet.

    Args:
      file: Its name says which; JSON lines and tables may be packed with gzip.
    """
    name = file.name.removesuffix(GZIP)
    suffix = Path(name).suffix
    if suffix in TABLES:
        yield from table(file, delimiter=TABLES[suffix])
    elif file.name.endswith(GZIP):
        yield from _json_lines(file)
    else:
        yield from formats.read_values(file)


def table(
    file: Path, *, delimiter: str = ",", names: Sequence[str] | None = None, is_quoted: bool = True
) -> Iterator[Pair]:
    """Rows of a table by column; one that lacks cells or has too many is refused.

    Args:
      file: With a header, unless `names` are given.
      delimiter: Between cells.
      names: Of the columns.
      is_quoted: Whether quotes hold cells together.
    """
    csv.field_size_limit(sys.maxsize)
    quoting = csv.QUOTE_MINIMAL if is_quoted else csv.QUOTE_NONE
    with opened(file) as lines:
        reader = csv.DictReader(lines, fieldnames=names, delimiter=delimiter, quoting=quoting)
        place = 0
        while True:
            place += 1
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield place, formats.RowError(f"a row that is no table's: {error}")
                continue
            yield place, _whole(row)


def opened(file: Path) -> io.TextIOBase:
    """A text, packed or not; bytes that are no UTF-8 are kept as half surrogate pairs.

    Args:
      file: Which.

    Raises:
      UserError: If there is none.
    """
    if not file.is_file():
        raise errors.UserError(f"no such file: {file}")
    raw = gzip.open(file, "rb") if file.name.endswith(GZIP) else file.open("rb")
    return io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="")


def tree(file: Path) -> ElementTree.Element:
    """The root of an XML file.

    Args:
      file: Which.

    Raises:
      RowError: If it is none.
    """
    try:
        return ElementTree.parse(file).getroot()
    except (ElementTree.ParseError, ValueError, OSError) as error:
        raise formats.RowError(f"broken XML: {error}") from error


def text(row: formats.Row, name: str) -> str:
    """A text of a row without blanks at its ends; a reason never repeats what it says.

    Args:
      row: As read.
      name: Of the column.

    Raises:
      RowError: If it is missing, no text, or empty.
    """
    if name not in row:
        raise formats.RowError(f"missing column {name!r}")
    value = row[name]
    if not isinstance(value, str):
        raise formats.RowError(f"{name} must be a text, got {type(value).__name__}")
    if not value.strip():
        raise formats.RowError(f"{name} is empty")
    return value.strip()


def optional(row: formats.Row, name: str) -> str:
    """The same, "" where there is none.

    Args:
      row: As read.
      name: Of the column.
    """
    value = row.get(name)
    return value.strip() if isinstance(value, str) else ""


def picture(place: Place, names: Iterable[str], missing: str) -> Any:
    """The first of some files that is there; the reason of none does not repeat their names.

    Args:
      place: Of the set.
      names: Below the folder of its pictures.
      missing: Reason where there is none.

    Raises:
      RowError: With that reason.
    """
    for name in names:
        try:
            return place.media.picture(name)
        except formats.RowError:
            continue
    raise formats.RowError(missing)


def turns(place: Place, asked: str, answer: str, shown: Sequence[Any] = ()) -> formats.Messages:
    """A question, behind its pictures, and its answer.

    Args:
      place: Of the set.
      asked: What the user says.
      answer: What the assistant says.
      shown: Pictures as `formats_media.MediaFiles.picture` takes them.
    """
    parts: list[dict[str, Any]] = [{"type": "image", "image": one} for one in shown]
    parts.append({"type": "text", "text": asked})
    return conversation(place, parts, answer)


def conversation(place: Place, parts: list[dict[str, Any]], answer: str) -> formats.Messages:
    """A user's parts and the answer to them.

    Args:
      place: Of the set.
      parts: As of a message.
      answer: What the assistant says.
    """
    said = [{"role": "user", "content": parts}, {"role": "assistant", "content": answer}]
    return formats_messages.canonical(said, place.media)


def caption(place: Place, key: str, said: str, shown: Sequence[Any]) -> formats.Messages:
    """A caption as the answer to one of the prompts that ask for captions.

    Args:
      place: Of the set.
      key: Of the row, which chooses the prompt.
      said: The caption.
      shown: Its pictures.
    """
    return turns(place, prompts.for_caption(key, said), said, shown)


def reasoned(reasoning: str, answer: str) -> str:
    """An answer behind its reasoning, in the form that `train_on="reasoning"` looks for.

    Args:
      reasoning: What leads to it.
      answer: What the user sees.
    """
    return f"<think>\n{reasoning}\n</think>\n\n{answer}"


def hashed(word: str, identifier: str) -> str:
    """What stands for an identifier in ids and in what a row knows.

    Args:
      word: Of the set, so that sets do not share hashes.
      identifier: Of a patient, a study or a picture.
    """
    return hashlib.sha256(f"{word} {identifier}".encode("utf-8", "surrogatepass")).hexdigest()[:16]


def masked(said: str) -> str:
    """A report without identifiers of persons, as far as patterns find them.

    Args:
      said: Any text.
    """
    return filter_texts.mask(said, filter_texts.personal(said))


def _matches(folder: Path, pattern: str) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(folder.glob(pattern)) or sorted(folder.glob(pattern + GZIP))


def _json_lines(file: Path) -> Iterator[Pair]:
    with gzip.open(file, "rb") as lines:
        for place, raw in enumerate(lines, start=1):
            if not raw.strip():
                continue
            try:
                yield place, json.loads(raw)
            except ValueError as error:
                yield place, formats.RowError(f"broken JSON: {error}")


def _whole(row: dict[Any, Any]) -> Any:
    if None in row:
        return formats.RowError("more cells than columns")
    if lacking := [name for name, cell in row.items() if cell is None]:
        return formats.RowError(f"no cell of {lacking[0]!r}")
    try:
        "".join(row.values()).encode()
    except UnicodeEncodeError:
        return formats.RowError("bytes that are no UTF-8")
    return row
