# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""An encoded row as bytes, and back. Pictures that were embedded in their row stay encoded."""

import io
import json
from typing import Any

import numpy as np
from PIL import Image

from lingshu_jax.common import geometry as geometry_lib
from lingshu_jax.data import images, messages


def pack(encoded: messages.Encoded) -> bytes:
    """A row as a record: a line of JSON, the token ids, embedded pictures.

    Args:
      encoded: Of a mixture; it has no extras.
    """
    assert not encoded.extras, "rows of a mixture have none"
    weights = encoded.loss_weights
    ends = np.flatnonzero(np.diff(weights, append=np.nan)) + 1
    blobs: list[bytes] = []
    head = {
        "id": encoded.id,
        "source_id": encoded.source_id,
        "tokens": encoded.num_tokens,
        "loss_weights": [np.diff(ends, prepend=0).tolist(), weights[ends - 1].tolist()],
        "media": [
            {
                "start": media.start,
                "grid": media.grid,
                "seconds_per_grid": media.seconds_per_grid,
                "blank": media.blank,
                "image": _refer(media.image, blobs),
            }
            for media in encoded.media
        ],
    }
    ids = encoded.tokens.astype("<i4").tobytes()
    return b"".join([json.dumps(head).encode(), b"\n", ids, *blobs])


def unpack(record: bytes, geometry: geometry_lib.VisionGeometry) -> messages.Encoded:
    """The row of a record.

    Args:
      record: From `pack`.
      geometry: Gives the positions, with the places of the media.
    """
    line, _, rest = record.partition(b"\n")
    head, file = json.loads(line), io.BytesIO(rest)
    ids = np.frombuffer(file.read(4 * head["tokens"]), "<i4").astype(np.int32)
    counts, values = head["loss_weights"]
    media = tuple(
        images.Media(
            start=one["start"],
            grid=geometry_lib.Grid(*one["grid"]),
            seconds_per_grid=one["seconds_per_grid"],
            blank=one["blank"],
            image=_resolve(one["image"], file),
        )
        for one in head["media"]
    )
    return messages.Encoded(
        id=head["id"],
        source_id=head["source_id"],
        tokens=ids,
        loss_weights=np.repeat(np.asarray(values, np.float32), counts),
        positions=geometry_lib.mrope_positions(len(ids), [m.span for m in media], geometry),
        media=media,
    )


def _refer(visual: images.Visual, blobs: list[bytes]) -> Any:
    """A path; or the size of what is appended to `blobs`; or a list of these for frames."""
    if isinstance(visual, tuple):
        return [_refer(frame, blobs) for frame in visual]
    if isinstance(visual, str):
        return visual
    if isinstance(visual, Image.Image):
        buffer = io.BytesIO()
        images.open_image(visual).save(buffer, "PNG")
        visual = buffer.getvalue()
    blobs.append(visual)
    return len(visual)


def _resolve(reference: Any, file: io.BytesIO) -> Any:
    """The other way round, in the same order."""
    if isinstance(reference, list):
        return tuple(_resolve(frame, file) for frame in reference)
    return reference if isinstance(reference, str) else file.read(reference)
