# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Training examples as rows of curation, and back."""

import json
from collections.abc import Sequence
from typing import Any

from data_tools import rows as rows_lib
from lingshu_jax.common import errors
from lingshu_jax.data import sources


def from_example(example: sources.Example) -> rows_lib.Row:
    """A training example as a row.

    Args:
      example: From `sources.stream`.
    """
    media: list[rows_lib.Medium] = []
    messages = [
        {**message, "content": [_part(part, media) for part in message["content"]]}
        for message in example.messages
    ]
    return rows_lib.Row(
        id=f"{example.source}/{example.id}",
        source=example.source,
        line=example.line,
        messages=tuple(messages),
        media=tuple(media),
        meta=example.meta,
    )


def to_messages(row: rows_lib.Row) -> tuple[dict[str, Any], ...]:
    """The messages of a row with its pictures in their places, as engines and encoders take them.

    Args:
      row: Any.
    """
    return tuple(
        {**message, "content": [_unpart(part, row.media) for part in message["content"]]}
        for message in row.messages
    )


def _part(part: dict[str, Any], media: list[rows_lib.Medium]) -> dict[str, Any]:
    kind = part["type"]
    if kind not in ("image", "video"):
        return part
    media.append(_medium(kind, part[kind]))
    return {**part, kind: len(media) - 1}


def _medium(kind: str, value: Any) -> rows_lib.Medium:
    if isinstance(value, bytes):
        return rows_lib.Medium(kind=kind, data=value)
    if isinstance(value, list | tuple):
        if any(isinstance(frame, bytes) for frame in value):
            raise errors.UserError("a clip of embedded frames cannot be curated; use a file of it")
        return rows_lib.Medium(kind=kind, path=rows_lib.dump([str(frame) for frame in value]))
    return rows_lib.Medium(kind=kind, path=str(value))


def _unpart(part: dict[str, Any], media: Sequence[rows_lib.Medium]) -> dict[str, Any]:
    kind = part["type"]
    return {**part, kind: value(media[part[kind]])} if kind in ("image", "video") else part


def value(medium: rows_lib.Medium) -> Any:
    """A picture as `images.open_image` takes it; a clip as `images.open_frames` does.

    Args:
      medium: Of a row.
    """
    if medium.data:
        return medium.data
    return json.loads(medium.path) if medium.path.startswith("[") else medium.path
