# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Batch, rematerialisation and mesh: rejected by arithmetic, compiled, and the best that fits.

What is certain not to fit is never compiled: parameters, moments and gradients, what the blocks
keep for the backward pass, and a block of logits are a lower bound of the memory. The others are
ranked by predicted tokens a second and compiled in that order.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from absl import logging

from lingshu_jax.aot import compiling, plans, rows, runner, step_time, traffic
from lingshu_jax.common import errors, sharding
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import optim
from lingshu_jax.stages import state as train_state

MAX_COMPILED = 6
ROWS_PER_DEVICE = (1, 2, 4)
REMAT = ("full", "save_some", "save_attention", "save_products")  # "offload" has no predicted time
_LOGITS = 512 * 2**20  # bytes of a block of the loss
_GIB = 2**30

Compile = Callable[[Sequence[str]], dict[str, Any]]


class Candidate(NamedTuple):
    """Something to try.

    Attributes:
      plan: The stage.
      least_bytes: What a device needs at least.
      tokens_per_second: Predicted before anything is compiled.
    """

    plan: plans.Plan
    least_bytes: float
    tokens_per_second: float

    @property
    def name(self) -> str:
        """For messages."""
        mesh = ",".join(f"{axis}={size}" for axis, size in self.plan.mesh.items() if size > 1)
        return f"{self.plan.rows_per_device} rows, {self.plan.config.model.remat}, {mesh or '1'}"


def run(
    plan: plans.Plan,
    program: str,
    arguments: Sequence[str],
    compile_one: Compile = runner.run,
) -> dict[str, Any]:
    """The best of all candidates that fit.

    Args:
      plan: The stage as it was asked for.
      program: "train" or "update".
      arguments: Of the command, whose overrides every candidate shares.
      compile_one: Compiles what some arguments say; returns its JSON values.

    Returns:
      Those of the best, with `candidates`: every one compiled or rejected, and why.

    Raises:
      UserError: If no candidate fits.
    """
    errors.require(
        program in ("train", "update"), "--search", program, "for the train step or the update"
    )
    usable = compiling.USABLE[plan.topology.chip.name]
    tried, left = [], []
    for one in sorted(candidates(plan, program), key=lambda c: -c.tokens_per_second):
        reason = rejection(one, usable)
        if reason:
            logging.info("search: %s: rejected: %s", one.name, reason)
            tried.append({"name": one.name, "rejected": reason})
        else:
            left.append(one)
    best = _compile_best(left, tried, arguments, compile_one)
    if best is None:
        raise errors.UserError(
            f"no candidate of {plan.config.stage} fits {plan.topology.name}: "
            + "; ".join(f"{one['name']}: {one.get('rejected', 'does not fit')}" for one in tried)
        )
    return {**best, "candidates": tried}


def _compile_best(
    left: Sequence[Candidate],
    tried: list[dict[str, Any]],
    arguments: Sequence[str],
    compile_one: Compile,
) -> dict[str, Any] | None:
    """Compiles until nothing that is left is predicted to be better, at most six times."""
    best: dict[str, Any] | None = None
    for one in left[:MAX_COMPILED]:
        if best is not None and best["tokens_per_second"] >= one.tokens_per_second:
            break
        logging.info("search: %s: compiling", one.name)
        row = compile_one([*_without_search(arguments), *overrides(one.plan)])
        kept = ("compiled", "fits", "hbm_bytes", "step_seconds", "mfu", "tokens_per_second")
        tried.append({"name": one.name, **{name: row[name] for name in kept}})
        if row["fits"] and (best is None or row["tokens_per_second"] > best["tokens_per_second"]):
            best = row
    return best


def candidates(plan: plans.Plan, program: str) -> Iterator[Candidate]:
    """Everything that is tried: rows on a device, policies, meshes.

    Args:
      plan: The stage as it was asked for.
      program: "train" or "update".
    """
    layout = train_state.lay_out(plan.size, plan.config)
    trained, _ = optim.split(layout.shapes, layout.groups)
    for mesh in meshes(plan):
        for count in ROWS_PER_DEVICE:
            for remat in REMAT:
                changed = _changed(plan, mesh, count, remat)
                if changed is None:
                    continue
                least = least_bytes(changed, layout)
                found = rows.predict(changed, program, trained=tuple(trained), collectives=None)
                yield Candidate(changed, least, found.tokens / found.seconds)


