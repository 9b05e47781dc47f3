# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Labels as coarse captions, without what no picture shows."""

import json

import pytest

from data_tools.synthesis import label_presets, metadata, seeds


def seed(labels=(), **fields):
    return seeds.Seed(id="set/1", source="set", labels=dict(labels), **fields)


@pytest.mark.parametrize(
    "name",
    "age Patient_Age sex gender ethnicity date AcquisitionDate outcome survival_days treatment "
    "smoking scanner Manufacturer institution annotator HER2 mgmt_status split stage".split(),
)
def test_what_pixels_do_not_show_is_removed_with_a_reason(name):
    made = metadata.coarse(seed({name: "PLANTED", "finding": "a mass"}))
    assert "PLANTED" not in made.text and "a mass" in made.text
    assert name in made.removed and made.removed[name]


@pytest.mark.parametrize(
    "name", "patient_id PatientName id image_id MRN accession StudyUID email birth_date".split()
)
def test_identifiers_are_never_said(name):
    made = metadata.coarse(seed({name: "PLANTED"}))
    assert made.text == "" and made.removed[name] == metadata.IDENTIFIER
    assert metadata.is_identifier(name)


def test_a_name_of_no_known_kind_is_not_shown():
    made = metadata.coarse(seed({"zygosity": "PLANTED"}))
    assert made.text == "" and made.removed == {"zygosity": metadata.UNKNOWN}


def test_an_unknown_set_has_a_general_caption():
    labels = {"finding": "pleural effusion", "cell_type": "lymphocyte"}
    made = metadata.coarse(seed(labels, modality="X-ray"))
    assert made.text == (
        "This is an X-ray picture. Finding: pleural effusion. Cell type: lymphocyte."
    )
    assert made.shown == labels


def test_a_known_set_has_its_own_sentences():
    labels = {"finding": "malignant mass", "age": "61", "structures": "breast mass"}
    made = metadata.coarse(seed(labels, modality="ultrasound", dataset="busi"))
    assert made.text == (
        "This is an ultrasound picture of a breast. Finding: malignant mass."
        " Structures: breast mass."
    )
    assert set(made.removed) == {"age"}


def test_a_sentence_without_its_label_is_not_said():
    made = metadata.coarse(seed({"finding": "edema"}, modality="X-ray", dataset="chexpert"))
    assert made.text == "Findings: edema."
    whole = {"finding": "edema", "view": "frontal"}
    made = metadata.coarse(seed(whole, modality="X-ray", dataset="chexpert"))
    assert made.text == "This is a frontal chest radiograph. Findings: edema."


def test_visibility_depends_on_the_modality():
    assert metadata.why_hidden("laterality", modality="fundus") == ""
    assert metadata.why_hidden("laterality", modality="histopathology")
    assert metadata.why_hidden("site", modality="digital photography") == ""
    assert metadata.why_hidden("site", modality="dermoscopy")


def test_values_are_masked_where_they_name_a_person():
    made = metadata.coarse(seed({"finding": "a mass, mail jane.doe@example.org"}))
    assert "jane.doe" not in made.text and "a mass" in made.text


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("A 65-year-old man with pneumonia.", "a patient with pneumonia."),
        ("Chest radiograph of a 3 months old infant.", "Chest radiograph of a patient."),
        ("CT of an elderly woman, with a mass.", "CT of a patient, with a mass."),
        ("A 12 mm nodule in the left lung.", "A 12 mm nodule in the left lung."),
    ],
)
def test_captions_lose_age_and_sex(said, left):
    assert metadata.coarse(seed(caption=said)).text == left


def test_nothing_known_gives_nothing():
    assert metadata.coarse(seed()).text == ""
    assert metadata.coarse(seed({"finding": " "})).text == ""


def test_rules_are_of_presets_and_use_labels_that_are_visible():
    assert set(metadata.RULES) == set(label_presets.PRESETS)
    for key, rule in metadata.RULES.items():
        for sentence in rule.sentences:
            for name in metadata._places(sentence):
                assert not metadata.why_hidden(name, dataset=key), (key, name)


def test_real_captions_say_no_age(shared_dir):
    path = shared_dir / "data" / "covid_chestxray_open" / "captions.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert rows
    for row in rows:
        text = metadata.coarse(seed({"finding": row["finding"]}, caption=row["caption"])).text
        assert row["finding"] in text
        assert "year-old" not in text and "year old" not in text
