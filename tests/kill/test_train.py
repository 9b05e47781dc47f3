# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A run killed again and again, in and between saves, leaves the curve of one that never was."""

import itertools
import json
import math
import pathlib
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lingshu_jax.common import metrics, sharding
from lingshu_jax.stages import initial, optim
from tests import small

pytestmark = pytest.mark.kill

KILLS, KILLS_REDUCED = 20, 3
SAVE_EVERY = 2
# One after the other: any time from the start of the process to its first checkpoint; inside a
# save; anywhere else.
START, SAVE, STEP = "start", "save", "step"
KINDS = (START, SAVE, STEP, START, SAVE, STEP, SAVE, STEP, STEP)


def command(folder: pathlib.Path, workdir: pathlib.Path, steps: int) -> tuple[str, ...]:
    return (
        "train",
        f"--config=tests/stages/small_stage.py:{folder / 'hf'},{folder / 'rows'}",
        f"--workdir={workdir}",
        f"--config.steps={steps}",
        f"--config.save_every_steps={SAVE_EVERY}",
        "--config.data.rows_per_batch=2",
        f"--config.data.cache={folder / 'cache'}",
    )


@pytest.fixture(scope="module")
def kills(reduced: bool) -> int:
    return KILLS_REDUCED if reduced else KILLS


@pytest.fixture(scope="module")
def steps(kills: int) -> int:
    """Every killed process gets some steps further."""
    return 8 * kills


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("train")
    small.write_folder(folder / "hf")
    small.write_rows(folder / "rows")
    return folder


class Undisturbed(NamedTuple):
    """A run that nobody killed, and the seconds until its first checkpoint."""

    workdir: pathlib.Path
    start_up: float


@pytest.fixture(scope="module")
def undisturbed(folder: pathlib.Path, steps: int) -> Undisturbed:
    workdir, begin = folder / "whole", time.monotonic()
    process = small.start(*command(folder, workdir, steps))
    wait_until(process, lambda: newest(workdir) > 0)
    start_up = time.monotonic() - begin
    small.finish(process)
    return Undisturbed(workdir, start_up)


def curve(workdir: pathlib.Path) -> list[tuple[Any, ...]]:
    names = ("step", "loss", "grad_norm", "lr/all", "skipped", "tokens")
    return [tuple(row[name] for name in names) for row in metrics.read_rows(workdir)]


def final_params(workdir: pathlib.Path) -> dict[str, bytes]:
    mesh = sharding.make_mesh({}, jax.devices()[:1])
    params = initial.find(workdir).load(mesh, jnp.dtype(jnp.float32))
    return {name: np.asarray(leaf).tobytes() for name, leaf in optim.flatten(params).items()}


def newest(workdir: pathlib.Path) -> int:
    """The newest complete step; 0 where there is none."""
    names = [path.name for path in (workdir / "checkpoints").glob("*")]
    return max((int(name) for name in names if name.isdigit()), default=0)


def is_saving(workdir: pathlib.Path) -> bool:
    return any((workdir / "checkpoints").glob("*.orbax-checkpoint-tmp*"))


def last_step(workdir: pathlib.Path) -> int:
    rows = metrics.read_rows(workdir)
    return rows[-1]["step"] if rows else 0


def wait_until(process: subprocess.Popen[str], is_so: Callable[[], bool]) -> None:
    while process.poll() is None and not is_so():
        time.sleep(0.0005)


def run_until_killed(
    args: tuple[str, ...], workdir: pathlib.Path, *, wait: float, kind: str
) -> bool:
    """Kills a run; whether it was inside a save.

    Args:
      args: Of `small.start`.
      workdir: The run's folder.
      wait: Seconds until the signal.
      kind: Of `KINDS`: they count from the beginning of the process, and end at the latest when it
        has completed another checkpoint; else from then, or from the beginning of the save that
        follows.
    """
    before, process = newest(workdir), small.start(*args)
    end = time.monotonic() + wait if kind == START else math.inf
    wait_until(process, lambda: newest(workdir) > before or time.monotonic() > end)
    if kind == SAVE:
        wait_until(process, lambda: is_saving(workdir))
    if kind != START:
        time.sleep(wait)
    process.send_signal(signal.SIGKILL)
    _, err = process.communicate()
    assert process.returncode == -signal.SIGKILL, f"ended before it was killed: {err}"
    return is_saving(workdir)


def test_a_killed_run_goes_on_bit_by_bit(
    folder: pathlib.Path, undisturbed: Undisturbed, kills: int, steps: int
) -> None:
    rng, workdir, expected = np.random.default_rng(0), folder / "killed", curve(undisturbed.workdir)
    args, inside = command(folder, workdir, steps), 0
    longest = {START: undisturbed.start_up, SAVE: 0.01, STEP: 0.3}
    for trial, kind in zip(range(kills), itertools.cycle(KINDS), strict=False):
        wait = float(rng.uniform(0, longest[kind]))
        inside += run_until_killed(args, workdir, wait=wait, kind=kind)
        found = curve(workdir)
        assert found == expected[: len(found)], f"another curve after kill {trial}"
        print(f"\nkill {trial}: {kind} + {wait:.2f} s, at step {last_step(workdir)}", end="")
    assert inside >= kills // 4, "few were killed inside a save"
    small.finish(small.start(*args))
    assert curve(workdir) == expected and len(expected) == steps
    assert final_params(workdir) == final_params(undisturbed.workdir)
    print(f"\n{kills} kills, {inside} of them inside a save; {steps} steps bit-identical")


def test_a_curve_of_another_seed_is_noticed(undisturbed: Undisturbed) -> None:
    """No two steps are alike, so a resume one step too early or too late would be seen."""
    losses = [row[1] for row in curve(undisturbed.workdir)]
    assert len(set(losses)) == len(losses)


def test_sigterm_saves_the_step_and_ends_cleanly(
    folder: pathlib.Path, undisturbed: Undisturbed, steps: int
) -> None:
    workdir = folder / "terminated"
    process = small.start(*command(folder, workdir, steps), "--config.save_every_steps=1000")
    wait_until(process, lambda: last_step(workdir) >= 3)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    saved = newest(workdir)
    assert saved >= 3 and saved == last_step(workdir)
    assert f"stopped by SIGTERM at step {saved}, step {saved} is saved" in out
    assert "Traceback" not in err and not (workdir / "finished.json").exists()
    small.finish(small.start(*command(folder, workdir, steps)))
    assert curve(workdir) == curve(undisturbed.workdir)
    events = metrics.read_rows(workdir, "events.jsonl")
    assert [(row["step"], row["event"]) for row in events] == [(saved, "stopped")]
    assert json.loads((workdir / "finished.json").read_text())["steps"] == steps
