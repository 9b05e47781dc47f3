# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What a stage becomes on a topology; nothing is compiled."""

import dataclasses
import importlib
from typing import Any

import pytest

from lingshu_jax.aot import plans, rows
from lingshu_jax.common import errors, topologies


def config_of(stage: str, size: str = "7b", **mesh: Any) -> Any:
    config = importlib.import_module(f"configs.{stage}").get_config(size)
    return dataclasses.replace(config, mesh=dataclasses.replace(config.mesh, **mesh))


def plan_of(stage: str, topology: str, size: str = "7b", **mesh: Any) -> plans.Plan:
    return plans.make(config_of(stage, size, **mesh), topologies.parse(topology))


@pytest.mark.parametrize(
    "topology, wanted",
    [
        ("v5e:1x1", (1, 1, 1, 1)),
        ("v5e:2x4", (1, 8, 1, 1)),
        ("v5e:8x8", (1, 64, 1, 1)),
        ("v5e:16x16", (1, 64, 2, 2)),
        ("tpu7x:4x4x4", (1, 64, 2, 1)),
        ("v5e:8x8*2", (2, 32, 2, 1)),  # no preset
        ("v5p:4x4x8", (1, 64, 2, 1)),
    ],
)
def test_a_mesh_has_at_most_64_parts_of_a_batch(topology: str, wanted: tuple[int, ...]) -> None:
    plan = plan_of("stage3_instruct", topology)
    assert tuple(plan.mesh.values()) == wanted
    assert plan.parts <= plans.MAX_PARTS


def test_a_pass_has_one_row_on_each_device() -> None:
    few, many = (plan_of("stage3_instruct", name) for name in ("v5e:2x4", "v5e:8x8"))
    assert (few.config.accumulation_steps, many.config.accumulation_steps) == (8, 1)
    assert few.rows_per_device == many.rows_per_device == 1
    assert few.config.data.rows_per_batch == many.config.data.rows_per_batch == 64


def test_what_the_mixture_would_decide_has_defaults() -> None:
    config = config_of("stage1_shallow_align")
    assert (config.data.patches_per_row, config.data.rows_per_batch) == (0, 0)
    data = plan_of("stage1_shallow_align", "v5e:4x4").config.data
    assert (data.patches_per_row, data.rows_per_batch) == (2 * data.tokens_per_row, 16)


def test_an_update_is_as_many_sequences_as_the_recipe_says() -> None:
    plan = plan_of("stage4_rl", "v5e:8x8")
    passes = plans.passes_of(plan)
    assert passes.sequences == 128 * 16
    assert (passes.number, passes.rows) == (4, 64)  # a group of 16 takes two rows of 8
    one = rows.predict(plan, "update", trained=(), collectives=None)
    assert one.rows == 256


def test_full_rows_are_not_more_than_rows_hold() -> None:
    plan = plan_of("stage3_instruct", "v5e:8x8")
    work = plans.passes_of(plan).work
    assert work.tokens == 64 * 8192
    assert work.patches == 64 * 16384
    assert work.targets < work.tokens - work.patches / 4
    assert work.token_pairs == work.tokens * 8192 / 8


def test_weights_that_generate_are_split_until_half_of_the_memory_is_left() -> None:
    topology = topologies.parse("v5e:8x8")
    found = {
        size: plans.make(config_of("stage4_rl", size), topology, generates=True).mesh["tensor"]
        for size in ("3b", "7b", "32b", "72b")
    }
    assert found == {"3b": 1, "7b": 2, "32b": 8, "72b": 8}


def test_a_prefill_has_one_prompt_in_every_row() -> None:
    plan = plans.make(config_of("stage4_rl"), topologies.parse("v5e:8x8"), generates=True)
    data, work = plan.config.data, plans.prompts_of(plan).work
    assert (data.rows_per_batch, data.tokens_per_row) == (plan.parts, 2048)
    assert (work.tokens, work.token_pairs) == (plan.parts * 2048, plan.parts * 2048**2)
    assert work.targets == plans.prompts_of(plan).sequences == plan.parts


@pytest.mark.parametrize(
    "change, message",
    [
        ({"fsdp": 48}, "does not fit 64 devices"),
        ({"preset": "v6e-64"}, "config.mesh.preset must be one of topology v5e:8x8"),
        ({"fsdp": 1, "context": 64}, "data.patches_per_row|data.tokens_per_row|heads"),
    ],
)
def test_a_mesh_that_does_not_fit_is_one_clear_line(change: Any, message: str) -> None:
    config = config_of("stage3_instruct", **change)
    if "context" in change:
        config.data.tokens_per_row = 8200
    with pytest.raises(errors.UserError, match=message) as raised:
        plans.make(config, topologies.parse("v5e:8x8"))
    assert "\n" not in str(raised.value)


def test_rows_that_do_not_divide_are_named() -> None:
    config = config_of("stage3_instruct")
    with pytest.raises(errors.UserError, match="data.rows_per_batch .*multiple of 128"):
        plans.make(config, topologies.parse("v5e:8x8"), rows_per_device=2)


def test_a_size_without_a_name_is_asked_for() -> None:
    config = config_of("stage3_instruct")
    config.model.init_from = "runs/stage2"
    with pytest.raises(errors.UserError, match="give --config.model.size"):
        plans.make(config, topologies.parse("v5e:8x8"))
    config.model.size = "3b"
    assert plans.make(config, topologies.parse("v5e:8x8")).size.text.num_layers == 36
