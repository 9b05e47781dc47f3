# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What doctors review: rows of files, as items that a page may show without saying who wrote them.

Of every row an item is made, `verify` of reasoning and `approve` of anything else; and of two rows
about the same pictures, of one kind, one that is compared. Of n such rows these are n - 1 pairs,
neighbours in an order that says nothing about them.
"""

import collections
import dataclasses
import hashlib
import hmac
import itertools
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data_tools import rows as rows_lib
from data_tools import splits
from lingshu_jax.common import errors
from lingshu_jax.data import formats, formats_messages, volume_files

COMPARE, APPROVE, VERIFY = "compare", "approve", "verify"
TASKS = (COMPARE, APPROVE, VERIFY)  # in the order in which they are given
CAPTION, REASONING, DIALOGUE, OTHER = "caption", "reasoning", "dialogue", "other"
ROWS = "rows"  # folder of a synthesis
REPEATED, OUTSIDE = "a row that came before", "a picture outside the folder"
# A path, perhaps with a fragment, or the bytes of a file; of a clip or a series several.
File = str | bytes
Picture = File | tuple[File, ...]
_KEY_BYTES = 16
_THINKING = re.compile(r"<think>(.*?)</think>(.*)", re.DOTALL)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[\N{IDEOGRAPHIC FULL STOP}\uff01\uff1f])")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """A row under review.

    Attributes:
      key: Digest of what it says; of a row that says something else it is another.
      id: Its own.
      kind: "caption", "vqa", "reasoning", "ocr", "dialogue", whatever it says, or "other".
      messages: Canonical.
      meta: Its other columns.
    """

    key: str
    id: str
    kind: str
    messages: formats.Messages
    meta: Mapping[str, Any]

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """Pictures and clips, frames of one file together."""
        found: list[tuple[str, list[Any]]] = []
        for part in _media(self.messages):
            value = part[part["type"]]
            if isinstance(value, str) and part["type"] == "image":
                name, fragment = volume_files.split_fragment(value)
                if fragment and found and found[-1][0] == name:
                    found[-1][1].append(value)
                else:
                    found.append((name if fragment else "", [value]))
            else:
                found.append(("", list(value) if isinstance(value, list) else [value]))
        return tuple(tuple(v) if len(v) > 1 else v[0] for _, v in found)

    @property
    def answer(self) -> str:
        """What the assistant says last."""
        return _text(self.messages[-1])

    @property
    def gold(self) -> str:
        """What is right; "" where the row does not say."""
        value = self.meta.get("answer")
        return value if isinstance(value, str) else ""


class Item(NamedTuple):
    """What one decision is about.

    Attributes:
      key: Digest of its rows and of what is asked.
      task: A word of `TASKS`.
      rows: One row, or the two that are compared.
    """

    key: str
    task: str
    rows: tuple[Row, ...]


class Trace(NamedTuple):
    """Reasoning in parts.

    Attributes:
      steps: Its lines; the sentences of a trace of one line.
      answer: What stands behind it.
    """

    steps: tuple[str, ...]
    answer: str


class Data(NamedTuple):
    """All that is reviewed.

    Attributes:
      items: By key.
      by_row: The items that each row is in, by its key.
      refused: Why rows are none, with their number.
    """

    items: Mapping[str, Item]
    by_row: Mapping[str, Sequence[Item]]
    refused: Mapping[str, int]


def read(path: Path, image_root: Path | None = None) -> Data:
    """The rows of a file, of a folder of files, or of a synthesis, as items.

    Args:
      path: A `.jsonl` file of format `messages`; a folder of them; a folder with `rows/`.
      image_root: Where paths of pictures start, and the only place for them; None: they start at
        their file, and lie anywhere in `path`.

    Raises:
      UserError: If there is no file, or no row that can be reviewed.
    """
    if image_root is not None and not image_root.is_dir():
        raise errors.UserError(f"--image_root={image_root}: no such folder")
    rows: dict[str, Row] = {}
    refused: collections.Counter[str] = collections.Counter()
    for row in _read_rows(path, image_root):
        if isinstance(row, str):
            refused[row] += 1
        elif row.key in rows:
            refused[REPEATED] += 1
        else:
            rows[row.key] = row
    if not rows:
        why = f": {next(iter(refused))}" if refused else ""
        raise errors.UserError(f"--data={path}: no row that can be reviewed{why}")
    single = [Item(_digest(_task(r), r.key), _task(r), (r,)) for r in rows.values()]
    made = [*pairs(rows.values()), *single]
    by_row: dict[str, list[Item]] = collections.defaultdict(list)
    for item in made:
        for row in item.rows:
            by_row[row.key].append(item)
    return Data({item.key: item for item in made}, by_row, refused)


def row_files(path: Path) -> list[Path]:
    """The files that are read.

    Args:
      path: As of `read`.

    Raises:
      UserError: If there is none.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise errors.UserError(f"--data={path}: no such file or folder")
    folder = path / ROWS if (path / ROWS).is_dir() else path
    found = sorted(folder.glob("*.jsonl"))
    if not found:
        raise errors.UserError(f"--data={path}: holds no .jsonl file")
    return found


