# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Tables of images and the findings that they show, CSV or JSONL.

Three layouts, known by their columns; paths start from the table's folder:

* ours: `image`, and `findings` that are present, a JSON list or a text parted by | or ;. What any
  row names and this one does not is absent. May have `uncertain` (findings that are not asked
  about), `view`, `modality`, and `group` (the patient).
* NIH ChestX-ray14's Data_Entry_2017.csv: `Image Index`, `Finding Labels`, `Patient ID`.
* One column a finding, as of CheXpert and of labellers that follow it, beside a column with the
  image: 1 is present, 0 is absent, -1 is uncertain and not asked. A blank says that the report did
  not speak of it: absent where "No Finding" is 1, though not devices; elsewhere not asked.
"""

import csv
import functools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lingshu_jax.common import errors
from lingshu_jax.data import formats

NOTHING = ("", "no finding", "no findings", "normal", "none")
DEVICES = "support devices"
# Columns of one finding each. CheXpert: Irvin et al., arXiv 1901.07031, table 1. ChestX-ray14:
# Wang et al., arXiv 1705.02315, and the six that were added to it; NCBI's NegBio has the same.
COLUMNS = (
    *("atelectasis", "cardiomegaly", "consolidation", "edema", "enlarged cardiomediastinum"),
    *("fracture", "lung lesion", "lung opacity", "pleural effusion", "pleural other", "pneumonia"),
    *("pneumothorax", DEVICES, "effusion", "emphysema", "fibrosis", "hernia", "infiltration"),
    *("mass", "nodule", "pleural thickening"),
)
IMAGE_COLUMNS = ("image", "Path", "path", "Image Index", "filename", "file")
GROUP_COLUMNS = ("group", "Patient ID", "PatientID", "patient_id", "subject_id")
STRATA_COLUMNS = {
    "view": ("view", "View Position", "Frontal/Lateral", "projection"),
    "modality": ("modality",),
}
_NEEDED = {
    "findings": {"image", "findings"},
    "nih": {"Image Index", "Finding Labels"},
    "columns": set(),
}
_PARTS = re.compile(r"[|;]")
_PATIENT = re.compile(r"(?:^|/)(patient\d+)/")  # in the paths of CheXpert
_STATES = {"1": True, "0": False, "-1": None}


class Row(NamedTuple):
    """An image.

    Attributes:
      number: Of the row in its table, 1 is the first.
      image: Its file.
      present: Findings that it shows, in lower case.
      absent: Findings that it does not; None: all others of the table.
      uncertain: Findings that are not asked about.
      group: What several images share, a patient perhaps; "" if nothing is known.
      strata: View and modality, where the table says them.
    """

    number: int
    image: Path
    present: frozenset[str]
    absent: frozenset[str] | None
    uncertain: frozenset[str]
    group: str
    strata: Mapping[str, str]


class Table(NamedTuple):
    """A table as read.

    Attributes:
      layout: "findings", "nih" or "columns".
      rows: Those whose image is there.
      findings: All that any row names, in order, each with the form that is asked about.
      missing: Rows whose image is not there.
    """

    layout: str
    rows: list[Row]
    findings: dict[str, str]
    missing: int


def read(path: Path) -> Table:
    """Reads a table.

    Args:
      path: `.csv`, or JSON lines.

    Raises:
      UserError: If it has none of the layouts, a value that they do not know, or no image is
        there. Rows are named by their numbers, never by their files.
    """
    given = list(_rows(path))
    if not given:
        raise errors.UserError(f"--hallucination {path} has no rows")
    layout, columns = _layout(path, given[0][1])
    reader = _Reader(path, layout, columns)
    rows = [reader.row(number, values) for number, values in given]
    here = [row for row in rows if row.image.is_file()]
    if not here:
        raise errors.UserError(
            f"--hallucination {path}: none of the images of {len(rows)} rows is there; paths start"
            f" from {path.parent}"
        )
    found = {name for row in rows for name in (*row.present, *(row.absent or ()))}
    if not found:
        raise errors.UserError(f"--hallucination {path}: no row names a finding")
    spelled = {name: reader.spelled[name] for name in sorted(found)}
    return Table(layout, here, spelled, len(rows) - len(here))


@functools.lru_cache(maxsize=4096)
def spell(name: str) -> str:
    """A finding as it is asked about: "Pleural_Thickening" becomes "pleural thickening".

    Words in capitals stay as they are, as in "COVID-19" and "ARDS".

    Args:
      name: As the table has it.
    """
    words = name.replace("_", " ").split()
    return " ".join(w if len(w) > 1 and w.upper() == w else w.lower() for w in words)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if path.suffix.lower() != ".csv":
        for number, (line, row) in enumerate(formats.read_rows(path), 1):
            if isinstance(row, formats.RowError):
                raise errors.UserError(f"--hallucination {path} line {line}: {row}")
            yield number, row
        return
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield from enumerate(csv.DictReader(file), 1)
    except (OSError, ValueError, csv.Error) as error:
        raise errors.UserError(f"--hallucination {path} does not read: {error}") from error


def _layout(path: Path, first: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Which layout it is, and the columns that are findings."""
    for layout in ("findings", "nih"):
        if _NEEDED[layout] <= first.keys():
            return layout, []
    names = [name for name in first if name and spell(name).lower() in COLUMNS]
    if names and any(name in first for name in IMAGE_COLUMNS):
        return "columns", names
    raise errors.UserError(
        f"--hallucination {path} needs the columns image and findings; or Image Index and Finding"
        f" Labels; or an image column ({', '.join(IMAGE_COLUMNS)}) and columns of findings as"
        f" Cardiomegaly; it has {', '.join(map(str, first))[:300]}"
    )


