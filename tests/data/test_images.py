# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from lingshu_jax.common import errors, geometry
from lingshu_jax.data import images

RED, GREEN = (255, 0, 0), (0, 255, 0)


def save_jpeg(path: Path, orientation: int) -> str:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    image = Image.new("RGB", (40, 20), RED)
    image.paste(GREEN, (0, 0, 8, 8))  # top left
    image.save(path, exif=exif, quality=95)
    return str(path)


def patch_order(golden: dict[str, Any], shape: geometry.VisionGeometry) -> list[int]:
    """First value of each patch when a pixel's value is its index in (3, 56, 84)."""
    index = np.arange(3 * 56 * 84).reshape(3, 56, 84)
    planes = [(index >> shift) & 255 for shift in (0, 8)]  # two bytes, since pixels are bytes
    low, high = (
        images.patchify(plane.transpose(1, 2, 0)[None].astype(np.uint8), shape).astype(int)
        for plane in planes
    )
    patches = low + 256 * high
    wide, tall, deep, channel = golden["row0_stride"]
    blocks = patches.reshape(24, 3, 2, 14, 14)
    strides = (
        blocks[0, 0, 0, 0, 1],
        blocks[0, 0, 0, 1, 0],
        blocks[0, 0, 1, 0, 0],
        blocks[0, 1, 0, 0, 0],
    )
    assert strides == (wide, tall, deep, channel)
    return patches[:, 0].tolist()


def test_patch_order_golden(shared_dir: Path) -> None:
    goldens = json.loads((shared_dir / "reference/qwen2_5_vl_goldens.json").read_text())
    golden = goldens["patchify_56x84"]
    assert patch_order(golden, geometry.VisionGeometry()) == golden["row_first_value"]


def test_patch_order_golden_notices_another_merge_size(shared_dir: Path) -> None:
    goldens = json.loads((shared_dir / "reference/qwen2_5_vl_goldens.json").read_text())
    golden = goldens["patchify_56x84"]
    assert patch_order(golden, geometry.VisionGeometry(merge_size=1)) != golden["row_first_value"]


def test_patchify_by_hand() -> None:
    shape = geometry.VisionGeometry(patch_size=1, merge_size=2, window_size=8)
    frames = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(1, 2, 4, 3)
    patches = images.patchify(frames, shape)
    # Two cells of 2 x 2 patches; a patch holds both (equal) pictures of each channel in turn.
    assert patches[:, 0].tolist() == [0, 3, 12, 15, 6, 9, 18, 21]
    assert patches[0].tolist() == [0, 0, 1, 1, 2, 2]


def test_patchify_repeats_the_last_of_an_odd_number_of_frames(rng: np.random.Generator) -> None:
    frames = rng.integers(0, 256, (3, 28, 28, 3), dtype=np.uint8)
    patches = images.patchify(frames).reshape(2, 4, 3, 2, 14, 14)
    np.testing.assert_array_equal(patches[0, 0, :, 1], frames[1, :14, :14].transpose(2, 0, 1))
    np.testing.assert_array_equal(patches[1, 3, :, 0], frames[2, 14:, 14:].transpose(2, 0, 1))
    np.testing.assert_array_equal(patches[1, :, :, 0], patches[1, :, :, 1])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_rotation_is_the_same_in_header_and_pixels(orientation: int, tmp_path: Path) -> None:
    path = save_jpeg(tmp_path / "a.jpg", orientation)
    shape = images.read_shape(path, is_video=False)
    image = images.open_image(path)
    assert (shape.height, shape.width) == (image.height, image.width)
    assert (image.width < image.height) == (orientation >= 5)
    corners = [(0, 0), (-1, 0), (-1, -1), (0, -1), (0, 0), (-1, 0), (-1, -1), (0, -1)]
    x, y = corners[orientation - 1]
    pixel = np.asarray(image)[y, x]
    assert pixel[1] > 200 > pixel[0]


def test_tiff_rotation_is_the_same_in_header_and_pixels(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.new("RGB", (40, 20), RED).save(tmp_path / "a.tif", exif=exif)
    shape = images.read_shape(str(tmp_path / "a.tif"), is_video=False)
    assert (shape.height, shape.width) == (40, 20)
    assert images.open_image(str(tmp_path / "a.tif")).size == (20, 40)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        pytest.param(Image.new("RGBA", (2, 2), (255, 0, 0, 0)), (255, 255, 255), id="clear_rgba"),
        pytest.param(Image.new("LA", (2, 2), (10, 255)), (10, 10, 10), id="opaque_grey"),
        pytest.param(Image.new("L", (2, 2), 7), (7, 7, 7), id="grey"),
        pytest.param(Image.new("1", (2, 2), 1), (255, 255, 255), id="bits"),
        pytest.param(Image.new("CMYK", (2, 2), (0, 255, 255, 0)), (255, 0, 0), id="cmyk"),
        pytest.param(Image.new("RGB", (2, 2), RED).convert("P"), (255, 0, 0), id="palette"),
    ],
)
def test_colour_policy(image: Image.Image, expected: tuple[int, int, int]) -> None:
    assert images.open_image(image).getpixel((0, 0)) == expected


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32], ids=lambda d: d.__name__)
def test_deep_greys_are_stretched_not_clipped(dtype: type, tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[1000, 2000], [3000, 1000]], dtype))
    image.save(tmp_path / "a.tif")
    pixels = np.asarray(images.open_image(str(tmp_path / "a.tif")))
    assert pixels[:, :, 0].tolist() == [[0, 128], [255, 0]]


def test_flat_deep_grey_is_black() -> None:
    image = Image.fromarray(np.full((2, 2), 4000, np.uint16))
    assert not np.asarray(images.open_image(image)).any()


