# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from lingshu_jax.common import errors, sharding
from lingshu_jax.models import axes
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
        ((6, 6), ("embed", "vocab"), ["axis embed of size 6", "4 devices", "fsdp"]),
        ((8, 8), ("embed", "embed"), ["two of its axes", "one mesh axis"]),
        ((8, 8), ("embed",), ["shape (8, 8)", "('embed',)"]),
    ],
    ids=["no_divisor", "collision", "rank"],
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
    assert placed.sharding == sharding.batch_sharding(mesh)
    np.testing.assert_array_equal(placed, rows)
    assert {shard.data.shape for shard in placed.addressable_shards} == {(2, 3)}


def test_path_name_joins_keys() -> None:
    leaves = jax.tree_util.tree_leaves_with_path({"a": {"b": 1}, "c": 2})
    assert [sharding.path_name(path) for path, _ in leaves] == ["a/b", "c"]
