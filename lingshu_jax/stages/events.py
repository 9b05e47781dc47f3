# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""`events.jsonl`: what happened to a run besides its steps, a row each, the same in the log."""

import json
import pathlib
import time
from typing import Any

from absl import logging

from lingshu_jax.common import metrics, runtime

EVENTS = "events.jsonl"
SKIPPED, ROLLBACK, STOPPED = "skipped", "rollback", "stopped"


class Events:
    """Appends rows `{"step", "event", "time", ...}`; there is no file before the first."""

    def __init__(self, workdir: pathlib.Path, *, after_step: int):
        """Drops the rows that a restored run will write again.

        Args:
          workdir: The run's folder.
          after_step: Rows of later steps are from before an interruption and go.
        """
        self._path = workdir / EVENTS
        if runtime.is_main_host() and self._path.is_file():
            metrics.drop_rows_after(self._path, after_step)

    def write(self, step: int, event: str, **values: Any) -> None:
        """Writes and logs one event, on the main host.

        Args:
          step: Optimizer steps taken.
          event: Its kind.
          **values: JSON values that explain it.
        """
        if not runtime.is_main_host():
            return
        row = {"step": step, "event": event, "time": time.time(), **values}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        told = ", ".join(f"{name} {value}" for name, value in values.items())
        logging.warning("step %d: %s (%s)", step, event, told)
