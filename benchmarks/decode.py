# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Prefill and decoding at batch 1, 16 and 128, beside transformers' `generate`.

    PYTHONPATH=. python -m benchmarks.decode --device=gpu --output=decode.json
    PYTHONPATH=. python -m benchmarks.decode --device=cpu --torch=PYTHON
    PYTHONPATH=. python -m benchmarks.decode --check --torch=PYTHON

The same random prompts, each with an image; greedy; a fixed number of new tokens; nothing ends an
answer. Prefill is the time of one new token, decoding the rest of the time of all of them. The
limit is what memory bandwidth allows: a step reads all text weights and the head once, and the keys
and values in use. A card's bandwidth is that of its data sheet (`common/topologies.py`); that of a
CPU is measured here, by two threads that each read 256 MiB by a dot product of float32 with itself.
On a CPU both sides read the same weights, and their tokens are compared; on a GPU each makes its
own. Every row is printed, and written to `--output`, once it is there. `--torch` is the interpreter
that has torch and transformers.
"""

import argparse
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks import decode_work, train_step, train_step_sides
from lingshu_jax.common import topologies
from lingshu_jax.models import sizes

RUNS = 3
OURS, THEIRS = "ours", "transformers"
BATCHES = (1, 16, 128)
READ_BYTES = 256 * 2**20  # of each thread
# Seconds that a side may take to warm up or to run once; a GPU is lent, a CPU is shared.
PATIENCE = {"gpu": train_step_sides.SIDE_SECONDS, "cpu": 3600.0}
HEADER = (
    "| model | batch | side | prefill, tokens/s | decode, tokens/s (each run) "
    "| decode by processor time | ms a step | of the bandwidth | memory, GiB |",
    "|---|---|---|---|---|---|---|---|---|",
)


class Row(NamedTuple):
    """A model and a batch.

    Attributes:
      name: In the table.
      plan: What is generated.
    """

    name: str
    plan: decode_work.Plan


def gpu_rows() -> list[Row]:
    """3B and 7B in bfloat16, 512 prompt tokens of which 256 are an image's, 128 new ones."""
    return [
        Row(name, decode_work.Plan(size=sizes.get(name), rows=rows))
        for name in ("3b", "7b")
        for rows in BATCHES
    ]


def cpu_rows() -> list[Row]:
    """The CPU form: float32, two threads, 64 prompt tokens of which 16 are an image's."""
    common: dict[str, Any] = {
        "size": train_step.CPU_SIZE,
        "dtype": "float32",
        "prompt_tokens": 64,
        "image_side": 8,
        "new_tokens": 16,
        "device": "cpu",
        "threads": 2,
        "has_weights": True,
    }
    return [Row("cpu", decode_work.Plan(rows=rows, **common)) for rows in BATCHES]


def check_row() -> Row:
    """A very small model whose tokens are compared."""
    plan = decode_work.Plan(
        size=train_step.CHECK_SIZE,
        dtype="float32",
        rows=3,
        prompt_tokens=40,
        image_side=8,
        new_tokens=12,
        device="cpu",
        threads=1,
        has_weights=True,
    )
    return Row("check", plan)


def command(form: str, work: pathlib.Path, torch_python: str) -> list[str]:
    """Of a side's process.

    Args:
      form: `OURS` or `THEIRS`.
      work: The folder that says what is generated.
      torch_python: The interpreter that has torch.
    """
    if form == OURS:
        return [sys.executable, "-m", "benchmarks.decode_ours", f"--work={work}"]
    return [torch_python, "-m", "benchmarks.decode_torch", f"--work={work}"]


