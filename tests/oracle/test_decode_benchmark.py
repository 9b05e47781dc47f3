# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Both sides of the decode benchmark do the same work: equal tokens from equal weights."""

import sys

import pytest

from benchmarks import decode

pytestmark = pytest.mark.oracle


def test_both_sides_give_the_same_tokens() -> None:
    tokens = decode.check(sys.executable)
    assert tokens[decode.OURS] == tokens[decode.THEIRS]
    assert len({tuple(row) for row in tokens[decode.OURS]}) == decode.check_row().plan.rows
