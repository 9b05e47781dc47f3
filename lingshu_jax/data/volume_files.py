# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""DICOM and NIfTI files as a row names them.

They are named as pictures are; a fragment behind the name chooses from their frames:

    ct.nii.gz                           all axial slices
    ct.nii.gz#plane=coronal&frames=8    8 coronal slices, evenly spaced
    mr.nii.gz#volume=2&frame=40         slice 40 (the first is 0) of volume 2 of a series
    echo.dcm#frame=0                    the first frame of a clip

The readers, `dicom.py` and `nifti.py`, are imported with the first such file: they need
`lingshu_jax[data]`.

Axes: T frames or slices, H rows, W columns.
"""

import functools
import importlib
import os
import re
import urllib.parse
import zlib
from types import ModuleType
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import UInt8

from lingshu_jax.common import errors
from lingshu_jax.data import volumes

Kind = Literal["dicom", "nifti"]

NIFTI_SUFFIXES = (".nii", ".nii.gz")
DICOM_SUFFIXES = (".dcm", ".dicom", ".dcm.gz", ".dicom.gz")
HEAD_BYTES = 352  # enough to tell the kinds apart
FRAGMENT = re.compile(r"#(\w+=[\w=&]*)$")
CACHED_VOLUMES = 2


class Choice(NamedTuple):
    """What a fragment chooses.

    Attributes:
      plane: Of the slices of a NIfTI volume; None is axial.
      volume: Of a NIfTI series, from 0; None is 0.
      frame: One frame, from 0; None is all.
      frames: At most so many, evenly spaced; None is all.
    """

    plane: volumes.Plane | None = None
    volume: int | None = None
    frame: int | None = None
    frames: int | None = None

    def indices(self, count: int) -> list[int]:
        """Which of `count` frames are meant; none where `frame` is past the end."""
        if self.frame is not None:
            return [self.frame] if self.frame < count else []
        wanted = count if self.frames is None else min(self.frames, count)
        # The middles of equal parts: the outer slices of a volume are nearly empty.
        return [(2 * i + 1) * count // (2 * wanted) for i in range(wanted)]

    def fragment(self) -> str:
        """The fragment that says this, or nothing."""
        chosen = {key: value for key, value in self._asdict().items() if value is not None}
        return f"#{urllib.parse.urlencode(chosen)}" if chosen else ""


class VolumeFile(NamedTuple):
    """A DICOM or NIfTI file, and what of it is meant.

    Attributes:
      source: Its path or its bytes.
      kind: Which of the two.
      choice: Which frames.
    """

    source: str | bytes
    kind: Kind
    choice: Choice

    @property
    def name(self) -> str:
        """For messages."""
        if isinstance(self.source, bytes):
            return f"{self.kind} file of {len(self.source)} bytes in memory"
        return self.source + self.choice.fragment()

    def read_shape(self) -> volumes.Shape:
        """Number, size and rate of the chosen frames, from the header alone.

        Raises:
          UserError: If the file is missing, does not read, or holds no such frame.
        """
        whole = self._read_whole_shape()
        chosen = len(self._indices(whole.num_frames))
        # Fewer frames in the same time.
        fps = None if whole.fps is None else whole.fps * chosen / whole.num_frames
        return whole._replace(num_frames=chosen, fps=fps)

    def read(self) -> volumes.Volume:
        """The whole file, whatever is chosen; the last ones read are kept.

        Raises:
          UserError: If it does not read.
        """
        stamp = None
        if isinstance(self.source, str) and os.path.isfile(self.source):
            status = os.stat(self.source)
            stamp = (status.st_mtime_ns, status.st_size)
        return _read(self.source, self.kind, self._options, stamp)

    def frames(self) -> list[UInt8[np.ndarray, "H W 3"]]:
        """The chosen frames, as views.

        Raises:
          UserError: If the file does not read or holds no such frame.
        """
        frames = self.read().frames
        return [frames[index] for index in self._indices(len(frames))]

    def single_frames(self) -> list[str]:
        """A name for each chosen frame: `FILE#frame=0` and so on.

        Raises:
          UserError: As `read_shape`.
        """
        assert isinstance(self.source, str), "only paths have names"
        indices = self._indices(self._read_whole_shape().num_frames)
        singles = (self.choice._replace(frame=index, frames=None) for index in indices)
        return [self.source + choice.fragment() for choice in singles]

    @property
    def _options(self) -> tuple[volumes.Plane, int] | tuple[()]:
        """What the reader is told beside the source."""
        if self.kind == "dicom":
            return ()
        return self.choice.plane or "axial", self.choice.volume or 0

    def _read_whole_shape(self) -> volumes.Shape:
        return _reader(self.kind).read_shape(self.source, *self._options)

    def _indices(self, count: int) -> list[int]:
        indices = self.choice.indices(count)
        if not indices:
            raise errors.UserError(f"{self.name}: there are {count} frames, the first is frame=0")
        return indices


def split_fragment(name: str) -> tuple[str, str]:
    """A file's name and its fragment, `#` included; the fragment may be empty."""
    found = FRAGMENT.search(name)
    return (name, "") if found is None else (name[: found.start()], found.group())


