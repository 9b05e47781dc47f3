# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The tables of an evaluation as files and as lines: a row a benchmark, then macro and micro.

Every table has all columns always, so that a count that is missing can only mean zero.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from lingshu_jax.common import pages
from lingshu_jax.eval import metrics

BASELINES = {
    "constant_accuracy": "constant",
    "random_accuracy": "random",
    "no_answer_accuracy": "no answer",
}
TOTALS = ("macro", "micro")
_ACCURACY = ("accuracy", "low", "high", "clustered_low", "clustered_high")
COLUMNS = (
    *("model", "benchmark", "n", "unscored", "clusters"),
    *(f"{mode}_{name}" for mode in metrics.MODES for name in _ACCURACY),
    *BASELINES,
    "disagreements",
    *(column for status in metrics.FAILURES for column in (status, f"{status}_share")),
    "cut_off",
    "cut_off_share",
)
FAILURES = (*metrics.FAILURES, "cut_off")

Row = Mapping[str, Any]


def make(summary: Row, sections: Mapping[str, Row] | None = None) -> list[dict[str, Any]]:
    """One row a benchmark with the columns COLUMNS; None where a number does not apply.

    Args:
      summary: The content of an evaluation's summary.json.
      sections: Contents of its sections by name. Those of judges and of reports add columns: the
        accuracies with a judge's verdicts, and the metrics of whole reports, empty ones among them.

    Returns:
      The benchmarks; then, where several have verdicts, "macro" and "micro" over them.
    """
    table = [_row(summary["model"], name, s) for name, s in summary["benchmarks"].items()]
    if summary["scored"] < 2:
        return _extended(table, sections or {})
    for name in TOTALS:
        total: dict[str, Any] = {"model": summary["model"], "benchmark": name}
        for mode in metrics.MODES:
            total[f"{mode}_accuracy"] = summary[name][mode]
            total |= _bounds(f"{mode}_clustered", summary[name][f"{mode}_clustered_interval"])
        total |= {baseline: summary[name][baseline] for baseline in BASELINES}
        table.append({column: total.get(column) for column in COLUMNS})
    return _extended(table, sections or {})


def _extended(table: list[dict[str, Any]], sections: Mapping[str, Row]) -> list[dict[str, Any]]:
    """The table with the columns that only some evaluations have."""
    extra: dict[str, dict[str, Any]] = {}
    for name, numbers in sections.get("judge", {}).get("benchmarks", {}).items():
        for judge, found in numbers["judges"].items():
            for mode in metrics.MODES:
                column = f"{mode}_accuracy, judged by {judge}"
                extra.setdefault(column, {})[name] = found.get(f"{mode}_judged_accuracy")
    for name, numbers in sections.get("reports", {}).get("benchmarks", {}).items():
        for metric, value in numbers["scopes"].get("both", {}).get("all", {}).items():
            extra.setdefault(metric, {})[name] = value
    return [
        {**row, **{column: values.get(row["benchmark"]) for column, values in extra.items()}}
        for row in table
    ]


