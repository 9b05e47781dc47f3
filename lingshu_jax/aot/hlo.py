# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The collectives of a compiled program, read from its text.

What stands in the body of a loop counts as often as the loop runs. A collective that XLA cuts in
a start and a done, or spreads over several fusions between them, counts once; an all-reduce that
one fusion slices at once is the reduce-scatter it runs as.
"""

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lingshu_jax.common import errors

KINDS = ("all-gather", "reduce-scatter", "all-reduce", "all-to-all", "collective-permute")
_GET = "get-tuple-element"
NETWORK = "network"  # between slices, in place of mesh axes

_COMPUTATION = re.compile(r"(?P<entry>ENTRY )?%?(?P<name>[\w.\-]+) \(.*\) -> .*\{$")
_INSTRUCTION = re.compile(
    r"\s+(?P<root>ROOT )?%?(?P<name>[\w.\-]+) = (?P<shape>.*?) (?P<op>[a-z][\w\-]*)\((?P<rest>.*)"
)
_ARRAY = re.compile(r"(\w+)\[([\d,]*)\]")
_CALLEES = re.compile(r"(?:calls|to_apply|true_computation|false_computation)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_LISTED = re.compile(r"replica_groups=\{((?:\{[\d,]*\},?)*)\}")
_IOTA = re.compile(r"replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?")
_NAMED = re.compile(
    r"replica_groups=mesh\[(?P<sizes>[^\]]*)\]"
    r"(?:, device_ids=\((?:\[(?P<source>[\d,]+)\](?:T\((?P<order>[\d,]+)\))?|(?P<ids>[\d,]+))\))?"
    r" \{(?P<chosen>[^}]*)\}"
)
_CHOSEN = re.compile(r"'([^']+)'(?::\((\d+)\)(\d+))?")  # an axis, or a factor of one and its place


@dataclasses.dataclass(frozen=True)
class Collective:
    """One collective instruction.

    Attributes:
      kind: One of `KINDS`.
      result_bytes: Of its result on one device, one execution.
      wire_bytes: What one device sends in one execution around a ring.
      group_size: Devices that take part together; slices where it is between slices.
      count: Executions in a call of the program.
      axes: Mesh axes along which its groups extend, `(NETWORK,)` between slices; () where no
        mesh was given.
    """

    kind: str
    result_bytes: int
    wire_bytes: float
    group_size: int
    count: int
    axes: tuple[str, ...] = ()

    @property
    def total_bytes(self) -> float:
        """What one device sends in a call of the program."""
        return self.count * self.wire_bytes


class _Instruction(NamedTuple):
    name: str
    shape: str
    op: str
    rest: str
    is_root: bool


class _Program(NamedTuple):
    computations: dict[str, list[_Instruction]]
    entry: str
    devices: int


def collectives(text: str, mesh: Mapping[str, int] | None = None) -> list[Collective]:
    """All collectives of a program.

    Args:
      text: `compiled.as_text()`, of TPU, GPU or CPU.
      mesh: Axis sizes, in the order of the mesh the program was compiled for.

    Raises:
      UserError: If the groups of one are written in a form that is not known.
    """
    program = _parse(text)
    found = []
    for computation, instruction, count in _walk(program, program.entry, 1):
        one = _collective(program, computation, instruction)
        if one is not None:
            kind, size, groups = one
            group = len(groups[0])
            axes = () if mesh is None else _axes(groups[0], mesh, program.devices)
            found.append(Collective(kind, size, wire_bytes(kind, size, group), group, count, axes))
        elif "_xla_megascale_transfer_type" in instruction.rest and instruction.op == "send":
            found.append(_between_slices(instruction, count))
    return found


def summary(found: Sequence[Collective]) -> dict[str, float]:
    """Bytes that one device sends in a call of the program, by kind and mesh axes.

    Args:
      found: Of one program.

    Returns:
      As {"all-gather fsdp": 1.2e10}, largest first.
    """
    totals: dict[str, float] = {}
    for one in found:
        name = f"{one.kind} {'+'.join(one.axes)}".strip()
        totals[name] = totals.get(name, 0) + one.total_bytes
    return dict(sorted(totals.items(), key=lambda item: -item[1]))


def wire_bytes(kind: str, result_bytes: float, group_size: int) -> float:
    """What one device of a ring sends in a collective.

    Args:
      kind: One of `KINDS`.
      result_bytes: Of its result on one device.
      group_size: Devices in the ring.
    """
    share = (group_size - 1) / group_size
    if kind == "reduce-scatter":
        return (group_size - 1) * result_bytes
    if kind == "collective-permute":
        return result_bytes
    return (2 if kind == "all-reduce" else 1) * share * result_bytes


def array_bytes(shape: str) -> list[int]:
    """Bytes of every array of a shape.

    Args:
      shape: As HLO writes it, one array or a tuple.

    >>> array_bytes("(bf16[2,3]{1,0:T(8,128)(2,1)}, u32[], token[])")
    [12, 4, 0]
    """
    found = []
    for kind, dims in _ARRAY.findall(shape):
        bits = re.match(r"(?:bf|f|s|u|c)(\d+)", kind)
        width = 8 if kind == "pred" else int(bits[1]) if bits else 0
        found.append(math.prod(int(d) for d in dims.split(",") if d) * width // 8)
    return found


def _parse(text: str) -> _Program:
    computations: dict[str, list[_Instruction]] = {}
    entry, current = "", None
    for line in text.splitlines():
        if line.startswith(" "):
            match = _INSTRUCTION.match(line)
            if match and current is not None:
                fields = match.group("name", "shape", "op", "rest")
                current.append(_Instruction(*fields, is_root=bool(match["root"])))
        elif match := _COMPUTATION.match(line):
            current = computations[match["name"]] = []
            entry = match["name"] if match["entry"] else entry
    partitions = re.search(r"num_partitions=(\d+)", text.split("\n", 1)[0])
    return _Program(computations, entry, int(partitions[1]) if partitions else 1)


def _walk(program: _Program, name: str, count: int) -> Iterator[tuple[str, _Instruction, int]]:
    """(computation, instruction, executions) of everything that a computation runs."""
    for instruction in program.computations.get(name, ()):
        yield name, instruction, count
        if instruction.op == "while":
            body = re.search(r"body=%?([\w.\-]+)", instruction.rest)
            if body:
                yield from _walk(program, body[1], count * _trips(program, name, instruction))
        elif not instruction.op.endswith(("-done", "-update")):
            callees = _CALLEES.findall(instruction.rest)
            for branches in _BRANCHES.findall(instruction.rest):
                callees += [branch.strip(" %") for branch in branches.split(",")]
            for callee in callees:
                yield from _walk(program, callee, count)


def _trips(program: _Program, computation: str, loop: _Instruction) -> int:
    """How often a loop runs; 1 where that depends on data."""
    known = re.search(r'known_trip_count":\{"n":"(\d+)"', loop.rest)
    if known:
        return int(known[1])
    # TPU programs do not say it. A scan counts up to a constant of the condition, from 0 or, where
    # XLA took its first round out of the loop, from another constant.
    condition = re.search(r"condition=%?([\w.\-]+)", loop.rest)
    inside = program.computations.get(condition[1], ()) if condition else ()
    limits = [value for one in inside if (value := _constant(one)) is not None]
    if len(limits) != 1:
        return 1
    index = next((re.search(r"index=(\d+)", one.rest) for one in inside if one.op == _GET), None)
    return limits[0] - _start(
        program.computations[computation], loop, int(index[1]) if index else 0
    )


def _start(inside: Sequence[_Instruction], loop: _Instruction, index: int) -> int:
    """What the counter, entry `index` of the loop's state, begins with."""
    by_name = {one.name: one for one in inside}
    state = by_name.get(_operands(loop)[0])
    name = _operands(state)[index] if state is not None and state.op == "tuple" else ""
    while name in by_name and by_name[name].op in ("copy", "bitcast"):
        name = _operands(by_name[name])[0]
    value = _constant(by_name[name]) if name in by_name else None
    return value or 0


