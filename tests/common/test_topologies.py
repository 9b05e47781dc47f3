# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
import math
import os

import pytest

from lingshu_jax.common import errors, sharding, topologies

RECIPE_ROWS = 64
# Of the published sizes.
KV_HEADS, HEADS, VISION_HEADS = (2, 4, 8), (16, 28, 40, 64), 16


@pytest.mark.parametrize(
    ("name", "chip", "shape", "slices", "devices"),
    [
        ("v5e:16x16", "v5e", (16, 16), 1, 256),
        ("v5e:16x16*2", "v5e", (16, 16), 2, 512),
        ("v5p:4x4x4", "v5p", (4, 4, 4), 1, 64),
        ("v4:2x2x1", "v4", (2, 2, 1), 1, 4),
        ("tpu7x:4x4x4", "tpu7x", (4, 4, 4), 1, 128),
        ("h100:8*2", "h100", (8,), 2, 16),
    ],
)
def test_parse(name: str, chip: str, shape: tuple[int, ...], slices: int, devices: int) -> None:
    found = topologies.parse(name)
    assert (found.name, found.chip.name, found.shape, found.slices) == (name, chip, shape, slices)
    assert found.devices == devices


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("v9:4x4", ["'v9:4x4'", "v5e"]),
        ("v5e", ["CHIP:SHAPE", "'v5e'"]),
        ("v5e:4x0", ["CHIP:SHAPE"]),
        ("v5e:4x4*0", ["CHIP:SHAPE*SLICES"]),
        ("v5e:4x4x4", ["2 axes", "v5e:2x2"]),
        ("v5p:4x4", ["3 axes", "v5p:2x2x2"]),
        ("h100:2x4", ["1 axes"]),
    ],
)
def test_a_bad_name_is_one_line(name: str, words: list[str]) -> None:
    with pytest.raises(errors.UserError) as raised:
        topologies.parse(name)
    assert all(word in str(raised.value) for word in words)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", topologies.PRESETS)
def test_a_preset_fills_its_devices_and_suits_the_recipe(name: str) -> None:
    preset = topologies.PRESETS[name]
    sizes = {axis: preset.mesh.get(axis, 1) for axis in sharding.MESH_AXES}
    assert set(preset.mesh) <= set(sharding.MESH_AXES)
    assert math.prod(sizes.values()) == preset.topology.devices
    assert RECIPE_ROWS % (sizes["data"] * sizes["fsdp"]) == 0
    assert all(heads % sizes["tensor"] == 0 for heads in (*KV_HEADS, VISION_HEADS))
    inside_attention = sizes["tensor"] * sizes["context"]
    assert all(heads % inside_attention == 0 for heads in (*HEADS, VISION_HEADS))
    assert sizes["data"] % preset.topology.slices == 0


def test_a_chip_of_two_devices_has_half_of_everything() -> None:
    chip = topologies.CHIPS["tpu7x"]
    assert chip.peak_flops * chip.devices_per_chip == 2307e12
    assert chip.hbm_bytes * chip.devices_per_chip == 192 * 2**30
    assert topologies.PEAK_FLOPS["TPU7x"] == chip.peak_flops


@pytest.mark.parametrize("chip", topologies.CHIPS.values(), ids=lambda chip: chip.name)
def test_links_go_both_ways_on_each_axis(chip: topologies.Chip) -> None:
    assert chip.torus_axes == (0 if chip.platform == "gpu" else chip.links // 2)
    assert chip.network_bandwidth < chip.links * chip.link_bandwidth < chip.hbm_bandwidth


def test_a_gpu_is_not_described() -> None:
    with pytest.raises(errors.UserError, match="h100:8: programs for GPUs"):
        topologies.parse("h100:8").describe()


@pytest.mark.aot
@pytest.mark.parametrize("chip", ["v4", "v5e", "v5p", "v6e", "tpu7x"])
def test_described_devices_are_as_stated(chip: str) -> None:
    axes = topologies.CHIPS[chip].torus_axes
    name = f"{chip}:{'x'.join(['2', '2', '1'][:axes])}*2"
    before = dict(os.environ)
    topology = topologies.parse(name)
    devices = topology.describe()
    assert len(devices) == topology.devices
    assert {device.device_kind for device in devices} == {topology.chip.device_kind}
    assert {device.slice_index for device in devices} == {0, 1}
    assert dict(os.environ) == before


@pytest.mark.aot
def test_a_shape_that_does_not_exist_is_one_line() -> None:
    with pytest.raises(errors.UserError, match="v5e:3x5: .*divisible") as raised:
        topologies.parse("v5e:3x5").describe()
    assert "\n" not in str(raised.value)
