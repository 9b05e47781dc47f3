# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Mesh axes, and parameter path -> logical axes -> PartitionSpec, as data.

Mesh axes: `data` (replicas, over slow links), `fsdp` (parameters split, gathered when used),
`tensor` (heads, MLP and vocabulary split), `context` (tokens of a row split).
"""

import collections
import dataclasses
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec

from lingshu_jax.common import errors

MESH_AXES = ("data", "fsdp", "tensor", "context")

# Logical axis of a parameter or a batch -> mesh axes; None keeps it whole.
Rules = Mapping[str, str | tuple[str, ...] | None]
TRAIN_RULES: Rules = {
    "batch": ("data", "fsdp"),
    "embed": "fsdp",
    "heads": "tensor",
    "kv_heads": "tensor",
    "mlp": "tensor",
    "vocab": "tensor",
    "merged": "tensor",
    "layers": None,
    "head_dim": None,
    "patch": None,
    "qkv": None,
    "lora_rank": None,
}

# The same for what a step computes. Outside attention the tokens of a row are split over `context`;
# inside it a row is whole and its heads are split over `tensor` and `context`.
ACTIVATION_RULES: Rules = {
    "batch": ("data", "fsdp"),
    "tokens": "context",
    "patches": "context",
    "heads": ("tensor", "context"),
    "mlp": "tensor",
    "vocab": "tensor",
    # Embeddings as they leave the table, whose columns are split: all rows, some columns.
    "replica_batch": "data",
    "embed": "fsdp",
}

# (regex over the whole path, logical axes of the leaf), first match wins.
AxesTable = Sequence[tuple[str, tuple[str, ...]]]


def make_mesh(sizes: Mapping[str, int], devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh of all devices with the axes of `MESH_AXES`.

    Args:
      sizes: Devices along each axis, 1 where absent; one axis may be -1, all that are left.
      devices: In mesh order; default all of them.

    Raises:
      UserError: If an axis is unknown or the sizes do not multiply to the device count.
    """
    devices = jax.devices() if devices is None else devices
    unknown = set(sizes) - set(MESH_AXES)
    if unknown:
        raise errors.UserError(f"unknown mesh axes {sorted(unknown)}; known: {MESH_AXES}")
    shape = [sizes.get(axis, 1) for axis in MESH_AXES]
    is_valid = all(size >= 1 or size == -1 for size in shape) and shape.count(-1) <= 1
    fixed = math.prod(size for size in shape if size != -1)
    if is_valid and -1 in shape and len(devices) % fixed == 0:
        shape[shape.index(-1)] = len(devices) // fixed
    if not is_valid or math.prod(shape) != len(devices):
        described = ", ".join(f"{axis}={sizes.get(axis, 1)}" for axis in MESH_AXES)
        raise errors.UserError(
            f"mesh {described} does not fit {len(devices)} devices: the sizes must multiply to "
            "that number, with at most one -1"
        )
    kinds = (jax.sharding.AxisType.Auto,) * len(MESH_AXES)
    return jax.make_mesh(tuple(shape), MESH_AXES, axis_types=kinds, devices=devices)


def host_mesh() -> Mesh:
    """A mesh of one CPU device: arrays stay in host memory, whatever the widths divide by."""
    return make_mesh({}, jax.local_devices(backend="cpu")[:1])


def connect(mesh: Mesh) -> None:
    """Makes the connections of the mesh's collectives while all processes are here.

    Between CPUs they are made at their first use, which waits 30 seconds and no longer, and the
    compilations of two processes may end further apart. Other devices need nothing.

    Args:
      mesh: The mesh.
    """
    if jax.process_count() == 1 or mesh.devices.flat[0].platform != "cpu":
        return
    multihost_utils.sync_global_devices("connect")
    axes = [axis for axis in MESH_AXES if mesh.shape[axis] > 1]
    for size in range(1, len(axes) + 1):
        for group in itertools.combinations(axes, size):
            _sum_over(group, mesh).block_until_ready()


def _sum_over(group: tuple[str, ...], mesh: Mesh) -> jax.Array:
    spec = PartitionSpec(group)
    total = jax.shard_map(
        lambda x: jax.lax.psum(x, group), mesh=mesh, in_specs=spec, out_specs=PartitionSpec()
    )
    ones = np.ones(_axis_size(mesh, group), np.float32)
    return jax.jit(total)(
        jax.make_array_from_callback(ones.shape, NamedSharding(mesh, spec), ones.__getitem__)
    )


def param_shardings(params: Any, table: AxesTable, mesh: Mesh, rules: Rules = TRAIN_RULES) -> Any:
    """One NamedSharding a leaf.

    Args:
      params: Nested dict of arrays or shapes.
      table: Logical axes by path.
      mesh: The mesh.
      rules: Logical axis to mesh axes.

    Raises:
      UserError: If a path has no row, two dimensions want one mesh axis, or a dimension does
        not divide; names the parameter.
    """

    def sharding(path: Any, leaf: Any) -> NamedSharding:
        name = path_name(path)
        spec = leaf_spec(name, leaf.shape, logical_axes(name, table), mesh=mesh, rules=rules)
        return NamedSharding(mesh, spec)

    return jax.tree_util.tree_map_with_path(sharding, params)


