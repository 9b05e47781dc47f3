# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lingshu_jax.stages import losses

TARGETS, WIDTH, VOCAB = 11, 6, 17


@pytest.fixture
def hidden(rng: np.random.Generator) -> jax.Array:
    return jnp.asarray(rng.standard_normal((TARGETS, WIDTH)), jnp.float32)


@pytest.fixture
def head(rng: np.random.Generator) -> jax.Array:
    return jnp.asarray(rng.standard_normal((WIDTH, VOCAB)), jnp.float32)


@pytest.fixture
def labels(rng: np.random.Generator) -> jax.Array:
    return jnp.asarray(rng.integers(0, VOCAB, TARGETS), jnp.int32)


def plain(hidden: jax.Array, head: jax.Array, labels: jax.Array) -> losses.TokenLogprobs:
    logprobs = jax.nn.log_softmax(hidden @ head, axis=-1)
    chosen = jnp.take_along_axis(logprobs, labels[:, None], axis=-1)[:, 0]
    log_z = jnp.log(jnp.sum(jnp.exp(hidden @ head), axis=-1))
    entropies = -jnp.sum(jnp.exp(logprobs) * logprobs, axis=-1)
    return losses.TokenLogprobs(chosen, entropies, log_z)


@pytest.mark.parametrize("chunk", [1, 4, 11, 1024], ids=["one", "uneven", "all", "more"])
def test_chunks_equal_all_logits_at_once(
    hidden: jax.Array, head: jax.Array, labels: jax.Array, chunk: int
) -> None:
    ours = losses.chunked_logprobs(hidden, head, labels, chunk_tokens=chunk)
    theirs = plain(hidden, head, labels)
    np.testing.assert_allclose(ours.logprobs, theirs.logprobs, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours.entropies, theirs.entropies, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours.log_z, theirs.log_z, rtol=1e-5, atol=1e-6)


def test_shifted_labels_fail(hidden: jax.Array, head: jax.Array, labels: jax.Array) -> None:
    ours = losses.chunked_logprobs(hidden, head, jnp.roll(labels, 1), chunk_tokens=4)
    theirs = plain(hidden, head, labels)
    assert np.abs(ours.logprobs - theirs.logprobs).max() > 0.1
    np.testing.assert_allclose(ours.entropies, theirs.entropies, rtol=1e-5)


def test_gradients_of_chunks_equal_plain_ones(
    hidden: jax.Array, head: jax.Array, labels: jax.Array
) -> None:
    def total(function, hidden, head):
        out = function(hidden, head, labels)
        return jnp.sum(jnp.arange(TARGETS) * (out.logprobs + out.log_z**2) + out.entropies)

    def chunked(hidden, head, labels):
        return losses.chunked_logprobs(
            hidden, head, labels, chunk_tokens=4, differentiate_log_z=True
        )

    ours = jax.grad(lambda *x: total(chunked, *x), argnums=(0, 1))(hidden, head)
    theirs = jax.grad(lambda *x: total(plain, *x), argnums=(0, 1))(hidden, head)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_no_array_of_all_logits_is_made(
    hidden: jax.Array, head: jax.Array, labels: jax.Array
) -> None:
    def loss(function, hidden, head):
        return jnp.sum(function(hidden, head, labels).logprobs)

    def chunked(hidden, head, labels):
        return losses.chunked_logprobs(hidden, head, labels, chunk_tokens=4)

    def program(function) -> str:
        gradient = jax.grad(lambda *x: loss(function, *x), argnums=(0, 1))
        return str(jax.make_jaxpr(gradient)(hidden, head))

    every = f"f32[{TARGETS},{VOCAB}]"
    assert every in program(plain)
    assert every not in program(chunked) and f"f32[4,{VOCAB}]" in program(chunked)


