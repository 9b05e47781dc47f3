# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Mesh axes, and path -> logical axes -> PartitionSpec, as data: parameters, activations, batches.

Mesh axes: `data` (replicas, over slow links), `fsdp` (parameters split, gathered when used),
`tensor` (heads, MLP and vocabulary split), `context` (tokens of a row split).
"""

import collections
import dataclasses
import itertools
import math
import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import mesh_utils, multihost_utils
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec

from lingshu_jax.common import errors

MESH_AXES = ("data", "fsdp", "tensor", "context")
# Two threads that launch programs over one mesh take turns: where devices saw them in different
# orders, each would wait for the others inside another collective.
LAUNCH = threading.Lock()

MeshAxes = str | tuple[str, ...] | None  # None keeps a dimension whole
Rules = Mapping[str, MeshAxes]  # by logical axis

# What a generator computes with stays on its device: nothing of the weights is over `fsdp`.
# Outside attention the tokens of a row are over `context`; inside it a row is whole and its heads
# are over `tensor` and `context`. Between blocks tokens and patches are over both (`stream`), so
# that what is kept of each block for the backward pass is split as well. Embeddings leave a table
# whose columns are split, so that all rows of a replica (`replica_batch`) have some columns
# (`embed`).
_RULES: Sequence[tuple[str, MeshAxes, MeshAxes, MeshAxes]] = (
    # logical axis, parameters in training, parameters in generation, activations and batches
    ("batch", None, None, ("data", "fsdp")),
    ("replica_batch", None, None, "data"),
    ("tokens", None, None, "context"),
    ("patches", None, None, "context"),
    ("stream", None, None, ("context", "tensor")),
    ("embed", "fsdp", None, "fsdp"),
    ("heads", "tensor", "tensor", ("tensor", "context")),
    ("kv_heads", "tensor", "tensor", ("tensor", "context")),
    ("mlp", "tensor", "tensor", "tensor"),
    ("vocab", "tensor", "tensor", "tensor"),
    ("merged", "tensor", "tensor", "tensor"),
    ("layers", None, None, None),
    ("head_dim", None, None, None),
    ("patch", None, None, None),
    ("qkv", None, None, None),
    ("lora_rank", None, None, None),
)
TRAIN_RULES: Rules = {axis: train for axis, train, _, _ in _RULES}
GENERATE_RULES: Rules = {axis: generate for axis, _, generate, _ in _RULES}
ACTIVATION_RULES: Rules = {axis: activation for axis, _, _, activation in _RULES}

# Logical axes of a batch's arrays by name; all others are [B, T].
_TOKEN_AXES = ("batch", "tokens")
_BATCH_AXES: Mapping[str, tuple[str | None, ...]] = {
    "positions": ("batch", None, "tokens"),
    "patches": ("batch", "patches", None),
    "patch_frame_ids": ("batch", "patches"),
    "patch_hw": ("batch", "patches", None),
    "window_gather": ("batch", "patches"),
    "window_ids": ("batch", "patches", None),  # whole slots, of which a row has a multiple
    "merged_inverse": ("batch", "patches"),
}

# (regex over the whole path, logical axes of the leaf), first match wins.
AxesTable = Sequence[tuple[str, tuple[str, ...]]]


def make_mesh(sizes: Mapping[str, int], devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh of all devices with the axes of `MESH_AXES`.

    Neighbours in the mesh are neighbours in the torus. Several TPU slices stand along `data`, so
    that no other axis crosses the network between them.

    Args:
      sizes: Devices along each axis, 1 where absent; one axis may be -1, all that are left.
      devices: In mesh order where they are no TPUs; default all of them.

    Raises:
      UserError: If an axis is unknown, the sizes do not multiply to the device count, or `data`
        does not divide over the slices.
    """
    devices = jax.devices() if devices is None else devices
    shape = mesh_shape(sizes, len(devices))
    kinds = (jax.sharding.AxisType.Auto,) * len(MESH_AXES)
    return Mesh(_arrange(shape, devices), MESH_AXES, axis_types=kinds)


