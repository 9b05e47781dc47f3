# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The loss of stage 4 against values worked by hand, and the relations it must keep."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lingshu_jax.models import attention_masks
from lingshu_jax.rl import losses

CLIP = losses.Clip(low=0.2, high=0.3, dual=3.0)
OPTIONS = losses.Options(clip=CLIP)
# One program instead of one an operation.
grpo_loss = jax.jit(losses.grpo_loss, static_argnames="options")
BRANCH = attention_masks.BRANCH


def row(*values):
    return jnp.asarray([values], jnp.float32)


def call(logprobs, *, change=None, **arrays):
    """The loss with harmless defaults: on policy, no reference, every token valid."""
    logprobs = jnp.asarray(logprobs, jnp.float32)
    arguments = {
        "old_logprobs": logprobs,
        "sampler_logprobs": logprobs,
        "ref_logprobs": None,
        "advantages": jnp.ones_like(logprobs),
        "loss_weights": jnp.ones_like(logprobs),
        "segment_ids": jnp.ones(logprobs.shape, jnp.int32),
        "options": OPTIONS._replace(**(change or {})),
    }
    return grpo_loss(logprobs, **arguments | arrays)


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
    got = losses.clipped_objective(row(-1.0), row(ratio), row(advantage), clip=CLIP)
    np.testing.assert_allclose(got[0, 0], want, rtol=1e-6)


def test_twin_symmetric_clip_would_differ():
    symmetric = losses.Clip(low=0.2, high=0.2, dual=3.0)
    got = losses.clipped_objective(row(-1.0), row(1.5), row(2.0), clip=symmetric)
    assert abs(float(got[0, 0]) - -2.6) > 0.1


def test_cispo_by_hand():
    # A 2, log p -1.5: weight .5 as it is, 9 cut to 1 + 4; -w A log p = 3 w. No floor: 1 - 1 = 0.
    clip = losses.Clip(low=1.0, high=4.0, dual=3.0)
    ratio, advantages = row(0.5, 9.0), row(2.0, 2.0)

    def loss(logprobs):
        return losses.cispo_objective(logprobs, ratio, advantages, clip=clip)

    np.testing.assert_allclose(loss(row(-1.5, -1.5))[0], [1.5, 15.0], rtol=1e-6)
    grad = jax.grad(lambda p: loss(p).sum())(row(-1.5, -1.5))
    np.testing.assert_allclose(grad[0], [-1.0, -10.0], rtol=1e-6)


def gradient_far_away(objective):
    """Of two tokens whose ratio is e and whose advantage is 1."""
    old = row(-2.0, -2.0)
    change = {"objective": objective}
    return jax.grad(lambda p: call(p, old_logprobs=old, change=change).total)(row(-1.0, -1.0))


def test_twin_under_cispo_a_cut_token_still_learns():
    np.testing.assert_allclose(gradient_far_away("cispo"), row(-1.3, -1.3), rtol=1e-6)
    assert not np.asarray(gradient_far_away("clip")).any()


def test_cispo_counts_every_cut_weight():
    old = row(-2.0, -2.0, -1.0)
    change = {"objective": "cispo", "clip": CLIP}
    got = call(
        row(-1.0, -1.0, -2.0), old_logprobs=old, advantages=row(1.0, -1.0, 1.0), change=change
    )
    assert [float(got.sums[f"clip_fraction/{k}"]) for k in ("high", "low", "dual")] == [2, 1, 0]


KL_BY_HAND = {
    # name: values for log p - log r = 0, -.5 (r = e^.5 p), 30 with p above r
    "k1": [0.0, -0.5, 20.0],
    "k2": [0.0, 0.125, 200.0],
    "k3": [0.0, math.exp(0.5) - 1.5, math.exp(-20.0) + 20.0 - 1.0],
}


@pytest.mark.parametrize("name", losses.KL_ESTIMATORS)
def test_kl_by_hand_and_its_limits(name):
    mask = jnp.ones((1, 3), bool)
    got = losses.KL_ESTIMATORS[name](row(-1.0, -1.0, -1.0), row(-1.0, -0.5, -31.0), mask)
    want = np.minimum(KL_BY_HAND[name], losses.KL_LIMIT if name == "k3" else np.inf)
    np.testing.assert_allclose(got[0], want, rtol=1e-5, atol=1e-7)


