# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import pytest

from lingshu_jax.eval import metrics


def make_row(answer_type, gold, *, compat, strict, status="ok", finish_reason="stop"):
    open_metrics = dict.fromkeys(
        ("bleu1", "bleu2", "bleu3", "bleu4", "rouge1", "rouge2", "rougel"), 0.5
    ) | dict.fromkeys(("precision", "recall", "f1"), 0.25)
    kind = {"yes_no": "close", "open": "open"}.get(answer_type, "choice")
    return {
        "answer_type": answer_type,
        "gold": gold,
        "options": ["cat", "dog"],
        "finish_reason": finish_reason,
        "compat": {"correct": compat, "kind": kind, **(open_metrics if kind == "open" else {})},
        "strict": {"correct": strict, "status": status, "value": None},
    }


def make_report(status="ok", *, stratum="ap"):
    return {
        **make_row("report", "Findings: clear", compat=None, strict=None, status=status),
        "compat": {"correct": None, "kind": "report"},
        "strata": {"view": stratum},
    }


ROWS = [
    make_row("yes_no", "no", compat=True, strict=False, status="refusal"),
    make_row("yes_no", "No", compat=True, strict=True),
    make_row("yes_no", "yes", compat=False, strict=False, status="empty", finish_reason="length"),
    make_row("choice", "dog", compat=True, strict=True),
    make_row("choice", "B", compat=False, strict=False, status="multi"),
    make_row("open", "lung", compat=False, strict=True),
]


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [
        (0, 0, 0.0, 1.0),
        (0, 10, 0.0, 0.277533),
        (10, 10, 0.722467, 1.0),
        (5, 10, 0.236593, 0.763407),
        (197, 451, 0.391756, 0.482926),
    ],
)
def test_wilson(correct, total, low, high):
    assert metrics.wilson(correct, total) == pytest.approx((low, high), abs=1e-6)


def test_summarise():
    summary = metrics.summarise(ROWS)
    assert summary["n"] == 6
    assert (summary["compat_accuracy"], summary["strict_accuracy"]) == (0.5, 0.5)
    assert summary["disagreements"] == 2
    assert summary["cut_off"] == 1
    assert {name: summary[name] for name in metrics.FAILURES} == {
        **dict.fromkeys(metrics.FAILURES, 0),
        "refusal": 1,
        "empty": 1,
        "multi": 1,
    }
    assert summary["by_answer_type"]["yes_no"]["strict_accuracy"] == pytest.approx(1 / 3)


def test_the_constant_baseline_counts_equal_golds():
    assert metrics.constant_baseline(ROWS) == {
        "yes_no": {"answer": "no", "correct": 2, "n": 3},
        "choice": {"answer": "B", "correct": 2, "n": 2},
        "open": {"answer": "lung", "correct": 1, "n": 1},
    }
    assert metrics.summarise(ROWS)["constant_accuracy"] == pytest.approx(5 / 6)


def test_compat_table_divides_once():
    table = metrics.compat_table(ROWS)
    assert table["total metrics"] == {"total": 6, "right": 3, "acc": 0.5}
    assert table["close"] == {"total": 3, "right": 2, "acc": pytest.approx(2 / 3)}
    assert table["open"]["acc"] == table["open"]["em"] == 0.0
    assert table["open"]["bleu1"] == 0.5


def test_macro_and_micro():
    small = metrics.summarise(ROWS[:1])
    totals = metrics.totals({"a": metrics.summarise(ROWS), "b": small})
    assert totals["macro"] == {"compat": 0.75, "strict": 0.25}
    assert totals["micro"] == {"compat": pytest.approx(4 / 7), "strict": pytest.approx(3 / 7)}


def test_rows_without_a_verdict_are_counted_and_in_no_accuracy():
    alone = metrics.summarise(ROWS)
    mixed = metrics.summarise([*ROWS, make_report("empty"), make_report()])
    assert (mixed["n"], mixed["unscored"], alone["unscored"]) == (8, 2, 0)
    assert mixed["empty"] == alone["empty"] + 1
    changed = {"n", "unscored", "empty", "constant", "by_answer_type", "by_stratum"}
    for name in set(alone) - changed:
        assert mixed[name] == alone[name], name
    assert mixed["by_answer_type"]["report"]["n"] == 2
    assert mixed["by_answer_type"]["open"] == alone["by_answer_type"]["open"]


