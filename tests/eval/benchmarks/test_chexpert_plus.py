# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import pytest

from lingshu_jax.common import errors
from lingshu_jax.eval import benchmark, catalog, files
from lingshu_jax.eval.benchmarks import chexpert_plus
from tests.eval.benchmarks import fixtures


def row(image, findings, impression):
    return {"image": image, "findings": findings, "impression": impression}


# One file name a study, not a list; most reports have an impression only, in capitals.
ROWS = [
    row("valid/patient64541/study1/view1_frontal.png", "", "1. NO ACUTE DISEASE.\n2. STABLE."),
    row("valid/patient64541/study2/view1_frontal.png", "", "UNCHANGED"),
    row("valid/patient64542/study1/view1_frontal.png", "Clear.", "NORMAL"),
    row("valid/patient64543/study1/view1_frontal.png", " ", ""),
    row("valid/patient64544/study1/view1_frontal.png", "Clear.", ""),
]


@pytest.fixture
def data_dir(tmp_path):
    fixtures.write_json(tmp_path / "CheXpert_Plus/test.json", ROWS)
    for study in ROWS:
        fixtures.write_picture(tmp_path / "CheXpert_Plus/images" / study["image"])
    return tmp_path


def load(folder):
    return catalog.load(chexpert_plus.CheXpertPlus(), folder)


def test_the_one_image_stands_before_the_prompt_without_a_number(data_dir):
    assert load(data_dir)[0].messages[0]["content"] == [
        {
            "type": "image",
            "image": str(data_dir / "CheXpert_Plus/images" / ROWS[0]["image"]),
        },
        {
            "type": "text",
            "text": "You are a helpful assistant. Please generate a report for the given images,"
            " including both findings and impressions. Return the report in the following format:"
            " Findings: {} Impression: {}.",
        },
    ]


def test_a_study_without_a_report_is_left_out_and_counted(data_dir):
    samples = load(data_dir)
    assert [sample.gold for sample in samples] == [
        "Findings:  Impression: 1. NO ACUTE DISEASE.\n2. STABLE..",
        "Findings:  Impression: UNCHANGED.",
        "Findings: Clear. Impression: NORMAL.",
        "Findings: Clear. Impression: .",
    ]
    assert files.remarks(chexpert_plus.CARD, samples) == [
        "chexpert_plus: 1 of 5 studies have neither findings nor impression and are left out, as in"
        " MedEvalKit",
        "chexpert_plus has 4 rows here, 234 as published",
    ]


def test_studies_of_a_patient_share_a_group_that_does_not_tell_who(data_dir):
    samples = load(data_dir)
    groups = [sample.group for sample in samples]
    assert groups[0] == groups[1] and len(set(groups)) == 3
    assert not any("64541" in str(sample.fields) + sample.group for sample in samples)


def test_a_report_has_no_verdict(data_dir):
    scored = benchmark.score(load(data_dir)[0], benchmark.Answer("NORMAL", "stop"))
    assert scored["compat"]["correct"] is scored["strict"]["correct"] is None


def test_a_list_of_images_is_refused(data_dir):
    fixtures.write_json(
        data_dir / "CheXpert_Plus/test.json", [ROWS[0] | {"image": [ROWS[0]["image"]]}]
    )
    with pytest.raises(errors.UserError, match="row 0: image must be a file name, got list"):
        load(data_dir)


def test_missing_data_say_which_agreement_they_need(tmp_path):
    with pytest.raises(errors.UserError, match=r"aimi\.stanford\.edu.*agreement"):
        load(tmp_path)
