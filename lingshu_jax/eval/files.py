# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The files of a benchmark: found in a folder or fetched from the hub, read, and checked.

A local folder has the publisher's own layout. Rows come as plain dicts; pictures inside Parquet
stay encoded, and equal ones are kept once.
"""

import collections
import csv
import gzip
import io
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lingshu_jax.common import errors, hub, paths
from lingshu_jax.eval import benchmark
from lingshu_jax.eval import card as card_lib

GZIP = ".gz"
_UNPACKED = "unpacked"  # marker beside an archive's content
_CELL = 2**31 - 1  # characters of a CSV cell; Python's own limit is 128 KiB


def find(card: card_lib.Card, data_dir: Path | None) -> Path:
    """The folder that holds a benchmark's files.

    Args:
      card: Its card.
      data_dir: Folder of the data: the benchmark's own, or one that holds it under `name`,
        `upstream` or one of `folders`. None fetches it from the hub.

    Raises:
      UserError: If it is in none of these, or cannot be fetched; says where to get it.
    """
    if data_dir is None:
        if not card.repository:
            raise errors.UserError(f"{card.name}: --data_dir is required; {_where(card)}")
        return hub.fetch_dataset(card.repository, card.revision, card.files)
    names = [card.name, card.upstream, *card.folders]
    for folder in [*(data_dir / name for name in names if name), data_dir]:
        if any(matches(folder, pattern) for pattern in card.files):
            return folder
    wanted = " or ".join(card.files)
    raise errors.UserError(
        f"{card.name}: neither {data_dir} nor its subfolder {card.name} holds {wanted};"
        f" {_where(card)}"
    )


def matches(folder: Path, pattern: str) -> list[Path]:
    """Files of a folder by pattern, in order of name; with or without `.gz`.

    Args:
      folder: May be missing.
      pattern: As of `Path.glob`.
    """
    if not folder.is_dir():
        return []
    return sorted(folder.glob(pattern)) or sorted(folder.glob(pattern + GZIP))


def only(card: card_lib.Card, folder: Path, pattern: str) -> Path:
    """The one file that matches.

    Args:
      card: Its card.
      folder: Where it is looked for.
      pattern: As of `matches`.

    Raises:
      UserError: If there is none, or more than one.
    """
    found = matches(folder, pattern)
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "nothing"
        raise errors.UserError(
            f"{card.name}: {folder} must hold one {pattern}, found {names}; {_where(card)}"
        )
    return found[0]


def read_rows(
    card: card_lib.Card,
    path: Path,
    columns: Sequence[str],
    *,
    header: Sequence[str] = (),
) -> Iterator[dict[str, Any]]:
    """Rows of a JSON list, JSONL, CSV or Parquet file, perhaps gzipped, in its order.

    Args:
      card: Its card.
      path: The file; its ending says what it is.
      columns: Those that every row needs.
      header: Names of the columns of a CSV file that has no first line of names.

    Raises:
      UserError: If it does not read, is no table, or a row lacks a column.
    """
    found = False
    for number, row in enumerate(_read(card, path, header)):
        if not isinstance(row, dict) or not set(columns) <= set(row):
            names = sorted(map(str, row)) if isinstance(row, dict) else type(row).__name__
            raise errors.UserError(
                f"{card.name}: {path} row {number} needs {sorted(columns)}, found {names}"
            )
        found = True
        yield row
    if not found:
        raise errors.UserError(f"{card.name}: {path} has no rows")


def read_json(card: card_lib.Card, path: Path) -> Any:
    """A JSON file, perhaps gzipped.

    Raises:
      UserError: If it is none.
    """
    try:
        return json.loads(_text(path))
    except (ValueError, OSError, EOFError) as error:
        raise errors.UserError(f"{card.name}: {path} is not JSON: {error}") from error


class Pictures:
    """The pictures of a benchmark as its rows name them; equal ones are kept once."""

    def __init__(self, card: card_lib.Card, *folders: Path):
        """Notes where paths start.

        Args:
          card: Of the benchmark.
          folders: The first that holds a name counts.
        """
        self._card, self._folders = card, folders
        self._kept: dict[bytes, bytes] = {}

    def get(self, value: Any) -> str | bytes:
        """A path, or the bytes of an encoded picture.

        Args:
          value: A file name, or a cell of a Parquet file with `bytes` or `path`.

        Raises:
          UserError: If there is no such file.
        """
        if isinstance(value, dict):
            value = value.get("bytes") or value.get("path")
        if isinstance(value, bytes) and value:
            return self._kept.setdefault(value, value)
        if isinstance(value, str) and value:
            for folder in self._folders:
                path = folder / value
                if path.is_file() and path.resolve().is_relative_to(folder.resolve()):
                    return str(path)
        looked = ", ".join(map(str, self._folders))
        raise errors.UserError(
            f"{self._card.name}: no picture {str(value)[:120]!r} (looked in {looked});"
            f" {_where(self._card)}"
        )


def unpack(card: card_lib.Card, archive: Path) -> Path:
    """The folder in which a zip file's content lies; it is unpacked once, whole or not at all.

    Args:
      card: Its card.
      archive: A zip file. Its content goes into a folder beside it, named as the file without
        its ending, unless that is there already.

    Raises:
      UserError: If it is no zip file, or one that would write elsewhere.
    """
    folder = archive.with_suffix("")
    if folder.is_dir():
        return folder
    try:
        with zipfile.ZipFile(archive) as file, paths.whole_folder(folder) as partial:
            for name in file.namelist():
                if not (partial / name).resolve().is_relative_to(partial.resolve()):
                    raise errors.UserError(f"{card.name}: {archive} holds {name!r}, outside of it")
            file.extractall(partial)
    except (zipfile.BadZipFile, OSError) as error:
        raise errors.UserError(f"{card.name}: {archive} does not unpack: {error}") from error
    return folder


def remarks(card: card_lib.Card, samples: Sequence[benchmark.Sample]) -> list[str]:
    """What differs from the data as published, a sentence each; nothing if all is as it should.

    Args:
      card: Its card.
      samples: As loaded.
    """
    found = [*samples.remarks] if isinstance(samples, benchmark.Samples) else []
    if card.num_rows and len(samples) != card.num_rows:
        found.append(f"{card.name} has {len(samples)} rows here, {card.num_rows} as published")
    counts = collections.Counter(sample.gold for sample in samples)
    odd = {gold: n for gold, n in card.golds.items() if counts[gold] != n}
    if odd:
        here = ", ".join(f"{gold} {counts[gold]} ({n})" for gold, n in odd.items())
        found.append(f"{card.name} has other golds here than as published (in brackets): {here}")
    return found


def _where(card: card_lib.Card) -> str:
    """Where to get it, for error messages."""
    if not card.repository:
        return f"get it from {card.origin}"
    revision = f" --revision {card.revision}" if card.revision else ""
    command = f"hf download --repo-type dataset {card.repository}{revision}"
    return f"`{command} --local-dir DIR/{card.name}` fetches it" + (
        f" ({card.origin})" if card.origin else ""
    )


def _read(card: card_lib.Card, path: Path, header: Sequence[str]) -> Iterable[Any]:
    name = path.name.removesuffix(GZIP)
    if name.endswith(".parquet"):
        yield from _parquet_rows(path)
        return
    if name.endswith(".json"):
        content = read_json(card, path)
        if not isinstance(content, list):
            raise errors.UserError(f"{card.name}: {path} must hold a list of rows")
        yield from content
        return
    try:
        text = _text(path)
        if name.endswith(".jsonl"):
            yield from (json.loads(line) for line in text.split("\n") if line.strip())
        else:
            csv.field_size_limit(_CELL)
            yield from csv.DictReader(io.StringIO(text, newline=""), header or None)
    except (ValueError, OSError, EOFError, csv.Error) as error:
        raise errors.UserError(f"{card.name}: {path} does not read: {error}") from error


def _parquet_rows(path: Path) -> Iterator[Any]:
    from lingshu_jax.data import formats, formats_parquet  # needs lingshu-jax[data]

    for number, row in formats_parquet.read_parquet(path):
        if isinstance(row, formats.RowError):
            raise errors.UserError(f"{path} row {number}: {row}")
        yield row


def _text(path: Path) -> str:
    raw = path.read_bytes()
    return (gzip.decompress(raw) if path.suffix == GZIP else raw).decode("utf-8-sig")


def kept(row: Mapping[str, Any], *left_out: str) -> dict[str, Any]:
    """A row as MedEvalKit's results keep it: without pictures and what is named.

    Args:
      row: Of the publisher.
      left_out: Names of columns.
    """
    return {
        name: value
        for name, value in row.items()
        if name not in left_out and not isinstance(value, bytes)
    }
