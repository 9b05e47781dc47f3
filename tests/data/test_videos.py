# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Clips and volumes as videos of a conversation: grids, times, positions and pixels."""

import dataclasses
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image

from lingshu_jax.common import geometry
from lingshu_jax.data import images, messages, volume_files
from tests import positions

DICOM = Path(pydicom.__file__).parent / "data/test_files"
NIFTI = Path(nibabel.__file__).parent / "tests/data"
LIMITS: dict[str, Any] = {"min_pixels": 784, "max_pixels": 784 * 16}


@pytest.fixture(scope="module")
def encoder(byte_folder: Path) -> messages.Encoder:
    return messages.Encoder(byte_folder, **LIMITS)


def as_video(name: str, **fields: Any) -> dict[str, Any]:
    """A part of a message that names a file, and what is chosen of it."""
    return {"type": "video", "video": name, **fields}


def ask(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    """A question with the parts between its words."""
    words = [{"type": "text", "text": word} for word in ("See ", " and ", " or ", " now?")]
    between = [part for pair in zip(words, parts, strict=False) for part in pair]
    return [{"role": "user", "content": [*between, words[-1]]}]


def expected_grid(pictures: int, height: int, width: int) -> geometry.Grid:
    sides = geometry.smart_resize(height, width, **LIMITS)
    return geometry.Grid((pictures + 1) // 2, sides[0] // 14, sides[1] // 14)


CLIP, DOSE = str(DICOM / "examples_ybr_color.dcm"), str(DICOM / "rtdose.dcm")
HEAD, SLABS = str(NIFTI / "anatomical.nii"), str(NIFTI / "functional.nii")
# Frames, an even or odd number, and the seconds from one pair of them to the next.
FILES = {
    CLIP: (30, 2 * 33.333e-3),
    DOSE: (15, 1.0),
    HEAD: (25, 1.0),
    f"{HEAD}#plane=sagittal": (33, 1.0),
    f"{HEAD}#frames=7": (7, 1.0),
    SLABS: (3, 1.0),
    str(NIFTI / "example4d.nii.gz"): (24, 1.0),
}


def frames_of(name: str) -> list[np.ndarray]:
    file = volume_files.find(name)
    assert file is not None
    return file.frames()


@pytest.mark.parametrize("name", FILES, ids=lambda name: Path(name).name)
def test_volumes_as_frames(encoder: messages.Encoder, name: str) -> None:
    count, seconds = FILES[name]
    height, width, _ = frames_of(name)[0].shape
    encoded = encoder.encode(ask(as_video(name), as_video(name)))
    grid = expected_grid(count, height, width)
    for media in encoded.media:
        assert media.grid == grid
        assert media.seconds_per_grid == pytest.approx(seconds, rel=1e-3)
        inside = encoded.tokens[media.start : media.start + geometry.QWEN2_5_VL.num_tokens(grid)]
        assert (inside == encoder.special.video_pad).all()
    assert (encoded.tokens == encoder.special.video_pad).sum() == encoded.num_patches // 4
    spans = [media.span for media in encoded.media]
    assert encoded.positions.tolist() == positions.by_the_token(encoded.num_tokens, spans)
    # The twin: at a third of the rate the frames are three times as far apart.
    slower = encoder.encode(ask(as_video(name, fps=2 / seconds / 3)))
    assert (slower.positions != encoded.positions[:, : slower.num_tokens]).any()


@pytest.mark.parametrize("name", [HEAD, SLABS], ids=lambda name: Path(name).name)
def test_slices_become_pairs_of_pictures(encoder: messages.Encoder, name: str) -> None:
    frames = frames_of(name)
    (media,) = encoder.encode(ask(as_video(name))).media
    patches = images.load_patches(media).reshape(media.grid.t, -1, 3, 2, 14, 14)
    height, width = 14 * media.grid.h, 14 * media.grid.w
    corners = [
        np.asarray(images.resize(Image.fromarray(frame), height, width))[:14, :14]
        for frame in frames
    ]
    for i, corner in enumerate([*corners, corners[-1]]):  # the odd last slice is its own pair
        np.testing.assert_array_equal(patches[i // 2, 0, :, i % 2], corner.transpose(2, 0, 1))
    # The twin: the first slice by itself is its own pair.
    one = dataclasses.replace(media, image=f"{name}#frame=0", grid=media.grid._replace(t=1))
    assert (images.load_patches(one).reshape(-1, 3, 2, 14, 14)[0] != patches[0, 0]).any()


def test_a_folder_of_slices_is_the_same_video(encoder: messages.Encoder, tmp_path: Path) -> None:
    for i, frame in enumerate(frames_of(SLABS)):
        Image.fromarray(frame).save(tmp_path / f"{i}.png")
    inside, stored = (encoder.encode(ask(as_video(name))) for name in (SLABS, str(tmp_path)))
    np.testing.assert_array_equal(stored.tokens, inside.tokens)
    np.testing.assert_array_equal(stored.positions, inside.positions)
    pixels = [images.load_patches(encoded.media[0]) for encoded in (stored, inside)]
    np.testing.assert_array_equal(pixels[0], pixels[1])
    (tmp_path / "2.png").unlink()
    fewer = encoder.encode(ask(as_video(str(tmp_path))))
    assert fewer.num_tokens < stored.num_tokens


def random_parts(rng: np.random.Generator) -> list[dict[str, Any]]:
    """One to three pictures and clips of any length, odd or even, at any rate."""
    parts: list[dict[str, Any]] = []
    for _ in range(rng.integers(1, 4)):
        width, height = (int(side) for side in rng.integers(20, 200, 2))
        frame = Image.new("L", (width, height), int(rng.integers(256)))
        if rng.random() < 0.3:
            parts.append({"type": "image", "image": frame})
            continue
        rate = positions.FRAME_RATES[rng.integers(len(positions.FRAME_RATES))]
        frames = [frame] * int(rng.integers(1, 24))
        parts.append({"type": "video", "video": frames, "fps": rate})
    return parts


@pytest.mark.parametrize("seed", range(40))
def test_any_clips(encoder: messages.Encoder, seed: int) -> None:
    parts = random_parts(np.random.default_rng(seed))
    encoded = encoder.encode(ask(*parts))
    expected = []
    for part, media in zip(parts, encoded.media, strict=True):
        clip = part["video"] if part["type"] == "video" else [part["image"]]
        grid = expected_grid(len(clip), clip[0].height, clip[0].width)
        seconds = 2 / part["fps"] if part["type"] == "video" else None
        expected.append(geometry.MediaSpan(media.start, grid, seconds))
        assert encoded.tokens[media.start - 1] == encoder.special.vision_start
    assert [media.span for media in encoded.media] == expected
    by_the_token = positions.by_the_token(encoded.num_tokens, expected)
    assert encoded.positions.tolist() == by_the_token
    # The twin: text that went on after the number of visual tokens.
    wrong = positions.by_the_token(
        encoded.num_tokens, expected, after=lambda block, first, _: first + len(block)
    )
    has_cells = any(span.grid.h > 2 and span.grid.w > 2 for span in expected)
    assert not has_cells or encoded.positions.tolist() != wrong
