# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""DICOM and NIfTI values, windows and orientation; what identifies a person stays behind."""

import dataclasses
import pathlib

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom import uid

from lingshu_jax.common import errors
from lingshu_jax.data import volumes

BUNDLED = pathlib.Path(pydicom.__file__).parent / "data" / "test_files"
SECRETS = ("DOE^JANE", "ID-4711", "19700101", "St Mary", "Dr House", "hidden vendor note")


def dicom_file(path, values, **fields):
    """Writes a gray CT file; keyword arguments overwrite elements, None deletes one."""
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = uid.CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = uid.generate_uid()
    dataset.SOPClassUID = uid.CTImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = SECRETS[:3]
    dataset.InstitutionName, dataset.ReferringPhysicianName = SECRETS[3:5]
    block = dataset.private_block(0x0011, "ACME", create=True)
    block.add_new(0x01, "LO", SECRETS[5])
    dataset.Modality, dataset.PhotometricInterpretation = "CT", "MONOCHROME2"
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, int(values.dtype.kind == "i")
    dataset.Rows, dataset.Columns = values.shape[-2:]
    if values.ndim == 3:
        dataset.NumberOfFrames = len(values)
    dataset.BitsAllocated = dataset.BitsStored = 8 * values.dtype.itemsize
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelData = values.tobytes()
    for keyword, value in fields.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


def gray(volume):
    assert (volume.frames == volume.frames[..., :1]).all()
    return volume.frames[..., 0]


def test_window_after_rescale(tmp_path):
    # Hounsfield 0, 39, 40, 80: window 40 +- 40 of DICOM's formula, c - 0.5 and w - 1.
    stored = np.array([[1024, 1063, 1064, 1104]], np.int16)
    path = dicom_file(
        tmp_path / "a.dcm",
        stored,
        RescaleSlope=1,
        RescaleIntercept=-1024,
        WindowCenter=[40, 600],
        WindowWidth=[80, 2000],
    )
    expected = [round(255 * ((v - 39.5) / 79 + 0.5)) for v in (0, 39, 40)] + [255]
    assert gray(volumes.read_dicom(path)).tolist() == [[expected]]


def test_window_functions():
    values = np.array([[[-1e9, 30.0, 40.0, 50.0, 1e9]]])
    exact = volumes.window(values, center=40.0, width=40.0, function="LINEAR_EXACT")
    assert exact.ravel().tolist() == [0, 64, 128, 191, 255]
    sigmoid = volumes.window(values, center=40.0, width=40.0, function="SIGMOID").ravel()
    assert sigmoid.tolist() == [0, 69, 128, 186, 255]


def test_twin_no_rescale_would_differ(tmp_path):
    stored = np.array([[1024, 1063, 1064, 1104]], np.int16)
    path = dicom_file(tmp_path / "a.dcm", stored, WindowCenter=40, WindowWidth=80)
    assert (gray(volumes.read_dicom(path)) == 255).all()


def test_monochrome1_is_turned_round(tmp_path):
    stored = np.array([[0, 100, 255]], np.uint8)
    one = dicom_file(tmp_path / "a.dcm", stored, PhotometricInterpretation="MONOCHROME1")
    two = dicom_file(tmp_path / "b.dcm", stored)
    assert gray(volumes.read_dicom(two)).tolist() == [[[0, 100, 255]]]
    assert gray(volumes.read_dicom(one)).tolist() == [[[255, 155, 0]]]


def test_without_a_window_wide_values_are_stretched_and_padding_is_ignored(tmp_path):
    stored = np.full((20, 20), -2000, np.int16)
    stored[5:15, 5:15] = np.arange(100).reshape(10, 10) * 10
    path = dicom_file(tmp_path / "a.dcm", stored, PixelPaddingValue=-2000)
    got = gray(volumes.read_dicom(path))[0]
    assert got[0, 0] == 0 and got[14, 14] == 255 and 120 <= got[9, 14] <= 130
    twin = dicom_file(tmp_path / "b.dcm", stored)
    assert gray(volumes.read_dicom(twin))[0, 9, 14] > 200


def test_frames_and_header(tmp_path):
    stored = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
    path = dicom_file(
        tmp_path / "a.dcm",
        stored,
        BodyPartExamined="WHOLE BODY",
        ImageOrientationPatient=[1, 0, 0, 0, 0.1, -1],
        SliceThickness="2.5",
        PixelSpacing=[0.5, 0.25],
        FrameTime="40",
    )
    volume = volumes.read_dicom(path)
    assert (gray(volume) == stored).all()
    assert volume.header == volumes.Header(
        modality="CT",
        body_part="WHOLEBODY",
        plane="coronal",
        slice_thickness_mm=2.5,
        spacing_mm=(0.5, 0.25),
        fps=25.0,
    )


def test_nothing_personal_leaves_the_reader(tmp_path):
    stored = np.zeros((4, 4), np.uint8)
    # A name in a technical field is no known word and stays behind as well.
    path = dicom_file(tmp_path / "a.dcm", stored, BodyPartExamined="JANE DOE", Modality="JANE")
    volume = volumes.read_dicom(path)
    kept = repr(dataclasses.asdict(volume.header))
    assert not any(secret in kept for secret in (*SECRETS, "JANE"))
    # PatientName, -ID, -BirthDate, institution, physician, two private elements, two UIDs.
    assert volume.dropped_tags == 9
    raw = path.read_bytes()
    assert all(secret.encode() in raw for secret in SECRETS)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"PixelData": None}, "holds no pixel data"),
        ({"PixelData": b"\0" * 4}, r"does not decode \(ValueError\)"),
        ({"Rows": 65535, "Columns": 65535}, "declares 4294836225 pixel values"),
        ({"Rows": None}, r"does not decode \(AttributeError\)"),
        ({"NumberOfFrames": 0, "Rows": 0}, "declares 0 pixel values"),
    ],
)
def test_bad_pixels_are_one_line_without_header_values(tmp_path, fields, reason):
    path = dicom_file(tmp_path / "a.dcm", np.zeros((4, 4), np.uint16), **fields)
    with pytest.raises(errors.UserError, match=reason) as caught:
        volumes.read_dicom(path)
    assert "\n" not in str(caught.value)
    assert not any(secret in str(caught.value) for secret in SECRETS)


