# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures to patches: open, make RGB, resize, cut. Sizes come from file headers alone.

Colour policy: EXIF rotation is applied, transparency is laid over white, CMYK and palettes
become RGB, and grey values of 16 bits or more are stretched from their minimum and maximum to
0..255 (Pillow would clip them at 255). The resizer is Pillow's bicubic.

Axes: P patches, C values of a patch; T pictures, H rows, W columns of pixels.
"""

import contextlib
import dataclasses
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageOps, ImageSequence

from lingshu_jax.common import errors
from lingshu_jax.common import geometry as geometry_lib

# A path, or a picture in memory. A video is a folder of pictures, an animated picture, or frames.
Picture = str | Image.Image
Visual = Picture | tuple[Picture, ...]

# What Pillow raises on broken, truncated or oversized files.
PILLOW_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
BLANK = 128
DEEP_GREY_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")


class Shape(NamedTuple):
    """Size of an image or video in pixels and pictures."""

    num_frames: int
    height: int
    width: int


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Media:
    """One image or video of a conversation.

    Attributes:
      start: Index of its first visual token.
      grid: Its size in patches; the pixels are resized to it.
      image: Where the pixels come from.
      seconds_per_grid: Video time from one frame of the grid to the next; None for an image.
      blank: True replaces every pixel by mid-grey 128, sizes unchanged.
    """

    start: int
    grid: geometry_lib.Grid
    image: Visual
    seconds_per_grid: float | None = None
    blank: bool = False

    @property
    def span(self) -> geometry_lib.MediaSpan:
        """What the positions depend on."""
        return geometry_lib.MediaSpan(self.start, self.grid, self.seconds_per_grid)


def describe(visual: Visual) -> str:
    """Names an image in a message: its path, or its size where it has none."""
    if isinstance(visual, str):
        return visual
    if isinstance(visual, tuple):
        return f"video of {len(visual)} frames"
    return f"{visual.mode} image of {visual.width} x {visual.height} in memory"


def read_shape(visual: Visual, *, is_video: bool) -> Shape:
    """Reads the size from the header, after EXIF rotation, without decoding pixels.

    Args:
      visual: Path, picture, or frames.
      is_video: Whether all frames of an animated picture or folder count, or only the first.

    Returns:
      Frames, height and width; a still image has one frame.

    Raises:
      UserError: If a file is missing, is no picture, or the frames differ in size.
    """
    if not is_video:
        assert not isinstance(visual, tuple), "an image is one picture"
        with _opened(visual) as image:
            return Shape(1, *_upright_size(image))
    frames = _frame_files(visual)
    if frames is None:
        assert not isinstance(visual, tuple), "frames were listed"
        with _opened(visual) as image:
            return Shape(getattr(image, "n_frames", 1), *_upright_size(image))
    shapes = {read_shape(frame, is_video=False) for frame in frames}
    if len(shapes) > 1:
        raise errors.UserError(f"{describe(visual)}: all frames must have one size, got {shapes}")
    return shapes.pop()._replace(num_frames=len(frames))


def open_image(picture: Picture) -> Image.Image:
    """Decodes a picture to upright RGB, 8 bits, under the colour policy of this module.

    Raises:
      UserError: If it is missing or does not decode.
    """
    with _opened(picture) as image:
        return _decode(image)


def open_frames(visual: Visual) -> Iterator[Image.Image]:
    """Decodes the frames of a video one after the other, as `open_image` does."""
    frames = _frame_files(visual)
    if frames is not None:
        yield from map(open_image, frames)
        return
    assert not isinstance(visual, tuple), "frames were listed"
    with _opened(visual) as image:
        for frame in ImageSequence.Iterator(image):
            yield _decode(frame)


def verify(media: Media) -> None:
    """Decodes an image or video and forgets the pixels; a broken one raises UserError."""
    for _ in _pictures(media):
        pass


def resize(image: Image.Image, height: int, width: int) -> Image.Image:
    """Resizes with the pinned resizer: Pillow, bicubic, antialiased, 8 bits."""
    return image.resize((width, height), Image.Resampling.BICUBIC)


def patchify(
    frames: UInt8[np.ndarray, "T H W 3"],
    geometry: geometry_lib.VisionGeometry = geometry_lib.QWEN2_5_VL,
) -> UInt8[np.ndarray, "P C"]:
    """Cuts pictures into patches, in natural order; the values of a patch are (C, T, y, x).

    Args:
      frames: Pixels; height and width multiples of a cell. When the pictures do not fill the
        last pair, the last one is repeated, so a still image is its own pair.
      geometry: Sizes of a patch and a cell.

    Returns:
      The patches.
    """
    _, height, width, channels = frames.shape
    depth, merge, side = geometry.temporal_patch_size, geometry.merge_size, geometry.patch_size
    rows, columns = height // geometry.factor, width // geometry.factor
    # Channels apart, then one element for each row of a patch: copying runs is several times
    # faster than copying bytes.
    planes = np.ascontiguousarray(frames.transpose(0, 3, 1, 2)).view(f"V{side}")
    missing = -len(frames) % depth
    planes = np.concatenate([planes, *[planes[-1:]] * missing])
    runs = planes.reshape(-1, depth, channels, rows, merge, side, columns, merge)
    runs = np.ascontiguousarray(runs.transpose(0, 3, 6, 4, 7, 2, 1, 5))
    return runs.view(np.uint8).reshape(-1, geometry.patch_dim)


def load_patches(
    media: Media, geometry: geometry_lib.VisionGeometry = geometry_lib.QWEN2_5_VL
) -> UInt8[np.ndarray, "P C"]:
    """Decodes, resizes and cuts one image or video.

    Raises:
      UserError: If it does not decode; the line names it.
    """
    height, width = media.grid.h * geometry.patch_size, media.grid.w * geometry.patch_size
    if media.blank:
        return np.full((geometry.num_patches(media.grid), geometry.patch_dim), BLANK, np.uint8)
    pixels = np.stack([np.asarray(resize(p, height, width)) for p in _pictures(media)])
    patches = patchify(pixels, geometry)
    if len(patches) != geometry.num_patches(media.grid):
        raise errors.UserError(f"{describe(media.image)}: the number of frames has changed")
    return patches


def _pictures(media: Media) -> Iterator[Image.Image]:
    """The decoded picture of an image, or the frames of a video."""
    if media.seconds_per_grid is not None:
        return open_frames(media.image)
    assert not isinstance(media.image, tuple), "an image is one picture"
    return iter([open_image(media.image)])


def _frame_files(visual: Visual) -> list[Picture] | None:
    """The frames of a video, or None where one animated picture holds them all."""
    if isinstance(visual, str) and Path(visual).is_dir():
        visual = tuple(str(path) for path in sorted(Path(visual).iterdir()))
    if not isinstance(visual, tuple):
        return None
    if not visual:
        raise errors.UserError("a video needs at least one frame, got none")
    return list(visual)


@contextlib.contextmanager
def _opened(picture: Picture) -> Iterator[Image.Image]:
    """Lends a picture with its header read; what Pillow raises meanwhile becomes a UserError."""
    try:
        if isinstance(picture, str):
            with Image.open(picture) as image:
                yield image
        else:
            # Rows are decoded in threads, and Pillow's lazy loading is not safe in them.
            picture.load()
            yield picture
    except FileNotFoundError as error:
        raise errors.UserError(f"image not found: {picture}") from error
    except errors.UserError:
        raise
    except PILLOW_ERRORS as error:
        reason = " ".join(str(error).split())
        raise errors.UserError(f"{describe(picture)}: image does not decode ({reason})") from error


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8 as the header states it; 1 is upright."""
    # Pillow turns TIFF itself; a PNG may hide it behind the pixels, where it does not count.
    if image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info):
        return 1
    return int(image.getexif().get(ExifTags.Base.Orientation, 1))


def _upright_size(image: Image.Image) -> tuple[int, int]:
    """Height and width after rotation."""
    if _orientation(image) in (5, 6, 7, 8):
        return image.width, image.height
    return image.height, image.width


def _decode(image: Image.Image) -> Image.Image:
    """Loads, turns and converts an opened picture."""
    is_turned = _orientation(image) != 1
    image.load()
    return _to_rgb(ImageOps.exif_transpose(image) if is_turned else image)


def _to_rgb(image: Image.Image) -> Image.Image:
    """The colour policy."""
    if image.mode in DEEP_GREY_MODES:
        values = np.asarray(image).astype(np.float32)
        values -= values.min()
        image = Image.fromarray(np.rint(values * (255 / max(values.max(), 1))).astype(np.uint8))
    if image.has_transparency_data:
        colours = image.convert("RGBA")
        white = Image.new("RGBA", colours.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, colours).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")
