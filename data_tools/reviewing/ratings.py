# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""How far reviewers agree: each two of them (Cohen's kappa), and all (Fleiss' kappa)."""

import collections
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from data_tools.reviewing import decisions, items, verdicts
from lingshu_jax.common import agreement

# A verdict by item and reviewer.
Ratings = Mapping[str, Mapping[str, str]]


def gather(
    data: items.Data, histories: Mapping[str, decisions.History]
) -> dict[str, dict[str, dict[str, str]]]:
    """The verdicts that stand on the items that there are: by task, item and reviewer.

    Args:
      data: All.
      histories: By reviewer.
    """
    found: dict[str, dict[str, dict[str, str]]] = {task: {} for task in items.TASKS}
    for reviewer, history in histories.items():
        for key, given in history.decided.items():
            if key in data.items:
                task = data.items[key].task
                found[task].setdefault(key, {})[reviewer] = given["verdict"]
    return found


def numbers(secret: str, reviewers: Sequence[str]) -> dict[str, int]:
    """Numbers for reviewers, from 1, in an order that says nothing about their names.

    Args:
      secret: Of the folder of decisions.
      reviewers: Keys.
    """
    drawn = sorted(reviewers, key=lambda key: items.draw(bytes.fromhex(secret), key, "number"))
    return {key: place for place, key in enumerate(drawn, start=1)}


def describe(
    ratings: Ratings, names: Mapping[str, int], categories: Sequence[str]
) -> dict[str, Any]:
    """The agreement on one task.

    Args:
      ratings: Of the task.
      names: From `numbers`.
      categories: All verdicts of the task.

    Returns:
      `items` that anybody decided; `pairs` of reviewers, each with `n`, the share on which they
      agree, its 95 % Wilson `interval` and `kappa`; `all`: Fleiss' `kappa` over the `n` items
      that have the most frequent number of `raters`, with the share of agreeing pairs of verdicts,
      and how many were `left_out` as they have another number; None without two reviewers.
    """
    pairs = []
    for first, second in itertools.combinations(sorted(names, key=lambda key: names[key]), 2):
        both = [given for given in ratings.values() if first in given and second in given]
        if both:
            counts = collections.Counter((given[first], given[second]) for given in both)
            table = [[counts[a, b] for b in categories] for a in categories]
            pairs.append({"reviewers": [names[first], names[second]], **_of_table(table)})
    return {"items": len(ratings), "pairs": pairs, "all": _of_all(ratings, categories)}


def _of_table(table: Sequence[Sequence[int]]) -> dict[str, Any]:
    from scipy import stats  # slow to import, and the page starts without it

    total, same = sum(map(sum, table)), sum(row[i] for i, row in enumerate(table))
    interval = stats.binomtest(same, total).proportion_ci(method="wilson")
    return {
        "n": total,
        "agreement": same / total,
        "interval": [float(interval.low), float(interval.high)],
        "kappa": agreement.kappa(table),
    }


def _of_all(ratings: Ratings, categories: Sequence[str]) -> dict[str, Any] | None:
    several = [given for given in ratings.values() if len(given) > 1]
    if not several:
        return None
    sizes = collections.Counter(map(len, several))
    raters = max(sizes, key=lambda size: (sizes[size], size))
    chosen = [[*given.values()] for given in several if len(given) == raters]
    counts = [[given.count(category) for category in categories] for given in chosen]
    same = sum(n * (n - 1) for row in counts for n in row)
    return {
        "raters": raters,
        "n": len(chosen),
        "left_out": len(several) - len(chosen),
        "agreement": same / (len(chosen) * raters * (raters - 1)),
        "kappa": agreement.fleiss_kappa(counts),
    }


def summarise(
    data: items.Data, histories: Mapping[str, decisions.History], secret: str
) -> dict[str, Any]:
    """The agreement by task, with numbers for names.

    Args:
      data: All.
      histories: By reviewer.
      secret: Of the folder of decisions.
    """
    names = numbers(secret, [*histories])
    found = gather(data, histories)
    return {
        task: describe(ratings, names, verdicts.ALLOWED[task])
        for task, ratings in found.items()
        if ratings
    }
