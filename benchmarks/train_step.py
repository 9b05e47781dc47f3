# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The training step beside torch and transformers: tokens a second, MFU and memory, as a table.

    PYTHONPATH=. python benchmarks/train_step.py --device=gpu --output=FILE.json [--data=DIR]
    PYTHONPATH=. python benchmarks/train_step.py --device=cpu --output=FILE.json [--torch=PYTHON]
    PYTHONPATH=. python benchmarks/train_step.py --check [--torch=PYTHON]

Both sides compute the same examples (`train_step_work.py`): forward, backward, clipping, AdamW.
Ours are packed rows through the stages' own step; torch's are length-bucketed batches with SDPA,
and our rows with flex attention, and the faster of the two is compared. Only real tokens are
counted. MFU is that of `models/flops.py`: padding, recomputation and weight gradients of frozen
parts are no work, causal attention is half of a square. The first run of a side is not timed.

On a GPU the sides run one after the other, on a CPU in turns, so that a busy machine is fair; there
the processor seconds of all threads together say more than the seconds. Every row is written as
soon as it is there; a side that fails is a row that says why. `--check` lets both sides start from
equal weights at a very small size and compares their first losses.

`--data` is the folder of `packing_fill.py`; without it the lengths are drawn. `--torch` is the
interpreter that has torch and transformers, where it is not this one.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import train_step_sides, train_step_work
from lingshu_jax.common import errors, tokens
from lingshu_jax.models import hf, qwen2_5_vl, sizes

OURS, BUCKETED, PACKED, PACKED_SDPA = "ours", "bucketed", "packed", "packed_sdpa"
NAMES = {
    OURS: "ours, packed",
    BUCKETED: "torch, length-bucketed, SDPA",
    PACKED: "torch, packed, flex attention",
    PACKED_SDPA: "torch, packed, SDPA with a mask",
}
MODULES = {OURS: "benchmarks.train_step_ours"}  # the others are torch's
RUNS = 3
GIB = 2**30
DRAWN = 2000
CLOSE = 1e-4  # of first losses, relative; float32
ALL = {"vision": 2e-6, "merger": 1e-5, "text": 1e-5}  # stage 3's
TEXT_FROZEN = {"vision": 2e-6, "merger": 1e-5, "text": None}  # stage 1's
TEXT_ALONE = {"vision": None, "merger": None, "text": 1e-5}
COLUMNS = (
    *("work", "side", "runs, s", "median, s", "processor, s", "real tokens/s", "images/s"),
    *("MFU", "peak memory, GiB"),
)


def _ids_before(vocab_size: int) -> tokens.SpecialIds:
    names = [field.name for field in dataclasses.fields(tokens.SpecialIds)]
    first = vocab_size - len(names)
    return tokens.SpecialIds(**{name: first + i for i, name in enumerate(names)})


# The one size of the CPU form.
CPU_SIZE = sizes.ModelSize(
    vision=sizes.VisionSize(
        num_layers=8, embed_dim=512, num_heads=8, mlp_dim=1376, full_attention_layers=(3, 7)
    ),
    text=sizes.TextSize(
        num_layers=12,
        embed_dim=768,
        num_heads=6,
        num_kv_heads=2,
        head_dim=128,
        mlp_dim=2048,
        vocab_size=32_768,
        tie_embeddings=False,
    ),
    special=_ids_before(32_768),
)
CHECK_SIZE = sizes.ModelSize(
    vision=sizes.VisionSize(
        num_layers=3, embed_dim=32, num_heads=2, mlp_dim=80, full_attention_layers=(1,)
    ),
    text=sizes.TextSize(
        num_layers=2,
        embed_dim=64,
        num_heads=2,
        num_kv_heads=1,
        head_dim=32,
        mlp_dim=96,
        vocab_size=512,
        tie_embeddings=False,
        mrope_section=(4, 6, 6),
    ),
    special=_ids_before(512),
)


