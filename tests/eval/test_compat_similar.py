# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import difflib
import random

import pytest

from lingshu_jax.eval import compat_similar

WORDS = "left lung the of pneumonia b. nodule is no effusion 肺 x a (b) e".split()


def by_difflib(options, text, *, autojunk=True):
    """The first of the highest ratios, one matcher an option."""
    ratios = [difflib.SequenceMatcher(None, o, text, autojunk).ratio() for o in options]
    place = ratios.index(max(ratios))
    return place, ratios[place]


def draw(rng, *, most):
    return " ".join(rng.choices(WORDS, k=rng.randint(0, most)))


@pytest.mark.parametrize(("words", "count"), [(3, 2000), (12, 1000), (60, 500), (400, 100)])
def test_equal_to_difflib_to_the_last_digit(words, count):
    rng = random.Random(words)
    for _ in range(count):
        options = [draw(rng, most=5) for _ in range(rng.randint(1, 6))]
        text = draw(rng, most=words)
        if rng.random() < 0.5:
            text += rng.choice(options)
        assert compat_similar.most_similar(options, text) == by_difflib(options, text), text


@pytest.mark.parametrize("length", [199, 200, 201, 299, 300, 301])
def test_frequent_characters_are_left_out_from_the_same_length_on(length):
    options = ["a. bed", "b. cab", "c. dad", "d. eel"]
    for text in (("abcde" * 61)[:length], ("ab" * 9 + "c") * 20, "a" * (length - 1) + "e"):
        cut = text[:length]
        assert compat_similar.most_similar(options, cut) == by_difflib(options, cut)


def test_a_matcher_that_keeps_frequent_characters_is_found_out():
    rng = random.Random(0)
    texts = [draw(rng, most=100) for _ in range(50)]
    options = [draw(rng, most=5) for _ in range(4)]
    found = [compat_similar.most_similar(options, text) for text in texts]
    assert found != [by_difflib(options, text, autojunk=False) for text in texts]


@pytest.mark.parametrize(
    ("options", "text", "expected"),
    [
        (["a", "b"], "", (0, 0.0)),
        (["a", "b"], "xyz", (0, 0.0)),
        (["b", "b", "a"], "b", (0, 1.0)),
        (["", "a"], "", (0, 1.0)),
        (["a", ""], "", (1, 1.0)),
    ],
)
def test_ties_and_nothing_take_the_first(options, text, expected):
    assert compat_similar.most_similar(options, text) == expected == by_difflib(options, text)
