# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A training row on its way through curation, and the Parquet files that hold many.

A partition is one such file. It is written whole, so that one that is there is complete.
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet

from lingshu_jax.common import paths

SUFFIX = ".parquet"
_MEDIUM = pyarrow.struct(
    [("kind", pyarrow.string()), ("path", pyarrow.string()), ("data", pyarrow.binary())]
)
SCHEMA = pyarrow.schema(
    [
        ("id", pyarrow.string()),
        ("source", pyarrow.string()),
        ("line", pyarrow.int64()),
        ("messages", pyarrow.string()),
        ("media", pyarrow.list_(_MEDIUM)),
        ("meta", pyarrow.string()),
        ("facts", pyarrow.string()),
    ]
)
DROPPED_SCHEMA = pyarrow.schema(
    [
        ("id", pyarrow.string()),
        ("source", pyarrow.string()),
        ("line", pyarrow.int64()),
        ("reason", pyarrow.string()),
        ("detail", pyarrow.string()),
        ("text", pyarrow.string()),
    ]
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Medium:
    """A picture or a clip of a row.

    Attributes:
      kind: "image" or "video".
      path: Of its file, absolute, or a JSON list of those of its frames; "" where it is embedded.
      data: Its file, embedded; b"" where it is not.
    """

    kind: str
    path: str = ""
    data: bytes = b""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """A row; steps make changed copies.

    Attributes:
      id: `<source>/<the row's own id>`, unique in a curation.
      source: Name of its source.
      line: Line of the source's file; 0 where there is none.
      messages: As of `sources.Example`, but that a media part holds its place in `media`, as
        `{"type": "image", "image": 0}`.
      media: Pictures and clips in the order of the messages.
      meta: The publisher's other columns.
      facts: What the steps have found out, by name: `image_hashes`, `modality` and so on.
    """

    id: str
    source: str
    line: int = 0
    messages: tuple[dict[str, Any], ...]
    media: tuple[Medium, ...] = ()
    meta: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def knowing(self, **facts: Any) -> "Row":
        """The same with more facts."""
        return dataclasses.replace(self, facts={**self.facts, **facts})

    def texts(self, *roles: str) -> list[str]:
        """The texts of the turns of some roles, of all without any.

        Args:
          roles: As "user".
        """
        return [
            part["text"]
            for message in self.messages
            if not roles or message["role"] in roles
            for part in message["content"]
            if part["type"] == "text"
        ]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dropped:
    """A row that a step leaves out.

    Attributes:
      id: Of the row.
      source: Its source.
      line: Its line there.
      reason: One of the step's words, by which rows are counted.
      detail: What exactly, as "width 40"; holds no text of the row.
      text: The beginning of its text, for a sample that a person reads.
    """

    id: str
    source: str
    line: int
    reason: str
    detail: str = ""
    text: str = ""

    @classmethod
    def of(cls, row: Row, reason: str, detail: str = "") -> "Dropped":
        """A row with the reason why it goes.

        Args:
          row: The row.
          reason: As above.
          detail: As above.
        """
        text = " ".join(row.texts())[:MOST_TEXT]
        return cls(
            id=row.id, source=row.source, line=row.line, reason=reason, detail=detail, text=text
        )


MOST_TEXT = 200  # characters of a dropped row that are shown


def names(folder: Path) -> list[str]:
    """The partitions of a folder, in their order.

    Args:
      folder: With files of `write`.
    """
    return sorted(path.name for path in folder.glob(f"*{SUFFIX}"))


def read(path: Path) -> list[Row]:
    """The rows of a partition.

    Args:
      path: From `write`.
    """
    return [
        Row(
            **{name: found[name] for name in ("id", "source", "line")},
            messages=tuple(json.loads(found["messages"])),
            media=tuple(Medium(**medium) for medium in found["media"]),
            meta=json.loads(found["meta"]),
            facts=json.loads(found["facts"]),
        )
        for found in parquet.read_table(path, schema=SCHEMA).to_pylist()
    ]


def write(path: Path, rows: Iterable[Row]) -> None:
    """Writes a partition; it appears whole or not at all.

    Args:
      path: Of the file.
      rows: In their order.
    """
    values = [
        {
            **{name: getattr(row, name) for name in ("id", "source", "line")},
            "messages": dump(row.messages),
            "media": [dataclasses.asdict(medium) for medium in row.media],
            "meta": dump(row.meta),
            "facts": dump(row.facts),
        }
        for row in rows
    ]
    write_table(path, pyarrow.Table.from_pylist(values, schema=SCHEMA))


def write_dropped(path: Path, dropped: Iterable[Dropped]) -> None:
    """Writes what a step left out of a partition.

    Args:
      path: Of the file.
      dropped: In the order of the rows.
    """
    values = [dataclasses.asdict(entry) for entry in dropped]
    write_table(path, pyarrow.Table.from_pylist(values, schema=DROPPED_SCHEMA))


def write_table(path: Path, table: pyarrow.Table) -> None:
    """Writes a Parquet file whole; the same table gives the same bytes.

    Args:
      path: Of the file.
      table: Its content.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with paths.whole_file(path) as partial:
        parquet.write_table(table, partial, compression="zstd")


def dump(value: Any) -> str:
    """JSON as rows hold it: one text for equal values."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
