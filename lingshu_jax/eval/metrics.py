# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""From scored rows to the numbers of a table."""

import collections
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from lingshu_jax.common import answers_choice, answers_open, answers_text
from lingshu_jax.eval import compat, compat_reasons

Row = Mapping[str, Any]
FAILURES = tuple(status for status in answers_text.STATUSES if status != "ok")
MODES = ("compat", "strict")
_PARTS = ("close", "single_choice", "multiple_choice")  # of metrics.json, counts alone


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

    Args:
      rows: Of samples.jsonl; those without a verdict do not count.

    Returns:
      By answer type: `answer`, `correct`, `n`. Ties take the answer that comes first; a type
      without a verdict has the answer "" and zeros.
    """
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for row in _scored(rows):
        counts[row["answer_type"]][_constant(row)] += 1
    baselines = {}
    for answer_type in sorted({row["answer_type"] for row in rows}):
        counter = counts[answer_type]
        answer, correct = counter.most_common(1)[0] if counter else ("", 0)
        baselines[answer_type] = {"answer": answer, "correct": correct, "n": counter.total()}
    return baselines


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """The numbers of one benchmark.

    Args:
      rows: Rows of samples.jsonl, at least one.

    Returns:
      `n`, and how many of them are `unscored`, which no accuracy covers; accuracy and 95 % Wilson
      interval for `compat` and `strict`, None where nothing is scored; on how many rows they
      disagree and for which `reasons`; one count for every strict status; how many letters compat
      `guessed` by chance, how many of these were right, and its accuracy with all of them wrong;
      how many open answers have `no_rouge`; the mean `jaccard` of sets of letters, None without
      any; the constant baseline; MedEvalKit's own table; the accuracies by answer type, and by
      each name of `strata`.
    """
    baselines = constant_baseline(rows)
    scored = _scored(rows)
    constant = sum(b["correct"] for b in baselines.values())
    return {
        **_accuracies(rows),
        "disagreements": sum(r["compat"]["correct"] != r["strict"]["correct"] for r in scored),
        "reasons": reason_counts(rows),
        **status_counts(rows),
        "cut_off": sum(r["finish_reason"] == "length" for r in rows),
        **_guesses(scored),
        "no_rouge": sum(r["compat"].get("no_rouge", False) for r in scored),
        "jaccard": _jaccard(scored),
        "constant_accuracy": constant / len(scored) if scored else None,
        "constant": baselines,
        "compat": compat_table(rows),
        "by_answer_type": _by(rows, lambda row: row["answer_type"]),
        "by_stratum": _by_stratum(rows),
    }


def reason_counts(rows: Sequence[Row]) -> dict[str, int]:
    """How often compat and strict differ for each reason that occurs."""
    counts = collections.Counter(row.get("reason", "") for row in rows)
    return {name: counts[name] for name in compat_reasons.REASONS if counts[name]}


def status_counts(rows: Sequence[Row]) -> dict[str, int]:
    """How often strict scoring ended in each way of failing; all of them, zeros included."""
    counts = collections.Counter(row["strict"]["status"] for row in rows)
    return {status: counts[status] for status in FAILURES}


def compat_table(rows: Sequence[Row]) -> dict[str, dict[str, int | float]]:
    """MedEvalKit's metrics.json: total, and each part where several kinds of answers may occur.

    Args:
      rows: Of samples.jsonl; those without a verdict do not count.

    Returns:
      `total metrics`, and `open`, `close`, `single_choice` and `multiple_choice` where there are
      such rows; empty without verdicts. Differs: open accuracy is not divided by the number of
      rows twice, and precision, recall and F1 stand under their own names.
    """
    rows = _scored(rows)
    if not rows:
        return {}
    table = {"total metrics": _right(rows)}
    by_kind: dict[str, list[Row]] = collections.defaultdict(list)
    for row in rows:
        by_kind[row["compat"]["kind"]].append(row)
    if opened := by_kind["open"]:
        right = _right(opened)
        means = compat.mean_metrics([row["compat"] for row in opened])
        table["open"] = {**right, **means, "em": right["acc"]}
    return table | {kind: _right(by_kind[kind]) for kind in _PARTS if by_kind[kind]}


def totals(summaries: Mapping[str, Row]) -> Mapping[str, Mapping[str, float | None]]:
    """Macro (each benchmark counts once) and micro (each row once) accuracies.

    Args:
      summaries: Results of `summarise` by benchmark; those without a verdict do not count.

    Returns:
      `macro` and `micro`, each with `compat` and `strict`; None where nothing is scored.
    """
    scored = [s for s in summaries.values() if s["n"] > s["unscored"]]
    if not scored:
        return {name: dict.fromkeys(MODES) for name in ("macro", "micro")}
    rows = sum(s["n"] - s["unscored"] for s in scored)
    macro = {m: _mean([s[f"{m}_accuracy"] for s in scored]) for m in MODES}
    micro = {m: sum(s[f"{m}_correct"] for s in scored) / rows for m in MODES}
    return {"macro": macro, "micro": micro}


def _scored(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["compat"]["correct"] is not None]


def _accuracies(rows: Sequence[Row]) -> dict[str, Any]:
    scored = _scored(rows)
    numbers: dict[str, Any] = {"n": len(rows), "unscored": len(rows) - len(scored)}
    for mode in MODES:
        correct = sum(row[mode]["correct"] for row in scored)
        numbers[f"{mode}_correct"] = correct
        numbers[f"{mode}_accuracy"] = correct / len(scored) if scored else None
        interval = list(wilson(correct, len(scored))) if scored else [None, None]
        numbers[f"{mode}_interval"] = interval
    return numbers


def _by(rows: Sequence[Row], value_of: Callable[[Row], str]) -> dict[str, dict[str, Any]]:
    """Accuracies of the rows of each value, in the order of the values."""
    parts: dict[str, list[Row]] = collections.defaultdict(list)
    for row in rows:
        parts[value_of(row)].append(row)
    return {value: _accuracies(parts[value]) for value in sorted(parts)}


def _by_stratum(rows: Sequence[Row]) -> dict[str, dict[str, dict[str, Any]]]:
    """Accuracies by name and value of the strata; a row without one is in none of its values."""
    names = dict.fromkeys(name for row in rows for name in row.get("strata", {}))
    return {
        name: _by(
            [row for row in rows if name in row.get("strata", {})],
            lambda row, name=name: row["strata"][name],
        )
        for name in names
    }


def _guesses(rows: Sequence[Row]) -> dict[str, Any]:
    """MMMU's letters drawn by chance: how many, how many right, accuracy with them wrong."""
    guessed = [row for row in rows if row["compat"].get("guessed")]
    lucky = sum(row["compat"]["correct"] for row in guessed)
    correct = sum(row["compat"]["correct"] for row in rows)
    return {
        "guessed": len(guessed),
        "guessed_correct": lucky,
        "compat_accuracy_guesses_wrong": (correct - lucky) / len(rows) if rows else None,
    }


def _jaccard(rows: Sequence[Row]) -> float | None:
    found = [row["strict"]["jaccard"] for row in rows if "jaccard" in row["strict"]]
    return _mean(found) if found else None


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
