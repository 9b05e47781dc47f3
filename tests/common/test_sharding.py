# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
import dataclasses
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from lingshu_jax.common import errors, sharding, structs, topologies
from lingshu_jax.models import axes, qwen2_5_vl
from tests import small

TABLE = (
    ("text/head", ("embed", "vocab")),
    ("text/.*/kernel", ("layers", "embed", "mlp")),
)


@pytest.mark.parametrize(
    ("sizes", "shape"),
    [
        ({"fsdp": -1}, (1, 8, 1, 1)),
        ({"data": 2, "fsdp": -1, "tensor": 2}, (2, 2, 2, 1)),
        ({"data": 1, "tensor": 8}, (1, 1, 8, 1)),
        ({"data": -1, "context": 4}, (2, 1, 1, 4)),
    ],
    ids=["rest", "rest_of_two", "all", "context"],
)
def test_mesh(sizes: dict[str, int], shape: tuple[int, ...]) -> None:
    mesh = sharding.make_mesh(sizes)
    assert mesh.axis_names == sharding.MESH_AXES
    assert mesh.devices.shape == shape
    assert len({device.id for device in mesh.devices.flat}) == 8


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"fsdp": 3}, ["fsdp=3", "8 devices"]),
        ({"fsdp": -1, "tensor": 3}, ["tensor=3", "8 devices"]),
        ({"data": -1, "fsdp": -1}, ["at most one -1"]),
        ({"pipe": 8}, ["pipe", "fsdp"]),
        ({"data": 0, "fsdp": -1}, ["data=0"]),
        ({"data": -2, "fsdp": -4}, ["data=-2"]),
        ({"data": -1, "fsdp": -2}, ["fsdp=-2"]),
    ],
    ids=["too_few", "no_divisor", "two_free", "unknown_axis", "zero", "negative", "negative_rest"],
)
def test_bad_mesh_names_the_sizes(sizes: dict[str, int], words: list[str]) -> None:
    with pytest.raises(errors.UserError) as raised:
        sharding.make_mesh(sizes)
    assert all(word in str(raised.value) for word in words)


@dataclasses.dataclass(frozen=True, order=True)
class Device:
    """As much of a device as a mesh looks at."""

    id: int
    slice_index: int
    coords: tuple[int, int, int]
    platform: str = "tpu"
    device_kind: str = "TPU v5 lite"
    core_on_chip: int = 0
    process_index: int = 0


