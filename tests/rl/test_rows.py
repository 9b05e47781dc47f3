# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Rows in which the completions of a prompt share it give the same numbers."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lingshu_jax.common import structs
from lingshu_jax.data import messages, packing
from lingshu_jax.models import attention_masks
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
    return rows.assemble(some, BUDGET, geometry=GEOMETRY, pad_id=PAD)


def make(groups, rows_per_pass=2):
    passes = rows.plan(groups, BUDGET, geometry=GEOMETRY, rows_per_pass=rows_per_pass)
    arrays = [assemble(one) for one in passes]
    return passes, {k: np.concatenate([a[k] for a in arrays]) for k in arrays[0]}


def trees(passes):
    return [tree for one in passes for row in one for tree in row]


def targets(passes, values):
    """Values at the completion tokens of every sequence, by prompt and ids."""
    found = {}
    for row, line in zip([row for one in passes for row in one], values, strict=True):
        start = 0
        for tree in row:
            numbers = tree.extras[rows.BRANCHES]
            place = line[start : start + tree.num_tokens]
            for branch in range(1, int(numbers.max()) + 1):
                mine = (numbers == branch) & (tree.loss_weights > 0)
                found[tree.id, tree.tokens[mine].tobytes()] = place[mine]
            start += tree.num_tokens
    return found


def test_a_tree_by_hand():
    rng = np.random.default_rng(0)
    one = prompt(rng, "p", [])  # three tokens
    first, second = complete(one, rng, 2), complete(one, rng, 1)
    tree = rows.join([first, second])
    assert tree.extras[rows.BRANCHES].tolist() == [0, 0, 1, 1, 1, 2, 2]
    assert tree.positions[0].tolist() == [0, 1, 2, 3, 4, 2, 3]
    assert tree.loss_weights.tolist() == [0, 0, 0, 1, 1, 0, 1]
    p, a, b = one.tokens.tolist(), first.tokens[3:].tolist(), second.tokens[3:].tolist()
    assert tree.tokens.tolist() == [*p[:2], p[2], *a, p[2], *b]
    kept = tree.extras["advantages"][[3, 4, 6]]
    np.testing.assert_array_equal(
        kept, [*first.extras["advantages"][3:], *second.extras["advantages"][3:]]
    )


def test_every_completion_is_kept_and_prompts_are_not_repeated(groups):
    passes, arrays = make(groups)
    assert all(len(one) == 2 for one in passes)
    assert arrays["loss_weights"].sum() == 3 * (5 + 9 + 13 + 17)
    lonely = sum(one.num_tokens for group in groups for one in group)
    assert sum(tree.num_tokens for tree in trees(passes)) < 0.75 * lonely


def test_a_row_holds_the_images_of_a_tree_once(groups):
    passes, arrays = make(groups)
    pictures = [sum(len(tree.media) for tree in row) for one in passes for row in one]
    assert arrays["patch_frame_ids"].max(axis=1).tolist() == pictures


def test_a_long_group_is_cut(groups):
    narrow = packing.Budget(tokens=48, patches=128)
    passes = rows.plan(groups[2:], narrow, geometry=GEOMETRY, rows_per_pass=1)
    assert len(trees(passes)) == 2
    assert sum(tree.loss_weights.sum() for tree in trees(passes)) == 5 + 9 + 13 + 17


def logprobs(given, forward, *, forget_branches=False):
    passes, arrays = make(given, rows_per_pass=4)
    if forget_branches:
        arrays["segment_ids"] %= attention_masks.BRANCH
    parts = [forward(structs.Batch.from_arrays(a)) for a in split(arrays, len(passes))]
    return targets(passes, np.concatenate(parts))


def test_logprobs_are_those_of_lonely_sequences(groups, forward):
    shared = logprobs(groups, forward)
    lonely = logprobs([[one] for group in groups for one in group], forward)
    assert shared.keys() == lonely.keys() and len(shared) == 12
    for name, values in lonely.items():
        np.testing.assert_allclose(shared[name], values, atol=2e-5)


def test_twin_branches_that_see_each_other_are_noticed(groups, forward):
    shared = logprobs(groups, forward)
    mixed = logprobs(groups, forward, forget_branches=True)
    assert max(np.abs(shared[name] - mixed[name]).max() for name in shared) > 1e-2


def test_a_completion_without_weight_is_left_out(groups):
    silent = dataclasses.replace(groups[0][1], loss_weights=0 * groups[0][1].loss_weights)
    fewer, _ = make([[groups[0][0], silent], [silent], groups[2]])
    same, _ = make([[groups[0][0]], groups[2]])
    assert [tree.tokens.tolist() for tree in trees(fewer)] == [
        tree.tokens.tolist() for tree in trees(same)
    ]


def test_an_update_without_weight_is_one_pass_of_empty_rows(groups):
    silent = dataclasses.replace(groups[0][0], loss_weights=0 * groups[0][0].loss_weights)
    passes, arrays = make([[silent]])
    assert passes == [[[], []]] and not arrays["segment_ids"].any()


def test_an_empty_row_has_all_arrays():
    arrays = assemble([[]])
    assert all(name in arrays and not arrays[name].any() for name in rows.EXTRAS)
    assert arrays["tokens"].shape == (1, BUDGET.tokens)
    assert rows.BRANCHES not in arrays
    other = rows.assemble([[]], BUDGET, geometry=GEOMETRY, pad_id=PAD, extras=("places",))
    assert "places" in other and "advantages" not in other


def split(arrays, parts):
    pieces = {k: np.split(v, parts) for k, v in arrays.items()}
    return [{k: v[i] for k, v in pieces.items()} for i in range(parts)]
