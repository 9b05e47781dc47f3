# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import pytest

from lingshu_jax.common import errors
from lingshu_jax.eval import catalog, files
from lingshu_jax.eval.benchmarks import supergpqa
from tests.eval.benchmarks import choices, fixtures

# The publisher's columns; from four to ten options, `answer` is the text of the right one.
ROWS = [
    {
        "uuid": f"{number:032x}",
        "question": f"How does enzyme {number} work?",
        "options": [f"By way {number * 10 + way}" for way in range(num_options)],
        "answer": f"By way {number * 10 + 'ABCDEFGHIJ'.index(gold)}",
        "answer_letter": gold,
        "discipline": discipline,
        "field": field,
        "subfield": "Enzymes",
        "difficulty": difficulty,
        "is_calculation": False,
    }
    for number, (num_options, gold, discipline, field, difficulty) in enumerate(
        (
            (10, "J", "Medicine", "Basic Medicine", "middle"),
            (10, "A", "Law", "Law", "easy"),
            (4, "D", "Medicine", "Pharmacy", "hard"),
            (9, "B", "Medicine", "Basic Medicine", "easy"),
            (10, "C", "Science", "Biology", "easy"),
        )
    )
]
BENCHMARK = supergpqa.SuperGpqa()


def write(folder, rows):
    fixtures.write_jsonl(folder / "SuperGPQA-all.jsonl", rows)


def load(folder):
    return catalog.load(BENCHMARK, folder)


@pytest.fixture
def data_dir(tmp_path):
    write(tmp_path / "SuperGPQA/data", ROWS)
    return tmp_path


def test_a_row_is_asked_as_medevalkit_asks_it(data_dir):
    samples = load(data_dir)
    assert choices.prompt(samples[1]) == (
        "\nQuestion: How does enzyme 2 work?\nOptions: \nA.By way 20\nB.By way 21\nC.By way 22\n"
        "D.By way 23\nAnswer with the option's letter from the given choices directly."
    )
    assert "\nJ.By way 9\nAnswer with" in choices.prompt(samples[0])
    kept = {name: value for name, value in ROWS[2].items() if name != "answer_letter"}
    lettered = ["A.By way 20", "B.By way 21", "C.By way 22", "D.By way 23"]
    assert samples[1].fields == {**kept, "choices": lettered, "answer": "D"}


def test_medicine_alone_is_asked_by_field_and_difficulty(data_dir):
    samples = load(data_dir)
    assert [sample.id for sample in samples] == ["0", "2", "3"]
    assert [sample.gold for sample in samples] == ["J", "D", "B"]
    assert [dict(sample.strata) for sample in samples] == [
        {"field": "Basic Medicine", "difficulty": "middle"},
        {"field": "Pharmacy", "difficulty": "hard"},
        {"field": "Basic Medicine", "difficulty": "easy"},
    ]


def test_both_scores_take_the_gold_alone(data_dir):
    choices.expect_only_the_gold_is_right(load(data_dir))


def test_other_counts_than_published_are_told(data_dir):
    assert files.remarks(supergpqa.CARD, load(data_dir)) == [
        "supergpqa has 3 rows here, 2755 as published"
    ]


def test_a_gold_beyond_the_options_is_refused(tmp_path):
    write(tmp_path, [ROWS[0], ROWS[2] | {"answer_letter": "E"}])
    with pytest.raises(errors.UserError, match="row 1: the gold must be one of A, B, C, D, got 'E"):
        load(tmp_path)


def test_options_that_are_no_list_are_refused(tmp_path):
    write(tmp_path, [ROWS[0] | {"options": None}])
    with pytest.raises(errors.UserError, match="row 0: options must be a list of texts, got 'None"):
        load(tmp_path)


def test_a_missing_column_is_named(tmp_path):
    write(tmp_path, [{name: value for name, value in ROWS[0].items() if name != "difficulty"}])
    with pytest.raises(errors.UserError, match="row 0 needs .*'difficulty'.*, found .*'uuid'"):
        load(tmp_path)


def test_a_file_without_medicine_is_refused(tmp_path):
    write(tmp_path, [ROWS[1]])
    with pytest.raises(errors.UserError, match="supergpqa: no rows"):
        load(tmp_path)


def test_missing_data_say_where_they_are(tmp_path):
    with pytest.raises(errors.UserError, match=r"hf download .* m-a-p/SuperGPQA --revision 4430"):
        load(tmp_path)
