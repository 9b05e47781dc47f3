# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""An engine that answers as it is told, and remembers what it was asked."""

from collections.abc import Callable, Sequence

from lingshu_jax.engines import protocol


class Engine:
    """Answers with what a function makes of a request: a text, or a `protocol.Failure`."""

    def __init__(self, answer: Callable[[protocol.Request], "str | protocol.Failure"]):
        self.asked: list[protocol.Request] = []
        self._answer = answer

    def generate(
        self,
        requests: Sequence[protocol.Request],
        *,
        on_result: protocol.OnCompletions | None = None,
    ) -> list[list[protocol.Completion]]:
        assert on_result is not None
        for place, request in enumerate(requests):
            self.asked.append(request)
            said = self._answer(request)
            if isinstance(said, protocol.Failure):
                on_result(place, said)
                continue
            completion = protocol.Completion(
                text=said, tokens=(), logprobs=(), finish_reason="stop"
            )
            on_result(place, [completion])
        return []
