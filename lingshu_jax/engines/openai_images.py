# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures as servers take them: data URLs that any decoder reads as ours does.

A file goes as it is where a plain decode gives the pixels of `data/images.py`. All else (DICOM,
NIfTI, 16 bits, transparency, EXIF rotation, palettes) is decoded here and goes as PNG.
"""

import base64
import io
from collections.abc import Iterator
from pathlib import Path

from PIL import ExifTags, Image

from lingshu_jax.data import images

_KINDS = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}


def encode(picture: images.Picture) -> str:
    """A picture as a data URL.

    Args:
      picture: Path, bytes of a file, or a picture.

    Raises:
      UserError: If it is missing or does not decode.
    """
    decoded = images.open_image(picture)
    file = _file(picture)
    kind = _plain_kind(file) if file else ""
    if kind:
        return _url(kind, file)
    out = io.BytesIO()
    decoded.save(out, "PNG", compress_level=1)
    return _url("image/png", out.getvalue())


def encode_frames(video: images.Visual) -> Iterator[str]:
    """The frames of a video as data URLs.

    Args:
      video: As in `images.open_frames`.

    Raises:
      UserError: If it is missing or does not decode.
    """
    return map(encode, images.open_frames(video))


def _file(picture: images.Picture) -> bytes:
    """The bytes of a picture's file; none where it has no file of its own."""
    if isinstance(picture, bytes):
        return picture
    # A name with a fragment, as of a DICOM's frame, is no path.
    if isinstance(picture, str) and Path(picture).is_file():
        return Path(picture).read_bytes()
    return b""


def _plain_kind(file: bytes) -> str:
    """The media type of a file whose plain decode is ours as well, "" for others."""
    try:
        with Image.open(io.BytesIO(file), formats=tuple(_KINDS)) as image:
            is_upright = image.getexif().get(ExifTags.Base.Orientation, 1) == 1
            is_plain = image.mode in ("L", "RGB") and not image.has_transparency_data
            is_one = getattr(image, "n_frames", 1) == 1
            return _KINDS.get(image.format or "", "") if is_upright and is_plain and is_one else ""
    except images.PILLOW_ERRORS:
        return ""  # another kind of file, or one with broken EXIF


def _url(kind: str, file: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(file).decode()}"
