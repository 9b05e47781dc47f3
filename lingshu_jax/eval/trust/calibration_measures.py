# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""How well probabilities fit what is right: pure functions of a confidence and a verdict each.

Axes: N questions, M bins.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from lingshu_jax.eval import metrics
from lingshu_jax.eval.trust import confidence_draws

BINS = 15
COVERAGES = (1.0, 0.9, 0.8, 0.7, 0.5)
CHANCE_DRAWS = 200

Values = Float[np.ndarray, " N"]
Verdicts = Bool[np.ndarray, " N"]
Bins = Int[np.ndarray, " N"]


class Bin(NamedTuple):
    """A row of a reliability table.

    Attributes:
      low: Smallest confidence, left out.
      high: Largest confidence.
      n: Questions; the other two are None where there are none.
      confidence: Their mean confidence.
      accuracy: The share that is right.
    """

    low: float
    high: float
    n: int
    confidence: float | None
    accuracy: float | None


class Intervals(NamedTuple):
    """Of 95 %, None where there are fewer than two clusters.

    Attributes:
      ece: Of `calibration_error` in bins of equal width.
      brier: Of the mean of the first extra column.
      chance_ece: What `calibration_error` would be on average if every confidence were exactly the
        chance to be right: so much of it is noise.
    """

    ece: metrics.Interval | None
    brier: metrics.Interval | None
    chance_ece: float


class Curve(NamedTuple):
    """Answering only the surest questions.

    Attributes:
      coverage: Share of the questions that is answered, 1/N to 1.
      risk: Share of the answered that is wrong. Questions of equal confidence are answered in a
        random order: it is the mean over all orders.
      threshold: Confidence of the last that is answered.
    """

    coverage: Values
    risk: Values
    threshold: Values

    @property
    def area(self) -> float:
        """AURC: the mean risk over all coverages."""
        return float(self.risk.mean())

    def at(self, coverage: float) -> tuple[float, float]:
        """Risk and threshold where this share is answered, rounded up to a question.

        Args:
          coverage: In (0, 1].
        """
        place = math.ceil(round(coverage * len(self.risk), 9)) - 1
        return float(self.risk[place]), float(self.threshold[place])


def equal_width(confidence: Values, bins: int = BINS) -> Bins:
    """The bin of each confidence: bin m of M holds (m / M, (m + 1) / M].

    Args:
      confidence: In (0, 1].
      bins: M.
    """
    return np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence)


def equal_mass(confidence: Values, bins: int = BINS) -> Bins:
    """Bins of about equally many questions; equal confidences stay together.

    Args:
      confidence: In (0, 1].
      bins: At most so many.

    Source: Nixon et al., Measuring Calibration in Deep Learning, arXiv 1904.01685, 2019.
    """
    ranks = np.searchsorted(np.sort(confidence), confidence)
    return ranks * bins // max(1, len(confidence))


def calibration_error(confidence: Values, correct: Verdicts, places: Bins) -> float:
    """ECE: the mean distance of accuracy and confidence over bins, each with its share.

    Args:
      confidence: Of each question, at least one.
      correct: Of each question.
      places: Their bins; `equal_mass` makes it the adaptive one.

    Source: Guo et al., On Calibration of Modern Neural Networks, arXiv 1706.04599, 2017.
    """
    gaps = np.bincount(places, confidence - correct)
    return float(np.abs(gaps).sum()) / len(confidence)


def largest_error(confidence: Values, correct: Verdicts, places: Bins) -> float:
    """MCE: the largest distance of accuracy and confidence in a bin that is not empty.

    Args:
      confidence: Of each question, at least one.
      correct: Of each question.
      places: Their bins.

    Source: As of `calibration_error`.
    """
    sizes = np.bincount(places)
    gaps = np.abs(np.bincount(places, confidence - correct))
    return float((gaps[sizes > 0] / sizes[sizes > 0]).max())


