# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import sys

import pytest

from lingshu_jax.common import errors, report_metrics

GOLD = "The heart is normal. The lungs are clear."


@pytest.mark.parametrize("name", report_metrics.METRICS)
def test_bounds(name):
    metric = report_metrics.METRICS[name]
    assert metric(GOLD, GOLD) == pytest.approx(1.0, abs=1e-6)
    assert metric("", GOLD) == metric(GOLD, "") == metric("Severe oedema", GOLD) == 0.0
    assert 0.0 < metric("The heart is large. The lungs are clear.", GOLD) < 1.0


def test_rouge_l_by_hand():
    # Common subsequence a b d: precision 3/4, recall 3/5.
    assert report_metrics.rouge_l("a b c d", "a b d e f") == pytest.approx(2 / 3, abs=1e-6)


def test_bleu_by_hand():
    # Precisions 4/4, 3/3, 2/2, 1/1; the text is shorter than the truth: exp(1 - 5/4).
    assert report_metrics.bleu("a b c d", "a b c d e") == pytest.approx(2.718281828 ** (-0.25))


@pytest.mark.parametrize("name", report_metrics.METRICS)
def test_repetition_does_not_pay(name):
    metric = report_metrics.METRICS[name]
    assert metric(" ".join([GOLD] * 10), GOLD) < 0.3
    assert metric("the " * 5000, GOLD) < 0.1


def test_chinese_has_tokens():
    assert report_metrics.rouge_l("心影增大", "心影正常") == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize(("name", "library"), [("rouge_l", "rouge"), ("bleu", "nltk.translate")])
def test_a_missing_library_is_named(monkeypatch, name, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(errors.UserError, match=r"is missing: pip install 'lingshu-jax\[eval\]'"):
        report_metrics.METRICS[name](GOLD, GOLD)
