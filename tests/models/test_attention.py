# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lingshu_jax.common import errors
from lingshu_jax.models import attention

TOLERANCE, MARGIN = 1e-5, 100
BATCH, HEADS, KV_HEADS, WIDTH = 2, 6, 2, 5
CAUSAL = pytest.mark.parametrize("causal", [True, False], ids=["causal", "bidirectional"])

Inputs = dict[str, np.ndarray]


def make_inputs(rng: np.random.Generator, length: int, padding: int) -> Inputs:
    """Two rows of two and three segments, padding at the end."""
    segments = np.zeros((BATCH, length), np.int32)
    for row in range(BATCH):
        cuts = np.linspace(0, length - padding, 3 + row).astype(int)
        for segment, (start, stop) in enumerate(zip(cuts, cuts[1:], strict=False), start=1):
            segments[row, start:stop] = segment
    heads = {"q": HEADS, "k": KV_HEADS, "v": KV_HEADS}
    arrays = {
        name: rng.standard_normal((BATCH, length, count, WIDTH)).astype(np.float32)
        for name, count in heads.items()
    }
    return {**arrays, "segments": segments}


def run(inputs: Inputs, *, causal: bool) -> np.ndarray:
    attend = jax.jit(attention.attend, static_argnames="causal")
    q, k, v, segments = (jnp.asarray(inputs[name]) for name in ("q", "k", "v", "segments"))
    return np.asarray(attend(q, k, v, q_segments=segments, kv_segments=segments, causal=causal))


def plain_loop(inputs: Inputs, *, causal: bool) -> np.ndarray:
    """One query after the other in float64; padding is left at zero."""
    q, k, v = (inputs[name].astype(np.float64) for name in ("q", "k", "v"))
    segments, out = inputs["segments"], np.zeros(q.shape)
    for row, t, head in np.ndindex(q.shape[:3]):
        if segments[row, t] == 0:
            continue
        kv_head = head // (HEADS // KV_HEADS)
        seen = np.flatnonzero(segments[row] == segments[row, t])
        seen = seen[seen <= t] if causal else seen
        scores = k[row, seen, kv_head] @ q[row, t, head] / np.sqrt(WIDTH)
        weights = np.exp(scores - scores.max())
        out[row, t, head] = weights @ v[row, seen, kv_head] / weights.sum()
    return out


def gap(inputs: Inputs, out: np.ndarray, *, causal: bool) -> float:
    is_real = inputs["segments"] > 0
    return float(np.abs(out - plain_loop(inputs, causal=causal))[is_real].max())


@CAUSAL
def test_equals_a_plain_loop(rng: np.random.Generator, causal: bool) -> None:
    inputs = make_inputs(rng, length=13, padding=3)
    assert gap(inputs, run(inputs, causal=causal), causal=causal) < TOLERANCE


@pytest.mark.parametrize("twin", ["mask", "kv_heads", "segments_shifted", "segments_joined"])
def test_twin_fails(rng: np.random.Generator, twin: str) -> None:
    inputs = make_inputs(rng, length=13, padding=3)
    broken = {
        "mask": inputs,
        "kv_heads": {**inputs, "k": inputs["k"][:, :, ::-1]},
        "segments_shifted": {**inputs, "segments": np.roll(inputs["segments"], 1, axis=1)},
        "segments_joined": {**inputs, "segments": np.minimum(inputs["segments"], 1)},
    }[twin]
    out = run(broken, causal=twin != "mask")
    assert gap(inputs, out, causal=True) > MARGIN * TOLERANCE


def test_padding_is_finite_and_unseen(rng: np.random.Generator) -> None:
    inputs = make_inputs(rng, length=13, padding=4)
    out = run(inputs, causal=True)
    assert np.isfinite(out).all()
    noisy = {name: array.copy() for name, array in inputs.items()}
    for name in ("q", "k", "v"):
        noisy[name][:, -4:] = 1e4
    np.testing.assert_array_equal(run(noisy, causal=True)[:, :-4], out[:, :-4])
    noisy["segments"][:, -4:] = inputs["segments"][:, -5:-4]  # no padding any more
    assert (run(noisy, causal=False)[:, :-4] != out[:, :-4]).any()


def test_the_softmax_is_float32_in_bfloat16(rng: np.random.Generator) -> None:
    inputs = make_inputs(rng, length=13, padding=3)
    rounded = {
        name: array if name == "segments" else array.astype(jnp.bfloat16)
        for name, array in inputs.items()
    }
    out = run(rounded, causal=True)
    assert out.dtype == jnp.bfloat16
    # Probabilities and values are rounded to 8 bits, scores are not.
    assert gap(rounded, out.astype(np.float64), causal=True) < 2e-2


def test_unknown_backend_lists_the_known(rng: np.random.Generator) -> None:
    inputs = make_inputs(rng, length=4, padding=0)
    q, k, v, segments = (jnp.asarray(inputs[name]) for name in ("q", "k", "v", "segments"))
    with pytest.raises(errors.UserError, match="'flash'; known: xla"):
        attention.attend(
            q, k, v, q_segments=segments, kv_segments=segments, causal=True, backend="flash"
        )


def test_slots_equal_rows_of_one_slot_each(rng: np.random.Generator) -> None:
    batch, slots, places, heads = 2, 3, 64, 3
    q, k, v = (
        jnp.asarray(rng.standard_normal((batch, slots, places, heads, WIDTH)), jnp.float32)
        for _ in range(3)
    )
    ids = jnp.asarray(rng.integers(0, 4, (batch, slots, places)), jnp.int32)  # unsorted, padding
    out = attention.attend_slots(q, k, v, ids)

    def rows(array: jax.Array) -> jax.Array:
        return array.reshape(batch * slots, *array.shape[2:])

    def whole(segments: jax.Array) -> jax.Array:
        return attention.attend(
            rows(q), rows(k), rows(v), q_segments=segments, kv_segments=segments, causal=False
        )

    np.testing.assert_allclose(rows(out), whole(rows(ids)), rtol=0, atol=1e-6)
    assert np.abs(rows(out) - whole(jnp.minimum(rows(ids), 1))).max() > MARGIN * 1e-6
