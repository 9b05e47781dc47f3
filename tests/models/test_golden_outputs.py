# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Loss, gradients and greedy continuations against what torch and transformers computed.

For the gradient of each tensor two numbers are stored: its norm and its inner product with the
tensor. Both are compared relative to norms, to 3e-4: a gradient sums over many rounded terms.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lingshu_jax.common import structs
from lingshu_jax.data import messages
from lingshu_jax.models import generate, qwen2_5_vl, sampling
from tests.models import goldens, module_differences

TOLERANCE, MARGIN = 3e-4, 10
NEW_TOKENS = 32
EACH_MODEL = pytest.mark.parametrize("name", goldens.NAMES)
EACH_CASE = pytest.mark.parametrize("case", goldens.PACKED)


def mean_loss_and_gradients(
    golden: goldens.Golden, batch: structs.Batch
) -> tuple[float, dict[str, Any]]:
    """Loss by the sum of weights, and its gradient."""
    model = qwen2_5_vl.Qwen2_5_VL(size=golden.size)
    loss, gradients = goldens.loss_and_gradients(golden.params, batch, model=model)
    weight = batch.loss_weights.sum()
    return float(loss / weight), jax.tree.map(lambda leaf: np.asarray(leaf) / weight, gradients)


@EACH_MODEL
@EACH_CASE
def test_loss_and_gradients(name: str, case: str) -> None:
    golden = goldens.load(name)
    batch = goldens.make_batch(golden, [[goldens.encoded(golden, case)]])
    loss, gradients = mean_loss_and_gradients(golden, batch)
    assert goldens.gap(loss, golden.arrays[f"{case}/loss"]) < 1e-5
    assert module_differences.gradient_gap(golden, gradients, case) < TOLERANCE


@EACH_MODEL
def test_shifted_loss_weights_fail(name: str) -> None:
    golden = goldens.load(name)
    batch = goldens.make_batch(golden, [[goldens.encoded(golden, "images")]])
    shifted = dataclasses.replace(batch, loss_weights=np.roll(batch.loss_weights, 1, axis=1))
    loss, gradients = mean_loss_and_gradients(golden, shifted)
    assert goldens.gap(loss, golden.arrays["images/loss"]) > MARGIN * 1e-5
    assert module_differences.gradient_gap(golden, gradients, "images") > MARGIN * TOLERANCE


def continue_greedily(
    golden: goldens.Golden, next_positions: np.ndarray, *, stop_ids: tuple[int, ...] = (-1,)
) -> generate.Answers:
    """32 tokens after each of the three cases, decoded together."""
    rows = [[goldens.encoded(golden, case)] for case in goldens.PACKED]
    return goldens.quick_generate(
        golden.params,
        goldens.make_batch(golden, rows),
        jnp.asarray(next_positions, jnp.int32),
        sampling.make(len(rows), max_new_tokens=NEW_TOKENS),
        model=qwen2_5_vl.Qwen2_5_VL(size=golden.size),
        samples=1,
        capacity=NEW_TOKENS,
        stop_ids=stop_ids,
    )


@EACH_MODEL
def test_greedy_continuations_are_identical(name: str) -> None:
    golden = goldens.load(name)
    after = [goldens.encoded(golden, case).next_position for case in goldens.PACKED]
    out = continue_greedily(golden, np.array(after))
    for row, case in enumerate(goldens.PACKED):
        assert golden.arrays[f"{case}/greedy_margin"].min() > 1e-2, "no near ties were stored"
        assert np.asarray(out.tokens[row]).tolist() == golden.arrays[f"{case}/greedy"].tolist()


@EACH_MODEL
def test_greedy_from_token_counts_fails(name: str) -> None:
    """Positions that go on from the number of tokens ignore that an image takes fewer."""
    golden = goldens.load(name)
    counts = [goldens.encoded(golden, case).num_tokens for case in goldens.PACKED]
    out = continue_greedily(golden, np.array(counts))
    row = goldens.PACKED.index("images")
    assert np.asarray(out.tokens[row]).tolist() != golden.arrays["images/greedy"].tolist()


@EACH_MODEL
def test_cached_decoding_equals_the_full_forward(name: str) -> None:
    """Log-probabilities step by step from the cache, and all at once."""
    golden = goldens.load(name)
    prompts = [goldens.encoded(golden, case) for case in goldens.PACKED]
    out = continue_greedily(golden, np.array([prompt.next_position for prompt in prompts]))
    for row, prompt in enumerate(prompts):
        tokens, logprobs = np.asarray(out.tokens[row]), np.asarray(out.logprobs[row])
        full = full_logprobs(golden, extended(prompt, tokens), prompt.num_tokens)
        assert np.abs(full - logprobs).max() < 1e-4
        later = dataclasses.replace(prompt, positions=prompt.positions + 1)
        moved = extended(later, tokens)
        moved.positions[:, : prompt.num_tokens] -= 1  # the completion starts one place late
        full = full_logprobs(golden, moved, prompt.num_tokens)
        assert np.abs(full - logprobs).max() > MARGIN * 1e-4


def extended(prompt: messages.Encoded, tokens: np.ndarray) -> messages.Encoded:
    return messages.extend(prompt, tokens, loss_weights=np.ones(len(tokens), np.float32))


def full_logprobs(golden: goldens.Golden, whole: messages.Encoded, start: int) -> np.ndarray:
    """Log-probability of each token from `start` on, from one pass over the sequence."""
    batch = goldens.make_batch(golden, [[whole]])
    outputs = goldens.forward(golden.params, batch, size=golden.size, like=golden.size)
    logits = outputs["logits"][0, start - 1 : whole.num_tokens - 1]
    places = np.arange(whole.num_tokens - start)
    return np.asarray(jax.nn.log_softmax(logits, axis=-1))[places, whole.tokens[start:]]
