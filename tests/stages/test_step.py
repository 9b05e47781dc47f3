# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""One step: how a batch is cut, packed or accumulated does not change the number.

The optimizer here is a trace without memory: its state after a step is the gradient.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lingshu_jax.common import structs
from lingshu_jax.models import qwen2_5_vl
from lingshu_jax.stages import losses, optim, optim_config, step
from lingshu_jax.stages import state as train_state
from tests import small
from tests.models import goldens

ROWS, SOURCES = 4, 3
TOLERANCE, MARGIN = 1e-5, 100
TEXT_FROZEN = (("vision/.*", 1e-2), ("merger/.*", 1e-2), ("text/.*", None))

train_step = goldens.compiled_quickly(
    static_argnames=("model", "optimizer", "accumulation_steps", "num_sources", "z_loss")
)(step.train_step)
TRACE = optax.trace(decay=0.0)


class Outcome(NamedTuple):
    """Numbers of a step and the gradient of every leaf."""

    loss: float
    z_loss: float | None
    source_loss: np.ndarray
    norms: dict[str, float]
    gradients: dict[str, np.ndarray]


def initial_state() -> train_state.TrainState:
    leaves = optim.flatten(small.random_params())
    return train_state.TrainState(
        step=jnp.int32(0), trained=leaves, frozen={}, opt_state=TRACE.init(leaves)
    )


def run(batch: structs.Batch, accumulation_steps: int = 1, z_loss: float = 0.0) -> Outcome:
    state = initial_state()
    after, metrics = train_step(
        state,
        batch,
        dict.fromkeys(state.trained, np.float32(1.0)),
        model=small.MODEL,
        optimizer=TRACE,
        accumulation_steps=accumulation_steps,
        num_sources=SOURCES,
        z_loss=z_loss,
    )
    assert int(after.step) == 1
    metrics = {name: np.asarray(value) for name, value in metrics.items()}
    return Outcome(
        float(metrics.pop("loss")),
        float(metrics.pop("z_loss")) if z_loss else None,
        metrics.pop("source_loss"),
        {name: float(value) for name, value in metrics.items() if "norm" in name},
        {name: np.asarray(leaf) for name, leaf in after.opt_state.trace.items()},
    )


def gap(ours: Outcome, theirs: Outcome) -> float:
    """Of the loss and of all gradients, relative to the largest of each leaf."""
    floor = 1e-2 * max(np.abs(leaf).max() for leaf in theirs.gradients.values())
    gaps = [
        np.abs(leaf - theirs.gradients[name]).max()
        / max(np.abs(theirs.gradients[name]).max(), floor)
        for name, leaf in ours.gradients.items()
    ]
    return float(max(abs(ours.loss / theirs.loss - 1), *gaps))


@pytest.fixture(scope="module")
def batch() -> structs.Batch:
    """Rows of very different weight: the mean of row means is another number."""
    rows = small.mixed_rows(np.random.default_rng(2), ROWS - 1)
    heavy = small.sequence(np.random.default_rng(3), "heavy", answer=60, source=1)
    return small.make_batch([*rows, [heavy]])


@pytest.fixture(scope="module")
def whole(batch: structs.Batch) -> Outcome:
    return run(batch)


def only_rows(batch: structs.Batch, rows: list[int]) -> structs.Batch:
    weights = np.zeros_like(batch.loss_weights)
    weights[rows] = batch.loss_weights[rows]
    return dataclasses.replace(batch, loss_weights=weights)


def test_accumulated_micro_batches_equal_one_batch(batch: structs.Batch, whole: Outcome) -> None:
    out = run(batch, accumulation_steps=ROWS)
    assert gap(out, whole) < TOLERANCE
    np.testing.assert_allclose(out.source_loss, whole.source_loss, rtol=1e-5)
    assert out.norms == pytest.approx(whole.norms, rel=1e-4)


def test_mean_of_means_would_be_another_loss(batch: structs.Batch, whole: Outcome) -> None:
    parts = [run(only_rows(batch, [row])) for row in range(ROWS)]
    weights = batch.loss_weights.sum(axis=1)
    means = np.array([part.loss for part in parts])
    assert whole.loss == pytest.approx(float(means @ weights / weights.sum()), rel=1e-5)
    assert abs(means.mean() / whole.loss - 1) > 10 * TOLERANCE


def test_rows_may_come_in_any_order(batch: structs.Batch, whole: Outcome) -> None:
    turned = jax.tree.map(lambda leaf: leaf[::-1], batch)
    assert gap(run(turned), whole) < TOLERANCE


