# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Answers of one model to questions asked in several ways: which count, how they differ."""

import collections
import dataclasses
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from lingshu_jax.eval import benchmark, metrics, stats
from lingshu_jax.eval.trust import desk as desk_lib

Row = Mapping[str, Any]

NO_VERDICT = "there is no verdict"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chosen:
    """The questions of a benchmark that a probe asks again.

    Attributes:
      samples: The questions.
      rows: Their rows in the evaluation.
      left_out: How many others there are, by reason.
    """

    samples: list[benchmark.Sample]
    rows: list[Row]
    left_out: dict[str, int]


def choose(desk: desk_lib.Desk, name: str, why_not: Callable[[benchmark.Sample], str]) -> Chosen:
    """The questions that have verdicts and that a probe can change.

    Args:
      desk: The evaluation.
      name: Of the benchmark.
      why_not: The reason to leave a question out; "" keeps it.
    """
    chosen = Chosen(samples=[], rows=[], left_out={})
    counts: collections.Counter[str] = collections.Counter()
    for sample, row in zip(desk.samples(name), desk.rows(name), strict=True):
        reason = why_not(sample) if row["compat"]["correct"] is not None else NO_VERDICT
        if reason:
            counts[reason] += 1
        else:
            chosen.samples.append(sample)
            chosen.rows.append(row)
    chosen.left_out.update(sorted(counts.items()))
    return chosen


def left_out_remarks(found: Mapping[str, Mapping[str, int]]) -> list[str]:
    """A sentence for each reason for which questions of a benchmark are left out.

    Args:
      found: `Chosen.left_out` by benchmark.
    """
    return [
        f"{name}: {count} question{'s are' if count > 1 else ' is'} left out: {reason}"
        for name, reasons in found.items()
        for reason, count in reasons.items()
    ]


def accuracies(rows: Sequence[Row]) -> dict[str, float | None]:
    """The accuracy by mode; None without rows.

    Args:
      rows: With verdicts.
    """
    return {
        mode: sum(row[mode]["correct"] for row in rows) / len(rows) if rows else None
        for mode in metrics.MODES
    }


def spread(values: Sequence[float | None]) -> dict[str, float | None]:
    """Mean, smallest, largest and standard deviation (n - 1) of some accuracies.

    Args:
      values: None, where nothing was asked, does not count.

    Returns:
      None for what is not defined.
    """
    known = [value for value in values if value is not None]
    if not known:
        return dict.fromkeys(("mean", "min", "max", "deviation"))
    return {
        "mean": float(np.mean(known)),
        "min": min(known),
        "max": max(known),
        "deviation": float(np.std(known, ddof=1)) if len(known) > 1 else None,
    }


def share(flags: Sequence[bool], groups: Sequence[str]) -> dict[str, Any]:
    """How many of some questions have a property, with the clustered 95 % interval.

    Args:
      flags: Of each question.
      groups: Of each question.

    Returns:
      `n`, `count`, `share` and `interval`; None for the last two without questions.
    """
    numbers = {"n": len(flags), "count": sum(flags), "share": None, "interval": [None, None]}
    if flags:
        values = np.array(flags, np.float64)
        numbers["share"] = float(values.mean())
        numbers["interval"] = list(stats.clustered_interval(values, groups))
    return numbers


def compare(rows: Sequence[Row], base: Sequence[Row]) -> dict[str, Any]:
    """How much better answers are than those to the same questions asked otherwise.

    Args:
      rows: Of the evaluation.
      base: Of the other way, in the same order.

    Returns:
      `n`, `clusters`; for each mode the accuracies `first` and `second`, their `difference` (first
      minus second) with the 95 % `interval`, `permutation_p`, and how many verdicts `changed`; how
      many answers are the `same_text` and the `same_reading`. None without questions.
    """
    groups = [row["group"] for row in rows]
    numbers: dict[str, Any] = {
        "n": len(rows),
        "clusters": len(set(filter(None, groups))) + groups.count(""),
        "same_text": sum(
            one["response"].strip() == two["response"].strip()
            for one, two in zip(rows, base, strict=True)
        ),
        "same_reading": sum(
            None is not reading(one) == reading(two) for one, two in zip(rows, base, strict=True)
        ),
    }
    ours, theirs = accuracies(rows), accuracies(base)
    for mode in metrics.MODES:
        changed = stats.changes(rows, base, mode)
        numbers[mode] = {
            "first": ours[mode],
            "second": theirs[mode],
            "difference": float(changed.mean()) if rows else None,
            "interval": list(stats.interval([changed], [groups])) if rows else [None, None],
            "permutation_p": stats.permutation_test(changed, groups) if rows else None,
            "changed": int(np.count_nonzero(changed)),
        }
    return numbers


def reading(row: Row) -> Hashable:
    """What strict scoring read in an answer, small letters and capitals alike; None if nothing.

    Args:
      row: Of samples.jsonl.
    """
    strict = row["strict"]
    if strict["status"] != "ok":
        return None
    value = strict["value"]
    return value.strip().casefold() if isinstance(value, str) else value


def letter(row: Row) -> str | None:
    """The letter of the option that strict scoring read; None if there is no valid one.

    Args:
      row: Of a question of a single choice.
    """
    strict = row["strict"]
    return strict["value"] if strict["status"] == "ok" else None