def reliability(confidence: Values, correct: Verdicts) -> list[Bin]:
    """The table behind a reliability diagram, bins of equal width.

    Args:
      confidence: Of each question.
      correct: Of each question.
    """
    places = equal_width(confidence)
    sizes = np.bincount(places, minlength=BINS)
    sums = [np.bincount(places, of, minlength=BINS) for of in (confidence, correct)]
    found = []
    for number, size in enumerate(sizes.tolist()):
        mean, share = (float(of[number]) / size if size else None for of in sums)
        found.append(Bin(number / BINS, (number + 1) / BINS, size, mean, share))
    return found


def risk_coverage(confidence: Values, correct: Verdicts) -> Curve:
    """Risk at every coverage.

    Args:
      confidence: Of each question, at least one.
      correct: Of each question.

    Source: Geifman and El-Yaniv, Selective Classification for Deep Neural Networks, arXiv
      1705.08500, 2017; the area under it: the same with Uziel, arXiv 1805.08206, 2019.
    """
    order = np.argsort(-confidence, kind="stable")
    sure, wrong = confidence[order], 1.0 - correct[order]
    count = np.arange(1, len(sure) + 1)
    totals = np.concatenate([[0.0], np.cumsum(wrong)])
    # Inside a run of equal confidences errors grow evenly, whatever their order.
    first, last = np.searchsorted(-sure, -sure), np.searchsorted(-sure, -sure, side="right")
    slope = (totals[last] - totals[first]) / (last - first)
    errors = totals[first] + slope * (count - first)
    return Curve(count / len(sure), errors / count, sure)


def best_area(correct: Verdicts) -> float:
    """The area of a curve on which everything right comes before everything wrong.

    Args:
      correct: Of each question, at least one.
    """
    return risk_coverage(correct.astype(np.float64), correct).area


def intervals(
    confidence: Values, correct: Verdicts, brier: Values, groups: Sequence[str]
) -> Intervals:
    """How sure ECE and Brier score are, from one bootstrap over clusters.

    A resample of few questions has a larger ECE than what it is drawn from, by about as much as
    that one is larger than the truth. So ECE has the basic interval, which turns the other way; it
    begins at 0 where perfect calibration would show as much in one of twenty such samples.

    Args:
      confidence: Of each question, at least one.
      correct: Of each question.
      brier: Of each question.
      groups: Of each question.

    Source: Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 5.2, the
      basic interval; Bröcker and Smith, Weather and Forecasting 22:651, 2007, draws of verdicts
      under perfect calibration.
    """
    places = equal_width(confidence)
    found = calibration_error(confidence, correct, places)
    by_chance = _chance_errors(confidence, places)
    gaps = np.zeros((len(confidence), BINS))
    gaps[np.arange(len(confidence)), places] = confidence - correct
    columns = np.concatenate([gaps, brier[:, None], np.ones((len(confidence), 1))], axis=1)
    drawn = confidence_draws.totals(columns, groups)
    chance = float(by_chance.mean())
    if drawn is None:
        return Intervals(None, None, chance)
    sizes = drawn[:, -1]
    low, high = np.percentile(np.abs(drawn[:, :BINS]).sum(axis=1) / sizes, [2.5, 97.5])
    ends = [min(1.0, max(0.0, 2 * found - end)) for end in (float(high), float(low))]
    if found <= np.percentile(by_chance, 95):
        ends[0] = 0.0
    ends[1] = max(ends[1], found)
    low, high = np.percentile(drawn[:, BINS] / sizes, [2.5, 97.5])
    return Intervals(metrics.Interval(*ends), metrics.Interval(float(low), float(high)), chance)


def _chance_errors(confidence: Values, places: Bins) -> Float[np.ndarray, " R"]:
    """ECE of verdicts that are drawn with the confidences as chances."""
    rng = np.random.default_rng(confidence_draws.SEED)
    return np.array(
        [
            calibration_error(confidence, rng.random(len(confidence)) < confidence, places)
            for _ in range(CHANCE_DRAWS)
        ]
    )
