# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What a mixture was read from, so that it can be told later: files, rows, digests.

Row files are digested whole. Media files are digested by name and size only: reading millions
of images once more would take hours. No digest depends on where the files lie.
"""

import collections
import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lingshu_jax.data import sources as data_sources
from lingshu_jax.data import volume_files

MOST_REASONS = 20  # of each source; dropped.jsonl names every row
OTHERS = "other reasons"
_PLACES = ("path", "image_root")  # fields of a source that say where, not what


class Manifest(NamedTuple):
    """A mixture in JSON values.

    Attributes:
      sources: One entry a source, from `describe`.
      sha256: Over the sources' options and digests, in their order.
      absent: Names of sources that were left out because their files are not there.
    """

    sources: list[dict[str, Any]]
    sha256: str
    absent: tuple[str, ...] = ()

    def counted(
        self,
        dropped: Sequence[data_sources.Dropped],
        rewritten: Sequence[data_sources.Dropped] = (),
    ) -> "Manifest":
        """The same with `dropped` and `rewritten` in each source: rows by reason.

        A reason is what stands before its first colon; the most frequent come first.

        Args:
          dropped: Rows of these sources, refused while reading or later.
          rewritten: Rows that were made to fit, with what was done.
        """
        counts = {"dropped": _count(dropped), "rewritten": _count(rewritten)}
        counted = [
            {**entry, **{what: _shorten(of[entry["name"]]) for what, of in counts.items()}}
            for entry in self.sources
        ]
        return self._replace(sources=counted)


def describe(
    source: data_sources.Source,
    root: Path,
    media: Iterable[str],
    *,
    rows: int,
    examples: int,
    chosen: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """The entry of one source.

    Args:
      source: As configured.
      root: Folder that its path starts from.
      media: The files that its rows show, in any order.
      rows: Of the files, good and bad.
      examples: How many of them an epoch reads, copies counted.
      chosen: `rows`, how many of the good ones are read at all, and the `seed` that chose them;
        None where all are.

    Returns:
      `name` and the other options; `files`, `media` with counts, sizes in bytes and digests;
      `rows`, `examples`, `chosen`; `sha256` over files and media.
    """
    options = {k: v for k, v in dataclasses.asdict(source).items() if k not in _PLACES}
    row_files = [_describe_file(file) for file in data_sources.row_files(source, root)]
    content = {"files": row_files, "media": _describe_media(media)}
    return {
        **options,
        **content,
        "rows": rows,
        "examples": examples,
        "chosen": chosen,
        "sha256": _digest(content),
    }


def combine(entries: Sequence[dict[str, Any]]) -> Manifest:
    """The manifest of a mixture.

    Args:
      entries: From `describe`, in the order of the sources.
    """
    leave = ("files", "media", "rows", "examples")  # the entry's sha256 stands for them
    kept = [{k: v for k, v in entry.items() if k not in leave} for entry in entries]
    return Manifest([*entries], _digest(kept))


def _describe_file(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": digest}


def media_of(example: data_sources.Example) -> Iterator[str]:
    """The files that an example shows; embedded pictures lie in its row.

    Args:
      example: A good row.
    """
    for message in example.messages:
        for part in message["content"]:
            if part["type"] == "text":
                continue
            value = part[part["type"]]
            for path in value if isinstance(value, list) else [value]:
                if isinstance(path, str):
                    file = volume_files.split_fragment(path)[0]
                    yield from _frames(file) if part["type"] == "video" else [file]


def _describe_media(media: Iterable[str]) -> dict[str, Any]:
    """Number, bytes, and a digest of all names and sizes; names start from the common folder."""
    found = sorted(set(media))
    total, digest = 0, hashlib.sha256()
    base = os.path.commonpath([os.path.dirname(path) for path in found]) if found else ""
    for path in found:
        size = os.stat(path).st_size
        total += size
        name = os.path.relpath(path, base)
        digest.update(f"{name}\t{size}\n".encode("utf-8", "surrogateescape"))
    return {"files": len(found), "bytes": total, "sha256": digest.hexdigest()}


def _frames(path: str) -> Iterator[str]:
    """A file, or the files of a video that is a folder of frames."""
    if os.path.isdir(path):
        yield from (entry.path for entry in os.scandir(path) if entry.is_file())
    else:
        yield path


def _count(
    rows: Sequence[data_sources.Dropped],
) -> collections.defaultdict[str, collections.Counter[str]]:
    """Rows by source and reason."""
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for row in rows:
        counts[row.source][row.reason.partition(": ")[0]] += 1
    return counts


def _shorten(reasons: collections.Counter[str]) -> dict[str, int]:
    """Reasons often name their file: the frequent ones stay, the rest is one number."""
    kept = dict(reasons.most_common(MOST_REASONS))
    rest = reasons.total() - sum(kept.values())
    return {**kept, OTHERS: rest} if rest else kept


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)  # escaped: also what is no proper UTF-8
    return hashlib.sha256(text.encode()).hexdigest()