def to_csv(table: Sequence[Row]) -> str:
    """The leader board as CSV with a header; what does not apply is empty.

    Args:
      table: From `make`, at least one row.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()


def to_markdown(table: Sequence[Row], published: Mapping[str, Mapping[str, float]]) -> str:
    """The leader board as a Markdown table; published numbers stand below ours.

    Args:
      table: From `make`.
      published: Accuracy in percent by model, for each benchmark that has some.
    """
    heads = (
        *("model", "benchmark", "n", "unscored", "clusters", *metrics.MODES),
        *BASELINES.values(),
        "differ",
        *(name.replace("_", " ") for name in FAILURES),
        *(name for name in table[0] if name not in COLUMNS),
    )
    lines_ = [
        pages.markdown_row(heads),
        pages.markdown_row(["---"] * 2 + ["---:"] * (len(heads) - 2)),
    ]
    for row in table:
        lines_.append(pages.markdown_row(_cells(row)))
        for model, accuracy in published.get(row["benchmark"], {}).items():
            cells = [f"{model} (published)", row["benchmark"], "", "", "", f"{accuracy:.1f}%"]
            lines_.append(pages.markdown_row(cells + [""] * (len(heads) - len(cells))))
    lines_ += ["", *NOTES]
    return "\n".join(lines_) + "\n"


NOTES = (
    "Brackets hold 95 % intervals: Wilson's, then that of a bootstrap that draws clusters, the"
    " questions about one image or one patient. compat: MedEvalKit's rules; strict: stated answers"
    " only. constant: the most frequent gold of each answer type; random: an option drawn at"
    " random; no answer: what compat gives to empty answers. differ: questions on which compat and"
    " strict disagree. Shares are of all questions, accuracies of those with a verdict.",
)


def lines(name: str, numbers: Row) -> list[str]:
    """What is printed of a benchmark: accuracies and baselines, then how answers failed.

    Args:
      name: Of the benchmark.
      numbers: Its summary.
    """
    row = _row("", name, numbers)
    if numbers["n"] == numbers["unscored"]:
        told = "no verdicts"
    else:
        told = ", ".join(
            [f"{mode} {_accuracy(row, mode)}" for mode in metrics.MODES]
            + [f"{title} {pages.percent(row[key])}" for key, title in BASELINES.items()]
            + [f"{row['disagreements']} differ"]
        )
    failures = [
        f"{row[failure]} {failure.replace('_', ' ')} ({pages.percent(row[f'{failure}_share'])})"
        for failure in FAILURES
    ]
    return [
        f"{name}: {row['n']} rows, {told}",
        f"  {', '.join(failures)}, {row['unscored']} without a verdict",
    ]


def total_lines(summary: Row) -> list[str]:
    """What is printed after the benchmarks: macro and micro where there are several.

    Args:
      summary: The content of an evaluation's summary.json.
    """
    return [
        f"{row['benchmark']}: "
        + ", ".join(
            [f"{mode} {_accuracy(row, mode)}" for mode in metrics.MODES]
            + [f"{title} {pages.percent(row[key])}" for key, title in BASELINES.items()]
        )
        for row in make(summary)
        if row["n"] is None
    ]


def _row(model: str, name: str, numbers: Row) -> dict[str, Any]:
    row = {"model": model, "benchmark": name, **numbers}
    for mode in metrics.MODES:
        row |= _bounds(mode, numbers[f"{mode}_interval"])
        row |= _bounds(f"{mode}_clustered", numbers[f"{mode}_clustered_interval"])
    for failure in FAILURES:
        row[f"{failure}_share"] = numbers[failure] / numbers["n"]
    return {column: row[column] for column in COLUMNS}


def _bounds(name: str, interval: Sequence[float | None]) -> dict[str, float | None]:
    return {f"{name}_{end}": x for end, x in zip(("low", "high"), interval, strict=True)}


def _cells(row: Row) -> list[Any]:
    counts = [row[name] for name in ("n", "unscored", "clusters")]
    accuracies = [_accuracy(row, mode) for mode in metrics.MODES]
    baselines = [pages.percent(row[name]) for name in BASELINES]
    failures = [
        f"{row[name]} ({pages.percent(row[f'{name}_share'])})" if row[name] is not None else None
        for name in FAILURES
    ]
    extra = [pages.number(row[name]) for name in row if name not in COLUMNS]
    cells = [*counts, *accuracies, *baselines, row["disagreements"], *failures, *extra]
    return [row["model"], row["benchmark"], *("" if cell is None else cell for cell in cells)]


def _accuracy(row: Row, mode: str) -> str:
    """An accuracy with both intervals, or with the one that there is."""
    bounds = [(row[f"{mode}_{kind}low"], row[f"{mode}_{kind}high"]) for kind in ("", "clustered_")]
    known = [pages.interval(pair) for pair in bounds if None not in pair]
    return " ".join([pages.percent(row[f"{mode}_accuracy"]), *known])