def test_a_summary_of_rows_without_verdicts_has_no_accuracy():
    summary = metrics.summarise([make_report("refusal"), make_report()])
    assert (summary["n"], summary["unscored"], summary["refusal"]) == (2, 2, 1)
    empty = ("compat_accuracy", "strict_accuracy", "constant_accuracy")
    assert [summary[name] for name in empty] == [None, None, None]
    assert summary["compat_interval"] == [None, None]
    assert summary["compat"] == {}
    assert summary["by_stratum"]["view"]["ap"]["compat_accuracy"] is None


def test_benchmarks_without_verdicts_are_in_no_total():
    reports, scored = metrics.summarise([make_report()]), metrics.summarise(ROWS)
    totals = metrics.totals({"a": scored, "b": reports})
    assert totals == metrics.totals({"a": scored})
    nothing = {"compat": None, "strict": None}
    assert metrics.totals({"b": reports}) == {"macro": nothing, "micro": nothing}


def test_every_stratum_has_its_accuracies():
    strata = [{"task": "b", "system": "x"}, {"task": "a"}, {"task": "b"}, {"task": "a"}, {}, {}]
    rows = [{**row, "strata": s} for row, s in zip(ROWS, strata, strict=True)]
    found = metrics.summarise(rows)["by_stratum"]
    names = ("n", "compat_correct", "strict_correct", "compat_accuracy", "strict_accuracy")
    picked = {
        name: {value: tuple(numbers[n] for n in names) for value, numbers in values.items()}
        for name, values in found.items()
    }
    assert picked == {
        "task": {"a": (2, 2, 2, 1.0, 1.0), "b": (2, 1, 0, 0.5, 0.0)},
        "system": {"x": (1, 1, 0, 1.0, 0.0)},
    }
    assert list(found["task"]) == ["a", "b"]


def test_reasons_are_counted():
    reasons = ["", "guessed_similar", "", "unstripped", "guessed_similar", "guessed_similar"]
    rows = [{**row, "reason": reason} for row, reason in zip(ROWS, reasons, strict=True)]
    assert metrics.summarise(rows)["reasons"] == {"guessed_similar": 3, "unstripped": 1}


def test_letters_drawn_by_chance_are_counted_and_taken_out():
    guessed = {"correct": True, "kind": "choice", "guessed": True}
    rows = [
        *ROWS,
        {**ROWS[3], "compat": guessed},
        {**ROWS[4], "compat": {**guessed, "correct": False}},
    ]
    summary = metrics.summarise(rows)
    assert (summary["guessed"], summary["guessed_correct"]) == (2, 1)
    assert summary["compat_accuracy"] == 0.5
    assert summary["compat_accuracy_guesses_wrong"] == pytest.approx(3 / 8)
    assert metrics.summarise(ROWS)["guessed"] == 0


def test_answers_without_rouge_are_counted():
    noted = {**ROWS[5], "compat": {**ROWS[5]["compat"], "no_rouge": True}}
    assert metrics.summarise([*ROWS, noted])["no_rouge"] == 1


def test_the_mean_overlap_of_sets_of_letters():
    rows = [make_row("choices", "AB", compat=False, strict=False) for _ in range(2)]
    for row, jaccard in zip(rows, (1.0, 0.5), strict=True):
        row["strict"]["jaccard"] = jaccard
    assert metrics.summarise(rows)["jaccard"] == 0.75
    assert metrics.summarise(ROWS)["jaccard"] is None


def test_the_parts_of_rad_restruct_have_the_kits_names():
    rows = [
        {"compat": {"correct": correct, "kind": kind}}
        for kind, correct in (("single_choice", True), ("multiple_choice", False))
    ]
    assert metrics.compat_table(rows) == {
        "total metrics": {"total": 2, "right": 1, "acc": 0.5},
        "single_choice": {"total": 1, "right": 1, "acc": 1.0},
        "multiple_choice": {"total": 1, "right": 0, "acc": 0.0},
    }
