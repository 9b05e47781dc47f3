# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lingshu_jax.common import errors, sharding
from lingshu_jax.stages import optim, optim_config
from lingshu_jax.stages import state as train_state

NAMES = ["vision/a/kernel", "vision/a/bias", "merger/norm/scale", "text/head"]
SHAPES = {"vision/a/kernel": (3, 4), "vision/a/bias": (4,), "merger/norm/scale": (4,)}
SHAPES["text/head"] = (4, 2)
TRAINABLE = (("vision/.*", 1e-2), ("merger/.*", 3e-2), ("text/.*", None))


def make_config(**changes) -> optim_config.OptimConfig:
    return optim_config.OptimConfig(**{"trainable": TRAINABLE, "warmup_steps": 10, **changes})


def make_groups(
    config: optim_config.OptimConfig, names: list[str] = NAMES
) -> tuple[optim.Group, ...]:
    return optim.assign_groups(names, config.rules(config.trainable))


def all_trained(config: optim_config.OptimConfig) -> tuple[optim.Group, ...]:
    return optim.assign_groups(NAMES, config.rules(((".*", 1.0),)))


def make_rule(peak: float = 1.0, **changes) -> optim_config.Rule:
    return make_config(**changes).rules(((".*", peak),))[0]


def make_leaves(seed: int) -> optim.Leaves:
    rng = np.random.default_rng(seed)
    return {n: jnp.asarray(rng.standard_normal(s), jnp.float32) for n, s in SHAPES.items()}


def test_flatten_and_back() -> None:
    params = {"a": {"b": {"kernel": 1, "bias": 2}}, "c": 3}
    leaves = optim.flatten(params)
    assert leaves == {"a/b/kernel": 1, "a/b/bias": 2, "c": 3}
    assert optim.unflatten(leaves) == params


def test_the_first_pattern_wins() -> None:
    groups = make_groups(
        make_config(trainable=(("vision/.*/bias", None), ("vision/.*", 1.0), (".*", 2.0)))
    )
    assert [group.names for group in groups] == [
        ("vision/a/bias",),
        ("vision/a/kernel",),
        ("merger/norm/scale", "text/head"),
    ]
    assert [group.peak for group in groups] == [None, 1.0, 2.0]
    assert optim.trained_groups(groups) == groups[1:]


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
        make_groups(make_config(trainable=trainable))


@pytest.mark.parametrize(
    ("step", "expected"),
    [(0, 0.0), (5, 0.5), (10, 1.0), (55, 0.55), (100, 0.1), (500, 0.1)],
    ids=["start", "half_warm", "peak", "half_way", "end", "beyond"],
)
def test_schedule(step: int, expected: float) -> None:
    """Ten steps of warm-up, then the cosine to a tenth at step 100."""
    schedule = optim.make_schedule(make_rule(2e-3, final_fraction=0.1), 100)
    np.testing.assert_allclose(schedule(step), expected * 2e-3, rtol=1e-5, atol=1e-12)


def test_schedule_between_is_a_cosine() -> None:
    schedule = optim.make_schedule(make_rule(), 110)
    for step in range(10, 110, 7):
        expected = 0.5 * (1 + np.cos(np.pi * (step - 10) / 100))
        np.testing.assert_allclose(schedule(step), expected, atol=1e-6)
    assert abs(float(schedule(35)) - (1 - 25 / 100)) > 0.05  # a straight line would be here


def test_the_first_update_has_rate_0_and_the_last_stands_one_step_before_the_end() -> None:
    config = make_config(schedule="linear", final_fraction=0.1)
    groups = make_groups(config)
    first, last = (optim.leaf_rates(groups, 100, step)["vision/a/bias"] for step in (0, 99))
    assert first == 0
    assert last == pytest.approx(1e-2 * (0.1 + 0.9 / 90))


def test_without_warm_up_the_first_step_has_the_peak() -> None:
    schedule = optim.make_schedule(make_rule(warmup_steps=0, final_fraction=1.0), 10)
    assert [float(schedule(step)) for step in (0, 5, 10)] == [1.0, 1.0, 1.0]


def test_a_run_shorter_than_its_warm_up_only_warms_up() -> None:
    schedule = optim.make_schedule(make_rule(), 4)
    np.testing.assert_allclose([schedule(step) for step in range(5)], np.arange(5) / 10, rtol=1e-6)


def test_rates_by_pattern_and_by_leaf() -> None:
    config = make_config()
    groups = make_groups(config)
    by_pattern = optim.learning_rates(groups, 100, 5)
    assert by_pattern == pytest.approx({"lr/vision": 5e-3, "lr/merger": 1.5e-2})
    by_leaf = optim.leaf_rates(groups, 100, 5)
    assert by_leaf == pytest.approx(
        {"vision/a/kernel": 5e-3, "vision/a/bias": 5e-3, "merger/norm/scale": 1.5e-2}
    )


