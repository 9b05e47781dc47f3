# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Radiology reports: what is read of them, and that planted identifiers reach no row."""

import json

import pytest
from PIL import Image

from data_tools import config, examples, rows, source_rows
from data_tools.adapters import reports, table
from lingshu_jax.common import errors
from lingshu_jax.data import formats, sources
from lingshu_jax.eval import question_formats

SUBJECT, STUDY, DICOM = "10000032", "50414267", "02aa804e-bde0afdd-112c0b34-7bc16630-4e384014"
PATIENT = "patient42142"
PLANTED = (SUBJECT, STUDY, DICOM, PATIENT, "Jane Roe", "555-12-3456", "jane@example.org", "1950")
REPORT = f"""                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  Jane Roe, MRN {SUBJECT}, cough

 FINDINGS:

 There is no focal consolidation. Seen by Dr. Jane Roe on 1/2/1950,
 SSN 555-12-3456, jane@example.org.

 IMPRESSION:

 No acute process.
"""


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8), 9).save(path)


@pytest.fixture
def mimic(tmp_path):
    below = f"p{SUBJECT[:2]}/p{SUBJECT}"
    for name in (DICOM, "second"):
        picture(tmp_path / "files" / below / f"s{STUDY}" / f"{name}.jpg")
    picture(tmp_path / "files" / below / "s50000001" / "bare.jpg")
    folder = tmp_path / "mimic-cxr-reports" / "files" / below
    folder.mkdir(parents=True)
    (folder / f"s{STUDY}.txt").write_text(REPORT)
    (folder / "s50000001.txt").write_text(" FINAL REPORT\n IMPRESSION: Normal.\n")
    lines = [
        "dicom_id,study_id,subject_id,split",
        *(f"{name},{STUDY},{SUBJECT},train" for name in (DICOM, "second")),
        f"bare,50000001,{SUBJECT},train",
        f"lost,50000002,{SUBJECT},train",
        "kept,50000003,19999999,test",
    ]
    (tmp_path / "mimic-cxr-2.0.0-split.csv").write_text("\n".join(lines) + "\n")
    views = f"dicom_id,ViewPosition,StudyDate\n{DICOM},PA,19500102\nsecond,LATERAL,19500102\n"
    (tmp_path / "mimic-cxr-2.0.0-metadata.csv").write_text(views)
    return tmp_path