def pairs(rows: Iterable[Row]) -> list[Item]:
    """Rows that are compared: of one kind, about the same pictures, with different answers.

    Captions may have been asked for in different words; of other kinds the question is the same.
    Rows without pictures are about the same if their first parent is.

    Args:
      rows: All.
    """
    groups: dict[tuple[str, ...], list[Row]] = collections.defaultdict(list)
    for row in rows:
        if about := _about(row):
            groups[about].append(row)
    found = {}
    for group in groups.values():
        group.sort(key=lambda row: row.key)
        for first, second in itertools.pairwise(group):
            if first.answer.strip() != second.answer.strip():
                item = Item(_digest(COMPARE, first.key, second.key), COMPARE, (first, second))
                found[item.key] = item
    return list(found.values())


def order(data: Data, secret: bytes, reviewer: str) -> list[Item]:
    """The items in a reviewer's own order: task after task, drawn within each.

    Args:
      data: All.
      secret: Of the folder of decisions.
      reviewer: Key of the reviewer.
    """
    return sorted(
        data.items.values(),
        key=lambda item: (TASKS.index(item.task), draw(secret, reviewer, item.key)),
    )


def is_swapped(item: Item, secret: bytes, reviewer: str) -> bool:
    """Whether a reviewer sees the second row of a pair as A.

    Args:
      item: A pair.
      secret: As in `order`.
      reviewer: As in `order`.
    """
    return bool(draw(secret, reviewer, f"sides {item.key}")[0] & 1)


def draw(secret: bytes, reviewer: str, text: str) -> bytes:
    """What is drawn for a reviewer: always the same, and nobody without the secret knows it.

    Args:
      secret: Of the folder of decisions.
      reviewer: Key of the reviewer.
      text: What is drawn.
    """
    return hmac.digest(secret, f"{reviewer}\n{text}".encode(), "sha256")


def trace(text: str) -> Trace:
    """Reasoning in the parts that are judged one by one.

    Args:
      text: What the assistant says; without tags all of it is reasoning.
    """
    found = _THINKING.search(text)
    thought, answer = (found[1], found[2].strip()) if found else (text, "")
    lines = [line.strip() for line in thought.splitlines() if line.strip()]
    if len(lines) == 1:
        lines = [piece for piece in _SENTENCE_END.split(lines[0]) if piece]
    return Trace(tuple(lines), answer)


