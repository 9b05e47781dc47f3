# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""ROUGE as the package `rouge` 1.0.1 has it, which MedEvalKit calls, to the last digit.

The package recurses once a word and dies of an answer of a thousand words without a point, and it
fills a table with every word of the answer. Here only words of the reference get there; the others
cannot be on a path through it. Sentences end at points, and n-grams and words count once each.
"""

import itertools
from collections.abc import Iterator, Sequence

_EPSILON = 1e-8


def scores(text: str, gold: str) -> tuple[float, float, float] | None:
    """F1 of ROUGE-1, -2 and -L.

    Args:
      text: The answer.
      gold: The reference.

    Returns:
      None where a side is empty or holds points alone; the package raises an exception there.
    """
    said, truth = _sentences(text), _sentences(gold)
    if not said or not truth:
        return None
    said_words, words = list(_words(said)), list(_words(truth))
    common = len(set(said_words) & set(words))
    said_pairs, pairs = set(itertools.pairwise(said_words)), set(itertools.pairwise(words))
    return (
        _f1(common, len(set(said_words)), len(set(words))),
        _f1(len(said_pairs & pairs), len(said_pairs), len(pairs)),
        _f1(_union(said, truth), len(set(said_words)), len(set(words))),
    )


def _sentences(text: str) -> list[str]:
    """What stands between points, with single blanks; of white space alone the empty sentence."""
    return [" ".join(part.split()) for part in text.split(".") if part]


def _words(sentences: Sequence[str]) -> Iterator[str]:
    for sentence in sentences:
        yield from sentence.split(" ")


def _f1(common: int, said: int, truth: int) -> float:
    precision = common / said if said else 0.0
    recall = common / truth if truth else 0.0
    return 2.0 * ((precision * recall) / (precision + recall + _EPSILON))


def _union(said: Sequence[str], truth: Sequence[str]) -> int:
    """How many words lie on a longest common subsequence of two sentences, one of each side."""
    found: set[str] = set()
    for sentence in truth:
        words = sentence.split(" ")
        known = set(words)
        for other in said:
            shared = [word for word in other.split(" ") if word in known]
            if not known.intersection(shared) <= found:
                found.update(_subsequence(words, shared))
    return len(found)


def _subsequence(words: Sequence[str], other: Sequence[str]) -> Iterator[str]:
    """The words of one longest common subsequence, the one that the package picks."""
    table = [[0] * (len(other) + 1)]
    for word in words:
        above, row = table[-1], [0]
        for place, candidate in enumerate(other):
            row.append(above[place] + 1 if word == candidate else max(above[place + 1], row[place]))
        table.append(row)
    i, j = len(words), len(other)
    while i and j:
        if words[i - 1] == other[j - 1]:
            i, j = i - 1, j - 1
            yield words[i]
        elif table[i - 1][j] > table[i][j - 1]:
            i -= 1
        else:
            j -= 1