def steps_of_ours(config: optim_config.OptimConfig, rate: float, count: int) -> optim.Leaves:
    leaves = make_leaves(0)
    optimizer = optim.make_optimizer(config, all_trained(config))
    state = optimizer.init(leaves)
    for step in range(count):
        directions, state = optimizer.update(make_leaves(step + 1), state, leaves)
        leaves = optim.descend(leaves, directions, dict.fromkeys(leaves, jnp.float32(rate)))
    return leaves


def steps_of_optax(config: optim_config.OptimConfig, rate: float, count: int) -> optim.Leaves:
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
    optimizer = optim.make_optimizer(config, all_trained(config))
    gradients = make_leaves(1)
    _, state = optimizer.update(gradients, optimizer.init(make_leaves(0)), make_leaves(0))
    norm = np.sqrt(sum(float(jnp.sum(g * g)) for g in gradients.values()))
    for name, mu in state[1].mu.items():
        np.testing.assert_allclose(mu, 0.1 * gradients[name] * 0.5 / norm, rtol=1e-5)


def test_frozen_leaves_have_no_state() -> None:
    config = make_config(weight_decay=0.1)
    groups = make_groups(config)
    params = optim.unflatten(make_leaves(0))
    trained, frozen = optim.split(params, groups)
    assert set(frozen) == {"text/head"} and set(trained) == set(NAMES) - {"text/head"}
    state = optim.make_optimizer(config, groups).init(trained)
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
    config = make_config()
    groups = optim.assign_groups([*trained], config.rules(((".*", 1.0),)))
    placed = train_state.opt_shardings(trained, optim.make_optimizer(config, groups), mesh)
    for moment in (placed[1].mu, placed[1].nu):
        assert moment["text/head"].spec == jax.P("fsdp", "tensor")
        assert moment["text/norm/scale"].spec == jax.P("fsdp")
    assert placed[1].count.spec == jax.P()


STEPS = (10, 49, 88, 96, 100)
ENDS = {"": 1.0, "_2": 2.0, "_2_2": 3.0}
GROUPED = (
    ("vision/.*", 1e-2, {"weight_decay": 0.3, "schedule": "linear", "warmup_steps": 20}),
    ("merger/.*", 3e-2, {"schedule": "constant", "weight_decay": 0.0}),
    ("text/.*", 1.0),
)


def test_every_group_has_its_own_peak_schedule_and_warm_up() -> None:
    """Half of a long warm-up, the constant peak, and the cosine of the config itself."""
    groups = make_groups(make_config(trainable=GROUPED))
    rates = [optim.learning_rates(groups, 100, step) for step in (10, 60, 100)]
    cosine = 0.5 * (1 + np.cos(np.pi * 50 / 90))
    assert rates[0] == pytest.approx({"lr/vision": 5e-3, "lr/merger": 3e-2, "lr/text": 1.0})
    assert rates[1] == pytest.approx({"lr/vision": 5e-3, "lr/merger": 3e-2, "lr/text": cosine})
    assert rates[2] == pytest.approx({"lr/vision": 0, "lr/merger": 3e-2, "lr/text": 0}, abs=1e-9)


def test_every_group_has_its_own_weight_decay() -> None:
    """With no gradient a step is the decay alone: leaf - rate * decay * leaf."""
    config = make_config(trainable=GROUPED, weight_decay=0.1)
    groups, leaves = make_groups(config), make_leaves(0)
    optimizer = optim.make_optimizer(config, groups)
    still = jax.tree.map(jnp.zeros_like, leaves)
    directions, _ = optimizer.update(still, optimizer.init(leaves), leaves)
    decays = {"vision/a/kernel": 0.3, "vision/a/bias": 0.0, "merger/norm/scale": 0.0}
    decays["text/head"] = 0.1
    assert optim.leaf_decays(groups) == decays
    for name, direction in dict(directions).items():
        np.testing.assert_allclose(direction, decays[name] * leaves[name], rtol=1e-6)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [1.0, 1.0, 1.0, 1.0, 1.0]),
        ("linear", [1 - 0.8 * (step - 10) / 90 for step in STEPS]),
        ("cosine", [0.6 + 0.4 * np.cos(np.pi * (step - 10) / 90) for step in STEPS]),
        ("wsd", [1.0, 1.0, 1.0, 0.52, 0.2]),
    ],
)
def test_shapes_after_the_warm_up(schedule: str, expected: list[float]) -> None:
    """Ten steps up, ninety on, the end at a fifth; "wsd" falls over the last ten."""
    rule = make_rule(schedule=schedule, final_fraction=0.2)
    rates = [float(optim.make_schedule(rule, 100)(step)) for step in STEPS]
    assert rates == pytest.approx(expected, abs=1e-6)


