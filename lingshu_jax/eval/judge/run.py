# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Judges a finished evaluation; goes on where it was interrupted.

What a judge says is written into `row["judge"]` of samples.jsonl under its name, into the section
`judge`, and into the report. The verdicts of the rules stay as they are.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lingshu_jax.common import errors
from lingshu_jax.data import formats
from lingshu_jax.engines import protocol
from lingshu_jax.eval import benchmark, folder, reopening, sections
from lingshu_jax.eval.judge import calibration, judges, replies, rubric, section
from lingshu_jax.eval.judge import items as items_lib

Row = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Extent:
    """How much is judged; a later run may take more.

    Attributes:
      benchmarks: Their names; empty takes all of the evaluation.
      items: One of `items.ITEMS`.
      share: Of the answers, drawn at random, above 0 and at most 1.
      calibrate: Questions of each kind that calibration asks about a benchmark; 0 is none.
      score_failed: What gets no reply counts as a failure and is not asked again.
    """

    benchmarks: tuple[str, ...] = ()
    items: str = "open"
    share: float = 1.0
    calibrate: int = 0
    score_failed: bool = False

    def validate(self, judge: judges.Judge) -> None:
        """Raises UserError where a value is out of range or the judge's style does not know it.

        Args:
          judge: Who is asked.
        """
        if self.items not in items_lib.ITEMS:
            raise errors.UserError(
                f"--items must be one of {', '.join(items_lib.ITEMS)}, got {self.items!r}"
            )
        if self.items != "open" and judge.style == "medevalkit":
            raise errors.UserError(
                "--items=all needs --style=strict: MedEvalKit decides what its prompt judges"
            )
        if not 0 < self.share <= 1:
            raise errors.UserError(f"--share must be above 0 and at most 1, got {self.share}")
        if self.calibrate < 0:
            raise errors.UserError(f"--calibrate must be >= 0, got {self.calibrate}")


ALL = Extent()


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Work:
    """What is asked about one benchmark."""

    tasks: list[replies.Task]
    known: list[replies.Task]


def run(
    judge: judges.Judge,
    output_dir: Path,
    make_engine: Callable[[], protocol.Generator],
    *,
    extent: Extent = ALL,
) -> dict[str, Any]:
    """Asks what has no verdict yet, and writes what came of it.

    Args:
      judge: Who is asked, and how.
      output_dir: Of a finished evaluation.
      make_engine: Called only if a reply is missing.
      extent: About how much.

    Returns:
      The content of the section.

    Raises:
      UserError: If there is nothing to judge, settings or folder are not usable, or something got
        no reply; the other replies are kept.
    """
    judge.validate()
    extent.validate(judge)
    _, loaded = reopening.reopen(output_dir)
    samples = {name: found.samples for name, found in loaded.items()}
    work = {
        name: found
        for name in _names(extent, list(samples))
        if (found := _work(judge, extent, samples[name], folder.read_samples(output_dir / name)))
    }
    if not work:
        raise errors.UserError(
            f"{output_dir} has no answers that a judge of --style={judge.style} is asked about"
        )
    judges.begin(output_dir, judge)
    clerk = replies.Clerk(make_engine, sampling=judge.sampling, score_failed=extent.score_failed)
    for name, found in work.items():
        clerk.ask(judges.file(output_dir, name, judge.title), found.tasks, name)
        if found.known:
            path = judges.calibration_file(output_dir, name, judge.title)
            clerk.ask(path, found.known, f"{name} calibration")
    if clerk.reasons:
        raise errors.UserError(f"{_describe(clerk.reasons)}; the same command asks again")
    content = _write(judge.title, output_dir, samples, list(work))
    reopening.rewrite(output_dir, loaded)
    return content


def _names(extent: Extent, known: Sequence[str]) -> list[str]:
    """The benchmarks to be judged, in the order of the evaluation."""
    if wrong := [name for name in extent.benchmarks if name not in known]:
        raise errors.UserError(
            f"--benchmarks={wrong[0]} is not in the evaluation, which has {', '.join(known)}"
        )
    return [name for name in known if not extent.benchmarks or name in extent.benchmarks]


def _work(
    judge: judges.Judge,
    extent: Extent,
    samples: Sequence[benchmark.Sample],
    rows: Sequence[Row],
) -> _Work | None:
    """What is asked about a benchmark; None if nothing is."""
    if any(row["scoring"] == "rubric" for row in rows):
        return _rubric_work(judge, extent, samples, rows)
    asked = [row for row in rows if items_lib.is_judged(row, judge.style, extent.items)]
    drawn = items_lib.share_of(asked, extent.share, judge.seed)
    known = []
    if extent.calibrate:
        known = calibration.tasks(rows, drawn, judge.style, count=extent.calibrate, seed=judge.seed)
    tasks = items_lib.tasks(drawn, judge.style)
    return _Work(tasks=tasks, known=known) if tasks or known else None


def _rubric_work(
    judge: judges.Judge,
    extent: Extent,
    samples: Sequence[benchmark.Sample],
    rows: Sequence[Row],
) -> _Work | None:
    if judge.style != "strict":
        return None
    by_id = {sample.id: sample for sample in samples}
    asked = [row for row in rows if rubric.has_criteria(by_id[row["id"]])]
    drawn = items_lib.share_of(asked, extent.share, judge.seed)
    tasks = rubric.tasks([by_id[row["id"]] for row in drawn], drawn)
    return _Work(tasks=tasks, known=[]) if tasks else None


def _write(
    name: str,
    output_dir: Path,
    samples: Mapping[str, Sequence[benchmark.Sample]],
    judged: Sequence[str],
) -> dict[str, Any]:
    """Verdicts into the rows, numbers into the section."""
    with folder.locked(output_dir):
        for found in judged:
            said = section.outcomes(output_dir, found, name, samples[found])
            rows = folder.read_samples(output_dir / found)
            for row in rows:
                others = {k: v for k, v in (row["judge"] or {}).items() if k != name}
                own = {name: said[row["id"]]} if row["id"] in said else {}
                row["judge"] = {**others, **own} or None
            formats.write_jsonl(output_dir / found / "samples.jsonl", rows)
        content = section.run(output_dir, samples)
        sections.write(output_dir, section.NAME, content)
    return content


def _describe(reasons: Mapping[str, Mapping[str, str]]) -> str:
    """What has how many questions without a reply, and why the first has none."""
    said = []
    for title, found in reasons.items():
        key, reason = next(iter(found.items()))
        said.append(f"{title}: {len(found)} without a reply (the first: {key!r}: {reason})")
    return "; ".join(said)
