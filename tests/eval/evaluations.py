# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Finished evaluations of questions made up here, without an engine."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from lingshu_jax.eval import benchmark, folder, overview, report


def yes_no(count: int, *, per_image: int = 1, first: int = 0) -> list[benchmark.Sample]:
    """Questions with the answer yes; so many in a row are about one image."""
    return [
        benchmark.Sample(
            id=f"q{number}",
            question=f"Is it {number}?",
            gold="yes",
            answer_type="yes_no",
            rule="vqa",
            group=f"image {number // per_image}" if per_image > 1 else "",
        )
        for number in range(first, first + count)
    ]


def choices(golds: str, options: Sequence[str] = ("cat", "dog", "cow", "pig")) -> list[Any]:
    """A question of a single choice for each letter, in two strata."""
    return [
        benchmark.Sample(
            id=f"c{number}",
            question="Which?",
            gold=gold,
            answer_type="choice",
            rule="choice",
            options=tuple(options),
            choices=tuple(f"{chr(65 + i)}. {text}" for i, text in enumerate(options)),
            strata={"modality": "CT" if number % 2 else "MR"},
        )
        for number, gold in enumerate(golds)
    ]


def report_sample() -> benchmark.Sample:
    """A question that has no verdict."""
    return benchmark.Sample(
        id="r0",
        question="Write the report.",
        gold="Clear lungs.",
        answer_type="report",
        rule="report",
        scoring="report",
    )


def score(samples: Sequence[benchmark.Sample], said: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of some responses."""
    answers = [benchmark.Answer(text, "stop") for text in said]
    return list(benchmark.score_all(samples, answers))


def summarise(
    samples: Mapping[str, Sequence[benchmark.Sample]],
    rows: Mapping[str, Sequence[dict[str, Any]]],
    **extra: Any,
) -> dict[str, Any]:
    """The content of summary.json."""
    found = {name: overview.of_benchmark(rows[name], samples[name]) for name in samples}
    settings = {"model": "made/up", **extra}
    totals = overview.of_all(found, rows)
    return {"model": settings["model"], "settings": settings, "benchmarks": found, **totals}


def finish(
    out: pathlib.Path,
    samples: Mapping[str, Sequence[benchmark.Sample]],
    said: Mapping[str, Sequence[str]],
    **settings: Any,
) -> pathlib.Path:
    """Writes all files of an evaluation as the runner does, and returns its folder."""
    rows = {name: score(samples[name], said[name]) for name in samples}
    summary = summarise(samples, rows, **settings)
    folder.begin(out, summary["settings"])
    for name, found in rows.items():
        (out / name).mkdir()
        folder.commit_benchmark(out / name, found, summary["benchmarks"][name])
    report.write(out, summary, rows=rows, samples=samples, published={})
    folder.write_text(out / "summary.json", folder.dump(summary))
    folder.write_text(out / folder.COMMIT, f"{len(rows)} benchmarks\n")
    return out
