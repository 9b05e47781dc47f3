# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import csv

import pytest

from lingshu_jax.common import errors
from lingshu_jax.eval import catalog, files
from lingshu_jax.eval.benchmarks import medbullets
from tests.eval.benchmarks import choices, fixtures

OPTIONS = ("Aspirin", "Rest, and nothing else", "Surgery", "Reassurance", "Amoxicillin")
FOUR = medbullets.Medbullets(medbullets.FOUR, 4)
FIVE = medbullets.Medbullets(medbullets.FIVE, 5)


def publishers_rows(num_options, golds="ABCDA"):
    """The publisher's columns: options in `opa` and so on, the letter in `answer_idx`."""
    columns = [f"op{letter}" for letter in "abcde"[:num_options]]
    return [
        {
            "link": f"https://example.org/{number}",
            "question": f"A {number}-year-old woman falls. What is the best next step?",
            **dict(zip(columns, OPTIONS, strict=False)),
            "answer_idx": gold,
            "answer": OPTIONS["ABCDE".index(gold)],
            "explanation": 'Because.\n\nIncorrect Answers:\nAnswer "A" is wrong.',
        }
        for number, gold in enumerate(golds)
    ]


def hubs_rows():
    """The hub's four options: by letter in one column."""
    return [
        {
            "question": row["question"],
            "options": dict(zip("ABCD", OPTIONS, strict=False)),
            "answer": row["answer"],
            "answer_idx": row["answer_idx"],
        }
        for row in publishers_rows(4)
    ]


def write_hub(folder, rows):
    fixtures.write_parquet(folder / "data/train-00000-of-00001.parquet", rows)


def write_csv(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def data_dir(tmp_path):
    write_hub(tmp_path / "medbullets_op4", hubs_rows())
    write_hub(tmp_path / "Medbullets_op5", publishers_rows(5, "ABCDE"))
    return tmp_path


def test_four_options_are_asked_as_medevalkit_asks_them(data_dir):
    samples = catalog.load(FOUR, data_dir)
    assert choices.prompt(samples[0]) == (
        "\nQuestion: A 0-year-old woman falls. What is the best next step?\nOptions: \nA.Aspirin\n"
        "B.Rest, and nothing else\nC.Surgery\nD.Reassurance\n"
        "Answer with the option's letter from the given choices directly."
    )
    assert [sample.gold for sample in samples] == list("ABCDA")
    assert samples[1].fields == {
        **hubs_rows()[1],
        "choices": ["A.Aspirin", "B.Rest, and nothing else", "C.Surgery", "D.Reassurance"],
        "answer": "B",
    }


def test_five_options_are_asked_as_medevalkit_asks_them(data_dir):
    samples = catalog.load(FIVE, data_dir)
    assert "\nOptions: \nA.Aspirin\n" in choices.prompt(samples[0])
    assert "\nE.Amoxicillin\nAnswer with" in choices.prompt(samples[0])
    assert [sample.gold for sample in samples] == list("ABCDE")
    assert samples[4].fields == {
        **publishers_rows(5, "ABCDE")[4],
        "choices": [f"{x}.{text}" for x, text in zip("ABCDE", OPTIONS, strict=True)],
        "answer": "E",
    }


@pytest.mark.parametrize("item", [FOUR, FIVE])
def test_both_scores_take_the_gold_alone(data_dir, item):
    choices.expect_only_the_gold_is_right(catalog.load(item, data_dir))


@pytest.mark.parametrize("item", [FOUR, FIVE])
def test_the_publishers_files_are_asked_the_same(data_dir, tmp_path, item):
    rows = publishers_rows(item.num_options, "ABCDA" if item is FOUR else "ABCDE")
    write_csv(tmp_path / f"original/medbullets/{item.card.name}.csv", rows)
    found, hubs = catalog.load(item, tmp_path / "original"), catalog.load(item, data_dir)
    assert [sample.messages for sample in found] == [sample.messages for sample in hubs]
    assert [sample.gold for sample in found] == [sample.gold for sample in hubs]
    assert found[0].fields["link"] == "https://example.org/0"


def test_both_sets_lie_in_the_publishers_folder(tmp_path):
    write_csv(tmp_path / "medbullets_op4.csv", publishers_rows(4))
    write_csv(tmp_path / "medbullets_op5.csv", publishers_rows(5, "EEEEE"))
    assert [sample.gold for sample in catalog.load(FOUR, tmp_path)] == list("ABCDA")
    assert [sample.gold for sample in catalog.load(FIVE, tmp_path)] == list("EEEEE")


def test_other_counts_than_published_are_told(data_dir):
    assert files.remarks(medbullets.FIVE, catalog.load(FIVE, data_dir)) == [
        "medbullets_op5 has 5 rows here, 308 as published",
        "medbullets_op5 has other golds here than as published (in brackets):"
        " A 1 (61), B 1 (74), C 1 (53), D 1 (67), E 1 (53)",
    ]


@pytest.mark.parametrize(("item", "letters"), [(FOUR, "A, B, C, D"), (FIVE, "A, B, C, D, E")])
def test_a_gold_beyond_the_options_is_refused(tmp_path, item, letters):
    rows = publishers_rows(item.num_options)
    write_csv(tmp_path / f"{item.card.name}.csv", [rows[0], rows[1] | {"answer_idx": "F"}])
    with pytest.raises(errors.UserError, match=f"row 1: the gold must be one of {letters}, got"):
        catalog.load(item, tmp_path)


def test_missing_columns_are_named(tmp_path):
    write_csv(tmp_path / "medbullets_op5.csv", publishers_rows(4))
    with pytest.raises(errors.UserError, match="row 0 needs .*'ope'.*, found .*'opd'"):
        catalog.load(FIVE, tmp_path)
    write_hub(tmp_path, publishers_rows(4))
    with pytest.raises(errors.UserError, match="row 0 needs .*'options'.*, found .*'opd'"):
        catalog.load(FOUR, tmp_path)


def test_missing_data_say_where_they_are(tmp_path):
    with pytest.raises(errors.UserError, match=r"hf download .*MedBullets_op4 .*ChallengeClinical"):
        catalog.load(FOUR, tmp_path)
    with pytest.raises(errors.UserError, match=r"hf download .*LangAGI-Lab/medbullets_op5"):
        catalog.load(FIVE, tmp_path)