def mesh_shape(sizes: Mapping[str, int], count: int) -> tuple[int, ...]:
    """Devices along each of `MESH_AXES`.

    Args:
      sizes: As of `make_mesh`.
      count: Devices there are.

    Raises:
      UserError: As `make_mesh`.
    """
    unknown = set(sizes) - set(MESH_AXES)
    if unknown:
        raise errors.UserError(f"unknown mesh axes {sorted(unknown)}; known: {MESH_AXES}")
    shape = [sizes.get(axis, 1) for axis in MESH_AXES]
    is_valid = all(size >= 1 or size == -1 for size in shape) and shape.count(-1) <= 1
    fixed = math.prod(size for size in shape if size != -1)
    if is_valid and -1 in shape and count % fixed == 0:
        shape[shape.index(-1)] = count // fixed
    if not is_valid or math.prod(shape) != count:
        described = ", ".join(f"{axis}={sizes.get(axis, 1)}" for axis in MESH_AXES)
        raise errors.UserError(
            f"mesh {described} does not fit {count} devices: the sizes must multiply to "
            "that number, with at most one -1"
        )
    return tuple(shape)


def num_slices(devices: Sequence[Any]) -> int:
    """How many TPU slices the devices are in; 1 for all others.

    Machines of GPUs are no slices here: the network between them is no slower than it must be
    for any axis, and jax orders their devices by machine.

    Args:
      devices: Of one kind.
    """
    if devices[0].platform != "tpu":
        return 1
    return len({getattr(device, "slice_index", 0) for device in devices})


