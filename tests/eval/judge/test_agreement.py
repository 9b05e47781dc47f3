# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import pytest

from lingshu_jax.eval.judge import agreement

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
