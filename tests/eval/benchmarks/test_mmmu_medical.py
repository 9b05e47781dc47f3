# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import pytest

from lingshu_jax.common import errors
from lingshu_jax.eval import benchmark, catalog, files
from lingshu_jax.eval.benchmarks import mmmu_medical
from tests.eval.benchmarks import fixtures

VALIDATION = mmmu_medical.MmmuMedical(mmmu_medical.VALIDATION, "validation")
TEST = mmmu_medical.MmmuMedical(mmmu_medical.TEST, "test")


def row(row_id, options, answer, *, question="What is <image 1>?", pictures=1):
    shades = {f"image_{i}": 40 * i if i <= pictures else None for i in range(1, 8)}
    return {
        "id": row_id,
        "question": question,
        "options": options,
        "explanation": "",
        **{
            name: {"bytes": fixtures.picture(shade), "path": f"{row_id}_{name}.png"}
            if shade
            else None
            for name, shade in shades.items()
        },
        "img_type": "['Medical Images']",
        "answer": answer,
        "topic_difficulty": "Easy",
        "question_type": "multiple-choice" if options != "[]" else "open",
        "subfield": "Anatomy",
    }


# A row for each subject, with the hub's columns: options are the text of a Python list, several
# options may be pictures, and open questions have none.
ROWS = {
    "Basic_Medical_Science": row("S_Basic_Medical_Science_1", "['Atrium', \"Bowman's\"]", "B"),
    "Clinical_Medicine": row(
        "S_Clinical_Medicine_1", "['<image 2>', '<image 3>', '<image 4>']", "C", pictures=4
    ),
    "Diagnostics_and_Laboratory_Medicine": row(
        "S_Diagnostics_and_Laboratory_Medicine_1", "['A', 'B', 'C', 'D', 'None']", "E"
    ),
    "Pharmacy": row("S_Pharmacy_1", "[]", "Anti-parallel", question="How do <image 1> run?"),
    "Public_Health": row("S_Public_Health_1", "[]", "2.68"),
}
GOLDS = {
    row["id"].replace("S_", "test_"): {
        "question_type": row["question_type"],
        "ground_truth": row["answer"],
    }
    for row in ROWS.values()
} | {"test_Accounting_1": {"question_type": "open", "ground_truth": ["1/2", "0.5"]}}


def write(folder, split, **changes):
    for subject, content in ROWS.items():
        content = content | {"id": content["id"].replace("S_", f"{split}_")} | changes
        fixtures.write_parquet(folder / subject / f"{split}-00000-of-00001.parquet", [content])


@pytest.fixture
def data_dir(tmp_path):
    """Both splits, the golds of the test split in a file of their own."""
    write(tmp_path / "MMMU", "validation")
    write(tmp_path / "MMMU", "test", answer="?")
    fixtures.write_json(tmp_path / "MMMU/answer.json", GOLDS)
    return tmp_path


def load(item, folder):
    return catalog.load(item, folder)


@pytest.mark.parametrize("item", [VALIDATION, TEST])
def test_rows_are_asked_as_medevalkit_asks_them(data_dir, item):
    samples = load(item, data_dir)
    texts = [sample.messages[0]["content"][-1]["text"] for sample in samples]
    assert texts[0] == (
        "\nWhat is <image 1>?\n\n(A) Atrium\n(B) Bowman's\n\n\n        Answer with the option's"
        " letter from the given choices directly."
    )
    assert texts[3] == (
        "\nHow do <image 1> run?\n\n        Answer the question using a single word or phrase."
    )
    assert [sample.gold for sample in samples] == ["B", "C", "E", "Anti-parallel", "2.68"]


def test_only_the_first_picture_is_shown(data_dir):
    sample = load(VALIDATION, data_dir)[1]
    assert sample.choices == ("(A) <image 2>", "(B) <image 3>", "(C) <image 4>")
    assert [part["type"] for part in sample.messages[0]["content"]] == ["image", "text"]
    assert sample.media[0]["image"] == fixtures.picture(40)


@pytest.mark.parametrize(
    ("options", "shown"),
    [("['<img=\\'a.png\\'>', 'b']", 1), ("['<img=\\'a.png\\'>', '<img=\\'b.png\\'>']", 0)],
)
def test_options_of_picture_files_leave_no_picture(data_dir, options, shown):
    changed = ROWS["Pharmacy"] | {"options": options, "answer": "A"}
    path = data_dir / "MMMU/Pharmacy/validation-00000-of-00001.parquet"
    fixtures.write_parquet(path, [changed | {"question_type": "multiple-choice"}])
    assert len(load(VALIDATION, data_dir)[3].media) == shown


def test_a_sample_keeps_what_medevalkits_results_keep(data_dir):
    samples = load(VALIDATION, data_dir)
    assert samples[0].fields == {
        "id": "validation_Basic_Medical_Science_1",
        "question_type": "multiple-choice",
        "answer": "B",
        "all_choices": ["A", "B"],
        "index2ans": {"A": "Atrium", "B": "Bowman's"},
    }
    assert samples[4].fields == {
        "id": "validation_Public_Health_1",
        "question_type": "open",
        "answer": "2.68",
    }
    assert samples[4].strata == {
        "subject": "Public_Health",
        "question_type": "open",
        "difficulty": "Easy",
    }


