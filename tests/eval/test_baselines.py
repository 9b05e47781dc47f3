# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import dataclasses

import pytest

from lingshu_jax.eval import baselines, benchmark, overview
from lingshu_jax.eval.benchmarks import pmc_vqa, pubmedqa, vqa_rad
from tests.eval import evaluations


def row(answer_type, options=()):
    return {"answer_type": answer_type, "options": list(options)}


@pytest.mark.parametrize(
    ("answer_type", "options", "chance"),
    [
        ("yes_no", "", 0.5),
        ("choice", "ABCD", 0.25),
        ("choice", "ABCDEFGHIJ", 0.1),
        ("choices", "ABC", 1 / 7),
        ("open", "", 0),
        ("number", "", 0),
    ],
)
def test_the_chance_of_a_random_answer(answer_type, options, chance):
    assert baselines.chance(row(answer_type, options)) == chance


@pytest.mark.parametrize(
    ("golds", "options", "constant"),
    [(pmc_vqa.CARD.golds, "wxyz", 0.378), (pubmedqa.CARD.golds, "xyz", 0.552)],
)
def test_a_set_of_single_choices_has_one_constant_answer(golds, options, constant):
    rows = [
        {**row("choice", options), "gold": letter, "compat": {"correct": False}}
        for letter, count in golds.items()
        for _ in range(count)
    ]
    found = baselines.accuracies(rows, [False] * len(rows))
    assert found["constant_accuracy"] == pytest.approx(constant, abs=5e-4)
    assert found["random_accuracy"] == pytest.approx(1 / len(options))


def test_no_answer_is_the_first_option_to_compat():
    """Every gold A is right; a share that strict scoring never gives."""
    samples = evaluations.choices("AABCD")
    assert baselines.judge_silent(samples) == [True, True, False, False, False]
    rows = evaluations.score(samples, [""] * 5)
    assert [r["compat"]["correct"] for r in rows] == baselines.judge_silent(samples)
    assert not any(r["strict"]["correct"] for r in rows)
    assert baselines.accuracies(rows, baselines.judge_silent(samples))["no_answer_accuracy"] == 0.4


def test_questions_without_a_verdict_do_not_count():
    samples = [evaluations.report_sample(), *evaluations.yes_no(2)]
    silent = baselines.judge_silent(samples)
    assert silent == [None, False, False]
    rows = evaluations.score(samples, ["Clear.", "yes", "no"])
    assert baselines.accuracies(rows, silent) == {
        "constant_accuracy": 1.0,
        "random_accuracy": 0.5,
        "no_answer_accuracy": 0.0,
    }
    assert set(baselines.accuracies(rows[:1], silent[:1]).values()) == {None}


def test_letters_of_golds_and_answers():
    """A gold may be an option's text; what is no valid letter is counted apart."""
    samples = evaluations.choices("ABBD")
    samples[2] = dataclasses.replace(samples[2], gold="dog")
    rows = evaluations.score(samples, ["A", "A", "E", ""])
    assert baselines.letters([*rows, row("open")]) == {
        "golds": {"A": 1, "B": 2, "C": 0, "D": 1},
        "answers": {"A": 2, "B": 0, "C": 0, "D": 0},
        "none": 2,
    }
    assert baselines.letters([row("open")]) is None


def test_the_constants_of_vqa_rad(shared_dir):
    """133 of 251 closed questions are right for who always says no: 53.0 %."""
    samples = vqa_rad.VqaRad().load(shared_dir / "data" / "vqa_rad")
    silent = [benchmark.Answer("", "stop")] * len(samples)
    rows = list(benchmark.score_all(samples, silent))
    found = overview.of_benchmark(rows, samples)
    assert found["constant"]["yes_no"] == {"answer": "no", "correct": 133, "n": 251}
    closed = found["by_answer_type"]["yes_no"]
    assert closed["constant_accuracy"] == pytest.approx(0.530, abs=5e-4)
    assert (closed["random_accuracy"], closed["no_answer_accuracy"]) == (0.5, 0.0)
    assert (found["n"], found["clusters"]) == (451, 203)
