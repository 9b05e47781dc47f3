# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lingshu_jax.common import sharding, topologies
from lingshu_jax.stages import losses

TARGETS, WIDTH, VOCAB = 11, 6, 17
LIMIT = 0.7 * 2**30  # bytes beside arguments and results


@pytest.fixture
def hidden(rng: np.random.Generator) -> jax.Array:
    return jnp.asarray(rng.standard_normal((1, TARGETS, WIDTH)), jnp.float32)


@pytest.fixture
def head(rng: np.random.Generator) -> jax.Array:
    return jnp.asarray(rng.standard_normal((WIDTH, VOCAB)), jnp.float32)


@pytest.fixture
def labels(rng: np.random.Generator) -> jax.Array:
    return jnp.asarray(rng.integers(0, VOCAB, (1, TARGETS)), jnp.int32)


def plain(hidden: jax.Array, head: jax.Array, labels: jax.Array) -> losses.TokenLogprobs:
    logits = hidden.astype(jnp.float32) @ head.astype(jnp.float32)
    logprobs = jax.nn.log_softmax(logits, axis=-1)
    chosen = jnp.take_along_axis(logprobs, labels[..., None], axis=-1)[..., 0]
    entropies = -jnp.sum(jnp.exp(logprobs) * logprobs, axis=-1)
    return losses.TokenLogprobs(chosen, entropies, jax.nn.logsumexp(logits, axis=-1))


def in_blocks(width: int) -> Callable[..., losses.TokenLogprobs]:
    return lambda *args: losses.chunked_logprobs(*args, block_width=width)


def weighted(function: Callable[..., losses.TokenLogprobs]) -> Callable[..., Any]:
    """Values, and gradients by hidden and head where each output of each target has a weight."""

    def total(hidden: jax.Array, head: jax.Array, labels: jax.Array) -> tuple[jax.Array, Any]:
        out = function(hidden, head, labels)
        weights = np.random.default_rng(4).standard_normal((3, *labels.shape)).astype(np.float32)
        return sum(jnp.sum(w * x) for w, x in zip(weights, out, strict=True)), out

    return jax.jit(jax.grad(total, argnums=(0, 1), has_aux=True))


def gap(ours: Any, theirs: Any) -> float:
    """The largest difference of any leaf, beside the largest value of it."""
    pairs = zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
    pairs = [(np.asarray(a, np.float32), np.asarray(b, np.float32)) for a, b in pairs]
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)


# One, uneven, whole in blocks that divide, all at once, and by the default.
@pytest.mark.parametrize("width", [1, 4, 16, VOCAB, 0])
def test_blocks_equal_all_logits_at_once(
    hidden: jax.Array, head: jax.Array, labels: jax.Array, width: int
) -> None:
    found = weighted(in_blocks(width))(hidden, head, labels)
    assert gap(found, weighted(plain)(hidden, head, labels)) < 2e-6


def test_a_tied_head_is_taken_as_it_lies(
    hidden: jax.Array, head: jax.Array, labels: jax.Array
) -> None:
    def tied(hidden: jax.Array, embedding: jax.Array, labels: jax.Array) -> losses.TokenLogprobs:
        return losses.chunked_logprobs(hidden, embedding, labels, is_tied=True, block_width=5)

    (by_hidden, by_head), out = weighted(tied)(hidden, head.T, labels)
    expected = weighted(plain)(hidden, head, labels)
    assert gap(((by_hidden, by_head.T), out), expected) < 2e-6


def test_an_overlapping_last_block_fails(
    hidden: jax.Array, head: jax.Array, labels: jax.Array
) -> None:
    """What clamped starts would give: columns of the last block but one are counted twice."""
    padded = jnp.concatenate([head, head[:, -3:]], axis=1)
    found = weighted(in_blocks(4))(hidden, padded, labels)
    (by_hidden, by_head), out = found
    expected = weighted(plain)(hidden, head, labels)
    assert gap(((by_hidden, by_head[:, :VOCAB]), out), expected) > 1e-3


