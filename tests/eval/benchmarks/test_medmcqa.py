# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import pytest

from lingshu_jax.common import errors
from lingshu_jax.eval import benchmark, catalog, files
from lingshu_jax.eval.benchmarks import medmcqa
from tests.eval.benchmarks import fixtures

# The hub's columns; `cop` counts from 0, `exp` may be missing.
ROWS = [
    {
        "id": f"row-{number}",
        "question": f"Which vitamin is number {number}?",
        "opa": "Vitamin A",
        "opb": "Vitamin B ",
        "opc": "Vitamin C",
        "opd": "None",
        "cop": cop,
        "choice_type": "single",
        "exp": None if number else "Because.",
        "subject_name": "Biochemistry",
        "topic_name": None,
    }
    for number, cop in enumerate((0, 1, 2, 3, 2))
]


@pytest.fixture
def data_dir(tmp_path):
    fixtures.write_parquet(tmp_path / "medmcqa/data/validation-00000-of-00001.parquet", ROWS)
    return tmp_path


def test_a_row_is_asked_as_medevalkit_asks_it(data_dir):
    samples = catalog.load(medmcqa.MedMcqa(), data_dir)
    assert samples[0].messages == (
        {
            "role": "user",
            "content": [
                {
                    "type": "text",
                    "text": "\nQuestion: Which vitamin is number 0?\nOptions: \nA. Vitamin A\n"
                    "B. Vitamin B \nC. Vitamin C\nD. None\nAnswer with the option's letter from the"
                    " given choices directly.",
                }
            ],
        },
    )
    assert [sample.gold for sample in samples] == ["A", "B", "C", "D", "C"]
    assert samples[2].fields["answer"] == "C"
    assert samples[2].fields["subject_name"] == "Biochemistry"


def test_both_scores_read_the_gold(data_dir):
    for sample in catalog.load(medmcqa.MedMcqa(), data_dir):
        row = benchmark.score(sample, benchmark.Answer(f"{sample.gold}.", "stop"))
        assert row["compat"]["correct"]
        assert row["strict"]["correct"]


def test_other_counts_than_published_are_told(data_dir):
    samples = catalog.load(medmcqa.MedMcqa(), data_dir)
    assert files.remarks(medmcqa.CARD, samples) == ["medmcqa has 5 rows here, 4183 as published"]


@pytest.mark.parametrize("cop", [4, -1, None])
def test_a_gold_beyond_the_options_is_refused(tmp_path, cop):
    rows = [ROWS[0], ROWS[1] | {"cop": cop}]
    fixtures.write_parquet(tmp_path / "data/validation-0.parquet", rows)
    with pytest.raises(errors.UserError, match="id row-1: cop must be 0 to 3"):
        catalog.load(medmcqa.MedMcqa(), tmp_path)


def test_a_missing_column_is_named(tmp_path):
    row = {name: value for name, value in ROWS[0].items() if name != "cop"}
    fixtures.write_parquet(tmp_path / "data/validation-0.parquet", [row])
    with pytest.raises(errors.UserError, match="row 0 needs .*'cop'.*, found .*'choice_type'"):
        catalog.load(medmcqa.MedMcqa(), tmp_path)


def test_missing_data_say_where_they_are(tmp_path):
    with pytest.raises(errors.UserError, match="hf download .* openlifescienceai/medmcqa"):
        catalog.load(medmcqa.MedMcqa(), tmp_path)
