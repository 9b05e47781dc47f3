# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Watches a run for what cheated or broken training looks like, and names it.

Each alarm has one or more bounds on metrics of the step. It is raised when one of its bounds was
broken `patience` steps in a row, and goes down with the first step within them. What is compared
is in the metrics row, so the state is a function of the rows: a continued run gives its rows to
`restore` and goes on as if it had not stopped. Steps that `log_every_steps` leaves out are not
in the rows; patience and baselines then count logged steps alone after a restart.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from lingshu_jax.rl import config_monitors, rollout

FORMED = "monitor/accuracy_of_formed"
FINISHED = "monitor/finished"
REPETITION = "monitor/repetition"
DUPLICATES = "monitor/duplicates"
TOKEN_MEANS = ("entropy", "logprob_gap/mean", "importance/effective_share")
NGRAM = 8  # tokens; a run of so many that comes again is no accident in prose


class Bound(NamedTuple):
    """Where a metric has to stay.

    Attributes:
      alarm: Which alarm it belongs to.
      metric: Which number of the row.
      low: Least value; None for none.
      high: Largest value; None for none.
      is_relative: The values are factors on the baseline.
    """

    alarm: str
    metric: str
    low: float | None = None
    high: float | None = None
    is_relative: bool = False


class Monitors:
    """The alarms of a run.

    Attributes:
      stop_reason: Why the run has to end, in a line; None while it does not.
    """

    def __init__(self, settings: config_monitors.MonitorConfig):
        """Starts with nothing seen.

        Args:
          settings: The bounds.
        """
        self.stop_reason: str | None = None
        self._settings, self._bounds = settings, _bounds(settings)
        self._baselines = {bound.metric: _Baseline() for bound in self._bounds if bound.is_relative}
        self._broken = {bound.alarm: 0 for bound in self._bounds}
        self._wrong: dict[str, str] = {}  # by alarm, what was last wrong
        self._measured: tuple[Sequence[rollout.Group] | None, dict[str, float]] = None, {}

    def observe(
        self,
        step: int,
        groups: Sequence[rollout.Group],
        scalars: Mapping[str, float | None],
    ) -> dict[str, float]:
        """Looks at a step.

        Args:
          step: Which.
          groups: The completions that it learned from, or those of its rollout batch.
          scalars: The metrics of the step; what is missing, None or not finite says nothing.

        Returns:
          More metrics: `monitor/*`, what was measured here, and `alarm/*`, 1 or 0.
        """
        if self._measured[0] is not groups:  # the updates of a rollout batch share them
            self._measured = groups, measure(groups, self._settings)
        measures = self._measured[1]
        before = {name for name in self._broken if self._is_raised(name)}
        self._advance({**scalars, **measures})
        alarms = {name: float(self._is_raised(name)) for name in self._broken}
        for name, is_up in alarms.items():
            reason = f"alarm {name} ({self._wrong.get(name)}, {self._broken[name]} steps in a row)"
            if is_up and name not in before:
                logging.warning("step %d: %s", step, reason)
            if is_up and name in self._settings.stop_on and self.stop_reason is None:
                self.stop_reason = reason
        return {**measures, **{f"alarm/{name}": value for name, value in alarms.items()}}

    def restore(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Takes the state after the given rows.

        Args:
          rows: Of `metrics.jsonl`, in order, up to the step at which the run goes on.
        """
        for row in rows:
            self._advance(row)

    def _is_raised(self, name: str) -> bool:
        return self._broken[name] >= self._settings.patience

    def _advance(self, row: Mapping[str, Any]) -> None:
        values = {bound.metric: _finite(row.get(bound.metric)) for bound in self._bounds}
        if row.get("importance/mean") == 0:  # every completion was left out: means over nothing
            values |= dict.fromkeys(TOKEN_MEANS)
        wrong: dict[str, str] = {}
        judged: set[str] = set()
        for bound in self._bounds:
            value, scale = values[bound.metric], self._scale(bound)
            if value is None or scale is None:
                continue
            judged.add(bound.alarm)
            text = _describe(bound, value, scale)
            if text:
                wrong.setdefault(bound.alarm, text)
        for name in judged:
            self._broken[name] = self._broken[name] + 1 if name in wrong else 0
        for metric, baseline in self._baselines.items():
            baseline.add(values[metric], self._settings.baseline_steps)
        self._wrong |= wrong

    def _scale(self, bound: Bound) -> float | None:
        """What the values of a bound are multiplied with; None while it is not known."""
        if not bound.is_relative:
            return 1.0
        baseline = self._baselines[bound.metric]
        is_known = baseline.count >= self._settings.baseline_steps and baseline.mean > 0
        return baseline.mean if is_known else None


def measure(
    groups: Sequence[rollout.Group], settings: config_monitors.MonitorConfig
) -> dict[str, float]:
    """What the monitors need to know of completions.

    Args:
      groups: At least one.
      settings: What counts as repetition, and from which format reward on form is learned.

    Returns:
      `monitor/repetition`, the share of completions that repeat themselves;
      `monitor/duplicates`, those equal to another of their group, of the most that could be;
      `monitor/finished`, the share that was not cut off; `monitor/accuracy_of_formed`, accuracy
      reward a unit of format reward, where the rewards have both terms and form is learned.
    """
    completions = [completion for group in groups for completion in group.completions]
    distinct = sum(len({c.tokens for c in group.completions}) for group in groups)
    loops = [repeated_share(c.tokens) > settings.repeated_ngrams for c in completions]
    measures = {
        REPETITION: rollout.mean(loops),
        DUPLICATES: (len(completions) - distinct) / max(1, len(completions) - len(groups)),
        FINISHED: rollout.mean(c.finish_reason != "length" for c in completions),
    }
    terms = [reward.terms for group in groups for reward in group.rewards]
    if all({"format", "accuracy"} <= set(found) for found in terms):
        form = rollout.term_mean(groups, "format")
        if form >= settings.min_format and form > 0:
            measures[FORMED] = rollout.term_mean(groups, "accuracy") / form
    return measures


def repeated_share(tokens: Sequence[int]) -> float:
    """Which share of the runs of NGRAM tokens stood in the sequence before; 0 if there are none.

    Args:
      tokens: Ids.
    """
    count = len(tokens) - NGRAM + 1
    if count < 1:
        return 0.0
    ids = np.asarray(tokens, np.int32)
    data, size = ids.tobytes(), ids.itemsize
    runs = {data[at * size : (at + NGRAM) * size] for at in range(count)}
    return 1.0 - len(runs) / count


class _Baseline:
    """The mean of the first values of a metric."""

    def __init__(self) -> None:
        self.count, self.mean = 0, 0.0

    def add(self, value: float | None, most: int) -> None:
        if value is not None and self.count < most:
            self.count += 1
            self.mean += (value - self.mean) / self.count


def _bounds(settings: config_monitors.MonitorConfig) -> list[Bound]:
    factor = settings.length_factor
    shortest = None if factor is None else 1.0 / factor
    every = [
        Bound("format_without_accuracy", FORMED, low=settings.min_accuracy),
        Bound("format_without_accuracy", FORMED, low=settings.min_accuracy_kept, is_relative=True),
        Bound("length_drift", "length/mean", low=shortest, high=factor, is_relative=True),
        Bound("length_drift", FINISHED, low=shortest, is_relative=True),
        Bound("repetition", REPETITION, high=settings.max_repetition),
        Bound("duplicates", DUPLICATES, high=settings.max_duplicates),
        Bound("entropy_collapse", "entropy", low=settings.min_entropy, is_relative=True),
        Bound("entropy_explosion", "entropy", high=settings.max_entropy, is_relative=True),
        Bound("ratio_gap", "logprob_gap/mean", high=settings.max_logprob_gap),
        Bound("ratio_gap", "importance/effective_share", low=settings.min_effective_share),
    ]
    return [bound for bound in every if bound.low is not None or bound.high is not None]


def _describe(bound: Bound, value: float, scale: float) -> str:
    """What is wrong with a value; "" where nothing is."""
    beside = f", baseline {scale:.4g}" if bound.is_relative else ""
    if bound.low is not None and value < bound.low * scale:
        return f"{bound.metric} {value:.4g} is below {bound.low * scale:.4g}{beside}"
    if bound.high is not None and value > bound.high * scale:
        return f"{bound.metric} {value:.4g} is above {bound.high * scale:.4g}{beside}"
    return ""


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
