# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""How the step is compiled: state donated, programs kept between starts, depth for nothing.

    python -m tests.stages.test_compilation

starts as a command does, compiles the step and prints what the cache gave, as JSON.
"""

import collections
import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
from typing import Any

import jax
import numpy as np
import pytest

from configs import stage3_instruct
from lingshu_jax.common import runtime, sharding
from lingshu_jax.models import qwen2_5_vl
from lingshu_jax.stages import optim, step, trainer
from lingshu_jax.stages import state as train_state
from tests import small

REPO = pathlib.Path(__file__).resolve().parents[2]
HIT, MISS = (f"/jax/compilation_cache/cache_{kind}" for kind in ("hits", "misses"))
SHALLOW, DEEP, LIMIT = 28, 64, 1.3
QUICKLY: Any = {"xla_backend_optimization_level": 0}


def lower(num_layers: int = 2) -> tuple[jax.stages.Lowered, train_state.TrainState]:
    """The step of stage 3, two passes with recomputed blocks, and the state it takes."""
    config = stage3_instruct.get_config("tiny")
    config.accumulation_steps, config.model.remat = 2, "full"
    size = dataclasses.replace(
        small.SIZE, text=dataclasses.replace(small.SIZE.text, num_layers=num_layers)
    )
    mesh = sharding.make_mesh({}, jax.devices()[:1])
    layout = train_state.lay_out(size, config)
    optimizer = optim.make_optimizer(config.optim, layout.groups)
    state = train_state.abstract(layout.shapes, layout.groups, optimizer, mesh)
    batch = qwen2_5_vl.empty_batch(size, rows=2, tokens=64, patches=128)
    shapes = jax.tree.map(
        lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place),
        batch,
        sharding.batch_shardings(batch, mesh),
    )
    model = trainer.make_model(config.model, size)
    rates = dict.fromkeys(state.trained, np.float32(1e-3))
    made = step.make_train_step(config, model, optimizer, num_sources=1)
    with jax.set_mesh(mesh):
        return made.lower(state, shapes, rates, np.float32(np.inf)), state


def test_the_state_is_donated() -> None:
    lowered, state = lower()
    donated = lowered.args_info[0]
    assert all(info.donated for info in jax.tree.leaves(donated[0]))
    assert not any(info.donated for info in jax.tree.leaves(donated[1:]))
    memory: Any = lowered.compile(compiler_options=QUICKLY).memory_analysis()
    held = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    # All of it is written in place.
    assert memory.alias_size_in_bytes == held


def test_more_layers_are_no_larger_program() -> None:
    shallow, deep = (lower(depth)[0].as_text().count("\n") for depth in (SHALLOW, DEEP))
    assert shallow == deep > 1000


@pytest.mark.aot
def test_more_layers_take_no_longer_to_compile(reduced: bool) -> None:
    """Processor time, not that of the clock: other work beside it counts less."""
    if reduced:
        pytest.skip("times mean little on a shared machine; the size of the program is tested")

    def seconds(depth: int) -> float:
        begun = time.process_time()
        lower(depth)[0].compile(compiler_options=QUICKLY)
        return time.process_time() - begun

    times = [(seconds(SHALLOW), seconds(DEEP)) for _ in range(3)]
    shallow, deep = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"{SHALLOW} layers {shallow:.2f} s, {DEEP} layers {deep:.2f} s: {deep / shallow:.2f}")
    assert deep < LIMIT * shallow


def test_a_second_start_compiles_nothing(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "cache"

    def start() -> dict[str, int]:
        env = {**os.environ, "XDG_CACHE_HOME": str(folder), "PYTHONPATH": "."}
        env.pop("JAX_COMPILATION_CACHE_DIR", None)
        command = [sys.executable, "-m", "tests.stages.test_compilation"]
        return json.loads(subprocess.check_output(command, cwd=REPO, env=env, text=True))

    def kept() -> set[str]:
        return {path.name for path in folder.rglob("jit_train_step*-cache")}

    first = start()
    written = kept()
    assert len(written) == 1 and first[MISS] >= 1 and first.get(HIT, 0) == 0
    second = start()
    assert second[HIT] == first[MISS] and second.get(MISS, 0) == 0
    assert kept() == written


def main() -> None:
    events: collections.Counter[str] = collections.Counter()
    jax.monitoring.register_event_listener(lambda name, **_: events.update([name]))
    runtime.start()
    lower()[0].compile(compiler_options=QUICKLY)
    print(json.dumps({name: events[name] for name in (HIT, MISS) if name in events}))


if __name__ == "__main__":
    main()