KL_GRADIENTS = {
    # by log p of a token, where log p - log r = -.5
    "k1": 1.0,
    "k2": -0.5,
    "k3": 1.0 - math.exp(0.5),
}


@pytest.mark.parametrize("name", losses.KL_ESTIMATORS)
def test_kl_gradient_by_hand(name):
    estimate, mask = losses.KL_ESTIMATORS[name], jnp.ones((1, 1), bool)
    grad = jax.grad(lambda p: estimate(p, row(-0.5), mask)[0, 0])(row(-1.0))
    np.testing.assert_allclose(grad[0, 0], KL_GRADIENTS[name], rtol=1e-5)


LOGITS, REFERENCE = jnp.asarray([0.3, -0.4, 1.1]), jax.nn.log_softmax(jnp.asarray([1.0, 0.2, 0.1]))


def mean_gradient(name):
    """Of the estimate by the logits, in expectation over the policy's own tokens."""
    policy = jax.lax.stop_gradient(jax.nn.softmax(LOGITS))

    def expected(logits):
        logprobs = jax.nn.log_softmax(logits)[None]
        estimates = losses.KL_ESTIMATORS[name](logprobs, REFERENCE[None], jnp.ones((1, 3), bool))
        return jnp.sum(policy * estimates[0])

    return jax.grad(expected)(LOGITS)


def kl(one, other):
    return jnp.sum(jnp.exp(one) * (one - other))


KL_MEANS = {
    "k1": jnp.zeros_like,
    "k2": jax.grad(lambda x: kl(jax.nn.log_softmax(x), REFERENCE)),
    "k3": jax.grad(lambda x: kl(REFERENCE, jax.nn.log_softmax(x))),
}


@pytest.mark.parametrize("name", losses.KL_ESTIMATORS)
def test_kl_gradients_are_in_expectation_what_the_docstrings_say(name):
    """k1 nothing, k2 of KL(policy || reference), k3 of KL(reference || policy)."""
    np.testing.assert_allclose(mean_gradient(name), KL_MEANS[name](LOGITS), atol=1e-6)


def test_twin_the_two_directions_differ():
    assert np.abs(mean_gradient("k2") - mean_gradient("k3")).max() > 0.01
    assert np.abs(mean_gradient("k2")).max() > 0.05


@pytest.mark.parametrize("name", losses.KL_ESTIMATORS)
def test_the_loss_takes_the_named_estimator(name):
    got = call(
        row(-1.0, -1.0),
        ref_logprobs=row(-1.0, -0.5),
        loss_weights=row(0.5, 0.5),
        change={"kl_coef": 0.1, "kl_estimator": name},
    )
    want = KL_BY_HAND[name][1]
    np.testing.assert_allclose(got.terms["loss/kl"], 0.1 * 0.5 * want, rtol=1e-5)
    np.testing.assert_allclose(got.sums["kl"], want, rtol=1e-5)


def test_total_by_hand():
    # Token 1: ratio 1.1, A 1 -> -1.1, w = exp(.1). Token 2: ratio 1, A -1 -> 1, w capped at 1.2.
    logprobs = row(-1.0 + math.log(1.1), -2.0, -9.0)
    got = call(
        logprobs,
        old_logprobs=row(-1.0, -2.0, -3.0),
        sampler_logprobs=row(-1.1, -4.0, 0.0),
        ref_logprobs=row(-1.0 + math.log(1.1), -2.5, -7.0),
        advantages=row(1.0, -1.0, 5.0),
        loss_weights=row(1.0, 0.5, 0.0),
        change={"kl_coef": 0.1, "importance_cap": 1.2},
    )
    k3 = math.exp(-0.5) + 0.5 - 1.0
    policy = -1.1 * math.exp(0.1) + 0.5 * 1.2
    np.testing.assert_allclose(got.terms["loss/policy"], policy, rtol=1e-5)
    np.testing.assert_allclose(got.terms["loss/kl"], 0.5 * 0.1 * k3, rtol=1e-4)
    np.testing.assert_allclose(got.total, policy + 0.5 * 0.1 * k3, rtol=1e-5)
    np.testing.assert_allclose(got.num_tokens, 2.0)
    np.testing.assert_allclose(got.sums["kl"], k3, rtol=1e-4)
    np.testing.assert_allclose(got.sums["logprob_gap/mean"], 2.1, rtol=1e-5)
    np.testing.assert_allclose(got.maxima["logprob_gap/max"], 2.0, rtol=1e-6)
    np.testing.assert_allclose(got.sums["importance/truncated"], 1.0)


