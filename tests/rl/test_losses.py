# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The GRPO loss against values worked by hand, and the relations it must keep."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lingshu_jax.rl import losses

CLIP = losses.Clip(low=0.2, high=0.3, dual=3.0)
# One program instead of one an operation.
grpo_loss = jax.jit(losses.grpo_loss, static_argnames=("clip", "kl_coef", "importance_cap"))


def row(*values):
    return jnp.asarray([values], jnp.float32)


def call(logprobs, **changes):
    """The loss with harmless defaults: on policy, no reference, every token valid."""
    logprobs = jnp.asarray(logprobs, jnp.float32)
    arguments = {
        "old_logprobs": logprobs,
        "sampler_logprobs": logprobs,
        "ref_logprobs": None,
        "advantages": jnp.ones_like(logprobs),
        "loss_weights": jnp.ones_like(logprobs),
        "clip": CLIP,
        "kl_coef": 0.0,
        "importance_cap": None,
    }
    return grpo_loss(logprobs, **arguments | changes)


CLIP_CASES = {
    # name: (ratio, advantage, loss)
    "inside": (1.1, 2.0, -2.2),
    "good_above_is_cut": (1.5, 2.0, -2.6),
    "good_below_is_free": (0.5, 2.0, -1.0),
    "bad_below_is_cut": (0.5, -2.0, 1.6),
    "bad_above_is_free": (1.5, -2.0, 3.0),
    "bad_far_above_is_dual_cut": (9.0, -2.0, 6.0),
    "no_advantage": (9.0, 0.0, 0.0),
}


@pytest.mark.parametrize("case", CLIP_CASES.values(), ids=CLIP_CASES.keys())
def test_clipped_objective_by_hand(case):
    ratio, advantage, want = case
    got = losses.clipped_objective(row(ratio), row(advantage), clip=CLIP)
    np.testing.assert_allclose(got[0, 0], want, rtol=1e-6)


def test_twin_symmetric_clip_would_differ():
    symmetric = losses.Clip(low=0.2, high=0.2, dual=3.0)
    got = losses.clipped_objective(row(1.5), row(2.0), clip=symmetric)
    assert abs(float(got[0, 0]) - -2.6) > 0.1


def test_k3_by_hand_and_its_limit():
    mask = jnp.ones((1, 3), bool)
    got = losses.kl_k3(row(-1.0, -1.0, -30.0), row(-1.0, -0.5, -1.0), mask)
    np.testing.assert_allclose(got[0], [0.0, math.exp(0.5) - 1.5, 10.0], rtol=1e-5, atol=1e-7)


def test_k3_gradient_is_the_policy_minus_reference_ratio():
    # d/dlogp (exp(r - p) - (r - p) - 1) = 1 - exp(r - p)
    mask = jnp.ones((1, 1), bool)
    grad = jax.grad(lambda p: losses.kl_k3(p, row(-0.5), mask)[0, 0])(row(-1.0))
    np.testing.assert_allclose(grad[0, 0], 1 - math.exp(0.5), rtol=1e-5)


def test_total_by_hand():
    # Token 1: ratio 1.1, A 1 -> -1.1, w = exp(.1). Token 2: ratio 1, A -1 -> 1, w capped at 1.2.
    logprobs = row(-1.0 + math.log(1.1), -2.0, -9.0)
    got = grpo_loss(
        logprobs,
        row(-1.0, -2.0, -3.0),
        row(-1.1, -4.0, 0.0),
        ref_logprobs=row(-1.0 + math.log(1.1), -2.5, -7.0),
        advantages=row(1.0, -1.0, 5.0),
        loss_weights=row(1.0, 0.5, 0.0),
        clip=CLIP,
        kl_coef=0.1,
        importance_cap=1.2,
    )
    k3 = math.exp(-0.5) + 0.5 - 1.0
    want = -1.1 * math.exp(0.1) + 0.5 * (1.2 + 0.1 * k3)
    np.testing.assert_allclose(got.total, want, rtol=1e-5)
    np.testing.assert_allclose(got.weight, 1.5)
    np.testing.assert_allclose(got.num_tokens, 2.0)
    np.testing.assert_allclose(got.sums["kl"], k3, rtol=1e-4)
    np.testing.assert_allclose(got.sums["logprob_gap/mean"], 2.1, rtol=1e-5)
    np.testing.assert_allclose(got.maxima["logprob_gap/max"], 2.0, rtol=1e-6)
    np.testing.assert_allclose(got.sums["importance/truncated"], 1.0)


