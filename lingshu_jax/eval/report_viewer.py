# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""All answers of an evaluation inside its report.html, or of two inside compare.html.

`report_viewer.js` unpacks them in the reader's browser. Texts are columns of distinct values, which
packs well and lets a search read each text once: as JSON, gzip, base64. Pictures are small, base64
texts, one a line, each once; they stay text until one is shown.
"""

import base64
import concurrent.futures
import gzip
import itertools
import json
import pathlib
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from lingshu_jax.common import errors, pages
from lingshu_jax.eval import benchmark, metrics, pictures

PICTURE_BYTES = 30_000_000  # of all pictures, as text in the page
SIDE = 256  # pixels of a picture's longer side
QUALITY = 60
FORM = "WEBP"
_GOLDEN = 0.6180339887498949  # places ordered by its multiples, modulo 1, are spread at any length

_AT_ONCE = 128  # questions whose pictures are read together
_READERS = 2  # threads, each with a decoded picture in memory
_UNREADABLE, _NO_ROOM = -2, -1  # in place of places

Row = Mapping[str, Any]
Part = Mapping[str, Any]


class Pictures(NamedTuple):
    """Which pictures the page holds.

    Attributes:
      texts: Each picture once, base64.
      of_rows: By benchmark and row, places in `texts`; empty where it has none in the page.
      wanted: Questions that have pictures.
      shown: Those of them whose pictures are all in the page.
      unreadable: Questions with a picture that cannot be read.
    """

    texts: list[str]
    of_rows: dict[str, list[list[int]]]
    wanted: int
    shown: int
    unreadable: int

    def addresses(self, name: str, place: int) -> list[str]:
        """The pictures of a row as data addresses.

        Args:
          name: Of the benchmark.
          place: Of the row.
        """
        found = self.of_rows[name][place]
        return [f"data:image/{FORM.lower()};base64,{self.texts[i]}" for i in found]


def collect(
    rows: Mapping[str, Sequence[Row]],
    samples: Mapping[str, Sequence[benchmark.Sample]],
    *,
    first: Mapping[str, Sequence[int]],
    budget: int = PICTURE_BYTES,
) -> Pictures:
    """Reads pictures until the budget is spent: `first`, then failures, then evenly.

    Args:
      rows: Scored rows by benchmark.
      samples: Their questions, in the same order; a benchmark may be missing.
      first: Places of rows by benchmark whose pictures come first of all.
      budget: Characters of all texts.
    """
    asked = [
        (name, place, samples[name][place].media)
        for name, place in _order(rows, first)
        if name in samples and samples[name][place].media
    ]
    of_rows: dict[str, list[list[int]]] = {name: [[] for _ in rows[name]] for name in rows}
    shelf = _Shelf(budget)
    shown = unreadable = 0
    with concurrent.futures.ThreadPoolExecutor(_READERS) as pool:
        for start in range(0, len(asked), _AT_ONCE):
            some = asked[start : start + _AT_ONCE]
            shelf.read([part for _, _, media in some for part in media], pool)
            for name, place, media in some:
                found = [shelf.places.get(pictures.key(part), _NO_ROOM) for part in media]
                unreadable += _UNREADABLE in found
                if min(found) >= 0:
                    shown += 1
                    of_rows[name][place] = found
    return Pictures(shelf.texts, of_rows, len(asked), shown, unreadable)


class _Shelf:
    """The pictures that are in the page, as many as there is room for.

    Attributes:
      texts: Each once.
      places: Where each stands, by its source; _UNREADABLE where it cannot be read.
    """

    def __init__(self, budget: int):
        self.texts: list[str] = []
        self.places: dict[Hashable, int] = {}
        self._by_text: dict[str, int] = {}
        self._room, self._is_full = budget, False

    def read(self, parts: Iterable[Part], pool: concurrent.futures.Executor) -> None:
        """Takes what is new of some images and videos, in their order."""
        if self._is_full:
            return
        new = {key: part for part in parts if (key := pictures.key(part)) not in self.places}
        for key, text in zip(new, pool.map(_try_text, new.values()), strict=True):
            if text is None:
                self.places[key] = _UNREADABLE
            elif text in self._by_text or self._room >= len(text):
                if text not in self._by_text:
                    self._by_text[text] = len(self.texts)
                    self.texts.append(text)
                    self._room -= len(text)
                self.places[key] = self._by_text[text]
            else:
                self._is_full = True


def _try_text(part: Part) -> str | None:
    """A small picture in base64; None if it cannot be read. A video is shown by its first frame."""
    try:
        picture = pictures.shown(part)
    except errors.UserError:
        return None
    return base64.b64encode(pages.small(picture, FORM, side=SIDE, quality=QUALITY)).decode()


def _order(
    rows: Mapping[str, Sequence[Row]], first: Mapping[str, Sequence[int]]
) -> Iterator[tuple[str, int]]:
    """Every row once, as benchmark and place: the earlier, the more its picture is wanted."""
    everything = [(name, place) for name in rows for place in range(len(rows[name]))]
    chosen = {(name, place) for name, places in first.items() for place in places}
    spread = sorted(range(len(everything)), key=lambda i: i * _GOLDEN % 1)
    rest = [everything[i] for i in spread if everything[i] not in chosen]

    def is_calm(where: tuple[str, int]) -> bool:
        name, place = where
        return rows[name][place]["strict"]["status"] not in metrics.FAILURES

    return itertools.chain(sorted(chosen), sorted(rest, key=is_calm))


def pack(
    rows: Mapping[str, Sequence[Row]],
    samples: Mapping[str, Sequence[benchmark.Sample]],
    shown: Pictures,
) -> str:
    """The texts of all rows, for the page.

    Args:
      rows: Scored rows by benchmark.
      samples: As for `collect`.
      shown: From `collect`.

    Returns:
      JSON in gzip in base64: `columns`, each `values` and an `index` into them by row, which is
      None where every row has a value of its own; `benchmarks`, in their order.
    """
    media = {
        "pictures": [places for name in rows for places in shown.of_rows[name]],
        "media": [count for name in rows for count in _media(rows[name], samples.get(name, ()))],
    }
    return _packed(list(rows), _questions(rows) | _answers(rows) | media)


def pack_pairs(first: Mapping[str, Sequence[Row]], second: Mapping[str, Sequence[Row]]) -> str:
    """The texts of two evaluations of the same questions, for the page of a comparison.

    Args:
      first: Scored rows of one by benchmark; questions are as they stand here.
      second: Of the other, in the same order; the names of their columns end in `_2`.

    Returns:
      As of `pack`.
    """
    others = {f"{name}_2": values for name, values in _answers(second).items()}
    return _packed(list(first), _questions(first) | _answers(first) | others)


Columns = dict[str, list[Any]]


def _questions(rows: Mapping[str, Sequence[Row]]) -> Columns:
    """What rows say of their questions."""
    names = ("id", "question", "gold", "answer_type", "options", "strata")
    columns = {name: [row.get(name) for found in rows.values() for row in found] for name in names}
    return columns | {"benchmark": [name for name, found in rows.items() for _ in found]}


def _answers(rows: Mapping[str, Sequence[Row]]) -> Columns:
    """What rows say of the answers to them."""
    every = [row for found in rows.values() for row in found]
    names = ("response", "finish_reason", "reason", "judge")
    return {name: [row.get(name) for row in every] for name in names} | {
        "compat": [row["compat"]["correct"] for row in every],
        "strict": [row["strict"]["correct"] for row in every],
        "status": [row["strict"]["status"] for row in every],
        "read_as": [row["strict"]["value"] for row in every],
    }


def _packed(benchmarks: Sequence[str], columns: Columns) -> str:
    content = {
        "benchmarks": benchmarks,
        "columns": {name: _column(values) for name, values in columns.items()},
    }
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    packed = gzip.compress(text.encode(errors="replace"), compresslevel=6, mtime=0)
    return base64.b64encode(packed).decode()


def _media(rows: Sequence[Row], samples: Sequence[benchmark.Sample]) -> Iterable[int]:
    """How many pictures each question has; 0 where the questions are not there."""
    return [len(sample.media) for sample in samples] if samples else [0] * len(rows)


def _column(values: Sequence[Any]) -> dict[str, Any]:
    """Distinct values in the order of their first appearance, and where each row's stands."""
    places: dict[str, int] = {}
    distinct, index = [], []
    for value in values:
        key = json.dumps(value)
        if key not in places:
            places[key] = len(distinct)
            distinct.append(value)
        index.append(places[key])
    return {"values": distinct, "index": None if len(distinct) == len(values) else index}


def script() -> str:
    """The script of the page; what stands between its tags, to the letter."""
    return pathlib.Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