def logical_axes(name: str, table: AxesTable) -> tuple[str, ...]:
    """The first row of the table whose pattern matches the whole name."""
    for pattern, axes in table:
        if re.fullmatch(pattern, name):
            return axes
    raise errors.UserError(f"parameter {name} matches no row of the sharding table")


def leaf_spec(
    name: str, shape: tuple[int, ...], axes: tuple[str, ...], *, mesh: Mesh, rules: Rules
) -> PartitionSpec:
    """Mesh axes of one leaf.

    Args:
      name: For messages.
      shape: Of the leaf.
      axes: Its logical axes, one a dimension.
      mesh: The mesh.
      rules: Logical axis to mesh axes.

    Raises:
      UserError: On a collision, or a dimension that does not divide.
    """
    if len(axes) != len(shape):
        raise errors.UserError(f"parameter {name} has shape {shape} but logical axes {axes}")
    assigned = [rules[axis] for axis in axes]
    used = [m for entry in assigned for m in ((entry,) if isinstance(entry, str) else entry or ())]
    if len(used) != len(set(used)):
        raise errors.UserError(f"parameter {name}: two of its axes {axes} want one mesh axis")
    for size, axis, entry in zip(shape, axes, assigned, strict=True):
        parts = _axis_size(mesh, entry)
        if size % parts:
            raise errors.UserError(
                f"parameter {name}: axis {axis} of size {size} does not divide over {parts} "
                f"devices of mesh axis {entry}"
            )
    return PartitionSpec(*assigned)


def active_mesh() -> AbstractMesh | None:
    """The mesh of the surrounding `jax.set_mesh`, where it has something to say.

    Returns:
      None without a mesh, with one of a single device, and inside `jax.shard_map`.
    """
    mesh = jax.sharding.get_abstract_mesh()
    is_auto = all(kind == jax.sharding.AxisType.Auto for kind in mesh.axis_types)
    return mesh if mesh.size > 1 and is_auto else None


def activation_spec(
    shape: tuple[int, ...], axes: Sequence[str | None], mesh: Mesh | AbstractMesh
) -> PartitionSpec:
    """Mesh axes of an activation by `ACTIVATION_RULES`.

    Args:
      shape: Its shape; a dimension that does not divide stays whole, as a single prompt does.
      axes: One logical axis a dimension; None keeps it whole.
      mesh: The mesh.
    """
    assigned = [ACTIVATION_RULES[axis] if axis else None for axis in axes]
    return PartitionSpec(
        *(
            None if size % _axis_size(mesh, entry) else entry
            for size, entry in zip(shape, assigned, strict=True)
        )
    )


def constrain(x: jax.Array, *axes: str | None) -> jax.Array:
    """Fixes where an activation lies; without an active mesh it is left alone.

    The partitioner would otherwise be free to gather activations instead of weights.

    Args:
      x: The activation.
      *axes: As of `activation_spec`.
    """
    mesh = active_mesh()
    if mesh is None:
        return x
    return jax.lax.with_sharding_constraint(x, activation_spec(x.shape, axes, mesh))


def batch_sharding(mesh: Mesh, rules: Rules = TRAIN_RULES) -> NamedSharding:
    """Rows over the batch axes; everything else of a row whole."""
    return NamedSharding(mesh, PartitionSpec(rules["batch"]))


def replicated(mesh: Mesh) -> NamedSharding:
    """The same on every device."""
    return NamedSharding(mesh, PartitionSpec())


def batch_parts(mesh: Mesh, rules: Rules = TRAIN_RULES) -> int:
    """Over how many devices the rows of a batch are split."""
    return _axis_size(mesh, rules["batch"])


@dataclasses.dataclass(frozen=True)
class RowShare:
    """Which of `count` equal shares of a batch's rows a process reads.

    Attributes:
      index: Of the share.
      count: Shares; fewer than processes where several hold the same rows.
    """

    index: int
    count: int


def row_share(mesh: Mesh) -> RowShare:
    """The share of this process; those of one tensor group read the same.

    Args:
      mesh: The mesh.

    Raises:
      UserError: If the rows of two processes are neither the same nor apart.
    """
    held: dict[int, set[int]] = collections.defaultdict(set)
    parts = batch_parts(mesh)
    for device, (rows,) in batch_sharding(mesh).devices_indices_map((parts,)).items():
        held[device.process_index].add(rows.start or 0)
    shares = sorted({tuple(sorted(rows)) for rows in held.values()})
    if sum(map(len, shares)) != parts or len(set(map(len, shares))) > 1:
        raise errors.UserError(
            f"the mesh {dict(mesh.shape)} gives processes rows that overlap in part; choose axes "
            f"that divide by, or into, the {jax.local_device_count()} devices of a process"
        )
    return RowShare(shares.index(tuple(sorted(held[jax.process_index()]))), len(shares))


def place_batch(tree: Any, mesh: Mesh) -> Any:
    """Host arrays of this process's rows (`row_share`) to one global array a leaf.

    Args:
      tree: Numpy arrays of this process's share of the rows, along the first axis.
      mesh: The mesh.
    """
    sharding = batch_sharding(mesh)
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, x), tree)


def path_name(path: Any) -> str:
    """A jax key path as `text/layers/attention/q/kernel`."""
    return "/".join(str(key.key) for key in path)


def _axis_size(mesh: Mesh | AbstractMesh, entry: str | tuple[str, ...] | None) -> int:
    names = (entry,) if isinstance(entry, str) else entry or ()
    return math.prod(mesh.shape[name] for name in names)
