# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Places of the cache, counted by hand for requests that fit in a glance."""

import numpy as np
import pytest

from benchmarks import cache_places


def test_places_by_hand() -> None:
    """Two slots of 512 + 1,024 places; the second prompt's slot is refilled after one token."""
    case = cache_places.Case(requests=3, samples=1, slots=2)
    found = cache_places.count(case, np.array([300, 100, 200]), np.array([[2], [1], [1]]))
    # Steps: 300 and 200 with 1 + 1 new tokens, then 300 and 100 with 2 + 1.
    assert found.prompts == pytest.approx((500 + 400) / 2 / 1024)
    assert found.all == pytest.approx((502 + 403) / 2 / 3072)
    assert found.peak_blocks == 1 and found.saved == 0
    assert found.read == pytest.approx((500 + 400) / 2 / 1024)


def test_blocks_save_where_prompts_differ_and_reading_stops_at_the_longest() -> None:
    case = cache_places.Case(requests=2, samples=1, slots=2)
    found = cache_places.count(case, np.array([1500, 500]), np.array([[1], [1]]))
    assert found.peak_blocks == pytest.approx((3 + 1) * 512 / 4096)
    assert found.saved == pytest.approx((8 - 4) * 512 / (4096 + 2048))
    assert found.read == pytest.approx(2000 / (2 * 3 * 512))


def test_longest_first_reads_less_in_vain() -> None:
    lengths = cache_places.draw(cache_places.Case(64, 1, 8))
    first, drawn = (
        cache_places.count(cache_places.Case(64, 1, 8, is_sorted), *lengths)
        for is_sorted in (True, False)
    )
    assert first.read > drawn.read