class Row(NamedTuple):
    """A kind of work.

    Attributes:
      name: In the table.
      plan: What is computed.
    """

    name: str
    plan: train_step_work.Plan


def gpu_rows() -> list[Row]:
    """In the order of what they are worth, for one card of 139 GiB."""
    plan = train_step_work.Plan
    small, large = sizes.get("3b"), sizes.get("7b")
    # 7B with float32 weights, moments and gradients is 124 GiB before the first activation.
    fullest = {"param_dtype": "bfloat16", "rows": 2}
    alone = {"with_images": False}
    return [
        Row("3B, stage 3, all parts, float32 state", plan(size=small, rates=ALL)),
        Row("7B, stage 1, text frozen in bfloat16", plan(size=large, rates=TEXT_FROZEN)),
        Row("7B, stage 3, all parts, bfloat16 state", plan(size=large, rates=ALL, **fullest)),
        Row("3B, text only, float32 state", plan(size=small, rates=TEXT_ALONE, **alone)),
    ]


def cpu_rows() -> list[Row]:
    """The CPU form: float32, nothing recomputed, two threads."""
    common: dict[str, Any] = {
        "size": CPU_SIZE,
        "frozen_dtype": "float32",
        "compute_dtype": "float32",
        "remat": "none",
        "tokens_per_row": 2048,
        "rows": 1,
        "steps": 1,
        "pixels": (64 * 28 * 28, 256 * 28 * 28),
        "device": "cpu",
        "threads": 2,
    }
    plan = train_step_work.Plan
    return [
        Row("stage 3, all parts", plan(rates=ALL, **common)),
        Row("text only", plan(rates=TEXT_ALONE, with_images=False, **common)),
    ]


def check_row() -> Row:
    """A very small model whose losses are compared; rates that move it."""
    plan = train_step_work.Plan(
        size=CHECK_SIZE,
        rates={"vision": 1e-3, "merger": 1e-3, "text": 2e-3},
        frozen_dtype="float32",
        compute_dtype="float32",
        remat="none",
        tokens_per_row=256,
        rows=2,
        steps=3,
        pixels=(2 * 28 * 28, 12 * 28 * 28),
        device="cpu",
        threads=1,
    )
    return Row("check", plan)


def command(form: str, work: pathlib.Path, torch_python: str) -> list[str]:
    """Of a side's process.

    Args:
      form: One of `NAMES`.
      work: The folder that says what is computed.
      torch_python: The interpreter that has torch.
    """
    if form in MODULES:
        return [sys.executable, "-m", MODULES[form], f"--work={work}"]
    module = "benchmarks.train_step_torch"
    return [torch_python, "-m", module, f"--work={work}", f"--attention={form}"]


