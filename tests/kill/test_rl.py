# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Stage 4 killed while it samples: no finished rollout is lost, and no number is another."""

import contextlib
import json
import pathlib
import signal
import subprocess
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lingshu_jax.common import metrics, sharding
from lingshu_jax.rl import pending
from lingshu_jax.stages import initial, optim
from tests import small
from tests.distributed import processes
from tests.kill import small_recipe

pytestmark = pytest.mark.kill

KILLS, KILLS_REDUCED = 12, 2
MEASURED = ("seconds", "goodput", "memory_bytes", "tokens_per_second", "mfu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return small_recipe.write_folder(tmp_path_factory.mktemp("rl"))


def start(folder: pathlib.Path, workdir: pathlib.Path, steps: int) -> subprocess.Popen[str]:
    return small.start(
        "train",
        f"--config=tests/kill/small_rl.py:{folder}",
        f"--workdir={workdir}",
        f"--config.steps={steps}",
    )


def numbers(workdir: pathlib.Path) -> list[dict[str, Any]]:
    """The metric rows, but for what was measured."""
    rows = metrics.read_rows(workdir)
    return [{k: v for k, v in row.items() if not any(m in k for m in MEASURED)} for row in rows]


def weights(workdir: pathlib.Path) -> dict[str, bytes]:
    mesh = sharding.make_mesh({}, jax.devices()[:1])
    params = initial.find(workdir).load(mesh, jnp.dtype(jnp.float32))
    return {name: np.asarray(leaf).tobytes() for name, leaf in optim.flatten(params).items()}


def rollouts(workdir: pathlib.Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (workdir / "rollouts").iterdir()}


def finished(workdir: pathlib.Path) -> dict[str, list[str]]:
    """The whole lines of each batch on disk."""
    found: dict[str, list[str]] = {}
    for path in sorted((workdir / pending.FOLDER).glob("*.jsonl")):
        with contextlib.suppress(FileNotFoundError):  # a checkpoint holds it now
            found[path.name] = path.read_text().rpartition("\n")[0].splitlines()
    return found


def lines_of(workdir: pathlib.Path) -> set[tuple[str, str]]:
    return {(name, line) for name, lines in finished(workdir).items() for line in lines}


def kill_after(process: subprocess.Popen[str], workdir: pathlib.Path, answers: int) -> None:
    """Kills a run when it has sampled so many prompts more."""
    before, seen = lines_of(workdir), set[tuple[str, str]]()
    while process.poll() is None and len(seen) < answers:
        seen |= lines_of(workdir) - before
        time.sleep(0.0005)
    process.kill()
    _, err = process.communicate()
    assert process.returncode == -signal.SIGKILL, f"ended before it was killed: {err}"


def test_a_run_killed_while_it_samples_goes_on_bit_by_bit(
    folder: pathlib.Path, tmp_path: pathlib.Path, reduced: bool
) -> None:
    kills = KILLS_REDUCED if reduced else KILLS
    steps, whole, killed = 4 * kills, tmp_path / "whole", tmp_path / "killed"
    small.finish(start(folder, whole, steps))
    rng, reused, torn = np.random.default_rng(0), 0, b'{"row": "[\\"q'
    for trial in range(kills):
        before = finished(killed)
        kill_after(start(folder, killed, steps), killed, int(rng.integers(1, 6)))
        for name, lines in finished(killed).items():
            known = before.get(name, [])
            assert lines[: len(known)] == known, "a finished rollout was lost"
            keys = [json.loads(line)["row"] for line in lines]
            assert len(set(keys)) == len(keys), "a finished rollout was sampled again"
            reused += len(known)
        for name in list(finished(killed))[-1:] if trial % 2 else ():
            with (killed / pending.FOLDER / name).open("ab") as file:
                file.write(torn)  # what a kill amid a line leaves
        print(f"\nkill {trial}: {len(lines_of(killed))} finished rollouts on disk", end="")
    small.finish(start(folder, killed, steps))
    assert reused > 0
    assert numbers(killed) == numbers(whole) and len(numbers(whole)) == steps
    assert rollouts(killed) == rollouts(whole)
    assert weights(killed) == weights(whole)
    assert not (killed / pending.FOLDER).exists()
    assert sum(row["groups/left_out"] for row in numbers(whole)) > 0, "dynamic sampling was idle"
    assert len({row["loss"] for row in numbers(whole)}) == steps, "no two steps are alike"
    print(f"\n{kills} kills, {reused} rollouts used again; {steps} steps bit-identical")


def test_two_processes_sample_and_learn_what_one_does(
    folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    runs = []
    for count in (1, 2):
        workdir = tmp_path / f"{count}"
        flags = [f"--config=tests/kill/small_rl.py:{folder}", f"--workdir={workdir}"]
        logs = tmp_path / f"logs{count}"
        flags.append("--config.steps=4")
        with processes.joined(count, "lingshu_jax.train", flags, folder=logs) as group:
            group.finish(300)
        runs.append((metrics.read_rows(workdir), rollouts(workdir)))
    (alone, sampled), (together, sampled_together) = runs
    assert [*sampled] == [*sampled_together] and len(alone) == len(together) == 4
    texts = [
        [json.loads(line)["completion"] for file in batch.values() for line in file.splitlines()]
        for batch in (sampled, sampled_together)
    ]
    assert texts[0] == texts[1] and len(set(texts[0])) > len(texts[0]) // 2
    for name in ("loss", "grad_norm", "reward/total", "entropy"):
        one, two = ([row[name] for row in rows] for rows in (alone, together))
        np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-6)
        assert len(set(one)) > 1, "nothing moved"
