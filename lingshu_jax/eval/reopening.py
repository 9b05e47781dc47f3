# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Finished evaluations taken up again: their questions are read, their report is written anew."""

import dataclasses
import json
from pathlib import Path

from lingshu_jax.common import errors
from lingshu_jax.eval import benchmark, folder, report, runner


def reopen(output_dir: Path) -> tuple[runner.Settings, dict[str, runner.Loaded]]:
    """The settings and questions of a finished evaluation.

    Args:
      output_dir: Its folder.

    Raises:
      UserError: If it is none or not finished, or its data or prediction file cannot be read any
        more or have changed.
    """
    settings = read_settings(output_dir)
    loaded = runner.load_questions(settings)
    for name, found in loaded.items():
        ids = [row["id"] for row in folder.read_samples(output_dir / name)]
        if ids != [sample.id for sample in found.samples]:
            raise errors.UserError(
                f"{name} holds other questions now than {output_dir} was made with"
            )
    return settings, loaded


def read_settings(output_dir: Path) -> runner.Settings:
    """The settings of a finished evaluation.

    Args:
      output_dir: Its folder.

    Raises:
      UserError: If it is none, or not finished.
    """
    if not folder.is_complete(output_dir):
        raise errors.UserError(f"{output_dir} is no finished evaluation: it has no {folder.COMMIT}")
    made_with = json.loads((output_dir / folder.SETTINGS).read_text(encoding="utf-8"))
    names = {field.name for field in dataclasses.fields(runner.Settings)}
    settings = runner.Settings(**{k: v for k, v in made_with.items() if k in names})
    # A prediction file is recorded with its digest.
    path = settings.predictions.rpartition(" ")[0]
    return dataclasses.replace(settings, predictions=path)


def rewrite(output_dir: Path, loaded: dict[str, runner.Loaded]) -> None:
    """Writes report and leader board of a finished evaluation again, with all its sections.

    Args:
      output_dir: Its folder.
      loaded: From `reopen`, or as it was evaluated.
    """
    summary = folder.read_summary(output_dir)
    samples: dict[str, list[benchmark.Sample]] = {k: list(v.samples) for k, v in loaded.items()}
    with folder.locked(output_dir):
        report.write(
            output_dir,
            summary,
            rows={name: folder.read_samples(output_dir / name) for name in samples},
            samples=samples,
            published={name: found.card.published for name, found in loaded.items()},
        )
