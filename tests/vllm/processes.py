# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Processes of `.venv-vllm`, which end with the block that started them."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from typing import Any

ASK = pathlib.Path(__file__).with_name("ask.py")
ANSWER_SECONDS, STOP_SECONDS = 300, 30


def environment() -> dict[str, str]:
    """No hub and no report of usage; one thread, since threads that wait for a core spin."""
    ours = ("PYTHONPATH", "XLA_FLAGS")
    return {
        **{name: value for name, value in os.environ.items() if name not in ours},
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": "1",
    }


@contextlib.contextmanager
def started(command: Sequence[str], log: pathlib.Path) -> Iterator[subprocess.Popen[bytes]]:
    """A running command; it and its children are gone when the block ends, however it ends."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=log.parent,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def end_of(log: pathlib.Path) -> str:
    """The last lines of a log, for the message of a failed test."""
    return "\n".join(["", *log.read_text(errors="replace").splitlines()[-40:]])


@contextlib.contextmanager
def asking(
    python: pathlib.Path, library: str, folder: pathlib.Path
) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """A library at work in a folder that holds `exported/` and `requests.json`.

    Yields a function that waits for the answers, so that others can work beside it.
    """
    answers, log = folder / f"{library}.json", folder / f"{library}.log"
    command = [str(python), str(ASK), library]
    command += map(str, (folder / "exported", folder / "requests.json", answers))

    def finish() -> list[dict[str, Any]]:
        process.wait(ANSWER_SECONDS)
        assert process.returncode == 0, end_of(log)
        return json.loads(answers.read_text())

    with started(command, log) as process:
        yield finish
