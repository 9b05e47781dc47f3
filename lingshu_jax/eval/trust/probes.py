# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The probes of an evaluation: which are asked for, and the sections that they write.

A section that is there is left alone, unless it was made with other settings.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lingshu_jax.common import errors, paths
from lingshu_jax.eval import folder, manifest, sections
from lingshu_jax.eval.report_metrics import section as reports
from lingshu_jax.eval.trust import (
    calibration,
    contamination,
    hallucination,
    image_baselines,
    option_shuffles,
    overconfidence,
    prompt_variants,
)
from lingshu_jax.eval.trust import desk as desk_lib

MADE_WITH = "made_with"  # of a section: what its probe was told


@dataclasses.dataclass(frozen=True, kw_only=True)
class Probes:
    """What is looked at beside the answers; the command line has the same names.

    Attributes:
      image_baselines: The same questions with grey, other and no pictures.
      option_shuffles: So many other orders of the options; 0 is none.
      prompt_variants: So many other wordings of what is asked for; 0 is none.
      calibration: How the probabilities of options fit what is right.
      overconfidence: The same on pictures that show nothing of what is asked.
      hallucination: Table of pictures and findings; "" is none.
      contamination: Fingerprints of training data; "" is none.
      probe_limit: So many questions of a benchmark, drawn; None is all.
      weights_dir: Models of the metrics of reports; "" is none.
      metrics_python: Interpreter of an environment with what these need; "" is this one.
    """

    image_baselines: bool = False
    option_shuffles: int = 0
    prompt_variants: int = 0
    calibration: bool = False
    overconfidence: bool = False
    hallucination: str = ""
    contamination: str = ""
    probe_limit: int | None = None
    weights_dir: str = ""
    metrics_python: str = ""

    def validate(self, *, has_engine: bool) -> None:
        """Raises UserError where a value is out of range or a file is missing.

        Args:
          has_engine: Whether there is a model that can be asked again.
        """
        for name in ("option_shuffles", "prompt_variants"):
            value = getattr(self, name)
            if value < 0:
                raise errors.UserError(f"--{name} must be >= 0, got {value}")
        if self.prompt_variants > prompt_variants.MOST:
            raise errors.UserError(
                f"--prompt_variants must be 0 to {prompt_variants.MOST}, got {self.prompt_variants}"
            )
        if self.probe_limit is not None and self.probe_limit < 1:
            raise errors.UserError(f"--probe_limit must be >= 1, got {self.probe_limit}")
        for name in ("hallucination", "contamination"):
            value = getattr(self, name)
            if value and not paths.fetched(value).is_file():
                raise errors.UserError(f"--{name}: there is no file {value}")
        asking = [name for name in _ASK if getattr(self, name)]
        if asking and not has_engine:
            raise errors.UserError(f"--{asking[0]} asks the model, which --predictions has none of")


NONE = Probes()
_ASK = (
    *("image_baselines", "option_shuffles", "prompt_variants"),
    *("calibration", "overconfidence", "hallucination"),
)


def are_done(probes: Probes, output_dir: Path) -> bool:
    """Whether nothing is left to do, as far as can be told without the questions.

    Args:
      probes: Valid.
      output_dir: Of a finished evaluation.
    """
    return not list(_pending(probes, output_dir))


def run(probes: Probes, desk: desk_lib.Desk) -> list[str]:
    """Runs what is asked for and is not there yet; each section is written when it is whole.

    Args:
      probes: Valid.
      desk: The evaluation.

    Returns:
      The sections that were written now.

    Raises:
      UserError: As of the probes.
    """
    written = []
    for call in _pending(probes, desk.output_dir):
        content = call.run(desk)
        if content is not None:
            remarks = [*_limit_remarks(call), *content.get("remarks", ())]
            found = {MADE_WITH: call.made_with, **content, "remarks": remarks}
            sections.write(desk.output_dir, call.name, found)
            written.append(call.name)
    return written


