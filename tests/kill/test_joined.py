# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Two processes of one run: a signal to one of them is everybody's business."""

import pathlib
import signal

import pytest

from lingshu_jax.common import metrics
from lingshu_jax.stages import watchdog
from tests import small
from tests.distributed import processes
from tests.kill import test_train

pytestmark = pytest.mark.kill

STEPS = 400  # more than are taken
GRACE_SECONDS = 30.0  # the shortest notice of a cloud


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("joined")
    small.write_folder(folder / "hf")
    small.write_rows(folder / "rows")
    return folder


@pytest.mark.parametrize("told", [0, 1])
def test_sigterm_to_one_of_two_saves_one_step_on_both(folder: pathlib.Path, told: int) -> None:
    workdir = folder / f"terminated{told}"
    module, *args = test_train.command(folder, workdir, STEPS)
    args.append("--config.save_every_steps=1000")
    with processes.joined(2, f"lingshu_jax.{module}", args, folder=workdir) as group:
        group.wait_until(lambda: test_train.last_step(workdir) >= 3)
        group.send(signal.SIGTERM, told)
        group.finish(GRACE_SECONDS)
        said = [group.output(index) for index in range(2)]
    saved = test_train.newest(workdir)
    assert 3 <= saved == test_train.last_step(workdir) < STEPS
    assert f"stopped by SIGTERM at step {saved}, step {saved} is saved" in said[0]
    assert not any("Traceback" in text for text in said)
    events = metrics.read_rows(workdir, "events.jsonl")
    assert [(row["step"], row["event"]) for row in events] == [(saved, "stopped")]
    item = workdir / "checkpoints" / str(saved) / "params"
    assert {path.name for path in item.glob("ocdbt.process_*")} == {
        "ocdbt.process_0",
        "ocdbt.process_1",
    }


def test_the_watchdog_names_the_process_that_stands_still(folder: pathlib.Path) -> None:
    workdir = folder / "hung"
    module, *args = test_train.command(folder, workdir, STEPS)
    args += ["--config.guard.hang_seconds=40", "--config.save_every_steps=1000"]
    with processes.joined(2, f"lingshu_jax.{module}", args, folder=workdir) as group:
        group.wait_until(lambda: test_train.last_step(workdir) >= 3)
        group.send(signal.SIGSTOP, 1)
        assert group.running[0].wait(180) == watchdog.EXIT_CODE, group.said()
        said = group.output(0)
    line = next(line for line in said.splitlines() if line.startswith("error: no progress for"))
    assert "behind: process 1 on " in line and "writes no heartbeats any more" in line
    assert "process 0" not in line
    assert "Thread 0x" in said, "the stacks are shown"
