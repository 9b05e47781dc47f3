# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Our engine, vLLM on the same CPU and transformers' `generate`: new tokens a second, as a table.

    PYTHONPATH=. python -m benchmarks.engines --torch=PYTHON --vllm=PYTHON --output=engines.json
    PYTHONPATH=. python -m benchmarks.engines --check --torch=PYTHON --vllm=PYTHON

Every side gets the same folder and the same messages and gives all answers: 32 requests with an
image of 448 pixels each, 128 new tokens, greedy, nothing ends an answer, float32, two threads. The
time is that from messages to answers: image processing, vision tower, prompts and decoding. Sides
are warmed up and then run in turns, so that a busy machine is fair; there the processor seconds of
all threads together say more than the seconds. vLLM stands there twice, as it is and compiled; the
faster counts. Greedy tokens are compared up to the first that differs: with random weights two
logits may be nearer to each other than float32 tells.

`--torch` is the interpreter that has torch and transformers, `--vllm` the one that has vLLM for the
CPU. `--check` asks a very small model and fails where an answer differs.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks import engines_work, train_step, train_step_sides

OURS, VLLM, COMPILED, TRANSFORMERS = "ours", "vllm", "vllm_compiled", "transformers"
NAMES = {
    OURS: "ours",
    VLLM: "vLLM",
    COMPILED: "vLLM, compiled",
    TRANSFORMERS: "transformers",
}
RUNS = 3
PATIENCE = 3600.0  # seconds that a side may take to warm up, or for a run
COLUMNS = (
    *("side", "new tokens/s (each run)", "by processor time", "runs, s", "processor, s"),
    *("equal answers", "equal tokens", "peak memory, GiB"),
)


def command(form: str, work: pathlib.Path, flags: argparse.Namespace) -> list[str]:
    """Of a side's process.

    Args:
      form: One of `NAMES`.
      work: The folder that says what is asked.
      flags: `torch` and `vllm`.
    """
    if form == OURS:
        return [sys.executable, "-m", "benchmarks.engines_ours", f"--work={work}"]
    if form == TRANSFORMERS:
        return [flags.torch, "-m", "benchmarks.engines_torch", f"--work={work}"]
    mode = "eager" if form == VLLM else "compiled"
    return [flags.vllm, "-m", "benchmarks.engines_vllm", f"--work={work}", f"--attention={mode}"]