def parse(fragment: str) -> Choice:
    """Reads a fragment.

    Args:
      fragment: As `split_fragment` gives it.

    Raises:
      UserError: If a key or a value is not allowed.
    """
    pairs = urllib.parse.parse_qsl(fragment.removeprefix("#"), keep_blank_values=True)
    chosen = dict(pairs)
    if (
        len(chosen) < len(pairs)
        or not set(chosen) <= set(Choice._fields)
        or {"frame", "frames"} <= set(chosen)
    ):
        raise errors.UserError(
            f"{fragment}: allowed are plane=, volume= and one of frame= and frames="
        )
    plane = chosen.pop("plane", None)
    if plane is not None and plane not in volumes.PLANES:
        raise errors.UserError(f"{fragment}: plane must be one of {', '.join(volumes.PLANES)}")
    numbers = {key: int(value) for key, value in chosen.items() if re.fullmatch(r"\d{1,9}", value)}
    if len(numbers) < len(chosen) or numbers.get("frames") == 0:
        raise errors.UserError(f"{fragment}: volume and frame count from 0, frames from 1")
    return Choice(plane=plane, **numbers)


def find(picture: str | bytes) -> VolumeFile | None:
    """The DICOM or NIfTI file that a path or bytes are; None for a picture.

    Args:
      picture: A path, perhaps with a fragment, or the bytes of a file.

    Raises:
      UserError: If the fragment is wrong, or chooses from what is no such file.
      OSError: If a path whose suffix says nothing cannot be read.
    """
    if isinstance(picture, bytes):
        kind = _kind_of_bytes(picture)
        return None if kind is None else VolumeFile(picture, kind, Choice())
    path, fragment = split_fragment(picture)
    kind = _kind_of_path(path)
    choice = parse(fragment)
    if kind is None and fragment:
        raise errors.UserError(f"{picture}: only DICOM and NIfTI files have frames to choose from")
    if kind == "dicom" and (choice.plane is not None or choice.volume is not None):
        raise errors.UserError(f"{picture}: a DICOM file has neither planes nor volumes")
    return None if kind is None else VolumeFile(path, kind, choice)


def _kind_of_path(path: str) -> Kind | None:
    name = path.lower()
    if name.endswith(NIFTI_SUFFIXES):
        return "nifti"
    if name.endswith(DICOM_SUFFIXES):
        return "dicom"
    with open(path, "rb") as file:
        return _kind_of_bytes(file.read(2**12))


def _kind_of_bytes(data: bytes) -> Kind | None:
    head = data[:HEAD_BYTES]
    if head.startswith(volumes.GZIP_MAGIC):
        try:
            head = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(data[: 2**12], HEAD_BYTES)
        except zlib.error:
            return None
    if head[128:132] == b"DICM":
        return "dicom"
    return "nifti" if head[344:348] == b"n+1\0" or head[4:8] == b"n+2\0" else None


@functools.lru_cache(CACHED_VOLUMES)
def _read(
    source: str | bytes, kind: Kind, options: tuple, stamp: tuple[int, int] | None
) -> volumes.Volume:
    """Reads a file; kept, since several images may be frames of one file.

    Args:
      source: A path or bytes.
      kind: Of the file.
      options: What the reader is told.
      stamp: Tells the versions of a file apart.
    """
    del stamp
    return _reader(kind).read(source, *options)


def _reader(kind: Kind) -> ModuleType:
    """The module that reads a kind of file."""
    try:
        return importlib.import_module(f"lingshu_jax.data.{kind}")
    except ImportError as error:
        raise errors.UserError(
            f"reading {kind} files needs {error.name}: pip install 'lingshu-jax[data]'"
        ) from error
