# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Images and videos as rows name them: a path, `file://`, base64, bytes, or a dict of these.

A path stays a path and embedded pictures stay encoded bytes: nothing is decoded here. A path may
end with a fragment that chooses frames of a volume (`volume_files.py`).
"""

import base64
import os
from pathlib import Path
from typing import Any

from PIL import Image

from lingshu_jax.common import errors, paths
from lingshu_jax.data import formats, images, volume_files

DICT_KEYS = {"bytes", "path", "url", "detail"}  # Hugging Face's images, OpenAI's image_url


class MediaFiles:
    """The media of one source, which may lie under one folder only.

    Attributes:
      root: Folder that relative paths start from.
    """

    def __init__(self, root: Path, *, allow_outside: bool = False) -> None:
        """Notes the folder.

        Args:
          root: As above.
          allow_outside: Also reads what absolute paths, `..` and symbolic links lead to.
        """
        self.root = root
        self._inside = "" if allow_outside else os.path.realpath(root)

    def picture(self, value: Any) -> images.Picture:
        """An image as the absolute path of a file that exists, or as encoded bytes.

        Args:
          value: As in the row.

        Raises:
          RowError: If it is none, is not here, or lies outside the root.
        """
        if isinstance(value, dict):
            value = _from_dict(value)
        if isinstance(value, Image.Image) or (isinstance(value, bytes) and value):
            return value
        if isinstance(value, str) and value.startswith("data:"):
            return _from_data_address(value)
        return self.path(value)

    def video(self, value: Any) -> str | list[images.Picture]:
        """A video as a file, a folder of pictures, or a list of pictures.

        Args:
          value: As in the row.

        Raises:
          RowError: As in `picture`.
        """
        if isinstance(value, list):
            if not value:
                raise formats.RowError("a video with no frames")
            return [self.picture(frame) for frame in value]
        if isinstance(value, dict | bytes) or str(value).startswith("data:"):
            raise formats.RowError("a video must be a path or a list of frames")
        return self.path(value, may_be_folder=True)

    def path(self, value: Any, *, may_be_folder: bool = False) -> str:
        """The real path of a file that exists.

        Args:
          value: A path, or a `file://` address; its fragment is kept.
          may_be_folder: True for a video.

        Raises:
          RowError: As in `picture`.
        """
        if not isinstance(value, str) or not value or "\0" in value:
            raise formats.RowError(
                f"a media path must be a non-empty string, got {str(value)[:80]!r}"
            )
        text, fragment = volume_files.split_fragment(value.removeprefix("file://"))
        if text.startswith(("http://", "https://")):
            raise formats.RowError(f"only local files are read, got {text[:60]!r}")
        try:
            real = os.path.realpath(os.path.join(self.root, text))
            is_outside = self._inside and os.path.commonpath([real, self._inside]) != self._inside
            if not is_outside and (may_be_folder or not os.path.isfile(real)):
                paths.fetch_once(real)
            is_found = os.path.isfile(real) or (may_be_folder and os.path.isdir(real))
        except errors.UserError as error:  # of a store
            raise formats.RowError(str(error)) from error
        except (OSError, ValueError) as error:  # half a surrogate pair has no file name
            raise formats.RowError(f"cannot open {text[:200]!r}") from error
        if is_outside:
            raise formats.RowError(f"{text[:200]} is outside the image root {self.root}")
        if not is_found:
            raise formats.RowError(f"no such file: {text[:200]} (looked in {self.root})")
        return real + fragment


def single(part: dict[str, Any]) -> list[dict[str, Any]]:
    """An image part whose fragment chooses several frames of a volume, as one part a frame.

    Args:
      part: Of a message, its path checked.

    Raises:
      RowError: If the file is no volume, or has no such frame.
    """
    if part["type"] != "image":
        return [part]
    try:
        return [{**part, "image": image} for image in images.expand(part["image"])]
    except errors.UserError as error:
        raise formats.RowError(str(error)) from error


def as_list(value: Any) -> list[Any]:
    """The values of a media column: None is none, a single value stands for a list of it."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _from_dict(value: dict[str, Any]) -> Any:
    """The one thing that an image's dict holds; bytes before the path they came from."""
    found = {key: item for key, item in value.items() if item is not None}
    if not found or not set(found) <= DICT_KEYS:
        raise formats.RowError(
            f"an image must hold bytes, path or url; got {sorted(map(str, found))}"
        )
    if isinstance(found.get("bytes"), str):  # JSON has no bytes
        return _from_base64(found["bytes"])
    return found.get("bytes") or found.get("path") or found.get("url")


def _from_data_address(value: str) -> bytes:
    head, _, body = value.partition(",")
    if not head.endswith(";base64"):
        raise formats.RowError(f"a data address must be base64, got {value[:60]!r}")
    return _from_base64(body)


def _from_base64(text: str) -> bytes:
    try:
        found = base64.b64decode("".join(text.split()), validate=True)
    except ValueError as error:
        raise formats.RowError(f"broken base64: {error}") from error
    if not found:
        raise formats.RowError("an image of no bytes")
    return found
