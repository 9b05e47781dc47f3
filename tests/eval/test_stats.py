# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import itertools
import math
import time

import numpy as np
import pytest
import scipy.stats

from lingshu_jax.common import errors
from lingshu_jax.eval import metrics, stats


def rows(right, first=0):
    return [
        {"id": f"q{first + i}", "strict": {"correct": bool(r)}, "compat": {"correct": not r}}
        for i, r in enumerate(right)
    ]


def draw(rng, gains, losses, count):
    """Changes of `count` questions, of which about these shares are 1 and -1."""
    return rng.choice([1.0, -1.0, 0.0], count, p=[gains, losses, 1 - gains - losses])


def in_clusters(rng, count, size, p):
    """Right and wrong answers of which those about one image are mostly alike, and the images."""
    alike = rng.random((count, 1)) < p
    correct = np.where(rng.random((count, size)) < 0.8, alike, rng.random((count, size)) < p)
    return correct.ravel().astype(float), names(count, size)


def names(count, size):
    return [str(number) for number in range(count) for _ in range(size)]


def alone(values):
    return [""] * len(values)


def signs(totals):
    """The permutation test by hand: every choice of signs."""
    here = abs(sum(totals))
    every = [
        abs(sum(sign * total for sign, total in zip(chosen, totals, strict=True)))
        for chosen in itertools.product((1, -1), repeat=len(totals))
    ]
    return sum(value >= here for value in every) / len(every)


def test_a_change_is_of_one_question():
    ours, base = rows([1, 1, 0, 0]), rows([1, 0, 1, 0])
    assert stats.changes(ours, base, "strict").tolist() == [0, 1, -1, 0]
    assert stats.changes(ours, base, "compat").tolist() == [0, -1, 1, 0]


@pytest.mark.parametrize("base", [rows([1, 0], first=1), rows([1]), rows([0, 1])[::-1]])
def test_other_questions_are_not_compared(base):
    with pytest.raises(errors.UserError, match="have different questions"):
        stats.changes(rows([1, 0]), base, "strict")


def test_clusters_are_summed_and_questions_without_a_group_stand_alone():
    values = np.array([1.0, 0, 1, 1, -1, 1])
    found = stats.cluster(values, ["a", "", "b", "a", "", "b"])
    assert sorted(zip(*map(np.ndarray.tolist, found), strict=True)) == [
        (-1, 1),
        (0, 1),
        (2, 2),
        (2, 2),
    ]


def test_the_interval_of_single_questions_is_the_normal_one(rng):
    correct = (rng.random(800) < 0.7).astype(float)
    low, high = stats.clustered_interval(correct, alone(correct))
    assert (high - low) / 2 == pytest.approx(1.96 * correct.std() / math.sqrt(800), rel=0.06)
    assert (low, high) == pytest.approx(metrics.wilson(int(correct.sum()), 800), abs=0.005)


def test_the_clustered_interval_is_scipy_s_over_clusters(rng):
    """Clusters of several sizes; scipy draws them one by one, and paired with their sizes."""
    groups = [str(n) for n in range(90) for _ in range(1 + n % 7)]
    correct = np.array([(int(g) * 7919 % 90 < 55) != (rng.random() < 0.2) for g in groups], float)
    sums, sizes = stats.cluster(correct, groups)
    theirs = scipy.stats.bootstrap(
        (sums, sizes),
        lambda s, n, axis: s.sum(axis=axis) / n.sum(axis=axis),
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=20_000,
        rng=rng,
    ).confidence_interval
    ours = stats.clustered_interval(correct, groups, resamples=20_000)
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.003)
    independent = stats.clustered_interval(correct, alone(correct), resamples=20_000)
    assert (ours.high - ours.low) > 1.3 * (independent.high - independent.low)


def test_the_clustered_interval_covers_the_truth_and_wilson_s_does_not(rng):
    """300 samples of 60 images with 6 questions each, of which most fall together."""
    clustered = wilson = 0
    for _ in range(300):
        correct, groups = in_clusters(rng, 60, 6, 0.6)
        low, high = stats.clustered_interval(correct, groups, resamples=400)
        clustered += low <= 0.6 <= high
        low, high = metrics.wilson(int(correct.sum()), len(correct))
        wilson += low <= 0.6 <= high
    assert 0.91 <= clustered / 300 <= 0.98
    assert wilson / 300 < 0.75


def test_fewer_than_two_clusters_say_nothing():
    assert stats.clustered_interval(np.ones(5), ["a"] * 5) == (0.0, 1.0)
    assert stats.clustered_interval(np.ones(0), []) == (0.0, 1.0)
    assert stats.clustered_interval(np.array([1.0, 0]), ["a", ""]) == (0.0, 1.0)


def test_the_seed_decides_the_draws(rng):
    correct, groups = in_clusters(rng, 50, 3, 0.5)
    first = stats.clustered_interval(correct, groups)
    assert stats.clustered_interval(correct, groups) == first
    assert stats.clustered_interval(correct, groups, seed=1) != first


