# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Rows in which the completions of a prompt share its images give the same numbers."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lingshu_jax.common import structs
from lingshu_jax.data import messages, packing
from lingshu_jax.rl import rows, step
from tests import small
from tests.models import goldens

BUDGET = packing.Budget(tokens=96, patches=128)
GEOMETRY, PAD = small.SIZE.vision.geometry, small.SIZE.special.pad


def prompt(rng, name, pictures):
    return small.sequence(rng, name, pictures=pictures, answer=0)


def complete(one, rng, length):
    extras = {name: rng.standard_normal(length).astype(np.float32) for name in rows.EXTRAS}
    ids = rng.integers(0, 256, length)
    return messages.extend(one, ids, loss_weights=np.ones(length, np.float32), extras=extras)


@pytest.fixture(scope="module")
def forward():
    """Log-probabilities of four rows under the small model."""
    params = jax.tree.map(jnp.asarray, small.random_params())
    compiled = goldens.compiled_quickly()(functools.partial(step.token_logprobs, model=small.MODEL))
    return functools.partial(compiled, params)


@pytest.fixture
def groups():
    rng = np.random.default_rng(2)
    prompts = [
        prompt(rng, "wide", [(56, 84)]),
        prompt(rng, "two", [(56, 56), (84, 56)]),
        prompt(rng, "text", []),
    ]
    return [[complete(one, rng, 5 + 4 * i) for i in range(4)] for one in prompts]


def assemble(some):
    return rows.assemble(some, BUDGET, geometry=GEOMETRY, pad_id=PAD, normalization="token")


def make(groups, rows_per_pass=2):
    passes = rows.plan(groups, BUDGET, geometry=GEOMETRY, rows_per_pass=rows_per_pass)
    arrays = [assemble(one) for one in passes]
    return passes, {k: np.concatenate([a[k] for a in arrays]) for k in arrays[0]}


def targets(passes, values):
    """Values at the completion tokens of every sequence, by its ids."""
    found = {}
    for row, line in zip([row for one in passes for row in one], values, strict=True):
        start = 0
        for one in row:
            place = slice(start, start + one.num_tokens)
            found[one.id, one.tokens.tobytes()] = line[place][one.loss_weights > 0]
            start = place.stop
    return found


def test_every_sequence_stands_in_one_row(groups):
    passes, arrays = make(groups)
    placed = [one.tokens.tobytes() for rows_ in passes for row in rows_ for one in row]
    assert sorted(placed) == sorted(one.tokens.tobytes() for group in groups for one in group)
    assert all(len(one) == 2 for one in passes)
    assert arrays["loss_weights"].sum() == 3 * (5 + 9 + 13 + 17)


def test_a_row_holds_each_image_once(groups):
    passes, arrays = make(groups)
    for row, frames in zip([r for p in passes for r in p], arrays["patch_frame_ids"], strict=True):
        pictures = {id(one.media): len(one.media) for one in row if one.media}
        assert frames.max() == sum(pictures.values())


def test_logprobs_are_those_of_lonely_sequences(groups, forward):
    def logprobs(given):
        passes, arrays = make(given, rows_per_pass=4)
        parts = [forward(structs.Batch.from_arrays(a)) for a in split(arrays, len(passes))]
        return targets(passes, np.concatenate(parts))

    shared = logprobs(groups)
    # Copies have media of their own, so nothing is shared.
    lonely = logprobs([[dataclasses.replace(o, media=(*o.media,))] for g in groups for o in g])
    assert shared.keys() == lonely.keys()
    for name, values in lonely.items():
        np.testing.assert_allclose(shared[name], values, atol=2e-5)


def test_twin_an_image_index_shifted_by_one_is_noticed(groups, forward):
    _, arrays = make(groups)
    batch = structs.Batch.from_arrays({k: v[:4] for k, v in arrays.items()})
    index = np.where(batch.media_index > 0, batch.media_index - 1, batch.media_index)
    moved = forward(batch.replace(media_index=index))
    used = batch.loss_weights > 0
    assert np.abs(np.asarray(moved - forward(batch)))[used].max() > 1e-2


def test_an_empty_row_has_all_arrays():
    arrays = assemble([[]])
    assert all(name in arrays and not arrays[name].any() for name in rows.EXTRAS)
    assert arrays["tokens"].shape == (1, BUDGET.tokens)


def split(arrays, parts):
    pieces = {k: np.split(v, parts) for k, v in arrays.items()}
    return [{k: v[i] for k, v in pieces.items()} for i in range(parts)]