@pytest.mark.parametrize("normalization", ["token", "sequence"])
def test_packed_rows_equal_separate_rows(normalization: Any) -> None:
    rng = np.random.default_rng(4)
    sequences = [
        small.sequence(rng, "a", pictures=[(56, 84)], answer=3),
        small.sequence(rng, "b", answer=11),
        small.sequence(rng, "c", pictures=[(56, 56), (84, 56)], answer=5),
    ]
    packed = small.make_batch([sequences, [], [], []], normalization=normalization)
    separate = small.make_batch([*([x] for x in sequences), []], normalization=normalization)
    theirs = run(separate)
    assert gap(run(packed), theirs) < TOLERANCE
    joined = dataclasses.replace(packed, segment_ids=np.minimum(packed.segment_ids, 1))
    assert gap(run(joined), theirs) > MARGIN * TOLERANCE


def test_the_normalisations_differ() -> None:
    rng = np.random.default_rng(5)
    row = [small.sequence(rng, "short", answer=2), small.sequence(rng, "long", answer=30)]
    by_token, by_sequence = (
        run(small.make_batch([row, [], [], []], normalization=name))
        for name in ("token", "sequence")
    )
    assert abs(by_token.loss / by_sequence.loss - 1) > 1e-3


def test_loss_of_each_source(batch: structs.Batch, whole: Outcome) -> None:
    for source in range(2):
        weights = np.where(batch.source_ids == source, batch.loss_weights, 0)
        one = run(dataclasses.replace(batch, loss_weights=weights.astype(np.float32)))
        np.testing.assert_allclose(whole.source_loss[source], one.loss, rtol=1e-5)
        assert np.isnan(one.source_loss[1 - source])
    assert np.isnan(whole.source_loss[2]), "no sequence is of the third source"
    assert abs(whole.source_loss[0] - whole.source_loss[1]) > 1e-3


def plain_loss(trained: optim.Leaves, batch: structs.Batch, z_loss: float) -> jax.Array:
    """From all logits at once: mean of -log p + z_loss (log Z)^2 under the loss weights."""
    params = optim.unflatten(trained)
    hidden = qwen2_5_vl.apply(small.MODEL, params, batch)
    head = qwen2_5_vl.apply(small.MODEL, params, method=small.MODEL.head_kernel)
    logits = (hidden @ head)[:, :-1]
    log_z = jax.nn.logsumexp(logits, axis=-1)
    chosen = jnp.take_along_axis(logits, batch.tokens[:, 1:, None], axis=-1)[..., 0]
    weights = batch.loss_weights[:, 1:]
    return jnp.sum(weights * (log_z - chosen + z_loss * log_z**2)) / jnp.sum(weights)


def test_z_loss_is_added_to_the_gradient_alone(batch: structs.Batch, whole: Outcome) -> None:
    """Accumulated, beside all logits and rows at once; `loss` stays the cross entropy."""
    weight = 0.1
    out = run(batch, ROWS, z_loss=weight)
    leaves = initial_state().trained
    loss, gradients = goldens.compiled_quickly(static_argnums=2)(jax.value_and_grad(plain_loss))(
        leaves, batch, weight
    )
    assert out.loss == pytest.approx(whole.loss, rel=1e-6)
    assert out.z_loss == pytest.approx(float(loss) - out.loss, rel=1e-4)
    plain = out._replace(gradients={name: np.asarray(leaf) for name, leaf in gradients.items()})
    assert gap(out, plain) < TOLERANCE
    assert gap(whole, plain) > MARGIN * TOLERANCE


def flops_of_a_step(batch: structs.Batch, z_loss: float) -> float:
    """Of a whole step with accumulation; a scan's body is counted once."""
    state = initial_state()

    def one_step(state: train_state.TrainState, batch: structs.Batch) -> Any:
        rates = dict.fromkeys(state.trained, np.float32(1.0))
        fixed = {"model": small.MODEL, "optimizer": TRACE, "num_sources": SOURCES}
        return step.train_step(state, batch, rates, accumulation_steps=2, z_loss=z_loss, **fixed)

    return jax.jit(one_step).lower(state, batch).cost_analysis()["flops"]


