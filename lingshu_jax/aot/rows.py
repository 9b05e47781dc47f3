# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""One plan compiled and predicted: the JSON values that a command prints."""

import importlib.metadata
import subprocess
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax

from lingshu_jax.aot import compiling, hlo, plans, programs, step_time
from lingshu_jax.common import sharding
from lingshu_jax.models import flops

PROGRAMS = ("train", "update", "prefill", "decode")


class Predicted(NamedTuple):
    """Useful operations of the global batch, seconds and what they are made of."""

    flops: float
    seconds: float
    parts: dict[str, float]
    sequences: int
    rows: int
    tokens: float


def make(plan: plans.Plan, name: str) -> dict[str, Any]:
    """Compiles a program of a plan.

    Args:
      plan: What.
      name: One of `PROGRAMS`.

    Returns:
      What the README promises of the command, and how it came about.
    """
    mesh = sharding.make_mesh(plan.mesh, plan.topology.describe())
    wanted = _programs(plan, name, mesh)
    done = [compiling.run(one, mesh, plan.topology) for one in wanted]
    largest = max(done, key=lambda one: (not one.is_compiled, one.needed or 0))
    is_compiled = all(one.is_compiled for one in done)
    has_time = is_compiled and is_timed(plan.config.model.remat)
    predicted = predict(plan, name, trained=wanted[0].trained, collectives=done[0].collectives)
    peak = plan.topology.chip.peak_flops * plan.topology.devices
    row = {
        "program": name,
        "compiled": is_compiled,
        "fits": all(one.fits for one in done),
        "topology": plan.topology.name,
        "devices": plan.topology.devices,
        "global_batch_rows": predicted.rows,
        "global_batch_sequences": predicted.sequences,
        **{f"{kind}_bytes": largest.bytes.get(kind) for kind in _KINDS},
        "hbm_bytes": largest.needed,
        "hbm_usable_bytes": int(compiling.USABLE[plan.topology.chip.name]),
        "flops": predicted.flops,
        "step_seconds": predicted.seconds if has_time else None,
        "mfu": predicted.flops / predicted.seconds / peak if has_time else None,
        "tokens_per_second": predicted.tokens / predicted.seconds if has_time else None,
        "parts": predicted.parts,
        "collectives": {
            one.name: hlo.summary(result.collectives or ())
            for one, result in zip(wanted, done, strict=True)
        },
        "compile_seconds": round(sum(one.seconds for one in done), 1),
    }
    return row | describe(plan) | {"versions": versions()}


def is_timed(remat: str) -> bool:
    """Whether the time of a step is predicted: not where activations travel to the host and back.

    Args:
      remat: Name of the rematerialisation policy.
    """
    return remat != "offload"


_KINDS = ("argument", "temp", "output", "alias", "code", "resident", "host_temp")


def describe(plan: plans.Plan) -> dict[str, Any]:
    """What a plan consists of.

    Args:
      plan: The plan.
    """
    data = plan.config.data
    return {
        "stage": plan.config.stage,
        "mesh": plan.mesh,
        "remat": plan.config.model.remat,
        "rows_per_device": plan.rows_per_device,
        "accumulation_steps": plan.config.accumulation_steps,
        "tokens_per_row": data.tokens_per_row,
        "patches_per_row": data.patches_per_row,
        "sequences_per_row": plan.sequences_per_row,
        "dtypes": {
            "params": plan.config.model.param_dtype,
            "frozen": plan.config.model.frozen_dtype or plan.config.model.param_dtype,
            "compute": plan.config.model.compute_dtype,
        },
    }


def predict(
    plan: plans.Plan,
    name: str,
    *,
    trained: Sequence[str],
    collectives: Sequence[hlo.Collective] | None,
) -> Predicted:
    """Seconds of a step if rows are as full as `plans.passes_of` says.

    Args:
      plan: What.
      name: One of `PROGRAMS`.
      trained: Paths of the trained parameters.
      collectives: Of the compiled program; None counts them by hand.
    """
    if name == "decode":
        return _predict_decode(plan, collectives)
    config = plan.config
    passes = plans.prompts_of(plan) if name == "prefill" else plans.passes_of(plan)
    batch = step_time.Batch(
        passes.rows,
        config.data.tokens_per_row,
        config.data.patches_per_row,
        micro_batches=config.accumulation_steps,
    )
    common: dict[str, Any] = {"size": plan.size, "work": passes.work, "batch": batch}
    common |= {"topology": plan.topology, "mesh": plan.mesh, "remat": config.model.remat}
    one = step_time.predict(**common, trained=trained, collectives=collectives)
    useful = flops.train_flops(plan.size, passes.work, trained).total
    parts, rows, count = dict(one.parts), passes.rows, 1
    if name == "update":
        count, rows = passes.number, passes.rows * passes.number
        parts = {part: s * (1 if part == "optimizer" else count) for part, s in parts.items()}
        reference = step_time.predict(**common, trained=(), collectives=None)
        parts["reference"] = count * reference.seconds
        useful += flops.train_flops(plan.size, passes.work, ()).total
    tokens = passes.work.tokens * count
    return Predicted(useful * count, sum(parts.values()), parts, passes.sequences, rows, tokens)


def _predict_decode(plan: plans.Plan, collectives: Sequence[hlo.Collective] | None) -> Predicted:
    shape = programs.decoded_shape(plan.config, plan.parts)
    cached = shape.prompt_tokens + shape.new_tokens // 2
    one = step_time.predict_decode(
        size=plan.size,
        sequences=shape.rows,
        cached_tokens=cached,
        topology=plan.topology,
        mesh=plan.mesh,
        collectives=collectives,
    )
    peak = plan.topology.chip.peak_flops * plan.topology.devices
    useful = one.mfu * one.seconds * peak
    return Predicted(useful, one.seconds, one.parts, shape.rows, shape.rows, shape.rows)


def versions() -> dict[str, str]:
    """What compiled: libraries, and the commit of the sources where they are a checkout's."""
    found = {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "flax")}
    found["libtpu"] = importlib.metadata.version("libtpu")
    asked = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    commit = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    return {**found, "commit": commit or "unknown"}


def _programs(plan: plans.Plan, name: str, mesh: jax.sharding.Mesh) -> list[programs.Program]:
    if name == "update":
        return list(programs.grpo_programs(plan, mesh))
    makers = {
        "train": programs.train_program,
        "prefill": programs.prefill_program,
        "decode": programs.decode_program,
    }
    return [makers[name](plan, mesh)]
