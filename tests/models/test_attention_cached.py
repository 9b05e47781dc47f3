# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Attention over a cache in blocks, against a softmax row by row in float64."""

from collections.abc import Sequence

import jax
import numpy as np
import pytest

from lingshu_jax.models import attention_cached

BLOCK = 8
PROMPTS, SAMPLES, KV_HEADS, GROUP, WIDTH = 3, 2, 2, 3, 5
LENGTHS, NEW_LENGTHS = (0, 17, 9), (1, 4, 11, 12, 8, 2)  # none, over a block, in all blocks
TOLERANCE = 1e-6


class Arrays:
    """Random queries, keys and values; the places after a row's length hold large numbers."""

    def __init__(self, places: int, new_places: int):
        rng = np.random.default_rng(0)
        rows = PROMPTS * SAMPLES

        def draw(*shape: int) -> np.ndarray:
            return rng.standard_normal(shape).astype(np.float32)

        self.q = draw(rows, KV_HEADS * GROUP, WIDTH)
        self.keys, self.values = draw(2, PROMPTS, KV_HEADS, places, WIDTH)
        self.new_keys, self.new_values = draw(2, rows, KV_HEADS, new_places, WIDTH)
        for part in (self.keys, self.values):
            for row, length in enumerate(LENGTHS):
                part[row, :, length:] = 30.0

    def plain(self) -> np.ndarray:
        out = np.zeros(self.q.shape)
        for row, head in np.ndindex(*self.q.shape[:2]):
            prompt, kv = row // SAMPLES, head // GROUP
            stop, new_stop = LENGTHS[prompt], NEW_LENGTHS[row]
            keys, values = (
                np.concatenate([old[prompt, kv, :stop], new[row, kv, :new_stop]]).astype(float)
                for old, new in ((self.keys, self.new_keys), (self.values, self.new_values))
            )
            weights = np.exp(keys @ self.q[row, head] * WIDTH**-0.5)
            out[row, head] = weights @ values / weights.sum()
        return out

    def attended(self, lengths: Sequence[int] = LENGTHS, fewer: int = 0) -> np.ndarray:
        # Of this test alone: a program is not kept from one size of blocks to the next.
        @jax.jit
        def attend(q, prompt, lengths, new, *, new_lengths):
            blocks = map(attention_cached.num_blocks, (lengths, new_lengths))
            return attention_cached.attend(
                q,
                prompt=prompt,
                lengths=lengths,
                new=new,
                new_lengths=new_lengths,
                blocks=tuple(count - fewer for count in blocks),
            )

        prompt = attention_cached.Part(np.swapaxes(self.keys, 2, 3), self.values)
        new = attention_cached.Part(self.new_keys, self.new_values)
        out = attend(self.q, prompt, np.int32(lengths), new, new_lengths=np.int32(NEW_LENGTHS))
        return np.asarray(out)


def gap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.abs(a - b).max(axis=(1, 2))


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_cached, "BLOCK", BLOCK)


@pytest.mark.parametrize(
    ("places", "new_places"),
    [(24, 16), (19, 13), (48, 64), (17, 8)],
    ids=["whole_blocks", "the_last_begins_earlier", "blocks_that_nobody_needs", "new_ones_at_once"],
)
def test_blocks_are_one_softmax(places: int, new_places: int) -> None:
    arrays = Arrays(places, max(new_places, max(NEW_LENGTHS)))
    assert gap(arrays.attended(), arrays.plain()).max() < TOLERANCE


def test_one_block_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = Arrays(24, 16)
    blocked = arrays.attended()
    monkeypatch.setattr(attention_cached, "BLOCK", 64)
    np.testing.assert_allclose(arrays.attended(), blocked, atol=TOLERANCE)


def test_a_block_too_few_and_a_place_too_many_are_noticed() -> None:
    """The twin; only rows that reach into the last block lose it."""
    arrays = Arrays(19, 13)
    plain = arrays.plain()
    short = gap(arrays.attended(fewer=1), plain) > 1e-3
    assert short.tolist() == [False, False, True, True, False, False]
    longer = gap(arrays.attended(lengths=(1, 18, 10)), plain) > 1e-3
    assert longer.all()


def test_a_row_does_not_depend_on_how_long_the_others_are() -> None:
    """Blocks that others need are read for all, and change no bit."""
    arrays = Arrays(48, 16)
    out = arrays.attended()
    alone = arrays.attended(lengths=(0, 0, 9))
    np.testing.assert_array_equal(alone[4:], out[4:])
    assert (alone[2:4] != out[2:4]).any()


def test_only_as_many_blocks_are_read_as_the_longest_row_needs() -> None:
    """What is not read may be anything, even no number."""
    arrays = Arrays(48, 16)
    arrays.keys[:, :, 24:] = arrays.values[:, :, 24:] = np.nan
    assert gap(arrays.attended(), arrays.plain()).max() < TOLERANCE
