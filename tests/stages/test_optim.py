# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lingshu_jax.common import errors, sharding
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import optim
from lingshu_jax.stages import state as train_state

NAMES = ["vision/a/kernel", "vision/a/bias", "merger/norm/scale", "text/head"]
SHAPES = {"vision/a/kernel": (3, 4), "vision/a/bias": (4,), "merger/norm/scale": (4,)}
SHAPES["text/head"] = (4, 2)
TRAINABLE = (("vision/.*", 1e-2), ("merger/.*", 3e-2), ("text/.*", None))


def make_config(**changes) -> stage_config.OptimConfig:
    return stage_config.OptimConfig(**{"trainable": TRAINABLE, "warmup_steps": 10, **changes})


def make_leaves(seed: int) -> optim.Leaves:
    rng = np.random.default_rng(seed)
    return {n: jnp.asarray(rng.standard_normal(s), jnp.float32) for n, s in SHAPES.items()}


def test_flatten_and_back() -> None:
    params = {"a": {"b": {"kernel": 1, "bias": 2}}, "c": 3}
    leaves = optim.flatten(params)
    assert leaves == {"a/b/kernel": 1, "a/b/bias": 2, "c": 3}
    assert optim.unflatten(leaves) == params


def test_the_first_pattern_wins() -> None:
    trainable = (("vision/.*/bias", None), ("vision/.*", 1.0), (".*", 2.0))
    groups = optim.assign_groups(NAMES, trainable)
    assert [group.names for group in groups] == [
        ("vision/a/bias",),
        ("vision/a/kernel",),
        ("merger/norm/scale", "text/head"),
    ]
    assert optim.trained_names(groups) == set(NAMES) - {"vision/a/bias"}


@pytest.mark.parametrize(
    ("trainable", "message"),
    [
        ((("vision/.*", 1.0), ("text/.*", None)), "no pattern matches the parameter merger/norm"),
        ((("vision", 1.0), (".*/.*/.*", 1.0)), "no pattern matches the parameter text/head"),
        (((".*", 1.0), ("text/.*", None)), r"patterns \['text/.\*'\] win no parameter"),
        (((".*", 1.0), ("audio/.*", None)), r"patterns \['audio/.\*'\] win no parameter"),
    ],
    ids=["unmatched", "only_a_prefix", "shadowed", "idle"],
)
def test_groups_must_fit(trainable: tuple[tuple[str, float | None], ...], message: str) -> None:
    with pytest.raises(errors.UserError, match=message):
        optim.assign_groups(NAMES, trainable)


@pytest.mark.parametrize(
    ("step", "expected"),
    [(0, 0.0), (5, 0.5), (10, 1.0), (55, 0.55), (100, 0.1), (500, 0.1)],
    ids=["start", "half_warm", "peak", "half_way", "end", "beyond"],
)
def test_schedule(step: int, expected: float) -> None:
    """Ten steps of warm-up, then the cosine to a tenth at step 100."""
    schedule = optim.make_schedule(2e-3, make_config(final_fraction=0.1), 100)
    np.testing.assert_allclose(schedule(step), expected * 2e-3, rtol=1e-5, atol=1e-12)


def test_schedule_between_is_a_cosine() -> None:
    schedule = optim.make_schedule(1.0, make_config(), 110)
    for step in range(10, 110, 7):
        expected = 0.5 * (1 + np.cos(np.pi * (step - 10) / 100))
        np.testing.assert_allclose(schedule(step), expected, atol=1e-6)
    assert abs(float(schedule(35)) - (1 - 25 / 100)) > 0.05  # a straight line would be here


def test_without_warm_up_the_first_step_has_the_peak() -> None:
    schedule = optim.make_schedule(1.0, make_config(warmup_steps=0, final_fraction=1.0), 10)
    assert [float(schedule(step)) for step in (0, 5, 10)] == [1.0, 1.0, 1.0]


def test_a_run_shorter_than_its_warm_up_only_warms_up() -> None:
    schedule = optim.make_schedule(1.0, make_config(), 4)
    np.testing.assert_allclose([schedule(step) for step in range(5)], np.arange(5) / 10, rtol=1e-6)


def test_rates_by_pattern_and_by_leaf() -> None:
    config = make_config()
    groups = optim.assign_groups(NAMES, config.trainable)
    by_pattern = optim.learning_rates(groups, config, 100, 5)
    assert by_pattern == pytest.approx({"lr/vision": 5e-3, "lr/merger": 1.5e-2})
    by_leaf = optim.leaf_rates(groups, config, 100, 5)
    assert by_leaf == pytest.approx(
        {"vision/a/kernel": 5e-3, "vision/a/bias": 5e-3, "merger/norm/scale": 1.5e-2}
    )


def steps_of_ours(config: stage_config.OptimConfig, rate: float, count: int) -> optim.Leaves:
    optimizer = optim.make_optimizer(config)
    leaves = make_leaves(0)
    state = optimizer.init(leaves)
    for step in range(count):
        directions, state = optimizer.update(make_leaves(step + 1), state, leaves)
        leaves = optim.descend(leaves, directions, dict.fromkeys(leaves, jnp.float32(rate)))
    return leaves


