# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures for the demo: found, checked, split, and cropped."""

import itertools

import nibabel
import numpy as np
import pytest
from PIL import Image

from lingshu_jax.common import errors
from lingshu_jax.data import demo_images, volumes


@pytest.fixture(scope="module")
def bundled():
    return demo_images.collect()


def noise(rng, *shape):
    """Smooth random pictures: each correlates with itself only."""
    coarse = rng.integers(0, 255, (8, 8, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize(shape[::-1], Image.Resampling.BICUBIC))


def series(rng, length, modality="MR"):
    header = volumes.Header()
    return [
        demo_images.Picture(f"007/{i:03}", noise(rng, 40, 30), modality, header, i + 1, length)
        for i in range(length)
    ]


def test_bundled_libraries_give_ct_mr_and_ultrasound(bundled):
    modalities = {s[0].modality for s in bundled.series if s}
    assert {"CT", "MR", "ultrasound", "nuclear medicine"} <= modalities
    planes = {p.header.plane for s in bundled.series for p in s if p.modality == "MR"}
    assert planes == {"axial", "coronal", "sagittal"}
    assert sum(map(len, bundled.series)) > 300 and bundled.dropped_tags > 100


def test_what_is_skipped_has_a_reason(bundled):
    reasons = dict(bundled.skipped)
    assert "same picture as MR_small.dcm" in reasons["MR_small_RLE.dcm"]
    assert "same picture as examples_jpeg2k.dcm" in reasons["examples_rgb_color.dcm"]
    assert "does not decode" in reasons["MR_truncated.dcm"]
    assert "modality OT" in reasons["SC_rgb_jpeg_dcmd.dcm"]
    assert "no pixel data" in reasons["rtplan.dcm"]
    assert "smaller than 24" in reasons["dicomdirtests/77654033/CR1/6154"]
    # Nothing of this machine's folders in a report.
    assert not any("site-packages" in reason for reason in reasons.values())


def test_a_folder_of_any_files(tmp_path, rng):
    (tmp_path / "sub").mkdir()
    Image.fromarray(noise(rng, 60, 50)).save(tmp_path / "sub" / "a.PNG")
    Image.fromarray(noise(rng, 60, 50)).save(tmp_path / "b.jpg")
    Image.new("L", (60, 50), 90).save(tmp_path / "blank.png")
    Image.fromarray(noise(rng, 20, 50)).save(tmp_path / "small.png")
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    volume = np.stack([noise(rng, 30, 32)[..., 0] for _ in range(26)])
    nibabel.save(nibabel.Nifti1Image(volume.astype(np.int16), np.eye(4)), tmp_path / "v.nii")
    found = demo_images.collect(tmp_path)
    assert sorted(len(s) for s in found.series) == [1, 1, 26, 30, 32]
    assert {name for name, _ in found.skipped} == {
        "blank.png",
        "broken.png",
        "notes.txt",
        "small.png",
    }
    assert all(p.modality is None for s in found.series for p in s)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(errors.UserError, match="no such folder of images: .*nowhere"):
        demo_images.collect(tmp_path / "nowhere")


def test_equal_sized_single_pictures_of_a_folder_are_one_series(tmp_path, rng):
    for i in range(demo_images.SERIES_LENGTH):
        Image.fromarray(noise(rng, 40, 40)).save(tmp_path / f"{i:02}.png")
    [slices] = demo_images.collect(tmp_path).series
    assert [p.place for p in slices] == list(range(1, demo_images.SERIES_LENGTH + 1))


def test_split_holds_out_a_block_with_a_gap(rng):
    train, test = demo_images.split([series(rng, 30)], rng)
    held_out = [p.place for p in test[0]]
    kept = [p.place for p in train[0]]
    assert held_out == list(range(held_out[0], held_out[0] + 6))
    assert min(abs(a - b) for a, b in itertools.product(held_out, kept)) == 2
    assert len(held_out) + len(kept) == 28


def test_split_holds_out_the_last_single_pictures_of_each_modality(rng):
    singles = [series(rng, 1, m) for m in ("CT", "MR", "CT", "CT", "MR", "PET")]
    train, test = demo_images.split(singles, rng)
    assert [s[0].modality for s in test] == ["CT", "MR"]
    assert test[0] is singles[3] and test[1] is singles[4]
    assert len(train) == 4


@pytest.mark.parametrize("length", range(demo_images.SERIES_LENGTH, 14))
def test_split_of_short_series(rng, length):
    train, test = demo_images.split([series(rng, length)], rng)
    assert len(test[0]) >= 2 and len(train[0]) >= 3


def test_views_are_even_over_modalities_and_series(rng):
    groups = [series(rng, 10, "MR"), series(rng, 3, "MR"), series(rng, 1, "CT")]
    views = demo_images.make_views(groups, count=120, prefix="x", rng=rng)
    by_series = [sum(v.picture is p for v in views for p in group) for group in groups]
    assert by_series == [30, 30, 60]
    assert [v.name for v in views] == [f"x-{i:04}" for i in range(120)]
    assert {v.pixels.shape[:2] for v in views} <= set(demo_images.SHAPES)


def test_no_picture_is_used_more_often_than_max_views(rng):
    views = demo_images.make_views([series(rng, 1)], count=500, prefix="x", rng=rng)
    assert len(views) == demo_images.MAX_VIEWS


def test_a_view_keeps_proportions_in_millimetres(rng):
    # Rows are twice as far apart as columns: a disc of 10 mm must stay round.
    y, x = np.mgrid[:40, :80]
    disc = ((y * 2.0 - 40) ** 2 + (x - 40.0) ** 2 < 20**2) * np.uint8(255)
    header = volumes.Header(spacing_mm=(2.0, 1.0))
    pixels = np.repeat(disc[..., None], 3, axis=-1)
    picture = demo_images.Picture("000/000", pixels, None, header, 1, 1)
    for view in demo_images.make_views([[picture]], count=10, prefix="x", rng=rng):
        pixels = 255 - view.pixels if view.inverted else view.pixels
        inside = pixels[..., 0] > 127
        edge = inside[0].any() or inside[-1].any() or inside[:, 0].any() or inside[:, -1].any()
        tall, wide = inside.any(axis=1).sum(), inside.any(axis=0).sum()
        assert edge or abs(int(tall) - int(wide)) <= 3