def meshes(plan: plans.Plan) -> list[dict[str, int]]:
    """That of the plan, and the same with half of `fsdp` given to `tensor` or `context`.

    Args:
      plan: The stage.
    """
    found = [plan.mesh]
    for axis in ("tensor", "context"):
        size = 2 * plan.mesh[axis]
        fits_heads = plan.size.text.num_kv_heads % (size * plan.mesh["context"]) == 0
        if plan.mesh["fsdp"] % 2 == 0 and (axis == "context" or fits_heads):
            found.append({**plan.mesh, "fsdp": plan.mesh["fsdp"] // 2, axis: size})
    return found


def _changed(plan: plans.Plan, mesh: dict[str, int], count: int, remat: str) -> plans.Plan | None:
    """The plan with other values; None where rows or tokens do not divide."""
    config = plan.config
    model = dataclasses.replace(config.model, remat=remat)
    axes = dataclasses.replace(stage_config.MeshConfig(), **mesh)
    changed = dataclasses.replace(config, model=model, mesh=axes, accumulation_steps=1)
    try:
        return plans.make(
            changed,
            plan.topology,
            rows_per_device=count,
            sequences_per_row=plan.sequences_per_row,
        )
    except errors.UserError:
        return None


def least_bytes(plan: plans.Plan, layout: train_state.Layout) -> float:
    """What a device needs at least: state, gradients, what blocks keep, logits.

    Args:
      plan: The stage.
      layout: Its parameters.
    """
    trained, frozen = optim.split(layout.shapes, layout.groups)
    split = plan.mesh["fsdp"] * plan.mesh["tensor"]
    # Parameter, two moments and a gradient.
    state = sum(4 * leaf.size * leaf.dtype.itemsize for leaf in trained.values())
    if plan.is_rl:
        # The sum of earlier passes, and the reference.
        compute = jnp.dtype(plan.config.model.compute_dtype).itemsize
        state += sum((4 + compute) * leaf.size for leaf in trained.values())
    state += sum(leaf.size * leaf.dtype.itemsize for leaf in frozen.values())
    return state / split + kept_bytes(plan, trained) + _LOGITS


def kept_bytes(plan: plans.Plan, trained: Any) -> float:
    """What the blocks keep for the backward pass on one device.

    Args:
      plan: The stage.
      trained: Paths of the trained parameters.
    """
    data, size, mesh = plan.config.data, plan.size, plan.mesh
    again = step_time.RECOMPUTED[plan.config.model.remat]
    text, vision = size.text, size.vision
    heads, kv_heads = text.num_heads * text.head_dim, text.num_kv_heads * text.head_dim
    width = vision.embed_dim
    of_text = {"attention/q": heads + 2 * kv_heads, "attention": heads, "mlp/up": 2 * text.mlp_dim}
    of_vision = {"attention/q": 3 * width, "attention": width, "mlp/up": 2 * vision.mlp_dim}
    rows_here = plan.rows_per_device / mesh["context"]
    stacks = {one.name: one for one in traffic.stacks(size, tuple(trained), with_vision=True)}
    total = 0.0
    for name, places, embed, kept in (
        ("text/layers", data.tokens_per_row, text.embed_dim, of_text),
        ("vision/blocks", data.patches_per_row, width, of_vision),
    ):
        if not stacks[name].is_behind:
            continue
        # The input of each block is whole over `tensor`, what is inside it is split.
        inside = sum(size for part, size in kept.items() if part not in again) / mesh["tensor"]
        layers = stacks[name].layers
        total += traffic.BYTES * rows_here * places * layers * (embed + inside)
    return total


def rejection(one: Candidate, usable: float) -> str:
    """Why a candidate is not compiled; "" if it is.

    Args:
      one: The candidate.
      usable: Bytes that a device gives to programs.
    """
    if one.least_bytes <= usable:
        return ""
    return f"needs at least {one.least_bytes / _GIB:.1f} GiB of {usable / _GIB:.1f}"


def overrides(plan: plans.Plan) -> list[str]:
    """Flags that make a plan out of the command it came from; later ones win.

    Args:
      plan: A candidate's.
    """
    mesh = [f"--config.mesh.{axis}={plan.mesh[axis]}" for axis in sharding.MESH_AXES]
    return [
        "--config.mesh.preset=",
        *mesh,
        f"--config.model.remat={plan.config.model.remat}",
        f"--config.data.rows_per_batch={plan.config.data.rows_per_batch}",
        f"--rows_per_device={plan.rows_per_device}",
    ]


def _without_search(arguments: Sequence[str]) -> list[str]:
    return [one for one in arguments if one.lstrip("-").partition("=")[0] != "search"]
