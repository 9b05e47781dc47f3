# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""NIfTI slices: orientation, planes, scaling, colours, series; sizes from the header alone."""

import gzip
import itertools
import logging
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from lingshu_jax.common import errors
from lingshu_jax.data import nifti, volumes

SECRET = "DOE^JANE"
AXES = [*itertools.permutations(range(3))]
SIGNS = [(1, 1, 1), (-1, 1, 1), (1, -1, -1), (-1, -1, -1)]


def write(path: Path, values: np.ndarray, affine: np.ndarray | None = None, **header: Any) -> Path:
    image = nibabel.Nifti1Image(values, np.eye(4) if affine is None else affine)
    for name, value in header.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path


def gray(volume: volumes.Volume) -> np.ndarray:
    assert (volume.frames == volume.frames[..., :1]).all()
    return volume.frames[..., 0]


@pytest.mark.parametrize("signs", SIGNS, ids=str)
@pytest.mark.parametrize("axes", AXES, ids=str)
def test_planes_in_radiological_view_however_they_are_stored(
    axes: tuple[int, int, int], signs: tuple[int, int, int], tmp_path: Path
) -> None:
    # One bright voxel at the patient's right, front, top; storage order must not matter.
    world = np.zeros((4, 5, 6), np.float32)
    world[3, 4, 5] = 100.0
    flips = tuple(slice(None, None, sign) for sign in signs)
    affine = np.eye(4)
    affine[:3, :3] = np.diag(np.array(signs) * (2.0, 3.0, 5.0))[:, axes]
    path = write(tmp_path / "a.nii.gz", world[flips].transpose(axes), affine)
    places = {"axial": (5, 0, 0), "coronal": (4, 0, 0), "sagittal": (3, 0, 0)}
    shapes = {"axial": (6, 5, 4), "coronal": (5, 6, 4), "sagittal": (4, 6, 5)}
    spacings = {"axial": (3.0, 2.0), "coronal": (5.0, 2.0), "sagittal": (5.0, 3.0)}
    for plane in volumes.PLANES:
        volume = nifti.read(path, plane)
        frames = gray(volume)
        assert frames.shape == shapes[plane] == nifti.read_shape(path, plane)[:3]
        assert np.argwhere(frames == frames.max()).tolist() == [list(places[plane])]
        assert volume.header.spacing_mm == pytest.approx(spacings[plane])


