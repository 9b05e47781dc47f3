# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import json

import pytest

from data_tools.reviewing import decisions, items, ratings, verdicts
from lingshu_jax.common import agreement
from tests.data_tools.reviewing import small_review

WORDS = verdicts.ALLOWED[items.APPROVE]
SECRET = "00" * 32


def rated(*columns):
    """Ratings of items by reviewers a, b, c; a blank is no rating."""
    letters = {"y": "approve", "e": "edit", "n": "reject"}
    return {
        str(item): {
            name: letters[mark] for name, mark in zip("abc", marks, strict=False) if mark != " "
        }
        for item, marks in enumerate(zip(*columns, strict=True))
    }


def test_two_reviewers_are_compared_on_what_both_decided():
    found = ratings.describe(rated("yyyyynnn ", "yyyynnnny"), {"a": 2, "b": 1}, WORDS)
    [pair] = found["pairs"]
    assert pair["reviewers"] == [1, 2] and pair["n"] == 8
    assert pair["agreement"] == 7 / 8
    # Wilson's interval of 7 of 8.
    assert pair["interval"] == pytest.approx([0.5291, 0.9776], abs=1e-4)
    assert pair["kappa"] == pytest.approx(agreement.kappa([[4, 1], [0, 3]]))
    assert found["items"] == 9


def test_all_reviewers_are_compared_where_as_many_decided():
    three = rated("yyne  ", "ynne y", "yyny y")
    found = ratings.describe(three, {"a": 1, "b": 2, "c": 3}, WORDS)["all"]
    assert found == {
        "raters": 3,
        "n": 4,
        "left_out": 1,
        "agreement": pytest.approx((3 + 1 + 3 + 1) / 12),
        "kappa": agreement.fleiss_kappa([[3, 0, 0], [2, 0, 1], [0, 0, 3], [1, 2, 0]]),
    }


def test_one_reviewer_agrees_with_nobody():
    found = ratings.describe(rated("yn"), {"a": 1}, WORDS)
    assert found == {"items": 2, "pairs": [], "all": None}


def test_a_summary_has_numbers_for_names(tmp_path):
    data = items.read(small_review.write_data(tmp_path / "data"))
    item = small_review.find(data, 4)
    lines = {
        name: decisions.replay({"1": {"item": key, "verdict": "approve", "reviewer": name}})
        for name, key in (("ann", item.key), ("bob", item.key), ("eve", "of other data"))
    }
    found = ratings.summarise(data, lines, SECRET)
    assert set(found) == {items.APPROVE} and found[items.APPROVE]["pairs"][0]["n"] == 1
    assert not [name for name in lines if name in json.dumps(found)]
    assert sorted(ratings.numbers(SECRET, [*lines]).values()) == [1, 2, 3]
    drawn = [ratings.numbers(f"{n:064x}", [*lines]) for n in range(20)]
    orders = {tuple(found[name] for name in lines) for found in drawn}
    assert len(orders) > 3