def _operands(instruction: _Instruction) -> list[str]:
    return re.findall(r"%([\w.\-]+)", instruction.rest.split(")")[0])


def _constant(instruction: _Instruction) -> int | None:
    """The value of a whole number, None of anything else."""
    is_one = instruction.op == "constant" and re.match(r"[su]32\[\]", instruction.shape)
    return int(instruction.rest.split(")")[0]) if is_one else None


def _collective(
    program: _Program, computation: str, instruction: _Instruction
) -> tuple[str, int, Sequence[Sequence[int]]] | None:
    """(kind, bytes of the result, groups) if the instruction is a collective that counts."""
    kind = instruction.op.removesuffix("-start")
    if kind not in KINDS:
        return None
    inside = program.computations[computation]
    if "chain_id=" in instruction.rest and not _starts_chain(inside, instruction):
        return None
    sizes = array_bytes(instruction.shape)
    if kind == "all-reduce" and computation.startswith("all-reduce-scatter"):
        kind = "reduce-scatter"
        sizes = array_bytes(next(one.shape for one in inside if one.is_root))
    elif instruction.op in ("all-gather-start", "collective-permute-start"):
        # (inputs, outputs) and, of a permute, two counters.
        sizes = [size for size in sizes if size > 4] or sizes[:2]
        sizes = sizes[len(sizes) // 2 :]
    return kind, sum(sizes), _groups(instruction, program.devices)


def _starts_chain(inside: Sequence[_Instruction], instruction: _Instruction) -> bool:
    """Whether it is the first of the fusions that a TPU spreads one collective over."""
    return any(
        'custom_call_target="AsyncCollectiveStart"' in one.rest
        and re.search(rf"%?{re.escape(instruction.name)}\b(?![.\-])", one.rest)
        for one in inside
    )


def _groups(instruction: _Instruction, devices: int) -> Sequence[Sequence[int]]:
    """Devices that take part together, as places in the order of the mesh."""
    text = instruction.rest
    if instruction.op.startswith("collective-permute"):
        return _rings(text)
    if match := _IOTA.search(text):
        shape = _numbers(match[1])
        return _iota(_numbers(match[2]), _numbers(match[3])).reshape(shape).tolist()
    if match := _NAMED.search(text):
        return _named_groups(match)
    if match := _LISTED.search(text):
        listed = re.findall(r"\{([\d,]+)\}", match[1])
        return [_numbers(group) for group in listed] or [list(range(devices))]
    raise errors.UserError(f"replica groups of an unknown form in: {instruction.name} {text[:300]}")


def _named_groups(match: re.Match[str]) -> Sequence[Sequence[int]]:
    """Of the form that names axes of a mesh, or factors of axes."""
    sizes = {name: int(size) for name, size in re.findall(r"'([^']+)'=(\d+)", match["sizes"])}
    if match["ids"]:
        places = np.asarray(_numbers(match["ids"]))
    else:
        places = _iota(
            _numbers(match["source"]) or (math.prod(sizes.values()),), _numbers(match["order"])
        )
    chosen = {name: (before, size) for name, before, size in _CHOSEN.findall(match["chosen"])}
    shape: list[int] = []
    along: list[int] = []
    for name, whole in sizes.items():
        before, size = chosen.get(name, ("", ""))
        factors = [int(before), int(size), whole // int(before) // int(size)] if size else [whole]
        if name in chosen:
            along.append(len(shape) + (len(factors) > 1))
        shape += factors
    kept = [i for i in range(len(shape)) if i not in along]
    group = math.prod(shape[i] for i in along)
    return places.reshape(shape).transpose(*kept, *along).reshape(-1, group).tolist()


def _iota(source: Sequence[int], order: Sequence[int]) -> np.ndarray:
    places = np.arange(math.prod(source)).reshape(source)
    return places.transpose(order) if order else places


def _numbers(text: str | None) -> tuple[int, ...]:
    return tuple(map(int, text.split(","))) if text else ()


def _rings(text: str) -> Sequence[Sequence[int]]:
    """The devices that a permute joins, those of the first source first."""
    listed = re.search(r"source_target_pairs=\{((?:\{\d+,\d+\},?)*)\}", text)
    pairs = re.findall(r"\{(\d+),(\d+)\}", listed[1]) if listed else []
    if not pairs:
        raise errors.UserError(f"a collective-permute without source_target_pairs: {text[:300]}")
    following = {int(source): int(target) for source, target in pairs}
    ring = [int(pairs[0][0])]
    while (place := following.get(ring[-1], ring[0])) not in ring:
        ring.append(place)
    return [ring]


def _axes(group: Sequence[int], mesh: Mapping[str, int], devices: int) -> tuple[str, ...]:
    """Mesh axes along which the places of a group differ."""
    # The program of one of several slices numbers the devices of its own slice; slices lie
    # along the first axis.
    sizes = list(mesh.values())
    sizes[0] = sizes[0] * devices // math.prod(sizes)
    if math.prod(sizes) != devices:
        return ()
    coordinates = np.stack(np.unravel_index(np.asarray(group), sizes))
    varies = (coordinates != coordinates[:, :1]).any(axis=1)
    return tuple(name for name, differs in zip(mesh, varies, strict=True) if differs)


def _between_slices(send: _Instruction, count: int) -> Collective:
    """Of a TPU's send to the other slices: an all-reduce sends to each of them once."""
    named = re.search(r'_xla_megascale_transfer_type="(\w+)"', send.rest)
    target = re.search(r'_xla_megascale_target="\{([\d,]+)\}', send.rest)
    kind = named[1].lower().replace("_", "-") if named else "all-reduce"
    slices = len(target[1].split(",")) if target else 2
    size = array_bytes(send.shape)[0]
    return Collective(kind, size, wire_bytes(kind, size, slices), slices, count, (NETWORK,))