# A prompt of two tokens with branches of two tokens and of one, each behind a copy of the
# prompt's last token; then padding.
SEGMENTS = jnp.asarray([[1, 1, *[BRANCH + 1] * 3, *[2 * BRANCH + 1] * 2, 0]])
WEIGHTS = row(0, 0, 0, 1, 1, 0, 1, 0)
# Log ratios .1 and .3, mean .2; and -.4.
NEW, OLD = row(9, 9, 9, -1.0, -2.0, 9, -3.0, 9), row(7, 7, 7, -1.1, -2.3, 7, -2.6, 7)
FIRST, SECOND = math.exp(0.2), math.exp(-0.4)


def packed(level, segments=SEGMENTS):
    """Loss and gradient at the completion tokens of the row above; wide clips, advantages 1."""
    clip = losses.Clip(low=0.9, high=9.0, dual=9.0)

    def total(logprobs):
        return call(
            logprobs,
            old_logprobs=OLD,
            loss_weights=WEIGHTS,
            segment_ids=segments,
            change={"ratio": level, "clip": clip},
        ).total

    value, grad = jax.value_and_grad(total)(NEW)
    assert not np.asarray(grad)[WEIGHTS == 0].any()
    return float(value), np.asarray(grad)[WEIGHTS > 0]


def test_sequence_ratio_by_hand():
    value, grad = packed("sequence")
    assert value == pytest.approx(-2 * FIRST - SECOND, rel=1e-6)
    # Each of n tokens moves the mean by 1 / n, and n of them carry it.
    np.testing.assert_allclose(grad, [-FIRST, -FIRST, -SECOND], rtol=1e-6)


def test_sequence_token_ratio_has_the_value_and_a_gradient_of_its_own():
    value, grad = packed("sequence_token")
    assert value == pytest.approx(-2 * FIRST - SECOND, rel=1e-6)
    np.testing.assert_allclose(grad, [-FIRST, -FIRST, -SECOND], rtol=1e-6)
    weights = row(0, 0, 0, 1, 3, 0, 1, 0)

    def gradient(level):
        change = {"ratio": level, "clip": losses.Clip(low=0.9, high=9.0, dual=9.0)}
        arrays = {"old_logprobs": OLD, "loss_weights": weights, "segment_ids": SEGMENTS}
        return jax.grad(lambda p: call(p, change=change, **arrays).total)(NEW)[0, 3:5]

    np.testing.assert_allclose(gradient("sequence"), [-2 * FIRST, -2 * FIRST], rtol=1e-6)
    np.testing.assert_allclose(gradient("sequence_token"), [-FIRST, -3 * FIRST], rtol=1e-6)


def test_twin_branches_taken_for_one_sequence_would_differ():
    value, _ = packed("sequence", segments=SEGMENTS % BRANCH)
    assert abs(value - (-2 * FIRST - SECOND)) > 0.05
    assert value == pytest.approx(-3.0, rel=1e-6)  # .1 + .3 - .4 = 0


@pytest.mark.parametrize("level", losses.RATIOS)
def test_ratio_is_exactly_one_on_policy(level):
    logprobs = jnp.asarray(np.random.default_rng(0).normal(size=(1, 8)) - 3, jnp.float32)
    arrays = {"segment_ids": SEGMENTS, "loss_weights": WEIGHTS}
    got = call(logprobs, change={"ratio": level}, **arrays)
    assert float(got.maxima["ratio/max_deviation"]) == 0.0
    assert float(got.sums["ratio/mean"]) == 3.0
    assert float(got.sums["clip_fraction"]) == 0.0


@pytest.mark.parametrize("objective", losses.OBJECTIVES)
@pytest.mark.parametrize("level", losses.RATIOS)
def test_on_policy_gradient_is_the_policy_gradient(objective, level):
    """With old = stop_gradient(new) every objective is REINFORCE: the gradient is -A.

    A ratio of the whole sequence spreads the sum of its tokens' -A evenly: -A where all have A.
    """
    advantages = row(0.7, 0.7, 0.0)
    segments, change = jnp.asarray([[1, 1, 2]]), {"objective": objective, "ratio": level}

    def total(p):
        arrays = {"advantages": advantages, "segment_ids": segments}
        return call(p, old_logprobs=p, change=change, **arrays).total

    grad = jax.grad(total)(row(-1, -2, -3))
    np.testing.assert_allclose(grad, -advantages, rtol=1e-6)


