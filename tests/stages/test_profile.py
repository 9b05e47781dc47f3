# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What a profile is of: the named parts of a step, and the steps that were asked for."""

import gzip
import json
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lingshu_jax.stages import optim, optim_config, profile, step
from lingshu_jax.stages import state as train_state
from tests import small

EVERYTHING = ((".*", 1e-3),)


def scopes_of(compiled: jax.stages.Compiled) -> set[str]:
    """Every name on the way to an operation, and `backward:` before those of a transposition."""
    found = set()
    for path in re.findall(r'op_name="([^"]*)"', compiled.as_text()):
        names = set(re.split(r"[/().]+", path))
        found |= names | ({f"backward:{name}" for name in names} if "transpose(" in path else set())
    return found


def compile_step(trainable: tuple[tuple[str, float | None], ...]) -> jax.stages.Compiled:
    config = optim_config.OptimConfig(trainable=trainable, warmup_steps=0)
    params = jax.tree.map(jnp.asarray, small.random_params())
    groups = optim.assign_groups(list(optim.flatten(params)), config.rules(trainable))
    optimizer = optim.make_optimizer(config, groups)
    trained, frozen = optim.split(params, groups)
    batch = small.make_batch(small.mixed_rows(np.random.default_rng(0), 2))
    batch = jax.tree.map(jnp.asarray, batch)
    options = {"model": small.MODEL, "optimizer": optimizer}

    def one_step(trained, frozen, opt_state, rates):
        state = train_state.TrainState(
            step=jnp.int32(0), trained=trained, frozen=frozen, opt_state=opt_state
        )
        after, _ = step.train_step(
            state, batch, rates, accumulation_steps=1, num_sources=2, **options
        )
        return after.trained

    lowered = jax.jit(one_step).lower(
        trained, frozen, optimizer.init(trained), dict.fromkeys(trained, 1e-3)
    )
    return lowered.compile(compiler_options={"xla_backend_optimization_level": 0})


def test_the_parts_of_a_step_are_named_forward_and_backward() -> None:
    found = scopes_of(compile_step(EVERYTHING))
    assert set(profile.SCOPES) <= found
    assert {"backward:vision", "backward:merger", "backward:text", "backward:loss"} <= found
    assert "backward:optimizer" not in found


def test_what_is_not_computed_has_no_name() -> None:
    """The twin: with a frozen tower nothing of it goes backward, and nothing else is missing."""
    frozen = (("vision/.*", None), (".*", 1e-3))
    found = scopes_of(compile_step(frozen))
    assert set(profile.SCOPES) <= found and "backward:vision" not in found
    assert "backward:merger" in found


def traced_steps(workdir: pathlib.Path) -> list[list[int]]:
    """The steps of every trace, in the order of time."""
    traces = []
    for path in sorted((workdir / profile.FOLDER).rglob("*.trace.json.gz")):
        events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
        steps = [event["args"]["step_num"] for event in events if event.get("name") == "train"]
        traces.append(sorted(map(int, steps)))
    return traces


def run_steps(profiler: profile.Profiler, numbers: range) -> None:
    add = jax.jit(lambda x: x + 1)
    for number in numbers:
        with profiler.step(number):
            add(jnp.float32(number)).block_until_ready()
    profiler.close()


@pytest.mark.parametrize(
    ("asked", "numbers", "traced"),
    [
        ("3:5", range(1, 8), [[3, 4]]),
        ("", range(1, 4), []),
        ("3:5", range(4, 8), [[4]]),  # continued inside the range
        ("3:50", range(1, 5), [[3, 4]]),  # the run ends inside the range
        ("3:5", range(6, 8), []),
    ],
)
def test_only_the_steps_that_were_asked_for_are_traced(
    tmp_path: pathlib.Path, asked: str, numbers: range, traced: list[list[int]]
) -> None:
    run_steps(profile.Profiler(asked, tmp_path), numbers)
    assert traced_steps(tmp_path) == traced
    assert (tmp_path / profile.FOLDER).exists() == bool(traced)