def test_an_oblique_volume_takes_the_nearest_axes(tmp_path: Path) -> None:
    angle = np.deg2rad(30)
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    values = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    turned = nifti.read(write(tmp_path / "a.nii", values, affine))
    straight = nifti.read(write(tmp_path / "b.nii", values))
    assert (turned.frames == straight.frames).all()
    angle = np.deg2rad(60)
    affine[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    assert nifti.read_shape(write(tmp_path / "c.nii", values, affine))[:3] == (5, 3, 4)


def test_spacing_follows_the_plane(tmp_path: Path) -> None:
    values = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    path = write(tmp_path / "a.nii", values, np.diag([1.0, 2.0, 3.0, 1.0]))
    header = nifti.read(path, "coronal").header
    assert (header.slice_thickness_mm, header.spacing_mm) == (2.0, (3.0, 1.0))


def stretched(values: np.ndarray) -> np.ndarray:
    """Axial slices of a volume in the order x, y, z."""
    low, high = np.percentile(values, (0.5, 99.5))
    seen = np.rint((np.clip(values, low, high) - low) / (high - low) * 255)
    return seen.transpose(2, 1, 0)[:, ::-1, ::-1]


def file_of(values: np.ndarray, **fields: Any) -> bytes:
    """A file that holds these values and says whatever is asked in its header."""
    image = nibabel.Nifti1Image(values, np.eye(4))
    for name, value in {**fields, "magic": b"n+1", "vox_offset": 352}.items():
        image.header[name] = value
    return image.header.binaryblock + b"\0" * 4 + values.tobytes("F")


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("scale", [(1.0, 0.0), (0.5, -1024.0), (-2.0, 7.0)], ids=str)
def test_values_are_scaled_as_the_header_says(
    dtype: type, scale: tuple[float, float], rng: np.random.Generator
) -> None:
    values = rng.integers(0, 200, (3, 4, 5)).astype(dtype)
    data = file_of(values, scl_slope=scale[0], scl_inter=scale[1])
    ours = gray(nifti.read(data))
    expected = stretched(values.astype(np.float64) * scale[0] + scale[1])
    # Scaled values are float32: one between two grays may fall to either.
    assert np.abs(ours - expected).max() <= (0 if scale == (1.0, 0.0) else 1)
    if scale[0] < 0:  # turns the picture round
        assert np.abs(ours - stretched(values.astype(np.float64))).max() > 100


def test_values_that_are_no_numbers_are_black(tmp_path: Path) -> None:
    values = np.linspace(0, 1, 60, dtype=np.float32).reshape(3, 4, 5)
    values[0, 0, 0] = np.nan
    frames = gray(nifti.read(write(tmp_path / "a.nii", values)))
    assert frames[0, -1, -1] == 0 and frames.max() == 255


def test_colours_are_kept_and_transparency_is_white(tmp_path: Path) -> None:
    rgb = np.zeros((2, 1, 1), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    rgb[0, 0, 0], rgb[1, 0, 0] = (255, 128, 3), (1, 2, 4)
    volume = nifti.read(write(tmp_path / "a.nii", rgb))
    assert volume.frames[0, 0].tolist() == [[1, 2, 4], [255, 128, 3]]  # the right side first
    rgba = np.zeros((2, 1, 1), [("R", "u1"), ("G", "u1"), ("B", "u1"), ("A", "u1")])
    rgba[0, 0, 0], rgba[1, 0, 0] = (255, 0, 0, 0), (255, 0, 0, 51)
    volume = nifti.read(write(tmp_path / "b.nii", rgba))
    assert volume.frames[0, 0].tolist() == [[255, 204, 204], [255, 255, 255]]


def test_of_a_series_any_volume_is_read(tmp_path: Path) -> None:
    values = np.zeros((3, 4, 5, 2), np.int16)
    values[..., 0] = np.arange(60).reshape(3, 4, 5)
    values[..., 1] = values[::-1, ..., 0]
    series = write(tmp_path / "a.nii", values)
    for place in range(2):
        single = write(tmp_path / f"{place}.nii", values[..., place])
        ours = nifti.read(series, volume=place).frames
        assert (ours == nifti.read(single).frames).all() and ours.max() == 255
    assert (nifti.read(series).frames != nifti.read(series, volume=1).frames).any()
    for read in (nifti.read, nifti.read_shape):
        with pytest.raises(errors.UserError, match="no volume 2: there are 2, the first is 0"):
            read(series, volume=2)


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_bytes_are_the_same_volume(kind: type, tmp_path: Path) -> None:
    image = kind(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.eye(4))
    nibabel.save(image, tmp_path / "a.nii")
    data = (tmp_path / "a.nii").read_bytes()
    for source in (data, gzip.compress(data)):
        assert (nifti.read(source).frames == nifti.read(tmp_path / "a.nii").frames).all()
        assert nifti.read_shape(source) == (5, 4, 3, None)


def test_what_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = gzip.compress(write(tmp_path / "a.nii", np.ones((9, 9, 9), np.int16)).read_bytes())
    assert nifti.read_shape(packed)[:3] == (9, 9, 9)
    monkeypatch.setattr(nifti, "MAX_BYTES", 1000)
    with pytest.raises(errors.UserError, match="unpacks to more than 1000 bytes"):
        nifti.read_shape(packed)


def test_free_text_stays_behind(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    values = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    path = write(tmp_path / "a.nii", values, descrip=SECRET, aux_file=SECRET, db_name=SECRET)
    with caplog.at_level(logging.DEBUG):
        volume = nifti.read(path)
        assert volume.dropped_tags == 3 and SECRET not in repr(volume.header)
        for broken in (path.read_bytes()[:-20], path.read_bytes()[:300]):
            with pytest.raises(errors.UserError) as caught:
                nifti.read(broken)
            assert SECRET not in str(caught.value)
    out, err = capfd.readouterr()
    assert SECRET.encode() in path.read_bytes() and SECRET not in caplog.text + out + err


@pytest.mark.parametrize(
    ("shape", "dtype", "reason"),
    [
        ((3, 4), np.int16, "3 or 4 axes"),
        ((3, 4, 5, 1, 2), np.int16, "3 or 4 axes"),
        ((3, 4, 5), np.complex64, "real numbers or colours"),
    ],
    ids=str,
)
def test_volumes_that_are_no_volumes(
    tmp_path: Path, shape: tuple[int, ...], dtype: type, reason: str
) -> None:
    path = write(tmp_path / "a.nii", np.ones(shape, dtype))
    with pytest.raises(errors.UserError, match=reason):
        nifti.read(path)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"dim": [3, 30_000, 30_000, 30_000, 1, 1, 1, 1]}, "pixel values; allowed: 1 to"),
        ({"dim": [3, 0, 4, 5, 1, 1, 1, 1]}, "declares 0 x 4 x 5 pixel values"),
        ({"dim": [3, 30, 40, 50, 1, 1, 1, 1]}, "does not read as NIfTI"),
        ({"datatype": 999}, "does not read as NIfTI"),
        ({"srow_x": [np.nan] * 4, "sform_code": 1}, "does not read as NIfTI"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_headers_that_cannot_be(fields: dict[str, Any], reason: str, tmp_path: Path) -> None:
    (tmp_path / "a.nii").write_bytes(file_of(np.ones((3, 4, 5), np.int16), **fields))
    with pytest.raises(errors.UserError, match=f"a.nii.*{reason}") as caught:
        nifti.read(tmp_path / "a.nii")
    assert "\n" not in str(caught.value)


def test_a_truncated_or_missing_file_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii", np.ones((9, 9, 9), np.int16))
    path.write_bytes(path.read_bytes()[:600])
    assert nifti.read_shape(path)[:3] == (9, 9, 9)  # the header is whole
    with pytest.raises(errors.UserError, match="a.nii does not read as NIfTI"):
        nifti.read(path)
    with pytest.raises(errors.UserError, match="image not found: .*b.nii"):
        nifti.read(tmp_path / "b.nii")
    (tmp_path / "c.nii").write_text("hello")
    with pytest.raises(errors.UserError, match="c.nii does not read as NIfTI"):
        nifti.read_shape(tmp_path / "c.nii")
