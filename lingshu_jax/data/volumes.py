# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What the readers of DICOM and NIfTI files have in common: their results, their gray values.

Axes: T frames or slices, H rows, W columns.
"""

import dataclasses
import math
import struct
import zlib
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Float32, Num, UInt8

from lingshu_jax.common import errors

Plane = Literal["sagittal", "coronal", "axial"]  # in the order of the axes x, y, z
PLANES: tuple[Plane, ...] = get_args(Plane)

# What decoders raise on broken and truncated files, each beside errors of its own.
DECODE_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)

GZIP_MAGIC = b"\x1f\x8b"
MAX_VALUES = 2**29  # pixel values of a file, all frames; a header may ask for anything

# Without a window in the header, this share of the values is cut at either end.
TAIL_PERCENT = 0.5
MAX_SAMPLE = 2**24  # values that the tails are taken from; of more, every n-th
CHUNK = 2**22  # values in float64 at a time


@dataclasses.dataclass(kw_only=True, frozen=True)
class Header:
    """Technical facts; None where the file does not say.

    Attributes:
      modality: DICOM's code, as CT, MR, US.
      body_part: DICOM's term, as HEAD.
      plane: The anatomical plane nearest to the frames.
      slice_thickness_mm: As stated; for NIfTI the distance of slices.
      spacing_mm: Distance of rows, distance of columns.
      fps: Frames a second of a clip.
    """

    modality: str | None = None
    body_part: str | None = None
    plane: Plane | None = None
    slice_thickness_mm: float | None = None
    spacing_mm: tuple[float, float] | None = None
    fps: float | None = None


@dataclasses.dataclass(kw_only=True, frozen=True)
class Volume:
    """Frames of one file.

    Attributes:
      frames: Ready to look at; gray images have three equal channels. Not to be written to.
      header: The allowed facts.
      dropped_tags: Elements that may identify a person and were left behind.
    """

    frames: UInt8[np.ndarray, "T H W 3"]
    header: Header
    dropped_tags: int


class Gray(NamedTuple):
    """Gray values of one file, before any window.

    Attributes:
      values: After the modality's rescale or table.
      window: Center and width that the header says for the first frame; None where it does not.
      is_inverted: Whether the smallest value is white.
    """

    values: Float32[np.ndarray, "T H W"]
    window: tuple[float, float] | None
    is_inverted: bool


class Shape(NamedTuple):
    """Size of a file's frames; `fps` is None where the file is no clip."""

    num_frames: int
    height: int
    width: int
    fps: float | None = None


def check_size(name: str, shape: tuple[int, ...]) -> None:
    """Refuses a file that declares no values, or too many.

    Args:
      name: Of the file.
      shape: What its header says.

    Raises:
      UserError: If it does.
    """
    if min(shape) < 1 or math.prod(shape) > MAX_VALUES:
        sides = " x ".join(map(str, shape))
        raise errors.UserError(
            f"{name} declares {sides} pixel values; allowed: 1 to {MAX_VALUES} in all"
        )


def window(
    values: Num[np.ndarray, "T H W"], *, center: float, width: float, function: str = "LINEAR"
) -> UInt8[np.ndarray, "T H W"]:
    """DICOM's window.

    Args:
      values: After rescale.
      center: Middle of the window.
      width: Its width; LINEAR needs >= 1, the others > 0.
      function: LINEAR, LINEAR_EXACT or SIGMOID; anything else counts as LINEAR.

    Source: DICOM PS3.3, C.11.2.1.2 and C.11.2.1.3.
    """
    if function == "SIGMOID":
        # The exponent is bounded: exp of a far value would overflow, its result is 0 or 1 anyway.
        exponent = np.clip(-4 * (values - center) / max(width, 1e-9), -700, 700)
        return np.rint(255 / (1 + np.exp(exponent))).astype(np.uint8)
    if function != "LINEAR_EXACT":
        center, width = center - 0.5, width - 1
    return stretch(values, low=center - width / 2, high=center + width / 2)


def stretch(values: Num[np.ndarray, "..."], low: float, high: float) -> UInt8[np.ndarray, "..."]:
    """Maps low..high to 0..255, rounds, and clips; a range of no width is a threshold."""
    result = np.empty(values.shape, np.uint8)
    rows = max(1, CHUNK // max(values[:1].size, 1))
    for start in range(0, len(values), rows):
        with np.errstate(all="ignore"):
            part = values[start : start + rows].astype(np.float64)
            scaled = (part - low) / max(high - low, 1e-9)
        result[start : start + rows] = np.rint(np.clip(np.nan_to_num(scaled), 0, 1) * 255)
    return result


def tails(values: Num[np.ndarray, "..."]) -> tuple[float, float]:
    """The range that all finite values but the outermost lie in; 0 to 1 where none is finite."""
    flat = values.reshape(-1, order="A")
    flat = flat[:: -(-flat.size // MAX_SAMPLE) or 1]
    with np.errstate(all="ignore"):
        finite = flat[np.isfinite(flat)].astype(np.float64)
        if not finite.size:
            return 0.0, 1.0
        low, high = np.percentile(finite, (TAIL_PERCENT, 100 - TAIL_PERCENT))
    return float(low), float(high)


def gray_to_rgb(gray: UInt8[np.ndarray, "T H W"]) -> UInt8[np.ndarray, "T H W 3"]:
    """Three equal channels, as a view."""
    return np.broadcast_to(gray[..., None], (*gray.shape, 3))
