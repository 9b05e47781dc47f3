# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Adapters of small open sets: radiographs, lung ultrasound, microscopy, labelled reports.

What is written here is made of the publishers' columns alone; ages, sexes and numbers of patients
stay behind.
"""

import collections
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_tools.adapters import reading
from lingshu_jax.data import formats
from lingshu_jax.eval import question_formats

VIEWS = {"pa": "posteroanterior", "ap": "anteroposterior", "lateral": "lateral", "l": "lateral"}
CELLS = {"RBC": "red blood cells", "WBC": "white blood cells", "Platelets": "platelets"}
SIGNS = ("Effusion", "Consolidations", "B-lines", "A-lines", "Pleural line irregularities")
FIRST_LABEL = "No Finding"
# What scikit-image's documentation says of its pictures (src/_skimage2/data/_fetchers.py), in our
# words; other pictures of it show no patient.
SKIMAGE = {
    "retina.jpg": "This is a colour fundus photograph of the retina of a normal left eye.",
    "ihc.png": (
        "This is a microscopic image of colonic glands. Immunohistochemistry shows the protein FHL2"
        " in brown with DAB, and the other parts of the tissue are counterstained with hematoxylin."
    ),
    "cell.png": (
        "This is a quantitative phase image, made from a digital hologram, of a single cell that"
        " floats in saline."
    ),
}
_Meaning = tuple[formats.Messages, dict[str, Any]]


def _view(row: formats.Row, name: str) -> str:
    """The view in words, as "a posteroanterior chest radiograph"."""
    said = reading.text(row, name)
    word = VIEWS.get(said.lower().partition(" ")[0])
    if word is None:
        raise formats.RowError(f"unknown {name} {said!r:.20}; known: {', '.join(VIEWS)}")
    return f"{'an' if word[0] == 'a' else 'a'} {word} chest radiograph"


def _hannover_rows(file: Path) -> Iterator[reading.Pair]:
    for place, value in reading.table(file):
        if isinstance(value, dict):
            key = reading.hashed("hannover", value.get("image_id", ""))
            value = {**value, "id": key}
        yield place, value


def _hannover(place: reading.Place) -> formats.Parse:
    def parse(row: formats.Row) -> _Meaning:
        view = _view(row, "projection")
        said = f"This is {view} of a patient with COVID-19."
        name = reading.text(row, "image_id")
        shown = reading.picture(place, [f"{name}.png", f"png/{name}.png"], "no picture of it")
        patient = reading.hashed("hannover", reading.text(row, "patient_id"))
        meta = {"patient": patient, "views": [row["projection"]]}
        return reading.caption(place, row["id"], said, [shown]), meta

    return parse


def _covid_chestxray(place: reading.Place) -> formats.Parse:
    def parse(row: formats.Row) -> _Meaning:
        name, said = reading.text(row, "image"), reading.masked(reading.text(row, "caption"))
        columns = ("finding", "view", "modality", "license", "doi", "url")
        meta = {column: row[column] for column in columns if row.get(column)}
        return reading.caption(place, name, said, [name]), {**meta, "image_id": name}

    return parse


def _pocus(place: reading.Place) -> formats.Parse:
    """Probe, signs that the table says are there, the second physician's words, diagnosis."""

    def parse(row: formats.Row) -> _Meaning:
        name = reading.text(row, "image")
        said = [f"This is a lung ultrasound picture of a {reading.text(row, 'Probe')} probe."]
        if signs := [sign.lower() for sign in SIGNS if reading.optional(row, sign) == "1"]:
            said.append(f"It shows {', '.join(signs)}.")
        if words := reading.optional(row, "MD2").rstrip("."):
            said.append(f"{words[0].upper()}{words[1:]}.")
        said.append(f"The diagnosis is {reading.text(row, 'Label')}.")
        columns = ("License", "DOI", "Title", "Label")
        meta = {column.lower(): row[column] for column in columns if row.get(column)}
        told = reading.masked(" ".join(said))
        return reading.caption(place, name, told, [name]), {**meta, "image_id": name}

    return parse


def _bccd_rows(file: Path) -> Iterator[reading.Pair]:
    """A question for each kind of cell of a picture, the answer being how many boxes it has."""
    try:
        root = reading.tree(file)
        name = root.findtext("filename") or ""
        if not name:
            raise formats.RowError("the annotation names no picture")
    except formats.RowError as error:
        yield 1, error
        return
    boxes = collections.Counter(one.findtext("name") or "" for one in root.iter("object"))
    unknown = sorted(set(boxes) - set(CELLS))
    for place, (cell, words) in enumerate(CELLS.items(), start=1):
        row = {"id": f"{file.stem}-{cell}", "picture": name, "cell": words, "count": boxes[cell]}
        yield (
            place,
            formats.RowError(f"unknown kind of cell {unknown[0]!r:.20}") if unknown else row,
        )


def _bccd(place: reading.Place) -> formats.Parse:
    def parse(row: formats.Row) -> _Meaning:
        question = f"How many {row['cell']} are there in this blood smear?"
        asked, answer = question_formats.ask(question, "closed"), str(row["count"])
        meta = {"answer": answer, "answer_type": "number", "image_id": row["picture"]}
        return reading.turns(place, asked, answer, [row["picture"]]), meta

    return parse


def _skimage_rows(file: Path) -> Iterator[reading.Pair]:
    yield 1, {"picture": file.name}


def _skimage(place: reading.Place) -> formats.Parse:
    def parse(row: formats.Row) -> _Meaning:
        name = row["picture"]
        if name not in SKIMAGE:
            raise formats.RowError(f"known pictures are {', '.join(SKIMAGE)}")
        return reading.caption(place, name, SKIMAGE[name], [name]), {"image_id": name}

    return parse


def _labelled_report(place: reading.Place) -> formats.Parse:
    """CheXpert's labeller: 1 is there, 0 is not, -1 is uncertain, blank is not said."""

    def parse(row: formats.Row) -> _Meaning:
        report = reading.masked(" ".join(reading.text(row, "Reports").split()))
        labels = list(row)[list(row).index(FIRST_LABEL) :] if FIRST_LABEL in row else []
        there = [label for label in labels if row[label].strip() in ("1", "1.0")]
        if not there:
            raise formats.RowError("no label is certain")
        asked = (
            "Which of these observations does the report of a chest radiograph say are present? "
            f"{', '.join(labels)}.\n\nReport: {report}"
        )
        return reading.turns(place, asked, ", ".join(there)), {"kind": "labels of a report"}

    return parse


ADAPTERS = {
    "hannover_covid_cxr": reading.Adapter(
        files=(("data.csv",),), parse=_hannover, rows=_hannover_rows, pictures=("png",)
    ),
    "covid_chestxray_open": reading.Adapter(
        files=(("captions.jsonl",),), parse=_covid_chestxray, rows=reading.values
    ),
    "pocus_lung_us_ccby": reading.Adapter(
        files=(("captions.jsonl",),), parse=_pocus, rows=reading.values
    ),
    "bccd": reading.Adapter(
        files=(("BCCD/Annotations/*.xml",), ("annotations/*.xml",), ("Annotations/*.xml",)),
        parse=_bccd,
        rows=_bccd_rows,
        pictures=("BCCD/JPEGImages", "images", "JPEGImages"),
    ),
    "skimage_bundled": reading.Adapter(
        files=(tuple(SKIMAGE),),
        parse=_skimage,
        rows=_skimage_rows,
    ),
    "chexpert_labeler_sample": reading.Adapter(
        files=(("labeled_reports.csv",),), parse=_labelled_report, rows=reading.values
    ),
}