def measure(
    row: Row, forms: Sequence[str], *, torch_python: str, runs: int = RUNS
) -> dict[str, Any]:
    """Times one row on the sides.

    Args:
      row: Model and batch.
      forms: Of `OURS`, `THEIRS`.
      torch_python: The interpreter that has torch.
      runs: Timed ones, after one that warms up.

    Returns:
      For `--output`.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        decode_work.write(row.plan, folder)

        def start(form: str) -> train_step_sides.Side:
            asked = command(form, folder, torch_python)
            log = folder / f"{form}.log"
            return train_step_sides.Side(
                asked, device=row.plan.device, log=log, patience=PATIENCE[row.plan.device]
            )

        bandwidth = read_bandwidth(row.plan.threads) if row.plan.device == "cpu" else 0.0
        if row.plan.device == "cpu":
            sides = [start(form) for form in forms]
            train_step_sides.alternate(sides, runs)
        else:
            starts = [lambda form=form: start(form) for form in forms]
            sides = train_step_sides.one_by_one(starts, runs)
    return summarise(row, dict(zip(forms, sides, strict=True)), bandwidth)


def read_bandwidth(threads: int) -> float:
    """Bytes a second that this machine's memory gives so many readers; the best of five.

    Args:
      threads: That read.
    """
    arrays = [np.ones(READ_BYTES // 4, np.float32) for _ in range(threads)]
    seconds = []
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        for _ in range(5):
            start = time.perf_counter()
            list(pool.map(lambda array: np.dot(array, array), arrays))
            seconds.append(time.perf_counter() - start)
    return threads * READ_BYTES / min(seconds)


def step_bytes(plan: decode_work.Plan, weight_bytes: float) -> float:
    """Bytes that an average decode step must read.

    Args:
      plan: What is generated.
      weight_bytes: Of the text model, the head included.
    """
    text, item = plan.size.text, 4 if plan.dtype == "float32" else 2
    a_token = 2 * text.num_layers * text.num_kv_heads * text.head_dim * item
    return weight_bytes + plan.rows * (plan.prompt_tokens + plan.new_tokens / 2) * a_token


def summarise(
    row: Row, sides: dict[str, train_step_sides.Side], bandwidth: float
) -> dict[str, Any]:
    """What came out, as `--output` holds it.

    Args:
      row: Model and batch.
      sides: By form, finished.
      bandwidth: Measured, bytes a second; 0 takes the card's.
    """
    plan = dataclasses.asdict(row.plan)
    del plan["size"]
    ready = sides[OURS].ready
    if not bandwidth:
        kinds = {chip.device_kind: chip.hbm_bandwidth for chip in topologies.CHIPS.values()}
        bandwidth = kinds.get(ready.get("device", ""), 0.0)
    needed = step_bytes(row.plan, ready.get("weight_bytes", 0.0))
    limit = needed / bandwidth if bandwidth else 0.0
    described = {form: _numbers(row.plan, side, limit) for form, side in sides.items()}
    result = {"model": row.name, "plan": plan, "sides": described}
    result |= {"bandwidth": bandwidth, "step_bytes": needed}
    rates = [side["decode"] for side in described.values() if "decode" in side]
    if len(rates) == 2:
        result["times_transformers"] = rates[0] / rates[1]
        result["equal_tokens"] = equal_tokens(*(side.ready["tokens"] for side in sides.values()))
    return result


def _numbers(plan: decode_work.Plan, side: train_step_sides.Side, limit: float) -> dict[str, Any]:
    if side.error or not side.steps:
        return {"error": side.error}
    decoded = plan.rows * (plan.new_tokens - 1)
    prefills = [plan.rows * plan.prompt_tokens / one[0] for (one, _) in side.steps]
    # Seconds of all tokens without those of the first.
    rest = [(every[0] - one[0], every[1] - one[1]) for (one, every) in side.steps]
    seconds = statistics.median(wall for wall, _ in rest)
    step_seconds = seconds / (plan.new_tokens - 1)
    return {
        "error": "",
        "prefill": statistics.median(prefills),
        "prefill_runs": prefills,
        "decode": decoded / seconds,
        "decode_runs": [decoded / wall for wall, _ in rest],
        "decode_by_processor_time": decoded / statistics.median(cpu for _, cpu in rest),
        "step_seconds": step_seconds,
        "of_bandwidth": limit / step_seconds if limit else None,
        "memory_bytes": side.memory_bytes,
        "ready": {name: value for name, value in side.ready.items() if name != "tokens"},
    }


def equal_tokens(ours: list[list[int]], theirs: list[list[int]]) -> float:
    """Share of answers that are equal, token for token."""
    return statistics.fmean(a == b for a, b in zip(ours, theirs, strict=True))


def table_lines(result: dict[str, Any]) -> Iterator[str]:
    """Lines of the Markdown table for one row.

    Args:
      result: From `summarise`.
    """
    plan, head = result["plan"], f"| {result['model']} | {result['plan']['rows']}"
    for form, side in result["sides"].items():
        if "decode" not in side:
            yield f"{head} | {form} | {side['error']} | | | | | |"
            continue
        runs = ", ".join(f"{run:,.0f}" for run in side["decode_runs"])
        share = "" if side["of_bandwidth"] is None else f"{side['of_bandwidth']:.0%}"
        # On a GPU the processor only asks.
        by_cpu = f"{side['decode_by_processor_time']:,.0f}" if plan["device"] == "cpu" else ""
        yield (
            f"{head} | {form} | {side['prefill']:,.0f} | {side['decode']:,.0f} ({runs}) | {by_cpu} "
            f"| {side['step_seconds'] * 1e3:.2f} | {share} "
            f"| {side['memory_bytes'] / train_step.GIB:.1f} |"
        )
    if "times_transformers" in result:
        equal = f"{result['equal_tokens']:.0%} of answers equal" if plan["has_weights"] else ""
        times = f"{result['times_transformers']:.2f}"
        yield f"{head} | **ours, times transformers** | | {times} | | | | {equal} |"


def check(torch_python: str) -> dict[str, list[list[int]]]:
    """New tokens of both sides from equal weights.

    Args:
      torch_python: The interpreter that has torch.
    """
    tokens = {}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        decode_work.write(check_row().plan, folder)
        for form in (OURS, THEIRS):
            asked = command(form, folder, torch_python)
            log = folder / f"{form}.log"
            side = train_step_sides.Side(asked, device="cpu", log=log, patience=PATIENCE["cpu"])
            side.warm_up()
            side.close()
            if side.error:
                sys.exit(f"{form}: {side.error}")
            tokens[form] = side.ready["tokens"]
    return tokens


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments.

    Args:
      argv: None takes those of the process.
    """
    parser = train_step.make_parser(__doc__, [OURS, THEIRS])
    parser.add_argument("--batches", default=",".join(map(str, BATCHES)))
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Reads the arguments; prints the table and writes it row by row."""
    flags, start = parse(argv), time.monotonic()
    if flags.check:
        tokens = check(flags.torch)
        for form, rows in tokens.items():
            print(f"{form}: {rows}")
        sys.exit(tokens[OURS] != tokens[THEIRS])
    results: list[dict[str, Any]] = []
    about, batches = train_step.machine(), [int(rows) for rows in flags.batches.split(",")]
    print(*HEADER, sep="\n", flush=True)
    for row in gpu_rows() if flags.device == "gpu" else cpu_rows():
        if row.plan.rows not in batches:
            continue
        if time.monotonic() - start > flags.seconds:
            print(f"| {row.name} | {row.plan.rows} | not run: no time left | | | | | | |")
            continue
        results.append(measure(row, flags.sides.split(","), torch_python=flags.torch))
        print(*table_lines(results[-1]), sep="\n", flush=True)
        train_step.write_result(flags.output, results, about)
    print(f"\n{json.dumps({**about, 'load_after': os.getloadavg()[0]})}")
    for result in results:
        described = {form: side.get("ready", {}) for form, side in result["sides"].items()}
        limits = {name: result[name] for name in ("bandwidth", "step_bytes")}
        print(json.dumps({"model": result["model"], "batch": result["plan"]["rows"]} | limits))
        print(json.dumps(described))


if __name__ == "__main__":
    main()
