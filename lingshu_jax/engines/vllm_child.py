# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Runs a command until standard input ends: with whoever started this, however that ended.

    python vllm_child.py SECONDS COMMAND...

A server would outlive a trainer that is killed. This process must lead a session of its own; all
processes of it are gone SECONDS after the command was asked to end, or with it.
"""

import os
import signal
import subprocess
import sys
import threading


def main() -> None:
    """Starts the command; ends with its exit status."""
    seconds, *command = sys.argv[1:]
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    is_over = threading.Event()
    watch = threading.Thread(target=_watch, args=(child, float(seconds), is_over), daemon=True)
    watch.start()
    status = child.wait()
    if is_over.is_set():
        _kill_session()
    sys.exit(status)


def _watch(child: subprocess.Popen[bytes], seconds: float, is_over: threading.Event) -> None:
    os.read(sys.stdin.fileno(), 1)
    is_over.set()
    threading.Timer(seconds, _kill_session).start()  # should it hang
    child.terminate()


def _kill_session() -> None:
    """Kills all that the command has started, and this process."""
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main()
