# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The named losses, from rewards to one number, by hand; however the tokens are laid out."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import stage4_rl
from lingshu_jax.common import errors
from lingshu_jax.engines import protocol
from lingshu_jax.models import attention_masks
from lingshu_jax.rl import advantages, learner, losses, weights

LONGEST = 4
grpo_loss = jax.jit(losses.grpo_loss, static_argnames="options")

# One prompt with two completions: of one token and rewarded, of three tokens and not.
REWARDS = np.array([[1.5, 0.0]], np.float32)
LENGTHS = (1, 3)
NEW = np.array([-1.0, -2.0, -1.0, -0.5])
RATIOS = np.array([1.5, 0.5, 1.0, 2.0])
OLD = NEW - np.log(RATIOS)
REF = NEW + np.array([0.5, 0.0, 0.0, 0.0])
# Advantages +-a: deviations from .75, over the deviation sqrt(2 * .75^2 / 1) or not.
A, CENTRED = 0.75 / (math.sqrt(1.125) + 1e-6), 0.75
BY_HAND = {
    # -1.3 a for the good token, .8 a + a + 2 a for the bad ones; the mean of four; k3 of one token
    "grpo": (-1.3 + 0.8 + 1 + 2) * A / 4 + 1e-3 * (math.exp(0.5) - 1.5) / 4,
    # clip .2; both sums over 4, their mean
    "dr_grpo": (-1.2 + 0.8 + 1 + 2) * CENTRED / LONGEST / 2,
    "dapo": (-1.28 + 0.8 + 1 + 2) * A / 4,
    # ratios 1.5 and (.5 * 1 * 2)^(1/3) = 1; the mean of two
    "gspo": (-1.0004 + 1) * A / 2,
    # -w A log p: 1.5 for the good token, .5 * -2 + 1 * -1 + 2 * -.5 for the bad ones
    "cispo": (1.5 - 3) * A / 4,
}
CUT_BY_HAND = {**BY_HAND, "dapo": -1.28 * A}  # the second was cut: DAPO leaves it out


def configured(variant):
    return stage4_rl.get_config(f"7b,{variant}").rl


def weigh(config, *, is_cut=False):
    reasons = ("stop", "length" if is_cut else "stop")
    group = [
        protocol.Completion(text="", tokens=(0,) * n, logprobs=(0.0,) * n, finish_reason=reason)
        for n, reason in zip(LENGTHS, reasons, strict=True)
    ]
    return weights.completion_weights(
        [group],
        aggregation=config.aggregation,
        max_new_tokens=LONGEST,
        overlong_filter=config.overlong_filter,
    ).values[0]


def judge(config):
    return advantages.group_relative(
        REWARDS, eps=config.advantage_eps, scale_by_std=config.scale_by_std
    ).values[0]


def lay_out(values, layout):
    """Values of the four tokens as rows: side by side as branches, or a row each."""
    if layout == "packed":
        return np.array([[0.0, 0.0, values[0], 0.0, *values[1:]]])
    return np.array([[0.0, values[0], 0.0, 0.0], [0.0, *values[1:]]])


SEGMENTS = {
    "packed": np.array(
        [[1, *[1 + attention_masks.BRANCH] * 2, *[1 + 2 * attention_masks.BRANCH] * 4]]
    ),
    "unpacked": np.array([[1, 1, 0, 0], [1, 1, 1, 1]]),
}


def compute(variant, layout="packed", *, is_cut=False, config=None):
    """The loss and its gradient by the four log-probabilities."""
    config = config or configured(variant)
    each = {
        "old_logprobs": OLD,
        "sampler_logprobs": OLD,
        "ref_logprobs": REF,
        "advantages": np.repeat(judge(config), LENGTHS),
        "loss_weights": np.repeat(weigh(config, is_cut=is_cut), LENGTHS),
    }
    arrays = {name: jnp.asarray(lay_out(x, layout), jnp.float32) for name, x in each.items()}
    segments = jnp.asarray(SEGMENTS[layout])
    options = learner.make_options(config)

    def total(logprobs):
        return grpo_loss(logprobs, segment_ids=segments, options=options, **arrays).total

    new = jnp.asarray(lay_out(NEW, layout), jnp.float32)
    value, grad = jax.value_and_grad(total)(new)
    return float(value), np.asarray(grad)[lay_out(np.ones(4), layout) > 0]


@pytest.mark.parametrize("variant", stage4_rl.VARIANTS)
def test_loss_by_hand(variant):
    assert compute(variant)[0] == pytest.approx(BY_HAND[variant], rel=2e-4)
    assert compute(variant, is_cut=True)[0] == pytest.approx(CUT_BY_HAND[variant], rel=2e-4)


