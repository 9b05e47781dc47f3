# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
import dataclasses
import itertools
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from lingshu_jax.common import errors, geometry
from lingshu_jax.data import images, messages, packing, slots

SHAPE = geometry.VisionGeometry()
GRIDS = [(2, 2), (4, 6), (8, 8), (6, 20), (10, 14), (2, 18), (18, 6), (12, 12)]
PAD = 99


def make_example(rng: np.random.Generator, number: int, num_media: int) -> messages.Encoded:
    """Random text around random pictures; every token and pixel row is recognisable."""
    start, media = 2, []
    for _ in range(num_media):
        height, width = GRIDS[rng.integers(len(GRIDS))]
        pixels = rng.integers(0, 256, (height * 14, width * 14, 3), dtype=np.uint8)
        grid = geometry.Grid(1, height, width)
        media.append(images.Media(start=start, grid=grid, image=Image.fromarray(pixels)))
        start += SHAPE.num_tokens(grid) + 2
    num_tokens = start + int(rng.integers(2, 40))
    return messages.Encoded(
        id=f"row{number}",
        source_id=number % 3,
        tokens=(number * 1000 + np.arange(num_tokens)).astype(np.int32),
        loss_weights=(rng.random(num_tokens) < 0.5).astype(np.float32),
        positions=geometry.mrope_positions(num_tokens, [m.span for m in media]),
        media=tuple(media),
    )


@pytest.fixture
def examples(rng: np.random.Generator) -> list[messages.Encoded]:
    return [make_example(rng, i, i % 4) for i in range(40)]


def lengths_of(examples: list[messages.Encoded]) -> list[packing.Length]:
    return [packing.length(example, SHAPE) for example in examples]


BUDGET = packing.Budget(tokens=256, patches=64 * 12)


def assemble(examples: list[messages.Encoded], **options: str) -> dict[str, np.ndarray]:
    return packing.assemble(examples, BUDGET, geometry=SHAPE, pad_id=PAD, **options)


def random_lengths(count: int, seed: int = 0) -> list[packing.Length]:
    rng = np.random.default_rng(seed)
    picked = rng.integers(0, len(GRIDS), (count, 3))
    number = rng.integers(0, 4, count)
    lengths = []
    for grids, n, text in zip(picked, number, rng.integers(10, 120, count), strict=True):
        counts = np.zeros(16, int)
        for g in grids[:n]:
            counts += slots.window_counts(geometry.Grid(1, *GRIDS[g]), SHAPE)
        lengths.append(packing.Length(int(text), tuple(counts.tolist())))
    return lengths


# The plan


def test_every_example_is_in_one_row_and_rows_keep_the_budget() -> None:
    lengths = random_lengths(3000)
    plan = packing.plan(lengths, BUDGET, window=500)
    assert sorted(itertools.chain(*plan.rows)) == list(range(3000)) and not plan.oversize
    for row in plan.rows:
        assert sum(lengths[i].tokens for i in row) <= BUDGET.tokens
        together = np.sum([lengths[i].windows for i in row], axis=0)
        assert slots.slots_needed(tuple(together.tolist())) <= 12


def test_plan_is_the_same_every_time() -> None:
    lengths = random_lengths(1000)
    assert packing.plan(lengths, BUDGET) == packing.plan(list(lengths), BUDGET)


def test_plan_fills_rows() -> None:
    lengths = random_lengths(3000)
    plan = packing.plan(lengths, BUDGET)
    tokens = sum(item.tokens for item in lengths) / (len(plan.rows) * BUDGET.tokens)
    cells = sum(item.cells for item in lengths) / (len(plan.rows) * 12 * 16)
    assert max(tokens, cells) > 0.95


def test_only_the_last_rows_are_left_underfilled() -> None:
    no_windows = (0,) * 16
    lengths = [packing.Length(50, no_windows)] * 103  # five to a row
    plan = packing.plan(lengths, BUDGET, window=8)
    assert sorted(map(len, plan.rows)) == [3] + [5] * 20


