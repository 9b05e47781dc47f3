# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Pixels go to the device as bytes and become numbers there: four times less to copy.

The twin hands the step pixels that are float32 already.
"""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lingshu_jax.common import sharding, structs
from lingshu_jax.data import packing
from lingshu_jax.stages import optim, optim_config, step
from lingshu_jax.stages import state as train_state
from tests import small

ROWS = 2
SHAPE = (ROWS, small.BUDGET.patches, small.SIZE.vision.geometry.patch_dim)
ALL = ((".*", 1e-3),)


@pytest.fixture
def arrays(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A host batch, as the loop gets it."""
    options = {"geometry": small.SIZE.vision.geometry, "pad_id": small.SIZE.special.pad}
    rows = [packing.assemble(r, small.BUDGET, **options) for r in small.mixed_rows(rng, ROWS)]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def parameters(arrays: dict[str, np.ndarray]) -> list[str]:
    """Type and shape of every parameter of the step's program, as HLO writes them."""
    mesh = sharding.make_mesh({}, jax.devices()[:1])
    config = optim_config.OptimConfig(trainable=ALL, warmup_steps=0)
    params = optim.flatten(small.random_params())
    groups = optim.assign_groups(list(params), config.rules(ALL))
    optimizer = optim.make_optimizer(config, groups)
    state: Any = jax.eval_shape(
        lambda: train_state.TrainState(
            step=jnp.int32(0), trained=params, frozen={}, opt_state=optimizer.init(params)
        )
    )
    lowered = jax.jit(
        step.train_step, static_argnames=("model", "optimizer", "accumulation_steps", "num_sources")
    ).lower(
        state,
        structs.Batch.from_arrays(sharding.place_batch(arrays, mesh)),
        optim.leaf_rates(groups, 1, 0),
        model=small.MODEL,
        optimizer=optimizer,
        accumulation_steps=1,
        num_sources=2,
    )
    text = lowered.as_text(dialect="hlo")
    entry = text[text.index("\nENTRY ") :]
    return re.findall(r"= (\w+\[[\d,]*\])\S* parameter\(", entry)


def shape_of(kind: str) -> str:
    return f"{kind}[{','.join(map(str, SHAPE))}]"


def test_the_step_takes_bytes(arrays: dict[str, np.ndarray]) -> None:
    placed = sharding.place_batch(arrays, sharding.make_mesh({}, jax.devices()[:1]))
    assert placed["patches"].dtype == jnp.uint8 and placed["patches"].shape == SHAPE
    found = parameters(arrays)
    assert found.count(shape_of("u8")) == 1
    assert not {shape_of("f32"), shape_of("bf16")} & set(found)


def test_pixels_of_four_bytes_are_noticed(arrays: dict[str, np.ndarray]) -> None:
    found = parameters({**arrays, "patches": arrays["patches"].astype(np.float32)})
    assert shape_of("u8") not in found and found.count(shape_of("f32")) == 1
