# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Two finished evaluations side by side: whether they differ, and by how much at least.

Verdicts are compared question by question, so that only those count on which the two disagree.
Differences are the second minus the first.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lingshu_jax.common import errors, pages
from lingshu_jax.eval import compare_page, folder, metrics, report_viewer, stats

RESULT = "compare.json"
MOST_NAMED = 5  # ids in a remark; compare.json has all
MOST_CARDS = 12  # questions shown of a benchmark for each direction of change
# Settings that name what is compared; where others differ, a remark says so.
_NAMES = (
    *("model", "weights", "files", "base_url", "dialect"),
    *("predictions", "benchmarks", "data_dir"),
)

Row = Mapping[str, Any]


class Side(NamedTuple):
    """One of the two evaluations.

    Attributes:
      summary: Of all its benchmarks.
      settings: What it was made with.
      rows: By benchmark and id.
    """

    summary: dict[str, Any]
    settings: dict[str, Any]
    rows: Mapping[str, Mapping[str, Row]]


class Pairs(NamedTuple):
    """The questions of a benchmark that both have, in the order of the first.

    Attributes:
      first: Its rows.
      second: The other's rows on the same questions.
      only_first: Ids that only the first has.
      only_second: Ids that only the second has.
    """

    first: list[Row]
    second: list[Row]
    only_first: list[str]
    only_second: list[str]


def run(first: Path, second: Path, output_dir: Path) -> dict[str, Any]:
    """Compares two evaluations, writes compare.json, .md and .html, prints a line a benchmark.

    Args:
      first: Folder of a finished evaluation.
      second: Of another one, whose differences to the first are told.
      output_dir: Missing, empty, or with an earlier comparison.

    Returns:
      The content of compare.json, see `compare`.

    Raises:
      UserError: If one is not finished, nothing is in both, or the folder holds something else.
    """
    if output_dir.exists() and not (output_dir / RESULT).is_file():
        if not output_dir.is_dir() or any(output_dir.iterdir()):
            raise errors.UserError(f"--output_dir {output_dir} holds files of something else")
    sides = read(first), read(second)
    result, pairs = compare(*sides)
    output_dir.mkdir(parents=True, exist_ok=True)
    folder.write_text(output_dir / "compare.md", to_markdown(result))
    cards = {name: make_cards(found) for name, found in pairs.items()}
    packed = report_viewer.pack_pairs(
        {name: found.first for name, found in pairs.items()},
        {name: found.second for name, found in pairs.items()},
    )
    folder.write_text(output_dir / "compare.html", compare_page.render(result, cards, packed))
    folder.write_text(output_dir / RESULT, folder.dump(result))
    for line in lines(result):
        print(line)
    return result


def read(path: Path) -> Side:
    """Reads an evaluation.

    Raises:
      UserError: If it is not finished.
    """
    if not folder.is_complete(path):
        raise errors.UserError(f"{path} is no finished evaluation: it has no {folder.COMMIT}")
    summary = folder.read_summary(path)
    settings = json.loads((path / folder.SETTINGS).read_text(encoding="utf-8"))
    rows = {
        name: {row["id"]: row for row in folder.read_samples(path / name)}
        for name in summary["benchmarks"]
    }
    return Side(summary, settings, rows)


def compare(first: Side, second: Side) -> tuple[dict[str, Any], dict[str, Pairs]]:
    """The comparison, and the questions that it was made of.

    Args:
      first: An evaluation.
      second: Another one.

    Returns:
      `first` and `second`, the models; `settings` that differ, as pairs; `remarks`, sentences about
      what is not the same in both; by name of `benchmarks` what `_benchmark` gives; `macro` and
      `micro` over those with verdicts, None without any. Holm's p-values cover, for each mode, the
      permutation tests of all benchmarks.

    Raises:
      UserError: If no benchmark is in both, or one has no question in common.
    """
    names = [name for name in first.rows if name in second.rows]
    if not names:
        here, there = (", ".join(side.rows) for side in (first, second))
        raise errors.UserError(f"nothing to compare: one has {here}, the other {there}")
    pairs = {name: _pair(name, first, second) for name in names}
    benchmarks = {name: _benchmark(found) for name, found in pairs.items()}
    for mode in metrics.MODES:
        tested = [b[mode] for b in benchmarks.values() if b["n"]]
        for numbers, p in zip(
            tested, stats.holm([t["permutation_p"] for t in tested]), strict=True
        ):
            numbers["holm_p"] = p
    differing = {
        name: [first.settings.get(name), second.settings.get(name)]
        for name in dict.fromkeys([*first.settings, *second.settings])
        if first.settings.get(name) != second.settings.get(name) and name != "data"
    }
    return {
        "first": first.summary["model"],
        "second": second.summary["model"],
        "settings": differing,
        "remarks": _remarks(first, second, pairs, differing),
        "benchmarks": benchmarks,
        **_totals(pairs, benchmarks),
    }, pairs


