# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Finished rollouts on disk, until a checkpoint holds what was learned from them.

    pending/<step>.jsonl    those of the rollout batch whose first update is that step

A run that is continued takes them from there and samples only the rest. Each is written as soon as
its prompt is answered, with the ids and the log-probabilities to the last bit.
"""

import contextlib
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from lingshu_jax.common import runtime
from lingshu_jax.engines import journal, protocol
from lingshu_jax.rl import agreement

FOLDER = "pending"  # of a run


class Sampled(NamedTuple):
    """All completions of one prompt.

    Attributes:
      completions: In the order of the samples.
      at: Optimizer steps that the weights had taken.
      is_new: Whether they are from this process, not from the disk.
    """

    completions: list[protocol.Completion]
    at: int
    is_new: bool


class Pending:
    """The finished rollouts of one batch; the main process writes, all of them read."""

    def __init__(self, file: journal.Journal | None, lineage: Sequence[int]):
        """Takes what is there; see `opened`.

        Args:
          file: Of the main process; None on the others.
          lineage: As of `opened`.
        """
        self._file, self._lineage = file, list(lineage)

    def find(self, requests: Sequence[protocol.Request]) -> list[Sampled | None]:
        """What an earlier process has sampled of each, the same on every process.

        Args:
          requests: Told apart by their id and seed.
        """
        found = agreement.from_main(lambda: [self._read(self._key(one)) for one in requests])
        return [None if answer is None else _from_json(answer) for answer in found]

    def put(self, request: protocol.Request, sampled: Sampled) -> None:
        """Keeps the completions of a prompt.

        Args:
          request: What was asked.
          sampled: What was answered.
        """
        if self._file is not None:
            completions = [vars(one) for one in sampled.completions]
            self._file.append(self._key(request), {"at": sampled.at, "completions": completions})

    def _read(self, key: str) -> dict[str, Any] | None:
        assert self._file is not None
        return self._file.read(key) if key in self._file else None

    def _key(self, request: protocol.Request) -> str:
        return json.dumps([request.id, request.sampling.seed, *self._lineage])


@contextlib.contextmanager
def opened(workdir: pathlib.Path, *, step: int, lineage: Sequence[int]) -> Iterator[Pending]:
    """The finished rollouts of a batch.

    Args:
      workdir: The run's folder.
      step: The first update that learns from them.
      lineage: Numbers that tell apart what weights of the same step may be, as how often a run has
        gone back to a checkpoint: what other weights sampled is not found.
    """
    if not runtime.is_main_host():
        yield Pending(None, lineage)
        return
    path = workdir / FOLDER / f"{step:06d}.jsonl"
    with contextlib.closing(journal.Journal(path, begin=_begin)) as file:
        file.load()
        yield Pending(file, lineage)


def clear(workdir: pathlib.Path, *, saved: int | None) -> None:
    """Removes what no continued run will ask for; only the main process does.

    Args:
      workdir: The run's folder.
      saved: The step of the newest checkpoint; None where there is none.
    """
    folder = workdir / FOLDER
    if saved is None or not runtime.is_main_host() or not folder.is_dir():
        return
    for path in folder.glob("*.jsonl"):
        if int(path.stem) <= saved:
            path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()


def _from_json(answer: dict[str, Any]) -> Sampled:
    completions = [
        protocol.Completion(
            text=one["text"],
            tokens=tuple(one["tokens"]),
            logprobs=tuple(one["logprobs"]),
            finish_reason=one["finish_reason"],
        )
        for one in answer["completions"]
    ]
    return Sampled(completions, answer["at"], is_new=False)


def _begin() -> None:
    """A journal of a rollout batch needs nothing beside it."""
