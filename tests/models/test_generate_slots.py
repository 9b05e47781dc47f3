# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Prompts that come at different times into slots that others had, against all of them at once."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lingshu_jax.data import messages
from lingshu_jax.models import generate, layers, sampling
from tests import small
from tests.models import goldens

CAPACITY, SAMPLES = 8, 3
POLICY = generate.Policy(small.MODEL, tuple(range(24)))
MARGIN = 1e-3

quick_read = goldens.compiled_quickly(static_argnames="model")(generate.read)
quick_admit = goldens.compiled_quickly(static_argnames="policy")(generate.admit)
quick_advance = goldens.compiled_quickly(static_argnames="policy")(generate.advance)


def rules(first_seed: int, rows: int = SAMPLES, most: int = CAPACITY) -> sampling.Sampling:
    seeds = np.arange(first_seed, first_seed + rows)
    return sampling.make(rows, temperature=1.0, seeds=seeds, max_new_tokens=most)


@pytest.fixture(scope="module")
def at_once(params: layers.Params, prompts: list[messages.Encoded]) -> generate.Answers:
    return goldens.quick_generate(
        params,
        small.make_batch([[prompt] for prompt in prompts]),
        jnp.array([prompt.next_position for prompt in prompts], jnp.int32),
        rules(0, 2 * SAMPLES),
        model=small.MODEL,
        samples=SAMPLES,
        capacity=CAPACITY,
        stop_ids=POLICY.stop_ids,
    )


class Served:
    """Two slots and what is done to them."""

    def __init__(self, params: layers.Params):
        self.params = params
        self.slots = generate.empty(
            small.MODEL,
            slots=2,
            samples=SAMPLES,
            prompt_places=small.BUDGET.tokens,
            new_places=CAPACITY,
        )

    def admit(self, prompt: messages.Encoded, place: int, seed: int, most: int = CAPACITY) -> None:
        positions = jnp.array([prompt.next_position], jnp.int32)
        batch = small.make_batch([[prompt]])
        read = quick_read(self.params, batch, positions, model=small.MODEL)
        place_ = jnp.array([place], jnp.int32)
        self.slots = quick_admit(
            self.params, self.slots, read, place_, rules=rules(seed, most=most), policy=POLICY
        )

    def advance(self, live: tuple[bool, bool], steps: int, enough: int = 2) -> np.ndarray:
        """Tokens of each row afterwards."""
        self.slots = quick_advance(
            self.params,
            self.slots,
            jnp.repeat(jnp.array(live), SAMPLES),
            steps=jnp.int32(steps),
            enough=jnp.int32(enough),
            policy=POLICY,
        )
        return np.asarray(self.slots.answers.lengths)


def serve(
    params: layers.Params,
    prompts: list[messages.Encoded],
    change: Callable[[generate.Slots], generate.Slots] = lambda slots: slots,
) -> generate.Answers:
    """Slot 0 is taken over from another request while slot 1 goes on."""
    served = Served(params)
    served.admit(prompts[1], 0, seed=90)
    served.advance((True, False), 4)
    served.admit(prompts[1], 1, seed=SAMPLES)
    served.advance((False, True), 2)
    served.admit(prompts[0], 0, seed=0)
    served.slots = change(served.slots)
    served.advance((True, True), CAPACITY)
    return served.slots.answers


def test_late_prompts_in_used_slots_answer_as_early_ones(
    params: layers.Params, prompts: list[messages.Encoded], at_once: generate.Answers
) -> None:
    answers = serve(params, prompts)
    np.testing.assert_array_equal(answers.tokens, at_once.tokens)
    np.testing.assert_array_equal(answers.lengths, at_once.lengths)
    np.testing.assert_array_equal(answers.stopped, at_once.stopped)
    np.testing.assert_allclose(answers.logprobs, at_once.logprobs, atol=1e-5)
    assert len(set(np.asarray(answers.lengths).tolist())) > 1, "rows end at different times"


def with_cache(slots: generate.Slots, **changes: Any) -> generate.Slots:
    return dataclasses.replace(slots, cache=dataclasses.replace(slots.cache, **changes))


BREAKS: dict[str, Callable[[generate.Slots], generate.Slots]] = {
    "length_of_the_one_before": lambda s: with_cache(s, lengths=s.cache.lengths.at[0].add(-1)),
    "prompts_of_the_neighbour": lambda s: with_cache(s, values=s.cache.values[:, ::-1]),
    "positions_of_the_one_before": lambda s: dataclasses.replace(
        s,
        answers=dataclasses.replace(s.answers, positions=s.answers.positions.at[:SAMPLES].add(1)),
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_what_another_request_left_is_noticed(
    params: layers.Params, prompts: list[messages.Encoded], at_once: generate.Answers, name: str
) -> None:
    answers = serve(params, prompts, BREAKS[name])
    rows = slice(0, SAMPLES)
    assert np.abs(answers.logprobs - at_once.logprobs)[rows].max() > MARGIN


def test_decoding_comes_back_when_enough_is_free(
    params: layers.Params, prompts: list[messages.Encoded], at_once: generate.Answers
) -> None:
    served = Served(params)
    served.admit(prompts[0], 0, seed=0, most=4)
    served.admit(prompts[1], 1, seed=SAMPLES)
    first = np.minimum(np.asarray(at_once.lengths)[:SAMPLES], 4)
    assert 2 < first.max() < np.asarray(at_once.lengths)[SAMPLES:].max()
    assert served.advance((True, True), 1).max() == 2
    lengths = served.advance((True, True), CAPACITY, enough=1)
    assert lengths[:SAMPLES].tolist() == first.tolist() and lengths.max() == first.max()
    assert served.advance((True, True), CAPACITY, enough=1).tolist() == lengths.tolist()
    # Ended by the caller, the other slot is free as well.
    assert served.advance((True, False), CAPACITY, enough=2).tolist() == lengths.tolist()
    assert np.asarray(served.slots.answers.ended).all()


def test_a_prompt_without_a_place_goes_nowhere(
    params: layers.Params, prompts: list[messages.Encoded]
) -> None:
    served = Served(params)
    served.admit(prompts[1], 1, seed=0)
    before = jax.tree.map(np.asarray, served.slots)
    served.admit(prompts[0], 2, seed=5)
    jax.tree.map(np.testing.assert_array_equal, before, served.slots)
