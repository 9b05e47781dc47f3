# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Conversations with any engine, each going on as soon as the engine can.

A question that follows from a reply is asked at once by engines that are `protocol.Converser`, as
servers are; others get the next questions of all conversations together, once all have a reply.
"""

from collections.abc import Sequence

from lingshu_jax.engines import protocol


def converse(
    engine: protocol.Generator,
    requests: Sequence[protocol.Request],
    *,
    on_result: protocol.OnReply,
) -> None:
    """As `protocol.Converser.converse`.

    Args:
      engine: Who replies.
      requests: The first question of each conversation.
      on_result: Gives the next one.

    Raises:
      UserError: If no request can be served any more.
    """
    if isinstance(engine, protocol.Converser):
        engine.converse(requests, on_result=on_result)
        return
    waiting = dict(enumerate(requests))
    while waiting:
        waiting = _round(engine, waiting, on_result)


def _round(
    engine: protocol.Generator, asked: dict[int, protocol.Request], on_result: protocol.OnReply
) -> dict[int, protocol.Request]:
    """Asks one question of each conversation; those that follow, by place."""
    following: dict[int, protocol.Request] = {}
    places = list(asked)

    def take(number: int, result: list[protocol.Completion] | protocol.Failure) -> None:
        request = on_result(places[number], result)
        if request is not None:
            following[places[number]] = request

    engine.generate(list(asked.values()), on_result=take)
    return dict(sorted(following.items()))