def test_the_largest_set_takes_seconds(rng):
    """88,996 questions about 82,059 images: the numbers of OmniMedVQA."""
    groups = [str(number) for number in rng.integers(0, 82_059, 88_996)]
    correct = (rng.random(88_996) < 0.7).astype(float)
    started = time.perf_counter()
    low, high = stats.clustered_interval(correct, groups)
    assert time.perf_counter() - started < 5
    assert high - low == pytest.approx(2 * 1.96 * math.sqrt(0.21 / 88_996), rel=0.1)


def test_many_kinds_of_clusters_are_drawn_in_blocks(rng):
    """Scores that are no verdicts make every cluster a kind of its own; these are two blocks."""
    values = rng.random(3000)
    low, high = stats.clustered_interval(values, alone(values))
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / math.sqrt(3000), rel=0.06)
    assert (high + low) / 2 == pytest.approx(values.mean(), abs=0.002)


def test_macro_and_micro_weigh_benchmarks_differently(rng):
    small, large = (rng.random(60) < 0.9).astype(float), (rng.random(3000) < 0.5).astype(float)
    parts, groups = [small, large], [alone(small), alone(large)]
    low, high = stats.macro_interval(parts, groups)
    half = 1.96 / 2 * math.sqrt(small.var() / 60 + large.var() / 3000)
    assert (high - low) / 2 == pytest.approx(half, rel=0.08)
    assert (high + low) / 2 == pytest.approx((small.mean() + large.mean()) / 2, abs=0.01)
    low, high = stats.micro_interval(parts, groups)
    half = 1.96 * math.sqrt(60 * small.var() + 3000 * large.var()) / 3060
    assert (high - low) / 2 == pytest.approx(half, rel=0.08)
    assert (high + low) / 2 == pytest.approx(np.concatenate(parts).mean(), abs=0.005)


def test_the_interval_is_that_of_the_mean(rng):
    """Beside the normal interval of a mean of paired differences, 400 questions."""
    part = draw(rng, 0.3, 0.1, 400)
    low, high = stats.interval([part])
    half = 1.96 * part.std() / math.sqrt(len(part))
    assert (high - low) / 2 == pytest.approx(half, rel=0.06)
    assert (high + low) / 2 == pytest.approx(part.mean(), abs=0.01)
    assert stats.pooled_interval([part], [alone(part)]) == (low, high)


def test_changes_that_come_in_clusters_widen_the_interval(rng):
    correct, groups = in_clusters(rng, 80, 5, 0.6)
    changed = correct - 0.5 > 0
    part = np.where(changed, 1.0, -1.0)
    low, high = stats.interval([part], [groups])
    narrow = stats.interval([part])
    assert high - low > 1.5 * (narrow.high - narrow.low)
    error = stats.standard_error(part, groups)
    assert error is not None
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.06)


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
    same = np.zeros(50)
    assert stats.interval([same, np.zeros(3)]) == (0.0, 0.0)
    assert stats.mcnemar(same) == stats.permutation_test(same, alone(same)) == 1.0
    assert stats.minimum_detectable(same, alone(same)) is None


def test_it_is_the_same_every_time(rng):
    parts = [draw(rng, 0.3, 0.1, 40), draw(rng, 0.1, 0.1, 90)]
    assert stats.interval(parts) == stats.interval(parts)


def test_one_question_says_nothing():
    assert stats.interval([np.ones(1), np.ones(50)]) == (-1.0, 1.0)
    assert stats.interval([np.ones(4)], [["a"] * 4]) == (-1.0, 1.0)
    assert stats.minimum_detectable(np.ones(4), ["a"] * 4) is None


def test_it_covers_the_truth_as_often_as_it_says(rng):
    """Of 200 samples of 150 questions; between 90 and 99 per cent where 95 are meant."""
    covered = 0
    for _ in range(200):
        low, high = stats.interval([draw(rng, 0.3, 0.2, 150)], resamples=300)
        covered += low <= 0.1 <= high
    assert 180 <= covered <= 198


@pytest.mark.parametrize(
    ("gained", "lost", "p"),
    [
        (0, 0, 1.0),
        (5, 5, 1.0),
        (10, 2, 2 * (1 + 12 + 66) / 2**12),
        (2, 10, 2 * (1 + 12 + 66) / 2**12),
        (8, 0, 2 / 2**8),
        (1, 0, 1.0),
    ],
)
def test_mcnemar_by_hand(gained, lost, p):
    changed = np.array([1.0] * gained + [-1.0] * lost + [0.0] * 30)
    assert stats.mcnemar(changed) == pytest.approx(p)


def test_without_groups_the_permutation_test_is_mcnemar_s(rng):
    for count in (3, 40, 3000):
        changed = draw(rng, 0.3, 0.2, count)
        assert stats.permutation_test(changed, alone(changed)) == pytest.approx(
            stats.mcnemar(changed)
        )