@pytest.mark.parametrize(
    ("item", "is_oversize"),
    [
        pytest.param(packing.Length(256, (0,) * 16), False, id="tokens_just_fit"),
        pytest.param(packing.Length(257, (0,) * 16), True, id="one_token_too_many"),
        pytest.param(packing.Length(1, (0,) * 15 + (12,)), False, id="slots_just_fit"),
        pytest.param(packing.Length(1, (1,) + (0,) * 14 + (12,)), True, id="one_cell_too_many"),
        pytest.param(
            packing.Length(1, (0,) * 8 + (13,) + (0,) * 7), True, id="cells_fit_not_slots"
        ),
    ],
)
def test_oversize_examples_are_returned(item: packing.Length, is_oversize: bool) -> None:
    small = packing.Length(5, (0,) * 16)
    plan = packing.plan([small, item, small], BUDGET)
    assert plan.oversize == ([1] if is_oversize else [])
    assert sorted(itertools.chain(*plan.rows)) == ([0, 2] if is_oversize else [0, 1, 2])


def test_a_table_of_lengths_plans_alike() -> None:
    lengths = random_lengths(500)
    tokens, windows = (np.asarray(values) for values in zip(*lengths, strict=True))
    table = packing.Lengths(tokens, windows)
    assert len(table) == 500 and list(table) == lengths
    assert list(table[np.asarray([3, 1])]) == [lengths[3], lengths[1]]
    assert list(table[:2]) == lengths[:2]
    assert packing.plan(table, BUDGET) == packing.plan(lengths, BUDGET)


def test_patches_are_no_limit_where_only_tokens_count() -> None:
    budget = packing.token_budget(40, SHAPE)
    budget.validate(SHAPE)
    cells = packing.Length(40, (40,) + (0,) * 15)  # the most windows that 40 visual tokens make
    large = packing.Length(40, (0,) * 8 + (4, 0, 0, 1) + (0,) * 4)
    assert packing.fits(cells, budget, SHAPE) and packing.fits(large, budget, SHAPE)
    assert not packing.fits(large._replace(tokens=41), budget, SHAPE)


def test_plan_of_nothing_has_no_rows() -> None:
    assert packing.plan([], BUDGET) == packing.Plan([], [])


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        pytest.param(packing.Budget(0, 64), "tokens of a row must be positive, got 0", id="tokens"),
        pytest.param(packing.Budget(8, 96), "multiple of 64, got 96", id="half_a_slot"),
        pytest.param(packing.Budget(8, 0), "positive multiple of 64, got 0", id="no_slot"),
    ],
)
def test_budgets_are_checked(budget: packing.Budget, message: str) -> None:
    with pytest.raises(errors.UserError, match=message):
        packing.plan([], budget)


# The row


def test_every_token_appears_once_with_its_values(examples: list[messages.Encoded]) -> None:
    plan = packing.plan(lengths_of(examples), BUDGET)
    seen = []
    for indices in plan.rows:
        members = [examples[i] for i in indices]
        row = assemble(members)
        for segment, example in enumerate(members, start=1):
            place = row["segment_ids"] == segment
            assert np.flatnonzero(np.diff(place)).size <= 2  # one run
            np.testing.assert_array_equal(row["tokens"][place], example.tokens)
            np.testing.assert_array_equal(row["positions"][:, place], example.positions)
            assert set(row["source_ids"][place]) == {example.source_id}
        pads = row["segment_ids"] == 0
        assert set(row["tokens"][pads]) <= {PAD} and set(row["source_ids"][pads]) <= {-1}
        assert not row["positions"][:, pads].any() and not row["loss_weights"][pads].any()
        seen += row["tokens"][~pads].tolist()
    assert sorted(seen) == sorted(t for example in examples for t in example.tokens.tolist())


def test_every_patch_appears_once_in_natural_order(examples: list[messages.Encoded]) -> None:
    plan = packing.plan(lengths_of(examples), BUDGET)
    for indices in plan.rows:
        members = [examples[i] for i in indices]
        row = assemble(members)
        media = [m for example in members for m in example.media]
        used = sum(SHAPE.num_patches(m.grid) for m in media)
        expected = [images.load_patches(m) for m in media]
        np.testing.assert_array_equal(
            row["patches"][:used], np.concatenate([*expected, np.zeros((0, 1176), np.uint8)])
        )
        assert not row["patches"][used:].any() and not row["patch_frame_ids"][used:].any()
        frames, counts = np.unique(row["patch_frame_ids"][:used], return_counts=True)
        assert frames.tolist() == list(range(1, len(media) + 1))
        assert counts.tolist() == [SHAPE.num_patches(m.grid) for m in media]


