# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The command rl.prepare with an engine that knows some golds and takes its time.

    python -m tests.rl.trying LOG SECONDS FLAGS OF PREPARE

`LOG` gets the id of each row when it is asked, `SECONDS` go by before each answer.
"""

import pathlib
import subprocess
from collections.abc import Iterator, Sequence

from lingshu_jax.engines import protocol
from lingshu_jax.rl import prepare
from tests.engines import stand_in


class Knowing(stand_in.StandIn):
    """Answers in the strict form: of `n` samples to "is it K?", K are "left", the others "right".

    "fail" in a question is no answer.
    """

    def generate(
        self,
        requests: Sequence[protocol.Request],
        *,
        on_result: protocol.OnCompletions | None = None,
    ) -> list[list[protocol.Completion]]:
        return self._answer(requests, on_result, _answers)


def _answers(request: protocol.Request) -> list[protocol.Completion] | protocol.Failure:
    text = stand_in.text_of(request)
    if "fail" in text:
        return protocol.Failure(f"request {request.id!r}: the engine fails")
    right = int(next(_numbers(text)))
    return [
        protocol.Completion(
            text=f"<think>I look.</think><answer>{'left' if n < right else 'right'}</answer>",
            tokens=(1, n),
            logprobs=(-0.5, -0.5),
            finish_reason="stop",
        )
        for n in range(request.sampling.n)
    ]


def _numbers(text: str) -> Iterator[str]:
    return (word for word in text.replace("?", " ").split() if word.isdigit())


def start(log: pathlib.Path, seconds: float, *flags: str) -> subprocess.Popen[str]:
    """Starts the command."""
    return stand_in.start("tests.rl.trying", log, seconds, flags)


if __name__ == "__main__":
    stand_in.serve(Knowing, prepare)
