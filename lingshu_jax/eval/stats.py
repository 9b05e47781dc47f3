# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Whether two models differ: both answered the same questions, and are compared one by one."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.stats

from lingshu_jax.common import errors
from lingshu_jax.eval import metrics

RESAMPLES = 2000
_SEED = 0
_MOST_VALUES = 4_000_000  # that are drawn at a time, 32 MB


def changes(
    rows: Sequence[Mapping[str, Any]], base: Sequence[Mapping[str, Any]], mode: str
) -> np.ndarray:
    """What each answer gained over the base model's answer to the same question.

    Args:
      rows: Of samples.jsonl.
      base: Those of the model that it is compared with.
      mode: "strict" or "compat".

    Returns:
      1 where it alone is right, -1 where the base alone is, else 0, [questions].

    Raises:
      UserError: If they answer different questions.
    """
    if [row["id"] for row in rows] != [row["id"] for row in base]:
        raise errors.UserError("two evaluations that are compared have different questions")
    ours, theirs = (
        np.array([row[mode]["correct"] for row in part], np.float64) for part in (rows, base)
    )
    return ours - theirs


def interval(parts: Sequence[np.ndarray], *, resamples: int = RESAMPLES) -> metrics.Interval:
    """The 95 % interval of the mean over benchmarks of the mean change, by a paired bootstrap.

    The questions of each benchmark are drawn anew, each with the answers of both models. It
    covers the choice of the questions alone, not what another training run would give.

    Args:
      parts: `changes` of each benchmark, at least one.
      resamples: How often they are drawn.

    Returns:
      Percentiles 2.5 and 97.5; the whole range where a benchmark has fewer than two questions.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    if any(len(part) < 2 for part in parts):
        return metrics.Interval(-1.0, 1.0)
    found = scipy.stats.bootstrap(
        parts,
        _mean_of_means,
        n_resamples=resamples,
        batch=max(1, _MOST_VALUES // max(len(part) for part in parts)),
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(_SEED),
    ).confidence_interval
    return metrics.Interval(float(found.low), float(found.high))


def _mean_of_means(*parts: np.ndarray, axis: int) -> np.ndarray:
    return np.mean([part.mean(axis=axis) for part in parts], axis=0)
