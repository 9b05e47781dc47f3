# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import gzip
import json
import math

import pytest

from lingshu_jax.common import answers, answers_choice
from lingshu_jax.eval import compat, metrics

RUN = "evaldata/medevalkit_fork_saitejalekkala33"
# The kit returns (F1, P, R) and stores them as (P, R, F1).
STORED_NAMES = {"precision": "recall", "recall": "f1", "f1": "precision"}


@pytest.fixture(scope="module")
def vqa_rad(shared_dir):
    """A real run on VQA-RAD: rows with the kit's verdicts, and its metrics file."""
    rows = json.loads((shared_dir / RUN / "vqa-rad_VQA-RAD_results.json").read_text())
    return rows, json.loads((shared_dir / RUN / "vqa-rad_VQA-RAD_metrics.json").read_text())


@pytest.fixture(scope="module")
def medqa(shared_dir):
    """A real run on MedQA."""
    path = shared_dir / RUN / "textonly-medqa-usmle_MedQA-USMLE_results.json.gz"
    return json.loads(gzip.decompress(path.read_bytes()))


def test_every_verdict_of_a_real_vqa_rad_run(vqa_rad):
    rows, stored = vqa_rad
    verdicts = [compat.judge_vqa(row["response"], compat.Item(row["answer"])) for row in rows]
    assert [v.correct for v in verdicts] == [row["correct"] for row in rows]
    assert len(rows) == 451
    assert sum(v.correct for v in verdicts) == stored["total metrics"]["right"] == 197
    assert sum(v.correct for v in verdicts if v.kind == "close") == stored["close"]["right"] == 156


def test_every_open_metric_of_a_real_vqa_rad_run(vqa_rad):
    rows, _ = vqa_rad
    opened = [row for row in rows if "metrics" in row]
    verdicts = [compat.judge_vqa(row["response"], compat.Item(row["answer"])) for row in opened]
    for row, verdict in zip(opened, verdicts, strict=True):
        assert verdict.kind == "open"
        assert verdict.correct == row["metrics"]["em"]
        for name in compat.OPEN_METRICS:
            assert verdict.fields[name] == row["metrics"][STORED_NAMES.get(name, name)], name


def test_the_metrics_file_of_a_real_run_to_the_last_digit(vqa_rad):
    rows, stored = vqa_rad
    verdicts = [compat.judge_vqa(row["response"], compat.Item(row["answer"])) for row in rows]
    table = metrics.compat_table([{"compat": verdict.as_row()} for verdict in verdicts])
    opened = {name: stored["open"][STORED_NAMES.get(name, name)] for name in table["open"]}
    # The kit divides this accuracy by the number of rows a second time.
    assert opened.pop("acc") == opened["em"] / opened["total"] == pytest.approx(0.205 / 200)
    assert table == {**stored, "open": {**opened, "acc": opened["em"]}}
    assert table["open"]["acc"] == 0.205
    # Twins: the kit's own names for precision, recall and F1, and another way to add.
    assert table["open"]["precision"] != stored["open"]["precision"]
    added = math.fsum(verdict.fields["bleu1"] for verdict in verdicts if verdict.kind == "open")
    assert added / 200 != stored["open"]["bleu1"]


def test_matching_open_answers_by_containment_fails_the_real_run(vqa_rad):
    rows, _ = vqa_rad
    broken = [row["answer"] in row["response"].lower() for row in rows]
    assert broken != [row["correct"] for row in rows]


def test_every_verdict_of_a_real_medqa_run(medqa):
    found = [
        compat.judge_choice(r["response"], compat.Item(r["answer"], tuple(r["choices"]))).correct
        for r in medqa
    ]
    assert found == [row["correct"] for row in medqa]
    assert sum(found) == 866


def test_the_metrics_file_of_a_real_medqa_run(medqa, shared_dir):
    path = shared_dir / RUN / "textonly-medqa-usmle_MedQA-USMLE_metrics.json"
    items = [(row["response"], compat.Item(row["answer"], tuple(row["choices"]))) for row in medqa]
    rows = [{"compat": compat.judge_choice(*item).as_row()} for item in items]
    assert metrics.compat_table(rows) == json.loads(path.read_text())


