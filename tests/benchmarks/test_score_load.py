# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import pytest

from benchmarks import score_load
from lingshu_jax.eval import compat


@pytest.fixture(scope="module")
def items():
    """A hundredth of the load."""
    return [item for part in score_load.PARTS for item in score_load.make(part, 0.01)]


def test_the_parts_are_as_many_questions_as_the_paper_counts():
    assert sum(part.n for part in score_load.PARTS) == 152_066


def test_the_answers_are_as_long_as_asked(items):
    lengths = [len(item.answer.response) for item in items]
    short = sum(length <= 2 * score_load.SHORT for length in lengths) / len(lengths)
    long = sum(length > 4 * score_load.MIDDLE for length in lengths) / len(lengths)
    assert (short, long) == (pytest.approx(0.6, abs=0.03), pytest.approx(0.1, abs=0.02))
    middle = [x for x in lengths if 2 * score_load.SHORT < x <= 4 * score_load.MIDDLE]
    assert sum(middle) / len(middle) == pytest.approx(score_load.MIDDLE, rel=0.15)
    most = [x for x in lengths if x > 4 * score_load.MIDDLE]
    assert sum(most) / len(most) == pytest.approx(score_load.LONG, rel=0.1)


def test_one_in_five_reaches_the_similarity_rule(items):
    similar = sum(map(score_load.is_similar, items))
    assert similar / len(items) == pytest.approx(score_load.SIMILAR, abs=0.03)


def test_every_kind_of_verdict_is_there(items):
    assert {item.sample.rule for item in items} == set(compat.RULES) - {"radrestruct", "rubric"}
    for item in items:
        item.sample.check()


def test_the_load_is_always_the_same():
    part = score_load.PARTS[0]
    assert list(score_load.make(part, 0.1)) == list(score_load.make(part, 0.1))


def test_the_table_has_a_line_for_all():
    totals = [score_load.run(part, 0.002) for part in score_load.PARTS[:2]]
    text = score_load.table(totals, 3 << 20)
    whole = text.split("\n")[4].split(" | ")
    assert whole[0] == "| all"
    assert int(whole[1]) == sum(total.n for total in totals)
    assert text.split("\n")[-1] == "peak memory 3 MiB; asked: 60 s and 2,048 MiB"