@pytest.mark.parametrize(
    "totals",
    [[3, 1, -1, 2], [2, 2, -1, 1, 1, -3, 0], [1] * 9, [5, -4], [-2, -2, -2, -3, -1, 1, 4, 7, 1]],
)
def test_the_permutation_test_counts_every_choice_of_signs(totals):
    changed = np.array([np.sign(t) for t in totals for _ in range(abs(t))], float)
    groups = [str(number) for number, t in enumerate(totals) for _ in range(abs(t))]
    assert stats.permutation_test(changed, groups) == pytest.approx(signs(totals))


def test_the_permutation_test_is_scipy_s(rng):
    changed = draw(rng, 0.3, 0.2, 70)
    groups = [str(number // 7) for number in range(70)]
    totals = stats.cluster(changed, groups).sums
    theirs = scipy.stats.permutation_test(
        (totals,),
        lambda x, axis: x.sum(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=2**10,
    )
    assert stats.permutation_test(changed, groups) == pytest.approx(theirs.pvalue)


def test_the_permutation_test_is_exact_for_large_sets(rng):
    """The normal distribution is its limit; and it takes less than a second or two."""
    changed = draw(rng, 0.16, 0.155, 88_996)
    groups = [str(number) for number in rng.integers(0, 30_000, 88_996)]
    totals = stats.cluster(changed, groups).sums
    started = time.perf_counter()
    p = stats.permutation_test(changed, groups)
    assert time.perf_counter() - started < 5
    normal = scipy.stats.norm.sf(abs(totals.sum()) - 0.5, scale=math.sqrt(np.square(totals).sum()))
    assert p == pytest.approx(2 * normal, rel=0.02)


def test_clusters_keep_the_permutation_test_honest(rng):
    """400 pairs of equal models, 40 images with 5 questions: 5 % may differ, McNemar says more."""
    clustered = independent = 0
    for _ in range(400):
        signs_of = np.repeat(rng.choice([1.0, -1.0], 40), 5)
        changed = np.where(rng.random(200) < 0.4, signs_of, 0.0)
        clustered += stats.permutation_test(changed, names(40, 5)) < 0.05
        independent += stats.mcnemar(changed) < 0.05
    assert 0.02 <= clustered / 400 <= 0.08
    assert independent / 400 > 0.1


def test_the_standard_error_of_single_questions_is_the_usual_one(rng):
    values = draw(rng, 0.3, 0.1, 50)
    assert stats.standard_error(values, alone(values)) == pytest.approx(scipy.stats.sem(values))


def test_the_standard_error_of_clusters_by_hand():
    """Means 1, 0 and 1/2 of 2, 2 and 4 questions: residuals 1, -1 and 0 around 1/2."""
    values = np.array([1.0, 1, 0, 0, 1, 1, 0, 0])
    groups = ["a", "a", "b", "b", "c", "c", "c", "c"]
    assert stats.standard_error(values, groups) == pytest.approx(math.sqrt(3 / 2 * 2) / 8)


def test_the_minimum_detectable_difference_by_hand():
    """30 gained, 10 lost of 400: spread sqrt(0.1 - 0.05^2), times 1.960 + 0.8416."""
    changed = np.array([1.0] * 30 + [-1.0] * 10 + [0.0] * 360)
    error = math.sqrt((0.1 - 0.05**2) / 399)
    found = stats.minimum_detectable(changed, alone(changed))
    assert found == pytest.approx((1.959964 + 0.841621) * error, rel=1e-6)


def test_a_difference_of_that_size_is_found_four_times_in_five(rng):
    """2000 questions of which a third change; half of the true difference is not enough."""
    size = stats.minimum_detectable(draw(rng, 1 / 6, 1 / 6, 2000), [""] * 2000)
    assert size is not None
    power = {1.0: 0, 0.5: 0}
    for factor, _ in itertools.product(power, range(400)):
        changed = draw(rng, 1 / 6 + factor * size / 2, 1 / 6 - factor * size / 2, 2000)
        power[factor] += stats.mcnemar(changed) < 0.05
    assert 0.73 <= power[1.0] / 400 <= 0.87
    assert power[0.5] / 400 < 0.4


def test_holm_by_hand():
    """Holm's steps: the smallest times 4, the next times 3, and so on, never falling."""
    assert stats.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert stats.holm([0.5, 0.9]) == [1.0, 1.0]
    assert stats.holm([0.2]) == [0.2]
    assert stats.holm([]) == []


def test_holm_keeps_the_risk_of_any_false_alarm(rng):
    """2000 families of 10 comparisons of equal models; unadjusted, 40 % of them cry wolf."""
    families = rng.random((2000, 10))
    adjusted = np.array([stats.holm(family.tolist()) for family in families])
    assert 0.035 <= (adjusted.min(axis=1) < 0.05).mean() <= 0.065
    assert (families.min(axis=1) < 0.05).mean() > 0.3
