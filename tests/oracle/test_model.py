# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Our model beside transformers' on random checkpoints, in float32.

Vision features, logits, log-probabilities and greedy tokens, of rows that transformers pads on
either side and places by its own rule. The twins are the same rows with other pixels or
positions: both sides follow, and move a hundred times further than they may differ.
"""

import functools
import pathlib
import types
from collections.abc import Sequence

import numpy as np
import pytest

from lingshu_jax.data import messages
from tests.models import goldens
from tests.oracle import checkpoints, sides
from tests.oracle import figures as figures_lib

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]


class Pair:
    """One random checkpoint on both sides; what both make of its rows is computed once."""

    def __init__(self, oracle_side: types.ModuleType, seed: int, folder: pathlib.Path):
        self.model = checkpoints.random_model(seed)
        oracle = checkpoints.build(oracle_side, self.model)
        self.golden = checkpoints.to_golden(oracle, folder)
        self.theirs = sides.Theirs(oracle_side, self.model, oracle)
        base = checkpoints.random_cases(self.model)
        self.cases = base | checkpoints.other_pixels(base["several"])
        self.moved = checkpoints.other_positions(base["several"])
        self.rows: list[messages.Encoded] = [
            *(sides.to_encoded(name, case, self.golden) for name, case in self.cases.items()),
            *(
                sides.at_given_positions(name, case, self.golden)
                for name, case in self.moved.items()
            ),
        ]

    @functools.cached_property
    def ours(self) -> sides.Ours:
        return sides.Ours(self.golden, self.rows, checkpoints.BUDGET)

    @functools.cached_property
    def outputs(self) -> dict[str, sides.Output]:
        return self.ours.forward()

    @functools.cached_property
    def greedy(self) -> dict[str, sides.Greedy]:
        return self.ours.greedy()


@pytest.fixture(scope="module")
def pair(
    checkpoint_seed: int, oracle_side: types.ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Pair:
    return Pair(oracle_side, checkpoint_seed, tmp_path_factory.mktemp("checkpoint"))


@pytest.mark.parametrize("side", ["left", "right"])
def test_padded_batch(pair: Pair, side: str, figures: figures_lib.Figures) -> None:
    inputs = pair.theirs.padded(pair.cases, side)
    assert not inputs["attention_mask"].all(), "some row is padded"
    theirs = pair.theirs.forward(pair.cases, inputs)
    for row, positions in zip(pair.rows, pair.theirs.positions(inputs), strict=False):
        np.testing.assert_array_equal(row.positions, positions)
        sides.assert_close(
            figures, pair.outputs[row.id], theirs[row.id], f"{pair.model.name} {row.id}"
        )


def test_moved_positions(pair: Pair, figures: figures_lib.Figures) -> None:
    theirs = pair.theirs.forward_at(pair.moved)
    for name, output in theirs.items():
        sides.assert_close(figures, pair.outputs[name], output, f"{pair.model.name} {name}")


def test_what_is_seen_matters(pair: Pair) -> None:
    """The text behind all images notices a change of any of them."""
    answer = int(pair.cases["several"].loss_weights.sum())
    before = pair.outputs["several"]
    for name in (*checkpoints.other_pixels(pair.cases["several"]), *pair.moved):
        after = pair.outputs[name]
        moved = goldens.gap(after.logits[-answer:], before.logits[-answer:])
        assert moved > sides.MATTERS, f"{name} moves the logits by {moved:.2g} only"
        assert (name in pair.moved) == np.array_equal(after.vision, before.vision), name


def test_greedy_tokens(pair: Pair, figures: figures_lib.Figures) -> None:
    theirs = pair.theirs.greedy(pair.cases)
    for name, greedy in theirs.items():
        sides.assert_same_greedy(figures, pair.greedy[name], greedy, f"{pair.model.name} {name}")
    with pytest.raises(AssertionError):
        other = theirs["images_swapped"]
        sides.assert_same_greedy(figures_lib.Figures(), pair.greedy["several"], other, "twin")


def test_most_greedy_tokens_were_compared(figures: figures_lib.Figures) -> None:
    """Runs last: near-ties end a comparison, and few may."""
    if not figures.greedy_total:
        pytest.skip("no greedy tokens were compared in this run")
    assert figures.greedy_compared >= 0.95 * figures.greedy_total


def test_checkpoints_differ_in_kind(checkpoint_seeds: Sequence[int]) -> None:
    """The draws of a whole run hold every kind that the loader and the tower treat apart."""
    models = [checkpoints.random_model(seed) for seed in checkpoint_seeds]
    steps = [np.unique(np.diff((-1, *model.fullatt_block_indexes))) for model in models]
    is_regular = [
        len(step) == 1 and model.fullatt_block_indexes[-1] == model.vision_depth - 1
        for step, model in zip(steps, models, strict=True)
    ]
    assert {*is_regular} == {model.tie for model in models} == {True, False}
    groups = {model.num_attention_heads // model.num_key_value_heads for model in models}
    assert len(groups) >= 3, groups
    assert len({model.vision_depth for model in models}) >= 3
