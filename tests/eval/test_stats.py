# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import math

import numpy as np
import pytest

from lingshu_jax.common import errors
from lingshu_jax.eval import stats


def rows(right, first=0):
    return [
        {"id": f"q{first + i}", "strict": {"correct": bool(r)}, "compat": {"correct": not r}}
        for i, r in enumerate(right)
    ]


def draw(rng, gains, losses, count):
    """Changes of `count` questions, of which about these shares are 1 and -1."""
    return rng.choice([1.0, -1.0, 0.0], count, p=[gains, losses, 1 - gains - losses])


def test_a_change_is_of_one_question():
    ours, base = rows([1, 1, 0, 0]), rows([1, 0, 1, 0])
    assert stats.changes(ours, base, "strict").tolist() == [0, 1, -1, 0]
    assert stats.changes(ours, base, "compat").tolist() == [0, -1, 1, 0]


@pytest.mark.parametrize("base", [rows([1, 0], first=1), rows([1]), rows([0, 1])[::-1]])
def test_other_questions_are_not_compared(base):
    with pytest.raises(errors.UserError, match="have different questions"):
        stats.changes(rows([1, 0]), base, "strict")


def test_the_interval_is_that_of_the_mean(rng):
    """Beside the normal interval of a mean of paired differences, 400 questions."""
    part = draw(rng, 0.3, 0.1, 400)
    low, high = stats.interval([part])
    half = 1.96 * part.std() / math.sqrt(len(part))
    assert (high - low) / 2 == pytest.approx(half, rel=0.06)
    assert (high + low) / 2 == pytest.approx(part.mean(), abs=0.01)


def test_every_benchmark_counts_once(rng):
    """A small one widens the interval of the mean by its own variance, whatever the large has."""
    small, large = draw(rng, 0.3, 0.2, 60), draw(rng, 0.2, 0.2, 2000)
    low, high = stats.interval([small, large])
    half = 1.96 / 2 * math.sqrt(small.var() / len(small) + large.var() / len(large))
    assert (high - low) / 2 == pytest.approx(half, rel=0.06)
    assert (high + low) / 2 == pytest.approx((small.mean() + large.mean()) / 2, abs=0.01)


def test_pairing_is_what_makes_it_narrow(rng):
    """Two models that differ at few questions: unpaired answers would say much less."""
    base = rng.random(300) < 0.5
    ours = base.copy()
    ours[:12] = True
    low, high = stats.interval([ours.astype(float) - base])
    unpaired = 2 * 1.96 * math.sqrt(ours.var() / 300 + base.var() / 300)
    assert 0 < high - low < unpaired / 4


def test_the_same_answers_do_not_differ():
    assert stats.interval([np.zeros(50), np.zeros(3)]) == (0.0, 0.0)


def test_it_is_the_same_every_time(rng):
    parts = [draw(rng, 0.3, 0.1, 40), draw(rng, 0.1, 0.1, 90)]
    assert stats.interval(parts) == stats.interval(parts)


def test_one_question_says_nothing():
    assert stats.interval([np.ones(1), np.ones(50)]) == (-1.0, 1.0)


def test_it_covers_the_truth_as_often_as_it_says(rng):
    """Of 200 samples of 150 questions; between 90 and 99 per cent where 95 are meant."""
    covered = 0
    for _ in range(200):
        low, high = stats.interval([draw(rng, 0.3, 0.2, 150)], resamples=300)
        covered += low <= 0.1 <= high
    assert 180 <= covered <= 198
