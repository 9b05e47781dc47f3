# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import pytest

from data_tools.reviewing import items, verdicts
from lingshu_jax.common import errors
from tests.data_tools.reviewing import small_review

CHECKS = {"steps": [True, True, True], "consistent": True, "leaks": False}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return items.read(small_review.write_data(tmp_path_factory.mktemp("data")))


@pytest.mark.parametrize(
    ("said", "swapped", "kept"),
    [
        ("a", False, "first"),
        ("b", False, "second"),
        ("a", True, "second"),
        ("b", True, "first"),
        ("both", True, "both"),
        ("neither", False, "neither"),
    ],
)
def test_sides_are_kept_as_rows_and_told_as_sides(data, said, swapped, kept):
    pair = small_review.find_pair(data, 0)
    made = verdicts.checked(pair, {"verdict": said}, swapped=swapped)
    assert made["verdict"] == kept
    assert made["rows"] == [row.id for row in pair.rows]
    assert verdicts.told(pair, made, swapped=swapped)["verdict"] == said


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({}, "approve"),
        ({"steps": [True, False, True]}, "reject"),
        ({"consistent": False}, "reject"),
        ({"leaks": True}, "reject"),
        ({"verdict": "approve", "leaks": True}, "reject"),
        ({"verdict": "edit", "leaks": True, "texts": [[1, 0, "<think>x</think>y"]]}, "edit"),
    ],
)
def test_a_trace_is_judged_by_its_parts(data, changes, kept):
    item = small_review.find(data, 8)
    made = verdicts.checked(item, {"verdict": "approve", **CHECKS, **changes}, swapped=False)
    assert made["verdict"] == kept
    assert made["steps"] == changes.get("steps", CHECKS["steps"])


def test_an_edit_keeps_what_was_changed(data):
    item = small_review.find(data, 4)
    texts = [[1, 0, "A liver."], [0, 1, "Which organ?"]]
    sent = {"verdict": "edit", "texts": texts, "seconds": 3.14159}
    made = verdicts.checked(item, sent, swapped=False)
    assert made["texts"] == [[1, 0, "A liver."]] and made["seconds"] == 3.1


def test_a_rejection_keeps_its_reasons_in_their_order(data):
    item = small_review.find(data, 4)
    sent = {"verdict": "reject", "reasons": ["other", "wrong finding"], "note": " so "}
    made = verdicts.checked(item, sent, swapped=False)
    assert made["reasons"] == ["wrong finding", "other"] and made["note"] == "so"


@pytest.mark.parametrize(
    ("number", "sent", "said"),
    [
        (4, {"verdict": "both"}, "verdict must be one of approve, edit, reject"),
        (4, {"verdict": None}, "verdict must be"),
        (4, {"verdict": "reject"}, "a rejection needs a reason"),
        (4, {"verdict": "reject", "reasons": ["ugly"]}, "reasons must be of"),
        (4, {"verdict": "reject", "note": "x" * 2001}, "at most 2000"),
        (4, {"verdict": "edit"}, "nothing was changed"),
        (4, {"verdict": "edit", "texts": [[1, 0, "A spleen."]]}, "nothing was changed"),
        (4, {"verdict": "edit", "texts": [[9, 0, "x"]]}, "there is no message 9"),
        (4, {"verdict": "edit", "texts": [[0, 0, "x"]]}, "message 0 has no text 0"),
        (4, {"verdict": "edit", "texts": [[1, 0, " "]]}, "1 to 40000"),
        (4, {"verdict": "edit", "texts": [[True, 0, "x"]]}, "must be a list"),
        (4, {"verdict": "undo", "undoes": "1"}, "a number of 16 to 64"),
        (8, {"verdict": "approve"}, "steps must be true or false for each of 3"),
        (8, {"verdict": "approve", **CHECKS, "steps": [True]}, "each of 3"),
        (8, {"verdict": "approve", **CHECKS, "leaks": 1}, "leaks must be"),
    ],
)
def test_what_may_not_be_decided_is_refused(data, number, sent, said):
    with pytest.raises(errors.UserError, match=said):
        verdicts.checked(small_review.find(data, number), sent, swapped=False)


def test_a_pair_has_no_approval(data):
    pair = small_review.find_pair(data, 0)
    with pytest.raises(errors.UserError, match="one of a, b, both, neither"):
        verdicts.checked(pair, {"verdict": "approve"}, swapped=False)