def shown(item: Item, *, swapped: bool) -> dict[str, Any]:
    """What the page is told of an item: texts alone, nothing of where they come from.

    Args:
      item: What is shown.
      swapped: As of `is_swapped`.
    """
    told: dict[str, Any] = {
        "item": item.key,
        "task": item.task,
        "kind": item.rows[0].kind,
        "pictures": len(item.rows[0].pictures),
    }
    if item.task == COMPARE:
        ordered = item.rows[::-1] if swapped else item.rows
        told["turns"] = _turns(item.rows[0].messages[:-1])
        told["sides"] = [row.answer for row in ordered]
        return told
    row = item.rows[0]
    told["turns"] = _turns(row.messages)
    if item.task == VERIFY:
        told |= {**trace(row.answer)._asdict(), "gold": row.gold}
    return told


def provenance(row: Row) -> dict[str, Any]:
    """Where a row comes from, for who has decided about it.

    Args:
      row: Any.
    """
    found = row.meta.get("provenance")
    return {"id": row.id, **(found if isinstance(found, dict) else {})}


def _read_rows(path: Path, image_root: Path | None) -> Iterator[Row | str]:
    """Rows, and the reasons why others are none."""
    inside = os.path.realpath(path if path.is_dir() else path.parent)
    options = formats.Options(image_root=image_root, allow_outside=image_root is None)
    for file in row_files(path):
        for record in formats_messages.read_messages(file, options):
            if isinstance(record, formats.Refusal):
                yield record.reason.partition(":")[0]  # without paths
            elif image_root is None and not all(_within(inside, f) for f in _files(record)):
                yield OUTSIDE
            elif record.messages[-1]["role"] != "assistant":
                yield "no answer"
            else:
                yield _row(record)


def _files(record: formats.Record) -> Iterator[str]:
    for part in _media(record.messages):
        value = part[part["type"]]
        for single in value if isinstance(value, list | tuple) else [value]:
            if isinstance(single, str):
                yield volume_files.split_fragment(single)[0]


def _within(folder: str, path: str) -> bool:
    return Path(path).is_relative_to(folder)


def _row(record: formats.Record) -> Row:
    kind = record.meta.get("kind")
    if not isinstance(kind, str) or not kind:
        answers = sum(message["role"] == "assistant" for message in record.messages)
        kind = DIALOGUE if answers > 1 else OTHER
        if _THINKING.search(_text(record.messages[-1])):
            kind = REASONING
    said = [record.row_id, kind, _turns(record.messages), record.meta.get("answer")]
    files = [os.path.basename(file) for file in _files(record)]
    key = _digest(rows_lib.dump([*said, files]))
    return Row(
        key=key, id=record.row_id, kind=kind, messages=record.messages, meta=dict(record.meta)
    )


def _task(row: Row) -> str:
    return VERIFY if row.kind == REASONING else APPROVE


def _about(row: Row) -> tuple[str, ...]:
    """What rows that are compared have in common: kind, question, pictures or else the parent.

    Empty of a row without pictures and parent: it is compared with none.
    """
    question = "" if row.kind == CAPTION else rows_lib.dump(_turns(row.messages[:-1]))
    about = [_content(picture) for picture in row.pictures]
    if not about:
        made_from = rows_lib.Row(id=row.id, source="", messages=(), meta=row.meta)
        about = [f"parent {parent}" for parent in splits.parents(made_from)[:1]]
    return (row.kind, question, *about) if about else ()


def _content(picture: Picture) -> str:
    """One text for equal pictures: a file's real path, or a digest of its bytes."""
    if isinstance(picture, tuple):
        return " ".join(map(_content, picture))
    if isinstance(picture, bytes):
        return hashlib.sha256(picture).hexdigest()
    return str(picture)


def _media(messages: formats.Messages) -> Iterator[dict[str, Any]]:
    for message in messages:
        yield from (part for part in message["content"] if part["type"] != "text")


def _text(message: Mapping[str, Any]) -> str:
    return "\n".join(part["text"] for part in message["content"] if part["type"] == "text")


def _turns(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Roles and texts, a text a part; `null` stands where a picture is."""
    return [
        {"role": m["role"], "texts": [part.get("text") for part in m["content"]]} for m in messages
    ]


def _digest(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[
        : 2 * _KEY_BYTES
    ]
