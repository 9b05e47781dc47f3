# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import zipfile

import pytest

from lingshu_jax.common import errors
from lingshu_jax.eval import benchmark, catalog, files
from lingshu_jax.eval.benchmarks import omni_med_vqa
from tests.eval.benchmarks import fixtures


def row(question_id, gold, *options, image="Images/ACRIMA/Im002 a.png", modality="modality_type"):
    return {
        "dataset": question_id.rpartition("_")[0],
        "question_id": question_id,
        "question_type": "Modality Recognition",
        "question": "What imaging technique was employed?",
        "gt_answer": gold,
        "image_path": image,
        **{f"option_{letter}": text for letter, text in zip("ABCD", options, strict=False)},
        modality: "Fundus Photography",
    }


# The publisher's fields, a file for each set of images. Options are two to four, two may be equal,
# one set says modality for modality_type, and an id may come again.
ACRIMA = [
    row("ACRIMA_0000", "Fundus imaging", "PET scan", "CT", "Fundus imaging", "X-ray"),
    row("ACRIMA_0001", "Yes", "No", "Yes"),
]
CHEST = [
    row("Chest CT Scan_0", "CT", "CT", "MRI", "CT", image="Images/Chest CT Scan/a/b%3.png"),
    row("Chest CT Scan_1", "ct.", "X-ray", "CT", modality="modality"),
    row("Chest CT Scan_1", "OCT", "MRI", "PET", "CT", "US"),
]
IMAGES = ("Images/ACRIMA/Im002 a.png", "Images/Chest CT Scan/a/b%3.png")
QUESTIONS = "QA_information/Open-access"


def write(folder, chest=CHEST):
    fixtures.write_json(folder / QUESTIONS / "Chest CT Scan.json", chest)
    fixtures.write_json(folder / QUESTIONS / "ACRIMA.json", ACRIMA)
    fixtures.write_json(folder / "QA_information/Restricted-access/X.json", [{"not": "read"}])
    for name in IMAGES:
        fixtures.write_picture(folder / name)


@pytest.fixture
def data_dir(tmp_path):
    write(tmp_path / "OmniMedVQA")
    return tmp_path


def load(folder):
    return catalog.load(omni_med_vqa.OmniMedVqa(), folder)


def test_a_row_is_asked_as_medevalkit_asks_it(data_dir):
    sample = load(data_dir)[0]
    assert sample.messages[0]["content"] == [
        {"type": "image", "image": str(data_dir / "OmniMedVQA" / IMAGES[0])},
        {
            "type": "text",
            "text": "\nQuestion: What imaging technique was employed?\nOptions: \nA. PET scan\n"
            "B. CT\nC. Fundus imaging\nD. X-ray\nAnswer with the option's letter from the given"
            " choices directly.",
        },
    ]
    assert sample.fields == {
        "dataset": "ACRIMA",
        "question_id": "ACRIMA_0000",
        "question_type": "Modality Recognition",
        "question": "What imaging technique was employed?",
        "image_path": "Images/ACRIMA/Im002 a.png",
        "option_A": "PET scan",
        "option_B": "CT",
        "option_C": "Fundus imaging",
        "option_D": "X-ray",
        "modality_type": "Fundus Photography",
        "choices": ["A. PET scan", "B. CT", "C. Fundus imaging", "D. X-ray"],
        "answer": "C",
    }


def test_the_gold_is_the_letter_of_the_last_equal_option(data_dir):
    samples = load(data_dir)
    assert [sample.gold for sample in samples] == ["C", "B", "C", "ct.", "OCT"]
    assert [len(sample.options) for sample in samples] == [4, 2, 3, 2, 4]


def test_a_gold_that_is_no_option_stays_text(data_dir):
    kinds = [sample.answer_type for sample in load(data_dir)]
    assert kinds == ["choice", "choice", "choice", "choice", "open"]


