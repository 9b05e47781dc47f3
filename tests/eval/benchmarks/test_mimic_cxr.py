# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import pytest

from lingshu_jax.common import errors
from lingshu_jax.eval import benchmark, catalog, files
from lingshu_jax.eval.benchmarks import mimic_cxr
from tests.eval.benchmarks import fixtures

FIRST, SECOND = "p10/p10000001", "p11/p11000002"
ASKED = (
    "\n        You are a helpful assistant. Please generate a report for the given images,"
    " including both findings and impressions. Return the report in the following format: Findings:"
    " {} Impression: {}.\n        "
)


def row(image, findings, impression):
    return {"image": image, "findings": findings, "impression": impression}


# MedEvalKit's fields. A study may lack one section; without both it is no question.
ROWS = [
    row([f"{FIRST}/s1/a.jpg", f"{FIRST}/s1/b.jpg"], "Clear lungs.\nNo effusion.", "Normal."),
    row([f"{FIRST}/s2/c.jpg"], "", "No change"),
    row([f"{SECOND}/s3/d.jpg"], " ", "\n"),
    row([f"{SECOND}/s4/e.jpg"], "Small effusion.", " "),
    row([f"{SECOND}/s5/f.jpg"], "Cardiomegaly.", "Large heart."),
]


def write(folder, rows):
    fixtures.write_json(folder / "test.json", rows)
    for study in rows:
        for name in study["image"]:
            fixtures.write_picture(folder / "images" / name)


@pytest.fixture
def data_dir(tmp_path):
    write(tmp_path / "MIMIC_CXR", ROWS)
    return tmp_path


def load(folder):
    return catalog.load(mimic_cxr.MimicCxr(), folder)


def test_a_study_is_asked_as_medevalkit_asks_it(data_dir):
    def image(name):
        return {"type": "image", "image": str(data_dir / "MIMIC_CXR/images" / name)}

    first, second, *_ = load(data_dir)
    assert first.messages == (
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "<image_1>: "},
                image(f"{FIRST}/s1/a.jpg"),
                {"type": "text", "text": "<image_2>: "},
                image(f"{FIRST}/s1/b.jpg"),
                {"type": "text", "text": ASKED},
            ],
        },
    )
    # A single image has its number too: MedEvalKit hands over a list.
    assert second.messages[0]["content"] == [
        {"type": "text", "text": "<image_1>: "},
        image(f"{FIRST}/s2/c.jpg"),
        {"type": "text", "text": ASKED},
    ]


def test_the_reference_has_both_headings_and_a_point(data_dir):
    assert [sample.gold for sample in load(data_dir)] == [
        "Findings: Clear lungs.\nNo effusion. Impression: Normal..",
        "Findings:  Impression: No change.",
        "Findings: Small effusion. Impression:  .",
        "Findings: Cardiomegaly. Impression: Large heart..",
    ]


def test_studies_without_a_report_are_left_out_and_counted(data_dir):
    samples = load(data_dir)
    assert [sample.id for sample in samples] == ["study_1", "study_2", "study_3", "study_4"]
    assert files.remarks(mimic_cxr.CARD, samples) == [
        "mimic_cxr: 1 of 5 studies have neither findings nor impression and are left out, as in"
        " MedEvalKit",
        "mimic_cxr has 4 rows here, 2195 as published",
    ]


def test_nothing_is_said_where_every_study_has_a_report(tmp_path):
    write(tmp_path, ROWS[:2])
    samples = load(tmp_path)
    assert files.remarks(mimic_cxr.CARD, samples) == [
        "mimic_cxr has 2 rows here, 2195 as published"
    ]


def test_studies_of_a_patient_share_a_group_that_does_not_tell_who(data_dir):
    samples = load(data_dir)
    groups = [sample.group for sample in samples]
    assert groups[0] == groups[1] != groups[2] == groups[3]
    for sample in samples:
        assert not any(name in str(sample.fields) + sample.group for name in ("p10", "p11", "s1"))
    assert samples[0].fields == {
        "findings": "Clear lungs.\nNo effusion.",
        "impression": "Normal.",
    }
    assert [dict(sample.strata) for sample in samples[:2]] == [
        {"views": "2", "sections": "findings, impression"},
        {"views": "1", "sections": "impression"},
    ]


def test_a_report_has_no_verdict(data_dir):
    sample = load(data_dir)[0]
    scored = benchmark.score(sample, benchmark.Answer(sample.gold, "stop"))
    assert scored["compat"]["correct"] is None
    assert scored["strict"]["correct"] is None


def test_a_missing_image_is_told_without_the_patient(data_dir):
    (data_dir / "MIMIC_CXR/images" / FIRST / "s2/c.jpg").unlink()
    with pytest.raises(errors.UserError, match=r"row 1: .* must hold the image c\.jpg") as told:
        load(data_dir)
    assert "p10000001" not in str(told.value)


@pytest.mark.parametrize("name", ["../outside.jpg", "/etc/hostname"])
def test_an_image_elsewhere_is_refused(tmp_path, name):
    write(tmp_path, ROWS[:1])
    fixtures.write_picture(tmp_path / "outside.jpg")
    fixtures.write_json(tmp_path / "test.json", [ROWS[0] | {"image": [name]}])
    with pytest.raises(errors.UserError, match="must hold the image"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"findings": None}, "row 0: findings must be a text, got NoneType"),
        ({"impression": float("nan")}, "row 0: impression must be a text, got float"),
        ({"image": f"{FIRST}/s1/a.jpg"}, "row 0: image must be a list of file names, got str"),
        ({"image": []}, "row 0: image must be a list of file names, got list"),
    ],
)
def test_a_value_of_another_kind_is_named(tmp_path, change, told):
    write(tmp_path, ROWS[:1])
    fixtures.write_json(tmp_path / "test.json", [ROWS[0] | change])
    with pytest.raises(errors.UserError, match=told):
        load(tmp_path)


def test_a_missing_column_is_named(tmp_path):
    fixtures.write_json(tmp_path / "test.json", [{"image": ["a.jpg"], "report": "Normal."}])
    with pytest.raises(errors.UserError, match="row 0 needs .*'findings'.*, found .*'report'"):
        load(tmp_path)


def test_missing_data_say_which_agreement_they_need(tmp_path):
    with pytest.raises(errors.UserError, match=r"physionet\.org/content/mimic-cxr/2\.1\.0/.*Agree"):
        load(tmp_path)
    with pytest.raises(errors.UserError, match="--data_dir is required"):
        load(None)
