# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Several processes of one command on this machine, joined as the hosts of a run are.

    with processes.joined(2, "lingshu_jax.train", flags, folder=tmp_path) as group:
        group.finish()

`runtime.start` reads the three JAX variables that are set here; the CPU devices of all processes
together are one mesh, over gloo.
"""

import contextlib
import dataclasses
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence

REPO = pathlib.Path(__file__).resolve().parents[2]
SECONDS = 600.0


@dataclasses.dataclass(frozen=True)
class Group:
    """Processes that were started together.

    Attributes:
      running: In the order of their process index.
      logs: What each has printed, standard output and error together.
    """

    running: list[subprocess.Popen[bytes]]
    logs: list[pathlib.Path]

    def wait(self, seconds: float = SECONDS) -> list[int]:
        """Exit codes of all, when all have ended; negative is the signal that ended one."""
        end = time.monotonic() + seconds
        try:
            return [one.wait(max(end - time.monotonic(), 0.1)) for one in self.running]
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"still running after {seconds} s{self.said()}") from error

    def finish(self, seconds: float = SECONDS) -> None:
        """Waits for processes that must all succeed."""
        codes = self.wait(seconds)
        assert codes == [0] * len(codes), f"{codes}{self.said()}"

    def wait_until(self, condition: Callable[[], bool], seconds: float = SECONDS) -> None:
        """Waits for something that the processes do; none of them may end before."""
        end = time.monotonic() + seconds
        while not condition():
            ended = [one.poll() for one in self.running]
            assert ended == [None] * len(ended), f"{ended}{self.said()}"
            assert time.monotonic() < end, f"not after {seconds} s{self.said()}"
            time.sleep(0.02)

    def send(self, signal_number: signal.Signals, index: int) -> None:
        """Sends a signal to one process."""
        self.running[index].send_signal(signal_number)

    def output(self, index: int) -> str:
        """What one process has printed so far."""
        return self.logs[index].read_text(errors="replace")

    def said(self) -> str:
        """The last lines of each, for the message of a failed test."""
        ends = [self.output(i).splitlines()[-30:] for i in range(len(self.logs))]
        return "".join("\n".join([f"\nprocess {i}:", *lines]) for i, lines in enumerate(ends))


@contextlib.contextmanager
def joined(
    count: int,
    module: str,
    args: Sequence[str],
    *,
    folder: pathlib.Path,
    devices: int = 1,
) -> Iterator[Group]:
    """`python -m module args`, `count` times; none of them outlives the block.

    Args:
      count: Processes; 1 is a run of one host without a coordinator.
      module: Whole name, "lingshu_jax.train".
      args: The same for all.
      folder: Where the logs go, `process0.log` and so on; made if it is not there.
      devices: CPU devices of each process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Without LLVM's optimisations a program compiles three times faster.
    flags = f"--xla_backend_optimization_level=0 --xla_force_host_platform_device_count={devices}"
    common = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(REPO)}
    if count > 1:
        common["JAX_COORDINATOR_ADDRESS"] = f"127.0.0.1:{free_port()}"
        common["JAX_NUM_PROCESSES"] = str(count)
    group = Group([], [folder / f"process{index}.log" for index in range(count)])
    try:
        for index, log in enumerate(group.logs):
            with log.open("wb") as out:
                process = subprocess.Popen(
                    [sys.executable, "-m", module, *args],
                    cwd=REPO,
                    env={**common, "JAX_PROCESS_ID": str(index)},
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                )
            group.running.append(process)
        yield group
    finally:
        for process in group.running:
            process.kill()
            process.wait()


def free_port() -> int:
    """A TCP port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
