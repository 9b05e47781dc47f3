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
