# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import pytest

from lingshu_jax.common import errors
from lingshu_jax.eval import card as card_lib
from lingshu_jax.eval.benchmarks import letters

CARD = card_lib.Card(name="some", title="Some", family="text")


def test_options_are_read_in_the_order_of_their_letters():
    given = {"A": "one", "B": 2, "C": "three ", "D": None}
    assert letters.texts(CARD, "row 0", given) == ("one", "2", "three ")


@pytest.mark.parametrize("given", [{}, {"B": "x"}, {"A": "x", "C": "y"}, None, ["x"]])
def test_options_with_other_letters_are_refused(given):
    with pytest.raises(errors.UserError, match=r"some: row 7: options must be texts under A, B"):
        letters.texts(CARD, "row 7", given)


@pytest.mark.parametrize("given", [None, [], "AB", ["x"] * 27])
def test_no_list_of_options_is_refused(given):
    with pytest.raises(errors.UserError, match=r"some: row 7: options must be a list of texts"):
        letters.listed(CARD, "row 7", given)


def test_a_gold_may_be_a_list_of_one_letter():
    assert letters.gold(CARD, "row 0", ["B"], ("x", "y")) == "B"


@pytest.mark.parametrize("letter", ["C", "a", "", "AB", None, 0, ["A", "B"], []])
def test_a_gold_without_an_option_is_refused(letter):
    with pytest.raises(errors.UserError, match=r"some: row 7: the gold must be one of A, B, got"):
        letters.gold(CARD, "row 7", letter, ("x", "y"))


@pytest.mark.parametrize("index", [2, -1, None, "0"])
def test_a_number_without_an_option_is_refused(index):
    with pytest.raises(errors.UserError, match=r"some: row 7: the gold must be 0 to 1, got"):
        letters.numbered(CARD, "row 7", index, ("x", "y"))


def test_one_string_is_split_where_its_letters_stand():
    text = "Which (A) is it?\nAnswer Choices: (A) the (D) form (B) two  (C)  (D) four "
    found = letters.split(CARD, "row 0", text, 4)
    assert found == ("Which (A) is it?", ["the (D) form", "two ", "", "four "])


@pytest.mark.parametrize(
    ("text", "ways"),
    [
        ("Which?", 0),
        ("Which?\nAnswer Choices: (A) one (B) two (C) three", 0),
        ("Which?\nAnswer Choices: (A) one (B) two (D) four (C) three", 0),
        ("Which?\nAnswer Choices: (A) vitamin (B) complex (B) two (C) three (D) four", 2),
        ("Which?\nAnswer Choices: (A) one (B) two (C) three (D) type (D) fibre", 2),
    ],
)
def test_a_string_that_does_not_read_in_one_way_is_refused(text, ways):
    with pytest.raises(errors.UserError, match=rf"some: row 7: .*4 options.*found {ways} ways"):
        letters.split(CARD, "row 7", text, 4)
