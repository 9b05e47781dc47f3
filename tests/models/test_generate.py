# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Decoding with the cache against whole forward passes; how rows end; what sampling may draw.

One program of six rows serves most tests: two prompts, one with two images, three rows each.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lingshu_jax.common import structs
from lingshu_jax.data import messages
from lingshu_jax.models import generate, layers, qwen2_5_vl, sampling
from tests import small
from tests.models import goldens

CAPACITY, SAMPLES = 8, 3
# Common enough that some rows of eight tokens stop and some do not.
STOPS = tuple(range(24))
TOLERANCE, MARGIN = 1e-4, 10


def rules(temperature: float, seeds: Sequence[int], lengths: Any = CAPACITY) -> sampling.Sampling:
    return sampling.make(
        len(seeds), temperature=temperature, seeds=np.array(seeds), max_new_tokens=lengths
    )


def run(
    params: layers.Params,
    rows: Sequence[messages.Encoded],
    options: sampling.Sampling,
    *,
    samples: int = 1,
    model: qwen2_5_vl.Qwen2_5_VL = small.MODEL,
    is_apart: bool = False,
) -> generate.Answers:
    out = goldens.quick_generate(
        params,
        small.make_batch([[row] for row in rows]),
        jnp.array([row.next_position for row in rows], jnp.int32),
        options,
        model=model,
        samples=samples,
        capacity=CAPACITY,
        stop_ids=STOPS,
        is_apart=is_apart,
    )
    return jax.tree.map(np.asarray, out)


class Counting(qwen2_5_vl.Qwen2_5_VL):
    """The model; notes every step that is really run."""

    def step(self, tokens, positions, cache):
        jax.debug.callback(STEPS.append, 1)
        return super().step(tokens, positions, cache)


STEPS: list[int] = []


def run_shared(
    params: layers.Params, prompts: list[messages.Encoded], options: sampling.Sampling
) -> generate.Answers:
    """Three samples of each of the two prompts; counts steps."""
    STEPS.clear()
    out = run(params, prompts, options, samples=SAMPLES, model=Counting(size=small.SIZE))
    jax.effects_barrier()
    return out


def each_thrice(prompts: list[messages.Encoded]) -> list[messages.Encoded]:
    return [prompt for prompt in prompts for _ in range(SAMPLES)]


@pytest.fixture(scope="module")
def drawn(params: layers.Params, prompts: list[messages.Encoded]) -> generate.Answers:
    return run(params, each_thrice(prompts), rules(1.0, range(6)))


@pytest.fixture(scope="module")
def greedy(params: layers.Params, prompts: list[messages.Encoded]) -> generate.Answers:
    return run(params, each_thrice(prompts), rules(0.0, range(6)))


@goldens.compiled_quickly()
def forward_logits(params: layers.Params, batch: structs.Batch) -> jax.Array:
    hidden = small.MODEL.apply({"params": params}, batch)
    return small.MODEL.apply({"params": params}, hidden, method=small.MODEL.logits)


def teacher_forced(
    params: layers.Params, rows: Sequence[messages.Encoded], out: generate.Answers
) -> list[np.ndarray]:
    """Logits that predict each new token, from one pass over prompt and completion."""
    whole = []
    for row, tokens, length in zip(rows, out.tokens, out.lengths, strict=True):
        weights = np.ones(length, np.float32)
        whole.append(messages.extend(row, tokens[:length], loss_weights=weights))
    logits = np.asarray(forward_logits(params, small.make_batch([[row] for row in whole])))
    starts = [row.num_tokens - 1 for row in rows]
    return [x[s : s + n] for x, s, n in zip(logits, starts, out.lengths, strict=True)]


def logprob_gap(logits: list[np.ndarray], out: generate.Answers) -> float:
    gaps = []
    for row, (values, length) in enumerate(zip(logits, out.lengths, strict=True)):
        logprobs = np.asarray(jax.nn.log_softmax(values, axis=-1))
        chosen = logprobs[np.arange(length), out.tokens[row, :length]]
        gaps.append(np.abs(chosen - out.logprobs[row, :length]).max())
    return max(gaps)


def test_cached_decoding_equals_the_full_forward(
    params: layers.Params, prompts: list[messages.Encoded], drawn: generate.Answers
) -> None:
    rows = each_thrice(prompts)
    assert logprob_gap(teacher_forced(params, rows, drawn), drawn) < TOLERANCE
    shift = np.arange(3, dtype=np.int32)[:, None]
    moved = [dataclasses.replace(row, positions=row.positions + shift) for row in rows]
    assert logprob_gap(teacher_forced(params, moved, drawn), drawn) > MARGIN * TOLERANCE


