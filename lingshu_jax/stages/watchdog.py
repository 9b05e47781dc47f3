# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A run that stands still says which host it waits for, and ends so that it can be started again.

Every process writes `heartbeats/<index>.json` into the run's folder. A process that makes no
progress reads them all: it mostly waits for another one, in a collective.
"""

import faulthandler
import json
import logging
import os
import pathlib
import socket
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
from etils import epath

from lingshu_jax.common import paths

HEARTBEATS = "heartbeats"
# In the order in which a step goes through them; a loop's own phases come behind.
PHASES = ("start", "data", "eval", "rollout", "logprobs", "step", "validation", "save")
EXIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: try again
COMPILING = 4.0  # The first step is given so many times the patience: it is compiled

_LONGEST_INTERVAL = 10.0  # seconds between two heartbeats
_LOST = 3  # so many intervals without a heartbeat, and the process itself stands still
_NAMED = 4  # so many hosts in one line


class Beat(NamedTuple):
    """What a process last said of itself.

    Attributes:
      process: Its index.
      host: Name of its machine.
      step: Optimizer steps taken.
      phase: What it does.
      since: When it began that, in seconds of the epoch.
      written: When it said so.
    """

    process: int
    host: str
    step: int
    phase: str
    since: float
    written: float


class _Progress(NamedTuple):
    """The last beat and how long it may stand; seconds of the monotonic clock."""

    beat: Beat
    since: float
    patience: float


class Watchdog:
    """Writes this process's heartbeat and ends the process when it makes no progress."""

    def __init__(self, workdir: pathlib.Path, *, hang_seconds: float):
        """Does nothing yet.

        Args:
          workdir: The run's folder.
          hang_seconds: The longest that one phase may take; 0 switches the watchdog off.
        """
        # The others' machines see the store, but not this mirror of it.
        self._folder, self._seconds = paths.real(workdir / HEARTBEATS), hang_seconds
        self._interval = min(_LONGEST_INTERVAL, hang_seconds / 4)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self.beat(0, "start")

    def start(self) -> None:
        """Begins to watch."""
        if self._seconds:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._thread.start()

    def beat(self, step: int, phase: str, *, patience: float = 1.0) -> None:
        """Notes progress.

        Args:
          step: Optimizer steps taken.
          phase: What begins now.
          patience: How many times `hang_seconds` it may take.
        """
        now = time.time()
        index, host = jax.process_index(), socket.gethostname()
        beat = Beat(index, host, step, phase, since=now, written=now)
        # One value: the other thread never sees the patience of one beat and the time of another.
        self._progress = _Progress(beat, time.monotonic(), patience * self._seconds)

    def close(self) -> None:
        """Stops watching."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(self._interval):
            progress = self._progress
            self._write(progress.beat)
            silent = time.monotonic() - progress.since
            if silent > progress.patience:
                self._end(silent)

    def _write(self, beat: Beat) -> None:
        path = self._folder / f"{beat.process}.json"
        try:
            with paths.whole_file(path) as partial:
                partial.write_text(json.dumps(beat._replace(written=time.time())._asdict()))
        # Of a full disk, or a store out of reach, the run itself will speak.
        except (OSError, *paths.store_errors()) as error:
            logging.getLogger(__name__).info("no heartbeat: %s", error)

    def _end(self, silent: float) -> None:
        try:
            # The progress bar has left its line open.
            print(f"\nerror: no progress for {silent:.0f} s; {self._tell()}", file=sys.stderr)
            faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
            sys.stderr.flush()
        finally:
            # Not sys.exit: the main thread hangs, and so would whatever waits for it.
            os._exit(EXIT_CODE)

    def _tell(self) -> str:
        try:
            beats = read(self._folder, jax.process_count())
        except (OSError, ValueError, TypeError, *paths.store_errors()) as error:
            return f"who is behind is not known, the heartbeats cannot be read: {error}"
        return f"behind: {describe(beats, interval=self._interval)}"


def read(folder: pathlib.Path | epath.Path, count: int) -> list[Beat | int]:
    """The heartbeats of all processes, by index; the index alone where one has none.

    Args:
      folder: Where they lie.
      count: Processes of the run.
    """

    def one(index: int) -> Beat | int:
        path = folder / f"{index}.json"
        return Beat(**json.loads(path.read_text())) if path.is_file() else index

    return [one(index) for index in range(count)]


def describe(beats: Sequence[Beat | int], *, interval: float) -> str:
    """Names the processes that the others wait for.

    Those that no longer write come first, then those of the smallest step, then those of the
    earliest phase.

    Args:
      beats: From `read`.
      interval: Seconds between two heartbeats of a process.
    """
    newest = max((beat.written for beat in beats if isinstance(beat, Beat)), default=0.0)

    def order(beat: Beat | int) -> tuple[Any, ...]:
        if isinstance(beat, int):
            return (0,)
        is_lost = newest - beat.written > _LOST * interval
        rank = PHASES.index(beat.phase) if beat.phase in PHASES else len(PHASES)
        return (1 if is_lost else 2, beat.step, rank)

    first = min(map(order, beats))
    behind = [_name(beat) for beat in beats if order(beat) == first]
    more = f" and {len(behind) - _NAMED} more" if len(behind) > _NAMED else ""
    silence = ", which writes no heartbeats any more" if first[0] == 1 else ""
    return ", ".join(behind[:_NAMED]) + more + silence


def _name(beat: Beat | int) -> str:
    if isinstance(beat, int):
        return f"process {beat}, which never wrote a heartbeat"
    clock = time.strftime("%H:%M:%S", time.localtime(beat.since))
    where = f"step {beat.step}, phase {beat.phase} since {clock}"
    return f"process {beat.process} on {beat.host} ({where})"