def test_entropy_by_hand() -> None:
    """Even over 4 of 5 tokens is log 4; a sure prediction has none."""
    head = jnp.eye(5, dtype=jnp.float32)
    hidden = jnp.array([[30.0, 30, 30, 30, -30], [90, 0, 0, 0, 0]], jnp.float32)
    out = losses.chunked_logprobs(hidden, head, jnp.array([2, 0]))
    np.testing.assert_allclose(out.entropies, [np.log(4), 0.0], atol=1e-5)
    np.testing.assert_allclose(out.logprobs, [-np.log(4), 0.0], atol=1e-5)


def test_large_logits_stay_finite() -> None:
    head = 1e4 * jnp.eye(3, dtype=jnp.float32)
    out = losses.chunked_logprobs(jnp.eye(3, dtype=jnp.float32), head, jnp.array([0, 0, 2]))
    np.testing.assert_allclose(out.logprobs, [0.0, -1e4, 0.0])
    assert np.isfinite(out.entropies).all()


def test_products_of_bfloat16_accumulate_in_float32(rng: np.random.Generator) -> None:
    hidden = jnp.asarray(rng.standard_normal((3, 512)), jnp.bfloat16)
    head = jnp.asarray(rng.standard_normal((512, 7)), jnp.bfloat16)
    labels = jnp.array([0, 3, 6])
    out = losses.chunked_logprobs(hidden, head, labels)
    exact = plain(hidden.astype(jnp.float32), head.astype(jnp.float32), labels)
    assert out.logprobs.dtype == jnp.float32
    np.testing.assert_allclose(out.logprobs, exact.logprobs, rtol=1e-4, atol=1e-4)


def test_a_token_is_predicted_from_the_one_before(
    hidden: jax.Array, head: jax.Array, labels: jax.Array
) -> None:
    rows = jnp.stack([hidden, hidden[::-1]])
    tokens = jnp.stack([labels, labels[::-1]])
    logprobs, entropies, log_z = losses.token_logprobs(rows, head, tokens)
    assert logprobs.shape == entropies.shape == log_z.shape == tokens.shape
    assert not any(values[:, 0].any() for values in (logprobs, entropies, log_z))
    for row in range(2):
        expected = plain(rows[row, :-1], head, tokens[row, 1:])
        np.testing.assert_allclose(logprobs[row, 1:], expected.logprobs, rtol=1e-5)
        np.testing.assert_allclose(entropies[row, 1:], expected.entropies, rtol=1e-5)
        np.testing.assert_allclose(log_z[row, 1:], expected.log_z, rtol=1e-5)
        same_place = plain(rows[row, 1:], head, tokens[row, 1:])
        assert np.abs(logprobs[row, 1:] - same_place.logprobs).max() > 0.1


def test_log_z_has_a_gradient_only_where_it_is_asked_for(
    hidden: jax.Array, head: jax.Array, labels: jax.Array
) -> None:
    def penalty(hidden: jax.Array, *, differentiate: bool) -> jax.Array:
        out = losses.token_logprobs(
            hidden[None], head, labels[None], differentiate_log_z=differentiate
        )
        return losses.z_penalty(out.log_z, jnp.ones((1, TARGETS))).total

    asked = jax.grad(lambda x: penalty(x, differentiate=True))(hidden)
    assert (np.abs(asked[:-1]).max(axis=1) > 1e-3).all()
    assert not jax.grad(lambda x: penalty(x, differentiate=False))(hidden).any()


def test_the_z_penalty_by_hand() -> None:
    """Logits of c and c make log Z = c + log 2; the cross entropy knows nothing of c."""
    head = jnp.ones((1, 2), jnp.float32)
    hidden = jnp.array([[[0.0], [3.0], [7.0]]], jnp.float32)
    out = losses.token_logprobs(hidden, head, jnp.array([[0, 1, 1]]))
    weights = jnp.array([[0.0, 0.5, 0.25]])
    penalty = losses.z_penalty(out.log_z, weights)
    expected = 0.5 * np.log(2) ** 2 + 0.25 * (3 + np.log(2)) ** 2
    np.testing.assert_allclose(penalty.total, expected, rtol=1e-6)
    assert float(penalty.weight) == 0.75
    np.testing.assert_allclose(out.logprobs[0, 1:], -np.log(2), rtol=1e-6)