def test_no_two_groups_share_a_metric() -> None:
    """`q[k]?` and `(q|k)` lose their signs: what is left of both is `qk`."""
    patterns = (("q[k]?/kernel", 1.0), ("(q|k)/kernel", 2.0), ("qk/kernel_2", 3.0))
    names = ["q/kernel", "k/kernel", "qk/kernel_2"]
    groups = make_groups(make_config(trainable=patterns), names)
    rates = optim.learning_rates(groups, 100, 10)
    assert rates == pytest.approx({f"lr/qk/kernel{end}": rate for end, rate in ENDS.items()})


def bfloat16_gradients() -> optim.Leaves:
    """A large leaf, then small ones whose squares vanish beside its own in 8 bits."""
    rng = np.random.default_rng(0)
    small = {f"text/{i}/bias": rng.normal(size=8) for i in range(300)}
    return {
        name: jnp.asarray(leaf, jnp.bfloat16)
        for name, leaf in {"text/0/head": np.ones(4096), **small}.items()
    }


def test_the_norm_of_bfloat16_gradients_is_float32() -> None:
    gradients = bfloat16_gradients()
    exact = np.sqrt(sum(np.square(np.asarray(g, np.float64)).sum() for g in gradients.values()))
    norm = optim.global_norm(gradients)
    assert norm.dtype == jnp.float32
    np.testing.assert_allclose(norm, exact, rtol=1e-5)
    assert abs(float(optax.tree.norm(gradients)) / exact - 1) > 0.1, "optax's loses more"


def test_bfloat16_gradients_are_clipped_to_the_norm() -> None:
    gradients = bfloat16_gradients()
    clip = optim.clip_by_global_norm(1.0)
    clipped = dict(clip.update(gradients, clip.init(gradients))[0])
    assert all(leaf.dtype == jnp.bfloat16 for leaf in clipped.values())
    np.testing.assert_allclose(optim.global_norm(clipped), 1.0, rtol=1e-3)
    plain = optax.clip_by_global_norm(1.0)
    theirs, _ = plain.update(gradients, plain.init(gradients))
    assert abs(float(optim.global_norm(theirs)) - 1) > 0.1, "optax's norm is another"


def test_gradients_below_the_norm_stay_bit_identical() -> None:
    gradients = make_leaves(1)
    clip = optim.clip_by_global_norm(100.0)
    clipped = dict(clip.update(gradients, clip.init(gradients))[0])
    for name, leaf in gradients.items():
        assert np.asarray(leaf).tobytes() == np.asarray(clipped[name]).tobytes()


def test_a_gradient_that_is_no_number_stays_none() -> None:
    gradients = make_leaves(1)
    gradients["text/head"] = gradients["text/head"].at[0, 0].set(jnp.nan)
    clip = optim.clip_by_global_norm(1.0)
    clipped = dict(clip.update(gradients, clip.init(gradients))[0])
    assert all(jnp.isnan(leaf).all() for leaf in clipped.values())


def test_description_names_every_group_and_parameter() -> None:
    trainable = (("vision/.*", 1e-2), ("merger/.*", 3e-2, {"schedule": "wsd"}), ("text/.*", None))
    groups = make_groups(make_config(trainable=trainable, weight_decay=0.1, final_fraction=0.5))
    params = optim.unflatten(make_leaves(0))
    lines = optim.describe(params, groups, {"clip_norm": 1.0, "z_loss": 0.0}).splitlines()
    assert lines[:3] == ["# step: setting, value", "clip_norm\t1.0", "z_loss\t0.0"]
    assert lines[4:7] == [
        "vision/.*\t16\t0.01\t0.1\tcosine\t10\t0.5\ttrained",
        "merger/.*\t4\t0.03\t0.1\twsd\t10\t0.5\ttrained",
        "text/.*\t8\t-\t-\t-\t-\t-\tfrozen",
    ]
    assert lines[3].count(",") == lines[4].count("\t")
    assert set(lines[8:]) == {
        "vision/a/kernel\t(3, 4)\tfloat32\t0.1\ttrained",
        "vision/a/bias\t(4,)\tfloat32\t0.0\ttrained",
        "merger/norm/scale\t(4,)\tfloat32\t0.0\ttrained",
        "text/head\t(4, 2)\tfloat32\t0.0\tfrozen",
    }