def test_a_file_that_is_not_dicom_is_named(tmp_path):
    (tmp_path / "a.dcm").write_text("hello")
    with pytest.raises(errors.UserError, match="a.dcm is not a DICOM file"):
        volumes.read_dicom(tmp_path / "a.dcm")
    (tmp_path / "a.gz").write_text("hello")
    with pytest.raises(errors.UserError, match="does not decode"):
        volumes.read_dicom(tmp_path / "a.gz")


@pytest.mark.parametrize(
    ("name", "shape", "modality"),
    [
        ("CT_small.dcm", (1, 128, 128, 3), "CT"),
        ("MR_small_RLE.dcm", (1, 64, 64, 3), "MR"),
        ("MR_small_jpeg_ls_lossless.dcm", (1, 64, 64, 3), "MR"),
        ("JPEG2000.dcm", (1, 1024, 256, 3), "NM"),
        ("examples_palette.dcm", (1, 350, 800, 3), "US"),
        ("examples_ybr_color.dcm", (30, 240, 320, 3), "US"),
        ("SC_rgb_rle_16bit_2frame.dcm", (2, 100, 100, 3), "OT"),
        ("zipMR.gz", (1, 64, 64, 3), "MR"),
    ],
)
def test_real_files_of_many_kinds(name, shape, modality):
    volume = volumes.read_dicom(BUNDLED / name)
    assert (volume.frames.shape, volume.header.modality) == (shape, modality)
    assert volume.frames.std() > 10 and volume.dropped_tags > 0


def test_codings_of_one_picture_agree():
    plain = volumes.read_dicom(BUNDLED / "MR_small.dcm").frames
    for name in ("MR_small_RLE.dcm", "MR_small_bigendian.dcm", "MR_small_jp2klossless.dcm"):
        assert (volumes.read_dicom(BUNDLED / name).frames == plain).all()


def test_sixteen_bit_colour_equals_eight_bit():
    wide = volumes.read_dicom(BUNDLED / "SC_rgb_rle_16bit.dcm").frames
    assert (wide == volumes.read_dicom(BUNDLED / "SC_rgb_rle.dcm").frames).all()


def nifti_file(path, values, affine):
    nibabel.save(nibabel.Nifti1Image(values, affine), path)
    return path


@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, 1), (1, -1, -1)], ids=str)
def test_nifti_planes_in_radiological_view(tmp_path, signs):
    # One bright voxel at the patient's right, front, top; storage order must not matter.
    world = np.zeros((4, 5, 6), np.float32)
    world[3, 4, 5] = 100.0
    flips = tuple(slice(None, None, sign) for sign in signs)
    path = nifti_file(tmp_path / "a.nii.gz", world[flips], np.diag([*signs, 1]) * 1.0)
    places = {"axial": (5, 0, 0), "coronal": (4, 0, 0), "sagittal": (3, 0, 0)}
    shapes = {"axial": (6, 5, 4), "coronal": (5, 6, 4), "sagittal": (4, 6, 5)}
    for plane in volumes.PLANES:
        frames = gray(volumes.read_nifti(path, plane))
        assert frames.shape == shapes[plane]
        assert np.argwhere(frames == frames.max()).tolist() == [list(places[plane])]


def test_nifti_spacing_follows_the_plane(tmp_path):
    values = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    path = nifti_file(tmp_path / "a.nii", values, np.diag([1.0, 2.0, 3.0, 1.0]))
    header = volumes.read_nifti(path, "coronal").header
    assert (header.slice_thickness_mm, header.spacing_mm) == (2.0, (3.0, 1.0))


def test_of_a_series_the_first_volume_is_read(tmp_path):
    values = np.zeros((3, 4, 5, 2), np.int16)
    values[..., 0] = np.arange(60).reshape(3, 4, 5)
    series = volumes.read_nifti(nifti_file(tmp_path / "a.nii", values, np.eye(4)))
    single = volumes.read_nifti(nifti_file(tmp_path / "b.nii", values[..., 0], np.eye(4)))
    assert (series.frames == single.frames).all() and series.frames.max() == 255


@pytest.mark.parametrize(
    ("shape", "dtype", "reason"),
    [((3, 4), np.int16, "3 or 4 axes"), ((3, 4, 5), np.complex64, "real numbers")],
)
def test_volumes_that_are_no_gray_volumes(tmp_path, shape, dtype, reason):
    path = nifti_file(tmp_path / "a.nii", np.ones(shape, dtype), np.eye(4))
    with pytest.raises(errors.UserError, match=reason):
        volumes.read_nifti(path)


def test_a_truncated_nifti_is_named(tmp_path):
    path = nifti_file(tmp_path / "a.nii", np.ones((9, 9, 9), np.int16), np.eye(4))
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(errors.UserError, match="a.nii does not read as NIfTI"):
        volumes.read_nifti(path)