def test_twin_no_two_variants_agree():
    values = [*BY_HAND.values(), CUT_BY_HAND["dapo"]]
    assert all(abs(x - y) > 1e-3 for x, y in itertools.combinations(values, 2))


@pytest.mark.parametrize("variant", stage4_rl.VARIANTS)
def test_packed_branches_are_unpacked_sequences(variant):
    packed, unpacked = (compute(variant, layout) for layout in SEGMENTS)
    assert packed[0] == pytest.approx(unpacked[0], rel=1e-6)
    np.testing.assert_allclose(packed[1], unpacked[1], rtol=1e-6)
    assert packed[1].any()


def random_arrays(rng, config):
    """Three rows of two branches each, and the constants of the loss."""
    shape = (3, 7)
    segments = jnp.asarray(np.repeat(SEGMENTS["packed"], 3, axis=0))
    valid = np.repeat(lay_out(np.ones(4), "packed"), 3, axis=0)
    tokens = np.repeat(lay_out(np.repeat(weigh(config), LENGTHS), "packed"), 3, axis=0)
    old = rng.normal(size=shape) - 2
    arrays = {
        "logprobs": old + 0.3 * rng.normal(size=shape),
        "old_logprobs": old,
        "sampler_logprobs": old + 0.3 * rng.normal(size=shape),
        "ref_logprobs": old + 0.3 * rng.normal(size=shape),
        "advantages": rng.normal(size=(3, 1)) * valid,
        "loss_weights": tokens / 3,
    }
    cast = {name: jnp.asarray(x, jnp.float32) for name, x in arrays.items()}
    return {**cast, "segment_ids": segments}, learner.make_options(config)


def evaluate(arrays, options):
    rest, logprobs = dict(arrays), arrays["logprobs"]
    del rest["logprobs"]

    def loss(p):
        got = grpo_loss(p, options=options, **rest)
        return got.total, got

    (_, got), grad = jax.value_and_grad(loss, has_aux=True)(logprobs)
    return got, np.asarray(grad)


@pytest.mark.parametrize("variant", stage4_rl.VARIANTS)
def test_passes_add_up(variant):
    """The loss and its gradient do not know how the rows of an update are spread."""
    config = configured(variant)
    config.importance_level = "sequence"
    arrays, options = random_arrays(np.random.default_rng(1), config)
    whole, gradient = evaluate(arrays, options)
    parts = [
        evaluate({name: x[rows] for name, x in arrays.items()}, options)
        for rows in (slice(0, 1), slice(1, 3))
    ]
    one, two = (part[0] for part in parts)
    np.testing.assert_allclose(whole.total, one.total + two.total, rtol=1e-5, atol=1e-7)
    for name, value in whole.sums.items():
        np.testing.assert_allclose(value, one.sums[name] + two.sums[name], rtol=1e-4, atol=1e-6)
    for name, value in whole.maxima.items():
        np.testing.assert_allclose(value, jnp.maximum(one.maxima[name], two.maxima[name]))
    np.testing.assert_allclose(gradient, np.concatenate([part[1] for part in parts]), rtol=1e-5)


@pytest.mark.parametrize("variant", stage4_rl.VARIANTS)
def test_an_update_that_was_all_cut_or_all_alike_gives_zeros(variant):
    config = configured(variant)
    config.overlong_filter, config.kl_coef = True, 0.0
    arrays, options = random_arrays(np.random.default_rng(2), config)
    for name in ("loss_weights", "advantages"):
        got, gradient = evaluate({**arrays, name: jnp.zeros_like(arrays[name])}, options)
        assert float(got.total) == 0.0 and not gradient.any()
        assert all(np.isfinite(x) for x in jax.tree.leaves(got))


def test_what_the_variants_are():
    """Values of the papers; the batch, the rates and the reward stay Lingshu's."""
    plain = stage4_rl.get_config("7b")
    for variant in stage4_rl.VARIANTS:
        config = stage4_rl.get_config(f"7b,{variant}")
        config.validate()
        assert (config.optim, config.data, config.rl.reward) == (
            plain.optim,
            plain.data,
            plain.rl.reward,
        )
        assert config.rl.kl_coef == (1e-3 if variant == "grpo" else 0.0)
    assert stage4_rl.get_config("7b,grpo") == plain
    assert configured("dapo").overlong_buffer == 409
    assert stage4_rl.get_config("tiny,dapo").rl.overlong_buffer == 6


def test_an_unknown_variant_lists_the_known():
    with pytest.raises(errors.UserError, match="'grpo', 'dr_grpo', 'dapo', 'gspo', 'cispo'.*'ppo'"):
        stage4_rl.get_config("7b,ppo")