def test_no_z_loss_costs_nothing(batch: structs.Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many operations as where it does not exist; with it there are more."""
    ours, with_z = flops_of_a_step(batch, 0.0), flops_of_a_step(batch, 1.0)
    batch_loss = step.batch_loss

    def without(*args: Any, **options: Any) -> step.BatchLoss:
        zero = jnp.float32(0.0)
        return batch_loss(*args, **options)._replace(z=losses.WeightedSum(zero, zero))

    monkeypatch.setattr(step, "batch_loss", without)
    assert ours == flops_of_a_step(batch, 0.0) < with_z


def to_bfloat16(leaves: optim.Leaves) -> optim.Leaves:
    return {name: jnp.asarray(leaf, jnp.bfloat16) for name, leaf in leaves.items()}


def test_bfloat16_gradients_are_added_in_float32() -> None:
    """Each row gives 1: with 8 bits the sum of 512 would stop at 256."""
    trained = {"text/x/bias": jnp.zeros(3, jnp.bfloat16)}
    rows = 512
    many = jax.tree.map(
        lambda leaf: np.zeros((rows, *leaf.shape[1:]), leaf.dtype), small.make_batch([[]])
    )

    def sums(leaves: optim.Leaves, micro: structs.Batch) -> tuple[jax.Array, Any]:
        weight = 1.0 + jnp.sum(micro.loss_weights)
        return jnp.sum(leaves["text/x/bias"].astype(jnp.float32)) * weight, weight

    gradients, weight = step.accumulate(sums, trained, many, rows)
    assert float(weight) == rows
    np.testing.assert_array_equal(gradients["text/x/bias"], np.full(3, rows, np.float32))


def test_a_state_in_bfloat16_stays_in_bfloat16(batch: structs.Batch) -> None:
    """The sum is scaled in float32 and then rounded once: all that is kept has one dtype."""
    leaves = to_bfloat16(initial_state().trained)
    state = train_state.TrainState(
        step=jnp.int32(0), trained=leaves, frozen={}, opt_state=TRACE.init(leaves)
    )
    rates = dict.fromkeys(leaves, np.float32(1.0))
    fixed = {"model": small.MODEL, "optimizer": TRACE, "num_sources": SOURCES}
    after, _ = jax.eval_shape(
        lambda *given: step.train_step(*given, accumulation_steps=2, **fixed), state, batch, rates
    )
    assert jax.tree.map(lambda x: x.dtype, after) == jax.tree.map(lambda x: x.dtype, state)


def test_norms_are_those_of_the_gradients(whole: Outcome) -> None:
    squares = {"vision": 0.0, "merger": 0.0, "text": 0.0}
    for name, leaf in whole.gradients.items():
        squares[name.partition("/")[0]] += float(np.square(leaf).sum())
    expected = {f"grad_norm/{part}": square**0.5 for part, square in squares.items()}
    expected["grad_norm"] = sum(squares.values()) ** 0.5
    assert whole.norms == pytest.approx(expected, rel=1e-3)


def test_a_batch_of_padding_changes_nothing() -> None:
    out = run(small.make_batch([[], [], [], []]))
    assert out.loss == 0.0
    assert not any(leaf.any() for leaf in out.gradients.values())


def test_frozen_leaves_stay_bit_identical_and_all_others_move(batch: structs.Batch) -> None:
    config = optim_config.OptimConfig(trainable=TEXT_FROZEN, warmup_steps=0, weight_decay=0.5)
    before = optim.flatten(small.random_params())
    groups = optim.assign_groups(list(before), config.rules(config.trainable))
    trained, frozen = optim.split(small.random_params(), groups)
    optimizer = optim.make_optimizer(config, groups)
    state = train_state.TrainState(
        step=jnp.int32(0), trained=trained, frozen=frozen, opt_state=optimizer.init(trained)
    )
    for i in range(2):
        state, metrics = train_step(
            state,
            batch,
            optim.leaf_rates(groups, 10, i),
            model=small.MODEL,
            optimizer=optimizer,
            accumulation_steps=1,
            num_sources=SOURCES,
        )
    assert set(metrics) == {
        *("loss", "source_loss", "grad_norm", "grad_norm/vision", "grad_norm/merger"),
        *("skipped", "skipped/nonfinite", "skipped/spike"),
    }
    after = {name: np.asarray(leaf) for name, leaf in optim.flatten(state.params()).items()}
    assert after.keys() == before.keys()
    for name, leaf in before.items():
        if name.startswith("text/"):
            assert leaf.tobytes() == after[name].tobytes(), f"{name} moved"
        else:
            assert (leaf != after[name]).mean() > 0.9, f"{name} did not move"