def missing(probes: Probes, output_dir: Path) -> list[str]:
    """The sections that are asked for and not there.

    Args:
      probes: Valid.
      output_dir: Of a finished evaluation.
    """
    return [call.name for call in _pending(probes, output_dir)]


class _Call(NamedTuple):
    """A section to be made: what it was told, and how it is made."""

    name: str
    made_with: Mapping[str, Any]
    run: Callable[[desk_lib.Desk], dict[str, Any] | None]


def _pending(probes: Probes, output_dir: Path) -> list[_Call]:
    """The sections that are asked for and not there, or there with other settings."""
    found = sections.read(output_dir)
    calls = [*_calls_without_a_model(probes, output_dir, is_first=reports.NAME not in found)]
    calls += [
        call._replace(made_with={**call.made_with, "probe_limit": probes.probe_limit})
        for call in _calls_of_the_model(probes)
    ]
    return [c for c in calls if found.get(c.name, {}).get(MADE_WITH) != c.made_with]


def _calls_without_a_model(probes: Probes, output_dir: Path, *, is_first: bool) -> Iterator[_Call]:
    """The sections that read answers or questions, always all of them."""
    # What was made with models stays where a later command names none.
    if (is_first or probes.weights_dir) and _has_reports(output_dir):
        weights = paths.local(probes.weights_dir) if probes.weights_dir else None
        python = probes.metrics_python
        yield _Call(
            reports.NAME,
            {"weights": _listed(weights)},
            lambda desk: reports.run(desk.whole(), weights_dir=weights, metrics_python=python),
        )
    if probes.contamination:
        prints = paths.fetched(probes.contamination)
        yield _Call(
            contamination.NAME,
            {"manifest": manifest.digest_file(prints)},
            lambda desk: contamination.run(desk.whole(), manifest=prints),
        )


def _calls_of_the_model(probes: Probes) -> Iterator[_Call]:
    """The sections that ask the model, as many questions as `probe_limit` says."""
    if probes.image_baselines:
        yield _Call(image_baselines.NAME, {}, image_baselines.run)
    for module, count in (
        (option_shuffles, probes.option_shuffles),
        (prompt_variants, probes.prompt_variants),
    ):
        if count:
            run_counted = functools.partial(module.run, count=count)
            yield _Call(module.NAME, {"count": count}, run_counted)
    if probes.calibration:
        yield _Call(calibration.NAME, {}, calibration.run)
    if probes.overconfidence:
        yield _Call(overconfidence.NAME, {}, overconfidence.run)
    if probes.hallucination:
        table = paths.fetched(probes.hallucination)
        run_on = functools.partial(hallucination.run, table=table)
        yield _Call(hallucination.NAME, {"table": manifest.digest_file(table)}, run_on)


def _limit_remarks(call: _Call) -> list[str]:
    """A sentence if not all questions were asked; a table of findings says that of its images."""
    limit = call.made_with.get("probe_limit")
    if limit is None or call.name == hallucination.NAME:
        return []
    return [f"At most {limit} questions of each benchmark were asked, drawn with a fixed seed."]


def _has_reports(output_dir: Path) -> bool:
    """Whether there are answers that metrics of reports score."""
    benchmarks = folder.read_summary(output_dir)["benchmarks"]
    return any(
        next(iter(folder.read_samples(output_dir / name)), {}).get("scoring") == "report"
        for name, numbers in benchmarks.items()
        if numbers["unscored"]
    )


def _listed(weights: Path | None) -> list[str]:
    """The names and sizes of a folder's files, so that one that is added is noticed."""
    if weights is None:
        return []
    if not weights.is_dir():
        raise errors.UserError(f"--weights_dir {weights} is not a folder")
    files = sorted(path for path in weights.rglob("*") if path.is_file())
    return [f"{path.relative_to(weights).as_posix()} {path.stat().st_size}" for path in files]
