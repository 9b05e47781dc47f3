# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Positions of images and videos a second time: one token at a time, in plain Python."""

import struct
from collections.abc import Callable, Sequence

from lingshu_jax.common import geometry

FRAME_RATES = (0.5, 0.75, 1.0, 1.3, 1.6, 2.0, 2.4, 2.997, 3.0, 4.0, 5.0, 6.0, 7.5, 8.0)
Times = Callable[[int, float], int]


def float32(value: float) -> float:
    """The nearest float32."""
    return struct.unpack("f", struct.pack("f", value))[0]


def qwen_time(frame: int, seconds: float) -> int:
    """Frame times seconds times 2 in float32, then truncated: what the original's tensors do."""
    return int(float32(float32(frame * float32(seconds)) * 2))


def by_the_token(
    length: int,
    media: Sequence[geometry.MediaSpan],
    *,
    time: Times = qwen_time,
    after: Callable[[list[list[int]], int, geometry.Grid], int] | None = None,
) -> list[list[int]]:
    """The positions of a sequence of the released geometry.

    Args:
      length: Tokens of the sequence.
      media: Its images and videos.
      time: Temporal step of a frame; another one makes a twin.
      after: Where text goes on after a medium, from its positions, its first position and its
        grid; None is one after the largest position.

    Returns:
      Three lists.
    """
    tokens: list[list[int]] = []
    waiting, following = {span.start: span for span in media}, 0
    while len(tokens) < length:
        span = waiting.get(len(tokens))
        if span is None:
            tokens.append([following] * 3)
            following += 1
            continue
        first, seconds, block = following, span.seconds_per_grid, []
        for frame in range(span.grid.t):
            step = 0 if seconds is None else time(frame, seconds)
            for row in range(span.grid.h // 2):
                block += [[first + step, first + row, first + c] for c in range(span.grid.w // 2)]
        following = 1 + max(max(token) for token in block)
        if after is not None:
            following = after(block, first, span.grid)
        tokens += block
    return [list(axis) for axis in zip(*tokens, strict=True)]