def make_slices(slices: int, *, platform: str = "tpu", kind: str = "TPU v5 lite") -> list[Device]:
    """2 x 4 chips in each."""
    return [
        Device(8 * part + i, part, (i % 2, i // 2, 0), platform, kind)
        for part in range(slices)
        for i in range(8)
    ]


def slices_of(devices: Iterable[Any]) -> set[int]:
    return {device.slice_index for device in devices}


@pytest.mark.parametrize(
    "sizes",
    [
        {"data": 2, "fsdp": 8},
        {"data": 2, "fsdp": 2, "tensor": 2, "context": 2},
        {"data": 4, "fsdp": 4},
        {"data": -1},
    ],
    ids=["one_each", "all_axes", "two_each", "rest"],
)
def test_slices_stand_along_data(sizes: dict[str, int]) -> None:
    mesh = sharding.make_mesh(sizes, make_slices(2)[::-1])
    assert {device.id for device in mesh.devices.flat} == set(range(16))
    replicas = [slices_of(replica.flat) for replica in mesh.devices]
    half = len(replicas) // 2
    assert replicas == [{0}] * half + [{1}] * half


@pytest.mark.parametrize(
    ("sizes", "slices", "words"),
    [
        ({"fsdp": 16}, 2, ["data of size 1", "2 slices"]),
        ({"data": 2, "fsdp": 12}, 3, ["data of size 2", "3 slices"]),
        ({"data": 6, "fsdp": 4}, 4, ["does not fit 32 devices"]),
    ],
    ids=["fsdp_alone", "two_over_three", "count"],
)
def test_data_must_divide_over_the_slices(
    sizes: dict[str, int], slices: int, words: list[str]
) -> None:
    with pytest.raises(errors.UserError) as raised:
        sharding.make_mesh(sizes, make_slices(slices))
    assert all(word in str(raised.value) for word in words)


def test_machines_of_gpus_are_no_slices() -> None:
    devices = make_slices(2, platform="gpu", kind="NVIDIA H100 80GB HBM3")
    assert sharding.num_slices(devices) == 1
    mesh = sharding.make_mesh({"fsdp": 16}, devices[::-1])
    assert [device.id for device in mesh.devices.flat] == list(range(16))


@pytest.mark.aot
@pytest.mark.parametrize(
    "name",
    [name for name, one in topologies.PRESETS.items() if one.topology.chip.platform == "tpu"],
)
def test_presets_are_laid_out_on_their_devices(name: str) -> None:
    preset = topologies.PRESETS[name]
    devices = preset.topology.describe()
    mesh = sharding.make_mesh(preset.mesh, devices)
    assert dict(mesh.shape) == {axis: preset.mesh.get(axis, 1) for axis in sharding.MESH_AXES}
    assert len(set(mesh.devices.flat)) == len(devices)
    if preset.topology.slices > 1:
        assert [slices_of(replica.flat) for replica in mesh.devices] == [{0}, {1}]


def test_a_generator_gathers_no_weight() -> None:
    used = [axis for rule in sharding.GENERATE_RULES.values() if (axis := rule)]
    assert set(used) == {"tensor"}
    mesh = sharding.make_mesh({"fsdp": 4, "tensor": 2})
    rules = sharding.GENERATE_RULES
    placed = sharding.param_shardings(small.random_params(), axes.PARAM_AXES, mesh, rules)
    kernel = placed["text"]["layers"]["attention"]["q"]["kernel"]
    assert kernel.spec == PartitionSpec(None, None, "tensor", None)


def test_first_row_that_matches_the_whole_name_wins() -> None:
    table = (("a", ("embed",)), ("a/b", ("mlp",)), ("a/.*", ("vocab",)))
    assert sharding.logical_axes("a/b", table) == ("mlp",)
    assert sharding.logical_axes("a/bc", table) == ("vocab",)
    with pytest.raises(errors.UserError, match="ba matches no row"):
        sharding.logical_axes("ba", table)


def test_specs_follow_the_rules() -> None:
    mesh = sharding.make_mesh({"fsdp": 4, "tensor": 2})
    params = {
        "text": {
            "head": jax.ShapeDtypeStruct((8, 6), np.float32),
            "up": {"kernel": jax.ShapeDtypeStruct((3, 8, 4), np.float32)},
        }
    }
    placed = sharding.param_shardings(params, TABLE, mesh)
    assert placed["text"]["head"].spec == PartitionSpec("fsdp", "tensor")
    assert placed["text"]["up"]["kernel"].spec == PartitionSpec(None, "fsdp", "tensor")


@pytest.mark.parametrize(
    ("shape", "axis_names", "words"),
    [
        ((6, 6), ("embed", "vocab"), ["axis embed of size 6", "4 devices", "fsdp of size 4"]),
        ((8, 7), ("embed", "vocab"), ["axis vocab of size 7", "2 devices", "tensor of size 2"]),
        ((8, 8), ("heads", "mlp"), ["axes heads and mlp", "mesh axis tensor of size 2"]),
        ((8, 8), ("embed",), ["shape (8, 8)", "('embed',)"]),
        ((8, 8), ("embed", "breadth"), ["logical axis breadth", "embed"]),
    ],
    ids=["no_divisor", "no_second_divisor", "collision", "rank", "unknown_axis"],
)
def test_bad_leaf_is_named(
    shape: tuple[int, ...], axis_names: tuple[str, ...], words: list[str]
) -> None:
    mesh = sharding.make_mesh({"fsdp": 4, "tensor": 2})
    with pytest.raises(errors.UserError) as raised:
        sharding.leaf_spec("some/leaf", shape, axis_names, mesh=mesh, rules=sharding.TRAIN_RULES)
    assert all(word in str(raised.value) for word in ["some/leaf", *words])


def test_more_tensor_devices_than_kv_heads_is_an_error() -> None:
    mesh = sharding.make_mesh({"fsdp": 2, "tensor": 4})
    with pytest.raises(errors.UserError, match=r"heads of size 2 does not divide over 4"):
        sharding.param_shardings(small.random_params(), axes.PARAM_AXES, mesh)


def test_batch_rows_are_spread_in_order() -> None:
    mesh = sharding.make_mesh({"data": 2, "fsdp": 2, "tensor": 2})
    rows = np.arange(24).reshape(8, 3)
    placed = sharding.place_batch({"x": rows}, mesh)["x"]
    assert sharding.batch_parts(mesh) == 4
    assert placed.sharding.is_equivalent_to(sharding.batch_sharding(mesh), 2)
    np.testing.assert_array_equal(placed, rows)
    assert {shard.data.shape for shard in placed.addressable_shards} == {(2, 3)}


def make_batch(rows: int, tokens: int = 64, patches: int = 256) -> structs.Batch:
    empty = qwen2_5_vl.empty_batch(small.SIZE, rows=rows, tokens=tokens, patches=patches)
    numbered = jax.tree.map(lambda x: np.arange(x.size).reshape(x.shape).astype(x.dtype), empty)
    return dataclasses.replace(numbered, extras={"advantages": numbered.loss_weights})


def test_tokens_and_patches_are_over_context() -> None:
    mesh = sharding.make_mesh({"data": 2, "tensor": 2, "context": 2})
    batch = make_batch(rows=4)
    placed = sharding.place_batch(batch, mesh)
    jax.tree.map(np.testing.assert_array_equal, placed, batch)
    rows = ("data", "fsdp")
    specs = jax.tree.map(lambda x: x.sharding.spec, placed)
    assert specs.tokens == specs.extras["advantages"] == PartitionSpec(rows, "context")
    assert specs.positions == PartitionSpec(rows, None, "context")
    assert specs.images.patches == PartitionSpec(rows, "context", None)
    assert specs.images.window_ids == PartitionSpec(rows, "context", None)
    assert specs.images.merged_inverse == PartitionSpec(rows, "context")
    assert {shard.data.shape for shard in placed.positions.addressable_shards} == {(2, 3, 32)}
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), batch)
    by_shape = sharding.batch_shardings(shapes, mesh)
    assert jax.tree.all(jax.tree.map(lambda x, place: x.sharding == place, placed, by_shape))
    by_name = sharding.place_batch({"positions": batch.positions, "tokens": batch.tokens}, mesh)
    assert by_name["positions"].sharding.spec == specs.positions


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        (make_batch(rows=3), ["axis batch of size 3", "data of size 2 and fsdp of size 1"]),
        (make_batch(rows=2, tokens=62), ["axis tokens of size 62", "context of size 4"]),
        (make_batch(rows=2, patches=128), ["window_ids", "axis patches of size 2", "context"]),
    ],
    ids=["rows", "tokens", "slots"],
)
def test_a_batch_that_does_not_divide_is_named(batch: structs.Batch, words: list[str]) -> None:
    mesh = sharding.make_mesh({"data": 2, "context": 4})
    with pytest.raises(errors.UserError) as raised:
        sharding.place_batch(batch, mesh)
    assert all(word in str(raised.value) for word in ["batch", *words])


def test_path_name_joins_keys() -> None:
    leaves = jax.tree_util.tree_leaves_with_path({"a": {"b": 1}, "c": 2})
    assert [sharding.path_name(path) for path, _ in leaves] == ["a/b", "c"]
