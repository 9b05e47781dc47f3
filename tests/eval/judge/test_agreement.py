# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import pytest

from lingshu_jax.eval.judge import agreement


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


FIRST = {"a": "correct", "b": "incorrect", "c": "ungradable", "d": "failed", "e": "correct"}
SECOND = {"a": "correct", "b": "correct", "c": "ungradable", "d": "correct", "x": "correct"}


def test_two_judges_are_compared_where_both_gave_a_verdict():
    found = agreement.compare(FIRST, SECOND)
    assert found is not None
    assert (found["n"], found["failed"]) == (3, 1)
    assert found["table"] == [[1, 0, 0], [1, 0, 0], [0, 0, 1]]
    assert found["agreement"] == pytest.approx(2 / 3)
    # Expected: (1 * 2 + 1 * 0 + 1 * 1) / 9.
    assert found["kappa"] == pytest.approx((2 / 3 - 3 / 9) / (1 - 3 / 9))


def test_judges_of_other_answers_cannot_be_compared():
    assert agreement.compare({"a": "correct"}, {"b": "correct"}) is None


def test_benchmarks_add_up():
    part = agreement.compare(FIRST, SECOND)
    assert part is not None
    both = agreement.add([part, part])
    assert (both["n"], both["failed"], both["kappa"]) == (6, 2, part["kappa"])
    assert both["table"] == [[2, 0, 0], [2, 0, 0], [0, 0, 2]]
