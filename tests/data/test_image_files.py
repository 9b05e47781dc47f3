# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Picture files of every kind people have, good and bad; each bad one is one line."""

import concurrent.futures
import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from lingshu_jax.common import errors, geometry
from lingshu_jax.data import images, messages

SIDE = 32


def scene(mode: str = "RGB") -> Image.Image:
    """A smooth picture, so that lossy kinds stay near it."""
    y, x = np.mgrid[:SIDE, :SIDE] * 8
    pixels = np.stack([x, y, 255 - x], axis=-1).astype(np.uint8)
    return Image.fromarray(pixels).convert(mode)


def packed(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def near(ours: Image.Image, expected: Image.Image, tolerance: int) -> bool:
    difference = np.asarray(ours).astype(int) - np.asarray(expected)
    return ours.size == expected.size and int(np.abs(difference).max()) <= tolerance


def message_of(picture: images.Visual, *, is_video: bool = False) -> str:
    """The one line that opening it, and reading its header where that notices, end in."""
    with pytest.raises(errors.UserError) as caught:
        images.read_shape(picture, is_video=is_video)
        list(images.open_frames(picture))
    assert "\n" not in str(caught.value)
    return str(caught.value)


GREY = scene("L").convert("RGB")
KINDS: dict[str, tuple[bytes, Image.Image, int]] = {
    "png": (packed(scene(), "PNG"), scene(), 0),
    "png_interlaced_grey": (packed(scene("L"), "PNG"), GREY, 0),
    "jpeg": (packed(scene(), "JPEG", quality=95), scene(), 9),
    "jpeg_progressive": (packed(scene(), "JPEG", quality=95, progressive=True), scene(), 9),
    "jpeg_grey": (packed(scene("L"), "JPEG", quality=95), GREY, 3),
    "webp": (packed(scene(), "WEBP", quality=95), scene(), 20),
    "webp_lossless": (packed(scene(), "WEBP", lossless=True), scene(), 0),
    "tiff": (packed(scene(), "TIFF"), scene(), 0),
    "tiff_lzw": (packed(scene(), "TIFF", compression="tiff_lzw"), scene(), 0),
    "tiff_jpeg": (packed(scene(), "TIFF", compression="jpeg", quality=95), scene(), 9),
    "bmp": (packed(scene(), "BMP"), scene(), 0),
    "gif": (packed(scene("L"), "GIF"), GREY, 0),
    "jpeg_2000": (packed(scene(), "JPEG2000"), scene(), 0),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_and_its_bytes_are_the_same_picture(kind: str, tmp_path: Path) -> None:
    data, expected, tolerance = KINDS[kind]
    (tmp_path / "a.picture").write_bytes(data)
    path = str(tmp_path / "a.picture")
    for picture in (path, data):
        assert images.read_shape(picture, is_video=False) == (1, SIDE, SIDE, None)
        assert near(images.open_image(picture), expected, tolerance)
    assert not near(images.open_image(data), images.open_image(data).rotate(90), 20)  # the twin


def adobe_marker(data: bytes) -> int:
    """Where the transform byte of the Adobe segment stands."""
    return data.index(b"Adobe") + 11


def test_cmyk_jpegs_are_inverted_as_adobe_writes_them() -> None:
    data = packed(Image.new("CMYK", (SIDE, SIDE), (0, 255, 255, 0)), "JPEG", quality=95)
    assert data[adobe_marker(data)] == 0  # CMYK as it is
    assert near(images.open_image(data), Image.new("RGB", (SIDE, SIDE), (255, 0, 0)), 3)
    # The twin: the same values, not inverted in the file, are cyan's complement.
    light = packed(Image.new("CMYK", (SIDE, SIDE), (255, 0, 0, 255)), "JPEG", quality=95)
    assert near(images.open_image(light), Image.new("RGB", (SIDE, SIDE), (0, 0, 0)), 3)


def test_ycck_jpegs_are_turned_into_cmyk_first() -> None:
    # The file holds 255 minus these: Y = 179, Cb = 171, Cr = 0, the cyan whose ink is red; K = 255.
    stored = packed(Image.new("CMYK", (SIDE, SIDE), (76, 84, 255, 0)), "JPEG", quality=98)
    red = Image.new("RGB", (SIDE, SIDE), (255, 0, 0))
    place = adobe_marker(stored)
    ycck = stored[:place] + b"\2" + stored[place + 1 :]
    assert near(images.open_image(ycck), red, 4) and not near(images.open_image(stored), red, 4)


def png(size: tuple[int, int], depth: int, kind: int, rows: bytes) -> bytes:
    """A PNG file by hand, for what Pillow does not write."""

    def chunk(name: bytes, body: bytes) -> bytes:
        tail = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + tail

    header = struct.pack(">2I5B", *size, depth, kind, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_colours_of_16_bits_keep_the_upper_8() -> None:
    rgb = png((1, 1), 16, 2, b"\0" + struct.pack(">3H", 0x12FF, 0x3400, 0xFFFF))
    assert images.open_image(rgb).getpixel((0, 0)) == (0x12, 0x34, 0xFF)
    clear = png((1, 1), 16, 6, b"\0" + struct.pack(">4H", 0x1200, 0x3400, 0x5600, 0))
    assert images.open_image(clear).getpixel((0, 0)) == (255, 255, 255)


def test_16_bit_grey_png_is_stretched() -> None:
    grey = png((3, 1), 16, 0, b"\0" + struct.pack(">3H", 1000, 2000, 3000))
    assert np.asarray(images.open_image(grey))[0, :, 0].tolist() == [0, 128, 255]


def test_values_that_are_no_numbers_are_black_or_white(tmp_path: Path) -> None:
    values = np.array([[np.nan, 0.25, 0.75], [np.inf, -np.inf, 0.5]], np.float32)
    Image.fromarray(values).save(tmp_path / "a.tif")
    pixels = np.asarray(images.open_image(str(tmp_path / "a.tif")))[..., 0]
    assert pixels.tolist() == [[0, 0, 255], [255, 0, 128]]


def test_the_palette_of_a_picture_may_be_half_transparent() -> None:
    image = Image.new("P", (2, 2), 1)
    image.putpalette([0, 0, 0, 255, 0, 0])
    data = packed(image, "PNG", transparency=bytes([255, 128]))
    assert images.open_image(data).getpixel((0, 0)) == (255, 127, 127)


def exif(orientation: Any) -> Image.Exif:
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = orientation
    return tags


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_turns_pictures_of_every_kind(kind: str) -> None:
    data = packed(scene().crop((0, 0, 32, 16)), kind, exif=exif(6))
    assert images.read_shape(data, is_video=False)[1:3] == (32, 16)
    assert images.open_image(data).size == (16, 32)
    plain = packed(scene().crop((0, 0, 32, 16)), kind, exif=exif(1))
    assert images.open_image(plain).size == (32, 16)


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(b"Exif\0\0II*\0\xff\xff\xff\xff", id="points_nowhere"),
        pytest.param(b"Exif\0\0hello world", id="no_tiff"),
        pytest.param(exif(99).tobytes(), id="unknown_orientation"),
        pytest.param(exif(6).tobytes()[:-6], id="cut_off"),
    ],
)
def test_broken_exif_says_nothing(broken: bytes) -> None:
    data = packed(scene().crop((0, 0, 32, 16)), "JPEG", exif=broken)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert images.read_shape(data, is_video=False)[1:3] == (16, 32)
        assert images.open_image(data).size == (32, 16)
    assert not caught


def test_warnings_stay_inside_in_threads_as_well() -> None:
    data = packed(scene(), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff")
    with pytest.warns(UserWarning, match="EXIF"):  # what Pillow says by itself
        warnings.simplefilter("always")
        Image.open(io.BytesIO(data)).getexif()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(images.open_image, [data] * 64))
        warnings.warn("ours is heard", UserWarning, stacklevel=1)
    assert [str(warning.message) for warning in caught] == ["ours is heard"]


def animated(kind: str) -> bytes:
    return packed(scene(), kind, save_all=True, append_images=[scene().rotate(90)])


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_a_file_of_several_frames_is_a_video_and_no_image(kind: str) -> None:
    data = animated(kind)
    assert "holds 2 frames: it is a video" in message_of(data)
    with pytest.raises(errors.UserError, match="holds 2 frames"):
        images.open_image(data)
    assert images.read_shape(data, is_video=True)[:3] == (2, SIDE, SIDE)
    first, second = images.open_frames(data)
    assert near(first.rotate(90), second, 40) and not near(first, second, 40)


def test_frames_of_a_folder_stand_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in range(12):
        Image.new("L", (28, 28), number).save(tmp_path / f"frame{number}.png")
    (tmp_path / ".DS_Store").write_bytes(b"no frame")
    assert images.read_shape(str(tmp_path), is_video=True).num_frames == 12
    shades = [frame.getpixel((0, 0)) for frame in images.open_frames(str(tmp_path))]
    assert shades == [(number,) * 3 for number in range(12)]


def test_the_further_pictures_of_a_cameras_jpeg_are_not_meant() -> None:
    data = packed(scene(), "MPO", save_all=True, append_images=[scene("L").resize((8, 8))])
    assert images.read_shape(data, is_video=False) == (1, SIDE, SIDE, None)
    assert near(images.open_image(data), scene(), 30)


def test_frames_of_several_sizes_in_one_file_are_refused() -> None:
    data = packed(scene(), "TIFF", save_all=True, append_images=[scene().resize((8, 8))])
    assert "frames must have one size" in message_of(data, is_video=True)


def test_a_video_of_too_many_pixels_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert images.read_shape(animated("GIF"), is_video=True).num_frames == 2
    monkeypatch.setattr(images, "MAX_VIDEO_PIXELS", 2 * SIDE * SIDE - 1)
    assert f"has 2 x {SIDE} x {SIDE} pixels; allowed: 1 to" in message_of(
        animated("GIF"), is_video=True
    )


def jpeg_of(height: int, width: int) -> bytes:
    """A JPEG whose header asks for another size than its pixels have."""
    data = bytearray(packed(scene(), "JPEG"))
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">2H", height, width)
    return bytes(data)


BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "none of PNG, JPEG"),
    "text": (b"<html>404</html>", "none of PNG, JPEG"),
    "pdf": (b"%PDF-1.7\n", "none of PNG, JPEG"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "none of"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "none of PNG, JPEG"),
    "cut_png": (packed(scene(), "PNG")[:-40], "does not decode"),
    "cut_jpeg": (packed(scene(), "JPEG")[:-20], "image file is truncated"),
    "cut_webp": (packed(scene(), "WEBP")[:-40], "does not decode"),
    "cut_tiff": (packed(scene(), "TIFF", compression="tiff_lzw")[:400], "does not decode"),
    "cut_gif": (packed(scene("L"), "GIF")[:-200], "does not decode"),
    "header_only": (packed(scene(), "PNG")[:33], "does not decode"),
    "png_of_no_width": (png((0, 5), 8, 2, b""), "does not decode"),
    "png_gigantic": (png((2**31 - 1, 2**31 - 1), 8, 2, b""), "bomb"),
    "png_bomb": (png((20_000, 20_000), 1, 0, bytes(2501 * 20_000)), "bomb"),
    "png_just_above": (png((10_000, 9_000), 1, 0, bytes(1251 * 9_000)), "bomb"),
    "jpeg_gigantic": (jpeg_of(65_000, 65_000), "bomb"),
    "jpeg_of_no_height": (jpeg_of(0, 32), "does not decode|allowed: 1 to"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_one_line(name: str, tmp_path: Path) -> None:
    data, reason = BAD[name]
    (tmp_path / "bad.png").write_bytes(data)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for picture in (data, str(tmp_path / "bad.png")):
            line = message_of(picture)
            assert any(part in line for part in reason.split("|")), line
            assert "0x" not in line  # no address of an object: the line is the same every time
    assert str(tmp_path / "bad.png") in line and not caught


def test_a_folder_is_no_image(tmp_path: Path) -> None:
    assert "Is a directory" in message_of(str(tmp_path))


@pytest.mark.parametrize("size", [(0, 0), (0, 9), (9, 0)], ids=str)
def test_a_picture_without_pixels_is_refused(size: tuple[int, int]) -> None:
    assert "allowed: 1 to" in message_of(Image.new("RGB", size))


def test_bytes_are_a_part_of_a_message(byte_folder: Path) -> None:
    encoder = messages.Encoder(byte_folder, min_pixels=784, max_pixels=784 * 4)
    parts = [
        {"type": "image", "image": packed(scene(), "PNG")},
        {"type": "video", "video": animated("GIF")},
        {"type": "video", "video": [packed(scene(), "PNG")] * 3},
    ]
    image, clip, frames = encoder.encode([{"role": "user", "content": parts}]).media
    assert (image.grid.t, clip.grid.t, frames.grid.t) == (1, 1, 2)
    inside = images.Media(start=0, grid=image.grid, image=scene())
    np.testing.assert_array_equal(images.load_patches(image), images.load_patches(inside))
    images.verify(clip)
    assert "bytes in memory" in images.describe(image.image)


@pytest.mark.parametrize("value", [3, None, ["a.png", 3], [None]], ids=str)
def test_numbers_are_no_pictures(value: Any, byte_folder: Path) -> None:
    encoder = messages.Encoder(byte_folder, min_pixels=784, max_pixels=784 * 4)
    for kind in ("image", "video"):
        with pytest.raises(errors.UserError, match="that holds a path or picture, got"):
            encoder.encode([{"role": "user", "content": [{"type": kind, kind: value}]}])


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_equal_channels_are_resized_once_with_the_same_bytes(mode: str) -> None:
    source = scene(mode).convert("RGB")
    media = images.Media(start=0, grid=geometry.Grid(1, 6, 4), image=source)
    reference = np.asarray(source.resize((56, 84), Image.Resampling.BICUBIC))
    expected = images.patchify(reference[None])
    np.testing.assert_array_equal(images.load_patches(media), expected)
    # The twin: one value of one channel changes the patches.
    source.putpixel((9, 9), (255, 0, 0))
    assert (images.load_patches(media) != expected).any()


def test_grey_and_coloured_frames_may_follow_each_other() -> None:
    clip = (scene("L"), scene(), scene("L"))
    media = images.Media(start=0, grid=geometry.Grid(2, 2, 2), image=clip, seconds_per_grid=1.0)
    frames = [f.convert("RGB").resize((28, 28), Image.Resampling.BICUBIC) for f in clip]
    expected = images.patchify(np.stack([np.asarray(frame) for frame in frames]))
    np.testing.assert_array_equal(images.load_patches(media), expected)
