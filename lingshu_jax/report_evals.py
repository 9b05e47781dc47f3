# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Evaluations of one model at several moments, side by side: numbers, verdicts, answers."""

import collections
import itertools
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from lingshu_jax.common import errors, pages, paths
from lingshu_jax.eval import benchmark, catalog, folder, pictures

BEFORE, AFTER, BLIND = "before", "after", "blind"
CARDS = 16  # questions shown of a benchmark

Row = Mapping[str, Any]


class Evaluation(NamedTuple):
    """The folder of a complete evaluation, and how it is called on the page."""

    name: str
    summary: dict[str, Any]
    rows: dict[str, list[dict[str, Any]]]


class Card(NamedTuple):
    """A question beside its pictures, with what was answered at each moment.

    Attributes:
      row: A scored row, for question, options and gold.
      pictures: As data addresses.
      answers: Scored rows by the name of the evaluation.
      is_right: Whether strict scoring accepts the answer of the moment that counts.
    """

    row: Row
    pictures: list[str]
    answers: Mapping[str, Row]
    is_right: bool


class Benchmark(NamedTuple):
    """One benchmark at all moments.

    Attributes:
      name: Its name.
      numbers: Summaries by the name of the evaluation.
      moves: How many questions went (right or wrong, right or wrong) between `ends`.
      ends: The two evaluations that are compared; equal where there is one.
      cards: Questions to show.
    """

    name: str
    numbers: dict[str, Row]
    moves: dict[tuple[bool, bool], int]
    ends: tuple[str, str]
    cards: list[Card]


def read(name: str, path: pathlib.Path) -> Evaluation:
    """Reads an evaluation.

    Args:
      name: On the page.
      path: What `lingshu_jax.evaluate` wrote.

    Raises:
      UserError: If it is not complete.
    """
    if not folder.is_complete(path):
        raise errors.UserError(f"{path} is no complete evaluation: it has no {folder.COMMIT}")
    summary = folder.read_summary(path)
    rows = {known: folder.read_samples(path / known) for known in summary["benchmarks"]}
    return Evaluation(name, summary, rows)


def compare(evaluations: Sequence[Evaluation]) -> list[Benchmark]:
    """Every benchmark of the first evaluation, at all moments that have it.

    Args:
      evaluations: At least one, in order.
    """
    return [_compare(name, evaluations) for name in evaluations[0].rows]


def find_ends(names: Sequence[str]) -> tuple[str, str]:
    """The two moments to compare: `before` and `after`, else the first and the last.

    Args:
      names: Of the evaluations, at least one.
    """
    first = BEFORE if BEFORE in names else names[0]
    return first, AFTER if AFTER in names else names[-1]


def choose(verdicts: Sequence[tuple[bool, bool]], count: int) -> list[int]:
    """Places of questions to show: each kind of change in turn, evenly spaced within its kind.

    Args:
      verdicts: Right or wrong at both ends.
      count: At most so many.
    """
    kinds = [(False, True), (False, False), (True, True), (True, False)]
    places = [[i for i, v in enumerate(verdicts) if v == kind] for kind in kinds]
    spread = [[*_spread(found, count)] for found in places]
    in_turn = itertools.chain.from_iterable(itertools.zip_longest(*spread))
    return [i for i in in_turn if i is not None][:count]


def _compare(name: str, evaluations: Sequence[Evaluation]) -> Benchmark:
    having = {item.name: item for item in evaluations if name in item.rows}
    ends = find_ends([*having])
    by_id = {known: {r["id"]: r for r in item.rows[name]} for known, item in having.items()}
    first, last = (by_id[end] for end in ends)
    shared = [row for key, row in last.items() if key in first]
    verdicts = [(_is_right(first[row["id"]]), _is_right(row)) for row in shared]
    samples = _find_samples(name, having[ends[1]].summary["settings"])
    cards = []
    for place in choose(verdicts, CARDS):
        row = shared[place]
        answers = {known: rows[row["id"]] for known, rows in by_id.items() if row["id"] in rows}
        cards.append(Card(row, _pictures(samples.get(row["id"])), answers, _is_right(row)))
    numbers = {known: item.summary["benchmarks"][name] for known, item in having.items()}
    return Benchmark(name, numbers, dict(collections.Counter(verdicts)), ends, cards)


def _is_right(row: Row) -> bool:
    return bool(row["strict"]["correct"])


def _spread(places: list[int], count: int) -> Iterator[int]:
    room = min(count, len(places))
    yield from (places[i * len(places) // room] for i in range(room))


def _find_samples(name: str, settings: Row) -> Mapping[str, benchmark.Sample]:
    """The questions with their images, by id; none where the data is not here any more."""
    data_dir = paths.local(settings["data_dir"]) if settings["data_dir"] else None
    if settings["predictions"]:
        return {}
    try:
        chosen = {item.card.name: item for item in catalog.choose(settings["benchmarks"], data_dir)}
        return {sample.id: sample for sample in catalog.load(chosen[name], data_dir)}
    except errors.UserError:
        return {}


def _pictures(sample: benchmark.Sample | None) -> list[str]:
    """Thumbnails of a question's images; none where a file is not here any more."""
    try:
        return [pages.thumbnail(pictures.shown(part)) for part in sample.media] if sample else []
    except errors.UserError:
        return []
