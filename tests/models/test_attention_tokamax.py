# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What can be said of the tokamax backend without a GPU, and its parity test for one."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lingshu_jax.common import errors
from lingshu_jax.models import (
    attention,
    attention_backends,
    attention_masks,
    attention_tokamax,
    attention_xla,
)

IS_INSTALLED = importlib.util.find_spec("tokamax") is not None


def test_ranges_are_the_mask_of_documents() -> None:
    ids = jnp.array([[1] * 5 + [2] * 3 + [0] * 4, [7] * 12], jnp.int32)
    starts, ends = attention_tokamax.find_ranges(ids)
    assert starts[0].tolist() == [0] * 5 + [5] * 3 + [8] * 4
    assert ends[0].tolist() == [5] * 5 + [8] * 3 + [12] * 4
    index = jnp.arange(12)[None, None, :]
    inside = (index >= starts[:, :, None]) & (index < ends[:, :, None])
    wanted = attention_masks.visible(ids, ids, causal=False)
    np.testing.assert_array_equal(inside, wanted)


def test_forked_rows_go_to_the_portable_backend(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stand_in(q: jax.Array, k: jax.Array, v: jax.Array, ids: jax.Array, *, causal: bool):
        return jnp.full_like(q, 9.0)

    monkeypatch.setattr(attention_tokamax, "_attend_ranges", stand_in)
    q = jnp.asarray(rng.standard_normal((1, 64, 2, 8)), jnp.bfloat16)
    plain = jnp.array([[1] * 40 + [2] * 24], jnp.int32)
    forked = jnp.where(plain == 2, 1 + attention_masks.BRANCH, plain)
    assert bool(jnp.all(attention_tokamax.attend(q, q, q, (plain, plain), causal=True) == 9.0))
    np.testing.assert_array_equal(
        attention_tokamax.attend(q, q, q, (forked, forked), causal=True),
        attention_xla.attend(q, q, q, (forked, forked), causal=True),
    )


@pytest.mark.skipif(IS_INSTALLED, reason="tokamax is installed")
def test_its_absence_is_one_line() -> None:
    q, ids = jnp.ones((1, 256, 2, 8), jnp.bfloat16), jnp.ones((1, 256), jnp.int32)
    with pytest.raises(errors.UserError, match=r"needs pip install 'lingshu-jax\[tokamax\]'"):
        attention.attend(q, q, q, q_segments=ids, kv_segments=ids, causal=True, backend="tokamax")


@pytest.mark.gpu
@pytest.mark.parametrize("case", attention_backends.CASES, ids=lambda case: case.name)
def test_parity(case: attention_backends.Case) -> None:
    found = attention_backends.gap(attention_tokamax.attend, case, attention_backends.LENGTH)
    assert found < attention_backends.TOLERANCE
