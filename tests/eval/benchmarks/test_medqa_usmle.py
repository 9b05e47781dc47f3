# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import collections
import gzip
import json

import pytest

from lingshu_jax.common import errors
from lingshu_jax.eval import catalog, files
from lingshu_jax.eval.benchmarks import medqa_usmle
from tests.eval.benchmarks import choices, fixtures

# The publisher's columns; some options and questions end in a blank.
ROWS = [
    {
        "question": f"A man of {number} years has a cough. What helps? ",
        "answer": "Rest" if gold == "A" else "Tea ",
        "options": {"A": "Rest", "B": "Tea ", "C": "Vitamin (B) complex", "D": "Nothing"},
        "meta_info": "step2&3" if number % 2 else "step1",
        "answer_idx": gold,
        "metamap_phrases": ["man", "cough"],
    }
    for number, gold in enumerate("ABBCD")
]
# The copy of MedXpertQA's repository: question and options in one string, the gold in a list.
JOINED = [
    {
        "id": f"test-{number:05}",
        "question": row["question"]
        + "\nAnswer Choices: "
        + " ".join(f"({letter}) {text}" for letter, text in row["options"].items()),
        "label": [row["answer_idx"]],
    }
    for number, row in enumerate(ROWS)
]
BENCHMARK = medqa_usmle.MedQaUsmle()


def load(folder):
    return catalog.load(BENCHMARK, folder)


@pytest.fixture
def data_dir(tmp_path):
    fixtures.write_jsonl(tmp_path / "medqa_usmle/phrases_no_exclude_test.jsonl", ROWS)
    return tmp_path


def test_a_row_is_asked_as_medevalkit_asks_it(data_dir):
    samples = load(data_dir)
    asked = (
        "\nQuestion: A man of 0 years has a cough. What helps? \nOptions: \nA. Rest\nB. Tea \n"
        "C. Vitamin (B) complex\nD. Nothing\nAnswer with the option's letter from the given choices"
        " directly."
    )
    assert choices.prompt(samples[0]) == asked
    assert [sample.gold for sample in samples] == ["A", "B", "B", "C", "D"]
    assert samples[0].fields == {
        "prompt": asked,
        "answer": "A",
        "choices": ["A. Rest", "B. Tea ", "C. Vitamin (B) complex", "D. Nothing"],
    }


def test_both_scores_take_the_gold_alone(data_dir):
    choices.expect_only_the_gold_is_right(load(data_dir))


def test_both_layouts_hold_the_same(data_dir, tmp_path):
    fixtures.write_jsonl(tmp_path / "eval/data/medqa/input/medqa_input.jsonl", JOINED)
    assert load(tmp_path / "eval/data/medqa/input") == load(data_dir)


def test_other_counts_than_published_are_told(data_dir):
    assert files.remarks(medqa_usmle.CARD, load(data_dir)) == [
        "medqa_usmle has 5 rows here, 1273 as published",
        "medqa_usmle has other golds here than as published (in brackets):"
        " A 1 (353), B 2 (309), C 1 (346), D 1 (265)",
    ]


def test_a_gold_beyond_the_options_is_refused(tmp_path):
    rows = [ROWS[0], ROWS[1] | {"answer_idx": "E"}]
    fixtures.write_jsonl(tmp_path / "phrases_no_exclude_test.jsonl", rows)
    with pytest.raises(errors.UserError, match="row 1: the gold must be one of A, B, C, D, got 'E"):
        load(tmp_path)


def test_a_string_that_reads_in_two_ways_is_refused(tmp_path):
    text = "What?\nAnswer Choices: (A) vitamin (B) complex (B) tea (C) rest (D) nothing"
    fixtures.write_jsonl(tmp_path / "medqa_input.jsonl", [{"question": text, "label": ["B"]}])
    with pytest.raises(errors.UserError, match="row 0: .* found 2 ways"):
        load(tmp_path)


def test_a_missing_column_is_named(tmp_path):
    row = {name: value for name, value in ROWS[0].items() if name != "answer_idx"}
    fixtures.write_jsonl(tmp_path / "phrases_no_exclude_test.jsonl", [row])
    with pytest.raises(errors.UserError, match="row 0 needs .*'answer_idx'.*, found .*'meta_info'"):
        load(tmp_path)


def test_missing_data_say_where_they_are(tmp_path):
    with pytest.raises(errors.UserError, match=r"hf download .*MedQA-USMLE-4-options --revision"):
        load(tmp_path)


def test_real_data_hold_what_the_card_says(shared_dir):
    samples = load(shared_dir / "data")
    assert files.remarks(medqa_usmle.CARD, samples) == []
    assert len(samples) == 1273
    assert all(len(sample.options) == 4 for sample in samples)


def test_all_strings_of_the_other_copy_split_into_the_publishers_options(shared_dir):
    joined = load(shared_dir / "data/text_mcq/medxpertqa_repo")
    assert joined == load(shared_dir / "data/model_outputs_mirage/gold")


@pytest.fixture(scope="module")
def real_run(shared_dir):
    folder = shared_dir / "evaldata/medevalkit_fork_saitejalekkala33"
    with gzip.open(folder / "textonly-medqa-usmle_MedQA-USMLE_results.json.gz", "rt") as file:
        return json.load(file)


def differing(samples, rows):
    """Which of prompt, options and gold differ from a run's rows, and how often."""
    found = collections.Counter()
    for sample, row in zip(samples, rows, strict=True):
        found["prompt"] += not row["prompt"].startswith(choices.prompt(sample) + "\nRespond in")
        found["choices"] += row["choices"] != list(sample.choices)
        found["answer"] += row["answer"] != sample.gold
    return {name: count for name, count in found.items() if count}


def test_a_real_run_was_asked_the_same_prompts(shared_dir, real_run):
    assert differing(load(shared_dir / "data"), real_run) == {}


def test_a_real_run_beside_the_wrong_questions_differs(shared_dir, real_run):
    samples = load(shared_dir / "data")
    found = differing([*samples[1:], samples[0]], real_run)
    assert found["prompt"] == found["choices"] == 1273
    assert found["answer"] > 500


def test_a_real_run_is_scored_as_it_was(shared_dir, real_run):
    samples = load(shared_dir / "data")
    pairs = zip(samples, real_run, strict=True)
    found = [choices.verdicts(sample, row["response"])[0] for sample, row in pairs]
    assert found == [row["correct"] for row in real_run]
    assert sum(found) == 866
