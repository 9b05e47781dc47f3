# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The part of a report that tells what judges said: all of it is read from their files again."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lingshu_jax.eval import benchmark, folder, metrics
from lingshu_jax.eval.judge import (
    agreement,
    calibration,
    items,
    judges,
    replies,
    rubric,
    section_page,
    verdicts,
)

NAME, TITLE, TEMPLATE = "judge", "What a judge model says", section_page.TEMPLATE
BLIND = "No judge saw an image: it compares texts with the standard answer, as in MedEvalKit."
_RULE = {True: "correct", False: "incorrect"}

Row = Mapping[str, Any]
Entries = Mapping[str, replies.Entry]


def run(output_dir: Path, samples: Mapping[str, Sequence[benchmark.Sample]]) -> dict[str, Any]:
    """The content of the section.

    Args:
      output_dir: Of a finished evaluation that has judges.
      samples: The questions of all its benchmarks.

    Returns:
      `settings.judges`: of each. `benchmarks`: by name `n`, the accuracies of the rules,
      `judges` with the numbers of each that was asked about it (see `_of_answers`; HealthBench has
      `rubric` in their place, see `rubric.summarise`), and the `agreement` of each two of them.
      `agreement` and `calibration`: the same over all benchmarks. `usage`: of each judge.
    """
    known = judges.read_all(output_dir)
    found: dict[str, Any] = {}
    for name, questions in samples.items():
        told = _of_benchmark(output_dir, name, questions, known)
        if told["judges"]:
            found[name] = told
    both = [pair for numbers in found.values() for pair in numbers["agreement"]]
    return {
        "settings": {"judges": _shown(known), "targets": {**calibration.LEAST, **calibration.MOST}},
        "remarks": [BLIND, *_remarks(found)],
        "benchmarks": found,
        "agreement": _pooled(both),
        "calibration": _calibration(found, known),
        "usage": _usage(found, known),
    }


def outcomes(
    output_dir: Path, name: str, judge: str, samples: Sequence[benchmark.Sample]
) -> dict[str, str | float]:
    """What stands under a judge's name in the rows of a benchmark, by id.

    Args:
      output_dir: Of the evaluation.
      name: Of the benchmark.
      judge: Its name.
      samples: The questions.

    Returns:
      One of `verdicts.OUTCOMES`, or HealthBench's score of the answer.
    """
    said = _verdicts(replies.read(judges.file(output_dir, name, judge)))
    scored = {
        sample.id: rubric.score(sample, said) for sample in samples if sample.scoring == "rubric"
    }
    found: dict[str, str | float] = {k: v for k, v in scored.items() if v is not None}
    found |= {sample.id: said[sample.id] for sample in samples if sample.id in said}
    return found


def _of_benchmark(
    output_dir: Path,
    name: str,
    samples: Sequence[benchmark.Sample],
    known: Mapping[str, Row],
) -> dict[str, Any]:
    rows = folder.read_samples(output_dir / name)
    told: dict[str, Any] = {}
    given: dict[str, dict[str, str]] = {}
    for judge, settings in known.items():
        entries = replies.read(judges.file(output_dir, name, judge))
        asked = replies.read(judges.calibration_file(output_dir, name, judge))
        if not entries and not asked:
            continue
        said = _verdicts(entries)
        numbers: dict[str, Any] = {"usage": replies.usage([*entries.values(), *asked.values()])}
        if any(sample.scoring == "rubric" for sample in samples):
            numbers["rubric"] = rubric.summarise(samples, said)
        else:
            given[judge] = said
            numbers |= _of_answers(rows, entries, settings["style"])
            numbers["calibration"] = calibration.summarise(_verdicts(asked), said)
        told[judge] = numbers
    summary = metrics.summarise(rows)
    pairs = [
        {"judges": list(pair), **compared}
        for pair in itertools.combinations(given, 2)
        if (compared := agreement.compare(given[pair[0]], given[pair[1]])) is not None
    ]
    accuracies = {f"{mode}_accuracy": summary[f"{mode}_accuracy"] for mode in metrics.MODES}
    return {"n": len(rows), **accuracies, "judges": told, "agreement": pairs}


