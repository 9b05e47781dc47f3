# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What the three sets of radiology reports share: test.json and a folder of images, as MedEvalKit.

test.json is a list of studies, each with `image` (file names in images/), `findings` and
`impression`. A study where both sections are blank is left out, as in MedEvalKit, and counted in
the log. The reference is `Findings: {findings} Impression: {impression}.` with that last point, and
a blank section stays blank, as there. Scores are metrics of reports, not verdicts.
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lingshu_jax.common import errors
from lingshu_jax.eval import benchmark, files
from lingshu_jax.eval import card as card_lib
from lingshu_jax.eval import question_formats as formats

FILE, IMAGES = "test.json", "images"
SECTIONS = ("findings", "impression")
COLUMNS = ("image", *SECTIONS)
# What must lie in the folder, for the origins of the cards.
LAYOUT = (
    f"put {FILE}, a list of studies with {', '.join(COLUMNS)}, beside the folder {IMAGES}, in which"
    " the files named under `image` lie"
)
# The metrics of the paper's table of reports, in its order.
PUBLISHED = ("ROUGE-L", "CIDEr", "RaTEScore", "SembScore", "1/RadCliQ-v1")
# Folders of MIMIC-CXR and of CheXpert that say whose study it is.
_PATIENT = re.compile(r"(?:^|/)(p\d{8}|patient\d+)(?=/)")


def load(
    card: card_lib.Card, data_dir: Path | None, *, prompt: str, single: bool = False
) -> list[benchmark.Sample]:
    """Reads every study that has a report; ids are MedEvalKit's, study_1, study_2 and so on.

    Args:
      card: Of the benchmark.
      data_dir: As of `files.find`.
      prompt: What is asked of every study.
      single: Whether `image` is one file name instead of a list of them.

    Raises:
      UserError: If a file, a column, a section or an image is not as expected.
    """
    folder = files.find(card, data_dir)
    path = files.only(card, folder, FILE)
    rows = list(files.read_rows(card, path, COLUMNS))
    samples: list[benchmark.Sample] = []
    for number, row in enumerate(rows):
        where = f"{card.name}: {path} row {number}"
        sections = _sections(where, row)
        if not _present(sections):
            continue
        names = _names(where, row["image"], single=single)
        shown = [_image(where, folder / IMAGES, name) for name in names]
        samples.append(
            benchmark.Sample(
                id=f"study_{len(samples) + 1}",
                question=prompt.strip(),
                gold="Findings: {findings} Impression: {impression}.".format(**sections),
                answer_type="report",
                rule="report",
                messages=formats.turn(prompt, shown, numbered=not single),
                group=group(card, names),
                strata={"views": str(len(names)), "sections": _present(sections)},
                fields=sections,
                scoring="report",
            )
        )
    remarks = []
    if skipped := len(rows) - len(samples):
        remarks.append(
            f"{card.name}: {skipped} of {len(rows)} studies have neither findings nor impression"
            " and are left out, as in MedEvalKit"
        )
    return benchmark.Samples(samples, remarks)


def published(*values: float) -> dict[str, float]:
    """A row of the paper's table of reports (arXiv 2506.07044), by metric.

    Args:
      *values: Times 100, in the order of `PUBLISHED`.
    """
    return dict(zip(PUBLISHED, values, strict=True))


def group(card: card_lib.Card, names: Sequence[str]) -> str:
    """A hash that studies of one patient share; "" where the names do not say whose they are.

    Args:
      card: Of the benchmark.
      names: The images of a study.
    """
    match = _PATIENT.search(names[0])
    return hashed(card, match[1]) if match else ""


def hashed(card: card_lib.Card, identifier: str) -> str:
    """What stands for an identifier in every output.

    Args:
      card: Of the benchmark.
      identifier: Of a patient or a study.
    """
    return hashlib.sha256(f"{card.name} {identifier}".encode()).hexdigest()[:16]


def _sections(where: str, row: dict[str, Any]) -> dict[str, str]:
    """The sections of a study; a message does not repeat what they say."""
    found = {name: row[name] for name in SECTIONS}
    for name, text in found.items():
        if not isinstance(text, str):
            raise errors.UserError(f"{where}: {name} must be a text, got {type(text).__name__}")
    return found


def _names(where: str, image: Any, *, single: bool) -> list[str]:
    names = [image] if single else image
    if isinstance(names, list) and names and all(isinstance(n, str) and n for n in names):
        return names
    wanted = "a file name" if single else "a list of file names"
    raise errors.UserError(f"{where}: image must be {wanted}, got {type(image).__name__}")


def _image(where: str, folder: Path, name: str) -> str:
    """The path of an image; a message holds no folder names, which may say whose image it is."""
    path = folder / name
    if path.is_file() and path.resolve().is_relative_to(folder.resolve()):
        return str(path)
    raise errors.UserError(f"{where}: {folder} must hold the image {Path(name).name}, found none")


def _present(sections: dict[str, str]) -> str:
    """Which sections the reference has: "findings, impression", or one of them."""
    return ", ".join(name for name, text in sections.items() if text.strip())