def test_the_loss_is_a_sum_and_its_weight(rng: np.random.Generator) -> None:
    logprobs = -jnp.asarray(rng.random((2, 5)), jnp.float32)
    weights = jnp.array([[0, 1, 1, 0, 0], [0, 0.25, 0.25, 0.5, 0]], jnp.float32)
    loss = losses.next_token_loss(logprobs, weights)
    np.testing.assert_allclose(loss.total, -np.sum(logprobs * weights), rtol=1e-6)
    assert float(loss.weight) == 3.0
    np.testing.assert_allclose(loss.mean(), loss.total / 3.0)


# Trained tokens of a sequence, and the loss of each of them: the example of docs/stages.md.
SEQUENCES = ((20, 3.0), (30, 2.5), (50, 2.0), (900, 1.0))


def mean_loss(rows: tuple[tuple[int, ...], ...], normalization: str) -> float:
    """Of sequences laid out in rows: one sum over all of them, one weight."""
    lengths, values = zip(*SEQUENCES, strict=True)
    losses_of_rows = []
    for row in rows:
        each = [lengths[i] for i in row]
        logprobs = -np.repeat([values[i] for i in row], each)
        weights = np.repeat([1 / n if normalization == "sequence" else 1 for n in each], each)
        arrays = (jnp.asarray([x], jnp.float32) for x in (logprobs, weights))
        losses_of_rows.append(losses.next_token_loss(*arrays))
    total = jax.tree.map(lambda *parts: sum(parts), *losses_of_rows)
    return float(total.mean())


@pytest.mark.parametrize(
    "rows", [((0,), (1,), (2,), (3,)), ((0, 1, 2), (3,)), ((3, 1, 0, 2),)], ids=["4", "2", "1"]
)
def test_layout_does_not_change_the_loss(rows: tuple[tuple[int, ...], ...]) -> None:
    assert mean_loss(rows, "sequence") == pytest.approx(2.125)
    assert mean_loss(rows, "token") == pytest.approx(1.135)


def test_the_mean_of_row_means_depends_on_the_layout() -> None:
    """What a trainer of one row a device makes of the same sequences."""
    parts = ((0, 1, 2),), ((3,),)
    assert np.mean([mean_loss(rows, "token") for rows in parts]) == pytest.approx(1.675)


def test_padding_has_neither_loss_nor_gradient(rng: np.random.Generator) -> None:
    weights = jnp.array([[0.0, 1.0, 0.0]])
    logprobs = jnp.array([[-3.0, -2.0, -50.0]])

    def total(logprobs: jax.Array) -> jax.Array:
        return losses.next_token_loss(logprobs, weights).total

    assert float(total(logprobs)) == 2.0
    np.testing.assert_array_equal(jax.grad(total)(logprobs), [[0.0, -1.0, 0.0]])


def test_no_weight_is_a_loss_of_zero() -> None:
    nothing = losses.next_token_loss(jnp.full((1, 3), -1.0), jnp.zeros((1, 3)))
    assert float(nothing.mean()) == 0.0
    assert np.isfinite(
        jax.grad(lambda x: losses.next_token_loss(x, jnp.zeros((1, 3))).mean())(jnp.zeros((1, 3)))
    ).all()


def test_dtypes_are_explicit(
    strict_dtypes: None, hidden: jax.Array, head: jax.Array, labels: jax.Array
) -> None:
    out = losses.chunked_logprobs(hidden, head, labels, chunk_tokens=4)
    losses.next_token_loss(out.logprobs[None], jnp.ones((1, TARGETS), jnp.float32)).mean()
