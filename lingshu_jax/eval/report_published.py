# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The table of our accuracies beside published ones."""

from collections.abc import Mapping, Sequence
from typing import Any

from lingshu_jax.eval import catalog, metrics
from lingshu_jax.eval.judge import items

Row = Mapping[str, Any]
# Accuracies in percent by benchmark.
Numbers = Mapping[str, float | None]


def table(
    summary: Row,
    published: Mapping[str, Mapping[str, float]],
    judged_: Mapping[str, Numbers] | None = None,
) -> dict[str, Any]:
    """Our accuracies and the published ones, in percent.

    Args:
      summary: The content of summary.json.
      published: Accuracy in percent by model, for each benchmark that has some.
      judged_: From `judged`.

    Returns:
      `columns`: the benchmarks that have published numbers, then a mean over each of the paper's
      groups that is here whole; by model in `rows` a number for each column, None where there is
      none, ours first, which are named in `ours`. Empty if nothing is published.
    """
    names = [name for name in summary["benchmarks"] if published.get(name)]
    if not names:
        return {}
    by_model: dict[str, Numbers] = {
        f"{summary['model']}, {mode}": {
            name: _percent(summary["benchmarks"][name][f"{mode}_accuracy"]) for name in names
        }
        for mode in metrics.MODES
    }
    by_model |= judged_ or {}
    ours = list(by_model)
    for model in dict.fromkeys(model for name in names for model in published[name]):
        by_model[model] = {name: published[name].get(model) for name in names}
    groups = _whole_groups(names)
    rows = {
        model: [numbers.get(name) for name in names]
        + [_mean([numbers.get(name) for name in group]) for group in groups.values()]
        for model, numbers in by_model.items()
    }
    means = [f"mean of {len(group)} {family}" for family, group in groups.items()]
    return {"columns": [*names, *means], "rows": rows, "ours": ours}


def judged(
    summary: Row, rows: Mapping[str, Sequence[Row]], section: Row
) -> dict[str, dict[str, float | None]]:
    """Our accuracies with the verdicts of judges; by rules alone where a judge has no part.

    Args:
      summary: The content of summary.json.
      rows: Scored rows by benchmark.
      section: Of the judges; may be empty.

    Returns:
      By the title of a row, accuracies in percent by benchmark; None where answers are not judged
      that should be.
    """
    found: dict[str, dict[str, float | None]] = {}
    for judge, settings in section.get("settings", {}).get("judges", {}).items():
        mode = "compat" if settings["style"] == "medevalkit" else "strict"
        accuracies = found[f"{summary['model']}, {mode}, judged by {judge}"] = {}
        for name, numbers in summary["benchmarks"].items():
            said = section["benchmarks"].get(name, {}).get("judges", {}).get(judge)
            if said is not None:
                accuracies[name] = _percent(said.get(f"{mode}_judged_accuracy"))
            elif not any(items.is_judged(row, settings["style"]) for row in rows[name]):
                accuracies[name] = _percent(numbers[f"{mode}_accuracy"])
    return found


def _whole_groups(names: Sequence[str]) -> dict[str, list[str]]:
    """The paper's groups of benchmarks with published accuracies, of which `names` has all."""
    groups: dict[str, list[str]] = {}
    for item in catalog.members("paper"):
        if item.card.published:
            groups.setdefault(item.card.family, []).append(item.card.name)
    return {family: group for family, group in groups.items() if set(group) <= set(names)}


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None