def steps_of_optax(config: stage_config.OptimConfig, rate: float, count: int) -> optim.Leaves:
    is_matrix = {name: len(shape) > 1 for name, shape in SHAPES.items()}
    optimizer = optax.chain(
        optax.clip_by_global_norm(config.clip_norm),
        optax.adamw(
            rate, config.b1, config.b2, config.eps, weight_decay=config.weight_decay, mask=is_matrix
        ),
    )
    leaves = make_leaves(0)
    state = optimizer.init(leaves)
    for step in range(count):
        updates, state = optimizer.update(make_leaves(step + 1), state, leaves)
        leaves = optax.apply_updates(leaves, updates)
    return leaves


def gap(left: optim.Leaves, right: optim.Leaves) -> float:
    return max(float(np.abs(left[name] - right[name]).max()) for name in left)


def test_equals_adamw_of_optax() -> None:
    config = make_config(weight_decay=0.1, b1=0.8, b2=0.95, eps=1e-6, clip_norm=1.0)
    ours = steps_of_ours(config, 1e-2, 5)
    assert gap(ours, steps_of_optax(config, 1e-2, 5)) < 1e-6


@pytest.mark.parametrize(
    "change", [{"weight_decay": 0.0}, {"b1": 0.9}, {"b2": 0.999}, {"eps": 1e-1}, {"clip_norm": 9.0}]
)
def test_another_constant_fails(change: dict[str, float]) -> None:
    plain = {"weight_decay": 0.1, "b1": 0.8, "b2": 0.95, "eps": 1e-6, "clip_norm": 1.0}
    ours = steps_of_ours(make_config(**{**plain, **change}), 1e-2, 5)
    assert gap(ours, steps_of_optax(make_config(**plain), 1e-2, 5)) > 1e-4


def test_the_first_step_by_hand() -> None:
    """Bias correction makes the first direction g / (|g| + eps); decay is decoupled."""
    config = make_config(weight_decay=0.1, clip_norm=100.0, eps=1e-3)
    before, gradients, after = make_leaves(0), make_leaves(1), steps_of_ours(config, 0.5, 1)
    for name, gradient in gradients.items():
        decay = 0.0 if name.endswith(("bias", "scale")) else 0.1
        direction = gradient / (np.abs(gradient) + 1e-3) + decay * before[name]
        np.testing.assert_allclose(after[name], before[name] - 0.5 * direction, atol=1e-5)


def test_gradients_are_clipped_together() -> None:
    config = make_config(clip_norm=0.5)
    optimizer = optim.make_optimizer(config)
    gradients = make_leaves(1)
    _, state = optimizer.update(gradients, optimizer.init(make_leaves(0)), make_leaves(0))
    norm = np.sqrt(sum(float(jnp.sum(g * g)) for g in gradients.values()))
    for name, mu in state[1].mu.items():
        np.testing.assert_allclose(mu, 0.1 * gradients[name] * 0.5 / norm, rtol=1e-5)


def test_frozen_leaves_have_no_state() -> None:
    config = make_config(weight_decay=0.1)
    groups = optim.assign_groups(NAMES, config.trainable)
    params = optim.unflatten(make_leaves(0))
    trained, frozen = optim.split(params, groups)
    assert set(frozen) == {"text/head"} and set(trained) == set(NAMES) - {"text/head"}
    state = optim.make_optimizer(config).init(trained)
    paths = jax.tree_util.tree_leaves_with_path(state)
    moments = [path[-1].key for path, leaf in paths if leaf.ndim]
    assert sorted(moments) == sorted([*trained, *trained])


def test_moments_lie_where_their_parameters_lie() -> None:
    mesh = sharding.make_mesh({"fsdp": -1})
    trained = {
        "text/head": jnp.zeros((16, 8)),
        "merger/up/bias": jnp.zeros((8,)),
        "text/norm/scale": jnp.zeros((16,)),
    }
    placed = train_state.opt_shardings(trained, optim.make_optimizer(make_config()), mesh)
    for moment in (placed[1].mu, placed[1].nu):
        assert moment["text/head"].spec == jax.P("fsdp", "tensor")
        assert moment["text/norm/scale"].spec == jax.P("fsdp")
    assert placed[1].count.spec == jax.P()


def test_description_names_every_group_and_parameter() -> None:
    config = make_config(weight_decay=0.1)
    groups = optim.assign_groups(NAMES, config.trainable)
    params = optim.unflatten(make_leaves(0))
    lines = optim.describe(params, groups, config.weight_decay).splitlines()
    assert lines[1:4] == [
        "vision/.*\t16\t0.01\t0.1\ttrained",
        "merger/.*\t4\t0.03\t0.1\ttrained",
        "text/.*\t8\t-\t0.0\tfrozen",
    ]
    assert set(lines[5:]) == {
        "vision/a/kernel\t(3, 4)\tfloat32\t0.1\ttrained",
        "vision/a/bias\t(4,)\tfloat32\t0.0\ttrained",
        "merger/norm/scale\t(4,)\tfloat32\t0.0\ttrained",
        "text/head\t(4, 2)\tfloat32\t0.0\tfrozen",
    }
