# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Files that somebody puts on the chat page, as pictures.

They stay in memory and are bounded. Of a DICOM or NIfTI file only its pixels and the few facts of
`volumes.Header` are kept; a picture loses everything but its pixels.

Axes: T frames, H rows, W columns.
"""

import base64
import collections
import dataclasses
import io
import math
import secrets
import threading
from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from lingshu_jax.common import errors
from lingshu_jax.data import images, volume_files, volumes

MAX_FILE_BYTES = 2**28
MAX_VALUES = 2**27  # of a file, all frames and colours
MAX_HELD_BYTES = 2**30  # of all files
MAX_SENT = 64  # frames of a file in a question

Kind = Literal["picture", "dicom", "nifti"]
Send = Literal["frame", "images", "clip"]
SENDS: tuple[Send, ...] = get_args(Send)

# Center and width in Hounsfield units, as radiologists commonly set them
# (radiopaedia.org/articles/windowing-ct).
PRESETS = {
    "Lung": (-600, 1500),
    "Soft tissue": (50, 400),
    "Bone": (400, 1800),
    "Brain": (40, 80),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class View:
    """What of a file is meant, and how it is shown.

    Attributes:
      frame: From 0.
      plane: Of a NIfTI volume.
      center: Of the window; None is that of the file.
      width: Likewise.
      send: One frame, several as images, or several as a video.
      count: How many are several, evenly spaced; there may be fewer.
    """

    frame: int = 0
    plane: volumes.Plane = "axial"
    center: float | None = None
    width: float | None = None
    send: Send = "frame"
    count: int = 8


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Upload:
    """A file that was read.

    Attributes:
      kind: What it was.
      volume: Its frames as the file says they are shown.
      gray: Its values for other windows; None where there is nothing to choose.
    """

    kind: Kind
    volume: volumes.Volume
    gray: volumes.Gray | None = None

    @property
    def num_bytes(self) -> int:
        """What is held."""
        frames = self.volume.frames
        is_gray = frames.strides[-1] == 0  # three channels are one in memory
        held = frames.nbytes // (3 if is_gray else 1)
        return held + (0 if self.gray is None else self.gray.values.nbytes)

    def describe(self) -> dict[str, Any]:
        """What the page shows of it, in JSON values."""
        header = self.volume.header
        facts = [header.modality, header.body_part] if self.kind == "dicom" else []
        names = {"picture": "Picture", "dicom": "DICOM", "nifti": "NIfTI"}
        planes = volumes.PLANES if self.kind == "nifti" else ("axial",)
        return {
            "kind": self.kind,
            "facts": [names[self.kind], *filter(None, facts)],
            "planes": {plane: list(self._frames(plane).shape[:3]) for plane in planes},
            "dropped": self.volume.dropped_tags,
            "window": self._describe_window(),
        }

    def picture(self, view: View, frame: int) -> Image.Image:
        """One frame in RGB, with nothing but its pixels.

        Args:
          view: Plane and window.
          frame: From 0.

        Raises:
          UserError: If there is no such frame, or no window to choose.
        """
        frames = self._frames(view.plane)
        if not 0 <= frame < len(frames):
            raise errors.UserError(f"frame must be 0 to {len(frames) - 1}, got {frame}")
        if view.center is None or view.width is None:
            return Image.fromarray(np.ascontiguousarray(frames[frame]))
        if self.gray is None:
            raise errors.UserError("this file has no window to choose")
        values = self.gray.values[frame : frame + 1]
        function = "LINEAR" if view.width >= 1 else "LINEAR_EXACT"  # DICOM's own needs 1 or more
        center, width = view.center, view.width
        (shown,) = volumes.window(values, center=center, width=width, function=function)
        shown = 255 - shown if self.gray.is_inverted else shown
        return Image.fromarray(shown).convert("RGB")

    def parts(self, view: View) -> list[dict[str, Any]]:
        """The parts of a message that show it.

        Args:
          view: All of it counts.

        Raises:
          UserError: As of `picture`.
        """
        if view.send == "frame":
            return [{"type": "image", "image": self.picture(view, view.frame)}]
        total = len(self._frames(view.plane))
        chosen = volume_files.Choice(frames=view.count).indices(total)
        pictures = [self.picture(view, frame) for frame in chosen]
        if view.send == "images" or len(pictures) == 1:
            return [{"type": "image", "image": picture} for picture in pictures]
        fps = self.volume.header.fps
        rate = {"fps": fps * len(chosen) / total} if fps else {}  # fewer frames in the same time
        return [{"type": "video", "video": pictures, **rate}]

    def _frames(self, plane: volumes.Plane) -> UInt8[np.ndarray, "T H W 3"]:
        """Of a plane; the volume's own are axial: z upwards, then front to back, right to left."""
        frames = self.volume.frames
        if plane != "axial" and self.kind != "nifti":
            raise errors.UserError(f"this file has no {plane} plane")
        if plane == "coronal":
            return frames[::-1, ::-1].transpose(1, 0, 2, 3)
        if plane == "sagittal":
            return frames[::-1, :, ::-1].transpose(2, 0, 1, 3)
        return frames

    def _describe_window(self) -> dict[str, Any] | None:
        if self.gray is None:
            return None
        values = self.gray.values
        is_finite = np.isfinite(values)
        low = float(values.min(where=is_finite, initial=np.inf))
        high = float(values.max(where=is_finite, initial=-np.inf))
        if low >= high:
            return None
        center, width = self.gray.window or _window_between(*volumes.tails(self.gray.values))
        is_ct = self.volume.header.modality == "CT"
        whole = {"Whole range": _window_between(low, high)}
        return {
            "file": [center, width],
            "range": [low, high],
            "presets": {**(PRESETS if is_ct else {}), **whole},
        }