def test_files_are_read_by_name_and_ids_are_unique(data_dir):
    samples = load(data_dir)
    assert [sample.id for sample in samples] == [
        *("ACRIMA_0000", "ACRIMA_0001"),
        *("Chest CT Scan_0", "Chest CT Scan_1", "Chest CT Scan_1#2"),
    ]
    assert samples[2].group == IMAGES[1]
    assert samples[3].strata == {
        "question_type": "Modality Recognition",
        "modality": "Fundus Photography",
        "dataset": "Chest CT Scan",
    }
    assert samples[3].fields["modality_type"] == "Fundus Photography"


def test_both_scores_read_the_gold(data_dir):
    for sample in load(data_dir)[:3]:
        scored = benchmark.score(sample, benchmark.Answer(sample.gold, "stop"))
        assert scored["compat"]["correct"]
        assert scored["strict"]["correct"]


def test_equal_options_are_equally_right_in_the_strict_score_alone(data_dir):
    scored = benchmark.score(load(data_dir)[2], benchmark.Answer("A", "stop"))
    assert not scored["compat"]["correct"]
    assert scored["strict"]["correct"]


def test_a_gold_in_other_letters_than_its_option_is_right_in_the_strict_score_alone(data_dir):
    scored = benchmark.score(load(data_dir)[3], benchmark.Answer("B", "stop"))
    assert not scored["compat"]["correct"]
    assert scored["strict"]["correct"]


def test_both_scores_refuse_another_option(data_dir):
    for sample in load(data_dir)[:2]:
        scored = benchmark.score(sample, benchmark.Answer("A", "stop"))
        assert not scored["compat"]["correct"]
        assert not scored["strict"]["correct"]


@pytest.mark.parametrize("top", ["", "OmniMedVQA/"])
def test_the_archive_of_the_hub_is_unpacked(tmp_path, top):
    write(tmp_path / "content")
    (tmp_path / "omni_med_vqa").mkdir()
    with zipfile.ZipFile(tmp_path / "omni_med_vqa/OmniMedVQA.zip", "w") as file:
        for path in (tmp_path / "content").rglob("*.*"):
            file.write(path, top + path.relative_to(tmp_path / "content").as_posix())
    image = load(tmp_path)[0].media[0]["image"]
    assert image == str(tmp_path / "omni_med_vqa/OmniMedVQA" / top / IMAGES[0])


def test_an_archive_that_is_unpacked_already_need_not_be_there(tmp_path):
    write(tmp_path / "omni_med_vqa/OmniMedVQA")
    assert len(load(tmp_path)) == 5


def test_other_counts_than_published_are_told(data_dir):
    assert files.remarks(omni_med_vqa.CARD, load(data_dir)) == [
        "omni_med_vqa has 5 rows here, 88996 as published"
    ]


def test_a_missing_image_is_named(data_dir):
    (data_dir / "OmniMedVQA" / IMAGES[1]).unlink()
    with pytest.raises(errors.UserError, match="no picture 'Images/Chest CT Scan/a/b%3.png'"):
        load(data_dir)


def test_a_missing_column_is_named(tmp_path):
    write(tmp_path, [{name: value for name, value in CHEST[0].items() if name != "gt_answer"}])
    with pytest.raises(errors.UserError, match="row 0 needs .*'gt_answer'.*, found .*'option_C'"):
        load(tmp_path)


@pytest.mark.parametrize("left_out", ["option_A", "option_B", "modality_type"])
def test_a_row_without_options_in_a_row_or_modality_is_named(tmp_path, left_out):
    broken = {name: value for name, value in CHEST[0].items() if name != left_out}
    write(tmp_path, [broken])
    with pytest.raises(errors.UserError, match="Chest CT Scan.json Chest CT Scan_0 needs .*found"):
        load(tmp_path)


def test_missing_data_say_where_they_are(tmp_path):
    with pytest.raises(errors.UserError, match="hf download .* foreverbeliever/OmniMedVQA"):
        load(tmp_path)
