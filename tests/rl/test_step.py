# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The GRPO update on packed rows: on policy, in passes, against the sampler's own numbers."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lingshu_jax.rl import losses, step
from lingshu_jax.stages import optim
from lingshu_jax.stages import state as train_state
from tests import small
from tests.models import goldens

compiled_quickly = goldens.compiled_quickly()

OPTIONS = losses.Options(clip=losses.Clip(0.2, 0.3, 3.0), kl_coef=1e-2, importance_cap=2.0)


@pytest.fixture(scope="module")
def params():
    return jax.tree.map(jnp.asarray, small.random_params())


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)

    def rollout(sequence):
        weights = sequence.loss_weights
        advantages = rng.standard_normal() * weights
        sampled = -5.0 * weights
        extras = {"advantages": advantages, "sampler_logprobs": sampled}
        kept = {k: v.astype(np.float32) for k, v in extras.items()}
        return dataclasses.replace(sequence, extras=kept)

    rows = [[rollout(s) for s in row] for row in small.mixed_rows(rng, 4)]
    made = jax.tree.map(jnp.asarray, small.make_batch(rows))
    return made.replace(loss_weights=made.loss_weights / jnp.sum(made.loss_weights))


@pytest.fixture(scope="module")
def logprobs(params, batch):
    return compiled_quickly(functools.partial(step.token_logprobs, model=small.MODEL))(
        params, batch
    )


@pytest.fixture(scope="module")
def gradient_pass():
    """Compiled once for whole batches and once for single rows."""
    return compiled_quickly(
        functools.partial(step.gradient_pass, model=small.MODEL, options=OPTIONS)
    )


def run(gradient_pass, params, batch, **extras):
    batch = batch.replace(extras={**batch.extras, **extras})
    return gradient_pass(optim.flatten(params), {}, batch)


def test_first_update_is_on_policy(gradient_pass, params, batch, logprobs):
    got = run(gradient_pass, params, batch, ref_logprobs=logprobs)
    assert float(got.maxima["ratio/max_deviation"]) == 0.0
    assert float(got.num_tokens) == float((batch.loss_weights > 0).sum())
    # The reference is the model itself; the two programs may round differently.
    assert abs(float(got.means["kl"])) < 1e-6
    weights = np.minimum(np.exp(np.asarray(logprobs) + 5.0), 2.0) * np.asarray(batch.loss_weights)
    want = -(weights * np.asarray(batch.extras["advantages"])).sum()
    np.testing.assert_allclose(got.loss, want, rtol=2e-4)
    np.testing.assert_allclose(got.loss, sum(got.terms.values()), rtol=1e-6)


def test_passes_add_up_to_the_whole(gradient_pass, params, batch, logprobs):
    whole = run(gradient_pass, params, batch, ref_logprobs=logprobs - 0.1)
    total = None
    for row in range(4):
        one = jax.tree.map(lambda x, row=row: jnp.zeros_like(x).at[0].set(x[row]), batch)
        ref = jnp.zeros_like(logprobs).at[0].set(logprobs[row] - 0.1)
        part = run(gradient_pass, params, one, ref_logprobs=ref)
        total = part if total is None else step.add_passes(total, part)
    np.testing.assert_allclose(total.loss, whole.loss, rtol=1e-4)
    for name, value in whole.terms.items():
        np.testing.assert_allclose(total.terms[name], value, rtol=1e-4)
    np.testing.assert_allclose(total.num_tokens, whole.num_tokens)
    for name, gradient in whole.gradients.items():
        np.testing.assert_allclose(total.gradients[name], gradient, rtol=1e-3, atol=2e-6)


def test_update_moves_towards_rewarded_tokens(gradient_pass, params, batch, logprobs):
    passes = run(gradient_pass, params, batch, ref_logprobs=logprobs)
    leaves = optim.flatten(params)
    optimizer = optax.scale(1e-2)
    state = train_state.TrainState(
        step=jnp.int32(0), trained=leaves, frozen={}, opt_state=optimizer.init(leaves)
    )
    after, values = step.update(state, passes, dict.fromkeys(leaves, 1.0), optimizer=optimizer)
    forward = compiled_quickly(functools.partial(step.token_logprobs, model=small.MODEL))
    moved = forward(after.params(), batch) - logprobs
    rewarded = batch.extras["advantages"] * batch.loss_weights
    assert float(jnp.sum(moved * rewarded)) > 0
    assert int(after.step) == 1
    assert {"loss", "kl", "entropy", "clip_fraction", "grad_norm", "grad_norm/text"} <= set(values)
    assert {"loss/policy", "loss/kl"} <= set(values)
    assert 0 < float(values["importance/effective_share"]) <= 1.0 + 1e-6


def test_no_target_at_all_gives_zeros(gradient_pass, params, batch, logprobs):
    silent = batch.replace(loss_weights=jnp.zeros_like(batch.loss_weights))
    got = run(gradient_pass, params, silent, ref_logprobs=logprobs)
    assert float(got.loss) == 0.0
    assert all(not np.asarray(g).any() for g in got.gradients.values())


def test_kl_sums_by_hand():
    """Completion 1 has tokens in two rows, completion 3 none; k1 is a plain difference."""
    ours = jnp.asarray([[-1.0, -2.0, 9.0], [-3.0, 9.0, -4.0]])
    theirs = jnp.asarray([[-1.5, -1.0, 5.0], [-3.5, 5.0, -4.25]])
    places = jnp.asarray([[1.0, 2.0, 0.0], [1.0, 0.0, 4.0]])
    got = step.kl_sums(ours, theirs, places, estimator="k1", count=4)
    np.testing.assert_allclose(got, [0.5 + 0.5, -1.0, 0.0, 0.25])