def measure(
    row: Row, forms: Sequence[str], lengths: Sequence[train_step_work.Lengths], *, torch_python: str
) -> dict[str, Any]:
    """Times one kind of work on every side.

    Args:
      row: The work.
      forms: Of `NAMES`.
      lengths: Of the examples.
      torch_python: The interpreter that has torch.

    Returns:
      For `--output`: what a run holds, and for each side its runs or its error.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        train_step_work.write(row.plan, lengths, folder)

        def start(form: str) -> train_step_sides.Side:
            log = folder / f"{form}.log"
            asked = command(form, folder, torch_python)
            return train_step_sides.Side(asked, device=row.plan.device, log=log)

        if row.plan.device == "cpu":
            sides = [start(form) for form in forms]
            train_step_sides.alternate(sides, RUNS)
        else:
            starts = [lambda form=form: start(form) for form in forms]
            sides = train_step_sides.one_by_one(starts, RUNS)
    return summarise(row, dict(zip(forms, sides, strict=True)))


def summarise(row: Row, sides: dict[str, train_step_sides.Side]) -> dict[str, Any]:
    """What came out, as `--output` holds it.

    Args:
      row: The work.
      sides: By form, finished.
    """
    counts = sides[OURS].ready
    plan = dataclasses.asdict(row.plan)
    del plan["size"]
    result: dict[str, Any] = {"work": row.name, "plan": plan, "counts": counts, "sides": {}}
    for form, side in sides.items():
        numbers: dict[str, Any] = {"error": side.error}
        if side.runs and counts:
            seconds = statistics.median(side.runs)
            peak = counts["peak_flops"]
            numbers |= {
                "runs": side.runs,
                "seconds": seconds,
                "cpu_runs": side.cpu_runs,
                "cpu_seconds": statistics.median(side.cpu_runs),
                "tokens_per_second": counts["tokens"] / seconds,
                "images_per_second": counts["images"] / seconds,
                "mfu": counts["flops"] / seconds / peak if peak else None,
                "memory_bytes": side.memory_bytes,
                "ready": side.ready,
            }
        result["sides"][form] = numbers
    result["times_torch"] = _times_torch(result["sides"], "seconds")
    result["times_torch_cpu"] = _times_torch(result["sides"], "cpu_seconds")
    return result


def _times_torch(sides: dict[str, dict[str, Any]], kind: str) -> float | None:
    """How many times as fast as the faster of torch's forms; None where a side has no number."""
    theirs = [numbers[kind] for form, numbers in sides.items() if form != OURS and kind in numbers]
    return min(theirs) / sides[OURS][kind] if theirs and kind in sides[OURS] else None


def table_lines(result: dict[str, Any]) -> Iterator[str]:
    """Lines of the Markdown table for one kind of work.

    Args:
      result: From `summarise`.
    """
    for form, side in result["sides"].items():
        if "seconds" not in side:
            yield _line(result["work"], NAMES[form], side["error"])
            continue
        yield _line(
            result["work"],
            NAMES[form],
            ", ".join(f"{run:.2f}" for run in side["runs"]),
            f"{side['seconds']:.2f}",
            f"{side['cpu_seconds']:.2f}",
            f"{side['tokens_per_second']:,.0f}",
            f"{side['images_per_second']:.2f}",
            "" if side["mfu"] is None else f"{side['mfu']:.1%}",
            f"{side['memory_bytes'] / GIB:.1f}",
        )
    if result["times_torch"]:
        name, times = "**ours, times the faster torch**", f"{result['times_torch']:.2f}"
        yield _line(result["work"], name, "", times, f"{result['times_torch_cpu']:.2f}")


def _line(*cells: str) -> str:
    return f"| {' | '.join((*cells, *[''] * (len(COLUMNS) - len(cells))))} |"


