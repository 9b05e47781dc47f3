# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Our side of `engines.py`: `JaxEngine.generate`, from messages to text.

PYTHONPATH=. python -m benchmarks.engines_ours --work=DIR
"""

import argparse
import importlib.metadata
import json
from typing import Any

from benchmarks import engines_work, train_step_sides
from lingshu_jax.common import runtime
from lingshu_jax.engines import jax_engine, protocol
from lingshu_jax.stages import measures


class Engine:
    """The engine and its requests."""

    def __init__(self, work: train_step_sides.Work, flags: argparse.Namespace) -> None:
        """Loads the folder.

        Args:
          work: What is asked.
          flags: Not used.
        """
        runtime.start()  # as every command does
        settings = work.settings
        sampling = protocol.SamplingParams(max_new_tokens=settings["new_tokens"], ignore_eos=True)
        self.requests = [
            protocol.Request(messages=messages, sampling=sampling)
            for messages in json.loads((work.folder / engines_work.REQUESTS).read_text())
        ]
        self.engine = jax_engine.JaxEngine.from_folder(work.folder, rows=settings["requests"])
        self.tokens: list[list[int]] = []

    def step(self, index: int) -> float:
        """Answers all requests; the new tokens there are."""
        del index
        answers = self.engine.generate(self.requests)
        self.tokens = [list(one.tokens) for (one,) in answers]
        return float(sum(map(len, self.tokens)))

    def memory_bytes(self) -> float:
        """Peak of the process."""
        return measures.memory_bytes()

    def describe(self) -> dict[str, Any]:
        """Versions and all new tokens."""
        versions = {name: importlib.metadata.version(name) for name in ("jax", "flax")}
        return {"tokens": self.tokens, "versions": versions}


if __name__ == "__main__":
    train_step_sides.serve(Engine)
