# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""SIGTERM: the machine is wanted back. The run saves the step it is in and ends cleanly.

One process notes the signal itself. Where several are joined, jax notes it on any of them and
agrees with all on one of the next steps, so that every process saves the same one.
"""

import signal
import sys
from typing import Any, NoReturn

import jax
from jax.experimental import multihost_utils

from lingshu_jax.common import runtime


class Notice:
    """Whether the run is asked to stop."""

    def __init__(self):
        """Listens to nothing yet."""
        self._is_asked = False
        self._before: Any = None
        self._calls = 0

    def listen(self) -> None:
        """From now on SIGTERM is noted instead of ending the process."""
        if jax.process_count() == 1:
            self._before = signal.signal(signal.SIGTERM, self._note)

    def is_due(self) -> bool:
        """Whether to stop now; all processes ask equally often and hear the same."""
        self._calls += 1
        if jax.process_count() > 1:
            return multihost_utils.reached_preemption_sync_point(self._calls)
        return self._is_asked

    def close(self) -> None:
        """SIGTERM does again what it did before."""
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
            self._before = None

    def _note(self, *_: Any) -> None:
        self._is_asked = True


def exit_cleanly(step: int, saved: int | None, *, reason: str) -> NoReturn:
    """Ends the command with exit code 0; `finished.json` says whether the run was done.

    Args:
      step: Where it stands.
      saved: Newest checkpoint.
      reason: What stopped it.
    """
    if runtime.is_main_host():
        kept = f"step {saved} is saved" if saved is not None else "nothing is saved yet"
        print(f"stopped by {reason} at step {step}, {kept}; the same command goes on", flush=True)
    sys.exit(0)
