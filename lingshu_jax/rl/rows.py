# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Rollouts to packed rows in which the completions of one prompt share it.

    tokens    <image> the question is? : a a a : b b : c c c c
    branch    0 ...................... 0 1 1 1 1 2 2 2 3 3 3 3 3

The prompt and its images are computed once for as many of its completions as a row holds; a
branch sees the prompt and itself (`attention.attend`). Each begins with a copy of the prompt's
last token, whose place and sight are those of the original, because the hidden state before a
completion's first token is what predicts it.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from lingshu_jax.common import geometry as geometry_lib
from lingshu_jax.data import messages, packing
from lingshu_jax.models import attention_masks

Row = list[messages.Encoded]
EXTRAS = ("advantages", "sampler_logprobs")  # what each token of a rollout carries
BRANCHES = "branches"  # while a row is being made


def plan(
    groups: Sequence[Sequence[messages.Encoded]],
    budget: packing.Budget,
    *,
    geometry: geometry_lib.VisionGeometry,
    rows_per_pass: int,
) -> list[list[Row]]:
    """Packs completions into rows and rows into passes.

    A group is first cut into trees that fill rows by themselves, then trees share rows. A
    completion whose weights are all 0 teaches nothing and is left out.

    Args:
      groups: Completed sequences of each prompt, made from one encoded prompt by
        `messages.extend`.
      budget: Of a row; every sequence fits one.
      geometry: Sizes of patches, windows and slots.
      rows_per_pass: Rows of one forward and backward pass.

    Returns:
      At least one pass, each of exactly `rows_per_pass` rows; the last is filled up with empty
      ones.
    """
    kept = [[one for one in group if one.loss_weights.any()] for group in groups]
    trees = [tree for group in kept if group for tree in _cut(group, budget, geometry)]
    lengths = [packing.length(tree, geometry) for tree in trees]
    together = packing.plan(lengths, budget, geometry=geometry)
    assert not together.oversize, "prompts that do not fit were dropped before"
    rows = [[trees[i] for i in row] for row in together.rows]
    rows += [[] for _ in range(-len(rows) % rows_per_pass if rows else rows_per_pass)]
    return [rows[i : i + rows_per_pass] for i in range(0, len(rows), rows_per_pass)]


def assemble(
    rows: Sequence[Row],
    budget: packing.Budget,
    *,
    geometry: geometry_lib.VisionGeometry,
    pad_id: int,
    extras: Sequence[str] = EXTRAS,
) -> dict[str, np.ndarray]:
    """Decodes and stacks rows: the arrays of `structs.Batch`, extras included.

    Args:
      rows: Of one pass; an empty one gets extras of 0.
      budget: Of a row.
      geometry: Sizes of patches, windows and slots.
      pad_id: Token id of the padding.
      extras: What the sequences carry.
    """
    nothing = {name: np.zeros(budget.tokens, np.float32) for name in (*extras, BRANCHES)}
    made = [
        nothing | packing.assemble(row, budget, geometry=geometry, pad_id=pad_id) for row in rows
    ]
    arrays = {name: np.stack([row[name] for row in made]) for name in made[0]}
    arrays["segment_ids"] += arrays.pop(BRANCHES).astype(np.int32) * attention_masks.BRANCH
    return arrays


def join(group: Sequence[messages.Encoded]) -> messages.Encoded:
    """One tree of sequences that begin with the same prompt: the trunk, then a branch each.

    Args:
      group: Completed sequences of one prompt.

    Returns:
      Tokens, positions, weights and extras side by side, the images once, and the extra
      `branches`: 0 on the trunk, 1, 2, ... on the branches.
    """
    trunk = _trunk_tokens(group[0])
    parts = [slice(0, trunk)] + [slice(trunk, one.num_tokens) for one in group]
    owners = [group[0], *group]
    numbers = [np.full(owners[i].tokens[part].shape, i) for i, part in enumerate(parts)]

    def side_by_side(arrays: Sequence[np.ndarray]) -> np.ndarray:
        cut = [array[..., part] for array, part in zip(arrays, parts, strict=True)]
        return np.concatenate(cut, axis=-1)

    names = group[0].extras
    extras = {name: side_by_side([one.extras[name] for one in owners]) for name in names}
    return dataclasses.replace(
        group[0],
        tokens=side_by_side([one.tokens for one in owners]),
        loss_weights=side_by_side([one.loss_weights for one in owners]),
        positions=side_by_side([one.positions for one in owners]),
        extras=extras | {BRANCHES: np.concatenate(numbers).astype(np.float32)},
    )


def _cut(
    group: Sequence[messages.Encoded],
    budget: packing.Budget,
    geometry: geometry_lib.VisionGeometry,
) -> list[messages.Encoded]:
    """The trees of a group, each as full as a row allows."""
    trunk = _trunk_tokens(group[0])
    no_windows = (0,) * geometry.slot_cells
    branches = [packing.Length(one.num_tokens - trunk, no_windows) for one in group]
    room = dataclasses.replace(budget, tokens=budget.tokens - trunk)
    cut = packing.plan(branches, room, geometry=geometry)
    assert not cut.oversize, "prompts that do not fit were dropped before"
    return [join([group[i] for i in row]) for row in cut.rows]


def _trunk_tokens(one: messages.Encoded) -> int:
    """Tokens of the prompt but its last, which begins every branch."""
    return int(np.flatnonzero(one.loss_weights)[0]) - 1