def _of_answers(rows: Sequence[Row], entries: Entries, style: str) -> dict[str, Any]:
    """The numbers of one judge on one benchmark.

    Returns:
      `asked`, answers that its style is asked about, and how many of these are `covered`; `judged`,
      all that it was asked about; the count of each outcome; how many took more than one try
      (`retried`); how many of the judged each rule finds right (`compat_correct` and
      `strict_correct`). `compat_judged_accuracy` and
      `compat_judged_interval` of a judge in MedEvalKit's style: right is what the judge finds right
      of what it is asked about, and what the rule finds right of all else; a failure is wrong.
      `strict_judged_accuracy` and `strict_judged_interval` of a strict judge: the same with the
      strict rule, which also decides where the judge failed. None of the other style, and while
      answers are not judged. `rule`: the agreement of the strict rule with the judge.
    """
    said = _verdicts(entries)
    judged = [row for row in rows if row["id"] in said]
    asked = [row for row in rows if items.is_judged(row, style)]
    covered = sum(row["id"] in said for row in asked)
    found: dict[str, Any] = {"asked": len(asked), "covered": covered, "judged": len(judged)}
    for outcome in verdicts.OUTCOMES:
        found[outcome] = sum(said[row["id"]] == outcome for row in judged)
    found["retried"] = sum(entry["tries"] > 1 for entry in entries.values())
    for mode in metrics.MODES:
        found[f"{mode}_correct"] = sum(row[mode]["correct"] for row in judged)
        is_its = (mode == "compat") == (style == "medevalkit")
        is_whole = is_its and covered == len(asked)
        found |= _judged(rows, {row["id"] for row in asked}, said, mode, is_whole=is_whole)
    rule = {row["id"]: _RULE[row["strict"]["correct"]] for row in judged}
    found["rule"] = agreement.compare(rule, said)
    return found


def _judged(
    rows: Sequence[Row], asked: set[str], said: Mapping[str, str], mode: str, *, is_whole: bool
) -> dict[str, Any]:
    """Accuracy and interval of a rule with a judge."""
    scored = [row for row in rows if row[mode]["correct"] is not None]
    if not is_whole or not scored:
        return {f"{mode}_judged_accuracy": None, f"{mode}_judged_interval": [None, None]}
    right = 0
    for row in scored:
        outcome = said[row["id"]] if row["id"] in asked else None
        if outcome is None or (outcome == verdicts.FAILED and mode == "strict"):
            right += row[mode]["correct"]
        else:
            right += outcome == "correct"
    return {
        f"{mode}_judged_accuracy": right / len(scored),
        f"{mode}_judged_interval": list(metrics.wilson(right, len(scored))),
    }


def _shown(known: Mapping[str, Row]) -> dict[str, Any]:
    """The judges without the folders of this machine."""
    return {
        name: {**judge, "model": "/".join(Path(judge["model"]).parts[-2:])}
        for name, judge in known.items()
    }


def _verdicts(entries: Entries) -> dict[str, str]:
    return {key: entry["verdict"] for key, entry in entries.items()}


def _pooled(pairs: Sequence[Row]) -> list[dict[str, Any]]:
    """The agreement of each two judges over all benchmarks."""
    by_pair: dict[tuple[str, ...], list[Row]] = {}
    for pair in pairs:
        by_pair.setdefault(tuple(pair["judges"]), []).append(pair)
    return [{"judges": list(pair), **agreement.add(parts)} for pair, parts in by_pair.items()]


def _calibration(found: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """That of each judge over all benchmarks."""
    told = {}
    for judge in known:
        parts = [
            numbers["judges"][judge]["calibration"]
            for numbers in found.values()
            if "calibration" in numbers["judges"].get(judge, {})
        ]
        added = calibration.add(parts)
        if any(added.values()):
            told[judge] = added
    return told


def _usage(found: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """That of each judge over all benchmarks."""
    return {
        judge: replies.add(
            [
                numbers["judges"][judge]["usage"]
                for numbers in found.values()
                if judge in numbers["judges"]
            ]
        )
        for judge in known
    }


def _remarks(found: Mapping[str, Any]) -> list[str]:
    """What is missing."""
    remarks = []
    for name, numbers in found.items():
        for judge, told in numbers["judges"].items():
            if told.get("asked", 0) > told.get("covered", 0):
                remarks.append(
                    f"{judge} judged {told['covered']} of {told['asked']} answers of {name}, so"
                    " there is no accuracy with it"
                )
            if told.get("failed"):
                remarks.append(f"{judge} gave no verdict on {told['failed']} answers of {name}")
    return remarks
