# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Adapters of radiology reports: MIMIC-CXR, CheXpert Plus, IU X-Ray.

Of MIMIC-CXR and CheXpert Plus neither ids nor what a row knows nor what it says names a patient, a
study or a file: ids are hashes, only listed columns go on, and reports are masked. Where a picture
lies is the one thing that still does, until pictures are copied into shards.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_tools.adapters import reading
from lingshu_jax.data import formats
from lingshu_jax.eval import question_formats

MIMIC, CHEXPERT = "mimic_cxr", "chexpert_plus"
FINDINGS, IMPRESSION = "findings", "impression"
SPLIT = "train"
_METADATA = "mimic-cxr-2.0.0-metadata.csv"
# A section begins with a line that has its name in capitals and a colon.
_HEADING = re.compile(r"^[ \t]*([A-Z][A-Z ,/()-]+):", re.MULTILINE)
_NO_PICTURE = "a picture of it is not there"
_Meaning = tuple[formats.Messages, dict[str, Any]]


def sections(report: str) -> dict[str, str]:
    """The sections of a report by their names in small letters, each on one line.

    Args:
      report: Free text; a line that begins as "FINDINGS:" begins a section.
    """
    found = list(_HEADING.finditer(report))
    ends = [match.start() for match in found[1:]] + [len(report)]
    return {
        match[1].strip().lower(): " ".join(report[match.end() : end].split())
        for match, end in zip(found, ends, strict=True)
    }


def _answer(said: dict[str, str]) -> str:
    """A report in the form that the evaluation asks for; a blank section is left out."""
    there = [name for name in (FINDINGS, IMPRESSION) if said.get(name, "").strip()]
    if not there:
        raise formats.RowError("the report has neither findings nor impression")
    return " ".join(f"{name.title()}: {reading.masked(said[name].strip())}" for name in there)


def _mimic_rows(file: Path) -> Iterator[reading.Pair]:
    """Studies of the training split with their pictures, in the order of the table."""
    views = _views(file.parent)
    studies: dict[tuple[str, str], list[str]] = {}
    for place, value in reading.values(file):
        if not isinstance(value, dict):
            yield place, value
        elif value.get("split") == SPLIT:
            key = (value.get("subject_id", ""), value.get("study_id", ""))
            studies.setdefault(key, []).append(value.get("dicom_id", ""))
    for place, ((subject, study), pictures) in enumerate(studies.items(), start=1):
        yield (
            place,
            {
                "id": reading.hashed(MIMIC, study),
                "subject": subject,
                "study": study,
                "pictures": pictures,
                "views": [views.get(name, "") for name in pictures],
            },
        )


def _views(folder: Path) -> dict[str, str]:
    """View of each picture, of the table beside the splits; nothing without it."""
    for name in (_METADATA, _METADATA + reading.GZIP):
        if (folder / name).is_file():
            rows = (value for _, value in reading.values(folder / name))
            return {
                row.get("dicom_id", ""): row.get("ViewPosition", "")
                for row in rows
                if isinstance(row, dict)
            }
    return {}


def _mimic_study(place: reading.Place, row: formats.Row) -> tuple[list[Any], dict[str, str]]:
    """Pictures and sections of a study."""
    below = f"p{row['subject'][:2]}/p{row['subject']}/s{row['study']}"
    shown = [
        reading.picture(place, [f"files/{below}/{name}.jpg", f"{below}/{name}.jpg"], _NO_PICTURE)
        for name in row["pictures"]
    ]
    for folder in ("mimic-cxr-reports/files", "reports/files", "files", "mimic-cxr-reports"):
        report = place.folder / folder / f"{below}.txt"
        if report.is_file():
            return shown, sections(report.read_text("utf-8", "replace"))
    raise formats.RowError("its report is not there")


def _mimic_meta(row: formats.Row) -> dict[str, Any]:
    return {
        "patient": reading.hashed(MIMIC, row["subject"]),
        "views": [view for view in row["views"] if view],
    }


def _mimic_findings(place: reading.Place) -> formats.Parse:
    def parse(row: formats.Row) -> _Meaning:
        shown, said = _mimic_study(place, row)
        if not said.get(FINDINGS):
            raise formats.RowError("the report has no findings")
        found = reading.masked(said[FINDINGS])
        return reading.caption(place, row["id"], found, shown), _mimic_meta(row)

    return parse


