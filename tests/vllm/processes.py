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
ANSWER_SECONDS, STOP_SECONDS = 600, 30


REPO = ASK.parents[2]

# No hub and no report of usage; one thread, since threads that wait for a core spin.
VARIABLES = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
}


def environment() -> dict[str, str]:
    """For processes that have neither JAX nor our packages."""
    ours = ("PYTHONPATH", "XLA_FLAGS")
    return {
        **{name: value for name, value in os.environ.items() if name not in ours},
        **VARIABLES,
    }


@contextlib.contextmanager
def started(
    command: Sequence[str], log: pathlib.Path, **variables: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A running command; it and its children are gone when the block ends, however it ends."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=log.parent,
            env={**environment(), **variables},
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
    paths = (folder / "exported", folder / "requests.json", folder / f"{library}.json")
    command = [str(python), str(ASK), library, *map(str, paths)]
    with started(command, folder / f"{library}.log") as process:
        yield lambda: finish(process, folder, library)


@contextlib.contextmanager
def living(python: pathlib.Path, folder: pathlib.Path) -> Iterator[Callable[[], dict[str, Any]]]:
    """`live.py` at work in a folder that holds `exported/`, `changed/` and `requests.json`.

    Yields a function that waits for its report.
    """
    # It has our packages and two devices.
    variables = {
        "PYTHONPATH": str(REPO),
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
    }
    command = [str(python), "-m", "tests.vllm.live", str(folder)]
    with started(command, folder / "live.log", **variables) as process:
        yield lambda: finish(process, folder, "live")


def finish(process: subprocess.Popen[bytes], folder: pathlib.Path, name: str) -> Any:
    """Waits for a process and reads what it has written."""
    process.wait(ANSWER_SECONDS)
    assert process.returncode == 0, end_of(folder / f"{name}.log")
    return json.loads((folder / f"{name}.json").read_text())
