# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest
from nltk.metrics import agreement as nltk_agreement

from lingshu_jax.common import agreement


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ([[20, 5], [10, 15]], 0.4),
        ([[45, 15], [25, 15]], 0.1304347826),
        ([[25, 35], [5, 35]], 0.2592592593),
        # Three ways, by hand: observed 4/5, expected (1 * 1 + 2 * 2 + 2 * 2) / 25.
        ([[1, 0, 0], [0, 2, 0], [0, 0, 2]], 1.0),
        ([[1, 0, 1], [0, 1, 0], [0, 0, 2]], (4 / 5 - 9 / 25) / (1 - 9 / 25)),
        ([[0, 5], [5, 0]], -1.0),
    ],
)
def test_kappa_of_known_tables(table, expected):
    assert agreement.kappa(table) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("table", [[[0, 0], [0, 0]], [[7, 0], [0, 0]]])
def test_kappa_is_not_defined_without_variety(table):
    assert agreement.kappa(table) is None


# Table 1 of Fleiss (Psychological Bulletin 76:378, 1971): the diagnoses that six psychiatrists each
# gave to thirty patients, a digit a diagnosis.
DIAGNOSES = """
444444 222555 233335 555555 222444 113333 333355 113334 114444 555555
144444 124444 222333 144444 224445 333335 111455 111112 224444 133555
555555 244444 224555 114444 144445 222224 111155 224444 133333 555555
""".split()


def counted(ratings):
    return [[row.count(category) for category in "12345"] for row in ratings]


def test_fleiss_kappa_of_the_published_table():
    counts = counted(DIAGNOSES)
    assert np.sum(counts, axis=0).tolist() == [26, 26, 30, 55, 43]
    # 0.430 in the paper; 0.4302445 by the R package irr, as statsmodels' own test has it.
    assert agreement.fleiss_kappa(counts) == pytest.approx(0.4302445, abs=5e-8)
    counts[0] = [1, 0, 0, 5, 0]
    assert agreement.fleiss_kappa(counts) != pytest.approx(0.4302445, abs=1e-4)


def test_fleiss_kappa_is_the_multi_pi_of_nltk():
    """Which is Fleiss' under another name (Artstein and Poesio, 2008); `multi_kappa` is not."""
    told = [
        (rater, item, category)
        for item, row in enumerate(DIAGNOSES)
        for rater, category in enumerate(row)
    ]
    task = nltk_agreement.AnnotationTask(told)
    ours = agreement.fleiss_kappa(counted(DIAGNOSES))
    assert ours == pytest.approx(task.pi(), abs=1e-12)
    assert ours != pytest.approx(task.multi_kappa(), abs=1e-4)


@pytest.mark.parametrize("counts", [[], [[1, 0], [0, 1]], [[3, 0], [3, 0]]])
def test_fleiss_kappa_is_not_defined_without_variety(counts):
    assert agreement.fleiss_kappa(counts) is None


def test_fleiss_kappa_refuses_unequal_numbers_of_raters():
    with pytest.raises(ValueError, match="2 to 3 raters"):
        agreement.fleiss_kappa([[2, 0], [2, 1]])