@pytest.fixture
def chexpert(tmp_path):
    picture(tmp_path / "PNG" / "train" / PATIENT / "study5" / "view1_frontal.png")
    columns = "path_to_image,frontal_lateral,ap_pa,deid_patient_id,report,section_findings"
    columns += ",section_impression,section_accession_number,age,split"
    name = f"train/{PATIENT}/study5/view1_frontal.jpg"
    lines = [
        columns,
        f'{name},Frontal,AP,{PATIENT},"Jane Roe","Clear. Dr. Jane Roe, SSN 555-12-3456."'
        ",Normal.,1950,71,train",
        f"{name},Frontal,AP,{PATIENT},x,,,1950,71,train",
        f"train/{PATIENT}/study6/view1_frontal.jpg,Frontal,AP,{PATIENT},x,a,b,1950,71,train",
        "valid/x/y/view1_frontal.jpg,Frontal,AP,x,x,a,b,1,71,valid",
    ]
    (tmp_path / "df_chexpert_plus_240401.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


@pytest.fixture
def mimic_vqa(tmp_path):
    below = f"p{SUBJECT[:2]}/p{SUBJECT}/s{STUDY}/{DICOM}.jpg"
    picture(tmp_path / "files" / below)
    row = {"idx": 13, "subject_id": SUBJECT, "study_id": STUDY, "image_id": DICOM}
    row |= {"image_path": below, "question": "Is there edema?", "answer": ["yes"]}
    row |= {"semantic_type": "verify", "content_type": "presence", "template": "Is there ${x}?"}
    lost = {**row, "idx": 14, "image_path": f"p10/p{SUBJECT}/lost.jpg"}
    none = {**row, "idx": 15, "question": "List all.", "answer": []}
    path = tmp_path / "MIMIC-Ext-MIMIC-CXR-VQA" / "dataset" / "train.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps([row, lost, none, {**row, "idx": 16, "answer": 3}]))
    return tmp_path


def curated(key, folder):
    """Rows of curation, and what was dropped."""
    source = config.CuratedSource(name="s", publisher=key, path=".")
    found = list(source_rows.stream(source, str(folder)))
    kept = [examples.from_example(row) for row in found if isinstance(row, sources.Example)]
    return kept, [row for row in found if isinstance(row, sources.Dropped)]


def leaks(kept, dropped):
    """Which planted identifiers stand in what curation says of its rows."""
    told = [rows.dump([row.id, row.messages, row.meta, row.facts]) for row in kept]
    told += [f"{row.id} {row.reason}" for row in dropped]
    return [one for one in PLANTED if any(one in text for text in told)]


@pytest.mark.parametrize(
    ("key", "fixture", "kept", "dropped"),
    [
        ("mimic_cxr_findings", "mimic", 1, 2),
        ("mimic_cxr", "mimic", 2, 1),
        ("chexpert_plus", "chexpert", 1, 2),
        ("mimic_ext_mimic_cxr_vqa", "mimic_vqa", 2, 2),
    ],
)
def test_planted_identifiers_reach_no_row(request, key, fixture, kept, dropped):
    good, refused = curated(key, request.getfixturevalue(fixture))
    assert (len(good), len(refused)) == (kept, dropped)
    assert leaks(good, refused) == []


def test_a_leak_would_be_noticed(mimic, monkeypatch):
    good, refused = curated("mimic_cxr_findings", mimic)
    assert leaks([row.knowing(path=SUBJECT) for row in good], refused) == [SUBJECT]
    monkeypatch.setattr(reports.reading, "masked", lambda said: said)
    assert leaks(*curated("mimic_cxr_findings", mimic)) == [
        "Jane Roe",
        "555-12-3456",
        "jane@example.org",
        "1950",
    ]


def test_mimic_captions_are_the_findings_of_all_views(mimic):
    [row], refused = curated("mimic_cxr_findings", mimic)
    [answer] = row.texts("assistant")
    assert answer.startswith("There is no focal consolidation. Seen by [removed] on [removed]")
    assert "acute" not in answer and "cough" not in answer
    assert len(row.media) == 2 and row.meta["views"] == ["PA", "LATERAL"]
    assert [one.reason for one in refused] == [
        "the report has no findings",
        "a picture of it is not there",
    ]


def test_mimic_reports_are_asked_for_as_the_evaluation_does(mimic):
    good, _ = curated("mimic_cxr", mimic)
    assert good[0].texts("user") == ["<image_1>: ", "<image_2>: ", question_formats.REPORT]
    assert good[1].texts("assistant") == ["Impression: Normal."]
    assert good[0].meta["patient"] == good[1].meta["patient"] != good[0].id


def test_patients_have_one_hash_in_all_sets_of_mimic(mimic, mimic_vqa):
    [finding], _ = curated("mimic_cxr_findings", mimic)
    questions, _ = curated("mimic_ext_mimic_cxr_vqa", mimic_vqa)
    assert {row.meta["patient"] for row in [finding, *questions]} == {finding.meta["patient"]}
    assert [row.texts("assistant") for row in questions] == [["yes"], ["none"]]
    assert questions[0].meta["answer_type"] == "yes_no"


def test_chexpert_plus(chexpert):
    [row], refused = curated("chexpert_plus", chexpert)
    assert row.texts("user") == [question_formats.REPORT]
    assert row.texts("assistant")[0].startswith("Findings: Clear. [removed]")
    assert row.texts("assistant")[0].endswith("Impression: Normal.")
    assert (row.meta["views"], set(row.meta)) == (["Frontal", "AP"], {"views", "patient"})
    assert [one.reason for one in refused] == [
        "the report has neither findings nor impression",
        "a picture of it is not there",
    ]


def test_iu_xray_in_both_forms(tmp_path):
    picture(tmp_path / "x" / "NLMCXR_png" / "CXR1_1_IM-0001-3001.png")
    (tmp_path / "x" / "ecgen-radiology").mkdir()
    parts = '<AbstractText Label="FINDINGS">Clear.</AbstractText><AbstractText Label="IMPRESSION"/>'
    whole = f'<eCitation><uId id="CXR1"/><Abstract>{parts}</Abstract>%s</eCitation>'
    image = '<parentImage id="CXR1_1_IM-0001-3001"/>'
    (tmp_path / "x" / "ecgen-radiology" / "1.xml").write_text(whole % image)
    (tmp_path / "x" / "ecgen-radiology" / "2.xml").write_text(whole % "")
    [row], [refused] = curated("iu_xray", tmp_path / "x")
    assert (row.id, row.texts("assistant")) == ("s/CXR1", ["Findings: Clear."])
    assert refused.reason == "the study has no picture"
    picture(tmp_path / "t" / "images" / "images_normalized" / "1_IM-0001-4001.dcm.png")
    (tmp_path / "t" / "indiana_reports.csv").write_text(
        "uid,findings,impression\n1,,Normal.\n2,,\n"
    )
    (tmp_path / "t" / "indiana_projections.csv").write_text(
        "uid,filename,projection\n1,1_IM-0001-4001.dcm.png,Frontal\n2,1_IM-0001-4001.dcm.png,Frontal\n"
    )
    [row], [refused] = curated("iu_xray", tmp_path / "t")
    assert row.texts("assistant") == ["Impression: Normal."] and len(row.media) == 1
    assert refused.reason == "the report has neither findings nor impression"


def test_sections_begin_with_capitals_and_a_colon():
    assert reports.sections(REPORT)["impression"] == "No acute process."
    assert reports.sections("Lungs: clear. PICC: no\nFINDINGS: a\n b\n") == {"findings": "a b"}


def test_no_table_of_splits_is_an_error(tmp_path):
    with pytest.raises(errors.UserError, match=r"holds no mimic-cxr-2.0.0-split.csv"):
        list(table.ADAPTERS["mimic_cxr"].read(tmp_path, formats.Options()))
