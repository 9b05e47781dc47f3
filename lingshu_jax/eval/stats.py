# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""How sure an accuracy is, and whether two models differ that answered the same questions.

Questions about one image or one patient are not independent: they form a cluster, and clusters
are drawn and flipped whole. A question whose group is "" is a cluster of its own.
"""

import collections
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.stats

from lingshu_jax.common import errors
from lingshu_jax.eval import metrics

RESAMPLES = 2000
LEVEL, POWER = 0.05, 0.8  # two-sided; of `minimum_detectable`
_MOST_VALUES = 4_000_000  # that are drawn at a time, 32 MB
# What is known of a share and of a difference without any data.
SHARE, DIFFERENCE = metrics.Interval(0.0, 1.0), metrics.Interval(-1.0, 1.0)


class Clusters(NamedTuple):
    """Questions that belong together, as one.

    Attributes:
      sums: Of the values of each cluster's questions, [clusters].
      sizes: Questions of each, [clusters].
    """

    sums: np.ndarray
    sizes: np.ndarray


def cluster(values: np.ndarray, groups: Sequence[str]) -> Clusters:
    """Sums values by group.

    Args:
      values: Of each question, [questions].
      groups: Their groups; "" is a cluster of its own.
    """
    assert len(values) == len(groups), "one group for each question"
    places = {group: place for place, group in enumerate(dict.fromkeys(filter(None, groups)))}
    alone = iter(range(len(places), len(places) + len(groups)))
    index = np.array([places[g] if g else next(alone) for g in groups], np.int64)
    return Clusters(np.bincount(index, np.asarray(values, np.float64)), np.bincount(index))


def clustered_interval(
    correct: np.ndarray, groups: Sequence[str], *, resamples: int = RESAMPLES, seed: int = 0
) -> metrics.Interval:
    """The 95 % interval of an accuracy, by a bootstrap that draws clusters.

    Args:
      correct: Verdict on each question, 0 or 1, [questions].
      groups: Of each question.
      resamples: How often all clusters are drawn anew.
      seed: Of the draws.

    Returns:
      Percentiles 2.5 and 97.5; the whole range where there are fewer than two clusters. Where
      all verdicts are equal it has no width, and Wilson's says more.

    Source: Field and Welsh, JRSS B 69:369, 2007, the cluster bootstrap.
    """
    return _macro([cluster(correct, groups)], SHARE, resamples, seed)


def macro_interval(
    parts: Sequence[np.ndarray],
    groups: Sequence[Sequence[str]],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> metrics.Interval:
    """The same for the mean of the accuracies of several benchmarks, each drawn by itself.

    Args:
      parts: Verdicts of each benchmark, at least one.
      groups: Of their questions.
      resamples: How often they are drawn.
      seed: Of the draws.
    """
    return _macro(_clustered(parts, groups), SHARE, resamples, seed)


def micro_interval(
    parts: Sequence[np.ndarray],
    groups: Sequence[Sequence[str]],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> metrics.Interval:
    """The same for the accuracy over all questions of several benchmarks."""
    return _micro(_clustered(parts, groups), SHARE, resamples, seed)


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


def interval(
    parts: Sequence[np.ndarray],
    groups: Sequence[Sequence[str]] | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> metrics.Interval:
    """The 95 % interval of the mean over benchmarks of the mean change, by a paired bootstrap.

    The questions of each benchmark are drawn anew, each with the answers of both models. It
    covers the choice of the questions alone, not what another training run would give.

    Args:
      parts: `changes` of each benchmark, at least one.
      groups: Of their questions; None takes each as a cluster of its own.
      resamples: How often they are drawn.
      seed: Of the draws.

    Returns:
      Percentiles 2.5 and 97.5; the whole range where a benchmark has fewer than two clusters.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    return _macro(_clustered(parts, groups), DIFFERENCE, resamples, seed)


