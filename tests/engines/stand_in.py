# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""An engine without a model, which answers out of order and fails where a row asks for it."""

import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from lingshu_jax.common import cli, errors
from lingshu_jax.engines import protocol, registry


class StandIn:
    """Says the last text of a prompt backwards; "fail" is no answer.

    Attributes:
      asked: Ids of the requests, in the order in which they were answered.
      requests: All of them as they came.
      closed: How often `close` was called.
    """

    def __init__(
        self,
        *,
        log: pathlib.Path | None = None,
        seconds: float = 0.0,
        dies_after: int | None = None,
    ):
        """Takes how it behaves.

        Args:
          log: Gets a line with the id of every request that is answered, before it is.
          seconds: Between two answers.
          dies_after: So many answers, and it can give no more.
        """
        self.asked: list[str] = []
        self.requests: list[Any] = []
        self.closed = 0
        self._log, self._seconds, self._left = log, seconds, dies_after

    def generate(
        self,
        requests: Sequence[protocol.Request],
        *,
        on_result: protocol.OnCompletions | None = None,
    ) -> list[list[protocol.Completion]]:
        return self._answer(requests, on_result, _complete)

    def score(
        self,
        requests: Sequence[protocol.ScoreRequest],
        *,
        on_result: protocol.OnScores | None = None,
    ) -> list[list[protocol.Score]]:
        return self._answer(requests, on_result, _score)

    def stream(self, request: protocol.Request) -> Iterator[protocol.Delta]:
        raise errors.UserError("a stand-in does not stream")

    def close(self) -> None:
        self.closed += 1

    def _answer(self, requests: Any, on_result: Any, answer: Any) -> list[list[Any]]:
        results: list[list[Any]] = [[] for _ in requests]
        self.requests += requests
        for place in np.random.default_rng(len(requests)).permutation(len(requests)).tolist():
            self._count(requests[place].id)
            result = answer(requests[place])
            if on_result is not None:
                on_result(place, result)
            elif isinstance(result, protocol.Failure):
                raise errors.UserError(result.reason)
            results[place] = [] if isinstance(result, protocol.Failure) else result
        return results

    def _count(self, name: str) -> None:
        if self._left == 0:
            raise errors.UserError("the stand-in is dead")
        self._left = None if self._left is None else self._left - 1
        time.sleep(self._seconds)
        self.asked.append(name)
        if self._log is not None:
            with self._log.open("a") as file:
                file.write(json.dumps(name) + "\n")


def text_of(request: Any) -> str:
    """The last text of a prompt."""
    return request.messages[-1]["content"][-1]["text"]


def _complete(request: protocol.Request) -> list[protocol.Completion] | protocol.Failure:
    text = text_of(request)
    if "fail" in text:
        return protocol.Failure(f"request {request.id!r}: the stand-in fails")
    tokens = tuple(text.encode("utf-8", "surrogatepass"))
    return [
        protocol.Completion(
            text=text[::-1],
            tokens=(*tokens, request.sampling.seed, sample),
            logprobs=(-0.5,) * (len(tokens) + 2),
            finish_reason="stop",
        )
        for sample in range(request.sampling.n)
    ]


def _score(request: protocol.ScoreRequest) -> list[protocol.Score] | protocol.Failure:
    if "fail" in text_of(request):
        return protocol.Failure("the stand-in fails")
    found = []
    for continuation in request.continuations:
        is_text = isinstance(continuation, str)
        tokens = tuple(continuation.encode("utf-8", "surrogatepass")) if is_text else continuation
        found.append(protocol.Score(tokens=tokens, logprobs=(-0.25,) * len(tokens)))
    return found


def start(
    module: str, log: pathlib.Path, seconds: float, flags: Sequence[str]
) -> subprocess.Popen[str]:
    """Starts a module of the tests that calls `serve`, with its log, seconds and the flags."""
    return subprocess.Popen(
        [sys.executable, "-m", module, str(log), str(seconds), *flags],
        cwd=pathlib.Path(__file__).resolve().parents[2],
        env={**os.environ, "PYTHONPATH": "."},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def serve(kind: type[StandIn], entry: ModuleType) -> None:
    """Runs a command with an engine of this kind in the place of any other."""
    engine = kind(log=pathlib.Path(sys.argv.pop(1)), seconds=float(sys.argv.pop(1)))
    registry.Choice.make = lambda _: engine
    cli.run(entry.main, entry.define_flags)
