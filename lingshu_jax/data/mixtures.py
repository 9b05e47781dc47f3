# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Which rows of which source are read, how often and in which order: functions of seeds alone.

Nothing here depends on how many processes or threads read. Rows are held by their places, never
by content: the files are read one row after the other, however many there are.
"""

import dataclasses
import fractions
import hashlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from lingshu_jax.common import errors
from lingshu_jax.data import manifests, sources

Places = Int[np.ndarray, " _"]  # of any length each, several in one signature


class Survey(NamedTuple):
    """One source, read once from end to end.

    Attributes:
      good: Rows that could be read.
      dropped: The others.
      media: Files that the good ones show.
    """

    good: int
    dropped: list[sources.Dropped]
    media: set[str]


class Share(NamedTuple):
    """What a mixture takes of a source.

    Attributes:
      source: The source.
      places: Which of its good rows, ascending.
    """

    source: sources.Source
    places: Places


@dataclasses.dataclass(frozen=True)
class Examples:
    """The chosen rows of all sources, each once, in the order of the files; read anew each time."""

    shares: Sequence[Share]
    root: Path

    def __len__(self) -> int:
        return sum(len(share.places) for share in self.shares)

    def __iter__(self) -> Iterator[sources.Example]:
        for share in self.shares:
            rows = sources.stream(share.source, self.root)
            good = (row for row in rows if isinstance(row, sources.Example))
            wanted = iter(share.places.tolist())
            place = next(wanted, None)
            for number, row in enumerate(good):
                if place is None:
                    break
                if number == place:
                    yield row
                    place = next(wanted, None)


def survey(source: sources.Source, root: Path, *, strict: bool = False) -> Survey:
    """Reads a source and keeps none of its rows.

    Args:
      source: What to read.
      root: Folder that its path starts from.
      strict: Makes the first refused row an error.

    Raises:
      UserError: If it cannot be read, or if a row is refused and `strict` is set.
    """
    found = Survey(0, [], set())
    for row in sources.stream(source, root):
        if isinstance(row, sources.Dropped):
            if strict:
                raise errors.UserError(row.text)
            found.dropped.append(row)
        else:
            found = found._replace(good=found.good + 1)
            found.media.update(manifests.media_of(row))
    return found


def without(every: Sequence[sources.Source], groups: Sequence[str]) -> tuple[sources.Source, ...]:
    """The sources outside some groups.

    Args:
      every: All sources.
      groups: Words of `sources.GROUPS`; each must be the group of a source.

    Raises:
      UserError: If it is of none, or nothing is left.
    """
    known = sorted({source.group for source in every} - {""})
    for group in groups:
        if group not in known:
            raise errors.UserError(
                f"data.without names {group!r}; the sources are of {', '.join(known) or 'no group'}"
            )
    left = tuple(source for source in every if source.group not in groups)
    if not left:
        raise errors.UserError(f"data.without leaves no source: {', '.join(groups)}")
    return left


def present(
    every: Sequence[sources.Source], root: Path, *, skip_absent: bool
) -> tuple[sources.Source, ...]:
    """The sources whose files and folders are there.

    Args:
      every: All sources.
      root: Folder that their paths start from.
      skip_absent: Leaves the others out; without it one of them is an error.

    Raises:
      UserError: Naming everything that is absent, if one source is and none may be, or if all
        are.
    """
    absent = {source.name: sources.absent(source, root) for source in every}
    left = tuple(source for source in every if not absent[source.name])
    places = ", ".join(str(place) for found in absent.values() for place in found)
    if not left:
        raise errors.UserError(
            f"no source of data.sources is there; absent: {places}; --config.data.root is the "
            "folder that they are in"
        )
    if places and not skip_absent:
        raise errors.UserError(
            f"data.sources: {len(every) - len(left)} of {len(every)} are absent: {places}; "
            "--config.data.skip_absent leaves them out"
        )
    return left


def choose(source: sources.Source, count: int, *, fraction: float, seed: int) -> Places:
    """Which of a source's rows are read at all: the first of one shuffle.

    The shuffle does not depend on how many are taken, so a smaller choice is part of a larger.

    Args:
      source: Its name shuffles, its `limit` counts.
      count: Good rows that there are.
      fraction: Of them, or of the limit; at least one row is taken if there is one.
      seed: Of the mixture.

    Returns:
      Places among the good rows, ascending.
    """
    most = min(source.limit or count, count)
    taken = max(round(fraction * most), min(most, 1))
    everything = np.arange(count)
    if taken == count:
        return everything
    return np.sort(shuffled(everything, draws(seed, name=source.name))[:taken])


def copies(source: sources.Source, epochs: int) -> fractions.Fraction:
    """How often each row is read in an epoch of the mixture, on average.

    Args:
      source: Has a weight, or epochs.
      epochs: Of the run; 0 where it is counted in steps.

    Raises:
      UserError: If the source counts epochs and the run does not.
    """
    if not source.epochs:
        return _exact(source.weight)
    if not epochs:
        raise errors.UserError(
            f"source {source.name!r}: epochs need a run that has epochs; give a weight instead"
        )
    return _exact(source.epochs) / epochs


def epoch_members(
    places: Sequence[Places],
    names: Sequence[str],
    amounts: Sequence[fractions.Fraction],
    *,
    epoch: int,
    seed: int,
) -> Places:
    """The rows of an epoch, source by source, not shuffled.

    A source is passed through again and again, each pass in an order of its own, and an epoch
    takes up where the one before ended: two epochs at 0.5 copies read every row once.

    Args:
      places: The rows of each source.
      names: Their names, which shuffle.
      amounts: Copies of each row in an epoch, from `copies`.
      epoch: Which, from 0.
      seed: Of the mixture.

    Returns:
      Their places; a row that is read twice stands twice.
    """
    members = []
    for rows, name, amount in zip(places, names, amounts, strict=True):
        if not len(rows):
            continue
        start, stop = (math.floor((epoch + i) * amount * len(rows)) for i in (0, 1))
        taken = []
        for number in range(start // len(rows), -(-stop // len(rows))):
            first = number * len(rows)
            part = slice(max(start - first, 0), stop - first)
            taken.append(shuffled(rows, draws(seed, number, name=name))[part])
        members.append(np.sort(np.concatenate([rows[:0], *taken])))
    return np.concatenate(members) if members else np.zeros(0, np.int64)


def draws(seed: int, *numbers: int, name: str = "") -> np.random.PCG64:
    """A stream of random bits that nothing else draws from.

    Args:
      seed: Of the mixture.
      numbers: What the stream is for, as the epoch.
      name: And whom, as the source.
    """
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    words = np.frombuffer(digest, np.uint32).tolist() if name else []
    return np.random.PCG64(np.random.SeedSequence([seed, *numbers, *words]))


def shuffled(places: Places, generator: np.random.PCG64) -> Places:
    """The same in another order.

    Args:
      places: Anything.
      generator: Gives one number for each.
    """
    # Raw draws: numpy keeps a bit generator's stream for good, but not a permutation.
    return places[np.argsort(generator.random_raw(len(places)), kind="stable")]


def _exact(amount: float) -> fractions.Fraction:
    """0.1 as a tenth."""
    return fractions.Fraction(amount).limit_denominator(10**6)
