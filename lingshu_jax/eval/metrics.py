# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""From scored rows to the numbers of a table."""

import collections
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lingshu_jax.common import answers_choice, answers_open, answers_text
from lingshu_jax.eval import compat

Row = Mapping[str, Any]
FAILURES = tuple(status for status in answers_text.STATUSES if status != "ok")


class Interval(NamedTuple):
    """A confidence interval of a share, both ends in [0, 1]."""

    low: float
    high: float


def wilson(correct: int, total: int, *, z: float = 1.959963984540054) -> Interval:
    """Wilson's score interval of a share.

    Args:
      correct: Successes, 0 to `total`.
      total: Trials; 0 gives the whole range.
      z: Normal quantile; the default is for 95 %.

    Source: Wilson, JASA 22:209, 1927.
    """
    if total == 0:
        return Interval(0.0, 1.0)
    share = correct / total
    denominator = 1 + z * z / total
    centre = (share + z * z / (2 * total)) / denominator
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / denominator
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def constant_baseline(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """What the most frequent gold of each answer type would score on its own rows.

    Returns:
      By answer type: `answer`, `correct`, `n`. Ties take the answer that comes first.
    """
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for row in rows:
        counts[row["answer_type"]][_constant(row)] += 1
    baselines = {}
    for answer_type, counter in sorted(counts.items()):
        answer, correct = counter.most_common(1)[0]
        baselines[answer_type] = {"answer": answer, "correct": correct, "n": counter.total()}
    return baselines


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """The numbers of one benchmark.

    Args:
      rows: Rows of samples.jsonl, at least one.

    Returns:
      `n`; accuracy and 95 % Wilson interval for `compat` and `strict`; how many rows they
      disagree on; one count for every strict status; the constant baseline; MedEvalKit's own
      table; the same numbers by answer type.
    """
    baselines = constant_baseline(rows)
    return {
        **_accuracies(rows),
        "disagreements": sum(r["compat"]["correct"] != r["strict"]["correct"] for r in rows),
        **status_counts(rows),
        "cut_off": sum(r["finish_reason"] == "length" for r in rows),
        "constant_accuracy": sum(b["correct"] for b in baselines.values()) / len(rows),
        "constant": baselines,
        "compat": compat_table(rows),
        "by_answer_type": {
            answer_type: _accuracies([r for r in rows if r["answer_type"] == answer_type])
            for answer_type in baselines
        },
    }


def status_counts(rows: Sequence[Row]) -> dict[str, int]:
    """How often strict scoring ended in each way of failing; all of them, zeros included."""
    counts = collections.Counter(row["strict"]["status"] for row in rows)
    return {status: counts[status] for status in FAILURES}


def compat_table(rows: Sequence[Row]) -> dict[str, dict[str, int | float]]:
    """MedEvalKit's metrics.json: total, and close and open where both kinds may occur.

    Differs: open accuracy is not divided by the number of rows twice, and precision, recall and
    F1 stand under their own names.
    """
    table = {"total metrics": _right(rows)}
    close = [row for row in rows if row["compat"]["kind"] == "close"]
    opened = [row for row in rows if row["compat"]["kind"] == "open"]
    if opened:
        right = _right(opened)
        means = compat.mean_metrics([row["compat"] for row in opened])
        table["open"] = {**right, **means, "em": right["acc"]}
    if close:
        table["close"] = _right(close)
    return table


def totals(summaries: Mapping[str, Row]) -> dict[str, dict[str, float]]:
    """Macro (each benchmark counts once) and micro (each row once) accuracies.

    Args:
      summaries: Results of `summarise` by benchmark, at least one.
    """
    rows = sum(s["n"] for s in summaries.values())
    modes = ("compat", "strict")
    macro = {m: _mean([s[f"{m}_accuracy"] for s in summaries.values()]) for m in modes}
    micro = {m: sum(s[f"{m}_correct"] for s in summaries.values()) / rows for m in modes}
    return {"macro": macro, "micro": micro}


def _accuracies(rows: Sequence[Row]) -> dict[str, Any]:
    numbers: dict[str, Any] = {"n": len(rows)}
    for mode in ("compat", "strict"):
        correct = sum(row[mode]["correct"] for row in rows)
        numbers[f"{mode}_correct"] = correct
        numbers[f"{mode}_accuracy"] = correct / len(rows)
        numbers[f"{mode}_interval"] = list(wilson(correct, len(rows)))
    return numbers


def _right(rows: Sequence[Row]) -> dict[str, int | float]:
    right = sum(row["compat"]["correct"] for row in rows)
    return {"total": len(rows), "right": right, "acc": right / len(rows)}


def _constant(row: Row) -> str:
    """The gold in the form in which equal golds are equal."""
    if row["answer_type"] == "choice":
        return answers_choice.gold_letter(row["gold"], row["options"]) or row["gold"]
    return answers_open.canonical(row["gold"])


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
