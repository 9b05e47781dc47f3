# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Two processes that time the same work in turns: the one that asks, and the sides that answer.

A side is a process of its own, so that its memory is its own and running out of it ends nothing
else. It takes every step once, says so, and then makes one timed run for each line on its standard
input. Both directions are lines of JSON. This module needs neither JAX nor torch nor this package.
"""

import argparse
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

SETTINGS, CONFIG, STEPS = "work.json", "config.json", "step_{}.npz"
# That an answer may take, compilation and warm-up included; a CPU may be shared.
SIDE_SECONDS, CPU_SECONDS = 240.0, 1800.0
OUT_OF_MEMORY = ("out of memory", "resource_exhausted", "memoryerror", "bad_alloc")


class Trainer(Protocol):
    """What a side's process serves."""

    def step(self, index: int) -> float:
        """Takes a step on that batch and waits for it; its loss before the update."""
        ...

    def memory_bytes(self) -> float:
        """Peak so far."""
        ...

    def describe(self) -> dict[str, Any]:
        """Versions, hardware and counts."""
        ...


class Work:
    """The folder that tells both sides what to compute.

    Attributes:
      folder: Holds `config.json` of the model, `work.json`, a file a step, and where both sides
        must start from equal weights the weights.
      settings: `work.json`.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        """Reads the settings.

        Args:
          folder: From `train_step_work.write`.
        """
        self.folder = folder
        self.settings: dict[str, Any] = json.loads((folder / SETTINGS).read_text())

    @property
    def has_weights(self) -> bool:
        """Whether the weights are given."""
        return any(self.folder.glob("*.safetensors"))

    def steps(self) -> list[dict[str, np.ndarray]]:
        """The batch of each step, its arrays by name."""
        batches = []
        for index in range(self.settings["steps"]):
            with np.load(self.folder / STEPS.format(index)) as stored:
                batches.append({name: stored[name] for name in stored.files})
        return batches


def serve(make: Callable[[Work, argparse.Namespace], Trainer]) -> None:
    """A side's process: answers until its standard input ends.

    Args:
      make: Builds the trainer; libraries are imported inside of it, after the threads are set.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--attention", default="")
    flags = parser.parse_args()
    # What libraries print must not stand between the answers.
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def fail(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        print(json.dumps({"error": in_one_line(error)}), file=out, flush=True)
        sys.__excepthook__(kind, error, trace)

    sys.excepthook = fail
    for answer in _answers(make, flags):
        print(json.dumps(answer), file=out, flush=True)


def _answers(
    make: Callable[[Work, argparse.Namespace], Trainer], flags: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    work = Work(flags.work)
    if threads := work.settings["threads"]:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    trainer = make(work, flags)
    count = work.settings["steps"]
    losses = [trainer.step(index) for index in range(count)]
    yield {"losses": losses, **trainer.describe()}
    for _ in sys.stdin:
        taken = []
        for index in range(count):
            start, cpu_start = time.perf_counter(), time.process_time()
            trainer.step(index)
            taken.append((time.perf_counter() - start, time.process_time() - cpu_start))
        seconds, cpu_seconds = (sum(values) for values in zip(*taken, strict=True))
        yield {
            "steps": taken,
            "seconds": seconds,
            "cpu_seconds": cpu_seconds,
            "memory_bytes": trainer.memory_bytes(),
        }


def in_one_line(error: BaseException) -> str:
    """The reason, short enough for a cell of a table."""
    text = f"{type(error).__name__}: {error}"
    if any(word in text.lower() for word in OUT_OF_MEMORY):
        return "out of memory"
    return text.splitlines()[0].replace("|", "/")[:200]


class Side:
    """A side's process, as the one that asks sees it.

    Attributes:
      error: Why it gives no numbers; "" while it does.
      ready: What it said of itself.
      runs: Seconds of each timed run.
      cpu_runs: Processor seconds of each, of all threads together: those that other programs on
        the machine do not change much.
      steps: Both of these for each step of each run.
      memory_bytes: Peak after the last one.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        device: str,
        log: pathlib.Path,
        patience: float = 0.0,
    ) -> None:
        """Starts it; it warms up by itself.

        Args:
          command: Program and arguments.
          device: "cpu" or "gpu".
          log: Where its standard error goes.
          patience: Seconds that an answer may take; 0 takes those of the device.
        """
        longest = CPU_SECONDS if device == "cpu" else SIDE_SECONDS
        self._log, self._patience = log, patience or longest
        self.error, self.memory_bytes = "", 0.0
        self.ready: dict[str, Any] = {}
        self.runs: list[float] = []
        self.cpu_runs: list[float] = []
        self.steps: list[list[tuple[float, float]]] = []
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                command,
                cwd=pathlib.Path(__file__).resolve().parents[1],
                env=environment(device),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def warm_up(self) -> None:
        """Waits until it has taken every step once."""
        self.ready = self._answer()

    def run(self) -> None:
        """Has it make one timed run; nothing after an error."""
        if self.error:
            return
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write("run\n")
            self._process.stdin.flush()
        answer = self._answer()
        if not self.error:
            self.runs.append(answer["seconds"])
            self.cpu_runs.append(answer["cpu_seconds"])
            self.steps.append(answer["steps"])
            self.memory_bytes = answer["memory_bytes"]

    def close(self) -> None:
        """Ends it."""
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        timer = threading.Timer(self._patience, self._process.kill)
        timer.start()
        line = self._process.stdout.readline()
        is_late = not timer.is_alive()
        timer.cancel()
        answer = json.loads(line) if line else {"error": self._end(is_late)}
        self.error = answer.get("error", "")
        return answer

    def _end(self, is_late: bool) -> str:
        if is_late:
            return f"no answer within {self._patience:.0f} s"
        code, lines = self._process.wait(), self._log.read_text().splitlines()
        return f"ended with {code}: {lines[-1][:200] if lines else 'nothing said'}"


def environment(device: str) -> dict[str, str]:
    """Of a side's process: nothing in it reaches for a hub.

    Args:
      device: "cpu" or "gpu".
    """
    own = {"XLA_PYTHON_CLIENT_MEM_FRACTION": "0.95", **os.environ, "PYTHONPATH": "."}
    if device == "cpu":
        own["JAX_PLATFORMS"] = "cpu"
    return {**own, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def alternate(sides: Sequence[Side], runs: int) -> None:
    """All sides at once, one run of each after the other, so that a busy machine is fair.

    Args:
      sides: Started.
      runs: Of each.
    """
    for side in sides:
        side.warm_up()
    for _ in range(runs):
        for side in sides:
            side.run()
    for side in sides:
        side.close()


def one_by_one(starts: Sequence[Callable[[], Side]], runs: int) -> list[Side]:
    """One side after the other: on a card that holds one at a time.

    Args:
      starts: Each starts one.
      runs: Of each.
    """
    sides = []
    for start in starts:
        side = start()
        alternate([side], runs)
        sides.append(side)
    return sides
