# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""All numbers of an evaluation: accuracies with both kinds of intervals, and the baselines.

`metrics.py` counts verdicts, which takes no time; what is here beside it takes some seconds for
the largest sets.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lingshu_jax.eval import baselines, benchmark, metrics, stats

Row = Mapping[str, Any]


def of_benchmark(rows: Sequence[Row], samples: Sequence[benchmark.Sample]) -> dict[str, Any]:
    """The content of a benchmark's summary.json.

    Args:
      rows: Of samples.jsonl, at least one.
      samples: Their questions, in the same order.

    Returns:
      What `metrics.summarise` gives, and for the whole, for each answer type and for each stratum:
      how many `clusters` the scored questions form, `compat_clustered_interval` and
      `strict_clustered_interval`, and the accuracies of `baselines`; `letters`, from `baselines`.
    """
    silent = baselines.judge_silent(samples)
    summary = metrics.summarise(rows)
    summary |= _numbers(rows, silent)
    summary["letters"] = baselines.letters(rows)

    def complete(numbers: dict[str, Any], is_in: Callable[[Row], bool]) -> None:
        places = [place for place, row in enumerate(rows) if is_in(row)]
        numbers |= _numbers([rows[i] for i in places], [silent[i] for i in places])

    for kind, numbers in summary["by_answer_type"].items():
        complete(numbers, lambda row, kind=kind: row["answer_type"] == kind)
    for name, parts in summary["by_stratum"].items():
        for value, numbers in parts.items():
            complete(numbers, lambda row, n=name, v=value: row["strata"].get(n) == v)
    return summary


def of_all(summaries: Mapping[str, Row], rows: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
    """The numbers over all benchmarks; those without a verdict do not count.

    Args:
      summaries: From `of_benchmark` by benchmark, at least one.
      rows: Of samples.jsonl by benchmark.

    Returns:
      `macro` (each benchmark counts once) and `micro` (each question once), each with accuracies
      `compat` and `strict`, `compat_clustered_interval` and `strict_clustered_interval`, and the
      accuracies of `baselines`; `scored`, how many benchmarks count. None where nothing is scored.
    """
    totals: dict[str, dict[str, Any]] = {k: {**v} for k, v in metrics.totals(summaries).items()}
    scored = [name for name, s in summaries.items() if s["n"] > s["unscored"]]
    sizes = np.array([summaries[name]["n"] - summaries[name]["unscored"] for name in scored])
    for mode in metrics.MODES:
        parts = [_verdicts(rows[name], mode) for name in scored]
        groups = [_groups(rows[name]) for name in scored]
        for total, interval in (("macro", stats.macro_interval), ("micro", stats.micro_interval)):
            found = list(interval(parts, groups)) if scored else [None, None]
            totals[total][f"{mode}_clustered_interval"] = found
    for name in ("constant_accuracy", "random_accuracy", "no_answer_accuracy"):
        values = np.array([summaries[known][name] for known in scored])
        totals["macro"][name] = float(values.mean()) if scored else None
        totals["micro"][name] = float(values @ sizes / sizes.sum()) if scored else None
    return {**totals, "scored": len(scored)}


def _numbers(rows: Sequence[Row], silent: Sequence[bool | None]) -> dict[str, Any]:
    groups = _groups(rows)
    numbers: dict[str, Any] = {"clusters": len(set(filter(None, groups))) + groups.count("")}
    for mode in metrics.MODES:
        found = stats.clustered_interval(_verdicts(rows, mode), groups) if groups else (None, None)
        numbers[f"{mode}_clustered_interval"] = list(found)
    return {**numbers, **baselines.accuracies(rows, silent)}


def _verdicts(rows: Sequence[Row], mode: str) -> np.ndarray:
    found = (row[mode]["correct"] for row in rows)
    return np.array([correct for correct in found if correct is not None], np.float64)


def _groups(rows: Sequence[Row]) -> list[str]:
    return [row["group"] for row in rows if row["compat"]["correct"] is not None]