def pooled_interval(
    parts: Sequence[np.ndarray],
    groups: Sequence[Sequence[str]],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> metrics.Interval:
    """The same for the mean change over all questions of several benchmarks."""
    return _micro(_clustered(parts, groups), DIFFERENCE, resamples, seed)


def mcnemar(changed: np.ndarray) -> float:
    """McNemar's exact two-sided p-value; it takes all questions as independent.

    Args:
      changed: From `changes`.

    Returns:
      In (0, 1]; 1 where no verdict differs.

    Source: McNemar, Psychometrika 12:153, 1947, with the binomial distribution.
    """
    gained, lost = int(np.sum(changed > 0)), int(np.sum(changed < 0))
    if gained + lost == 0:
        return 1.0
    return float(scipy.stats.binomtest(gained, gained + lost, 0.5).pvalue)


def permutation_test(changed: np.ndarray, groups: Sequence[str]) -> float:
    """The exact two-sided p-value of the paired permutation test that swaps whole clusters.

    If the two models are alike, either may have given either set of answers about an image: the
    sign of each cluster's change is a fair coin. The distribution of the total over all 2^clusters
    signs is computed, not drawn: clusters whose changes are equally large add up to a binomial
    variable, and these are few. Without shared groups this is McNemar's test.

    Args:
      changed: From `changes`: whole numbers.
      groups: Of the questions.

    Returns:
      In (0, 1]: how often the total is as far from 0 as it is here; 1 where no verdict differs.

    Source: Fisher, The Design of Experiments, 1935, section 21, on clusters for single pairs.
    """
    totals = cluster(changed, groups).sums
    whole = np.rint(totals).astype(np.int64)
    assert np.array_equal(whole, totals), "changes of verdicts are whole numbers"
    counts = collections.Counter(np.abs(whole[whole != 0]).tolist())
    if not counts:
        return 1.0
    chances = np.ones(1)  # of the sum of all positive changes
    for size, count in counts.most_common():
        chances = _with_signs(chances, size, count)
    distances = np.abs(2 * np.arange(len(chances)) - (len(chances) - 1))
    return min(1.0, float(chances[distances >= abs(int(whole.sum()))].sum()))


def minimum_detectable(changed: np.ndarray, groups: Sequence[str]) -> float | None:
    """The smallest true difference that such a comparison finds four times in five.

    Found means: a two-sided test at 5 % says so. The spread of the changes is taken from the data,
    between clusters.

    Args:
      changed: From `changes`.
      groups: Of the questions.

    Returns:
      As a share, > 0; None where the changes have no spread or form fewer than two clusters.

    Source: Miller, Adding Error Bars to Evals, arXiv 2411.00640, 2024, solved for the difference.
    """
    error = standard_error(changed, groups)
    if not error:
        return None
    return float(scipy.stats.norm.ppf(1 - LEVEL / 2) + scipy.stats.norm.ppf(POWER)) * error


def standard_error(values: np.ndarray, groups: Sequence[str]) -> float | None:
    """The standard error of a mean over questions that come in clusters.

    Args:
      values: Of each question.
      groups: Of the questions.

    Returns:
      None where there are fewer than two clusters.

    Source: Miller, arXiv 2411.00640, 2024, with the factor K / (K - 1) for K clusters that makes it
    the usual standard error where each question is a cluster of its own.
    """
    sums, sizes = cluster(values, groups)
    if len(sums) < 2:
        return None
    mean = sums.sum() / sizes.sum()
    correction = len(sums) / (len(sums) - 1)
    return math.sqrt(correction * float(np.square(sums - mean * sizes).sum())) / float(sizes.sum())


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values: at most 5 % risk that any of the differences found is none.

    Args:
      p_values: One for each comparison.

    Returns:
      In the same order, in [0, 1], none below the one that it was made of.

    Source: Holm, Scandinavian Journal of Statistics 6:65, 1979.
    """
    order = np.argsort(p_values, kind="stable")
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def _with_signs(chances: np.ndarray, size: int, count: int) -> np.ndarray:
    """The distribution of a sum after `count` more changes of one size, each in it or not."""
    added = scipy.stats.binom.pmf(np.arange(count + 1), count, 0.5)
    if len(chances) == 1 and size == 1:
        return added
    found = np.zeros(len(chances) + size * count)
    for number in np.flatnonzero(added):
        found[number * size : number * size + len(chances)] += added[number] * chances
    return found


def _clustered(
    parts: Sequence[np.ndarray], groups: Sequence[Sequence[str]] | None
) -> list[Clusters]:
    if groups is None:
        groups = [[""] * len(part) for part in parts]
    return [cluster(*both) for both in zip(parts, groups, strict=True)]


def _macro(
    parts: Sequence[Clusters], unknown: metrics.Interval, resamples: int, seed: int
) -> metrics.Interval:
    if any(len(part.sums) < 2 for part in parts):
        return unknown
    rng = np.random.default_rng(seed)
    drawn = [_draw(part, resamples, rng) for part in parts]
    return _percentiles(np.mean([sums / sizes for sums, sizes in drawn], axis=0))


def _micro(
    parts: Sequence[Clusters], unknown: metrics.Interval, resamples: int, seed: int
) -> metrics.Interval:
    if any(len(part.sums) < 2 for part in parts):
        return unknown
    rng = np.random.default_rng(seed)
    drawn = [_draw(part, resamples, rng) for part in parts]
    sums, sizes = np.sum(drawn, axis=0)
    return _percentiles(sums / sizes)


def _draw(part: Clusters, resamples: int, rng: np.random.Generator) -> Clusters:
    """Sum and size of each resample.

    Clusters of equal sum and size are one kind: how often each kind is drawn follows a multinomial
    distribution, so that 90,000 questions of two kinds cost two numbers a resample.
    """
    kinds, counts = np.unique(np.stack(part, axis=1), axis=0, return_counts=True)
    chances = counts / counts.sum()
    rows = max(1, _MOST_VALUES // len(kinds))
    found = [
        rng.multinomial(counts.sum(), chances, size=min(rows, resamples - start)) @ kinds
        for start in range(0, resamples, rows)
    ]
    sums, sizes = np.concatenate(found).T
    return Clusters(sums, sizes)


def _percentiles(values: np.ndarray) -> metrics.Interval:
    low, high = np.percentile(values, [2.5, 97.5])
    return metrics.Interval(float(low), float(high))