def test_shifted_labels_fail(hidden: jax.Array, head: jax.Array, labels: jax.Array) -> None:
    ours = in_blocks(4)(hidden, head, jnp.roll(labels, 1, axis=1))
    theirs = plain(hidden, head, labels)
    assert np.abs(ours.logprobs - theirs.logprobs).max() > 0.1
    np.testing.assert_allclose(ours.entropies, theirs.entropies, rtol=1e-5)


@pytest.mark.parametrize("lost", losses.TokenLogprobs._fields)
def test_without_the_gradient_of_one_output_it_fails(
    hidden: jax.Array, head: jax.Array, labels: jax.Array, lost: str
) -> None:
    def broken(*args: jax.Array) -> losses.TokenLogprobs:
        out = in_blocks(4)(*args)
        return out._replace(**{lost: jax.lax.stop_gradient(getattr(out, lost))})

    found = weighted(broken)(hidden, head, labels)
    assert gap(found, weighted(plain)(hidden, head, labels)) > 1e-2


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_bfloat16_states_and_a_head_of_either_dtype(rng: np.random.Generator, dtype: Any) -> None:
    """The gradients come back in the dtypes of their own."""
    hidden = jnp.asarray(rng.standard_normal((2, 24, 40)), jnp.bfloat16)
    head = jnp.asarray(rng.standard_normal((40, 300)) / 6, jnp.bfloat16).astype(dtype)
    labels = jnp.asarray(rng.integers(0, 300, (2, 24)), jnp.int32)
    (by_hidden, by_head), out = weighted(in_blocks(128))(hidden, head, labels)
    assert (by_hidden.dtype, by_head.dtype) == (jnp.bfloat16, dtype)
    (true_hidden, true_head), true_out = weighted(plain)(
        hidden.astype(jnp.float32), head.astype(jnp.float32), labels
    )
    assert gap(out, true_out) < 1e-5
    assert gap(by_hidden, true_hidden) < 1e-2
    assert gap(by_head, true_head) < 1e-2
    # A float32 gradient holds sums that bfloat16 has no number for.
    is_rounded = by_head == by_head.astype(jnp.bfloat16).astype(dtype)
    assert bool(is_rounded.all()) == (dtype == jnp.bfloat16)


def test_a_frozen_head_costs_no_product(
    hidden: jax.Array, head: jax.Array, labels: jax.Array
) -> None:
    def products(argnums: Any) -> int:
        def total(*args: jax.Array) -> jax.Array:
            return jnp.sum(in_blocks(VOCAB)(*args).logprobs)

        return str(jax.make_jaxpr(jax.grad(total, argnums))(hidden, head, labels)).count(
            "dot_general["
        )

    assert (products((0, 1)), products(0)) == (4, 3)


def test_no_array_of_all_logits_is_made(
    hidden: jax.Array, head: jax.Array, labels: jax.Array
) -> None:
    def program(function: Callable[..., Any]) -> str:
        return str(jax.make_jaxpr(weighted(function))(hidden, head, labels))

    every = re.compile(rf"f32\[(1,)?{TARGETS},{VOCAB}\]")
    assert every.search(program(plain))
    assert not every.search(program(in_blocks(4))) and f"f32[{TARGETS},4]" in program(in_blocks(4))


