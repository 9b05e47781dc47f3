# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Meshes by size and by name, and what a row must divide by; on eight CPU devices."""

import dataclasses
from typing import Any

import jax
import pytest

from configs import stage3_instruct
from lingshu_jax.common import errors
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import trainer


def make_config(**mesh: Any) -> stage_config.StageConfig:
    config = stage3_instruct.get_config("tiny")
    return dataclasses.replace(config, mesh=stage_config.MeshConfig(**mesh))


def shape(config: stage_config.StageConfig) -> tuple[int, ...]:
    return config.mesh.make_mesh().devices.shape


def message(call: Any, *args: Any) -> str:
    with pytest.raises(errors.UserError) as raised:
        call(*args)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_sizes_and_presets() -> None:
    assert shape(make_config()) == (1, 8, 1, 1)
    assert shape(make_config(fsdp=2, context=-1)) == (1, 2, 1, 4)
    preset = make_config(preset="v5e-8")
    preset.validate()
    assert shape(preset) == (1, 8, 1, 1)
    assert preset.mesh.sizes() == {"fsdp": 8}


@pytest.mark.parametrize(
    ("preset", "here", "wanted"),
    [
        ("v5e-16", "8 devices in 1 slices", "16 in 1"),
        ("v5p-8", "8 devices", "4 in 1"),
        ("v5e-16x2", "8 devices in 1 slices", "32 in 2"),
    ],
)
def test_a_preset_for_other_devices_is_one_line(preset: str, here: str, wanted: str) -> None:
    config = make_config(preset=preset)
    config.validate()
    said = message(config.mesh.make_mesh)
    assert said.startswith("config.mesh.preset must be one for the ")
    assert here in said and f"it is for {wanted}" in said and repr(preset) in said


@pytest.mark.parametrize(("axis", "size"), [("data", 2), ("fsdp", 8), ("tensor", 2)])
def test_a_preset_stands_alone(axis: str, size: int) -> None:
    said = message(make_config(preset="v5e-8", **{axis: size}).validate)
    assert f"config.mesh.{axis} must be left at" in said and "preset v5e-8" in said


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("tokens_per_row", 1022, "a multiple of the 4 devices along mesh axis context"),
        (
            "patches_per_row",
            64 * 6,
            "a multiple of 256, whole window slots for the 4 devices along mesh axis context",
        ),
    ],
)
def test_rows_divide_over_context(field: str, value: int, allowed: str) -> None:
    config = make_config(fsdp=2, context=4)
    config.data = dataclasses.replace(config.data, tokens_per_row=1024, patches_per_row=0)
    config.validate()
    config.data = dataclasses.replace(config.data, **{field: value})
    said = message(config.validate)
    assert said == f"config.data.{field} must be {allowed}, got {value}"
    # What is left over is known when the mesh is made.
    config.mesh = stage_config.MeshConfig(fsdp=2, context=-1)
    config.validate()
    assert message(trainer.check_batch, config.data, config.mesh.make_mesh()) == said


def test_rows_divide_over_data_and_fsdp() -> None:
    config = make_config(data=2, fsdp=2, tensor=2)
    mesh: jax.sharding.Mesh = config.mesh.make_mesh()
    config.data.rows_per_batch = 4
    trainer.check_batch(config.data, mesh)
    config.data.rows_per_batch = 6
    assert "multiple of the 4 devices" in message(trainer.check_batch, config.data, mesh)
