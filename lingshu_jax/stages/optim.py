# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Freezing is optimisation: regex -> peak learning rate, or None for frozen.

Frozen leaves are split off before differentiation, so they have neither a gradient nor
optimizer state; each trained group has AdamW with its own cosine schedule.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from flax import traverse_util

from lingshu_jax.common import errors, sharding
from lingshu_jax.stages import config as stage_config

Leaves = dict[str, Any]  # parameter path -> array; a flat dict splits and joins without loss


class Group(NamedTuple):
    """One line of `trainable` and the parameters it won.

    Attributes:
      pattern: The regex.
      peak: Peak learning rate, or None where frozen.
      names: Parameter paths.
    """

    pattern: str
    peak: float | None
    names: tuple[str, ...]


def flatten(params: Any) -> Leaves:
    """The nested parameter dict as path -> leaf."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {sharding.path_name(path): leaf for path, leaf in leaves}


def unflatten(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """The nested parameter dict of path -> leaf."""
    return traverse_util.unflatten_dict(dict(leaves), sep="/")


def assign_groups(
    names: list[str], trainable: tuple[tuple[str, float | None], ...]
) -> tuple[Group, ...]:
    """Gives every parameter to the first pattern that matches its whole path.

    Args:
      names: Parameter paths.
      trainable: Ordered (regex, peak learning rate or None).

    Raises:
      UserError: If a parameter matches nothing or a pattern wins nothing.
    """
    won: list[list[str]] = [[] for _ in trainable]
    for name in names:
        matches = [i for i, (p, _) in enumerate(trainable) if re.fullmatch(p, name)]
        if not matches:
            raise errors.UserError(f"optim.trainable: no pattern matches the parameter {name}")
        won[matches[0]].append(name)
    groups = tuple(
        Group(pattern, peak, tuple(taken))
        for (pattern, peak), taken in zip(trainable, won, strict=True)
    )
    idle = [group.pattern for group in groups if not group.names]
    if idle:
        raise errors.UserError(f"optim.trainable: the patterns {idle} win no parameter")
    return groups


def trained_names(groups: tuple[Group, ...]) -> frozenset[str]:
    """Paths of all parameters that are not frozen."""
    return frozenset(name for g in groups if g.peak is not None for name in g.names)


def split(params: Any, groups: tuple[Group, ...]) -> tuple[Leaves, Leaves]:
    """Trained and frozen leaves by path."""
    trained = trained_names(groups)
    leaves = flatten(params)
    return (
        {name: leaf for name, leaf in leaves.items() if name in trained},
        {name: leaf for name, leaf in leaves.items() if name not in trained},
    )


def make_schedule(
    peak: float, config: stage_config.OptimConfig, total_steps: int
) -> optax.Schedule:
    """Linear warm-up from 0, then cosine to `final_fraction` of the peak.

    Args:
      peak: Peak learning rate.
      config: Warm-up and end.
      total_steps: Optimizer steps of the run.
    """
    return optax.warmup_cosine_decay_schedule(
        init_value=0.0 if config.warmup_steps else peak,
        peak_value=peak,
        warmup_steps=config.warmup_steps,
        decay_steps=max(total_steps, config.warmup_steps + 1),
        end_value=peak * config.final_fraction,
    )


def make_optimizer(config: stage_config.OptimConfig) -> optax.GradientTransformation:
    """Global-norm clipping in float32, then Adam's direction with decoupled weight decay.

    Works on the flat dict of trained leaves. Learning rates are not in it: they are data of
    each step (`descend`), so that another schedule is the same compiled program.

    Args:
      config: AdamW's constants.
    """
    return optax.chain(
        optax.clip_by_global_norm(config.clip_norm),
        optax.scale_by_adam(b1=config.b1, b2=config.b2, eps=config.eps),
        optax.add_decayed_weights(config.weight_decay, mask=_is_decayed),
    )


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


def leaf_rates(
    groups: tuple[Group, ...], config: stage_config.OptimConfig, total_steps: int, step: int
) -> dict[str, np.float32]:
    """Path -> learning rate of every trained leaf at a step.

    Args:
      groups: From `assign_groups`.
      config: Warm-up and end.
      total_steps: Optimizer steps of the run.
      step: Steps taken before.
    """
    rates: dict[str, np.float32] = {}
    for group in groups:
        if group.peak is not None:
            rate = np.float32(_rate(group.peak, config, total_steps, step))
            rates.update(dict.fromkeys(group.names, rate))
    return rates


def learning_rates(
    groups: tuple[Group, ...], config: stage_config.OptimConfig, total_steps: int, step: int
) -> dict[str, float]:
    """`lr/<group>` of each trained group at a step, for the metrics row.

    The name is the pattern without the signs that only a regex needs: `lr/vision`.
    """
    return {
        f"lr/{_plain_name(group.pattern)}": _rate(group.peak, config, total_steps, step)
        for group in groups
        if group.peak is not None
    }


def _plain_name(pattern: str) -> str:
    return re.sub(r"[^\w./-]", "", pattern).strip("/.") or "all"


def describe(params: Any, groups: tuple[Group, ...], weight_decay: float) -> str:
    """The text of `params.txt`: a line a group, then a line a parameter.

    Args:
      params: Nested dict of arrays or shapes.
      groups: From `assign_groups`.
      weight_decay: Of the trained groups.
    """
    leaves = flatten(params)
    lines = ["# group: pattern, parameters, peak learning rate, weight decay, frozen"]
    for group in groups:
        count = sum(leaves[name].size for name in group.names)
        frozen = group.peak is None
        lines.append(
            f"{group.pattern}\t{count:,}\t{'-' if frozen else group.peak}\t"
            f"{0.0 if frozen else weight_decay}\t{'frozen' if frozen else 'trained'}"
        )
    lines.append("# parameter: path, shape, dtype, weight decay, frozen")
    trained, decayed = trained_names(groups), _is_decayed(leaves)
    for name, leaf in leaves.items():
        decay = weight_decay if name in trained and decayed[name] else 0.0
        state = "trained" if name in trained else "frozen"
        lines.append(f"{name}\t{tuple(leaf.shape)}\t{leaf.dtype}\t{decay}\t{state}")
    return "\n".join(lines) + "\n"


def _is_decayed(leaves: Mapping[str, Any]) -> dict[str, bool]:
    """Kernels, adapters and embeddings; biases and norm scales are not decayed."""
    decayed = ("kernel", "embedding", "head", "lora_a", "lora_b")
    return {name: name.endswith(decayed) for name in leaves}


def _rate(peak: float, config: stage_config.OptimConfig, total_steps: int, step: int) -> float:
    return float(np.asarray(make_schedule(peak, config, total_steps)(step)))