def test_strict_agrees_on_clean_outputs(vqa_rad, medqa):
    for row in vqa_rad[0]:
        if row["answer"] in ("yes", "no"):
            verdict = answers.judge(row["response"], gold=row["answer"], answer_type="yes_no")
            assert verdict.correct == row["correct"], row
    for row in medqa:
        options = answers_choice.without_letters(row["choices"])
        verdict = answers.judge(
            row["response"], gold=row["answer"], answer_type="choice", options=options
        )
        assert (verdict.correct, verdict.status) == (row["correct"], "ok")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\\boxed{A} or \\boxed{ B }", "B"),
        ("\\boxed{\\text{B}}", "\\text{B}"),
        ("\\boxed{}", ""),
        ("\\boxed{B", "None"),
        ("B", "None"),
    ],
)
def test_box(text, expected):
    assert compat.box(text) == expected


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ("The Answer is B", " b"),
        ("answer: A, final answer is C", " c"),
        ("answer: A, final answer C", " c"),
        ("it is boxed up", "None"),
        ("<answer>A</answer>x<answer>B</answer>", "a b"),
        ("<answer>A", "<answer>a"),
    ],
)
def test_parse_response(response, expected):
    assert compat.parse_response(response) == expected


@pytest.mark.parametrize(
    ("response", "gold", "correct"),
    [
        ("Yes.", "yes", True),
        ("Yes, there is a nodule", "yes", False),
        ("Normal", "no", True),
        ("I cannot determine", "no", True),
        ("True", "yes", False),
        ("", "no", False),
    ],
)
def test_judgement_with_its_oddities(response, gold, correct):
    assert compat.judge_vqa(response, compat.Item(gold)).correct is correct


CHOICES = ("A. cat", "B. dog", "C. cow")


@pytest.mark.parametrize(
    ("response", "gold", "correct"),
    [
        ("B", "B", True),
        ("B. dog", "B", True),
        ("b\n\nbecause", "B", True),
        ("I thought\n\nB. dog", "B", True),
        ("The answer is B.", "B", True),
        ("Answer: B", "B", True),
        ("", "A", True),
        ("xyz", "A", True),
        ("dog", "B", True),
        ("<answer>B</answer>", "B", True),
        ("Answer: B", "A", False),
        ("b. dog", "B. dog", True),
        ("dog", "B. dog", True),
    ],
)
def test_choice_with_its_oddities(response, gold, correct):
    assert compat.judge_choice(response, compat.Item(gold, CHOICES)).correct is correct


def test_slake_compares_closed_answers_exactly():
    item = compat.Item("Yes")
    assert compat.judge_slake("yes.", item).correct
    assert not compat.judge_slake("yes, it is", item).correct
    assert not compat.judge_slake("是的", compat.Item("是")).correct
    assert compat.judge_slake("Lung", compat.Item("Lung", (), True)) == compat.judge_vqa(
        "Lung", compat.Item("Lung")
    )


@pytest.mark.parametrize("response", ["", ".", " "])
def test_an_empty_side_scores_zero(response):
    found = compat.open_metrics("lung", response)
    assert set(found) == set(compat.OPEN_METRICS)
    assert not any(found.values())


@pytest.mark.parametrize(("response", "is_noted"), [("", True), (".", True), ("heart", False)])
def test_an_answer_for_which_rouge_is_not_defined_is_noted(response, is_noted):
    row = compat.judge_vqa(response, compat.Item("lung")).as_row()
    assert ("no_rouge" in row) is is_noted


@pytest.mark.parametrize(
    ("response", "gold", "correct", "kind"),
    [
        ("Yes.", "yes", True, "single_choice"),
        ("Normal", "no", True, "single_choice"),
        ("left lung", "B", True, "multiple_choice"),
        ("B", "B", True, "multiple_choice"),
        ("left lung", "left lung", True, "multiple_choice"),
        ("left lung", "B, A", True, "multiple_choice"),  # only the first of several counts
        ("heart", "B, A", False, "multiple_choice"),
        ("\\boxed{aorta, thoracic}", "C", True, "multiple_choice"),
        ("aorta, thoracic", "aorta, thoracic", True, "multiple_choice"),
    ],
)
def test_rad_restruct(response, gold, correct, kind):
    item = compat.Item(gold, ("heart", "left lung", "aorta, thoracic"))
    assert compat.judge_radrestruct(response, item).as_row() == {"correct": correct, "kind": kind}


@pytest.mark.parametrize("response", ["mild", "yes, mild", "no"])
def test_a_question_of_rad_restruct_without_choices_is_one_of_yes_and_no(response):
    row = compat.judge_radrestruct(response, compat.Item("mild")).as_row()
    assert row == {"correct": response == "yes, mild", "kind": "single_choice"}


@pytest.mark.parametrize("rule", ["report", "rubric"])
def test_what_has_no_verdict_says_so(rule):
    row = compat.RULES[rule]("anything", compat.Item("gold")).as_row()
    assert row == {"correct": None, "kind": rule}
