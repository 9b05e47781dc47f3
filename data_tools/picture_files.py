# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures as shards hold them: PNG and JPEG files with their pixels and nothing beside them.

Comments, EXIF, profiles and thumbnails of a PNG or JPEG go, for they may name a person or show
what was masked since; its compressed pixels stay byte for byte, and the way up stays where EXIF
said it. All other files, DICOM and NIfTI among them, become a PNG of what training sees.

Layouts: PNG (W3C, third edition), 5 and 11; JPEG (ITU-T T.81), annex B.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from PIL import ExifTags, Image

from data_tools import examples
from data_tools import rows as rows_lib
from lingshu_jax.common import errors
from lingshu_jax.data import images, volume_files

_PNG = b"\x89PNG\r\n\x1a\n"
# Of PNG, what changes how pixels are read.
_CHUNKS = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"sBIT", b"bKGD")
_START, _END, _SCAN, _COMMENT = 0xD8, 0xD9, 0xDA, 0xFE
_APPS = range(0xE0, 0xF0)
_JFIF, _EXIF, _ADOBE = 0xE0, 0xE1, 0xEE
_ALONE = (0x01, *range(0xD0, 0xD8))  # markers without a length
_DEPTHS = ("L", "RGB")


class Embedded(NamedTuple):
    """A picture or a clip as shards hold it.

    Attributes:
      files: PNG or JPEG: one of a picture, those of all frames of a clip.
      fps: Frames a second of a clip whose file says it; None where it does not.
    """

    files: tuple[bytes, ...]
    fps: float | None = None


class _Odd(ValueError):
    """A file that is not laid out as its kind should be."""


def embed(medium: rows_lib.Medium) -> Embedded:
    """The files that stand for a picture or a clip.

    Args:
      medium: Of a row.

    Raises:
      UserError: If it cannot be read.
    """
    value = examples.value(medium)
    if medium.kind == "image":
        return Embedded((_picture(value),))
    if isinstance(value, list):
        return Embedded(tuple(map(_picture, value)))
    shape = images.read_shape(value, is_video=True)
    return Embedded(tuple(map(_png, images.open_frames(value))), shape.fps)


def clean(data: bytes) -> bytes:
    """A PNG or JPEG file without all that is no pixels; any other file as a PNG.

    Args:
      data: A file of one picture.

    Raises:
      UserError: If it does not decode.
    """
    try:
        if data.startswith(_PNG):
            return _clean_png(data)
        if data[:2] == b"\xff\xd8":
            return _clean_jpeg(data)
    except (_Odd, struct.error, IndexError):
        pass  # Pillow may still read it
    return _png(images.open_image(data))


def _picture(value: str | bytes) -> bytes:
    if volume_files.find(value) is not None:
        return _png(images.open_image(value))
    if isinstance(value, bytes):
        return clean(value)
    try:
        return clean(Path(value).read_bytes())
    except OSError as error:
        raise errors.UserError(f"image not found: {value}") from error


def _png(picture: Image.Image) -> bytes:
    """A PNG; of a grey picture in three channels it has one."""
    channels = picture.split()
    if len(channels) == 3 and all(c.tobytes() == channels[0].tobytes() for c in channels[1:]):
        picture = channels[0]
    picture.info.clear()
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def _clean_png(data: bytes) -> bytes:
    made, place = [_PNG], len(_PNG)
    turned = _way_up(data)
    while place < len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        end = place + 12 + length
        if end > len(data):
            raise _Odd
        if kind in _CHUNKS:
            if kind == b"IDAT" and turned is not None:
                made.append(_chunk(b"eXIf", turned))
                turned = None
            made.append(data[place:end])
        place = end
        if kind == b"IEND":
            return b"".join(made)
    raise _Odd


def _chunk(kind: bytes, content: bytes) -> bytes:
    checked = kind + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))


def _clean_jpeg(data: bytes) -> bytes:
    made = [data[:2]]
    turned = _way_up(data)
    if turned is not None:
        made.append(_segment(_EXIF, b"Exif\0\0" + turned))
    for marker, segment in _segments(data):
        if marker == _JFIF and segment[4:9] == b"JFIF\0":
            # Its thumbnail shows the picture as it once was.
            made.insert(1, _segment(_JFIF, segment[4:16] + b"\0\0"))
        elif marker == _ADOBE or not (marker in _APPS or marker == _COMMENT):
            made.append(segment)
    return b"".join(made)


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The segments after the first marker, a scan with its data; ends with the end marker."""
    place = 2
    while True:
        if data[place] != 0xFF:
            raise _Odd
        while data[place + 1] == 0xFF:  # fill bytes
            place += 1
        marker = data[place + 1]
        if marker == _END:
            yield marker, data[place : place + 2]
            return
        end = place + 2
        if marker not in _ALONE:
            end += struct.unpack_from(">H", data, place + 2)[0]
        if end > len(data):
            raise _Odd
        if marker == _SCAN:
            end = _end_of_scan(data, end)
        yield marker, data[place:end]
        place = end


def _end_of_scan(data: bytes, place: int) -> int:
    """Where the next marker begins that is no part of the compressed data."""
    while True:
        place = data.find(b"\xff", place)
        if place < 0 or place + 1 >= len(data):
            raise _Odd
        following = data[place + 1]
        if following == 0 or following in _ALONE:
            place += 2
        elif following == 0xFF:
            place += 1
        else:
            return place


def _way_up(data: bytes) -> bytes | None:
    """EXIF that says how the picture has to be turned, and nothing else; None if it is upright."""
    try:
        with Image.open(io.BytesIO(data), formats=images.FORMATS) as image:
            if image.format == "PNG" and "exif" not in image.info:
                return None
            turn = image.getexif().get(ExifTags.Base.Orientation, 1)
    except images.PILLOW_ERRORS as error:
        raise _Odd from error
    if turn not in images.TURNS:
        return None
    made = Image.Exif()
    made[ExifTags.Base.Orientation] = turn
    return made.tobytes().removeprefix(b"Exif\0\0")
