# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Window slots of rows of many images hold patches, hardly any padding."""

import numpy as np
import pytest

from benchmarks import slot_padding
from lingshu_jax.common import geometry
from lingshu_jax.data import packing, slots

PATCHES = 16_384


@pytest.fixture(scope="module")
def grids() -> list[geometry.Grid]:
    return slot_padding.drawn_grids(4000, seed=0)


def test_the_drawn_sizes_are_those_described(grids: list[geometry.Grid]) -> None:
    patches = np.array([grid.h * grid.w for grid in grids])
    assert patches.mean() == pytest.approx(2037, rel=0.02) and patches.max() == 5120
    assert np.median(patches) == pytest.approx(1360, rel=0.05)
    assert len(set(grids)) > 700


def test_padding_of_occupied_slots_is_below_one_per_cent(grids: list[geometry.Grid]) -> None:
    found = slot_padding.measure(grids, PATCHES)
    print(found)
    assert 0 < found.bound <= found.of_slots < slot_padding.ASKED
    assert found.of_slots - found.bound < 5e-4  # hardly another placement is any better
    assert found.of_slots < found.of_rows < 0.015


def test_alone_in_a_row_an_image_wastes_more(grids: list[geometry.Grid]) -> None:
    """The twin: windows of other images cannot fill what its edges leave."""
    lengths = [lengths_of(grid) for grid in grids[:1000]]
    found = slot_padding.of_rows(lengths, ([i] for i in range(1000)), PATCHES)
    assert found.of_slots > 2 * slot_padding.ASKED


def test_the_slots_are_those_of_the_arrays(grids: list[geometry.Grid]) -> None:
    """What is counted is what a row holds."""
    few = grids[:9]
    found = slot_padding.measure(few, PATCHES)
    assert found.rows == 1 or sum(grid.h * grid.w for grid in few) > PATCHES
    plan = packing.plan([lengths_of(g) for g in few], packing.Budget(len(few), PATCHES))
    used, full = 0, 0
    for row in plan.rows:
        arrays = slots.gather_arrays(
            [few[i] for i in row], num_patches=PATCHES, geometry=slot_padding.GEOMETRY
        )
        is_used = arrays["window_ids"] > 0
        used, full = used + is_used.any(axis=1).sum() * 64, full + is_used.sum()
    assert found.of_slots == pytest.approx(1 - full / used)


@pytest.mark.parametrize(
    ("sizes", "fewest"), [([], 0), ([16] * 3, 3), ([9] * 4, 4), ([12, 12, 4, 4], 2), ([6] * 5, 2)]
)
def test_the_bound(sizes: list[int], fewest: int) -> None:
    counts = np.bincount(sizes, minlength=17)[1:]
    assert slot_padding.fewest_slots(counts) == fewest
    assert slots.slots_needed(tuple(counts.tolist())) >= fewest


def lengths_of(grid: geometry.Grid) -> packing.Length:
    return packing.Length(1, tuple(slots.window_counts(grid, slot_padding.GEOMETRY).tolist()))