def make_cards(pairs: Pairs) -> dict[str, list[tuple[Row, Row]]]:
    """Questions to show whose strict verdict changed, evenly spaced: `lost` and `gained`."""
    both = list(zip(pairs.first, pairs.second, strict=True))
    flips = {
        "lost": [p for p in both if p[0]["strict"]["correct"] and not p[1]["strict"]["correct"]],
        "gained": [p for p in both if p[1]["strict"]["correct"] and not p[0]["strict"]["correct"]],
    }
    cards = {}
    for name, found in flips.items():
        room = min(MOST_CARDS, len(found))
        cards[name] = [found[i * len(found) // room] for i in range(room)]
    return cards


def to_markdown(result: Mapping[str, Any]) -> str:
    """The comparison as Markdown: a table for each mode, remarks, and what the columns mean.

    Args:
      result: From `compare`.
    """
    lines_ = [f"# {result['second']} against {result['first']}", ""]
    lines_ += [f"* {remark}" for remark in result["remarks"]]
    for mode in metrics.MODES:
        heads = [head for head, _ in compare_page.COLUMNS]
        lines_ += ["", f"## {mode}", "", pages.markdown_row(heads)]
        lines_.append(pages.markdown_row(["---", *["---:"] * (len(heads) - 1)]))
        for name, numbers in compare_page.table(result, mode).items():
            cells = [compare_page.cell(numbers, key) for _, key in compare_page.COLUMNS[1:]]
            lines_.append(pages.markdown_row([name, *cells]))
    return "\n".join([*lines_, "", *(f"* {note}" for note in compare_page.NOTES), ""])


def lines(result: Mapping[str, Any]) -> list[str]:
    """A line for each remark, for each benchmark, and for the mean over several of them.

    Args:
      result: From `compare`.
    """
    found = [f"note: {remark}" for remark in result["remarks"]]
    for name, numbers in result["benchmarks"].items():
        if not numbers["n"]:
            found.append(f"{name}: no verdicts to compare, {numbers['unscored']} rows without one")
            continue
        told = (
            f"{mode} {_told(numbers[mode])}, p {compare_page.p_value(numbers[mode]['holm_p'])},"
            f" {numbers[mode]['gained']} gained, {numbers[mode]['lost']} lost"
            for mode in metrics.MODES
        )
        found.append(f"{name}: {numbers['n']} rows; {'; '.join(told)}")
    if result["macro"] and len(result["benchmarks"]) > 1:
        told = (f"{mode} {_told(result['macro'][mode])}" for mode in metrics.MODES)
        found.append(f"macro: {'; '.join(told)}")
    return found


def _pair(name: str, first: Side, second: Side) -> Pairs:
    ours, theirs = first.rows[name], second.rows[name]
    shared = [key for key in ours if key in theirs]
    if not shared:
        raise errors.UserError(f"{name}: the two evaluations have no question in common")
    return Pairs(
        [ours[key] for key in shared],
        [theirs[key] for key in shared],
        [key for key in ours if key not in theirs],
        [key for key in theirs if key not in ours],
    )


def _scored(pairs: Pairs) -> tuple[list[Row], list[Row], list[str]]:
    """Rows with verdicts on both sides, and their groups."""
    both = [
        (first, second)
        for first, second in zip(pairs.first, pairs.second, strict=True)
        if None not in (first["compat"]["correct"], second["compat"]["correct"])
    ]
    groups = [first.get("group") or second.get("group", "") for first, second in both]
    return [first for first, _ in both], [second for _, second in both], groups


def _benchmark(pairs: Pairs) -> dict[str, Any]:
    """How two evaluations of a benchmark differ.

    Returns:
      `n`, the questions that count, and the `clusters` they form; `unscored` ones; ids in
      `only_first` and `only_second`; for each mode both accuracies, how many verdicts were `gained`
      and `lost`, the `difference` with its 95 % `interval`, `mcnemar_p`, `permutation_p`, room for
      `holm_p`, and the `minimum_detectable` difference; `statuses` as pairs of counts.
    """
    first, second, groups = _scored(pairs)
    counts = [metrics.status_counts(rows) for rows in (pairs.first, pairs.second)]
    return {
        "n": len(first),
        "clusters": len(set(filter(None, groups))) + groups.count(""),
        "unscored": len(pairs.first) - len(first),
        "only_first": pairs.only_first,
        "only_second": pairs.only_second,
        **{mode: _mode(first, second, groups, mode) for mode in metrics.MODES},
        "statuses": {name: [count[name] for count in counts] for name in metrics.FAILURES},
    }


def _mode(
    first: Sequence[Row], second: Sequence[Row], groups: Sequence[str], mode: str
) -> dict[str, Any]:
    changed = stats.changes(second, first, mode)
    gained, lost = int(np.sum(changed > 0)), int(np.sum(changed < 0))
    numbers: dict[str, Any] = {"gained": gained, "lost": lost}
    if not first:
        names = ("first", "second", "difference", "mcnemar_p", "permutation_p", "holm_p")
        unknown = dict.fromkeys((*names, "minimum_detectable"))
        return {**numbers, **unknown, "interval": [None, None]}
    right = sum(row[mode]["correct"] for row in first)
    return {
        **numbers,
        "first": right / len(first),
        "second": (right + gained - lost) / len(first),
        "difference": float(changed.mean()),
        "interval": list(stats.interval([changed], [groups])),
        "mcnemar_p": stats.mcnemar(changed),
        "permutation_p": stats.permutation_test(changed, groups),
        "holm_p": None,
        "minimum_detectable": stats.minimum_detectable(changed, groups),
    }


def _totals(pairs: Mapping[str, Pairs], benchmarks: Mapping[str, Row]) -> dict[str, Any]:
    """Over all benchmarks with verdicts: each counts once, or each question does."""
    names = [name for name in pairs if benchmarks[name]["n"]]
    if not names:
        return {"macro": None, "micro": None}
    totals: dict[str, dict[str, Any]] = {"macro": {}, "micro": {}}
    sizes = np.array([benchmarks[name]["n"] for name in names])
    for mode in metrics.MODES:
        found = [_scored(pairs[name]) for name in names]
        parts = [stats.changes(second, first, mode) for first, second, _ in found]
        groups = [groups for _, _, groups in found]
        intervals = stats.interval(parts, groups), stats.pooled_interval(parts, groups)
        weights = np.full(len(names), 1 / len(names)), sizes / sizes.sum()
        for total, interval, weight in zip(totals.values(), intervals, weights, strict=True):
            values = {
                key: float(weight @ [benchmarks[name][mode][key] for name in names])
                for key in ("first", "second", "difference")
            }
            total[mode] = {**values, "interval": list(interval)}
    return totals


def _remarks(
    first: Side, second: Side, pairs: Mapping[str, Pairs], differing: Mapping[str, Any]
) -> list[str]:
    """What is not the same in both, a sentence each."""
    found = []
    for side, other, which in ((first, second, "first"), (second, first, "second")):
        if alone := [name for name in side.rows if name not in other.rows]:
            found.append(f"only the {which} has {', '.join(alone)}")
    digests = [side.settings.get("data", {}) for side in (first, second)]
    for name, pair in pairs.items():
        ours, theirs = (known.get(name) for known in digests)
        if ours and theirs and ours != theirs:
            found.append(f"{name}: the data differ (digests {ours} and {theirs})")
        asked = ("question", "gold", "options")
        other = [
            one["id"]
            for one, two in zip(pair.first, pair.second, strict=True)
            if any(one[key] != two[key] for key in asked)
        ]
        parts = (
            ("only in the first", pair.only_first),
            ("only in the second", pair.only_second),
            (f"not the same in both, in {', '.join(asked[:-1])} or {asked[-1]}", other),
        )
        found += [f"{name}: {_count(ids)} {what}: {_named(ids)}" for what, ids in parts if ids]
    asked_for = [name for name in differing if name not in _NAMES]
    if asked_for:
        told = (f"{name} {differing[name][0]!r} and {differing[name][1]!r}" for name in asked_for)
        found.append(f"the settings differ: {', '.join(told)}")
    return found


def _count(ids: Sequence[str]) -> str:
    return f"{len(ids)} question{'s are' if len(ids) > 1 else ' is'}"


def _named(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - MOST_NAMED} more" if len(ids) > MOST_NAMED else ""
    return ", ".join(ids[:MOST_NAMED]) + more


def _told(numbers: Row) -> str:
    bounds = compare_page.bounds(numbers["interval"])
    return (
        f"{pages.percent(numbers['first'])} -> {pages.percent(numbers['second'])}"
        f" ({compare_page.points(numbers['difference'])} {bounds})"
    )