def measure(
    plan: engines_work.Plan, forms: Sequence[str], flags: argparse.Namespace, *, runs: int
) -> dict[str, Any]:
    """Has every side answer.

    Args:
      plan: What is asked.
      forms: Of `NAMES`.
      flags: `torch` and `vllm`.
      runs: Timed ones, after one that warms up.

    Returns:
      For `--output`.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        engines_work.write(plan, folder)
        sides = {
            form: train_step_sides.Side(
                command(form, folder, flags),
                device="cpu",
                log=folder / f"{form}.log",
                patience=PATIENCE,
            )
            for form in forms
        }
        train_step_sides.alternate(list(sides.values()), runs)
    return summarise(plan, sides)


def summarise(plan: engines_work.Plan, sides: dict[str, train_step_sides.Side]) -> dict[str, Any]:
    """What came out, as `--output` holds it.

    Args:
      plan: What was asked.
      sides: By form, finished; ours is one of them.
    """
    described, ours = dataclasses.asdict(plan), sides[OURS].ready.get("tokens", [])
    result: dict[str, Any] = {"plan": described, "sides": {}}
    for form, side in sides.items():
        numbers: dict[str, Any] = {"error": side.error}
        if not side.error:
            numbers |= compare(ours, side.ready["tokens"])
            numbers["versions"] = side.ready["versions"]
        if side.runs and not side.error:
            total = plan.requests * plan.new_tokens
            numbers |= {
                "runs": side.runs,
                "cpu_runs": side.cpu_runs,
                "tokens_per_second_runs": [total / run for run in side.runs],
                "tokens_per_second": total / statistics.median(side.runs),
                "by_processor_time": total / statistics.median(side.cpu_runs),
                "memory_bytes": side.memory_bytes,
            }
        result["sides"][form] = numbers
    result["times_vllm"] = _times(result["sides"], (VLLM, COMPILED))
    result["times_transformers"] = _times(result["sides"], (TRANSFORMERS,))
    return result


def compare(ours: list[list[int]], theirs: list[list[int]]) -> dict[str, float]:
    """Shares of equal answers, and of tokens before the first of an answer that differs.

    Args:
      ours: New tokens of each answer.
      theirs: The same of another side.
    """
    same = [len(os.path.commonprefix([a, b])) for a, b in zip(ours, theirs, strict=True)]
    return {
        "equal_answers": statistics.fmean(a == b for a, b in zip(ours, theirs, strict=True)),
        "equal_tokens": sum(same) / sum(map(len, ours)),
    }


def _times(sides: dict[str, dict[str, Any]], forms: Sequence[str]) -> list[float] | None:
    """How many times as fast ours is as the fastest of some, by seconds and by processor time."""
    kinds = ("tokens_per_second", "by_processor_time")
    theirs = [sides[form] for form in forms if "runs" in sides.get(form, {})]
    if not theirs or "runs" not in sides[OURS]:
        return None
    return [sides[OURS][kind] / max(side[kind] for side in theirs) for kind in kinds]


def table_lines(result: dict[str, Any]) -> Iterator[str]:
    """Lines of the Markdown table.

    Args:
      result: From `summarise`.
    """
    yield _line(*COLUMNS)
    yield _line(*["---"] * len(COLUMNS))
    for form, side in result["sides"].items():
        if "runs" not in side:
            yield _line(NAMES[form], side["error"])
            continue
        each = ", ".join(f"{run:.1f}" for run in side["tokens_per_second_runs"])
        yield _line(
            NAMES[form],
            f"{side['tokens_per_second']:.1f} ({each})",
            f"{side['by_processor_time']:.1f}",
            ", ".join(f"{run:.1f}" for run in side["runs"]),
            ", ".join(f"{run:.1f}" for run in side["cpu_runs"]),
            f"{side['equal_answers']:.0%}",
            f"{side['equal_tokens']:.1%}",
            f"{side['memory_bytes'] / train_step.GIB:.1f}",
        )
    for name, other in (("times_vllm", "the faster vLLM"), ("times_transformers", "transformers")):
        if result[name]:
            yield _line(f"**ours, times {other}**", *(f"{times:.2f}" for times in result[name]))


def _line(*cells: str) -> str:
    return f"| {' | '.join((*cells, *[''] * (len(COLUMNS) - len(cells))))} |"


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments.

    Args:
      argv: None takes those of the process.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--torch", default=sys.executable)
    parser.add_argument("--vllm", default=sys.executable)
    parser.add_argument("--output", type=pathlib.Path)
    parser.add_argument("--check", action="store_true")
    parser.add_argument(
        "--sides", type=_sides, default=list(NAMES), help="which, by commas; ours among them"
    )
    return parser.parse_args(argv)


def _sides(text: str) -> list[str]:
    names = text.split(",")
    if OURS not in names or not set(names) <= set(NAMES):
        raise argparse.ArgumentTypeError(
            f"must be some of {', '.join(NAMES)}, {OURS} among them, got {text!r}"
        )
    return names


def main(argv: Sequence[str] | None = None) -> None:
    """Reads the arguments; prints the table and writes it."""
    flags = parse(argv)
    about = train_step.machine()
    plan = engines_work.CHECK if flags.check else engines_work.Plan()
    result = measure(plan, flags.sides, flags, runs=0 if flags.check else RUNS)
    if flags.check:
        print(json.dumps(result["sides"]))
        sys.exit(any(side.get("equal_answers") != 1 for side in result["sides"].values()))
    print(*table_lines(result), sep="\n", flush=True)
    print(f"\n{json.dumps({**about, 'load_after': os.getloadavg()[0]})}")
    print(json.dumps({form: side.get("versions") for form, side in result["sides"].items()}))
    train_step.write_result(flags.output, [result], about)


if __name__ == "__main__":
    main()
