# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The option that is most similar to an answer: what difflib finds, with less of its work.

Similarity is `difflib.SequenceMatcher(None, option, answer).ratio()`, to the last digit. difflib
makes an index of the answer for every option, of every character. Here it is made once, of the
characters that occur in an option, and difflib does the matching. An option is skipped where even
all common characters together would not beat the best one so far.
"""

import collections
import difflib
from collections.abc import Sequence
from typing import NamedTuple

_AUTOJUNK_LENGTH = 200  # from here on difflib leaves out characters that are frequent in the answer


class _Matcher(difflib.SequenceMatcher[str]):
    """difflib's, whose index of the second text is made elsewhere."""

    b: str
    b2j: dict[str, list[int]]


class Match(NamedTuple):
    """The place of an option, and its ratio in [0, 1]."""

    place: int
    ratio: float


def most_similar(options: Sequence[str], text: str) -> Match:
    """The first of the options with the highest ratio; where all are 0, the first of all.

    Args:
      options: At least one.
      text: The answer.
    """
    counts = {char: text.count(char) for char in set().union(*options)}
    matcher = _Matcher(None)
    # What `set_seq2` would do, but for characters that no option has.
    matcher.b = text
    matcher.b2j = _places(text, counts)
    best = Match(0, 0.0)
    for place, option in enumerate(options):
        if _bound(option, text, counts) <= best.ratio:
            continue
        matcher.set_seq1(option)
        ratio = matcher.ratio()
        if ratio > best.ratio:
            best = Match(place, ratio)
    return best


def _places(text: str, counts: dict[str, int]) -> dict[str, list[int]]:
    """Where each character stands in the text; frequent ones of a long text are left out."""
    n = len(text)
    most = n // 100 + 1 if n >= _AUTOJUNK_LENGTH else n
    places = {}
    for char, count in counts.items():
        if 0 < count <= most:
            found, start = [], -1
            for _ in range(count):
                start = text.index(char, start + 1)
                found.append(start)
            places[char] = found
    return places


def _bound(option: str, text: str, counts: dict[str, int]) -> float:
    """The ratio if all characters that both have were in order, as difflib's `quick_ratio`."""
    common = sum(min(count, counts[char]) for char, count in collections.Counter(option).items())
    length = len(option) + len(text)
    return 2.0 * common / length if length else 1.0