def test_transparent_colour_of_a_palette_is_white(tmp_path: Path) -> None:
    image = Image.new("P", (2, 2), 3)
    image.putpalette(list(range(12)))
    image.save(tmp_path / "a.png", transparency=3)
    assert images.open_image(str(tmp_path / "a.png")).getpixel((0, 0)) == (255, 255, 255)


def test_size_is_read_without_decoding(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (300, 200)).save(path)
    path.write_bytes(path.read_bytes()[:60])  # the header and little more
    assert images.read_shape(str(path), is_video=False)[:3] == (1, 200, 300)
    with pytest.raises(errors.UserError, match=r"a\.png: image does not decode"):
        images.open_image(str(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "image not found: .*a.png", id="missing"),
        pytest.param(b"", "a.png: image does not decode", id="empty"),
        pytest.param(b"<html>", "a.png: image does not decode", id="wrong_type"),
    ],
)
def test_unreadable_images_are_named(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(errors.UserError, match=message):
        images.read_shape(str(path), is_video=False)


def test_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (200, 200)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(errors.UserError, match="decompression bomb"):
        images.read_shape(str(tmp_path / "a.png"), is_video=False)


def test_load_patches_resizes_to_the_grid() -> None:
    media = images.Media(
        start=0, grid=geometry.Grid(1, 2, 4), image=Image.new("RGB", (90, 33), RED)
    )
    patches = images.load_patches(media)
    assert patches.shape == (8, 1176) and patches.dtype == np.uint8
    assert np.unique(patches[:, :392]).tolist() == [255] and not patches[:, 392:].any()


@pytest.mark.parametrize("is_broken", [False, True], ids=["as_is", "resized_twice_fails"])
def test_load_patches_matches_published_values(shared_dir: Path, is_broken: bool) -> None:
    folder = shared_dir / "data/tokenizer_qwen2/preprocess_reference"
    expected = np.loadtxt(folder / "pixel_values_reference.txt")
    image = images.open_image(str(folder / "australia.jpg"))
    if is_broken:
        image = images.resize(image, 360, 540)
    # 364 x 532 pixels are what smart_resize makes of 360 x 540.
    media = images.Media(start=0, grid=geometry.Grid(1, 26, 38), image=image)
    first = images.load_patches(media)[0].reshape(3, -1) / 255
    mean = np.array([[0.48145466], [0.4578275], [0.40821073]])
    std = np.array([[0.26862954], [0.26130258], [0.27577711]])
    ours = ((first - mean) / std).reshape(-1)[: len(expected)]
    assert np.allclose(ours, expected, rtol=0, atol=1e-6) != is_broken


def test_blank_media_are_mid_grey_and_need_no_file() -> None:
    media = images.Media(start=0, grid=geometry.Grid(2, 2, 4), image="nowhere.png", blank=True)
    patches = images.load_patches(media)
    assert patches.shape == (16, 1176) and np.unique(patches).tolist() == [128]


def make_video(kind: str, folder: Path) -> images.Visual:
    frames = [Image.new("RGB", (28, 28), colour) for colour in (RED, GREEN, (0, 0, 255))]
    if kind == "frames":
        return tuple(frames)
    if kind == "animation":
        frames[0].save(folder / "a.gif", save_all=True, append_images=frames[1:])
        return str(folder / "a.gif")
    (folder / "clip").mkdir()
    for i, frame in enumerate(frames):
        frame.save(folder / f"clip/{i}.png")
    return str(folder / "clip")


@pytest.mark.parametrize("kind", ["frames", "animation", "folder"])
def test_videos(kind: str, tmp_path: Path) -> None:
    video = make_video(kind, tmp_path)
    assert images.read_shape(video, is_video=True)[:3] == (3, 28, 28)
    media = images.Media(start=0, grid=geometry.Grid(2, 2, 2), image=video, seconds_per_grid=1.0)
    patches = images.load_patches(media).reshape(2, 4, 3, 2, 196)
    colours = patches[:, 0, :, :, 0].transpose(0, 2, 1).reshape(4, 3)
    assert colours.argmax(axis=1).tolist() == [0, 1, 2, 2]  # the odd last frame twice
    images.verify(media)


def test_frames_of_different_sizes_are_refused() -> None:
    frames = (Image.new("L", (28, 28)), Image.new("L", (28, 56)))
    with pytest.raises(errors.UserError, match="frames must have one size, got 28 x 28, 56 x 28"):
        images.read_shape(frames, is_video=True)


def test_a_video_without_frames_is_refused() -> None:
    with pytest.raises(errors.UserError, match="at least one frame"):
        images.read_shape((), is_video=True)


def test_a_changed_number_of_frames_is_noticed() -> None:
    frames = (Image.new("L", (28, 28)),) * 4
    media = images.Media(start=0, grid=geometry.Grid(1, 2, 2), image=frames, seconds_per_grid=1.0)
    with pytest.raises(errors.UserError, match="number of frames has changed"):
        images.load_patches(media)


def test_resizing_begins_with_the_width() -> None:
    """Values of Pillow 12.3.0; from 13 on one call of `resize` may begin with the height."""
    pixels = np.random.default_rng(0).integers(0, 256, (90, 131, 3), np.uint8)
    resized = np.asarray(images.resize(Image.fromarray(pixels), 84, 140))
    assert int(resized.astype(np.int64).sum()) == 4_497_605
    assert resized[40, 60].tolist() == [130, 15, 223]
    low = Image.fromarray(pixels).resize((131, 84), Image.Resampling.BICUBIC)
    other = np.asarray(low.resize((140, 84), Image.Resampling.BICUBIC))
    assert (other != resized).mean() > 0.1, "the order must matter for this picture"