# What 3B, and 7B and up, have on one device of 1, 2, 4 and 8; 8,192 targets.
@pytest.mark.parametrize("vocabulary", [*(151_936 // n for n in (1, 2, 4, 8)), 152_064, 76_032])
def test_default_blocks(vocabulary: int) -> None:
    width = losses.default_width(8192, vocabulary)
    assert width % losses.LANES == 0 and 4 * 8192 * width <= losses.BLOCK_BYTES < 16 * 8192 * width
    if vocabulary in (152_064, 76_032):
        assert vocabulary % width == 0, "no second body is needed"


def test_few_targets_take_the_vocabulary_at_once() -> None:
    assert losses.default_width(96, 288) == 288
    assert losses.default_width(2**30, 1000) == losses.LANES


MESHES = (
    {"data": 2, "fsdp": 2, "tensor": 2},
    {"fsdp": 2, "tensor": 2, "context": 2},
    {"data": 2, "context": 4},
    {"fsdp": 8},
    {"tensor": 8},
)


class Sharded:
    """A loss of 8 rows of 8 tokens, width 16, 304 tokens of vocabulary."""

    def __init__(self, rng: np.random.Generator):
        self.hidden = jnp.asarray(rng.standard_normal((8, 8, 16)), jnp.float32)
        self.head = jnp.asarray(rng.standard_normal((16, 304)) / 2, jnp.float32)
        self.labels = jnp.asarray(rng.integers(0, 304, (8, 8)), jnp.int32)

    def placed(self, mesh: jax.sharding.Mesh, *, is_tied: bool = False) -> Sequence[jax.Array]:
        def put(x: jax.Array, *axes: Any) -> jax.Array:
            return jax.device_put(x, jax.NamedSharding(mesh, jax.P(*axes)))

        rows = (("data", "fsdp"), "context")
        head = put(self.head.T, "tensor", "fsdp") if is_tied else put(self.head, "fsdp", "tensor")
        return put(self.hidden, *rows), head, put(self.labels, *rows)


@pytest.fixture
def sharded(rng: np.random.Generator) -> Sharded:
    return Sharded(rng)


@pytest.mark.parametrize("is_tied", [False, True], ids=["", "tied"])
@pytest.mark.parametrize("sizes", MESHES, ids=str)
def test_eight_devices_give_the_numbers_of_one(
    sharded: Sharded, sizes: dict[str, int], is_tied: bool
) -> None:
    def function(*args: jax.Array) -> losses.TokenLogprobs:
        return losses.chunked_logprobs(*args, is_tied=is_tied, block_width=16)

    mesh = sharding.make_mesh(sizes)
    with jax.set_mesh(mesh):
        (by_hidden, by_head), out = weighted(function)(*sharded.placed(mesh, is_tied=is_tied))
    expected = weighted(plain)(sharded.hidden, sharded.head, sharded.labels)
    assert gap(((by_hidden, by_head.T if is_tied else by_head), out), expected) < 2e-6


def test_rows_that_do_not_divide_are_counted_once(sharded: Sharded) -> None:
    """Each device holds all of them, as it holds a single prompt."""
    few = sharded.hidden[:3, :7], sharded.head, sharded.labels[:3, :7]
    with jax.set_mesh(sharding.make_mesh({"data": 2, "fsdp": 2, "context": 2})):
        found = weighted(in_blocks(50))(*few)
    assert gap(found, weighted(plain)(*few)) < 2e-6


def largest_collectives(sharded: Sharded, width: int) -> dict[str, int]:
    """Numbers in the largest result of each kind, over data, fsdp and tensor of two."""
    mesh = sharding.make_mesh(MESHES[0])
    with jax.set_mesh(mesh):
        text = weighted(in_blocks(width)).lower(*sharded.placed(mesh)).compile().as_text()
    largest: dict[str, int] = {}
    line = r"= (.*?) (all-gather|all-reduce|reduce-scatter|all-to-all|collective-permute)\("
    for shapes, kind in re.findall(line, text):
        for shape in re.findall(r"\[(.*?)\]", shapes):
            size = np.prod([int(n) for n in shape.split(",") if n])
            largest[kind] = max(largest.get(kind, 0), int(size))
    return largest


def test_a_block_of_the_head_is_gathered_and_no_more(sharded: Sharded) -> None:
    """A device has a quarter of the head: half the width of half the vocabulary."""
    width, rows = 8, sharded.hidden.size // 4
    found = largest_collectives(sharded, width)
    assert found["all-gather"] == 16 * width
    assert found["all-reduce"] == max(16 // 2 * width, rows)
    assert found["all-reduce"] < sharded.head.size // 4
    assert set(found) <= {"all-gather", "all-reduce", "reduce-scatter"}
    at_once = largest_collectives(sharded, 152)
    assert at_once["all-gather"] == sharded.head.size // 2


def temporaries(device: Any, *, head: Any, width: int = 0) -> int:
    """Bytes of the compiled gradients of 8,192 tokens, width 3,584, vocabulary 152,064."""
    place = jax.sharding.SingleDeviceSharding(device)

    def shape(sizes: tuple[int, ...], dtype: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(sizes, dtype, sharding=place)

    args = (
        shape((1, 8192, 3584), jnp.bfloat16),
        shape((3584, 152_064), head),
        shape((1, 8192), jnp.int32),
    )
    with jax.default_matmul_precision("default"):
        compiled = weighted(in_blocks(width)).lower(*args).compile()
    return compiled.memory_analysis().temp_size_in_bytes


def test_temporaries() -> None:
    """On the CPU, which has no products in bfloat16; the other way it keeps everything twice."""
    cpu = jax.devices()[0]
    assert temporaries(cpu, head=jnp.float32) < LIMIT
    assert temporaries(cpu, head=jnp.float32, width=152_064) > 10 * LIMIT


@pytest.mark.aot
@pytest.mark.parametrize("head", [jnp.float32, jnp.bfloat16])
def test_temporaries_on_a_tpu(head: Any) -> None:
    device = topologies.parse("v5e:1x1").describe()[0]
    assert temporaries(device, head=head) < LIMIT


def test_entropy_by_hand() -> None:
    """Even over 4 of 5 tokens is log 4; a sure prediction has none."""
    head = jnp.eye(5, dtype=jnp.float32)
    hidden = jnp.array([[[30.0, 30, 30, 30, -30], [90, 0, 0, 0, 0]]], jnp.float32)
    out = in_blocks(2)(hidden, head, jnp.array([[2, 0]]))
    np.testing.assert_allclose(out.entropies, [[np.log(4), 0.0]], atol=1e-5)
    np.testing.assert_allclose(out.logprobs, [[-np.log(4), 0.0]], atol=1e-5)


def test_large_logits_stay_finite() -> None:
    head = 1e4 * jnp.eye(3, dtype=jnp.float32)
    hidden = jnp.eye(3, dtype=jnp.float32)[None]
    (by_hidden, by_head), out = weighted(in_blocks(2))(hidden, head, jnp.array([[0, 0, 2]]))
    np.testing.assert_allclose(out.logprobs, [[0.0, -1e4, 0.0]])
    assert all(np.isfinite(x).all() for x in (out.entropies, by_hidden, by_head))


def test_products_of_bfloat16_accumulate_in_float32(rng: np.random.Generator) -> None:
    hidden = jnp.asarray(rng.standard_normal((1, 3, 512)), jnp.bfloat16)
    head = jnp.asarray(rng.standard_normal((512, 7)), jnp.bfloat16)
    labels = jnp.array([[0, 3, 6]])
    out = losses.chunked_logprobs(hidden, head, labels)
    assert out.logprobs.dtype == jnp.float32
    exact = plain(hidden, head, labels)
    np.testing.assert_allclose(out.logprobs, exact.logprobs, rtol=1e-4, atol=1e-4)


def test_a_token_is_predicted_from_the_one_before(
    hidden: jax.Array, head: jax.Array, labels: jax.Array
) -> None:
    rows = jnp.concatenate([hidden, hidden[:, ::-1]])
    tokens = jnp.concatenate([labels, labels[:, ::-1]])
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


def test_the_last_state_predicts_nothing(
    hidden: jax.Array, head: jax.Array, labels: jax.Array
) -> None:
    """It meets the first token, rolled to the end; of that no value and no gradient is left."""

    def penalty(hidden: jax.Array) -> jax.Array:
        out = losses.token_logprobs(hidden, head, labels)
        return losses.z_penalty(out.log_z, jnp.ones((1, TARGETS))).total

    gradient = np.abs(jax.grad(penalty)(hidden)[0]).max(axis=1)
    assert (gradient[:-1] > 1e-3).all() and gradient[-1] == 0


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
    out = losses.token_logprobs(hidden, head, labels)
    losses.next_token_loss(out.logprobs, jnp.ones((1, TARGETS), jnp.float32)).mean()