class Shelf:
    """All files that are held; the ones longest unused go first where there are too many."""

    def __init__(self, max_bytes: int = MAX_HELD_BYTES):
        """Holds nothing yet.

        Args:
          max_bytes: Held at most, the last file aside.
        """
        self._max_bytes = max_bytes
        self._held: collections.OrderedDict[str, Upload] = collections.OrderedDict()
        self._lock = threading.Lock()

    def put(self, upload: Upload) -> str:
        """Keeps a file; returns the name under which it is found."""
        name = secrets.token_urlsafe(12)
        with self._lock:
            self._held[name] = upload
            while len(self._held) > 1 and self.num_bytes > self._max_bytes:
                self._held.popitem(last=False)
        return name

    def get(self, name: str) -> Upload:
        """A file that is held.

        Raises:
          UserError: If it is not, or not any more.
        """
        with self._lock:
            if name not in self._held:
                raise errors.UserError(
                    f"a file is held no more (at most {_size(self._max_bytes)} are): add it again"
                )
            self._held.move_to_end(name)
            return self._held[name]

    def forget(self, names: Iterable[str]) -> None:
        """Lets go of files."""
        with self._lock:
            for name in names:
                self._held.pop(name, None)

    @property
    def num_bytes(self) -> int:
        """What all files take."""
        return sum(upload.num_bytes for upload in self._held.values())


def read(data: bytes) -> Upload:
    """Reads a picture, a DICOM or a NIfTI file, gzipped or not.

    Args:
      data: The file.

    Raises:
      UserError: If it is none of them, too large, or broken. Nothing of its header is said.
    """
    if not data:
        raise errors.UserError("the file is empty")
    if len(data) > MAX_FILE_BYTES:
        raise too_large()
    found = volume_files.find(data)
    shape = images.read_shape(data, is_video=True)
    if math.prod(shape[:3]) * (1 if found else 3) > MAX_VALUES:
        sides = " x ".join(map(str, shape[:3]))
        raise errors.UserError(
            f"the file has {sides} pixels; allowed are {MAX_VALUES} values in all"
        )
    if found is None:
        frames = np.stack([np.asarray(frame) for frame in images.open_frames(data)])
        volume = volumes.Volume(frames=frames, header=volumes.Header(), dropped_tags=0)
        return Upload(kind="picture", volume=volume)
    # The reader's own call keeps what it has read.
    if found.kind == "nifti":
        from lingshu_jax.data import nifti

        return Upload(kind="nifti", volume=nifti.read(data))
    from lingshu_jax.data import dicom

    return Upload(kind="dicom", volume=dicom.read(data), gray=dicom.read_gray(data))


def too_large() -> errors.UserError:
    """What is said of a file of too many bytes."""
    return errors.UserError(f"the file is too large; allowed are {_size(MAX_FILE_BYTES)}")


def parse_view(given: Mapping[str, Any]) -> View:
    """What the page says of a file.

    Args:
      given: Fields of `View` as numbers and texts; absent ones are at their default.

    Raises:
      UserError: If a value is wrong.
    """
    view = View(
        frame=_number(given, "frame", 0, int),
        plane=given.get("plane", "axial"),
        center=_number(given, "center", None, float),
        width=_number(given, "width", None, float),
        send=given.get("send", "frame"),
        count=_number(given, "count", View().count, int),
    )
    for name, allowed in (("plane", volumes.PLANES), ("send", SENDS)):
        if getattr(view, name) not in allowed:
            raise errors.UserError(
                f"{name} must be one of {', '.join(allowed)}, got {getattr(view, name)!r:.40}"
            )
    if not 1 <= view.count <= MAX_SENT:
        raise errors.UserError(f"count must be 1 to {MAX_SENT}, got {view.count}")
    if (view.center is None) != (view.width is None):
        raise errors.UserError("a window has a center and a width")
    if view.width is not None and view.width < 1e-6:
        raise errors.UserError(f"width must be above 0, got {view.width}")
    return view


def png(picture: Image.Image) -> bytes:
    """A picture as a PNG file.

    Args:
      picture: In RGB.
    """
    out = io.BytesIO()
    picture.save(out, "PNG", compress_level=1)
    return out.getvalue()


def data_url(picture: Image.Image) -> str:
    """A picture as rows of data sets may hold it.

    Args:
      picture: In RGB.
    """
    return f"data:image/png;base64,{base64.b64encode(png(picture)).decode()}"


def _number(given: Mapping[str, Any], name: str, default: Any, kind: type) -> Any:
    """A number, which may be a text, as it is in an address."""
    value = given.get(name)
    if value is None or value == "":
        return default
    try:
        number = kind(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number) or abs(number) > 1e9:
        raise errors.UserError(f"{name} must be a number, got {value!r:.40}")
    return number


def _window_between(low: float, high: float) -> tuple[float, float]:
    """Its center and width."""
    return (low + high) / 2, high - low


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 2**20:.0f} MiB"
