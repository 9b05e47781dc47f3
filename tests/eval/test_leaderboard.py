# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import csv
import io

import pytest

from lingshu_jax.eval import leaderboard, metrics
from tests.eval import evaluations

PUBLISHED = {"small": {"Some-7B": 61.8}}


@pytest.fixture
def summary():
    samples = {
        "small": evaluations.yes_no(4, per_image=2),
        "letters": evaluations.choices("ABCD"),
        "reports": [evaluations.report_sample()],
    }
    said = {
        "small": ["yes", "I am unable to answer", "", "no"],
        "letters": ["A", "A, B", "E", "<think>hm"],
        "reports": ["Clear lungs."],
    }
    rows = {name: evaluations.score(samples[name], said[name]) for name in samples}
    return evaluations.summarise(samples, rows, model="a|b")


def test_every_column_is_always_there(summary):
    table = leaderboard.make(summary)
    assert [row["benchmark"] for row in table] == ["small", "letters", "reports", "macro", "micro"]
    assert all(tuple(row) == leaderboard.COLUMNS for row in table)
    statuses = ("empty", "truncated", "refusal", "unparsed", "invalid", "multi", "conflict")
    assert set(statuses) | {"ambiguous"} == set(metrics.FAILURES)
    for name in (*metrics.FAILURES, "cut_off"):
        assert {name, f"{name}_share"} <= set(leaderboard.COLUMNS)
    assert {"constant_accuracy", "random_accuracy", "no_answer_accuracy"} <= set(table[0])


def test_counts_shares_and_baselines(summary):
    small, letters, reports, macro, _ = leaderboard.make(summary)
    assert (small["n"], small["clusters"], small["strict_accuracy"]) == (4, 2, 0.25)
    assert (small["empty"], small["empty_share"]) == (1, 0.25)
    assert (small["refusal"], small["unparsed"]) == (1, 0)
    assert (letters["multi"], letters["invalid"], letters["truncated"]) == (1, 1, 1)
    assert (letters["no_answer_accuracy"], letters["random_accuracy"]) == (0.25, 0.25)
    assert (reports["unscored"], reports["strict_accuracy"]) == (1, None)
    assert (macro["n"], macro["strict_low"], macro["strict_accuracy"]) == (None, None, 0.25)
    assert macro["strict_clustered_low"] is not None


def test_one_benchmark_has_no_totals(summary):
    small = {"small": summary["benchmarks"]["small"]}
    (row,) = leaderboard.make({**summary, "benchmarks": small, "scored": 1})
    assert row["benchmark"] == "small"


def test_judges_and_metrics_of_reports_add_columns(summary):
    judged = {"compat_judged_accuracy": 0.5, "strict_judged_accuracy": None}
    sections = {
        "judge": {"benchmarks": {"small": {"judges": {"J": judged}}}},
        "reports": {"benchmarks": {"reports": {"scopes": {"both": {"all": {"cider_ptb": 1.25}}}}}},
    }
    table = leaderboard.make(summary, sections)
    names = ("compat_accuracy, judged by J", "strict_accuracy, judged by J", "cider_ptb")
    assert all(tuple(row) == (*leaderboard.COLUMNS, *names) for row in table)
    assert [table[0][name] for name in names] == [0.5, None, None]
    assert [table[2][name] for name in names] == [None, None, 1.25]
    (head, *rows) = csv.reader(io.StringIO(leaderboard.to_csv(table)))
    assert tuple(head[-3:]) == names and rows[2][-1] == "1.25"
    lines = leaderboard.to_markdown(table, PUBLISHED).splitlines()
    assert lines[0].endswith("| cider_ptb |") and lines[2].endswith("| 0.5 | – | – |")
    assert len({line.replace("\\|", "").count("|") for line in lines if line[:1] == "|"}) == 1


def test_csv_reads_back(summary):
    table = leaderboard.make(summary)
    read = list(csv.DictReader(io.StringIO(leaderboard.to_csv(table))))
    assert len(read) == len(table)
    assert tuple(read[0]) == leaderboard.COLUMNS
    assert (read[0]["model"], read[0]["n"], read[0]["refusal"]) == ("a|b", "4", "1")
    assert read[2]["strict_accuracy"] == read[3]["n"] == ""


def test_markdown_has_published_numbers_below_ours(summary):
    lines = leaderboard.to_markdown(leaderboard.make(summary), PUBLISHED).splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + 5 + 1
    assert table[2].startswith("| a\\|b | small | 4 | 0 | 2 | 25.0% [4.6, 69.9] [")
    assert table[3].startswith("| Some-7B (published) | small |") and "61.8%" in table[3]
    assert len({line.replace("\\|", "").count("|") for line in table}) == 1
    assert "1 (25.0%)" in table[2]
    assert lines[-1].startswith("Brackets hold 95 % intervals")


def test_printed_lines_hide_no_zero(summary):
    first, second = leaderboard.lines("letters", summary["benchmarks"]["letters"])
    assert first.startswith("letters: 4 rows, compat 25.0% [4.6, 69.9] [0.0, 75.0], strict 25.0% [")
    assert first.endswith("constant 25.0%, random 25.0%, no answer 25.0%, 0 differ")
    assert second == (
        "  0 empty (0.0%), 1 truncated (25.0%), 0 refusal (0.0%), 0 unparsed (0.0%),"
        " 1 invalid (25.0%), 1 multi (25.0%), 0 conflict (0.0%), 0 ambiguous (0.0%),"
        " 0 cut off (0.0%), 0 without a verdict"
    )
    first, second = leaderboard.lines("reports", summary["benchmarks"]["reports"])
    assert first == "reports: 1 rows, no verdicts"
    assert second.endswith(", 1 without a verdict")
    macro, micro = leaderboard.total_lines(summary)
    assert macro.startswith("macro: compat ") and "random 37.5%" in macro
    assert micro.startswith("micro: compat ")