def test_ratio_is_exactly_one_on_policy():
    logprobs = jnp.asarray(np.random.default_rng(0).normal(size=(2, 7)) - 3, jnp.float32)
    got = call(logprobs)
    assert float(got.maxima["ratio/max_deviation"]) == 0.0
    assert float(got.sums["ratio/mean"]) == 14.0
    assert float(got.sums["clip_fraction"]) == 0.0


def test_on_policy_gradient_is_the_policy_gradient():
    # With old = stop_gradient(new) the value is -A, and the gradient -A as in REINFORCE.
    advantages = row(0.7, -1.3, 0.0)
    grad = jax.grad(lambda p: call(p, old_logprobs=p, advantages=advantages).total)(row(-1, -2, -3))
    np.testing.assert_allclose(grad, -advantages, rtol=1e-6)


def test_clipped_token_has_no_gradient():
    grad = jax.grad(lambda p: call(p, old_logprobs=row(-1.0, -1.0)).total)(row(-0.5, -0.9))
    assert float(grad[0, 0]) == 0.0
    assert float(grad[0, 1]) < 0.0


def test_importance_weight_carries_no_gradient():
    def total(sampler):
        return call(row(-1.0), sampler_logprobs=sampler, importance_cap=2.0).total

    assert float(jax.grad(total)(row(-1.2))[0, 0]) == 0.0
    assert float(total(row(-1.2))) == pytest.approx(-math.exp(0.2), rel=1e-5)
    assert float(total(row(-9.0))) == pytest.approx(-2.0)


def test_masking_is_filtering_even_with_wild_numbers():
    wild = row(-1.0, -jnp.inf, -2.0, 1e30)
    kept = {"old_logprobs": row(-1.1, -1.9), "sampler_logprobs": row(-1.0, -2.0)}
    padded = {
        "old_logprobs": row(-1.1, 5e8, -1.9, 0),
        "sampler_logprobs": row(-1.0, 0, -2.0, -jnp.inf),
    }
    both = {"kl_coef": 0.01, "importance_cap": 2.0}
    plain = call(row(-1.0, -2.0), ref_logprobs=row(-1.3, -2.0), **kept, **both)
    ref = row(-1.3, jnp.inf, -2.0, jnp.nan)
    weights = row(1, 0, 1, 0)

    def total(logprobs):
        return call(logprobs, ref_logprobs=ref, loss_weights=weights, **padded, **both).total

    np.testing.assert_allclose(total(wild), plain.total, rtol=1e-6)
    assert np.isfinite(jax.grad(total)(wild)).all()


def test_no_valid_token_gives_zero_and_finite_gradients():
    def loss(logprobs):
        out = call(logprobs, loss_weights=jnp.zeros_like(logprobs), importance_cap=2.0)
        return losses.divide(out.total, out.weight)

    value, grad = jax.value_and_grad(loss)(row(-1.0, -2.0))
    assert float(value) == 0.0
    assert (np.asarray(grad) == 0.0).all()


def test_sums_add_over_micro_batches():
    rng = np.random.default_rng(1)
    logprobs, old, sampler, ref, advantages = (
        jnp.asarray(rng.normal(size=(4, 6)), jnp.float32) for _ in range(5)
    )
    weights = jnp.asarray(rng.integers(0, 2, size=(4, 6)), jnp.float32)

    def part(rows):
        return call(
            logprobs[rows],
            old_logprobs=old[rows],
            sampler_logprobs=sampler[rows],
            ref_logprobs=ref[rows],
            advantages=advantages[rows],
            loss_weights=weights[rows],
            kl_coef=0.1,
            importance_cap=2.0,
        )

    whole, first, second = part(slice(0, 4)), part(slice(0, 1)), part(slice(1, 4))
    np.testing.assert_allclose(whole.total, first.total + second.total, rtol=1e-5)
    for name, value in whole.sums.items():
        np.testing.assert_allclose(value, first.sums[name] + second.sums[name], rtol=1e-4)
    for name, value in whole.maxima.items():
        np.testing.assert_allclose(value, jnp.maximum(first.maxima[name], second.maxima[name]))


def test_kl_without_reference_is_refused():
    with pytest.raises(ValueError, match="kl_coef is 0.001"):
        call(row(-1.0), kl_coef=1e-3)
