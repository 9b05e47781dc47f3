# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Freezing is optimisation: regex -> peak learning rate, or None for frozen.

Frozen leaves are split off before differentiation, so they have neither a gradient nor
optimizer state; each trained group has AdamW with its own weight decay and schedule.
"""

import functools
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import traverse_util
from jaxtyping import Array, Float

from lingshu_jax.common import errors, sharding
from lingshu_jax.stages import optim_config

Leaves = dict[str, Any]  # parameter path -> array; a flat dict splits and joins without loss
DECAYED = ("kernel", "embedding", "head", "lora_a", "lora_b")  # last names; not biases and norms
WSD_SHARE = 0.1  # of a "wsd" run is its last, falling part


class Group(NamedTuple):
    """One entry of `trainable` and the parameters it won.

    Attributes:
      rule: The entry.
      names: Parameter paths.
    """

    rule: optim_config.Rule
    names: tuple[str, ...]

    @property
    def pattern(self) -> str:
        """The regex."""
        return self.rule.pattern

    @property
    def peak(self) -> float | None:
        """Peak learning rate, or None where frozen."""
        return self.rule.peak


def flatten(params: Any) -> Leaves:
    """The nested parameter dict as path -> leaf."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {sharding.path_name(path): leaf for path, leaf in leaves}


