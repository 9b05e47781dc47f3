# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures to patches: open, make RGB, resize, cut. Sizes come from file headers alone.

Colour policy: EXIF rotation is applied, transparency is laid over white, CMYK and palettes
become RGB, colours of 16 bits keep their upper 8, and grey values of 16 bits or more are
stretched from their minimum and maximum to 0..255 (Pillow would clip them at 255). The resizer
is Pillow's bicubic. DICOM and NIfTI files are named as `data/volume_files.py` says.

Axes: P patches, C values of a patch; T pictures, H rows, W columns of pixels.
"""

import contextlib
import dataclasses
import io
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, UnidentifiedImageError

from lingshu_jax.common import errors
from lingshu_jax.common import geometry as geometry_lib
from lingshu_jax.data import quiet, volume_files, volumes

# A path, the bytes of a file, or a picture in memory. A video is a folder of pictures, a file of
# several frames, or a list of pictures.
Picture = str | bytes | Image.Image
Visual = Picture | tuple[Picture, ...]
Shape = volumes.Shape

# The only kinds that are read: Pillow knows more, and some of them run other programs.
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "JPEG2000", "PPM")
# What Pillow raises on broken, truncated or oversized files.
PILLOW_ERRORS = (*volumes.DECODE_ERRORS, SyntaxError, Image.DecompressionBombError)
BLANK = 128
MAX_VIDEO_PIXELS = 2**31  # of all frames, before resizing
DEEP_GREY_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


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
    if isinstance(visual, bytes):
        return f"image file of {len(visual)} bytes in memory"
    if isinstance(visual, tuple):
        return f"video of {len(visual)} frames"
    return f"{visual.mode} image of {visual.width} x {visual.height} in memory"


def read_shape(visual: Visual, *, is_video: bool) -> Shape:
    """Reads the size from the header, after EXIF rotation, without decoding pixels.

    Args:
      visual: Path, bytes, picture, or frames.
      is_video: Whether there may be several frames; an image has one.

    Returns:
      Frames, height and width, and the frame rate of a clip whose header says it.

    Raises:
      UserError: If a file is missing, is no picture, has no or too many pixels, if an image has
        several frames, or if the frames differ in size.
    """
    frames = _frame_files(visual) if is_video else None
    if frames is None:
        assert not isinstance(visual, tuple), "an image is one picture"
        shape = _shape_of_file(visual)
        if not is_video and shape.num_frames != 1:
            raise _not_one(visual, shape.num_frames)
    else:
        shapes = {read_shape(frame, is_video=False)[1:3] for frame in frames}
        if len(shapes) > 1:
            sizes = ", ".join(f"{height} x {width}" for height, width in sorted(shapes))
            raise errors.UserError(f"{describe(visual)}: frames must have one size, got {sizes}")
        shape = Shape(len(frames), *shapes.pop())
    if not 0 < shape.num_frames * shape.height * shape.width <= MAX_VIDEO_PIXELS:
        raise errors.UserError(
            f"{describe(visual)} has {shape.num_frames} x {shape.height} x {shape.width} pixels;"
            f" allowed: 1 to {MAX_VIDEO_PIXELS} in all"
        )
    return shape


def expand(image: Picture) -> list[Picture]:
    """The images that a name with a fragment stands for, `FILE#frame=0` and so on.

    Args:
      image: A path, perhaps with a fragment (`data/volume_files.py`), or anything without one.

    Returns:
      A name for each frame that the fragment chooses; `image` itself where it has none.

    Raises:
      UserError: If the file or the frame is missing, or the fragment is wrong.
    """
    if not isinstance(image, str) or not volume_files.split_fragment(image)[1]:
        return [image]
    file = _volume_file(image)
    assert file is not None, "only volumes have fragments"
    return [*file.single_frames()]


def open_image(picture: Picture) -> Image.Image:
    """Decodes a picture to upright RGB, 8 bits, under the colour policy of this module.

    Raises:
      UserError: If it is missing, does not decode, or has several frames.
    """
    return _decode_one(picture).convert("RGB")


def open_frames(visual: Visual) -> Iterator[Image.Image]:
    """Decodes the frames of a video one after the other, as `open_image` does."""
    for frame in _decode_frames(visual):
        yield frame.convert("RGB")


def verify(media: Media) -> None:
    """Decodes an image or video and forgets the pixels; a broken one raises UserError."""
    for _ in _pictures(media):
        pass


def dropped_tags(visual: Visual) -> int:
    """Elements of DICOM and NIfTI headers that may identify a person and were left behind.

    Raises:
      UserError: If a file does not read.
    """
    pictures = _frame_files(visual) or [visual]
    files = [_volume_file(picture) for picture in pictures if isinstance(picture, str | bytes)]
    return sum(file.read().dropped_tags for file in files if file is not None)


def resize(image: Image.Image, height: int, width: int) -> Image.Image:
    """Resizes with the pinned resizer: Pillow, bicubic, antialiased, 8 bits, width first.

    Each pass rounds and clips to 8 bits. In one call, Pillow from 13 on may begin with the
    height, which moves values by up to 26; earlier ones and torchvision begin with the width.
    """
    narrow = image.resize((width, image.height), Image.Resampling.BICUBIC)
    return narrow.resize((width, height), Image.Resampling.BICUBIC)


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
    channels = np.ascontiguousarray(frames.transpose(0, 3, 1, 2))
    return _cut([list(frame) for frame in channels], geometry)


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
    resized = (resize(_without_copies(picture), height, width) for picture in _pictures(media))
    patches = _cut([_channels(picture) for picture in resized], geometry)
    if len(patches) != geometry.num_patches(media.grid):
        raise errors.UserError(f"{describe(media.image)}: the number of frames has changed")
    return patches


def _cut(
    frames: Sequence[Sequence[UInt8[np.ndarray, "H W"]]], geometry: geometry_lib.VisionGeometry
) -> UInt8[np.ndarray, "P C"]:
    """`patchify` for frames of three channels each, or of one that stands for three."""
    height, width = frames[0][0].shape
    depth, merge, side = geometry.temporal_patch_size, geometry.merge_size, geometry.patch_size
    rows, columns = height // geometry.factor, width // geometry.factor
    # One element for each row of a patch, then one for each whole patch of a channel: copying
    # runs is several times faster than copying bytes.
    patches = np.empty(
        (-(-len(frames) // depth), rows, columns, merge, merge, 3, depth), f"V{side * side}"
    )
    for number, channels in enumerate(frames):
        pair, place = divmod(number, depth)
        places = slice(place, depth if number == len(frames) - 1 else place + 1)
        for color, channel in enumerate(channels):
            colors = slice(color, color + 1) if len(channels) == 3 else slice(3)
            runs = channel.view(f"V{side}").reshape(rows, merge, side, columns, merge)
            squares = np.ascontiguousarray(runs.transpose(0, 3, 1, 4, 2)).view(patches.dtype)
            patches[pair, ..., colors, places] = squares[..., None]
    return patches.view(np.uint8).reshape(-1, geometry.patch_dim)


def _channels(image: Image.Image) -> list[UInt8[np.ndarray, "H W"]]:
    """The channels of a grey or RGB picture."""
    planes = (image.tobytes("raw", name) for name in image.getbands())
    return [np.frombuffer(p, np.uint8).reshape(image.height, image.width) for p in planes]


def _without_copies(image: Image.Image) -> Image.Image:
    """One channel where all three are equal: resizing it alone gives the same bytes sooner."""
    if image.mode == "L":
        return image
    # Most coloured pictures show their colours in one row already.
    middle = image.crop((0, image.height // 2, image.width, image.height // 2 + 1))
    if not _is_grey(middle.split()):
        return image
    channels = image.split()
    return channels[0] if _is_grey(channels) else image


def _is_grey(channels: Sequence[Image.Image]) -> bool:
    first = channels[0].tobytes()
    return all(first == other.tobytes() for other in channels[1:])


def _pictures(media: Media) -> Iterator[Image.Image]:
    """The decoded picture of an image, or the frames of a video, grey or RGB."""
    if media.seconds_per_grid is not None:
        return _decode_frames(media.image)
    assert not isinstance(media.image, tuple), "an image is one picture"
    return iter([_decode_one(media.image)])


def _frame_files(visual: Visual) -> list[Picture] | None:
    """The frames of a video, or None where one file holds them all."""
    if isinstance(visual, str) and Path(visual).is_dir():
        files = [path for path in Path(visual).iterdir() if not path.name.startswith(".")]
        visual = tuple(str(path) for path in sorted(files, key=_place_in_folder))
    if not isinstance(visual, tuple):
        return None
    if not visual:
        raise errors.UserError("a video needs at least one frame, got none")
    return list(visual)


def _place_in_folder(path: Path) -> list[str | int]:
    """Orders names by the numbers in them: frame 2 stands before frame 10."""
    parts = re.split(r"(\d+)", path.name)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)]


def _not_one(picture: Picture, count: int) -> errors.UserError:
    return errors.UserError(
        f"{describe(picture)} holds {count} frames: it is a video, or, for DICOM and NIfTI,"
        " a choice of frames behind the name makes it images, as #frame=0 or #frames=8"
    )


@contextlib.contextmanager
def _reading(picture: Picture) -> Iterator[None]:
    """What reading a file raises meanwhile becomes a UserError that names it."""
    quiet.ignore_warnings_of("PIL")
    try:
        yield
    except FileNotFoundError as error:
        raise errors.UserError(f"image not found: {picture}") from error
    except errors.UserError:
        raise
    except UnidentifiedImageError as error:
        reason = f"none of {', '.join(FORMATS)}, DICOM, NIfTI"
        raise errors.UserError(f"{describe(picture)}: image does not decode ({reason})") from error
    except PILLOW_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise errors.UserError(f"{describe(picture)}: image does not decode ({reason})") from error


@contextlib.contextmanager
def _opened(picture: Picture) -> Iterator[Image.Image]:
    """Lends a picture with its header read."""
    with _reading(picture):
        if isinstance(picture, Image.Image):
            # Rows are decoded in threads, and Pillow's lazy loading is not safe in them.
            picture.load()
            yield picture
            return
        file = io.BytesIO(picture) if isinstance(picture, bytes) else picture
        with Image.open(file, formats=FORMATS) as image:
            # Pillow warns first and refuses at twice its limit.
            limit = Image.MAX_IMAGE_PIXELS
            if limit is not None and image.width * image.height > limit:
                raise Image.DecompressionBombError(
                    f"{image.width} x {image.height} pixels, a decompression bomb?"
                    f" at most {limit} are allowed"
                )
            yield image


def _volume_file(picture: str | bytes) -> volume_files.VolumeFile | None:
    with _reading(picture):
        return volume_files.find(picture)


def _shape_of_file(picture: Picture) -> Shape:
    """Frames and size of one file."""
    volume = None if isinstance(picture, Image.Image) else _volume_file(picture)
    if volume is not None:
        return volume.read_shape()
    with _opened(picture) as image:
        height, width = image.height, image.width
        if _orientation(image) >= 5:
            height, width = width, height
        return Shape(_num_frames(image), height, width)


def _decode_one(picture: Picture) -> Image.Image:
    """Decodes an image, refusing all but the first of several frames."""
    first, *more = itertools.islice(_decode_file(picture), 2)
    if more:
        raise _not_one(picture, _shape_of_file(picture).num_frames)
    return first


def _decode_frames(visual: Visual) -> Iterator[Image.Image]:
    """Decodes the frames of a video."""
    files = _frame_files(visual)
    if files is not None:
        return map(_decode_one, files)
    assert not isinstance(visual, tuple), "frames were listed"
    return _decode_file(visual)


def _decode_file(picture: Picture) -> Iterator[Image.Image]:
    """Decodes all frames of a file to grey or RGB."""
    volume = None if isinstance(picture, Image.Image) else _volume_file(picture)
    if volume is not None:
        for frame in volume.frames():
            # Of a grey frame, the three channels are one in memory.
            yield Image.fromarray(frame[..., 0] if frame.strides[-1] == 0 else frame)
        return
    size = None
    with _opened(picture) as image:
        for place in range(_num_frames(image)):
            image.seek(place)
            frame = _decode(image)
            if size not in (None, frame.size):
                raise errors.UserError(f"{describe(picture)}: frames must have one size")
            size = frame.size
            yield frame


def _num_frames(image: Image.Image) -> int:
    """Frames of an opened file; the further pictures of a camera's JPEG are not meant."""
    return 1 if image.format == "MPO" else getattr(image, "n_frames", 1)


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8 as the header states it; 1 is upright."""
    # Pillow turns TIFF itself; a PNG may hide it behind the pixels, where it does not count.
    if image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info):
        return 1
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except PILLOW_ERRORS:
        return 1  # broken EXIF says nothing; the pixels are whole
    return orientation if orientation in TURNS else 1


def _decode(image: Image.Image) -> Image.Image:
    """Loads, turns and converts an opened picture to grey or RGB."""
    orientation = _orientation(image)
    image.load()
    turned = image if orientation == 1 else image.transpose(TURNS[orientation])
    return _to_colours(turned)


def _to_colours(image: Image.Image) -> Image.Image:
    """The colour policy; grey stays one channel."""
    if image.mode in DEEP_GREY_MODES:
        values = np.asarray(image)
        finite = values[np.isfinite(values)]
        ends = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
        return Image.fromarray(volumes.stretch(values, *ends))
    if image.has_transparency_data:
        colours = image.convert("RGBA")
        white = Image.new("RGBA", colours.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, colours).convert("RGB")
    return image if image.mode in ("L", "RGB") else image.convert("RGB")