def test_strict_types_follow_question_and_gold(data_dir):
    samples = load(VALIDATION, data_dir)
    kinds = [sample.answer_type for sample in samples]
    assert kinds == ["choice", "choice", "choice", "open", "number"]
    assert samples[0].options == ("Atrium", "Bowman's")
    assert samples[4].options == samples[4].choices == ()


@pytest.mark.parametrize("item", [VALIDATION, TEST])
def test_both_scores_read_the_gold(data_dir, item):
    for sample in load(item, data_dir):
        scored = benchmark.score(sample, benchmark.Answer(sample.gold, "stop"))
        assert scored["compat"]["correct"], sample.id
        assert scored["strict"]["correct"], sample.id


def test_both_scores_refuse_a_wrong_answer(data_dir):
    for sample, said in zip(load(TEST, data_dir), "AAA73", strict=True):
        scored = benchmark.score(sample, benchmark.Answer(said, "stop"))
        assert not scored["compat"]["correct"], sample.id
        assert not scored["strict"]["correct"], sample.id


def test_golds_may_stand_in_the_table(tmp_path):
    write(tmp_path, "test")
    assert [sample.gold for sample in load(TEST, tmp_path)] == [
        *("B", "C", "E", "Anti-parallel", "2.68")
    ]


def test_golds_may_come_under_the_publishers_name(data_dir):
    (data_dir / "MMMU/answer.json").rename(data_dir / "MMMU/answer_dict_test.json")
    assert load(TEST, data_dir)[0].gold == "B"


@pytest.mark.parametrize("hidden", ["?", ""])
def test_golds_that_are_kept_back_say_where_they_are(tmp_path, hidden):
    write(tmp_path, "test", answer=hidden)
    with pytest.raises(errors.UserError, match="has no gold, .*; put answer.json or .* beside"):
        load(TEST, tmp_path)


def test_a_row_without_a_gold_is_named(data_dir):
    golds = {name: gold for name, gold in GOLDS.items() if name != "test_Pharmacy_1"}
    fixtures.write_json(data_dir / "MMMU/answer.json", golds)
    with pytest.raises(errors.UserError, match="id test_Pharmacy_1 needs .*, found None"):
        load(TEST, data_dir)


@pytest.mark.parametrize(
    "gold",
    [
        {"question_type": "multiple-choice", "ground_truth": "A"},
        {"question_type": "open", "ground_truth": ["parallel", "anti-parallel"]},
    ],
)
def test_a_gold_of_another_kind_is_named(data_dir, gold):
    fixtures.write_json(data_dir / "MMMU/answer.json", GOLDS | {"test_Pharmacy_1": gold})
    with pytest.raises(errors.UserError, match="test_Pharmacy_1 is 'open' and needs one gold"):
        load(TEST, data_dir)


def test_a_file_of_golds_that_is_a_list_is_refused(data_dir):
    fixtures.write_json(data_dir / "MMMU/answer.json", ["A"])
    with pytest.raises(errors.UserError, match="answer.json must map ids to golds, found a list"):
        load(TEST, data_dir)


def test_a_missing_subject_is_named(data_dir):
    (data_dir / "MMMU/Pharmacy/test-00000-of-00001.parquet").unlink()
    with pytest.raises(errors.UserError, match="must hold one Pharmacy/test-.*, found nothing"):
        load(TEST, data_dir)


def test_a_missing_column_is_named(data_dir):
    path = data_dir / "MMMU/Pharmacy/test-00000-of-00001.parquet"
    fixtures.write_parquet(path, [{"id": "test_Pharmacy_1", "question": "?"}])
    with pytest.raises(
        errors.UserError, match="row 0 needs .*'image_1'.*, found .'id', 'question'"
    ):
        load(TEST, data_dir)


def test_a_missing_picture_is_named(data_dir):
    path = data_dir / "MMMU/Pharmacy/validation-00000-of-00001.parquet"
    fixtures.write_parquet(path, [ROWS["Pharmacy"] | {"image_1": None}])
    with pytest.raises(errors.UserError, match="id S_Pharmacy_1 image_1 must hold an encoded"):
        load(VALIDATION, data_dir)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"options": "['a', 'b'"}, "options are no list"),
        ({"options": "__import__('os').getcwd()"}, "options are no list"),
        ({"options": "'a'"}, "options are no list"),
        ({"question_type": "essay"}, "question_type must be multiple-choice or open, got 'essay'"),
    ],
)
def test_a_row_of_another_form_is_named(data_dir, change, message):
    path = data_dir / "MMMU/Pharmacy/validation-00000-of-00001.parquet"
    fixtures.write_parquet(path, [ROWS["Pharmacy"] | change])
    with pytest.raises(errors.UserError, match=f"id S_Pharmacy_1: {message}"):
        load(VALIDATION, data_dir)


def test_other_counts_than_published_are_told(data_dir):
    count, golds = files.remarks(mmmu_medical.TEST, load(TEST, data_dir))
    assert count == "mmmu_medical_test has 5 rows here, 1752 as published"
    assert "B 1 (431)" in golds


def test_missing_data_say_where_they_are(tmp_path):
    with pytest.raises(errors.UserError, match="hf download .* MMMU/MMMU --revision 98e6ac0"):
        load(VALIDATION, tmp_path)
