# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Real files of small open sets, and rows like theirs."""

import csv
import json

import pytest
from PIL import Image

from data_tools import config, source_rows
from data_tools.adapters import table
from lingshu_jax.data import formats, sources

# Key of the registry, folder, rows, refused rows.
REAL = [
    ("vqa_rad", "vqa_rad", 3064, 0),
    ("medquad", "medquad", 5000, 0),
    ("mts_dialog", "mts_dialog", 1201, 0),
    ("pubmedqa", "pubmedqa", 500, 0),
    ("hannover_covid_cxr", "hannover_covid_cxr", 12, 231),
    ("covid_chestxray_open", "covid_chestxray_open", 3, 0),
    ("pocus_lung_us_ccby", "pocus_lung_us_ccby", 8, 0),
    ("skimage_bundled", "skimage_bundled", 3, 0),
    ("bccd", "bccd", 120, 0),
    ("chexpert_labeler_sample", "chexpert_labeler_sample", 4, 0),
]


@pytest.fixture(scope="module")
def real(shared_dir):
    """Good and refused rows of each set."""
    found = {}
    for key, folder, *_ in REAL:
        source = config.CuratedSource(name=key, publisher=key, path=folder)
        source.validate()
        rows = list(source_rows.stream(source, str(shared_dir / "data")))
        good = [row for row in rows if isinstance(row, sources.Example)]
        found[key] = (good, [row for row in rows if isinstance(row, sources.Dropped)])
    return found


@pytest.mark.parametrize(("key", "folder", "kept", "refused"), REAL)
def test_real_files_are_read_to_the_last_row(real, key, folder, kept, refused):
    good, others = real[key]
    assert (len(good), len(others)) == (kept, refused), {row.reason for row in others}
    assert len({row.id for row in good}) == kept


def answer(example):
    return example.messages[-1]["content"][0]["text"]


def test_no_id_age_or_value_of_the_clinical_table_goes_on(real, shared_dir):
    good, refused = real["hannover_covid_cxr"]
    with (shared_dir / "data" / "hannover_covid_cxr" / "data.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    told = "\n".join(
        [json.dumps([row.id, row.meta, answer(row)]) for row in good]
        + [f"{row.id} {row.reason}" for row in refused]
    )
    assert not [row for row in rows if row["patient_id"] in told or row["image_id"] in told]
    assert {answer(row) for row in good} <= {
        "This is a posteroanterior chest radiograph of a patient with COVID-19.",
        "This is an anteroposterior chest radiograph of a patient with COVID-19.",
    }
    assert {row.reason for row in refused} == {"no picture of it"}


def test_questions_of_the_test_split_of_pubmedqa_are_left_out(real, shared_dir):
    tested = json.loads((shared_dir / "data" / "pubmedqa" / "test_ground_truth.json").read_text())
    good, _ = real["pubmedqa"]
    assert not {row.id for row in good} & set(tested)
    assert {answer(row) for row in good} == {"A", "B", "C"}


def test_cells_are_counted_by_their_boxes(real, shared_dir):
    good = {row.id: answer(row) for row in real["bccd"][0]}
    text = (shared_dir / "data" / "bccd" / "annotations" / "BloodImage_00000.xml").read_text()
    for cell in ("RBC", "WBC", "Platelets"):
        assert good[f"BloodImage_00000-{cell}"] == str(text.count(f"<name>{cell}</name>"))


def test_captions_of_ultrasound_and_radiographs(real):
    good, _ = real["pocus_lung_us_ccby"]
    assert answer(good[0]) == (
        "This is a lung ultrasound picture of a convex probe. It shows pleural line"
        " irregularities. Pleural irregularities (partly almost disrupted, partly thick). The"
        " diagnosis is COVID-19."
    )
    good, _ = real["covid_chestxray_open"]
    assert good[0].meta["license"] == "CC BY-SA" and not {"sex", "age"} & set(good[0].meta)
    assert [answer(row) for row in real["chexpert_labeler_sample"][0]] == [
        "No Finding",
        "Cardiomegaly, Atelectasis, Pleural Effusion",
        "Lung Opacity",
        "Cardiomegaly",
    ]


def read(word, folder):
    rows = list(table.ADAPTERS[word].read(folder, formats.Options()))
    return [row.reason for row in rows if isinstance(row, formats.Refusal)]


def test_broken_rows_of_small_sets_are_named(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "data.csv").write_text("patient_id,image_id,projection\np,a,oblique\np,b,pa\n")
    assert read("hannover_covid_cxr", tmp_path) == [
        "unknown projection 'oblique'; known: pa, ap, lateral, l",
        "no picture of it",
    ]
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "1.xml").write_text("<annotation><filename/></annotation>")
    (tmp_path / "annotations" / "2.xml").write_text(
        "<annotation><filename>a.png</filename><object><name>yeast</name></object></annotation>"
    )
    assert read("skimage_bundled", tmp_path / "a.png") == [
        "known pictures are retina.jpg, ihc.png, cell.png"
    ]
    assert read("bccd", tmp_path) == [
        "the annotation names no picture",
        *["unknown kind of cell 'yeast'"] * 3,
    ]
    (tmp_path / "labeled_reports.csv").write_text("Reports,No Finding,Edema\nClear.,,-1.0\n")
    assert read("chexpert_labeler_sample", tmp_path) == ["no label is certain"]
    (tmp_path / "ori_pqal.json").write_text(json.dumps({"1": {"QUESTION": "Is it?"}, "2": 3}))
    (tmp_path / "test_ground_truth.json").write_text("{}")
    assert read("pubmedqa", tmp_path) == [
        "missing column 'final_decision'",
        "a row must be an object, got int",
    ]
