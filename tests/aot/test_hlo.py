# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Collectives read from program texts: counts known by hand, every form of the groups."""

import re

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from lingshu_jax.aot import hlo
from lingshu_jax.common import errors, sharding, topologies

LAYERS, WIDTH, INNER, ROWS = 5, 256, 512, 64
MESH = {"data": 2, "fsdp": 2, "tensor": 2, "context": 1}


def spec(mesh: Mesh, *axes: str | tuple[str, ...] | None) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec(*axes))


def compile_stack(mesh: Mesh) -> str:
    """A scan over layers whose weights are split over fsdp and tensor, forward alone."""

    def forward(weights: tuple[jax.Array, jax.Array], x: jax.Array) -> jax.Array:
        def layer(x: jax.Array, pair: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
            inner = jax.nn.relu(x @ pair[0])
            inner = jax.lax.with_sharding_constraint(inner, spec(mesh, ("data", "fsdp"), "tensor"))
            out = x + inner @ pair[1]
            return jax.lax.with_sharding_constraint(out, spec(mesh, ("data", "fsdp"), None)), None

        return jax.lax.scan(layer, x, weights)[0]

    up = jax.ShapeDtypeStruct(
        (LAYERS, WIDTH, INNER), jnp.float32, sharding=spec(mesh, None, "fsdp", "tensor")
    )
    down = jax.ShapeDtypeStruct(
        (LAYERS, INNER, WIDTH), jnp.float32, sharding=spec(mesh, None, "tensor", "fsdp")
    )
    x = jax.ShapeDtypeStruct(
        (ROWS, WIDTH), jnp.float32, sharding=spec(mesh, ("data", "fsdp"), None)
    )
    with jax.set_mesh(mesh):
        return jax.jit(forward).lower((up, down), x).compile().as_text() or ""


@pytest.fixture(scope="module")
def program() -> str:
    return compile_stack(sharding.make_mesh(MESH))


def counts(text: str) -> dict[tuple[str, tuple[str, ...]], int]:
    totals: dict[tuple[str, tuple[str, ...]], int] = {}
    for one in hlo.collectives(text, MESH):
        totals[one.kind, one.axes] = totals.get((one.kind, one.axes), 0) + one.count
    return totals


def test_collectives_of_a_scan_count_once_a_layer(program: str) -> None:
    assert counts(program) == {
        ("all-gather", ("fsdp",)): 2 * LAYERS,
        ("all-reduce", ("tensor",)): LAYERS,
    }


def test_bytes_are_those_of_one_layer_on_one_device(program: str) -> None:
    gathers = [one for one in hlo.collectives(program, MESH) if one.kind == "all-gather"]
    whole = 4 * WIDTH * INNER // MESH["tensor"]
    assert [one.result_bytes for one in gathers] == [whole, whole]
    assert [one.wire_bytes for one in gathers] == [whole / 2, whole / 2]
    assert hlo.summary(gathers) == {"all-gather fsdp": 2 * LAYERS * whole / 2}


def test_the_limit_of_the_condition_stands_in_for_the_trip_count(program: str) -> None:
    text = program.replace("known_trip_count", "something")
    assert counts(text) == counts(program)


def test_a_loop_that_is_not_counted_is_noticed(program: str) -> None:
    text = re.sub(r"s32\[\] constant\(5\)", "s32[] parameter(0)", program)
    ignored = counts(text.replace("known_trip_count", "something"))
    assert ignored[("all-gather", ("fsdp",))] == 2


HEADER = "HloModule m, num_partitions={devices}\n\n"
ENTRY = "ENTRY %main (p: f32[8]) -> f32[8] {{\n{lines}\n}}\n"


def text_of(*lines: str, devices: int = 8, before: str = "") -> str:
    body = "\n".join(f"  {line}" for line in lines)
    return HEADER.format(devices=devices) + before + ENTRY.format(lines=body)


@pytest.mark.parametrize(
    ("groups", "size", "axes"),
    [
        ("{{0,2},{4,6},{1,3},{5,7}}", 2, ("fsdp",)),
        ("{}", 8, ("data", "fsdp", "tensor")),
        ("[4,2]<=[8]", 2, ("tensor",)),
        ("[2,4]<=[4,2]T(1,0)", 4, ("data", "fsdp")),
        ("[4,2]<=[2,4]T(1,0)", 2, ("data",)),
        ("[4,2]<=[2,2,2]T(2,1,0)", 2, ("data",)),
        ("mesh['a'=4,'b'=2] {'b'}", 2, ("tensor",)),
        ("mesh['a'=4,'b'=1,'c'=2] {'a'}", 4, ("data", "fsdp")),
        ("mesh['a'=2,'b'=4], device_ids=([4,2]T(1,0)) {'a'}", 2, ("tensor",)),
        ("mesh['a'=2,'b'=4], device_ids=([4,2]T(1,0)) {'b'}", 4, ("data", "fsdp")),
        ("mesh['a'=2,'b'=4], device_ids=(0,2,4,6,1,3,5,7) {'a'}", 2, ("tensor",)),
        ("mesh['a'=8] {'a':(1)2}", 2, ("data",)),
        ("mesh['a'=8] {'a':(2)2}", 2, ("fsdp",)),
        ("mesh['a'=2,'b'=4] {'a','b':(2)2}", 4, ("data", "tensor")),
    ],
)
def test_groups(groups: str, size: int, axes: tuple[str, ...]) -> None:
    line = f"ROOT %r = f32[8]{{0}} all-reduce(%p), channel_id=1, replica_groups={groups}, x=1"
    (found,) = hlo.collectives(text_of(line), MESH)
    assert (found.group_size, found.axes, found.result_bytes) == (size, axes, 32)


def test_a_form_of_groups_that_is_not_known_is_an_error() -> None:
    line = "ROOT %r = f32[8]{0} all-reduce(%p), replica_groups=some8"
    with pytest.raises(errors.UserError, match="unknown form in: r "):
        hlo.collectives(text_of(line), MESH)


@pytest.mark.parametrize(
    ("kind", "result", "group", "wire"),
    [
        ("all-gather", 800, 8, 700),
        ("reduce-scatter", 100, 8, 700),
        ("all-reduce", 800, 8, 1400),
        ("all-to-all", 800, 8, 700),
        ("collective-permute", 800, 8, 800),
        ("all-reduce", 800, 1, 0),
    ],
)
def test_wire_bytes_of_a_ring(kind: str, result: int, group: int, wire: int) -> None:
    assert hlo.wire_bytes(kind, result, group) == wire


def test_start_and_done_count_once_and_by_the_result() -> None:
    found = hlo.collectives(
        text_of(
            "%s = (f32[8]{0}, f32[64]{0}) all-gather-start(%p), replica_groups=[1,8]<=[8]",
            "%d = f32[64]{0} all-gather-done(%s)",
            "%q = (f32[8]{0}, f32[8]{0}, u32[], u32[]) collective-permute-start(%p), "
            "source_target_pairs={{0,1},{1,0}}",
            "%e = f32[8]{0} collective-permute-done(%q)",
            "%v = f32[8]{0} all-reduce-start(%p), replica_groups=[1,8]<=[8]",
            "ROOT %w = f32[8]{0} all-reduce-done(%v)",
        ),
        MESH,
    )
    assert [(one.kind, one.result_bytes, one.group_size) for one in found] == [
        ("all-gather", 256, 8),
        ("collective-permute", 32, 2),
        ("all-reduce", 32, 8),
    ]


def test_a_called_computation_counts_for_every_call_of_its_start() -> None:
    inner = (
        "%async (p: f32[64]) -> f32[8] {\n  ROOT %r = f32[8]{0} reduce-scatter(%p), "
        "replica_groups=[1,8]<=[8]\n}\n\n"
    )
    text = text_of(
        "%a = ((f32[64]), f32[8]) async-start(%p), calls=%async",
        "%b = f32[8]{0} async-done(%a), calls=%async",
        "ROOT %c = f32[8]{0} fusion(%p), kind=kCustom, calls=%async",
        before=inner,
    )
    assert [one.kind for one in hlo.collectives(text)] == ["reduce-scatter"] * 2


def test_a_tpu_fusion_that_reduces_and_slices_is_a_reduce_scatter() -> None:
    inner = (
        "%all-reduce-scatter.1 (p: bf16[64]) -> bf16[8] {\n"
        "  %r = bf16[64]{0} all-reduce(%p), replica_groups=[1,8]<=[8]\n"
        "  ROOT %s = bf16[8]{0} dynamic-slice(%r, %i)\n}\n\n"
    )
    line = "ROOT %c = bf16[8]{0} fusion(%p), kind=kCustom, calls=%all-reduce-scatter.1"
    (found,) = hlo.collectives(text_of(line, before=inner))
    assert (found.kind, found.result_bytes, found.wire_bytes) == ("reduce-scatter", 16, 7 * 16)


def test_one_that_is_spread_over_fusions_counts_at_its_start() -> None:
    gather = 'bf16[64]{0} all-gather(%p), replica_groups=[1,8]<=[8], chain_id="0"'
    inner = (
        f"%first (p: bf16[8]) -> bf16[64] {{\n  %all-gather.1 = {gather}\n"
        "  ROOT %x = (bf16[8]{0}) custom-call(%all-gather.1), "
        'custom_call_target="AsyncCollectiveStart"\n}\n\n'
        f"%later (p: bf16[8]) -> bf16[64] {{\n  %all-gather.2 = {gather}\n"
        "  ROOT %x = (bf16[8]{0}) custom-call(%p, %all-gather.2), "
        'custom_call_target="AsyncCollectiveDone"\n}\n\n'
    )
    text = text_of(
        "%a = bf16[64]{0} fusion(%p), calls=%first",
        "ROOT %b = bf16[64]{0} fusion(%p), calls=%later",
        before=inner,
    )
    assert [(one.kind, one.count) for one in hlo.collectives(text)] == [("all-gather", 1)]


LOOP = """\
%body (p: (s32[], f32[8])) -> (s32[], f32[8]) {
  %r = f32[8]{0} all-reduce(%p), replica_groups=[1,8]<=[8]
}

%condition (p: (s32[], f32[8])) -> pred[] {
  %limit = s32[]{:T(128)} constant(5)
  %i = s32[]{:T(128)} get-tuple-element(%p), index=0
  ROOT %lt = pred[] compare(%i, %limit), direction=LT
}

"""


@pytest.mark.parametrize(("start", "count"), [(0, 5), (1, 4)], ids=["whole", "first round outside"])
def test_a_loop_whose_first_round_stands_outside(start: int, count: int) -> None:
    text = text_of(
        f"%one = s32[]{{:T(128)}} constant({start})",
        "%copy = s32[]{:T(128)} copy(%one)",
        "%state = (s32[], f32[8]{0}) tuple(%copy, %p)",
        "ROOT %w = (s32[], f32[8]{0}) while(%state), condition=%condition, body=%body",
        before=LOOP,
    )
    assert [one.count for one in hlo.collectives(text)] == [count]


def test_between_slices() -> None:
    line = (
        "%s = (bf16[128]{0}, u32[], token[]) send(%p, %t), is_host_transfer=true, "
        'frontend_attributes={_xla_megascale_target="{0,1,2,3}x{0:7}",'
        '_xla_megascale_transfer_type="ALL_REDUCE"}'
    )
    (found,) = hlo.collectives(text_of(line), {"data": 4, "fsdp": 8})
    assert (found.axes, found.group_size, found.wire_bytes) == ((hlo.NETWORK,), 4, 1.5 * 256)


def test_the_axes_of_one_slice_are_its_own() -> None:
    line = "ROOT %r = f32[8]{0} all-reduce(%p), replica_groups={{0,2,4,6},{1,3,5,7}}"
    (found,) = hlo.collectives(text_of(line), {"data": 2, "fsdp": 4, "tensor": 2})
    assert found.axes == ("fsdp",)


@pytest.mark.aot
# Programs for absent devices are written to the cache of the tests, but cannot be read from it.
@pytest.mark.filterwarnings("ignore:Error reading persistent compilation cache entry")
@pytest.mark.parametrize("name", ["v5e:2x4", "v5e:2x4*2"])
def test_of_a_tpu_program(name: str) -> None:
    topology = topologies.parse(name)
    sizes = MESH | {"data": topology.slices, "fsdp": 4}
    mesh = sharding.make_mesh(sizes, topology.describe())
    text = compile_stack(mesh)
    totals: dict[tuple[str, tuple[str, ...]], int] = {}
    for one in hlo.collectives(text, sizes):
        totals[one.kind, one.axes] = totals.get((one.kind, one.axes), 0) + one.count
    assert totals[("all-gather", ("fsdp",))] == 2 * LAYERS
    assert totals[("all-reduce", ("tensor",))] == LAYERS


def test_no_line_of_a_real_program_is_passed_over(program: str) -> None:
    lines = re.findall(r" (?:all-gather|all-reduce)\(", program)
    assert len(hlo.collectives(program, MESH)) == len(lines)
