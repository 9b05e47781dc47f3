# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Rows that a data card shows: some that were left out, and some that stayed.

A card is passed around, so it names no file and no row, texts are masked as the filters do it,
and pictures are shown of rows that ingest has let through alone.
"""

import collections
import heapq
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pyarrow import parquet

from data_tools import examples, filter_texts, ingest, records, splits, steps
from data_tools import rows as rows_lib
from data_tools import shards as shards_lib
from lingshu_jax.common import errors, pages
from lingshu_jax.data import images

PER_REASON = 3  # rows left out that are shown of each reason
PER_SOURCE = 3  # rows that stay, of each source
MADE = 6  # made rows
MOST_TEXT = 400  # characters of a turn
MOST_PICTURES = 4  # of a row
_OF = "of "  # how steps name what a row equals
_NAMES_A_FILE = re.compile(
    r"[/\\]|\.(?:png|jpe?g|webp|tiff?|gif|bmp|dcm|dicom|nii|gz|jsonl?|parquet)\b", re.IGNORECASE
)
_PERSONAL = "personal"  # reason of rows that are not shown


class Shown(NamedTuple):
    """A row on the card.

    Attributes:
      source: Its source.
      text: What it says, turn by turn: role and text.
      pictures: Thumbnails as data addresses.
      reason: Why it was left out; "" where it was not.
      detail: What exactly.
      facts: What else is told of it, in words.
      parents: Rows that it was made from.
    """

    source: str
    text: tuple[tuple[str, str], ...]
    pictures: tuple[str, ...] = ()
    reason: str = ""
    detail: str = ""
    facts: str = ""
    parents: tuple["Shown", ...] = ()


class Dropped(NamedTuple):
    """What a step left out.

    Attributes:
      shown: Some rows of each reason.
      equals: By source of the row left out and source, or benchmark, of what it equals: rows.
    """

    shown: list[Shown]
    equals: dict[tuple[str, str], int]


def dropped(folder: Path, before: Path | None, region: str) -> Dropped:
    """Some rows that a step left out, of each reason those whose ids have the smallest hashes.

    Args:
      folder: Of the step.
      before: Of the step before it, whose rows have the pictures; None shows none.
      region: As in `filter_texts.personal`.
    """
    first: dict[str, list[tuple[int, str, int]]] = collections.defaultdict(list)
    equals: collections.Counter[tuple[str, str]] = collections.Counter()
    for part in rows_lib.names(folder / steps.DROPPED):
        columns = ["id", "source", "reason", "detail"]
        table = parquet.read_table(folder / steps.DROPPED / part, columns=columns)
        for place, entry in enumerate(table.to_pylist()):
            if entry["detail"].startswith(_OF):
                equals[entry["source"], _owner(entry["detail"])] += 1
            first[entry["reason"]].append((splits.number(entry["id"]), part, place))
        first |= {reason: heapq.nsmallest(PER_REASON, of) for reason, of in first.items()}
    shown = []
    for reason, of in sorted(first.items()):
        for _, part, place in of:
            entry = parquet.read_table(folder / steps.DROPPED / part).slice(place, 1).to_pylist()[0]
            row = _row(before, part, entry["id"]) if before and reason != _PERSONAL else None
            shown.append(_dropped_row(entry, row, region))
    return Dropped(shown, dict(sorted(equals.items())))


def kept(rows: Path, folder: Path, region: str) -> tuple[dict[str, list[Shown]], list[Shown]]:
    """Some rows of each source that are in a mixture, and some made ones with their parents.

    Args:
      rows: Folder of the rows of the last step.
      folder: Of the step that made the records.
      region: As in `filter_texts.personal`.
    """
    places: dict[str, list[tuple[int, str, int]]] = collections.defaultdict(list)
    made: list[tuple[int, str, int]] = []
    for part in rows_lib.names(folder / shards_lib.INDEX):
        columns = ["order", "source", "is_made"]
        index = parquet.read_table(folder / shards_lib.INDEX / part, columns=columns).to_pylist()
        for place, entry in enumerate(index):
            places[entry["source"]].append((entry["order"], part, place))
            if entry["is_made"]:
                made.append((entry["order"], part, place))
        places |= {name: heapq.nsmallest(PER_SOURCE, of) for name, of in places.items()}
        made = heapq.nsmallest(MADE, made)
    by_source = {
        name: [show(row, region) for row in _at(rows, of)] for name, of in sorted(places.items())
    }
    children = _at(rows, made)
    parents = _find(rows, {parent for row in children for parent in splits.parents(row)})
    shown = [_made_row(row, parents, region) for row in children]
    return by_source, shown


def show(row: rows_lib.Row, region: str) -> Shown:
    """A row with thumbnails.

    Args:
      row: That ingest has let through.
      region: As in `filter_texts.personal`.
    """
    text = tuple(
        (message["role"], say(part["text"], region))
        for message in row.messages
        for part in message["content"]
        if part["type"] == "text"
    )
    names = {name: row.facts.get(name) for name in ("modality", "language")}
    facts = ", ".join(str(value) for value in names.values() if value)
    return Shown(row.source, text, _thumbnails(row), facts=facts)


def say(text: str, region: str) -> str:
    """A text as it may be shown: identifiers masked, and not too long.

    Args:
      text: Any.
      region: As in `filter_texts.personal`.
    """
    masked = filter_texts.mask(text, filter_texts.personal(text, region=region))
    return masked if len(masked) <= MOST_TEXT else masked[:MOST_TEXT] + "\N{HORIZONTAL ELLIPSIS}"


def _made_row(row: rows_lib.Row, parents: Mapping[str, rows_lib.Row], region: str) -> Shown:
    found = [parents[name] for name in splits.parents(row) if name in parents]
    provenance = records.kept_meta(row, region).get(records.PROVENANCE, {})
    said = {key: value for key, value in provenance.items() if key != records.PARENTS}
    facts = "; ".join(f"{key}: {value}" for key, value in said.items() if isinstance(value, str))
    facts = "a file" if _NAMES_A_FILE.search(facts) else say(facts, region)
    others = [name for name in splits.parents(row) if name not in parents]
    return show(row, region)._replace(
        facts=facts,
        parents=(
            *(show(parent, region) for parent in found),
            *(_other_parent(name, provenance, region) for name in others),
        ),
    )


def _other_parent(name: str, provenance: Mapping[str, Any], region: str) -> Shown:
    """What is known of a parent that is no row here: a labelled picture, or one left out."""
    known = (provenance.get("checks") or {}).get("coarse_caption") or ""
    text = (("known of it", say(known, region)),) if known else ()
    return Shown(name.partition("/")[0], text, facts="no row of this curation")


def _dropped_row(entry: Mapping[str, Any], row: rows_lib.Row | None, region: str) -> Shown:
    detail = entry["detail"]
    if detail.startswith(_OF):
        detail = f"{_OF}{_owner(detail)}"
    elif entry["reason"] == ingest.REFUSED:
        detail = detail.partition(": ")[0]
    if _NAMES_A_FILE.search(detail):
        detail = "names a file"
    text = (("", say(entry["text"], region)),) if entry["text"] else ()
    pictures = _thumbnails(row) if row is not None else ()
    return Shown(entry["source"], text, pictures, entry["reason"], say(detail, region))


def _owner(detail: str) -> str:
    """The source of a row, or the benchmark of a question, as steps name them."""
    return detail.removeprefix(_OF).partition("/")[0]


def _thumbnails(row: rows_lib.Row) -> tuple[str, ...]:
    """Of the first pictures; of one that does not decode there is none."""
    found = []
    for medium in row.media[:MOST_PICTURES]:
        value = examples.value(medium)
        try:
            if medium.kind == "image":
                picture = images.open_image(value)
            else:
                visual = tuple(value) if isinstance(value, list) else value
                picture = next(iter(images.open_frames(visual)))
        except errors.UserError:
            continue
        found.append(pages.thumbnail(picture))
    return tuple(found)


def _row(folder: Path, part: str, name: str) -> rows_lib.Row | None:
    path = folder / steps.ROWS / part
    if not path.is_file():
        return None
    return next((row for row in rows_lib.read(path) if row.id == name), None)


def _at(folder: Path, places: Iterable[tuple[int, str, int]]) -> list[rows_lib.Row]:
    """Rows by partition and place, in the order of the hashes."""
    found, wanted = {}, [*places]
    for part in sorted({part for _, part, _ in wanted}):
        given = rows_lib.read(folder / part)
        found |= {(part, place): given[place] for _, of, place in wanted if of == part}
    return [found[part, place] for _, part, place in wanted]


def _find(folder: Path, wanted: set[str]) -> dict[str, rows_lib.Row]:
    """Rows by their ids, where they are still there."""
    found: dict[str, rows_lib.Row] = {}
    for part in rows_lib.names(folder) if wanted else ():
        ids = set(parquet.read_table(folder / part, columns=["id"])["id"].to_pylist())
        if wanted & ids:
            found |= {row.id: row for row in rows_lib.read(folder / part) if row.id in wanted}
    return found


def reasons(by_source: Mapping[str, Mapping[str, Any]]) -> Sequence[tuple[str, str, int]]:
    """Source, reason and rows of all that a step left out.

    Args:
      by_source: From `steps.read_counts`.
    """
    return [
        (source, reason, rows)
        for source, counts in by_source.items()
        for reason, rows in counts["dropped"].items()
    ]