def test_greedy_is_argmax(
    params: layers.Params, prompts: list[messages.Encoded], greedy: generate.Answers
) -> None:
    logits = teacher_forced(params, each_thrice(prompts), greedy)
    for row, values in enumerate(logits):
        assert values.argmax(axis=-1).tolist() == greedy.tokens[row, : len(values)].tolist()
    for row in (1, 2, 4, 5):  # the seed does not matter
        assert greedy.tokens[row].tolist() == greedy.tokens[row // 3 * 3].tolist()


def test_sampling_is_not_argmax(greedy: generate.Answers, drawn: generate.Answers) -> None:
    assert (drawn.tokens != greedy.tokens).any(axis=1).all()
    assert len({tuple(row) for row in drawn.tokens.tolist()}) == 6


def test_shared_prefill_equals_separate_requests(
    params: layers.Params, prompts: list[messages.Encoded], drawn: generate.Answers
) -> None:
    shared = run_shared(params, prompts, rules(1.0, range(6)))
    np.testing.assert_array_equal(shared.tokens, drawn.tokens)
    np.testing.assert_array_equal(shared.lengths, drawn.lengths)
    np.testing.assert_allclose(shared.logprobs, drawn.logprobs, atol=1e-5)
    other = run_shared(params, prompts, rules(1.0, range(1, 7)))
    assert (other.tokens != drawn.tokens).any(axis=1).all()


def test_layers_taken_apart_give_the_same(
    params: layers.Params, prompts: list[messages.Encoded], drawn: generate.Answers
) -> None:
    options = rules(1.0, range(6))
    apart = run(params, prompts, options, samples=SAMPLES, is_apart=True)
    np.testing.assert_array_equal(apart.tokens, drawn.tokens)
    np.testing.assert_allclose(apart.logprobs, drawn.logprobs, atol=1e-5)


def test_a_group_equals_requests_of_their_own(
    params: layers.Params, prompts: list[messages.Encoded], drawn: generate.Answers
) -> None:
    """Each row again as the only one of its batch; the twin starts one position late."""
    for row, prompt in enumerate(each_thrice(prompts)):
        one = run(params, [prompt], rules(1.0, [row]))
        assert one.tokens[0].tolist() == drawn.tokens[row].tolist()
        np.testing.assert_allclose(one.logprobs[0], drawn.logprobs[row], atol=1e-5)
        late = prompt.positions + (np.arange(prompt.num_tokens) == prompt.num_tokens - 1)
        moved = dataclasses.replace(prompt, positions=late.astype(np.int32))
        shifted = run(params, [moved], rules(1.0, [row]))
        assert np.abs(shifted.logprobs[0] - drawn.logprobs[row]).max() > MARGIN * TOLERANCE


def test_a_row_does_not_depend_on_its_neighbours(
    params: layers.Params, prompts: list[messages.Encoded], drawn: generate.Answers
) -> None:
    turned = run(params, each_thrice(prompts)[::-1], rules(1.0, range(6)[::-1]))
    np.testing.assert_array_equal(turned.tokens[::-1], drawn.tokens)
    np.testing.assert_allclose(turned.logprobs[::-1], drawn.logprobs, atol=1e-5)


def test_rows_end_with_their_first_stop_token(drawn: generate.Answers) -> None:
    assert 0 < drawn.stopped.sum() < 6, "the case needs rows of both kinds"
    for tokens, length, stopped in zip(drawn.tokens, drawn.lengths, drawn.stopped, strict=True):
        is_stop = np.isin(tokens[:length], STOPS)
        assert not is_stop[:-1].any()
        assert is_stop[-1] == stopped
        assert stopped or length == CAPACITY


def test_padding_is_zero(drawn: generate.Answers) -> None:
    is_padding = np.arange(CAPACITY)[None, :] >= drawn.lengths[:, None]
    assert is_padding.any()
    assert not drawn.tokens[is_padding].any() and not drawn.logprobs[is_padding].any()
    assert (drawn.logprobs[~is_padding] < 0).all()


def test_each_row_has_its_own_limit(
    params: layers.Params, prompts: list[messages.Encoded], drawn: generate.Answers
) -> None:
    limits = np.array([0, 1, 2, 8, 3, 0])
    out = run(params, each_thrice(prompts), rules(1.0, range(6), limits))
    np.testing.assert_array_equal(out.lengths, np.minimum(limits, drawn.lengths))
    for row, length in enumerate(out.lengths):
        assert out.tokens[row, :length].tolist() == drawn.tokens[row, :length].tolist()
    assert not out.stopped[[0, 5]].any()


def test_decoding_ends_with_the_longest_row(
    params: layers.Params, prompts: list[messages.Encoded], drawn: generate.Answers
) -> None:
    limits = np.array([3, 1, 3, 2, 3, 0])
    out = run_shared(params, prompts, rules(1.0, range(6), limits))
    np.testing.assert_array_equal(out.lengths, np.minimum(limits, drawn.lengths))
    assert len(STEPS) == out.lengths.max() - 1 == 2  # the first token comes from the prompt