def test_gather_reaches_every_patch_once_and_is_inverted(examples: list[messages.Encoded]) -> None:
    for indices in packing.plan(lengths_of(examples), BUDGET).rows:
        row = assemble([examples[i] for i in indices])
        used = int((row["patch_frame_ids"] > 0).sum())
        gather, ids = row["window_gather"], row["window_ids"].reshape(-1)
        assert sorted(gather[gather < BUDGET.patches]) == list(range(used))
        assert set(gather[gather >= BUDGET.patches]) <= {BUDGET.patches}
        np.testing.assert_array_equal(ids > 0, gather < BUDGET.patches)
        # Whole cells move; gathering and inverting is the identity on merged tokens.
        cells = gather.reshape(-1, 4)
        assert (cells[:, 0] % 4 == 0)[cells[:, 0] < BUDGET.patches].all()
        merged = cells[:, 0] // 4
        inverse = row["merged_inverse"][: used // 4]
        np.testing.assert_array_equal(merged[inverse], np.arange(used // 4))


def test_a_slot_id_is_exactly_one_window(examples: list[messages.Encoded]) -> None:
    members = [examples[1], examples[2]]
    row = assemble(members)
    found = set()
    for slot, ids in enumerate(row["window_ids"]):
        for number in set(ids.tolist()) - {0}:
            patches = row["window_gather"].reshape(-1, 64)[slot][ids == number]
            found.add(tuple((patches.reshape(-1, 4)[:, 0] // 4).tolist()))
    expected, offset = set(), 0
    for media in (m for example in members for m in example.media):
        expected |= {tuple((w + offset).tolist()) for w in geometry.windows(media.grid)}
        offset += SHAPE.num_tokens(media.grid)
    assert found == expected


def test_slots_used_are_slots_counted() -> None:
    rng = np.random.default_rng(3)
    for _ in range(200):
        grids = [
            geometry.Grid(1, *GRIDS[i]) for i in rng.integers(0, len(GRIDS), rng.integers(1, 12))
        ]
        counts = np.sum([slots.window_counts(grid, SHAPE) for grid in grids], axis=0)
        needed = slots.slots_needed(tuple(counts.tolist()))
        arrays = slots.gather_arrays(grids, num_patches=64 * needed, geometry=SHAPE)
        assert (arrays["window_ids"] > 0).any(axis=1).all()
        if needed > 1:
            with pytest.raises(errors.UserError, match="do not fit into the window slots"):
                slots.gather_arrays(grids, num_patches=64 * (needed - 1), geometry=SHAPE)


def test_patch_places_are_block_major() -> None:
    image = Image.new("RGB", (84, 56))
    media = images.Media(start=0, grid=geometry.Grid(1, 4, 6), image=image)
    row = assemble(
        [dataclasses.replace(make_example(np.random.default_rng(0), 0, 0), media=(media,))]
    )
    first_cell, second_cell = row["patch_hw"][:8].reshape(2, 4, 2).tolist()
    assert first_cell == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert second_cell == [[0, 2], [0, 3], [1, 2], [1, 3]]


def test_each_frame_of_a_video_has_its_own_id() -> None:
    frames = tuple(Image.new("RGB", (56, 28), (i, i, i)) for i in range(4))
    media = images.Media(start=0, grid=geometry.Grid(2, 2, 4), image=frames, seconds_per_grid=1.0)
    text = make_example(np.random.default_rng(0), 0, 0)
    row = assemble([dataclasses.replace(text, media=(media,))])
    assert row["patch_frame_ids"][:20].tolist() == [1] * 8 + [2] * 8 + [0] * 4
    assert row["patch_hw"][8:12].tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]


def test_media_index_counts_visual_tokens_of_the_row(examples: list[messages.Encoded]) -> None:
    members = [examples[2], examples[1]]  # two images, then one
    row = assemble(members)
    index = row["media_index"]
    assert index[index >= 0].tolist() == list(range((index >= 0).sum()))
    offset = members[0].num_tokens
    starts = [m.start for m in members[0].media] + [m.start + offset for m in members[1].media]
    for start in starts:
        assert index[start] >= 0 and index[start - 1] == -1


def test_fields_have_the_documented_types_and_shapes() -> None:
    row = assemble([])
    found = {name: (array.dtype.name, array.shape) for name, array in row.items()}
    assert found == {
        "tokens": ("int32", (256,)),
        "positions": ("int32", (3, 256)),
        "segment_ids": ("int32", (256,)),
        "loss_weights": ("float32", (256,)),
        "media_index": ("int32", (256,)),
        "source_ids": ("int32", (256,)),
        "patches": ("uint8", (768, 1176)),
        "patch_frame_ids": ("int32", (768,)),
        "patch_hw": ("int32", (768, 2)),
        "window_gather": ("int32", (768,)),
        "window_ids": ("int32", (12, 64)),
        "merged_inverse": ("int32", (192,)),
    }


def test_an_empty_row_is_all_padding() -> None:
    row = assemble([])
    pads = {"tokens": PAD, "media_index": -1, "source_ids": -1, "window_gather": 768}
    for name, array in row.items():
        assert set(np.unique(array).tolist()) == {pads.get(name, 0)}, name


def test_the_first_token_is_never_a_target(examples: list[messages.Encoded]) -> None:
    one = dataclasses.replace(examples[0], loss_weights=np.ones(examples[0].num_tokens, np.float32))
    weights = assemble([one, one])["loss_weights"]
    n = one.num_tokens
    assert weights[0] == 0 and weights[n] == 0 and weights.sum() == 2 * n - 2


def test_sequence_normalisation_sums_to_one(examples: list[messages.Encoded]) -> None:
    members = [examples[0], examples[4], examples[8]]
    untrained = dataclasses.replace(members[1], loss_weights=members[1].loss_weights * 0)
    row = assemble([members[0], untrained, members[2]], normalization="sequence")
    sums = np.bincount(row["segment_ids"], row["loss_weights"])
    np.testing.assert_allclose(sums, [0, 1, 0, 1], atol=1e-6)
    by_token = assemble(members, normalization="token")["loss_weights"]
    assert set(np.unique(by_token)) == {0.0, 1.0}


def test_extras_are_laid_out_like_tokens(examples: list[messages.Encoded]) -> None:
    n = examples[4].num_tokens
    with_extra = dataclasses.replace(
        examples[4], extras={"advantages": np.arange(n, dtype=np.float32)}
    )
    row = assemble([examples[0], with_extra])
    start = examples[0].num_tokens
    assert row["advantages"].dtype == np.float32
    assert row["advantages"][start : start + n].tolist() == list(range(n))
    assert not row["advantages"][:start].any() and not row["advantages"][start + n :].any()


def test_prompt_row_is_a_row_of_one(examples: list[messages.Encoded]) -> None:
    one = packing.prompt_row(examples[1], BUDGET, geometry=SHAPE, pad_id=PAD)
    expected = assemble([examples[1]])
    assert all(np.array_equal(one[name], expected[name]) for name in expected)


def too_many_tokens(example: messages.Encoded) -> list[messages.Encoded]:
    return [example] * 20


def too_many_windows(example: messages.Encoded) -> list[messages.Encoded]:
    return [dataclasses.replace(example, media=example.media * 60)]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(too_many_tokens, "row1.* tokens, the budget is 256", id="tokens"),
        pytest.param(too_many_windows, "row1.* patches do not fit into the window", id="windows"),
    ],
)
def test_rows_that_do_not_fit_are_named(
    spoil: Callable[[messages.Encoded], list[messages.Encoded]],
    message: str,
    examples: list[messages.Encoded],
) -> None:
    with pytest.raises(errors.UserError, match=message):
        assemble(spoil(examples[1]))


def test_a_broken_image_is_named_with_its_row(examples: list[messages.Encoded]) -> None:
    media = images.Media(start=1, grid=geometry.Grid(1, 2, 2), image="/no/such.png")
    broken = dataclasses.replace(examples[0], media=(media,))
    with pytest.raises(errors.UserError, match=r"row 'row0': image not found: /no/such\.png"):
        assemble([broken])


@pytest.mark.parametrize("is_broken", [False, True], ids=["as_is", "one_slot_less_fails"])
def test_plans_can_be_assembled(
    examples: list[messages.Encoded], is_broken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planner and the assembler count slots by the same rule."""
    if is_broken:
        count = slots.slots_needed
        monkeypatch.setattr(slots, "slots_needed", lambda counts: count(counts) // 2)
    tight = packing.Budget(tokens=100_000, patches=64 * 12)
    plan = packing.plan(lengths_of(examples), tight)
    failed = False
    for indices in plan.rows:
        try:
            packing.assemble([examples[i] for i in indices], tight, geometry=SHAPE, pad_id=PAD)
        except errors.UserError:
            failed = True
    assert failed == is_broken