def _arrange(shape: tuple[int, ...], devices: Sequence[Any]) -> np.ndarray:
    slices, (data, *inner) = num_slices(devices), shape
    # A torus axis may have to be shared: 64 x 2 x 2 on 16 x 16 chips.
    if slices == 1:
        return mesh_utils.create_device_mesh(shape, devices, allow_split_physical_axes=True)
    if data % slices:
        raise errors.UserError(
            f"mesh axis data of size {data} does not divide over {slices} slices: it must be a "
            "multiple of them, as no other axis crosses the network between slices"
        )
    return mesh_utils.create_hybrid_device_mesh(
        (data // slices, *inner),
        (slices, *(1 for _ in inner)),
        devices,
        allow_split_physical_axes=True,
    )


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


def param_shardings(
    params: Any, table: AxesTable, mesh: Mesh | AbstractMesh, rules: Rules = TRAIN_RULES
) -> Any:
    """One NamedSharding a leaf.

    Args:
      params: Nested dict of arrays or shapes.
      table: Logical axes by path.
      mesh: The mesh.
      rules: Logical axis to mesh axes.

    Raises:
      UserError: If a path has no row, or as `leaf_spec`; names the parameter.
    """

    def sharding(path: Any, leaf: Any) -> NamedSharding:
        name = path_name(path)
        axes = logical_axes(name, table)
        spec = leaf_spec(f"parameter {name}", leaf.shape, axes, mesh=mesh, rules=rules)
        return NamedSharding(mesh, spec)

    return jax.tree_util.tree_map_with_path(sharding, params)


def logical_axes(name: str, table: AxesTable) -> tuple[str, ...]:
    """The first row of the table whose pattern matches the whole name."""
    for pattern, axes in table:
        if re.fullmatch(pattern, name):
            return axes
    raise errors.UserError(f"parameter {name} matches no row of the sharding table")


def leaf_spec(
    name: str,
    shape: tuple[int, ...],
    axes: Sequence[str | None],
    *,
    mesh: Mesh | AbstractMesh,
    rules: Rules,
) -> PartitionSpec:
    """Mesh axes of one leaf.

    Args:
      name: For messages.
      shape: Of the leaf.
      axes: Its logical axes, one a dimension; None keeps it whole.
      mesh: The mesh.
      rules: Logical axis to mesh axes.

    Raises:
      UserError: If a logical axis has no rule, two want one mesh axis, or a dimension does not
        divide; names the leaf, the axes and their sizes.
    """
    if len(axes) != len(shape):
        raise errors.UserError(f"{name} has shape {shape} but logical axes {tuple(axes)}")
    unknown = [axis for axis in axes if axis and axis not in rules]
    if unknown:
        raise errors.UserError(f"{name}: no rule for logical axis {unknown[0]}; known: {[*rules]}")
    assigned = [rules[axis] if axis else None for axis in axes]
    owners: dict[str, str] = {}
    for size, axis, entry in zip(shape, axes, assigned, strict=True):
        for mesh_axis in _names(entry):
            if mesh_axis in owners:
                raise errors.UserError(
                    f"{name}: its axes {owners[mesh_axis]} and {axis} both want mesh axis "
                    f"{mesh_axis} of size {mesh.shape[mesh_axis]}"
                )
            owners[mesh_axis] = str(axis)
        parts = _axis_size(mesh, entry)
        if size % parts:
            described = " and ".join(f"{m} of size {mesh.shape[m]}" for m in _names(entry))
            raise errors.UserError(
                f"{name}: axis {axis} of size {size} does not divide over {parts} devices, mesh "
                f"axis {described}"
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


def batch_sharding(mesh: Mesh | AbstractMesh) -> NamedSharding:
    """Rows over the batch axes; everything else of a row whole."""
    return NamedSharding(mesh, PartitionSpec(ACTIVATION_RULES["batch"]))


def batch_shardings(tree: Any, mesh: Mesh | AbstractMesh) -> Any:
    """One NamedSharding an array of a batch: rows over the batch axes, tokens and patches too.

    Args:
      tree: `structs.Batch`, or its arrays or shapes by name, of all rows.
      mesh: The mesh.

    Raises:
      UserError: If rows, tokens or patches do not divide; names the array and the axis.
    """

    def sharding(path: Any, leaf: Any) -> NamedSharding:
        name = _last_name(path)
        axes = _BATCH_AXES.get(name, _TOKEN_AXES)
        spec = leaf_spec(f"batch {name}", leaf.shape, axes, mesh=mesh, rules=ACTIVATION_RULES)
        return NamedSharding(mesh, spec)

    return jax.tree_util.tree_map_with_path(sharding, tree)


def replicated(mesh: Mesh | AbstractMesh) -> NamedSharding:
    """The same on every device."""
    return NamedSharding(mesh, PartitionSpec())


def batch_parts(mesh: Mesh | AbstractMesh) -> int:
    """Over how many devices the rows of a batch are split."""
    return _axis_size(mesh, ACTIVATION_RULES["batch"])


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
    """The share of this process; those of one tensor or context group read the same.

    Args:
      mesh: The mesh.

    Raises:
      UserError: If the rows of two processes are neither the same nor apart.
    """
    held = _held_parts(mesh)
    shares = sorted(set(held.values()))
    if sum(map(len, shares)) != batch_parts(mesh) or len(set(map(len, shares))) > 1:
        raise errors.UserError(
            f"the mesh {dict(mesh.shape)} gives processes rows that overlap in part; choose axes "
            f"that divide by, or into, the {jax.local_device_count()} devices of a process"
        )
    return RowShare(shares.index(held[jax.process_index()]), len(shares))


def _held_parts(mesh: Mesh) -> dict[int, tuple[int, ...]]:
    """By process, which of the `batch_parts` of the rows its devices hold."""
    held: dict[int, set[int]] = collections.defaultdict(set)
    placed = batch_sharding(mesh).devices_indices_map((batch_parts(mesh),))
    for device, (rows,) in placed.items():
        held[device.process_index].add(rows.start or 0)
    return {process: tuple(sorted(parts)) for process, parts in held.items()}


def place_batch(tree: Any, mesh: Mesh) -> Any:
    """Host arrays of this process's rows (`row_share`) to one global array a leaf.

    Args:
      tree: Numpy arrays of this process's share of the rows, whole, along the first axis.
      mesh: The mesh.

    Raises:
      UserError: As `batch_shardings`.
    """
    held, parts = _held_parts(mesh)[jax.process_index()], batch_parts(mesh)

    def whole(x: np.ndarray) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((len(x) * parts // len(held), *x.shape[1:]), x.dtype)

    def place(x: np.ndarray, shape: jax.ShapeDtypeStruct, sharding: NamedSharding) -> jax.Array:
        rows = shape.shape[0] // parts

        def read(index: Any) -> np.ndarray:
            first = held.index((index[0].start or 0) // rows) * rows
            return x[(slice(first, first + rows), *index[1:])]

        return jax.make_array_from_callback(shape.shape, sharding, read)

    shapes = jax.tree.map(whole, tree)
    return jax.tree.map(place, tree, shapes, batch_shardings(shapes, mesh))


def path_name(path: Any) -> str:
    """A jax key path as `text/layers/attention/q/kernel`."""
    return "/".join(str(key.key) for key in path)


def _last_name(path: Any) -> str:
    """Of a dict's or a struct's entry."""
    return str(getattr(path[-1], "key", getattr(path[-1], "name", "")))


def _names(entry: MeshAxes) -> tuple[str, ...]:
    return (entry,) if isinstance(entry, str) else entry or ()


def _axis_size(mesh: Mesh | AbstractMesh, entry: MeshAxes) -> int:
    return math.prod(mesh.shape[name] for name in _names(entry))
