# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What can be said of the cuDNN backend without a GPU, and its parity test for one."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src.cudnn import fused_attention_stablehlo

from lingshu_jax.common import errors
from lingshu_jax.models import (
    attention,
    attention_backends,
    attention_cudnn,
    attention_masks,
    attention_xla,
)


def make_ids(*runs: tuple[int, int]) -> list[int]:
    return [segment for segment, length in runs for _ in range(length)]


def test_documents_of_a_row() -> None:
    rows = [make_ids((1, 5), (2, 3), (0, 4)), make_ids((7, 12))]
    offsets, lengths = attention_cudnn.find_documents(jnp.array(rows, jnp.int32))
    assert offsets.shape == (2, attention_cudnn.DOCUMENTS + 1)
    assert offsets[:, :4].tolist() == [[0, 5, 8, -1], [0, -1, -1, -1]]
    assert lengths[:, :4].tolist() == [[5, 3, 4, -1], [12, -1, -1, -1]]


@pytest.mark.parametrize(
    ("row", "is_packed"),
    [
        (make_ids((1, 20), (2, 20), (0, 24)), True),
        (make_ids((2, 20), (1, 20), (2, 24)), False),
        (make_ids((1, 40), (1 + attention_masks.BRANCH, 24)), False),
        (list(range(1, 33)) * 1 + [32] * 32, True),
        (list(range(1, 34)) + [33] * 31, False),
    ],
    ids=["packed", "comes_back", "forked", "32_documents", "33_documents"],
)
def test_what_cudnn_cannot_say_goes_to_the_portable_backend(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, row: list[int], is_packed: bool
) -> None:
    def stand_in(q, k, v, ids, *, causal):
        return jnp.full_like(q, 9.0)

    monkeypatch.setattr(attention_cudnn, "_attend_packed", stand_in)
    q = jnp.asarray(rng.standard_normal((1, 64, 2, 8)), jnp.bfloat16)
    ids = jnp.array([row], jnp.int32)
    out = attention_cudnn.attend(q, q, q, (ids, ids), causal=True)
    wanted = attention_xla.attend(q, q, q, (ids, ids), causal=True)
    assert bool(jnp.all(out == 9.0)) == is_packed
    assert bool(jnp.array_equal(out, wanted)) != is_packed


def test_what_it_cannot_do_at_all_is_refused(rng: np.random.Generator) -> None:
    q = jnp.asarray(rng.standard_normal((1, 64, 2, 8)), jnp.float32)
    ids = jnp.ones((1, 64), jnp.int32)
    with pytest.raises(errors.UserError, match="bfloat16 or float16, got float32; use 'xla'"):
        attention_cudnn.attend(q, q, q, (ids, ids), causal=True)
    if jax.__version_info__ < attention_cudnn.GROUPED:
        q = q.astype(jnp.bfloat16)
        with pytest.raises(errors.UserError, match="jax >= 0.11.2 for grouped heads, got 0.10"):
            attention_cudnn.attend(q, q[:, :, :1], q[:, :, :1], (ids, ids), causal=True)


def test_forward_and_backward_lower_for_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    # They ask the devices that are here, which are CPUs.
    monkeypatch.setattr(fused_attention_stablehlo, "check_cudnn_version", lambda: 91000)
    monkeypatch.setattr(fused_attention_stablehlo, "check_compute_capability", lambda _: True)
    kv_heads = 1 if jax.__version_info__ >= attention_cudnn.GROUPED else 2
    shapes = [
        jax.ShapeDtypeStruct((2, 256, heads, 128), jnp.bfloat16)
        for heads in (2, kv_heads, kv_heads)
    ]
    ids = jax.ShapeDtypeStruct((2, 256), jnp.int32)

    def loss(q, k, v, ids):
        attend = functools.partial(attention.attend, causal=True, backend="cudnn")
        return jnp.sum(attend(q, k, v, q_segments=ids, kv_segments=ids).astype(jnp.float32))

    traced = jax.jit(jax.grad(loss, argnums=(0, 1, 2))).trace(*shapes, ids)
    text = traced.lower(lowering_platforms=("cuda",)).as_text()
    assert "__cudnn$fmhaSoftmax(" in text and "__cudnn$fmhaSoftmaxBackward(" in text


@pytest.mark.gpu
@pytest.mark.parametrize("case", attention_backends.CASES, ids=lambda case: case.name)
def test_parity(case: attention_backends.Case) -> None:
    found = attention_backends.gap(attention_cudnn.attend, case, attention_backends.LENGTH)
    assert found < attention_backends.TOLERANCE
