# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Chips, how many of them are wired together, and a mesh for each of the usual machines, as data.

A *chip* is what is bought, a *device* what JAX sees: the same thing but on TPU7x, whose chips are
two devices each.

Sources: docs.cloud.google.com/tpu/docs/{v4,v5e,v5p,v6e,tpu7x} for peaks, memory, ports and the
data-centre network; jax-ml.github.io/scaling-book/tpus for one direction of an ICI link (a tenth
below the half of Google's two-way figure) and the network of v4; www.nvidia.com/en-us/data-center
{/a100,/h100,/h200} and the DGX data sheets for GPUs.
"""

import contextlib
import dataclasses
import math
import os
import re
from collections.abc import Iterator
from typing import Any

from jax.experimental import topologies

from lingshu_jax.common import errors

_GIB = 2**30


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chip:
    """One kind of accelerator.

    Attributes:
      name: As `CHIPS` calls it.
      platform: "tpu" or "gpu".
      device_kind: As JAX calls its devices.
      devices_per_chip: How many of them a chip is.
      peak_flops: Of a device, dense bfloat16, FLOP/s.
      hbm_bytes: Memory of a device.
      hbm_bandwidth: Of a device, bytes/s.
      torus_axes: 2 or 3; 0 where a switch joins all the chips of a machine.
      links: Of a chip; two on each axis of a torus.
      link_bandwidth: One direction of one link, bytes/s; all devices of the chip share it.
      network_bandwidth: A chip's share of its host's network, bytes/s, one direction.
    """

    name: str
    platform: str
    device_kind: str
    devices_per_chip: int = 1
    peak_flops: float
    hbm_bytes: float
    hbm_bandwidth: float
    torus_axes: int
    links: int
    link_bandwidth: float
    network_bandwidth: float


_CHIPS = (
    Chip(
        name="v4",
        platform="tpu",
        device_kind="TPU v4",
        peak_flops=275e12,
        hbm_bytes=32 * _GIB,
        hbm_bandwidth=1.2e12,
        torus_axes=3,
        links=6,
        link_bandwidth=45e9,
        network_bandwidth=6.25e9,
    ),
    Chip(
        name="v5e",
        platform="tpu",
        device_kind="TPU v5 lite",
        peak_flops=197e12,
        hbm_bytes=16 * _GIB,
        hbm_bandwidth=819e9,
        torus_axes=2,
        links=4,
        link_bandwidth=45e9,
        network_bandwidth=3.125e9,  # 6.4 Tbit/s for 256 chips
    ),
    Chip(
        name="v5p",
        platform="tpu",
        device_kind="TPU v5",
        peak_flops=459e12,
        hbm_bytes=95 * _GIB,
        hbm_bandwidth=2765e9,
        torus_axes=3,
        links=6,
        link_bandwidth=90e9,
        network_bandwidth=6.25e9,
    ),
    Chip(
        name="v6e",
        platform="tpu",
        device_kind="TPU v6 lite",
        peak_flops=918e12,
        hbm_bytes=32 * _GIB,
        hbm_bandwidth=1640e9,
        torus_axes=2,
        links=4,
        link_bandwidth=90e9,
        network_bandwidth=12.5e9,  # 25.6 Tbit/s for 256 chips
    ),
    Chip(
        name="tpu7x",
        platform="tpu",
        device_kind="TPU7x",
        devices_per_chip=2,
        peak_flops=2307e12 / 2,
        hbm_bytes=192 * _GIB / 2,
        hbm_bandwidth=7.4e12 / 2,
        torus_axes=3,
        links=6,
        link_bandwidth=90e9,
        network_bandwidth=12.5e9,
    ),
    Chip(
        name="a100",
        platform="gpu",
        device_kind="NVIDIA A100-SXM4-80GB",
        peak_flops=312e12,
        hbm_bytes=80e9,
        hbm_bandwidth=2039e9,
        torus_axes=0,
        links=12,
        link_bandwidth=25e9,
        network_bandwidth=25e9,
    ),
    Chip(
        name="h100",
        platform="gpu",
        device_kind="NVIDIA H100 80GB HBM3",
        peak_flops=989e12,
        hbm_bytes=80e9,
        hbm_bandwidth=3350e9,
        torus_axes=0,
        links=18,
        link_bandwidth=25e9,
        network_bandwidth=50e9,
    ),
    Chip(
        name="h200",
        platform="gpu",
        device_kind="NVIDIA H200",
        peak_flops=989e12,
        hbm_bytes=141e9,
        hbm_bandwidth=4800e9,
        torus_axes=0,
        links=18,
        link_bandwidth=25e9,
        network_bandwidth=50e9,
    ),
)
CHIPS = {chip.name: chip for chip in _CHIPS}

# Dense bfloat16 peak of one device, FLOP/s, by JAX's name; also of cards that are no `Chip`.
PEAK_FLOPS = {chip.device_kind: chip.peak_flops for chip in _CHIPS} | {
    "NVIDIA H100 NVL": 835e12,
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA A100-SXM4-40GB": 312e12,
    "NVIDIA A100 80GB PCIe": 312e12,
}

# Gradients of kernels that are split on their last axis are reduced and scattered, not reduced
# whole: MaxText's group of reduce-scatter layouts, seen to in compiled programs. They are whole all
# the same where one mesh axis holds all devices of a slice; two axes are better.
_REDUCE_SCATTER = {
    "xla_tpu_use_minor_sharding_for_major_trivial_input": True,
    "xla_tpu_relayout_group_size_threshold_for_reduce_scatter": 1,
    "xla_tpu_assign_all_reduce_scatter_layout": True,
}
# Options of XLA by JAX's name of the device, for programs that train.
COMPILER_OPTIONS: dict[str, dict[str, Any]] = {
    "TPU v5 lite": _REDUCE_SCATTER,
    "TPU v5": _REDUCE_SCATTER,
    "TPU v6 lite": _REDUCE_SCATTER,
    "TPU7x": _REDUCE_SCATTER,
}

# libtpu asks the host's metadata server what it is unless it is told, and a lock file keeps it to
# one process, which only those that run on the chips need.
_HOST = {
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-1",
    "TPU_WORKER_HOSTNAMES": "localhost",
}


@dataclasses.dataclass(frozen=True)
class Topology:
    """Chips that are wired together.

    Attributes:
      name: As it was parsed, `v5e:16x16*2`.
      chip: Their kind.
      shape: Chips along each axis of one slice.
      slices: Slices, or GPU machines, that only the data-centre network joins.
    """

    name: str
    chip: Chip
    shape: tuple[int, ...]
    slices: int = 1

    @property
    def devices(self) -> int:
        """Devices of all slices."""
        return math.prod(self.shape) * self.slices * self.chip.devices_per_chip

    def describe(self) -> list[Any]:
        """The devices, to compile for, from libtpu; no TPU is needed.

        Raises:
          UserError: If it is a GPU's, libtpu is absent, or it knows no such shape.
        """
        if self.chip.platform != "tpu":
            raise errors.UserError(
                f"topology {self.name}: programs for GPUs are compiled on a GPU only"
            )
        options: dict[str, Any] = {"num_slices": self.slices} if self.slices > 1 else {}
        if self.chip.name == "v4":
            options["chip_config_name"] = "megacore"  # one device a chip, as on a TPU host
        layout = f"{self.chip.name}:{'x'.join(map(str, self.shape))}"
        try:
            with _as_a_tpu_host():
                found = topologies.get_topology_desc(
                    platform="tpu", topology_name=layout, **options
                )
        except (RuntimeError, NotImplementedError) as error:
            reason = str(error).splitlines()[0]
            raise errors.UserError(
                f"topology {self.name}: {reason}; it needs libtpu (pip install lingshu-jax[aot]) "
                "and a shape that exists"
            ) from error
        return list(found.devices)


def parse(name: str) -> Topology:
    """The topology of a name, CHIP:SHAPE or CHIP:SHAPE*SLICES.

    Args:
      name: The shape counts chips: `v5e:4x4`, `v5p:2x2x1`, `h100:8`, `v5e:16x16*2`.

    Raises:
      UserError: If the chip is unknown or the shape is none of its own.

    >>> parse("tpu7x:2x2x1*2").devices
    16
    """
    match = re.fullmatch(r"(\w+):([1-9]\d*(?:x[1-9]\d*)*)(?:\*([1-9]\d*))?", name)
    if not match or match[1] not in CHIPS:
        raise errors.UserError(
            f"a topology must be CHIP:SHAPE or CHIP:SHAPE*SLICES, as v5e:4x4 or v5p:2x2x1*2, with "
            f"a chip of {tuple(CHIPS)}, got {name!r}"
        )
    chip, shape = CHIPS[match[1]], tuple(int(size) for size in match[2].split("x"))
    axes = chip.torus_axes or 1
    if len(shape) != axes:
        raise errors.UserError(
            f"topology {name!r}: {chip.name} has {axes} axes, as {chip.name}:{'x'.join('2' * axes)}"
        )
    return Topology(name, chip, shape, int(match[3] or 1))


@contextlib.contextmanager
def _as_a_tpu_host() -> Iterator[None]:
    absent = [name for name in _HOST if name not in os.environ]
    os.environ.update({name: _HOST[name] for name in absent})
    try:
        yield
    finally:
        for name in absent:
            del os.environ[name]


@dataclasses.dataclass(frozen=True)
class Preset:
    """A machine and how its devices are laid out.

    Attributes:
      topology: The machine.
      mesh: Devices along each mesh axis, 1 where absent.
    """

    topology: Topology
    mesh: dict[str, int]


# Names count as Google's do: cores of v4 and v5p (two a chip), chips of v5e and v6e; devices of
# TPU7x and GPUs. The recipe's batch is 64 rows, so no more than 64 devices share it by rows;
# `tensor` is 2, which divides the key/value heads of every size, and `context` takes the rest, up
# to 4 together: 7b has 28 heads.
_PRESETS: dict[str, tuple[str, dict[str, int]]] = {
    "gpu-1": ("h100:1", {"fsdp": 1}),
    "gpu-8": ("h100:8", {"fsdp": 8}),
    "v5e-1": ("v5e:1x1", {"fsdp": 1}),
    "v5e-8": ("v5e:2x4", {"fsdp": 8}),
    "v5e-16": ("v5e:4x4", {"fsdp": 16}),
    "v5e-64": ("v5e:8x8", {"fsdp": 64}),
    "v5e-256": ("v5e:16x16", {"fsdp": 64, "tensor": 2, "context": 2}),
    "v5p-8": ("v5p:2x2x1", {"fsdp": 4}),
    "v5p-128": ("v5p:4x4x4", {"fsdp": 64}),
    "v6e-1": ("v6e:1x1", {"fsdp": 1}),
    "v6e-8": ("v6e:2x4", {"fsdp": 8}),
    "v6e-64": ("v6e:8x8", {"fsdp": 64}),
    "v6e-256": ("v6e:16x16", {"fsdp": 64, "tensor": 2, "context": 2}),
    "tpu7x-128": ("tpu7x:4x4x4", {"fsdp": 64, "tensor": 2}),
    # Two slices: whole replicas, so that only gradients cross between them.
    "v5e-16x2": ("v5e:4x4*2", {"data": 2, "fsdp": 16}),
    "v5e-64x2": ("v5e:8x8*2", {"data": 2, "fsdp": 32, "tensor": 2}),
    "v5p-128x2": ("v5p:4x4x4*2", {"data": 2, "fsdp": 32, "tensor": 2}),
    "v6e-64x2": ("v6e:8x8*2", {"data": 2, "fsdp": 32, "tensor": 2}),
}
PRESETS = {name: Preset(parse(topology), mesh) for name, (topology, mesh) in _PRESETS.items()}
