# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
import dataclasses
import itertools

import numpy as np
import pytest

from lingshu_jax.common import errors, geometry
from lingshu_jax.data import batch_plans, packing, slots

SHAPE = geometry.VisionGeometry()
LAYOUT = batch_plans.Layout(
    tokens_per_row=512, patches_per_row=64 * 20, rows_per_batch=8, sequences_per_batch=16
)


def make_lengths(
    count: int, seed: int = 0, *, images: float = 0.6, cells: tuple[int, int] = (2, 13)
) -> packing.Lengths:
    """Text of 10 to 200 tokens; some behind a picture of so many cells a side."""
    rng = np.random.default_rng(seed)
    lengths = []
    for text in rng.integers(10, 200, count):
        windows, visual = np.zeros(16, int), 0
        if rng.random() < images:
            height, width = rng.integers(*cells, 2).tolist()
            windows = slots.window_counts(geometry.Grid(1, 2 * height, 2 * width), SHAPE)
            visual = height * width
        lengths.append(packing.Length(int(text) + visual, tuple(windows.tolist())))
    return as_table(lengths)


def as_table(lengths: list[packing.Length]) -> packing.Lengths:
    tokens, windows = zip(*lengths, strict=True)
    return packing.Lengths(np.asarray(tokens), np.asarray(windows))


def batches_of(plan: batch_plans.BatchPlan, rows: int) -> list[list[int]]:
    """The sequences of each batch."""
    assert len(plan.rows) % rows == 0
    starts = range(0, len(plan.rows), rows)
    return [list(itertools.chain(*plan.rows[i : i + rows])) for i in starts]


def test_every_batch_holds_exactly_as_many_sequences() -> None:
    lengths = make_lengths(1000)
    plan = batch_plans.plan_batches(lengths, LAYOUT)
    batches = batches_of(plan, 8)
    assert [len(batch) for batch in batches] == [16] * 62 + [8]
    assert sorted(itertools.chain(*batches)) == list(range(1000)) and not plan.short
    for row in plan.rows:
        assert sum(lengths[i].tokens for i in row) <= 512
        together = np.sum([lengths[i].windows for i in row], axis=0) if row else np.zeros(16, int)
        assert slots.slots_needed(tuple(together.tolist())) <= 20


def test_with_room_a_batch_is_the_next_sequences_of_the_order() -> None:
    lengths = make_lengths(160)
    plan = batch_plans.plan_batches(lengths, dataclasses.replace(LAYOUT, rows_per_batch=16))
    assert plan.put_off == 0
    for number, batch in enumerate(batches_of(plan, 16)):
        assert sorted(batch) == list(range(16 * number, 16 * number + 16))


