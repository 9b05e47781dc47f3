# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The clustered bootstrap for columns of numbers that are no verdicts.

`eval/stats.py` counts how often each kind of cluster is drawn; where every cluster has its own
numbers there are as many kinds as clusters, and drawing them one by one is faster. Axes: N
questions, C columns, R resamples.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from lingshu_jax.eval import metrics, stats

SEED = 0
_MOST_VALUES = 4_000_000  # that are drawn at a time, 32 MB


def totals(
    columns: Float[np.ndarray, "N C"],
    groups: Sequence[str],
    *,
    resamples: int = stats.RESAMPLES,
    seed: int = SEED,
) -> Float[np.ndarray, "R C"] | None:
    """The sums of all columns in each resample; clusters are drawn whole.

    Args:
      columns: Of each question.
      groups: Of each question; "" is a cluster of its own.
      resamples: How often all clusters are drawn anew.
      seed: Of the draws.

    Returns:
      None where there are fewer than two clusters, of which nothing can be said.

    Source: Field and Welsh, JRSS B 69:369, 2007, the cluster bootstrap.
    """
    clusters = np.stack([stats.cluster(column, groups).sums for column in columns.T], axis=1)
    count = len(clusters)
    if count < 2:
        return None
    rng = np.random.default_rng(seed)
    rows = max(1, _MOST_VALUES // count)
    found = []
    for start in range(0, resamples, rows):
        drawn = [
            np.bincount(rng.integers(count, size=count), minlength=count)
            for _ in range(min(rows, resamples - start))
        ]
        found.append(np.stack(drawn).astype(np.float64) @ clusters)
    return np.concatenate(found)


def means(
    columns: Float[np.ndarray, "N C"], groups: Sequence[str], *, seed: int = SEED
) -> list[metrics.Interval | None]:
    """The 95 % interval of the mean of each column.

    Args:
      columns: Of each question; at least one question.
      groups: Of each question.
      seed: Of the draws.

    Returns:
      Percentiles 2.5 and 97.5, or None where there are fewer than two clusters.
    """
    sizes = np.ones((len(columns), 1))
    drawn = totals(np.concatenate([columns, sizes], axis=1), groups, seed=seed)
    if drawn is None:
        return [None] * columns.shape[1]
    ends = np.percentile(drawn[:, :-1] / drawn[:, -1:], [2.5, 97.5], axis=0)
    return [metrics.Interval(float(low), float(high)) for low, high in ends.T]
