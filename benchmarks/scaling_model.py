# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What `scaling.py` predicts, and its assumptions: meshes, batches, memory, goodput."""

import dataclasses
import json
import math
import pathlib
from collections.abc import Mapping
from typing import NamedTuple

from lingshu_jax.aot import step_time, traffic
from lingshu_jax.common import topologies
from lingshu_jax.models import flops, sizes

MODELS, CHIPS = ("7b", "32b"), ("v5e", "v6e", "v5p")
COUNTS = tuple(2**n for n in range(3, 14))
RECIPE_ROWS = 64
SLICES = {
    "v5e": {8: "2x4", 16: "4x4", 32: "4x8", 64: "8x8", 128: "8x16", 256: "16x16"},
    "v5p": {
        **{8: "2x2x2", 16: "2x2x4", 32: "2x4x4", 64: "4x4x4", 128: "4x4x8", 256: "4x8x8"},
        **{512: "8x8x8", 1024: "8x8x16", 2048: "8x16x16", 4096: "16x16x16"},
    },
}
SLICES["v6e"] = SLICES["v5e"]

# A row of configs/stage3_instruct.py, half of its tokens visual.
TOKENS, PATCHES = 8192, 16_384
TOKENS_FULL, PATCHES_FULL = 0.995, 0.95  # benchmarks/packing_fill.py, a fitted budget
SEQUENCES = 8  # of a row, each with one image
REMAT = "full"

MTBF = 50_700 * 3600.0  # seconds of one chip
RESTART = 600.0  # seconds until the run goes on after a failure
STATE_BYTES = 12  # of a weight: float32 weight and two moments
COPY = 2e9  # bytes/s of a chip to its host, while the step waits
COMMIT = 2.0  # seconds of a checkpoint besides
LONGEST = 3600.0  # seconds between checkpoints at most

SPARE = 0.9  # of a device's memory
WORKSPACE = 3 * 2**30  # bytes beside state, gradients and saved inputs of blocks


class Point(NamedTuple):
    """One prediction.

    Attributes:
      topology: Chips.
      mesh: Devices along each axis.
      rows: Of the global batch.
      prediction: Step time and MFU; None where it does not fit.
      goodput: Share of the time that steps take.
    """

    topology: topologies.Topology
    mesh: dict[str, int]
    rows: int
    prediction: step_time.Prediction | None
    goodput: float


def topology_of(chip: str, count: int) -> topologies.Topology:
    """So many chips in as few slices as there can be.

    Args:
      chip: A name of `SLICES`.
      count: A power of two, at least 8.
    """
    whole = max(SLICES[chip])
    shape = SLICES[chip][min(count, whole)]
    slices = f"*{count // whole}" if count > whole else ""
    return topologies.parse(f"{chip}:{shape}{slices}")


def useful_work(rows: int) -> flops.Work:
    """Of a global batch.

    Args:
      rows: Of the batch.
    """
    tokens, patches = rows * TOKENS * TOKENS_FULL, rows * PATCHES * PATCHES_FULL
    return flops.Work(
        tokens=tokens,
        token_pairs=tokens * TOKENS * TOKENS_FULL / SEQUENCES,
        patches=patches,
        frame_pairs=patches * PATCHES * PATCHES_FULL / SEQUENCES,
        window_pairs=patches * 64,
        targets=tokens / 2,
    )


def everything(size: sizes.ModelSize) -> set[str]:
    """Paths of all weights; stage 3 trains them.

    Args:
      size: The model's sizes.
    """
    paths = {one.weight for one in flops.products(size, useful_work(1))} - {""}
    return paths | {"text/embed/embedding"}


