# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Weights of tokens and the price of length, against values worked by hand."""

import numpy as np
import pytest

from lingshu_jax.engines import protocol
from lingshu_jax.rl import weights


def completion(length, *, is_cut=False):
    reason = "length" if is_cut else "stop"
    return protocol.Completion(
        text="", tokens=(0,) * length, logprobs=(0.0,) * length, finish_reason=reason
    )


# Two prompts of two: 1 + 3 and 2 + 4 tokens, ten in all; the last was cut.
GROUPS = [[completion(1), completion(3)], [completion(2), completion(4, is_cut=True)]]
ALL_CUT = [[completion(4, is_cut=True), completion(4, is_cut=True)]]
BY_HAND = {
    # name: (aggregation, weights, weights with the filter: 6 tokens of 3 completions are left)
    "token": ([[1 / 10, 1 / 10], [1 / 10, 1 / 10]], [[1 / 6, 1 / 6], [1 / 6, 0]]),
    "sequence": ([[1 / 4, 1 / 12], [1 / 8, 1 / 16]], [[1 / 3, 1 / 9], [1 / 6, 0]]),
    "constant": ([[1 / 32, 1 / 32], [1 / 32, 1 / 32]], [[1 / 32, 1 / 32], [1 / 32, 0]]),
}
LENGTHS = np.array([[1, 3], [2, 4]])


def weigh(groups, aggregation, **options):
    return weights.completion_weights(groups, aggregation=aggregation, max_new_tokens=8, **options)


def test_every_aggregation_is_tested():
    assert tuple(BY_HAND) == weights.AGGREGATIONS


@pytest.mark.parametrize("aggregation", BY_HAND)
def test_weights_by_hand(aggregation):
    whole, filtered = BY_HAND[aggregation]
    got = weigh(GROUPS, aggregation)
    np.testing.assert_allclose(got.values, whole, rtol=1e-6)
    assert got.filtered == 0 and got.values.dtype == np.float32
    got = weigh(GROUPS, aggregation, overlong_filter=True)
    np.testing.assert_allclose(got.values, filtered, rtol=1e-6)
    assert got.filtered == 1


@pytest.mark.parametrize("aggregation", ["token", "sequence"])
def test_means_weigh_one_in_all(aggregation):
    for is_filtered in (False, True):
        got = weigh(GROUPS, aggregation, overlong_filter=is_filtered)
        np.testing.assert_allclose((got.values * LENGTHS).sum(), 1.0, rtol=1e-6)


def test_twin_the_mean_of_group_means_would_differ():
    """arXiv:2503.14476 divides by the tokens of each group: 4 and 6, then by two groups."""
    of_groups = np.array([[1 / 8, 1 / 8], [1 / 12, 1 / 12]])
    assert np.abs(weigh(GROUPS, "token").values - of_groups).max() > 0.01


@pytest.mark.parametrize("aggregation", BY_HAND)
def test_all_cut_gives_zeros_and_is_counted(aggregation):
    got = weigh(ALL_CUT, aggregation, overlong_filter=True)
    assert not got.values.any() and got.filtered == 2


def test_an_unknown_aggregation_is_named():
    with pytest.raises(ValueError, match="one of .*'constant'.*got 'row'"):
        weigh(GROUPS, "row")


def test_overlong_penalty_by_hand():
    # Of 100 tokens the last 20 cost: none at 80, half at 90, all at 100.
    got = [weights.overlong_penalty(length, 100, 20) for length in (1, 80, 90, 100)]
    assert got == [0.0, 0.0, -0.5, -1.0]
    assert weights.overlong_penalty(100, 100, 0) == 0.0
