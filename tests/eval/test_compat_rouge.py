# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import random
import warnings

import pytest
import rouge
from nltk.translate import bleu_score

from lingshu_jax.eval import compat, compat_rouge

WORDS = "a b c d lung left . . the  , x".split(" ")


def by_package(text, gold):
    try:
        found = rouge.Rouge().get_scores(text, gold)[0]
    except ValueError:
        return None
    return tuple(found[name]["f"] for name in ("rouge-1", "rouge-2", "rouge-l"))


def draw(rng, most):
    text = " ".join(rng.choices(WORDS, k=rng.randint(0, most)))
    return text.replace(" ", "", rng.randint(0, 3)) if rng.random() < 0.3 else text


def test_equal_to_the_package_to_the_last_digit():
    rng = random.Random(0)
    undefined = 0
    for _ in range(3000):
        text, gold = draw(rng, 30), draw(rng, 10)
        found = compat_rouge.scores(text, gold)
        undefined += found is None
        assert found == by_package(text, gold), (text, gold)
    assert 0 < undefined < 1000


def test_words_that_count_twice_are_found_out():
    scorer = rouge.Rouge(exclusive=False)
    text, gold = "lung lung lung", "lung left"
    assert compat_rouge.scores(text, gold)[0] != scorer.get_scores(text, gold)[0]["rouge-1"]["f"]


@pytest.mark.parametrize(("text", "gold"), [("", "x"), ("x", ""), (".", "x"), ("x", "...")])
def test_a_side_without_a_sentence_has_no_score(text, gold):
    assert compat_rouge.scores(text, gold) is None


def test_an_answer_too_long_for_the_package_has_scores():
    text = "left lung" + " the" * 2000
    with pytest.raises(RecursionError):
        rouge.Rouge().get_scores(text, "left lung")
    # Words and pairs count once each, so that a few of "the" are as many.
    assert compat_rouge.scores(text, "left lung") == by_package("left lung the the", "left lung")


def test_bleu_of_all_orders_at_once_is_that_of_each():
    rng = random.Random(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(500):
            text, gold = draw(rng, 30), draw(rng, 10)
            found = compat.open_metrics(gold, text)
            tokens = [side.lower().replace(".", " .").split(" ") for side in (gold, text)]
            for n in (1, 2, 3, 4):
                alone = bleu_score.sentence_bleu([tokens[0]], tokens[1], weights=(1 / n,) * n)
                assert found[f"bleu{n}"] == float(alone), (gold, text)