def _mimic_report(place: reading.Place) -> formats.Parse:
    def parse(row: formats.Row) -> _Meaning:
        shown, said = _mimic_study(place, row)
        return _asked(place, shown, _answer(said), numbered=True), _mimic_meta(row)

    return parse


def _asked(
    place: reading.Place, shown: list[Any], answer: str, *, numbered: bool
) -> formats.Messages:
    """A report as the answer to the evaluation's prompt."""
    [message] = question_formats.turn(question_formats.REPORT, shown, numbered=numbered)
    return reading.conversation(place, message["content"], answer)


def _chexpert_rows(file: Path) -> Iterator[reading.Pair]:
    """Pictures of the training split under hashes."""
    for place, value in reading.values(file):
        if isinstance(value, dict) and value.get("split", SPLIT) != SPLIT:
            continue
        if isinstance(value, dict):
            name = str(value.get("path_to_image") or place)
            value = {**value, "id": reading.hashed(CHEXPERT, name)}
        yield place, value


def _chexpert_plus(place: reading.Place) -> formats.Parse:
    def parse(row: formats.Row) -> _Meaning:
        name = reading.text(row, "path_to_image")
        stem = name.rpartition(".")[0]
        names = [f"PNG/{stem}.png", f"PNG/PNG/{stem}.png", f"{stem}.png", name]
        shown = reading.picture(place, names, _NO_PICTURE)
        said = {
            part: " ".join(reading.optional(row, f"section_{part}").split())
            for part in (FINDINGS, IMPRESSION)
        }
        views = [reading.optional(row, column) for column in ("frontal_lateral", "ap_pa")]
        patient = reading.optional(row, "deid_patient_id")
        meta = {
            "views": [view for view in views if view],
            **({"patient": reading.hashed(CHEXPERT, patient)} if patient else {}),
        }
        return _asked(place, [shown], _answer(said), numbered=False), meta

    return parse


def _iu_rows(file: Path) -> Iterator[reading.Pair]:
    """The one report of an XML file, or those of the tables of a copy."""
    if Path(file.name.removesuffix(reading.GZIP)).suffix == ".csv":
        yield from _iu_table(file)
        return
    try:
        yield 1, _iu_report(file)
    except formats.RowError as error:
        yield 1, error


def _iu_report(file: Path) -> formats.Row:
    root = reading.tree(file)
    said = {
        str(part.get("Label", "")).lower(): part.text or "" for part in root.iter("AbstractText")
    }
    names = [str(image.get("id", "")) for image in root.iter("parentImage")]
    found = root.find("uId")
    key = str(found.get("id", file.stem)) if found is not None else file.stem
    return {"id": key, "pictures": [f"{name}.png" for name in names], **said}


def _iu_table(file: Path) -> Iterator[reading.Pair]:
    pictures: dict[str, list[str]] = {}
    for _, value in reading.table(file.with_name(file.name.replace("reports", "projections"))):
        if isinstance(value, dict):
            pictures.setdefault(value.get("uid", ""), []).append(value.get("filename", ""))
    for place, value in reading.table(file):
        if isinstance(value, dict):
            key = str(value.get("uid", ""))
            value = {**value, "id": f"CXR{key}", "pictures": pictures.get(key, [])}
        yield place, value


def _iu_xray(place: reading.Place) -> formats.Parse:
    def parse(row: formats.Row) -> _Meaning:
        if not row["pictures"]:
            raise formats.RowError("the study has no picture")
        said = {name: reading.optional(row, name) for name in (FINDINGS, IMPRESSION)}
        shown = [reading.picture(place, [name], _NO_PICTURE) for name in row["pictures"]]
        return _asked(place, shown, _answer(said), numbered=True), {"case": row["id"]}

    return parse


_SPLITS = (("mimic-cxr-2.0.0-split.csv",),)
ADAPTERS = {
    "mimic_cxr_findings": reading.Adapter(files=_SPLITS, parse=_mimic_findings, rows=_mimic_rows),
    "mimic_cxr": reading.Adapter(files=_SPLITS, parse=_mimic_report, rows=_mimic_rows),
    "chexpert_plus": reading.Adapter(
        files=(("df_chexpert_plus_*.csv",),), parse=_chexpert_plus, rows=_chexpert_rows
    ),
    "iu_xray": reading.Adapter(
        files=(("ecgen-radiology/*.xml",), ("*.xml",), ("indiana_reports.csv",)),
        parse=_iu_xray,
        rows=_iu_rows,
        pictures=("NLMCXR_png", "images/images_normalized", "images"),
    ),
}