def test_clipped_token_has_no_gradient():
    grad = jax.grad(lambda p: call(p, old_logprobs=row(-1.0, -1.0)).total)(row(-0.5, -0.9))
    assert float(grad[0, 0]) == 0.0
    assert float(grad[0, 1]) < 0.0


def test_importance_weight_carries_no_gradient():
    def total(sampler):
        return call(row(-1.0), sampler_logprobs=sampler, change={"importance_cap": 2.0}).total

    assert float(jax.grad(total)(row(-1.2))[0, 0]) == 0.0
    assert float(total(row(-1.2))) == pytest.approx(-math.exp(0.2), rel=1e-5)
    assert float(total(row(-9.0))) == pytest.approx(-2.0)


def test_importance_weights_of_sequences_by_hand():
    # Branch 1: .3 + .2 -> e^.5 at both tokens. Branch 2: 1 -> e, cut at 2. Elsewhere 1.
    sampler = row(0, 0, 0, -1.3, -2.2, 0, -4.0, 0)
    old, mask = row(0, 0, 0, -1.0, -2.0, 0, -3.0, 0), WEIGHTS > 0

    def weigh(level):
        return losses.importance_weights(
            old, sampler, mask, cap=2.0, level=level, segment_ids=SEGMENTS
        )

    half = math.exp(0.5)
    np.testing.assert_allclose(weigh("sequence"), row(1, 1, 1, half, half, 1, 2, 1), rtol=1e-6)
    each = [math.exp(0.3), math.exp(0.2)]
    np.testing.assert_allclose(weigh("token"), row(1, 1, 1, *each, 1, 2, 1), rtol=1e-6)
    got = call(
        old,
        sampler_logprobs=sampler,
        loss_weights=WEIGHTS,
        segment_ids=SEGMENTS,
        change={"importance_cap": 2.0, "importance_level": "sequence"},
    )
    assert float(got.total) == pytest.approx(-2 * half - 2, rel=1e-6)
    assert float(got.sums["importance/truncated"]) == 1.0


def test_masking_is_filtering_even_with_wild_numbers():
    wild = row(-1.0, -jnp.inf, -2.0, 1e30)
    kept = {"old_logprobs": row(-1.1, -1.9), "sampler_logprobs": row(-1.0, -2.0)}
    padded = {
        "old_logprobs": row(-1.1, 5e8, -1.9, 0),
        "sampler_logprobs": row(-1.0, 0, -2.0, -jnp.inf),
    }
    ref, weights = row(-1.3, jnp.inf, -2.0, jnp.nan), row(1, 0, 1, 0)
    for objective in losses.OBJECTIVES:
        for level in losses.RATIOS:
            change = {"kl_coef": 0.01, "importance_cap": 2.0, "importance_level": "sequence"}
            change |= {"objective": objective, "ratio": level}
            plain = call(row(-1.0, -2.0), ref_logprobs=row(-1.3, -2.0), change=change, **kept)

            def total(logprobs, change=change):
                arrays = {"ref_logprobs": ref, "loss_weights": weights}
                return call(logprobs, change=change, **arrays, **padded).total

            np.testing.assert_allclose(total(wild), plain.total, rtol=1e-6)
            assert np.isfinite(jax.grad(total)(wild)).all()


@pytest.mark.parametrize("objective", losses.OBJECTIVES)
@pytest.mark.parametrize("level", losses.RATIOS)
def test_no_valid_token_gives_zero_and_finite_numbers(objective, level):
    change = {"importance_cap": 2.0, "kl_coef": 0.1, "objective": objective, "ratio": level}

    def loss(logprobs):
        nothing = jnp.zeros_like(logprobs)
        got = call(logprobs, ref_logprobs=nothing, loss_weights=nothing, change=change)
        return got.total, got

    (value, got), grad = jax.value_and_grad(loss, has_aux=True)(row(-1.0, -2.0))
    assert float(value) == 0.0
    assert (np.asarray(grad) == 0.0).all()
    assert all(np.isfinite(x) for x in jax.tree.leaves(got))
    assert float(losses.divide(got.sums["kl"], got.num_tokens)) == 0.0


def test_kl_without_reference_is_refused():
    with pytest.raises(ValueError, match=r"kl_coef is 0\.001"):
        call(row(-1.0), change={"kl_coef": 1e-3})
