# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Group-relative advantages against values worked by hand."""

import numpy as np
import pytest

from lingshu_jax.rl import advantages


def test_values_by_hand():
    # Mean 1, deviations (-1, 0, 1), sum of squares 2, ddof 1: std 1.
    rewards = np.array([[0.0, 1.0, 2.0], [5.0, 5.0, 5.0]], np.float32)
    got = advantages.group_relative(rewards, eps=0.25)
    np.testing.assert_allclose(got.values, [[-0.8, 0.0, 0.8], [0.0, 0.0, 0.0]], rtol=1e-6)
    assert got.zero_variance_groups == 1


def test_twin_population_deviation_would_differ():
    rewards = np.array([[0.0, 1.0, 2.0]], np.float32)
    population = 1.0 / (rewards.std() + 0.25)
    got = advantages.group_relative(rewards, eps=0.25)
    assert abs(float(got.values[0, 2]) - population) > 0.1


def test_without_std_only_the_mean_goes():
    rewards = np.array([[0.5, 1.5, 0.0, 0.0]], np.float32)
    got = advantages.group_relative(rewards, scale_by_std=False)
    np.testing.assert_allclose(got.values, [[0.0, 1.0, -0.5, -0.5]])


def test_equal_rewards_give_exactly_zero_whatever_rounding():
    # The float32 mean of sixteen times 1.1 is not 1.1; over eps that would be a gradient.
    rewards = np.full((3, 16), 1.1, np.float32)
    got = advantages.group_relative(rewards)
    assert (got.values == 0).all()
    assert got.zero_variance_groups == 3


def test_group_of_one_gets_zero():
    got = advantages.group_relative(np.array([[1.5], [0.0]], np.float32))
    assert (got.values == 0).all()
    assert got.zero_variance_groups == 2


def test_invariant_to_shift_and_order():
    rewards = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
    got = advantages.group_relative(rewards).values
    moved = advantages.group_relative(rewards + 3.0).values
    np.testing.assert_allclose(got, moved, atol=1e-5)
    flipped = advantages.group_relative(np.ascontiguousarray(rewards[:, ::-1])).values
    np.testing.assert_allclose(got[:, ::-1], flipped, atol=1e-6)
    np.testing.assert_allclose(got.sum(axis=1), 0.0, atol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf], ids=["nan", "inf"])
def test_not_finite_is_refused(bad):
    with pytest.raises(ValueError, match="finite"):
        advantages.group_relative(np.array([[0.0, bad]], np.float32))


def test_eps_must_be_positive():
    with pytest.raises(ValueError, match="eps must be > 0, got 0"):
        advantages.group_relative(np.zeros((1, 2), np.float32), eps=0.0)