class _States(NamedTuple):
    """Findings by what a row says of them; `absent` is None where it says nothing."""

    present: frozenset[str]
    absent: frozenset[str] | None
    uncertain: frozenset[str]


class _Reader:
    """Makes rows of one layout; findings have one name each, whatever their case.

    Attributes:
      spelled: How a finding is asked about, by its name in lower case.
    """

    def __init__(self, path: Path, layout: str, columns: Sequence[str]):
        self.spelled: dict[str, str] = {}
        self._path, self._layout, self._columns = path, layout, columns
        # As named, or as the publishers' archives unpack: CheXpert's paths begin with the folder
        # of the table; ChestX-ray14 has images_001/images.
        here = path.parent
        self._folders = [
            *(here, here.parent, here / "images"),
            *sorted(here.glob("images_*/images")),
        ]

    def row(self, number: int, values: Mapping[str, Any]) -> Row:
        where = f"--hallucination {self._path} row {number}"
        for name in (*_NEEDED[self._layout], *self._columns):
            if name not in values:
                raise errors.UserError(f"{where}: it has no {name}, as the first row has")
        image = _first(values, IMAGE_COLUMNS)
        if not image:
            raise errors.UserError(f"{where}: no image is named")
        states = self._states(where, values)
        patient = _PATIENT.search(image)
        places = [folder / image for folder in self._folders]
        strata = {name: _first(values, columns) for name, columns in STRATA_COLUMNS.items()}
        return Row(
            number=number,
            image=next((place for place in places if place.is_file()), places[0]),
            present=states.present - states.uncertain,
            absent=states.absent,
            uncertain=states.uncertain,
            group=_first(values, GROUP_COLUMNS) or (patient[1] if patient else ""),
            strata={name: text for name, text in strata.items() if text},
        )

    def _states(self, where: str, values: Mapping[str, Any]) -> _States:
        if self._layout == "columns":
            return self._of_columns(where, values)
        if self._layout == "nih":
            return _States(self._listed(where, values["Finding Labels"]), None, frozenset())
        present = self._listed(where, values["findings"])
        return _States(present, None, self._listed(where, values.get("uncertain")))

    def _of_columns(self, where: str, values: Mapping[str, Any]) -> _States:
        """Findings of one column each."""
        is_normal = any(_state(where, n, v) for n, v in values.items() if n and _is_nothing(n))
        parts: dict[bool | None, set[str]] = {True: set(), False: set(), None: set()}
        for column in self._columns:
            name = self._take(column)
            if _is_blank(values[column]):
                parts[False if is_normal and name != DEVICES else None].add(name)
            else:
                parts[_state(where, column, values[column])].add(name)
        return _States(frozenset(parts[True]), frozenset(parts[False]), frozenset(parts[None]))

    def _listed(self, where: str, value: Any) -> frozenset[str]:
        """The findings of a list, or of a text that lists them."""
        if isinstance(value, str):
            value = _parse(where, value)
        if value is None:
            return frozenset()
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise errors.UserError(
                f"{where}: findings must be a list or a text parted by | or ;, got {value!r:.80}"
            )
        return frozenset(self._take(name) for name in value if not _is_nothing(name))

    def _take(self, name: str) -> str:
        spelled = spell(name)
        self.spelled.setdefault(spelled.lower(), spelled)
        return spelled.lower()


def _parse(where: str, text: str) -> Any:
    if not text.lstrip().startswith("["):
        return _PARTS.split(text)
    try:
        return json.loads(text)
    except ValueError as error:
        raise errors.UserError(f"{where}: findings are no JSON list: {error}") from error


def _state(where: str, column: str, value: Any) -> bool | None:
    if _is_blank(value):
        return None
    text = str(value).strip().removesuffix(".0")
    if text not in _STATES:
        raise errors.UserError(f"{where}: {column} must be 1, 0, -1 or blank, got {value!r:.40}")
    return _STATES[text]


@functools.lru_cache(maxsize=4096)
def _is_nothing(name: str) -> bool:
    return spell(name).lower() in NOTHING


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value) or not str(value).strip()


def _first(values: Mapping[str, Any], columns: Iterable[str]) -> str:
    """The first of some columns that has a value."""
    found = (values[name] for name in columns if not _is_blank(values.get(name)))
    return str(next(found, "")).strip()
