# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Rollouts to packed rows in which the completions of one prompt share its images.

    sequences   q0: <image> question a1     q0: <image> question a2     q1: <image> question b1
    patches     q0's image, once                                        q1's image
    media_index 0 1 2 3                     0 1 2 3                     4 5 6 7

Each image is read and encoded once a row instead of once a completion.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int32

from lingshu_jax.common import geometry as geometry_lib
from lingshu_jax.data import images, messages, packing

Row = list[messages.Encoded]
EXTRAS = ("advantages", "sampler_logprobs")  # what each token of a rollout carries


def plan(
    groups: Sequence[Sequence[messages.Encoded]],
    budget: packing.Budget,
    *,
    geometry: geometry_lib.VisionGeometry,
    rows_per_pass: int,
) -> list[list[Row]]:
    """Packs sequences into rows and rows into passes.

    A group is first cut into chunks that fill rows by themselves, then chunks share rows.

    Args:
      groups: Completed sequences of each prompt, made from one encoded prompt by
        `messages.extend`.
      budget: Of a row; every sequence fits one.
      geometry: Sizes of patches, windows and slots.
      rows_per_pass: Rows of one forward and backward pass.

    Returns:
      Passes of exactly `rows_per_pass` rows; the last is filled up with empty ones.
    """
    chunks: list[Row] = []
    for group in groups:
        lengths = [packing.length(_without_media(one), geometry) for one in group]
        alone = packing.plan(lengths, budget, geometry=geometry)
        assert not alone.oversize, "prompts that do not fit were dropped before"
        chunks += [[group[i] for i in row] for row in alone.rows]
    lengths = [
        packing.length(chunk[0], geometry)._replace(tokens=sum(one.num_tokens for one in chunk))
        for chunk in chunks
    ]
    together = packing.plan(lengths, budget, geometry=geometry)
    assert not together.oversize, "prompts that do not fit were dropped before"
    rows = [[one for i in row for one in chunks[i]] for row in together.rows]
    rows += [[] for _ in range(-len(rows) % rows_per_pass)]
    return [rows[i : i + rows_per_pass] for i in range(0, len(rows), rows_per_pass)]


def assemble(
    rows: Sequence[Row],
    budget: packing.Budget,
    *,
    geometry: geometry_lib.VisionGeometry,
    pad_id: int,
    normalization: packing.Normalization,
) -> dict[str, np.ndarray]:
    """Decodes and stacks rows: the arrays of `structs.Batch`, extras included.

    Args:
      rows: Of one pass; an empty one gets extras of 0.
      budget: Of a row.
      geometry: Sizes of patches, windows and slots.
      pad_id: Token id of the padding.
      normalization: Of the loss weights, see `packing.assemble`.
    """
    arrays = []
    for row in rows:
        owners = [_first_with(one.media, row) for one in row]
        owned = [
            one if owner == place else _without_media(one)
            for place, (one, owner) in enumerate(zip(row, owners, strict=True))
        ]
        one_row = packing.assemble(
            owned, budget, geometry=geometry, pad_id=pad_id, normalization=normalization
        )
        _borrow_images(one_row["media_index"], row, owners)
        nothing = {name: np.zeros(budget.tokens, np.float32) for name in EXTRAS}
        arrays.append(nothing | one_row)
    return {name: np.stack([row[name] for row in arrays]) for name in arrays[0]}


def _borrow_images(index: Int32[np.ndarray, " T"], row: Row, owners: Sequence[int]) -> None:
    """Points each sequence's visual tokens to those of the first sequence of its prompt."""
    starts = np.cumsum([0, *(one.num_tokens for one in row)]).tolist()
    for place, owner in enumerate(owners):
        # All visual tokens stand in the prompt, with which both sequences begin.
        count = min(row[place].num_tokens, row[owner].num_tokens)
        owned = index[starts[owner] : starts[owner] + count]
        index[starts[place] : starts[place] + count] = owned


def _first_with(media: tuple[images.Media, ...], row: Row) -> int:
    """Where the first sequence of the same prompt stands: media are shared as one object."""
    return next(place for place, one in enumerate(row) if one.media is media)


def _without_media(one: messages.Encoded) -> messages.Encoded:
    return dataclasses.replace(one, media=())
