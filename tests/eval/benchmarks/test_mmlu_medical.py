# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import collections
import csv
import gzip
import json

import pytest

from lingshu_jax.common import errors
from lingshu_jax.eval import catalog, files
from lingshu_jax.eval.benchmarks import mmlu_medical
from tests.eval.benchmarks import choices, fixtures

# The hub's columns, all subjects in one file in order of the alphabet; `answer` counts from 0.
ROWS = [
    {
        "question": question,
        "subject": subject,
        "choices": ["the ulna", "the femur", "the tibia", "the skull "],
        "answer": answer,
    }
    for question, subject, answer in (
        ("What is x plus x?", "abstract_algebra", 3),
        ('Which bone is the "thigh bone"?', "anatomy", 1),
        ("Which bone is longest, if any?", "anatomy", 1),
        ("Which bone grows?", "high_school_biology", 2),
        ("Which bone heals?\n", "professional_medicine", 0),
        ("Which bone hides a virus?", "virology", 3),
    )
]
ORDER = ["anatomy-0", "anatomy-1", "professional_medicine-0", "virology-0", "high_school_biology-0"]
BENCHMARK = mmlu_medical.MmluMedical()


def write_hub(folder, rows):
    fixtures.write_parquet(folder / "all/test-00000-of-00001.parquet", rows)


def write_csv(folder, rows):
    """The publisher's files: one a subject, without a line of names, lines end as csv ends them."""
    folder.mkdir(parents=True, exist_ok=True)
    for subject in {row["subject"] for row in rows}:
        with (folder / f"{subject}_test.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(
                [row["question"], *row["choices"], "ABCD"[row["answer"]]]
                for row in rows
                if row["subject"] == subject
            )


def write_joined(folder, rows):
    """The copy of MedXpertQA's repository: question and options in one string."""
    fixtures.write_jsonl(
        folder / "mmlu_medical_input.jsonl",
        [
            {
                "question": row["question"]
                + "\nAnswer Choices: "
                + " ".join(f"({x}) {text}" for x, text in zip("ABCD", row["choices"], strict=True)),
                "label": ["ABCD"[row["answer"]]],
                "subject": row["subject"],
            }
            for row in rows
        ],
    )


def load(folder):
    return catalog.load(BENCHMARK, folder)


@pytest.fixture
def data_dir(tmp_path):
    write_hub(tmp_path / "mmlu_medical", ROWS)
    return tmp_path


def test_a_row_is_asked_with_the_plain_prompt(data_dir):
    samples = load(data_dir)
    asked = (
        '\nQuestion: Which bone is the "thigh bone"?\nOptions: \nA.the ulna\nB.the femur\n'
        "C.the tibia\nD.the skull \n"
        "Answer with the option's letter from the given choices directly."
    )
    assert choices.prompt(samples[0]) == asked
    assert samples[0].fields == {
        "question": 'Which bone is the "thigh bone"?',
        "subject": "anatomy",
        "choices": ["A.the ulna", "B.the femur", "C.the tibia", "D.the skull "],
        "answer": "B",
        "prompt": asked,
    }


def test_the_nine_subjects_stand_in_medevalkits_order_and_no_other_does(data_dir):
    samples = load(data_dir)
    assert [sample.id for sample in samples] == ORDER
    assert [sample.gold for sample in samples] == ["B", "B", "A", "D", "C"]
    assert [sample.strata["subject"] for sample in samples] == [s[:-2] for s in ORDER]
    assert [s.strata["usual_six"] for s in samples] == ["yes", "yes", "yes", "no", "no"]


def test_both_scores_take_the_gold_alone(data_dir):
    choices.expect_only_the_gold_is_right(load(data_dir))


@pytest.mark.parametrize("write", [write_csv, write_joined])
def test_every_layout_holds_the_same(data_dir, tmp_path, write):
    write(tmp_path / "other", ROWS[1:])
    assert load(tmp_path / "other") == load(data_dir)


def test_other_counts_than_published_are_told(data_dir):
    assert files.remarks(mmlu_medical.CARD, load(data_dir)) == [
        "mmlu_medical has 5 rows here, 1871 as published",
        "mmlu_medical has other golds here than as published (in brackets):"
        " A 1 (406), B 2 (456), C 1 (437), D 1 (572)",
    ]


@pytest.mark.parametrize("answer", [4, -1])
def test_a_gold_beyond_the_options_is_refused(tmp_path, answer):
    write_hub(tmp_path, [*ROWS[:2], ROWS[2] | {"answer": answer}])
    with pytest.raises(errors.UserError, match="row 2: the gold must be 0 to 3, got"):
        load(tmp_path)


def test_a_letter_beyond_the_options_is_refused(tmp_path):
    (tmp_path / "anatomy_test.csv").write_text("What?,a,b,c,d,E\n", encoding="utf-8")
    with pytest.raises(errors.UserError, match="row 0: the gold must be one of A, B, C, D, got 'E"):
        load(tmp_path)


@pytest.mark.parametrize("line", ["What?,a,b,c,D", "What?,a,b,c,d,e,D"])
def test_another_number_of_cells_is_refused(tmp_path, line):
    (tmp_path / "anatomy_test.csv").write_text(line + "\n", encoding="utf-8")
    with pytest.raises(errors.UserError, match=r"anatomy_test.csv row 0 needs 6 cells"):
        load(tmp_path)


def test_files_of_other_subjects_are_refused(tmp_path):
    (tmp_path / "astronomy_test.csv").write_text("What?,a,b,c,d,A\n", encoding="utf-8")
    with pytest.raises(errors.UserError, match="anatomy, clinical_knowledge, .*; found astronomy"):
        load(tmp_path)


def test_a_missing_column_is_named(tmp_path):
    write_hub(tmp_path, [{"question": "What?", "subject": "anatomy", "answer": 0}])
    with pytest.raises(errors.UserError, match="row 0 needs .*'choices'.*, found .*'question'"):
        load(tmp_path)


def test_missing_data_say_where_they_are(tmp_path):
    with pytest.raises(errors.UserError, match=r"hf download --repo-type dataset cais/mmlu --rev"):
        load(tmp_path)


def test_real_files_of_six_subjects_hold_the_usual_six(shared_dir):
    samples = load(shared_dir / "data")
    counts = collections.Counter(sample.strata["subject"] for sample in samples)
    assert counts == {
        "anatomy": 135,
        "clinical_knowledge": 265,
        "college_biology": 144,
        "college_medicine": 173,
        "medical_genetics": 100,
        "professional_medicine": 272,
    }
    assert collections.Counter(s.gold for s in samples) == {"A": 235, "B": 254, "C": 248, "D": 352}
    assert {sample.strata["usual_six"] for sample in samples} == {"yes"}
    assert files.remarks(mmlu_medical.CARD, samples)[0] == (
        "mmlu_medical has 1089 rows here, 1871 as published"
    )


def test_all_strings_of_the_other_copy_split_into_the_publishers_options(shared_dir):
    joined = load(shared_dir / "data/text_mcq/medxpertqa_repo")
    assert joined == load(shared_dir / "data/model_outputs_mirage/gold/mmlu")


def test_the_copy_itself_says_how_many_there_are(shared_dir):
    path = shared_dir / "data/text_mcq/medxpertqa_repo/mmlu_medical_input.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        subjects = collections.Counter(json.loads(line)["subject"] for line in file)
    assert set(subjects) == set(mmlu_medical.USUAL_SIX)
    assert sum(subjects.values()) == 1089
