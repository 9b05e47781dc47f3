# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Speeds of mesh axes: by hand for every kind of torus, pieces of one, slices and GPUs."""

import pytest

from lingshu_jax.aot import hlo, links
from lingshu_jax.common import topologies

V5E, V5P = 45e9, 90e9  # one direction of one link


@pytest.mark.parametrize(
    ("name", "mesh", "axis", "speed"),
    [
        ("v5e:16x16", {"fsdp": 256}, "fsdp", 4 * V5E),
        ("v5e:4x4", {"fsdp": 16}, "fsdp", 2 * V5E),
        ("v5e:8x16", {"fsdp": 128}, "fsdp", 3 * V5E),
        ("v5p:4x4x4", {"fsdp": 64}, "fsdp", 6 * V5P),
        ("v5p:2x2x1", {"fsdp": 4}, "fsdp", 2 * V5P),
        ("v5p:4x4x4", {"fsdp": 16, "tensor": 4}, "tensor", 2 * V5P),
        ("v5p:4x4x4", {"fsdp": 16, "tensor": 4}, "fsdp", 4 * V5P),
        # The inner two of a line of eight, then four pairs that share its links.
        ("v5e:8x8", {"fsdp": 32, "tensor": 2}, "tensor", V5E),
        ("v5e:8x8", {"fsdp": 32, "tensor": 2}, "fsdp", V5E + V5E / 2),
        ("v5e:16x16", {"fsdp": 64, "context": 4}, "fsdp", 2 * V5E + 2 * V5E / 4),
        ("tpu7x:4x4x4", {"fsdp": 64, "tensor": 2}, "tensor", 6 * V5P),
        ("tpu7x:4x4x4", {"fsdp": 64, "tensor": 2}, "fsdp", 6 * V5P / 2),
        ("h100:8", {"fsdp": 8}, "fsdp", 18 * 25e9),
    ],
)
def test_bandwidths(name: str, mesh: dict[str, int], axis: str, speed: float) -> None:
    assert links.bandwidths(topologies.parse(name), mesh)[axis] == pytest.approx(speed)


def test_between_slices_is_the_network() -> None:
    speeds = links.bandwidths(topologies.parse("v5e:16x16*2"), {"data": 2, "fsdp": 256})
    assert speeds == {hlo.NETWORK: 3.125e9, "fsdp": 4 * V5E}


def test_every_preset_has_a_speed_for_each_of_its_axes() -> None:
    for name, preset in topologies.PRESETS.items():
        speeds = links.bandwidths(preset.topology, preset.mesh)
        axes = {axis for axis, size in preset.mesh.items() if size > 1} - {"data"}
        assert axes <= set(speeds), name
        assert all(speed > 0 for speed in speeds.values())


def one(
    kind: str, size: int, group: int, axes: tuple[str, ...], *, count: int = 1
) -> hlo.Collective:
    return hlo.Collective(kind, size, hlo.wire_bytes(kind, size, group), group, count, axes)


def seconds(found: hlo.Collective, speeds: dict[str, float], name: str = "v5e:4x4") -> float:
    return links.seconds(found, speeds, topologies.parse(name))


def test_seconds() -> None:
    speeds = {"fsdp": 100.0, "tensor": 10.0, hlo.NETWORK: 1.0}
    assert seconds(one("all-gather", 800, 8, ("fsdp",), count=3), speeds) == 3 * 7.0
    assert seconds(one("all-reduce", 800, 8, ("fsdp",)), speeds) == 14.0
    assert seconds(one("all-reduce", 100, 2, (hlo.NETWORK,)), speeds) == 100.0
    assert seconds(one("all-gather", 880, 8, ("fsdp", "tensor")), speeds) == 7.0
    assert seconds(one("all-gather", 800, 8, ()), speeds) == 7.0


def test_all_to_all_crosses_a_quarter_of_the_ring() -> None:
    speeds = {"fsdp": 100.0, hlo.NETWORK: 100.0}
    assert seconds(one("all-to-all", 800, 2, ("fsdp",)), speeds) == 4.0
    assert seconds(one("all-to-all", 800, 16, ("fsdp",)), speeds, "v5e:1x16") == 32.0
    assert seconds(one("all-to-all", 800, 256, ("fsdp",)), speeds, "v5e:16x16") == 32.0
    assert seconds(one("all-to-all", 800, 8, ("fsdp",)), speeds, "h100:8") == 7.0
    assert seconds(one("all-to-all", 800, 8, (hlo.NETWORK,)), speeds, "v5e:4x4*8") == 7.0