def unflatten(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """The nested parameter dict of path -> leaf."""
    return traverse_util.unflatten_dict(dict(leaves), sep="/")


def assign_groups(names: list[str], rules: tuple[optim_config.Rule, ...]) -> tuple[Group, ...]:
    """Gives every parameter to the first pattern that matches its whole path.

    Args:
      names: Parameter paths.
      rules: In order.

    Raises:
      UserError: If a parameter matches nothing or a pattern wins nothing.
    """
    won: list[list[str]] = [[] for _ in rules]
    for name in names:
        matches = [i for i, rule in enumerate(rules) if re.fullmatch(rule.pattern, name)]
        if not matches:
            raise errors.UserError(f"optim.trainable: no pattern matches the parameter {name}")
        won[matches[0]].append(name)
    groups = tuple(Group(rule, tuple(taken)) for rule, taken in zip(rules, won, strict=True))
    idle = [group.pattern for group in groups if not group.names]
    if idle:
        raise errors.UserError(f"optim.trainable: the patterns {idle} win no parameter")
    return groups


def trained_groups(groups: tuple[Group, ...]) -> tuple[Group, ...]:
    """Those that are not frozen."""
    return tuple(group for group in groups if group.peak is not None)


def split(params: Any, groups: tuple[Group, ...]) -> tuple[Leaves, Leaves]:
    """Trained and frozen leaves by path."""
    trained = {name for group in trained_groups(groups) for name in group.names}
    leaves = flatten(params)
    return (
        {name: leaf for name, leaf in leaves.items() if name in trained},
        {name: leaf for name, leaf in leaves.items() if name not in trained},
    )


def make_schedule(rule: optim_config.Rule, total_steps: int) -> optax.Schedule:
    """Linear warm-up from 0 to the peak, then what the rule says.

    "constant" stays, "linear" and "cosine" fall until the end, "wsd" (warm-up, stable, decay)
    falls linearly over the last tenth of the run. Asked with the number of steps taken before: the
    first update under warm-up has rate 0, and the last one, at `total_steps` - 1, stands one step
    before the end, as in transformers.

    Args:
      rule: Of a trained group.
      total_steps: Optimizer steps of the run.
    """
    peak, warmup = rule.peak or 0.0, rule.warmup_steps
    end, left = peak * rule.final_fraction, max(total_steps - warmup, 1)
    if rule.schedule == "constant":
        after = optax.constant_schedule(peak)
    elif rule.schedule == "linear":
        after = optax.linear_schedule(peak, end, left)
    elif rule.schedule == "wsd":
        falling = max(1, min(left, round(total_steps * WSD_SHARE)))
        after = optax.linear_schedule(peak, end, falling, transition_begin=left - falling)
    else:
        after = optax.cosine_decay_schedule(peak, left, alpha=rule.final_fraction)
    if not warmup:
        return after
    return optax.join_schedules([optax.linear_schedule(0.0, peak, warmup), after], [warmup])


def make_optimizer(
    config: optim_config.OptimConfig, groups: tuple[Group, ...]
) -> optax.GradientTransformation:
    """Global-norm clipping, then Adam's direction with decoupled weight decay.

    Works on the flat dict of trained leaves. Learning rates are not in it: they are data of
    each step (`descend`), so that another schedule is the same compiled program.

    Args:
      config: AdamW's constants.
      groups: From `assign_groups`; each has its weight decay.
    """
    return optax.chain(
        clip_by_global_norm(config.clip_norm),
        optax.scale_by_adam(b1=config.b1, b2=config.b2, eps=config.eps),
        _add_weight_decay(leaf_decays(groups)),
    )


def global_norm(leaves: Mapping[str, Any]) -> Float[Array, ""]:
    """Root of the sum of all squares, in float32 whatever the leaves are."""
    squares = [jnp.sum(jnp.square(leaf.astype(jnp.float32))) for leaf in leaves.values()]
    return jnp.sqrt(jnp.sum(jnp.stack(squares)))


def clip_by_global_norm(clip_norm: float) -> optax.GradientTransformation:
    """Scales the flat dict of gradients to at most this global norm.

    Differs from optax's, which computes in the dtype of the leaves: the squares of bfloat16
    gradients would be added with 8 bits.

    Args:
      clip_norm: The largest norm that stays as it is.
    """

    def clip(gradients: Any, params: Any) -> Leaves:
        del params
        norm = global_norm(gradients)

        def one(leaf: Array) -> Array:
            clipped = leaf.astype(jnp.float32) / norm * clip_norm
            return jnp.where(norm < clip_norm, leaf, clipped.astype(leaf.dtype))

        return {name: one(leaf) for name, leaf in gradients.items()}

    return optax.stateless(clip)


def leaf_decays(groups: tuple[Group, ...]) -> dict[str, float]:
    """Path -> weight decay of every trained leaf; 0 for biases and norms.

    Args:
      groups: From `assign_groups`.
    """
    return {
        name: group.rule.weight_decay if name.endswith(DECAYED) else 0.0
        for group in trained_groups(groups)
        for name in group.names
    }


def descend(trained: Leaves, directions: Any, rates: Mapping[str, Any]) -> Leaves:
    """leaf - rate * direction, by path.

    Args:
      trained: Path -> leaf.
      directions: From the optimizer.
      rates: Path -> learning rate, from `leaf_rates`.
    """
    return {
        name: leaf - (rates[name] * directions[name]).astype(leaf.dtype)
        for name, leaf in trained.items()
    }


def leaf_rates(groups: tuple[Group, ...], total_steps: int, step: int) -> dict[str, np.float32]:
    """Path -> learning rate of every trained leaf at a step.

    Args:
      groups: From `assign_groups`.
      total_steps: Optimizer steps of the run.
      step: Steps taken before.
    """
    rates: dict[str, np.float32] = {}
    for group in trained_groups(groups):
        rate = np.float32(_rate(group.rule, total_steps, step))
        rates.update(dict.fromkeys(group.names, rate))
    return rates


def learning_rates(groups: tuple[Group, ...], total_steps: int, step: int) -> dict[str, float]:
    """`lr/<group>` of each trained group at a step, for the metrics row.

    Args:
      groups: From `assign_groups`.
      total_steps: Optimizer steps of the run.
      step: Steps taken before.
    """
    trained = trained_groups(groups)
    return {
        f"lr/{name}": _rate(group.rule, total_steps, step)
        for name, group in zip(group_names(trained), trained, strict=True)
    }


def group_names(groups: tuple[Group, ...]) -> list[str]:
    """A plain name for each group, no two alike.

    It is the pattern without the signs that only a regex needs (`vision/.*` is `vision`), with
    a number behind it where an earlier group has that name already.
    """
    names: list[str] = []
    for group in groups:
        plain = re.sub(r"[^\w./-]", "", group.pattern).strip("/.") or "all"
        known = [plain, *(f"{plain}_{number}" for number in range(2, len(groups) + 1))]
        names.append(next(name for name in known if name not in names))
    return names


def describe(params: Any, groups: tuple[Group, ...], settings: Mapping[str, Any]) -> str:
    """The text of `params.txt`: what a step is, a line a group, a line a parameter.

    Args:
      params: Nested dict of arrays or shapes.
      groups: From `assign_groups`.
      settings: What holds for all groups, by name.
    """
    lines = ["# step: setting, value", *(f"{name}\t{value}" for name, value in settings.items())]
    leaves, decays = flatten(params), leaf_decays(groups)
    lines.append(
        "# group: pattern, parameters, peak learning rate, weight decay, schedule, "
        "warm-up steps, final share of the peak, frozen"
    )
    for group in groups:
        rule, count = group.rule, sum(leaves[name].size for name in group.names)
        how = [rule.peak, rule.weight_decay, rule.schedule, rule.warmup_steps, rule.final_fraction]
        frozen = ["-"] * len(how)
        state = "frozen" if rule.peak is None else "trained"
        columns = [rule.pattern, f"{count:,}", *(frozen if rule.peak is None else how), state]
        lines.append("\t".join(map(str, columns)))
    lines.append("# parameter: path, shape, dtype, weight decay, frozen")
    for name, leaf in leaves.items():
        state = "trained" if name in decays else "frozen"
        lines.append(f"{name}\t{tuple(leaf.shape)}\t{leaf.dtype}\t{decays.get(name, 0.0)}\t{state}")
    return "\n".join(lines) + "\n"


def _add_weight_decay(decays: Mapping[str, float]) -> optax.GradientTransformation:
    """direction + decay * leaf, by path; leaves of decay 0 are left alone."""

    def add(directions: Any, params: Any) -> Leaves:
        return {
            name: leaf + decays[name] * params[name] if decays[name] else leaf
            for name, leaf in directions.items()
        }

    return optax.stateless(add)


@functools.lru_cache(maxsize=256)  # of a step, asked for the update and for its row
def _rate(rule: optim_config.Rule, total_steps: int, step: int) -> float:
    return float(np.asarray(make_schedule(rule, total_steps)(step)))
