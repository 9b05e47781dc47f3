# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What `rl.prepare` counted: `manifest.json` and the printed tables."""

import collections
import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lingshu_jax.common import paths
from lingshu_jax.data import manifests, sources
from lingshu_jax.rl import difficulty, prepare_balance, prepare_rows

MANIFEST = "manifest.json"


class Report(NamedTuple):
    """What was done.

    Attributes:
      rows: Of the training file.
      dropped: Rows that are not in it.
      failed: Those of them that could not be asked.
      manifest: All of it in JSON values.
    """

    rows: int
    dropped: int
    failed: int
    manifest: dict[str, Any]


@dataclasses.dataclass
class Tally:
    """What is counted on the way.

    Attributes:
      read: Rows of each source, good and bad.
      steps: What was left after each step.
      media: Files that the good rows of each source show.
      choices: What became of multiple choice.
      instructions: How many were taken out of texts.
      forms: Answer types as they were read.
      candidates: Verifiable questions before any was left out by choice.
      tried: What a model made of them.
      trial: How it was asked, and the reward function's name.
    """

    read: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    steps: list[tuple[str, int]] = dataclasses.field(default_factory=list)
    media: dict[str, set[str]] = dataclasses.field(default_factory=dict)
    choices: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    instructions: int = 0
    forms: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    candidates: list[prepare_rows.Made] = dataclasses.field(default_factory=list)
    tried: Sequence[difficulty.Tried] = ()
    trial: tuple[difficulty.Sampling, str] | None = None

    def see(self, row: sources.Example) -> None:
        """Notes the files of a good row."""
        self.media.setdefault(row.source, set()).update(manifests.media_of(row))

    def count(self, made: prepare_rows.Made) -> None:
        """Counts what became of a row."""
        self.forms[made.form] += 1
        self.instructions += made.instructions
        if made.choice:
            self.choices[made.choice] += 1

    def step(self, name: str, left: int) -> None:
        """Notes how many questions are left."""
        self.steps.append((name, left))


def make(
    tally: Tally,
    inputs: Sequence[sources.Source],
    *,
    kept: Sequence[prepare_rows.Made],
    dropped: Sequence[sources.Dropped],
    settings: Mapping[str, Any],
    train: pathlib.Path,
) -> Report:
    """Puts together what was counted.

    Args:
      tally: Of all steps.
      inputs: What was read.
      kept: The questions of the training file.
      dropped: All other rows.
      settings: In JSON values.
      train: The training file, written.
    """
    of_source = collections.Counter(made.example.source for made in kept)
    entries = [
        manifests.describe(
            source,
            pathlib.Path(),
            tally.media.get(source.name, ()),
            rows=tally.read[source.name],
            examples=of_source[source.name],
        )
        for source in inputs
    ]
    combined = manifests.combine(entries).counted(dropped)
    with train.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    manifest: dict[str, Any] = {
        "settings": settings,
        "sources": combined.sources,
        "sources_sha256": combined.sha256,
        "steps": [{"step": "read", "rows": tally.read.total()}]
        + [{"step": name, "rows": left} for name, left in tally.steps],
        "forms_read": dict(sorted(tally.forms.items())),
        "choices": dict(tally.choices.most_common()),
        "instructions_taken_out": tally.instructions,
        "before": prepare_balance.counts(made.cell for made in tally.candidates),
        "after": prepare_balance.counts(made.cell for made in kept),
        "difficulty": _difficulty(tally),
        "train": {"rows": len(kept), "sha256": digest},
        "dropped": len(dropped),
    }
    failed = sum(bool(one.failure) for one in tally.tried)
    return Report(len(kept), len(dropped), failed, manifest)


def write(report: Report, folder: pathlib.Path) -> None:
    """Writes `manifest.json`.

    Args:
      report: What was done.
      folder: Of the training file.
    """
    with paths.whole_file(folder / MANIFEST) as partial:
        text = json.dumps(report.manifest, indent=1, ensure_ascii=False)
        partial.write_text(text + "\n", encoding="utf-8")


def format_tables(report: Report) -> str:
    """The printed tables: steps, multiple choice, modality and form, reasons, pass rates.

    Args:
      report: What was done.
    """
    manifest = report.manifest
    lines = [_line("step", "rows")]
    lines += [_line(one["step"], str(one["rows"])) for one in manifest["steps"]]
    if manifest["choices"]:
        lines += ["", _line("multiple choice", "rows")]
        lines += [_line(what, str(count)) for what, count in manifest["choices"].items()]
    lines += ["", _line("modality, form", "before", "after")]
    before, after = manifest["before"], manifest["after"]
    for modality, forms in before.items():
        for form, count in forms.items():
            kept = after.get(modality, {}).get(form, 0)
            lines.append(_line(f"{modality}, {form}", str(count), str(kept)))
    reasons: collections.Counter[str] = collections.Counter()
    for source in manifest["sources"]:
        reasons.update(source["dropped"])
    if reasons:
        lines += ["", _line("dropped because", "rows")]
        lines += [_line(what, str(count)) for what, count in reasons.most_common()]
    if manifest["difficulty"]:
        found = manifest["difficulty"]
        lines += ["", _line("right answers", "rows")]
        lines += [_line(what, str(count)) for what, count in found["right"].items()]
        form = found["mean_format"]
        lines.append(_line("mean accuracy", f"{found['mean_accuracy']:.3f}"))
        lines += [] if form is None else [_line("mean format", f"{form:.3f}")]
    return "\n".join(lines) + "\n"


def _line(first: str, *cells: str) -> str:
    return f"{first[:70]:<70}" + "".join(f"{cell:>10}" for cell in cells)


def _difficulty(tally: Tally) -> dict[str, Any] | None:
    """How questions were tried and with what result."""
    if tally.trial is None:
        return None
    sampling, reward = tally.trial
    done = [one for one in tally.tried if not one.failure]
    right = collections.Counter(round(one.accuracy * one.samples) for one in done)
    forms = [one.form for one in done if one.form is not None]
    return {
        **sampling.choice.settings(),
        **{
            name: getattr(sampling, name)
            for name in ("instruction", "samples", "temperature", "max_new_tokens", "seed")
        },
        "reward": reward or "format and accuracy",
        "right": {f"{n} of {sampling.samples}": right[n] for n in range(sampling.samples + 1)},
        "failed": len(tally.tried) - len(done),
        "mean_accuracy": sum(one.accuracy for one in done) / len(done) if done else 0.0,
        "mean_format": sum(forms) / len(forms) if forms else None,
    }
