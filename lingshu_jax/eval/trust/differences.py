# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""How much a mean differs between two kinds of questions that may share images or patients."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lingshu_jax.eval import metrics, stats

_ROWS_AT_ONCE = 250  # resamples


class Difference(NamedTuple):
    """Two means.

    Attributes:
      first: Of the questions of the first kind; None where there are none.
      second: Of the others.
      difference: First minus second; None where a kind is missing.
      interval: Of the difference, 95 %; the whole range where it is not known.
    """

    first: float | None
    second: float | None
    difference: float | None
    interval: metrics.Interval


def compare(
    values: np.ndarray,
    is_first: np.ndarray,
    groups: Sequence[str],
    *,
    resamples: int = stats.RESAMPLES,
    seed: int = 0,
) -> Difference:
    """The difference with a bootstrap that draws whole clusters, both kinds of each together.

    Args:
      values: Of each question, in [0, 1], [questions].
      is_first: Whether it is of the first kind, [questions].
      groups: What several questions share; "" is a cluster of its own.
      resamples: How often all clusters are drawn anew; draws without one of the kinds are left out.
      seed: Of the draws.

    Source: Field and Welsh, JRSS B 69:369, 2007, the cluster bootstrap.
    """
    values, first = np.asarray(values, np.float64), np.asarray(is_first, bool)
    means = [float(part.mean()) if len(part) else None for part in (values[first], values[~first])]
    if means[0] is None or means[1] is None:
        return Difference(means[0], means[1], None, stats.DIFFERENCE)
    columns = (values * first, first, values * ~first, ~first)
    sums = np.stack([stats.cluster(column, groups).sums for column in columns], axis=1)
    interval = _interval(sums, resamples, np.random.default_rng(seed))
    return Difference(means[0], means[1], means[0] - means[1], interval)


def _interval(sums: np.ndarray, resamples: int, rng: np.random.Generator) -> metrics.Interval:
    """Percentiles over draws of clusters; equal clusters are one kind, drawn by their number."""
    if len(sums) < 2:
        return stats.DIFFERENCE
    kinds, counts = np.unique(sums, axis=0, return_counts=True)
    drawn = np.concatenate(
        [
            rng.multinomial(counts.sum(), counts / counts.sum(), size=size) @ kinds
            for size in _sizes(resamples)
        ]
    )
    drawn = drawn[(drawn[:, 1] > 0) & (drawn[:, 3] > 0)]
    if len(drawn) < 2:
        return stats.DIFFERENCE
    low, high = np.percentile(drawn[:, 0] / drawn[:, 1] - drawn[:, 2] / drawn[:, 3], [2.5, 97.5])
    return metrics.Interval(float(low), float(high))


def _sizes(resamples: int) -> list[int]:
    whole, rest = divmod(resamples, _ROWS_AT_ONCE)
    return [_ROWS_AT_ONCE] * whole + [rest] * bool(rest)