def machine() -> dict[str, Any]:
    """Commit, processor and load, for the table's caption."""
    repo = pathlib.Path(__file__).resolve().parents[1]
    asked = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(asked, cwd=repo, capture_output=True, text=True, check=False)
    return {
        "commit": done.stdout.strip() or "unknown",
        "python": platform.python_version(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }


def processor() -> str:
    """Its name, as Linux has it."""
    info = pathlib.Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor()


def write_check(folder: pathlib.Path) -> None:
    """The work of the check, with weights for both sides.

    Args:
      folder: Where to; must exist.
    """
    plan = check_row().plan
    lengths = [
        one._replace(prompt=min(one.prompt, 16), targets=min(one.targets, 24))
        for one in train_step_work.drawn_lengths(_rng(), DRAWN, plan.pixels)
    ]
    train_step_work.write(plan, lengths, folder)
    model = qwen2_5_vl.Qwen2_5_VL(size=plan.size)
    params = jax.jit(lambda key: qwen2_5_vl.init_params(model, key))(jax.random.key(0))
    hf.write_weights(params, plan.size, folder, dtype=jnp.dtype(jnp.float32))


def first_losses(form: str, folder: pathlib.Path, torch_python: str) -> list[float]:
    """Losses of a side's first steps; those after the first depend on its updates.

    Args:
      form: One of `NAMES`.
      folder: From `write_check`.
      torch_python: The interpreter that has torch.

    Raises:
      UserError: If the side fails.
    """
    asked = command(form, folder, torch_python)
    side = train_step_sides.Side(asked, device="cpu", log=folder / f"{form}.log")
    side.warm_up()
    side.close()
    if side.error:
        raise errors.UserError(f"{NAMES[form]}: {side.error}")
    return side.ready["losses"]


def check(torch_python: str) -> dict[str, list[float]]:
    """First losses of all sides from equal weights, by form: the same work is timed.

    Args:
      torch_python: The interpreter that has torch.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_check(folder)
        forms = (OURS, BUCKETED, PACKED_SDPA)
        return {form: first_losses(form, folder, torch_python) for form in forms}


def largest_gap(losses: dict[str, list[float]]) -> float:
    """Largest relative difference of a step's loss from ours."""
    return max(
        abs(loss / ours - 1)
        for form in losses
        for loss, ours in zip(losses[form], losses[OURS], strict=True)
    )


def write_result(path: pathlib.Path | None, results: list[dict[str, Any]], about: Any) -> None:
    """Writes what there is so far.

    Args:
      path: A JSON file, or None.
      results: From `measure`.
      about: From `machine`.
    """
    if path:
        path.write_text(json.dumps({"machine": about, "rows": results}, indent=1) + "\n")


def find_lengths(data: pathlib.Path | None, row: Row) -> list[train_step_work.Lengths]:
    """Those of the data where there is some, else drawn ones.

    Args:
      data: The folder of `packing_fill.py`, or None.
      row: Gives the image sizes.
    """
    if data:
        return train_step_work.real_lengths(data, row.plan.pixels)
    return train_step_work.drawn_lengths(_rng(), DRAWN, row.plan.pixels)


def _rng() -> np.random.Generator:
    return np.random.default_rng(train_step_work.SEED)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments.

    Args:
      argv: None takes those of the process.
    """
    parser = make_parser(__doc__, [OURS, BUCKETED, PACKED])
    parser.add_argument("--data", type=pathlib.Path)
    parser.add_argument("--rows", type=int, default=9, help="so many of the table")
    return parser.parse_args(argv)


def make_parser(description: str | None, sides: Sequence[str]) -> argparse.ArgumentParser:
    """The arguments of every benchmark that sets ours beside torch.

    Args:
      description: Of the benchmark.
      sides: Those that are measured by default.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--device", choices=("gpu", "cpu"), default="cpu")
    parser.add_argument("--torch", default=sys.executable)
    parser.add_argument("--output", type=pathlib.Path)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--sides", default=",".join(sides), help="which, by commas")
    parser.add_argument("--seconds", type=float, default=1e9, help="no row begins after them")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Reads the arguments; prints the table and writes it row by row."""
    flags, start = parse(argv), time.monotonic()
    if flags.check:
        losses = check(flags.torch)
        for form, values in losses.items():
            print(f"{NAMES[form]}: {', '.join(f'{value:.6f}' for value in values)}")
        gap = largest_gap(losses)
        print(f"largest relative difference: {gap:.1e}")
        sys.exit(gap > CLOSE)
    results: list[dict[str, Any]] = []
    about, forms = machine(), flags.sides.split(",")
    print(_line(*COLUMNS), _line(*["---"] * len(COLUMNS)), sep="\n", flush=True)
    for row in (gpu_rows if flags.device == "gpu" else cpu_rows)()[: flags.rows]:
        if time.monotonic() - start > flags.seconds:
            print(_line(row.name, "not run: no time left"), flush=True)
            continue
        lengths = find_lengths(flags.data, row)
        results.append(measure(row, forms, lengths, torch_python=flags.torch))
        print(*table_lines(results[-1]), sep="\n", flush=True)
        write_result(flags.output, results, about)
    print(f"\n{json.dumps({**about, 'load_after': os.getloadavg()[0]})}")
    for result in results:
        described = {form: side.get("ready", {}) for form, side in result["sides"].items()}
        print(json.dumps({"work": result["work"], **described}))


if __name__ == "__main__":
    main()