def recipe_meshes(size: sizes.ModelSize, chips: int, slices: int) -> list[dict[str, int]]:
    """Those that the batch of the recipe allows: rows over 64 devices, heads over the others.

    Args:
      size: The model's sizes; its heads divide by tensor times context, its key/value heads by
        tensor.
      chips: One device each.
      slices: Along the data axis.
    """
    text, others = size.text, max(1, chips // RECIPE_ROWS)
    rows = min(chips, RECIPE_ROWS)
    tensors = [n for n in range(1, others + 1) if others % n == 0 and text.num_kv_heads % n == 0]
    return [
        {"data": slices, "fsdp": rows // slices, "tensor": n, "context": others // n}
        for n in tensors
        if text.num_heads % others == 0
    ]


def point(name: str, chip: str, count: int, rows: int, *, ratio: float = 1.0) -> Point | None:
    """The prediction of the best mesh.

    Args:
      name: Of the model.
      chip: A name of `SLICES`.
      count: Chips.
      rows: Of the global batch; more than the recipe's are rows of one device each.
      ratio: Bytes of compiled collectives over those by hand.

    Returns:
      None where no mesh is allowed.
    """
    size, topology = sizes.get(name), topology_of(chip, count)
    if rows == RECIPE_ROWS:
        meshes = recipe_meshes(size, count, topology.slices)
    else:
        meshes = [{"data": topology.slices, "fsdp": count // topology.slices}]
    points = [_predict(size, topology, mesh, rows=rows, ratio=ratio) for mesh in meshes]
    return max(points, key=_mfu, default=None)


def _mfu(one: Point) -> float:
    return one.prediction.mfu if one.prediction else 0.0


def _predict(
    size: sizes.ModelSize,
    topology: topologies.Topology,
    mesh: dict[str, int],
    *,
    rows: int,
    ratio: float,
) -> Point:
    local = rows // (mesh["data"] * mesh["fsdp"])
    batch = step_time.Batch(rows, TOKENS, PATCHES, micro_batches=local)
    trained = everything(size)
    weights = sum(one.weights for one in traffic.stacks(size, trained, with_vision=True))
    if not fits(size, topology, mesh, weights):
        return Point(topology, mesh, rows, None, 0.0)
    by_hand = traffic.collectives(
        size=size,
        batch=batch,
        trained=trained,
        recomputed=step_time.RECOMPUTED[REMAT],
        mesh=mesh,
        slices=topology.slices,
    )
    found = step_time.predict(
        size=size,
        work=useful_work(rows),
        batch=batch,
        trained=trained,
        remat=REMAT,
        topology=topology,
        mesh=mesh,
        collectives=[
            dataclasses.replace(one, wire_bytes=one.wire_bytes * ratio) for one in by_hand
        ],
    )
    checkpoint = COMMIT + STATE_BYTES * weights / topology.devices / COPY
    return Point(topology, mesh, rows, found, goodput(topology.devices, checkpoint))


def fits(
    size: sizes.ModelSize,
    topology: topologies.Topology,
    mesh: Mapping[str, int],
    weights: int,
) -> bool:
    """By arithmetic: state and gradients, the saved inputs of the blocks of a row, a workspace.

    Args:
      size: The model's sizes.
      topology: Chips.
      mesh: Devices along each axis.
      weights: Of the model.
    """
    split = mesh["fsdp"] * mesh.get("tensor", 1)
    saved = TOKENS * size.text.num_layers * size.text.embed_dim
    saved += PATCHES * size.vision.num_layers * size.vision.embed_dim
    state = (STATE_BYTES + 4) * weights / split
    needed = state + 2 * saved / mesh.get("context", 1) + WORKSPACE
    return needed < SPARE * topology.chip.hbm_bytes


def goodput(chips: int, checkpoint: float, mtbf: float = MTBF) -> float:
    """Share of the time that steps take, at the best interval between checkpoints.

    Daly's formula for failures at random (Future Generation Computer Systems 22, 2006, equation
    20) at Young's interval (Communications of the ACM 17, 1974), at most `LONGEST`.

    Args:
      chips: That can fail.
      checkpoint: Seconds that the run waits for one.
      mtbf: Seconds between failures of one chip.

    >>> goodput(1, 1e-9, mtbf=1e15) > 0.999999
    True
    """
    between = mtbf / chips
    interval = min(LONGEST, math.sqrt(2 * checkpoint * between))
    lost = between * math.exp(RESTART / between) * math.expm1((interval + checkpoint) / between)
    return interval / lost


def ratios(table: pathlib.Path) -> dict[tuple[str, str], float]:
    """(model, chip) -> bytes that a compiled program of stage 3 sends over those by hand.

    Args:
      table: JSON file of `python -m lingshu_jax.aot.table`; it may be absent.
    """
    found = {}
    rows = json.loads(table.read_text(encoding="utf-8")) if table.is_file() else {}
    for name, row in rows.items():
        row = row["result"]
        model, topology = name.split()[0].lower(), topologies.parse(row["topology"])
        sent = sum(sum(program.values()) for program in row["collectives"].values())
        is_wanted = row["stage"] == "instruct" and model in MODELS and topology.slices == 1
        if not is_wanted or not sent or topology.chip.name not in CHIPS or "LoRA" in name:
            continue
        size = sizes.get(model)
        by_hand = traffic.collectives(
            size=size,
            batch=step_time.Batch(
                row["global_batch_rows"],
                row["tokens_per_row"],
                row["patches_per_row"],
                micro_batches=row["accumulation_steps"],
            ),
            trained=everything(size),
            recomputed=step_time.RECOMPUTED[row["remat"]],
            mesh=row["mesh"],
        )
        found[model, topology.chip.name] = sent / sum(one.total_bytes for one in by_hand)
    return found


def all_points(table_file: pathlib.Path) -> dict[tuple[str, str, int, bool], Point | None]:
    """By model, chip, count, and whether the batch is the recipe's.

    Args:
      table_file: As of `ratios`.
    """
    known = ratios(table_file)
    return {
        (name, chip, count, is_recipe): point(
            name,
            chip,
            count,
            RECIPE_ROWS if is_recipe else max(RECIPE_ROWS, count),
            ratio=known.get((name, chip), 1.0),
        )
        for name in MODELS
        for chip in CHIPS
        for count in COUNTS
        for is_recipe in (True, False)
    }
