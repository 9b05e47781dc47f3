# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The order of the prompts, over epochs, restarts and what is given back."""

import pytest

from lingshu_jax.rl import stream
from tests.rl import bare

PROMPTS = bare.prompts(5)


def make(position: int = 0) -> stream.Stream:
    return stream.Stream(PROMPTS, seed=3, position=position)


def test_every_epoch_has_every_prompt_once() -> None:
    prompts = make()
    epochs = [[prompt.id for prompt in prompts.take(5)] for _ in range(4)]
    assert all(sorted(epoch) == list("01234") for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1
    assert prompts.position == 20


@pytest.mark.parametrize("position", [0, 3, 5, 7])
def test_the_position_is_all_that_a_restart_needs(position: int) -> None:
    before = make()
    before.take(position)
    assert make(position).take(6) == before.take(6)


def test_what_was_given_back_comes_first() -> None:
    prompts = make()
    first, later = prompts.take(4), make(4).take(3)
    prompts.give_back(first[2:])
    assert prompts.take(1) == first[2:3] and prompts.position == 4
    assert prompts.take(4) == [*first[3:], *later] and prompts.position == 7


def test_set_back_it_asks_the_same_again() -> None:
    prompts = make()
    prompts.take(2)
    taken, prompts.position = prompts.take(3), 2
    assert prompts.take(3) == taken
