# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import collections

import pytest

from lingshu_jax.common import errors
from lingshu_jax.eval import catalog, files
from lingshu_jax.eval.benchmarks import pubmedqa
from tests.eval.benchmarks import choices, fixtures

DECISIONS = ("yes", "no", "maybe", "yes", "no")
# The publisher's file: all labelled questions by PMID, more than the test has.
ORIGINAL = {
    str(100 + number): {
        "QUESTION": f"Does drug {number} help?",
        "CONTEXTS": ["It was given to rats.", f"{number} of them slept (p<0.05)."],
        "LABELS": ["METHODS", "RESULTS"],
        "MESHES": ["Rats"],
        "YEAR": None if number else "2011",
        "reasoning_required_pred": "yes",
        "reasoning_free_pred": "yes",
        "final_decision": decision,
        "LONG_ANSWER": "It may.",
    }
    for number, decision in enumerate([*DECISIONS, "yes"])
}
GOLDS = {str(100 + number): decision for number, decision in enumerate(DECISIONS)}
# The hub's rows: a record in one column, under an id of its own.
HUB = [
    {
        "id": f"0b0c-{pmid}",
        "data": {
            "Question": ORIGINAL[pmid]["QUESTION"],
            "Context": ORIGINAL[pmid]["CONTEXTS"],
            "Options": {"A": "yes", "B": "no", "C": "maybe"},
            "Correct Option": "ABC"[("yes", "no", "maybe").index(decision)],
            "Correct Answer": decision,
            "Long Answer": "It may.",
        },
        "subject_name": None,
    }
    for pmid, decision in GOLDS.items()
]
BENCHMARK = pubmedqa.PubMedQa()


def write_hub(folder, rows):
    fixtures.write_parquet(folder / "data/test-00000-of-00001.parquet", rows)


def write_original(folder, rows=None, golds=None):
    fixtures.write_json(folder / "ori_pqal.json", ORIGINAL if rows is None else rows)
    fixtures.write_json(folder / "test_ground_truth.json", GOLDS if golds is None else golds)


def load(folder):
    return catalog.load(BENCHMARK, folder)


@pytest.fixture
def data_dir(tmp_path):
    write_hub(tmp_path / "pubmedqa", HUB)
    return tmp_path


def test_a_row_is_asked_as_medevalkit_asks_it(data_dir):
    samples = load(data_dir)
    assert choices.prompt(samples[0]) == (
        "Context: It was given to rats.\n0 of them slept (p<0.05).\n\n"
        "Question: Does drug 0 help?\nOptions: \nA.yes\nB.no\nC.maybe\n"
        "Answer with the option's letter from the given choices directly."
    )
    assert [sample.gold for sample in samples] == ["A", "B", "C", "A", "B"]
    assert samples[1].fields == {
        **HUB[1]["data"],
        "choices": ["A.yes", "B.no", "C.maybe"],
        "answer": "B",
    }


def test_both_scores_take_the_gold_alone(data_dir):
    samples = load(data_dir)
    choices.expect_only_the_gold_is_right(samples)
    assert choices.verdicts(samples[2], "maybe") == (True, True)
    assert choices.verdicts(samples[2], "yes") == (False, False)


def test_the_publishers_files_hold_the_same_under_pmids(data_dir, tmp_path):
    write_original(tmp_path / "original")
    found = load(tmp_path / "original")
    assert [sample.id for sample in found] == list(GOLDS)
    for ours, hubs in zip(found, load(data_dir), strict=True):
        assert ours.messages == hubs.messages
        assert ours.gold == hubs.gold
        assert ours.fields == hubs.fields


def test_other_counts_than_published_are_told(data_dir):
    assert files.remarks(pubmedqa.CARD, load(data_dir)) == [
        "pubmedqa has 5 rows here, 500 as published",
        "pubmedqa has other golds here than as published (in brackets):"
        " A 2 (276), B 2 (169), C 1 (55)",
    ]


def test_a_gold_beyond_the_options_is_refused(tmp_path):
    row = {**HUB[0], "data": HUB[0]["data"] | {"Correct Option": "D"}}
    write_hub(tmp_path, [row])
    with pytest.raises(errors.UserError, match="id 0b0c-100: the gold must be one of A, B, C, got"):
        load(tmp_path)


def test_a_decision_beyond_the_three_is_refused(tmp_path):
    write_original(tmp_path, golds={"100": "perhaps"})
    with pytest.raises(errors.UserError, match="100: .* one of yes, no, maybe, got 'perhaps'"):
        load(tmp_path)


def test_a_record_without_a_field_is_refused(tmp_path):
    row = {name: value for name, value in HUB[0]["data"].items() if name != "Context"}
    write_hub(tmp_path, [{"id": "0b0c", "data": row}])
    with pytest.raises(errors.UserError, match="id 0b0c needs .*'Context'.*, found .*'Long Answer"):
        load(tmp_path)


def test_a_context_that_is_one_text_is_refused(tmp_path):
    write_original(tmp_path, {"100": ORIGINAL["100"] | {"CONTEXTS": "one text"}}, {"100": "yes"})
    with pytest.raises(errors.UserError, match="100: the context must be a list .*'one text'"):
        load(tmp_path)


def test_a_test_question_without_its_text_is_refused(tmp_path):
    write_original(tmp_path, golds=GOLDS | {"999": "no"})
    with pytest.raises(errors.UserError, match=r"ori_pqal.json needs \['999'\], found \['100'"):
        load(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    fixtures.write_json(tmp_path / "test_ground_truth.json", GOLDS)
    with pytest.raises(errors.UserError, match=r"must hold one ori_pqal.json, found nothing"):
        load(tmp_path)


def test_missing_data_say_where_they_are(tmp_path):
    with pytest.raises(errors.UserError, match=r"hf download .* openlifescienceai/pubmedqa"):
        load(tmp_path)


def test_real_data_hold_what_the_card_says(shared_dir):
    samples = load(shared_dir / "data")
    assert files.remarks(pubmedqa.CARD, samples) == []
    assert len(samples) == 500
    golds = collections.Counter(sample.options["ABC".index(sample.gold)] for sample in samples)
    assert golds == {"yes": 276, "no": 169, "maybe": 55}
