# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The splash kernel, emulated on the CPU, against the portable backend.

The whole parity test takes a minute and runs with the group `aot`; the fast suite keeps one case.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lingshu_jax.models import attention_backends, attention_splash

LENGTH = 384  # three blocks of 128
KERNEL = functools.partial(attention_splash.attend, interpret=True)


def find_gap(name: str, monkeypatch: pytest.MonkeyPatch) -> float:
    monkeypatch.setattr(attention_splash, "BLOCKS", (128,))
    case = next(case for case in attention_backends.CASES if case.name == name)
    return attention_backends.gap(KERNEL, case, LENGTH)


def test_packed_rows_equal_the_portable_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_gap("packed", monkeypatch) < attention_backends.TOLERANCE


@pytest.mark.aot
@pytest.mark.parametrize("name", ["packed", "images", "frames", "forked"])
def test_parity(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With larger blocks of keys in the backward, as long rows have them."""
    monkeypatch.setattr(attention_splash, "BACKWARD_KEYS", LENGTH)
    assert find_gap(name, monkeypatch) < attention_backends.TOLERANCE
    assert jax.__version__ in attention_backends.PASSED["splash"], "a version to add to the table"


@pytest.mark.aot
def test_parity_notices_a_branch_that_misses_its_trunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_splash, "_is_forked", lambda ids: jnp.zeros((), bool))
    assert find_gap("forked", monkeypatch) > 10 * attention_backends.TOLERANCE


def test_blocks_of_other_documents_are_neither_computed_nor_fetched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attention_splash, "BLOCKS", (128,))
    ids = jnp.repeat(jnp.array([1, 2, 1], jnp.int32), 128)

    def table(causal: bool, axis: int) -> tuple[list, list]:
        info = attention_splash._mask_info(ids, ids, causal, axis=axis)
        return np.asarray(info.block_mask)[0].tolist(), np.asarray(info.data_next)[0].tolist()

    met = [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    assert table(False, 1) == (met, [[0, 2, 2], [1, 1, 1], [0, 2, 2]])
    assert table(False, 0) == (met, [[0, 1, 0], [2, 1, 2], [2, 1, 2]])
    assert table(True, 1)[0] == [[1, 0, 0], [0, 1, 0], [1, 0, 1]]
