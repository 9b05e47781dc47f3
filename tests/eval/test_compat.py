# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import gzip
import json

import pytest

from lingshu_jax.common import answers, answers_choice
from lingshu_jax.eval import compat

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
    rows, metrics = vqa_rad
    verdicts = [compat.judge_vqa(row["response"], compat.Item(row["answer"])) for row in rows]
    assert [v.correct for v in verdicts] == [row["correct"] for row in rows]
    assert len(rows) == 451
    assert sum(v.correct for v in verdicts) == metrics["total metrics"]["right"] == 197
    assert sum(v.correct for v in verdicts if v.kind == "close") == metrics["close"]["right"] == 156


def test_every_open_metric_of_a_real_vqa_rad_run(vqa_rad):
    rows, metrics = vqa_rad
    opened = [row for row in rows if "metrics" in row]
    verdicts = [compat.judge_vqa(row["response"], compat.Item(row["answer"])) for row in opened]
    for row, verdict in zip(opened, verdicts, strict=True):
        assert verdict.kind == "open"
        assert verdict.correct == row["metrics"]["em"]
        for name in compat.OPEN_METRICS:
            assert verdict.metrics[name] == row["metrics"][STORED_NAMES.get(name, name)], name
    means = compat.mean_metrics([verdict.metrics for verdict in verdicts])
    for name, mean in means.items():
        assert mean == pytest.approx(metrics["open"][STORED_NAMES.get(name, name)], rel=1e-14)


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
    assert compat.is_right_judgement(gold, response) is correct


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
    metrics = compat.open_metrics("lung", response)
    assert set(metrics) == set(compat.OPEN_METRICS)
    assert not any(metrics.values())
