# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures as the page gets them: pixels alone, no header, no name.

Gray DICOM files go as numbers of 16 bits, so that the page can lay any window over them; all other
pictures as PNG of what training sees.

Axes: T frames, H rows, W columns.
"""

import functools
import io
import os
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, UInt16
from PIL import Image

from data_tools.reviewing import items
from lingshu_jax.common import errors
from lingshu_jax.data import dicom, images, volume_files, volumes

# Center and width in Hounsfield units. Source: Radiopaedia, "Windowing (CT)".
CT_WINDOWS = (
    ("lung", -600, 1500),
    ("mediastinum", 50, 350),
    ("abdomen", 50, 400),
    ("liver", 30, 150),
    ("bone", 400, 1800),
    ("brain", 40, 80),
)
LEVELS = 2**16 - 1
_CACHED = 3  # files


class Frame(NamedTuple):
    """One frame.

    Attributes:
      content: PNG; or, of gray values, H W numbers of 16 bits, the lower byte first.
      low: Gray value of the number 0; None of a PNG.
      step: Gray values from one number to the next; None of a PNG.
      width: Numbers in a row; None of a PNG.
    """

    content: bytes
    low: float | None = None
    step: float | None = None
    width: int | None = None


def describe(picture: items.Picture) -> dict[str, Any]:
    """What the page has to know before it asks for frames.

    Args:
      picture: From `items.Row.pictures`.

    Returns:
      `frames`; and, where the page lays windows over gray values, `windows`, named, the first one
      to begin with, `is_inverted` and `is_exact`: the window is `low` to `low + width`, not one
      less (DICOM PS3.3, C.11.2.1.2 and C.11.2.1.3). Else `windows` is empty.

    Raises:
      UserError: If the picture cannot be read.
    """
    names = _files(picture)
    grays = _gray_of(names[0])
    if grays is None:
        count = len(names) if len(names) > 1 else len(_frames(names[0], _stamp(names[0])))
        return {"frames": count, "windows": [], "is_inverted": False, "is_exact": False}
    gray, modality, chosen = grays
    is_exact = not _is_whole(gray.values[chosen[0]])
    smallest, largest = float(gray.values.min()), float(gray.values.max())
    windows = [("of the file", *gray.window)] if gray.window else []
    if not windows and not is_exact and 0 <= smallest and largest <= 255:
        windows = [_spanning("of 8 bits", 0, 255, is_exact)]  # as training sees them
    windows.append(_spanning("automatic", *volumes.tails(gray.values), is_exact))
    windows.append(_spanning("full", smallest, largest, is_exact))
    windows += CT_WINDOWS if modality == "CT" else ()
    return {
        "frames": len(names) if len(names) > 1 else len(chosen),
        "windows": [list(window) for window in windows],
        "is_inverted": gray.is_inverted,
        "is_exact": is_exact,
    }


def frame(picture: items.Picture, place: int) -> Frame | None:
    """One frame; None where there is none of this place.

    Args:
      picture: From `items.Row.pictures`.
      place: From 0.

    Raises:
      UserError: If the picture cannot be read.
    """
    names = _files(picture)
    if len(names) > 1:
        if place >= len(names):
            return None
        names, place = names[place : place + 1], 0
    grays = _gray_of(names[0])
    if grays is not None:
        gray, _, chosen = grays
        return _numbers(gray.values[chosen[place]]) if place < len(chosen) else None
    frames = _frames(names[0], _stamp(names[0]))
    return Frame(frames[place]) if place < len(frames) else None


def _files(picture: items.Picture) -> list[items.File]:
    """The files of a picture, one or more."""
    return list(picture) if isinstance(picture, tuple) else [picture]


def _numbers(values: Float32[np.ndarray, "H W"]) -> Frame:
    """Gray values as numbers of 16 bits; whole ones stay what they are if they are few enough."""
    finite = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    low, high = float(finite.min()), float(finite.max())
    step = 1.0 if _is_whole(values) and high - low <= LEVELS else max(high - low, 1e-9) / LEVELS
    numbers: UInt16[np.ndarray, "H W"] = np.rint((finite - low) / step).astype("<u2")
    return Frame(numbers.tobytes(), low, step, values.shape[1])


def _spanning(name: str, low: float, high: float, is_exact: bool) -> tuple[str, float, float]:
    """The window from one value to another, which become black and white."""
    width = max(high - low, 1e-6)
    return (name, low + width / 2, width) if is_exact else (name, (low + high + 1) / 2, width + 1)


def _is_whole(values: Float32[np.ndarray, "H W"]) -> bool:
    return bool(np.all(values == np.rint(values)))


def _gray_of(name: items.File) -> tuple[volumes.Gray, str | None, list[int]] | None:
    """Values, modality and the chosen frames of a gray DICOM file; None of anything else."""
    if isinstance(name, str) and os.path.isdir(name):
        return None
    found = volume_files.find(name)
    if found is None or found.kind != "dicom":
        return None
    gray = _read_gray(found.source, _stamp(found.source))
    if gray is None:
        return None
    chosen = found.choice.indices(len(gray.values))
    if not chosen:
        raise errors.UserError(f"{found.name}: there are {len(gray.values)} frames")
    return gray, found.read().header.modality, chosen


@functools.lru_cache(_CACHED)
def _read_gray(source: str | bytes, stamp: tuple[int, int] | None) -> volumes.Gray | None:
    """Gray values of a file; kept, since its frames are asked for one by one."""
    del stamp
    return dicom.read_gray(source)


@functools.lru_cache(_CACHED)
def _frames(name: items.File, stamp: tuple[int, int] | None) -> tuple[bytes, ...]:
    """All frames of a picture or a clip as PNG."""
    del stamp
    return tuple(map(_png, images.open_frames(name)))


def _stamp(name: items.File) -> tuple[int, int] | None:
    """Tells the versions of a file apart."""
    if not isinstance(name, str):
        return None
    status = os.stat(volume_files.split_fragment(name)[0])
    return status.st_mtime_ns, status.st_size


def _png(picture: Image.Image) -> bytes:
    """Pixels alone, packed quickly: it goes no farther than the browser."""
    picture.info.clear()
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=1)
    return file.getvalue()
