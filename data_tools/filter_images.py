# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Which pictures are worth training on: pure functions of pixels.

Axes: T frames, H rows, W columns.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from data_tools import examples
from data_tools import rows as rows_lib
from lingshu_jax.common import errors
from lingshu_jax.data import images

_SIDE = 64  # of the grey picture that is looked at


class Fault(NamedTuple):
    """Why a picture is left out.

    Attributes:
      reason: "broken", "small", "blank" or "repeated frames".
      detail: What exactly.
    """

    reason: str
    detail: str


class Look(NamedTuple):
    """What was seen of a picture or a clip.

    Attributes:
      size: Width and height in pixels; None where it does not decode.
      fault: The first that was found; None where there is none.
    """

    size: tuple[int, int] | None
    fault: Fault | None


def look(medium: rows_lib.Medium, *, min_side: int, min_spread: float, max_repeated: float) -> Look:
    """Decodes a picture or a clip and looks for faults.

    Args:
      medium: Of a row.
      min_side: Shorter sides are a fault, pixels.
      min_spread: Grey values whose 1st and 99th percentile are not further apart are blank; all
        frames of a clip have to be.
      max_repeated: Larger shares of frames that equal the one before are a fault of a clip.
    """
    try:
        visual = examples.value(medium)
        if medium.kind == "video":
            frames = images.open_frames(tuple(visual) if isinstance(visual, list) else visual)
            small, size = _small(frames)
        else:
            small, size = _small([images.open_image(visual)])
    except errors.UserError as error:
        return Look(None, Fault("broken", _without_path(str(error), medium)))
    if min(size) < min_side:
        return Look(size, Fault("small", f"{size[0]} x {size[1]} pixels"))
    widest = max(map(spread, small))
    if widest <= min_spread:
        return Look(size, Fault("blank", f"grey values within {widest:g}"))
    share = repeated(small)
    if share > max_repeated:
        return Look(size, Fault("repeated frames", f"{share:.2f} of {len(small)}"))
    return Look(size, None)


def spread(grey: UInt8[np.ndarray, "H W"]) -> float:
    """How far the 1st and the 99th percentile of grey values are apart, 0 to 255."""
    low, high = np.percentile(grey, (1, 99))
    return float(high - low)


def repeated(frames: list[UInt8[np.ndarray, "H W"]]) -> float:
    """The share of frames after the first that equal the one before; 0 of a single picture."""
    if len(frames) < 2:
        return 0.0
    same = [np.array_equal(one, two) for one, two in zip(frames, frames[1:], strict=False)]
    return sum(same) / len(same)


def _small(
    frames: Iterable[Image.Image],
) -> tuple[list[UInt8[np.ndarray, "H W"]], tuple[int, int]]:
    """Grey pictures of a size that is quick to look at, and the size of the first frame."""
    small, size = [], (0, 0)
    for frame in frames:
        size = size if small else frame.size
        thumbnail = frame.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
        small.append(np.asarray(thumbnail))
    return small, size


def _without_path(reason: str, medium: rows_lib.Medium) -> str:
    """A reason that names no folder: paths may say whose picture it is."""
    return reason.replace(medium.path, "the picture") if medium.path else reason