def test_what_is_put_off_comes_next() -> None:
    """With little room the order moves, but nothing waits for long."""
    lengths, layout = make_lengths(1000), dataclasses.replace(LAYOUT, rows_per_batch=5)
    plan = batch_plans.plan_batches(lengths, layout)
    batches = batches_of(plan, 5)
    assert plan.put_off > 100, "the case needs little room"
    late = [number - i // 16 for number, batch in enumerate(batches) for i in batch]
    assert max(late) <= 1 and min(late) >= -batch_plans.LOOK_AHEAD
    assert plan.short == sum(len(batch) < 16 for batch in batches[:-1]) == 2


def test_a_plan_is_the_same_every_time() -> None:
    lengths = make_lengths(300)
    assert batch_plans.plan_batches(lengths, LAYOUT) == batch_plans.plan_batches(lengths, LAYOUT)


def test_sequences_a_row_are_counted() -> None:
    one = dataclasses.replace(LAYOUT, rows_per_batch=16, sequences_per_row=1)
    plan = batch_plans.plan_batches(make_lengths(40), one)
    assert max(map(len, plan.rows)) == 1 and len(plan.rows) == 48


def test_too_few_rows_are_an_error_that_says_how_many() -> None:
    lengths = make_lengths(320)
    layout = dataclasses.replace(LAYOUT, rows_per_batch=2)
    plan = batch_plans.plan_batches(lengths, layout)
    assert plan.short
    with pytest.raises(errors.UserError) as raised:
        batch_plans.check(plan, lengths, layout)
    needed = batch_plans.fit_rows(lengths, LAYOUT)
    message = str(raised.value)
    assert "data.rows_per_batch = 2 is too small" in message and f"at least {needed}," in message
    enough = dataclasses.replace(LAYOUT, rows_per_batch=needed)
    batch_plans.check(batch_plans.plan_batches(lengths, enough), lengths, enough)


@pytest.mark.parametrize("multiple", [1, 3, 8])
def test_the_fewest_rows_that_hold_a_batch(multiple: int) -> None:
    lengths = make_lengths(640)
    rows = batch_plans.fit_rows(lengths, LAYOUT, multiple=multiple)
    assert rows % multiple == 0
    fewer = dataclasses.replace(LAYOUT, rows_per_batch=rows - multiple)
    if fewer.rows_per_batch:
        plan = batch_plans.plan_batches(lengths, fewer)
        assert plan.short or plan.put_off > batch_plans.MOST_PUT_OFF * len(lengths)


def fill(lengths: packing.Lengths, budget: packing.Budget) -> tuple[float, float]:
    rows = len(packing.plan(lengths, budget).rows)
    cells = sum(item.cells for item in lengths)
    return (
        int(lengths.tokens.sum()) / (rows * budget.tokens),
        4 * cells / (rows * budget.patches),
    )


@pytest.mark.parametrize("images", [0.2, 0.6, 1.0])
def test_patches_are_fitted_so_that_tokens_run_out_first(images: float) -> None:
    lengths = make_lengths(800, images=images, cells=(12, 34))
    layout = dataclasses.replace(LAYOUT, tokens_per_row=4096, patches_per_row=0)
    layout = batch_plans.complete(layout, lengths, np.arange(800))
    assert layout.patches_per_row % 64 == 0 and layout.rows_per_batch == 8
    tokens, patches = fill(lengths, layout.budget)
    assert tokens > 0.97 and patches > 0.9
    less = dataclasses.replace(layout.budget, patches=int(layout.patches_per_row * 0.9) // 64 * 64)
    assert fill(lengths, less)[0] < tokens - 0.02, "with fewer patches they would run out first"


def test_the_largest_picture_fits_whatever_the_mean() -> None:
    text = [packing.Length(50, (0,) * 16)] * 200
    big = packing.Length(330, (0,) * 15 + (20,))
    layout = dataclasses.replace(LAYOUT, patches_per_row=0)
    order = np.arange(200)  # the big one is read in a later epoch
    assert batch_plans.fit_patches(as_table([*text, big]), order, layout) == 64 * 20
    assert batch_plans.fit_patches(as_table(text), order, layout) == 64


def test_both_numbers_are_computed() -> None:
    lengths = make_lengths(640)
    layout = batch_plans.Layout(
        tokens_per_row=512, patches_per_row=0, rows_per_batch=0, sequences_per_batch=16
    )
    order = np.random.default_rng(1).permutation(640)
    four = batch_plans.Multiples(rows=4)
    found = batch_plans.complete(layout, lengths, order, multiples=four)
    assert found.patches_per_row > 0 and found.rows_per_batch % 4 == 0
    assert found == batch_plans.complete(layout, lengths, order, multiples=four)
    assert batch_plans.complete(found, lengths, order) == found
    alone = batch_plans.complete(layout, lengths, order).patches_per_row
    for count in (3, 7):
        shared = batch_plans.complete(
            layout, lengths, order, multiples=batch_plans.Multiples(slots=count)
        )
        step = 64 * count
        assert shared.patches_per_row % step == 0
        assert alone <= shared.patches_per_row < alone + step
    batch_plans.check(batch_plans.plan_batches(lengths[order], found), lengths[order], found)
