# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest

from lingshu_jax.eval import metrics, overview, stats
from tests.eval import evaluations


def test_a_summary_has_both_kinds_of_intervals():
    """Ten images with six questions each; answers to one image are alike."""
    samples = evaluations.yes_no(60, per_image=6)
    rows = evaluations.score(samples, [("yes", "no")[i // 6 % 2] for i in range(60)])
    found = overview.of_benchmark(rows, samples)
    assert (found["n"], found["clusters"], found["strict_accuracy"]) == (60, 10, 0.5)
    assert found["strict_interval"] == list(metrics.wilson(30, 60))
    groups = [sample.group for sample in samples]
    correct = np.array([row["strict"]["correct"] for row in rows], float)
    assert found["strict_clustered_interval"] == list(stats.clustered_interval(correct, groups))
    widths = [np.ptp(found[f"strict_{kind}interval"]) for kind in ("", "clustered_")]
    assert widths[1] > 2 * widths[0]


def test_answer_types_and_strata_have_all_numbers_too():
    samples = [*evaluations.yes_no(3), *evaluations.choices("ABCDAB")]
    rows = evaluations.score(samples, ["yes"] * 3 + ["A"] * 6)
    found = overview.of_benchmark(rows, samples)
    assert list(found["by_answer_type"]) == ["choice", "yes_no"]
    parts = [*found["by_answer_type"].values(), *found["by_stratum"]["modality"].values()]
    for part in parts:
        assert {"clusters", "random_accuracy", "compat_clustered_interval"} <= set(part)
    assert found["by_answer_type"]["choice"]["no_answer_accuracy"] == pytest.approx(2 / 6)
    magnetic = found["by_stratum"]["modality"]["MR"]
    assert (magnetic["n"], magnetic["constant_accuracy"]) == (3, pytest.approx(2 / 3))
    assert magnetic["strict_correct"] == 2
    assert found["letters"]["answers"]["A"] == 6


def test_what_has_no_verdict_has_no_accuracy():
    sample = evaluations.report_sample()
    rows = evaluations.score([sample], ["Clear."])
    found = overview.of_benchmark(rows, [sample])
    assert (found["n"], found["unscored"], found["clusters"]) == (1, 1, 0)
    for name in ("compat_accuracy", "strict_accuracy", "constant_accuracy", "random_accuracy"):
        assert found[name] is None
    assert found["strict_clustered_interval"] == [None, None]
    assert found["letters"] is None
    totals = overview.of_all({"reports": found}, {"reports": rows})
    assert totals["scored"] == 0
    assert totals["macro"]["strict"] is None and totals["micro"]["random_accuracy"] is None
    assert totals["micro"]["compat_clustered_interval"] == [None, None]


def test_macro_and_micro_leave_out_what_has_no_verdict():
    samples = {
        "small": evaluations.yes_no(10),
        "large": evaluations.choices("A" * 90),
        "reports": [evaluations.report_sample()],
    }
    said = {"small": ["yes"] * 5 + ["no"] * 5, "large": ["A"] * 81 + ["B"] * 9, "reports": ["x"]}
    rows = {name: evaluations.score(samples[name], said[name]) for name in samples}
    summary = evaluations.summarise(samples, rows)
    assert summary["scored"] == 2
    assert summary["macro"]["strict"] == pytest.approx((0.5 + 0.9) / 2)
    assert summary["micro"]["strict"] == pytest.approx(0.86)
    assert summary["macro"]["random_accuracy"] == pytest.approx((0.5 + 0.25) / 2)
    assert summary["micro"]["random_accuracy"] == pytest.approx(0.275)
    for total in ("macro", "micro"):
        low, high = summary[total]["strict_clustered_interval"]
        assert low < summary[total]["strict"] < high
    widths = [np.ptp(summary[name]["strict_clustered_interval"]) for name in ("macro", "micro")]
    assert widths[0] > 1.5 * widths[1]
