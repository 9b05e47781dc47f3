# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""From answers on disk to scored rows, tables and the markers that say that all is there.

Of several processes that find the last answer at once, one scores and the others find it done.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lingshu_jax.eval import answering, benchmark, folder, manifest, overview, report


def score(output_dir: Path, name: str, samples: Sequence[benchmark.Sample]) -> bool:
    """Scores a benchmark and commits it, if it is not and all its answers are there.

    Args:
      output_dir: Of the evaluation.
      name: Of the benchmark.
      samples: All of it.

    Returns:
      Whether it is complete now.
    """
    path = output_dir / name
    if folder.is_complete(path):
        return True
    with folder.locked(output_dir):
        if folder.is_complete(path):
            return True
        given = folder.read_generations(path)
        if any(sample.id not in given.answers for sample in samples):
            return False
        answers = [given.answers[sample.id] for sample in samples]
        rows = list(benchmark.score_all(samples, answers))
        summary = {**overview.of_benchmark(rows, samples), "usage": answering.total(given)}
        folder.commit_benchmark(path, rows, summary)
        return True


def commit(
    output_dir: Path,
    samples: Mapping[str, Sequence[benchmark.Sample]],
    *,
    head: Mapping[str, Any],
    facts: Mapping[str, Any],
    published: Mapping[str, Mapping[str, float]],
    remarks: Sequence[str],
) -> dict[str, Any]:
    """Writes the files that cover all benchmarks, then the marker; `folder.locked` is the caller's.

    Args:
      output_dir: Of the evaluation.
      samples: Questions by benchmark; all are complete.
      head: `model` and `settings` of the summary.
      facts: Of the manifest.
      published: Accuracy in percent by model, for each benchmark that has some.
      remarks: Sentences on the data.

    Returns:
      The content of summary.json.
    """
    summaries = {name: folder.read_summary(output_dir / name) for name in samples}
    usages = [found["usage"] for found in summaries.values() if "usage" in found]
    rows = {name: folder.read_samples(output_dir / name) for name in samples}
    summary = {
        **head,
        "benchmarks": summaries,
        **overview.of_all(summaries, rows),
        "usage": answering.add(usages) if usages else None,
        "remarks": [*remarks, *_failed(rows)],
    }
    shown = {
        name: [_shown(*pair) for pair in zip(found, rows[name], strict=True)]
        for name, found in samples.items()
    }
    report.write(output_dir, summary, rows=rows, samples=shown, published=published)
    manifest.finish(output_dir, facts)
    folder.write_text(output_dir / "summary.json", folder.dump(summary))
    folder.write_text(output_dir / folder.COMMIT, f"{len(samples)} benchmarks\n")
    return summary


def _failed(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """Sentences on questions that got no answer and are scored all the same."""
    remarks = []
    for name, found in rows.items():
        ids = [row["id"] for row in found if row["finish_reason"] == answering.FAILED]
        if ids:
            more = ", ..." if len(ids) > answering.SHOWN else ""
            listed = ", ".join(ids[: answering.SHOWN]) + more
            remarks.append(f"{name}: {len(ids)} without an answer are scored as empty: {listed}")
    return remarks


def _shown(sample: benchmark.Sample, row: Mapping[str, Any]) -> benchmark.Sample:
    """A question as the report shows it: without pictures that may not be readable."""
    is_failed = row["finish_reason"] == answering.FAILED
    return dataclasses.replace(sample, messages=()) if is_failed else sample
