# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Which questions are kept: yes/no up to a share, the rest level over modality and form.

1. Of the result, yes/no questions are at most a share, as many with "yes" as with "no" where there
   are enough.
2. What is left of the number asked for is poured over the modalities like water over basins: all
   get the same number, and what a small one cannot hold goes to the others. The same is done
   inside each modality over the forms of answers (for yes/no: over yes and no).
3. Of each cell those with the smallest random numbers are kept. A row's number depends on the seed
   and on its place, so the same input and seed always keep the same rows.

Source: arXiv:2506.07044, section 3.1.4: yes/no near 5 %, then balanced over modality and form. The
paper does not say how it balances; the pouring is ours.
"""

import collections
import fractions
import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

YES_NO = "yes_no"

Key = TypeVar("Key", bound=Hashable)


class Cell(NamedTuple):
    """What questions are balanced over.

    Attributes:
      modality: As `prepare_rows.modality_of` gives it.
      form: The answer type.
      polarity: Of a yes/no question "yes", "no", or another word; else "".
    """

    modality: str
    form: str
    polarity: str = ""


class Choice(NamedTuple):
    """What is kept.

    Attributes:
      kept: Places, ascending.
      reasons: Why the others are not, by their places.
    """

    kept: list[int]
    reasons: dict[int, str]


def pour(sizes: Mapping[Key, int], total: int) -> dict[Key, int]:
    """Divides a number over basins of limited size as evenly as they allow.

    >>> pour({"ct": 10, "mri": 2, "us": 10}, 12)
    {'ct': 5, 'mri': 2, 'us': 5}

    Args:
      sizes: The most that each can hold.
      total: What is divided; what they cannot hold is left over.

    Returns:
      The part of each; parts that are not full differ by 1 at most, larger ones first in the
      order of `sizes`.
    """
    left, level = total, 0
    for number, size in enumerate(sorted(sizes.values())):
        share = left // (len(sizes) - number)
        level = min(size, share)
        if size > share:
            break
        left -= size
    parts = {key: min(size, level) for key, size in sizes.items()}
    spare = min(total, sum(sizes.values())) - sum(parts.values())
    for key in [key for key, size in sizes.items() if size > level][:spare]:
        parts[key] += 1
    return parts


def choose(
    cells: Sequence[Cell], *, total: int, yes_no_share: fractions.Fraction, seed: int
) -> Choice:
    """Chooses among questions.

    Args:
      cells: Of each question, in the order of the input.
      total: How many are kept at most; 0 is no limit.
      yes_no_share: The most of the result that yes/no questions may be, 0 to 1.
      seed: Of the random numbers.
    """
    places: dict[Cell, list[int]] = collections.defaultdict(list)
    for place, cell in enumerate(cells):
        places[cell].append(place)
    others = {cell: len(found) for cell, found in places.items() if cell.form != YES_NO}
    polar = {cell: len(found) for cell, found in places.items() if cell.form == YES_NO}
    number, polar_number = _numbers(
        sum(others.values()), sum(polar.values()), total or len(cells), yes_no_share
    )
    parts = _parts(others, number) | _parts(polar, polar_number)
    # Raw draws: numpy keeps a bit generator's stream for good, but not a permutation.
    draws = np.random.PCG64(np.random.SeedSequence([seed])).random_raw(len(cells))
    kept, reasons = [], {}
    for cell, found in places.items():
        ranked = sorted(found, key=lambda place: (draws[place], place))
        kept += ranked[: parts[cell]]
        reason = _reason(cell, parts[cell], len(found), yes_no_share)
        reasons.update(dict.fromkeys(ranked[parts[cell] :], reason))
    return Choice(sorted(kept), reasons)


def counts(cells: Iterable[Cell]) -> dict[str, dict[str, int]]:
    """Questions by modality and form.

    Args:
      cells: Of the questions.
    """
    found: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for cell in cells:
        found[cell.modality][cell.form] += 1
    return {name: dict(sorted(found[name].items())) for name in sorted(found)}


def _numbers(others: int, polar: int, total: int, share: fractions.Fraction) -> tuple[int, int]:
    """How many questions of other forms, and how many of yes and no."""
    polar = min(polar, math.floor(share * total))
    others = min(others, total - polar)
    if share < 1:
        polar = min(polar, math.floor(others * share / (1 - share)))
    return others, polar


def _parts(sizes: Mapping[Cell, int], total: int) -> dict[Cell, int]:
    """First over the modalities, then inside each."""
    modalities = sorted({cell.modality for cell in sizes})
    inside = {
        name: {cell: sizes[cell] for cell in sorted(sizes) if cell.modality == name}
        for name in modalities
    }
    levels = pour({name: sum(inside[name].values()) for name in modalities}, total)
    return {
        cell: part for name in modalities for cell, part in pour(inside[name], levels[name]).items()
    }


def _reason(cell: Cell, part: int, size: int, share: fractions.Fraction) -> str:
    where = f"{part} of {size} are kept of {cell.modality}, {cell.polarity or cell.form}"
    if cell.form == YES_NO:
        return f"over the share of yes/no questions: at most {float(share):.1%}, {where}"
    return f"over the level of its modality and form: {where}"
