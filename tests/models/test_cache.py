# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Every new position that is decoded from a cache, against one pass over the whole sequence.

One batch of prompts of different length: text, one image, two images, a clip. The new tokens are
given, so all logits of all steps are compared, not only those of a token that was drawn.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lingshu_jax.common import geometry, structs
from lingshu_jax.data import messages
from lingshu_jax.models import kv_cache, layers
from tests import small
from tests.models import goldens

NEW_TOKENS = 6
TOLERANCE, MARGIN = 1e-5, 100


def clip(rng: np.random.Generator) -> messages.Encoded:
    """A prompt with a video of three pictures."""
    special, grid = small.SIZE.special, geometry.Grid(2, 4, 6)
    ids = [*rng.integers(0, 256, 3).tolist(), special.vision_start]
    pixels = rng.integers(0, 256, (3, 56, 84, 3), dtype=np.uint8)
    media = [goldens.to_media(len(ids), grid, pixels, 0.75)]
    ids += [special.video_pad] * 12 + [special.vision_end, 7]
    weights = np.zeros(len(ids), np.float32)
    shape = small.SIZE.vision.geometry
    return goldens.to_encoded("clip", np.array(ids), weights, media=media, shape=shape)


def make_prompts() -> list[messages.Encoded]:
    rng = np.random.default_rng(8)
    return [
        small.sequence(rng, "text", answer=9),
        small.sequence(rng, "one", pictures=[(84, 56)], answer=1),
        small.sequence(rng, "two", pictures=[(56, 84), (112, 140)], answer=4),
        clip(rng),
    ]


@goldens.compiled_quickly()
def prefill(params: layers.Params, batch: structs.Batch) -> tuple[jax.Array, kv_cache.Cache]:
    variables: Any = {"params": params}
    hidden, cache = small.MODEL.apply(variables, batch, method=small.MODEL.prefill)
    last = jnp.take_along_axis(hidden, (cache.lengths - 1)[:, None, None], axis=1)[:, 0]
    return small.MODEL.apply(variables, last, method=small.MODEL.logits), cache


@goldens.compiled_quickly()
def step(
    params: layers.Params, tokens: jax.Array, positions: jax.Array, cache: kv_cache.Cache
) -> tuple[jax.Array, kv_cache.Cache]:
    variables: Any = {"params": params}
    hidden, cache = small.MODEL.apply(variables, tokens, positions, cache, method=small.MODEL.step)
    return small.MODEL.apply(variables, hidden, method=small.MODEL.logits), cache


@goldens.compiled_quickly()
def whole_pass(params: layers.Params, batch: structs.Batch) -> jax.Array:
    hidden = small.MODEL.apply({"params": params}, batch)
    return small.MODEL.apply({"params": params}, hidden, method=small.MODEL.logits)


class Setup(NamedTuple):
    """Where decoding starts; a twin breaks one part."""

    positions: np.ndarray
    cache: kv_cache.Cache


@pytest.fixture(scope="module")
def params() -> layers.Params:
    return jax.tree.map(jnp.asarray, small.random_params(std=0.15))


@pytest.fixture(scope="module")
def added() -> np.ndarray:
    return np.random.default_rng(9).integers(0, 256, (4, NEW_TOKENS)).astype(np.int32)


@pytest.fixture(scope="module")
def reference(params: layers.Params, added: np.ndarray) -> np.ndarray:
    """Logits [4, NEW_TOKENS + 1, V] from the prompt's last token on, without a cache."""
    weights = np.zeros(NEW_TOKENS, np.float32)
    prompts = make_prompts()
    whole = [
        [messages.extend(prompt, tokens, loss_weights=weights)]
        for prompt, tokens in zip(prompts, added, strict=True)
    ]
    logits = np.asarray(whole_pass(params, small.make_batch(whole)))
    starts = [prompt.num_tokens - 1 for prompt in prompts]
    return np.stack([x[i : i + NEW_TOKENS + 1] for x, i in zip(logits, starts, strict=True)])


def decoded(
    params: layers.Params, added: np.ndarray, change: Callable[[Setup], Setup] = lambda setup: setup
) -> np.ndarray:
    """The same logits, step by step from the cache."""
    prompts = make_prompts()
    assert len({prompt.num_tokens for prompt in prompts}) == 4, "several lengths in one batch"
    logits, cache = prefill(params, small.make_batch([[prompt] for prompt in prompts]))
    places = np.array([prompt.next_position for prompt in prompts], np.int32)
    room = kv_cache.empty(
        small.SIZE.text,
        small.MODEL.dtype,
        prompts=4,
        samples=1,
        prompt_places=small.BUDGET.tokens,
        new_places=NEW_TOKENS,
    )
    setup = change(Setup(places, kv_cache.insert(room, cache, jnp.arange(4))))
    cache, out = setup.cache, [logits]
    for i in range(NEW_TOKENS):
        logits, cache = step(params, added[:, i], setup.positions + i, cache)
        out.append(logits)
    return np.stack([np.asarray(x) for x in out], axis=1)


def with_cache(setup: Setup, **changes: Any) -> Setup:
    return setup._replace(cache=dataclasses.replace(setup.cache, **changes))


BREAKS: dict[str, Callable[[Setup], Setup]] = {
    "a_hole_before_the_first_token": lambda s: with_cache(s, lengths=s.cache.lengths + 1),
    "the_last_place_overwritten": lambda s: with_cache(s, lengths=s.cache.lengths - 1),
    "one_position_late": lambda s: s._replace(positions=s.positions + 1),
    "keys_of_the_neighbour": lambda s: with_cache(s, keys=jnp.roll(s.cache.keys, 1, axis=1)),
    "values_of_the_neighbour": lambda s: with_cache(s, values=jnp.roll(s.cache.values, 1, axis=1)),
    "lengths_of_the_neighbour": lambda s: with_cache(s, lengths=jnp.roll(s.cache.lengths, 1)),
    "layers_swapped": lambda s: with_cache(s, keys=s.cache.keys[::-1]),
}


def test_every_decoded_position_equals_the_whole_pass(
    params: layers.Params, added: np.ndarray, reference: np.ndarray
) -> None:
    out = decoded(params, added)
    for row in range(4):
        for place in range(NEW_TOKENS + 1):
            assert goldens.gap(out[row, place], reference[row, place]) < TOLERANCE, (row, place)


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_cache_is_noticed_in_every_row(
    params: layers.Params, added: np.ndarray, reference: np.ndarray, name: str
) -> None:
    out = decoded(params, added, BREAKS[name])
    for row in range(4):
        assert goldens.gap(out[row, 0], reference[row, 0]) < TOLERANCE  # before the cache is used
        assert goldens.gap(out[row, 1:], reference[row, 1:]) > MARGIN * TOLERANCE, row


def test_tokens_counted_as_positions_are_noticed_where_there_are_images(
    params: layers.Params, added: np.ndarray, reference: np.ndarray
) -> None:
    counts = np.array([prompt.num_tokens for prompt in make_prompts()], np.int32)
    out = decoded(params, added, lambda setup: setup._replace(positions=counts))
    gaps = [goldens.gap(out[row], reference[row]) for row in range(4)]
    assert gaps[0] < TOLERANCE and min(gaps[1:]) > MARGIN * TOLERANCE
