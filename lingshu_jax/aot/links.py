# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""How fast the links are that a mesh axis runs over.

A mesh axis takes torus axes, or pieces of them, the innermost mesh axis first: as the mesh itself
is laid. A ring uses both directions of a link, a line one, because its last device receives
everything through one link; several rings that are interleaved on one torus axis share its links.

Source of the rule: jax-ml.github.io/scaling-book/sharding. A torus axis closes to a ring at 16
chips of v5e and v6e, and of v4, v5p and TPU7x where the slice is whole cubes of 4 x 4 x 4.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lingshu_jax.aot import hlo
from lingshu_jax.common import topologies

_FULL_RING = 16  # chips of a two-axis torus
_CUBE = 4
# Between the two devices of a TPU7x chip, as a multiple of one link of the torus: "six times" in
# docs.cloud.google.com/tpu/docs/tpu7x.
_INSIDE_CHIP = 6.0


class _Ring(NamedTuple):
    """A torus axis: its length, whether it closes, one direction of a link in bytes/s."""

    length: int
    closes: bool
    bandwidth: float


def bandwidths(topology: topologies.Topology, mesh: Mapping[str, int]) -> dict[str, float]:
    """Bytes/s that one device sends in a collective along each mesh axis.

    Args:
      topology: Chips and links.
      mesh: Devices along each mesh axis, outermost first.

    Returns:
      By axis, and `hlo.NETWORK` between slices; an axis of one device is not there.
    """
    chip = topology.chip
    found = {hlo.NETWORK: chip.network_bandwidth / chip.devices_per_chip}
    sizes = dict(mesh)
    first = next(iter(sizes))
    sizes[first] = max(1, sizes[first] // topology.slices)
    if not chip.torus_axes:
        through_switch = chip.links * chip.link_bandwidth
        return found | {axis: through_switch for axis, size in sizes.items() if size > 1}
    rings = _rings(topology)
    used = [1] * len(rings)
    for axis, size in reversed(sizes.items()):
        if size > 1:
            found[axis] = _take(rings, used, size)
    return found


def seconds(
    one: hlo.Collective, speeds: Mapping[str, float], topology: topologies.Topology
) -> float:
    """What the executions of a collective take, one after the other, without their latency.

    Args:
      one: The collective.
      speeds: From `bandwidths`.
      topology: Chips and links.
    """
    known = [speeds[axis] for axis in one.axes if axis in speeds]
    # Axes that are not known, of a program read without its mesh: those of most devices.
    speed = sum(known) if known else max(speeds.values())
    sent = one.wire_bytes
    if one.kind == "all-to-all" and topology.chip.torus_axes and hlo.NETWORK not in one.axes:
        # What goes from each to each passes a quarter of a ring on average, and of a torus a
        # quarter of each of its rings.
        sent = max(sent, one.result_bytes * min(one.group_size, max(topology.shape)) / 4)
    return one.count * sent / speed


def _rings(topology: topologies.Topology) -> list[_Ring]:
    chip, shape = topology.chip, topology.shape
    cubes = chip.torus_axes == 3 and all(size % _CUBE == 0 for size in shape)
    share = chip.link_bandwidth / chip.devices_per_chip
    rings = [_Ring(size, cubes or size == _FULL_RING, share) for size in shape]
    if chip.devices_per_chip > 1:
        inside = _INSIDE_CHIP * chip.link_bandwidth
        rings.append(_Ring(chip.devices_per_chip, False, inside))
    return rings


def _take(rings: Sequence[_Ring], used: list[int], size: int) -> float:
    """Gives the axis its pieces of rings, innermost first; the sum of their speeds."""
    total = 0.0
    for i in reversed(range(len(rings))):
        piece = math.gcd(size, rings[i].length // used[i])
        if piece > 1:
            total += _piece_bandwidth(rings[i], piece, used[i])
            used[i] *= piece
            size //= piece
    return total or min(ring.bandwidth for ring in rings)


def _piece_bandwidth(ring: _Ring, piece: int, stride: int) -> float:
    closes = ring.closes and piece * stride == ring.length and piece > 2
    return (2 if closes else 1) * ring.bandwidth / stride
