# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Stages 1 and 2 do not pack in the paper; here they do, and no number changes.

The reference is the plain form: a row for each sequence, and the mean of the sequences' means.
"""

import dataclasses
import pathlib
from typing import Any

import jax
import numpy as np
import pytest

from lingshu_jax.common import structs
from lingshu_jax.data import messages, packing, pipeline, sources
from lingshu_jax.models import qwen2_5_vl
from lingshu_jax.stages import losses, step
from lingshu_jax.stages import state as train_state
from tests import small
from tests.data import stores
from tests.models import goldens
from tests.stages import test_step

SEQUENCES, ROWS = 6, 2
BUDGET = packing.Budget(tokens=400, patches=320)
Outcomes = list[test_step.Outcome]


@pytest.fixture(scope="module")
def examples(small_rows: pathlib.Path) -> list[sources.Example]:
    reading = sources.read(sources.Source(name="rows", path="rows.jsonl"), small_rows)
    assert len({len(str(example.messages)) for example in reading.examples}) > 5
    return reading.examples


@pytest.fixture(scope="module")
def encoder(small_folder: pathlib.Path) -> messages.Encoder:
    return messages.Encoder(small_folder, **small.PIXELS)


def batches(
    examples: list[sources.Example],
    encoder: messages.Encoder,
    folder: pathlib.Path,
    **options: Any,
) -> list[structs.Batch]:
    """The two batches of an epoch of twelve rows, 6 sequences each."""
    shape = {"rows_per_batch": ROWS, "normalization": "sequence", **options}
    reader = pipeline.Pipeline(
        stores.build(examples, encoder, folder, budget=BUDGET),
        layout=stores.layout(BUDGET, sequences_per_batch=SEQUENCES, **shape),
        amounts=stores.amounts(stores.names_of(examples)),
        epochs=1,
        seed=1,
    )
    found = [structs.Batch.from_arrays(arrays) for arrays, _ in reader.batches()]
    assert [int(batch.segment_ids.max(axis=1).sum()) for batch in found] == [SEQUENCES] * 2
    return found


@pytest.fixture(scope="module")
def packed(
    examples: list[sources.Example],
    encoder: messages.Encoder,
    tmp_path_factory: pytest.TempPathFactory,
) -> list[structs.Batch]:
    found = batches(examples, encoder, tmp_path_factory.mktemp("packed"))
    assert all(batch.segment_ids.max() > 1 for batch in found)
    return found


@pytest.fixture(scope="module")
def plain(
    examples: list[sources.Example],
    encoder: messages.Encoder,
    tmp_path_factory: pytest.TempPathFactory,
) -> list[structs.Batch]:
    """One sequence a row."""
    shape = {"rows_per_batch": SEQUENCES, "sequences_per_row": 1}
    found = batches(examples, encoder, tmp_path_factory.mktemp("plain"), **shape)
    assert all((batch.segment_ids.max(axis=1) == 1).all() for batch in found)
    return found


@pytest.fixture(scope="module")
def expected(plain: list[structs.Batch]) -> Outcomes:
    return [test_step.run(batch) for batch in plain]


def gap(found: list[structs.Batch], expected: Outcomes, accumulation_steps: int = 1) -> float:
    """The largest, of both batches."""
    outcomes = [test_step.run(batch, accumulation_steps) for batch in found]
    return max(map(test_step.gap, outcomes, expected))


@pytest.mark.parametrize("accumulation_steps", [1, ROWS])
def test_loss_and_gradients_are_those_of_one_sequence_a_row(
    accumulation_steps: int, packed: list[structs.Batch], expected: Outcomes
) -> None:
    assert gap(packed, expected, accumulation_steps) < test_step.TOLERANCE


def test_the_loss_is_the_mean_of_the_sequences_means(
    plain: list[structs.Batch], expected: Outcomes
) -> None:
    """Each sequence alone, by its own tokens, without any of our weights."""
    params = small.random_params()

    @goldens.compiled_quickly()
    def logprobs_of(params: Any, batch: structs.Batch) -> jax.Array:
        hidden = qwen2_5_vl.apply(small.MODEL, params, batch)
        head = qwen2_5_vl.apply(small.MODEL, params, method=small.MODEL.head_kernel)
        return losses.token_logprobs(hidden, head, batch.tokens)[0]

    for batch, outcome in zip(plain, expected, strict=True):
        logprobs = np.asarray(logprobs_of(params, batch))
        trained = np.asarray(batch.loss_weights) > 0
        means = [-row[mask].mean() for row, mask in zip(logprobs, trained, strict=True)]
        assert outcome.loss == pytest.approx(np.mean(means), rel=1e-5)


@pytest.mark.parametrize("broken", ["weighed_by_tokens", "mean_of_rows", "segments_joined"])
def test_other_ways_to_pack_change_the_number(
    broken: str,
    examples: list[sources.Example],
    encoder: messages.Encoder,
    packed: list[structs.Batch],
    expected: Outcomes,
    tmp_path: pathlib.Path,
) -> None:
    if broken == "weighed_by_tokens":
        found = batches(examples, encoder, tmp_path, normalization="token")
    elif broken == "mean_of_rows":
        found = [_by_row(batch) for batch in packed]
    else:
        found = [
            dataclasses.replace(batch, segment_ids=np.minimum(batch.segment_ids, 1))
            for batch in packed
        ]
    assert gap(found, expected) > test_step.MARGIN * test_step.TOLERANCE


def _by_row(batch: structs.Batch) -> structs.Batch:
    """Every row weighs the same, however many sequences it holds: what hurt the paper's runs."""
    sums = np.asarray(batch.loss_weights).sum(axis=1, keepdims=True)
    return dataclasses.replace(batch, loss_weights=np.asarray(batch.loss_weights) / sums)


# Shapes


def test_a_hundred_sizes_of_images_are_one_program(
    encoder: messages.Encoder, tmp_path: pathlib.Path
) -> None:
    rng, examples = np.random.default_rng(0), []
    sizes = rng.integers(20, 120, (100, 2)).tolist()
    assert len({tuple(size) for size in sizes}) > 95
    for i, (width, height) in enumerate(sizes):
        image = stores.write_image(tmp_path / f"{i}.png", width, height)
        examples.append(stores.make_example(i, image))
    layout = {"sequences_per_batch": 10, "rows_per_batch": 4, "normalization": "sequence"}
    reader = pipeline.Pipeline(
        stores.build(examples, encoder, tmp_path / "rows", budget=BUDGET),
        layout=stores.layout(BUDGET, **layout),
        amounts=stores.amounts(("images",)),
        epochs=1,
        seed=0,
    )
    traces: list[tuple[int, ...]] = []

    @goldens.compiled_quickly()
    def train_step(state: train_state.TrainState, batch: structs.Batch) -> Any:
        traces.append(batch.tokens.shape)
        return step.train_step(
            state,
            batch,
            dict.fromkeys(state.trained, np.float32(0.1)),
            model=small.MODEL,
            optimizer=test_step.TRACE,
            accumulation_steps=1,
            num_sources=1,
        )

    state, found = test_step.initial_state(), []
    for arrays, _ in reader.batches():
        state, values = train_step(state, structs.Batch.from_arrays(arrays))
        found.append(float(values["loss"]))
    assert len(found) == 10 and len(set(found)) == 10
    assert traces == [(4, BUDGET.tokens)], "one shape, traced and compiled once"
