# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A `jax.profiler` trace of a few steps of a run.

Operations of a training step stand in it under the scopes `vision`, `merger`, `text`, `loss` and
`optimizer`. TensorBoard's profile plugin and xprof read the folder; every process writes its own
trace into it.
"""

import contextlib
import pathlib
from collections.abc import Iterator

import jax

FOLDER = "profile"  # of a run
SCOPES = ("vision", "merger", "text", "loss", "optimizer")


class Profiler:
    """Traces the steps of a range, each named, and nothing outside it."""

    def __init__(self, steps: str, workdir: pathlib.Path):
        """Traces nothing yet.

        Args:
          steps: `config.profile_steps`: "10:15" is step 10 to step 14; "" is none.
          workdir: The run's folder.
        """
        first, _, end = steps.partition(":")
        self._steps = range(int(first), int(end)) if steps else range(0)
        self._folder, self._is_tracing = workdir / FOLDER, False

    @contextlib.contextmanager
    def step(self, number: int) -> Iterator[None]:
        """What runs inside belongs to a step, and is finished when it ends.

        Args:
          number: Of the step, 1 for the first. A run that is continued inside the range traces
            what is left of it.
        """
        if number not in self._steps:
            yield
            return
        if not self._is_tracing:
            jax.profiler.start_trace(str(self._folder))
            self._is_tracing = True
        with jax.profiler.StepTraceAnnotation("train", step_num=number):
            yield
        if number == self._steps[-1]:
            self.close()

    def close(self) -> None:
        """Writes a trace that is still open: the run ended inside the range."""
        if self._is_tracing:
            jax.profiler.stop_trace()
            self._is_tracing, self._steps = False, range(0)
