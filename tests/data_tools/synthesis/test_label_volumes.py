# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Volumes with masks as seeds, a slice each: NIfTI files, and series of DICOM files."""

import collections

import nibabel
import numpy as np
import pytest
from nibabel import orientations

from data_tools import examples
from data_tools.synthesis import labelled, mask_files, seeds
from lingshu_jax.data import images, nifti, sources
from tests.data import dicom_files

SECRET = "PLANTED"
Box = seeds.Box


def source(folder, layout, **fields):
    return labelled.LabelledSource(name="set", layout=layout, path=str(folder), **fields)


def read(found):
    """Seeds, and the reasons of what is none."""
    every = list(labelled.stream(found))
    kept = [one for one in every if isinstance(one, seeds.Seed)]
    return kept, [one.reason for one in every if isinstance(one, sources.Dropped)]


AFFINES = {
    "RAS": np.diag([1.0, 2.0, 3.0, 1.0]),
    "LPS": np.diag([-1.0, -2.0, 3.0, 1.0]),
    "turned": np.array([[0, 0, 2.0, 5], [-1.0, 0, 0, 7], [0, 3.0, 0, -9], [0, 0, 0, 1]]),
}


def write_volume(folder, affine, name=f"{SECRET}-1"):
    """A gray volume and a mask; a bright block of it is structure 2, beside it is structure 1."""
    values = np.random.default_rng(0).integers(0, 50, (20, 24, 16)).astype(np.int16)
    labels = np.zeros(values.shape, np.uint8)
    labels[4:10, 6:11, 3:9] = 2
    labels[12:18, 14:20, 5:7] = 1
    values[labels == 2] = 900
    grid = orientations.io_orientation(affine)
    back = orientations.ornt_transform(orientations.io_orientation(np.eye(4)), grid)
    for part, array in (("image", values), ("label", labels)):
        (folder / part).mkdir(parents=True, exist_ok=True)
        stored = orientations.apply_orientation(array, back)
        made = nibabel.Nifti1Image(stored, affine)
        made.header["descrip"] = SECRET
        nibabel.save(made, folder / part / f"{name}.nii.gz")


def volume_source(folder, **fields):
    named = {
        "files": r"image/.*\.nii\.gz",
        "mask_pattern": "label/{stem}.nii.gz",
        "structures": {"1": "cyst", "2": "tumour"},
        "least_area": 4,
        "modality": "CT",
    }
    return source(folder, "volume", **{**named, **fields})


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
def test_masks_of_volumes_lie_where_the_pictures_show_them(tmp_path, affine, plane):
    write_volume(tmp_path, affine)
    kept, reasons = read(volume_source(tmp_path, plane=plane, most=0))
    assert kept and not reasons
    seen = 0
    for seed in kept:
        shown = np.asarray(images.open_image(examples.value(seed.media[0])))[..., 0]
        inside = np.zeros(shown.shape, bool)
        for label, left, top, right, bottom in seed.boxes:
            if label == "tumour":
                inside[top:bottom, left:right] = True
        assert ((shown > 200) == inside).all()
        seen += inside.any()
    assert seen == {"axial": 6, "coronal": 5, "sagittal": 6}[plane]


def test_a_mask_is_cut_as_its_volume_is(tmp_path):
    write_volume(tmp_path, AFFINES["turned"])
    name = f"{SECRET}-1.nii.gz"
    shown = nifti.read(tmp_path / "image" / name).frames[..., 0]
    labels = mask_files.read_volume(str(tmp_path / "label" / name))
    assert ((labels == 2) == (shown > 200)).all()
    assert not ((labels[::-1] == 2) == (shown > 200)).all(), "the block lies to one side"


def test_slices_are_chosen_among_those_with_a_mask(tmp_path):
    write_volume(tmp_path, AFFINES["RAS"])
    assert len(read(volume_source(tmp_path, most=0))[0]) == 6
    assert len(read(volume_source(tmp_path, most=0, every=2))[0]) == 3
    assert len(read(volume_source(tmp_path, most=2))[0]) == 2
    labels = [seed.labels["structures"] for seed in read(volume_source(tmp_path, most=0))[0]]
    assert collections.Counter(labels) == {"tumour": 4, "cyst, tumour": 2}


def test_slices_share_the_hash_of_their_volume_and_no_header_survives(tmp_path):
    write_volume(tmp_path, AFFINES["RAS"])
    write_volume(tmp_path, AFFINES["LPS"], name=f"{SECRET}-2")
    kept, _ = read(volume_source(tmp_path))
    cases = collections.Counter(seed.id.partition("/")[2].split("-")[0] for seed in kept)
    assert sorted(cases.values()) == [6, 6]
    for seed in kept:
        assert SECRET not in seed.id
        assert seed.media[0].data.startswith(b"\x89PNG") and not seed.media[0].path
        assert SECRET.encode() not in seed.media[0].data


def test_volumes_that_cannot_be_used_are_counted(tmp_path):
    write_volume(tmp_path, AFFINES["RAS"])
    for name, reason_of in (("lost", "label"), ("odd", "size"), ("bare", "empty")):
        write_volume(tmp_path, AFFINES["RAS"], name=f"{SECRET}-{name}")
        path = tmp_path / "label" / f"{SECRET}-{name}.nii.gz"
        if reason_of == "label":
            path.write_bytes(b"no volume")
        else:
            shape = (20, 24, 15) if reason_of == "size" else (20, 24, 16)
            nibabel.save(nibabel.Nifti1Image(np.zeros(shape, np.uint8), np.eye(4)), path)
    (tmp_path / "image" / f"{SECRET}-alone.nii.gz").write_bytes(b"x")
    kept, reasons = read(volume_source(tmp_path))
    assert len(kept) == 6
    assert len(reasons) == 4 and not any(SECRET in reason for reason in reasons)
    said = " / ".join(reasons)
    assert "another size" in said and "no mask shows a structure" in said and "no mask" in reasons


def write_series(folder, count=5):
    """A DICOM series, stored out of order, and a NIfTI mask on a grid of its own."""
    folder.mkdir()
    for number in range(count):
        values = np.full((30, 40), 100, np.uint16)
        if number in (2, 3):
            values[8:20, 10:30] = 3000 if number == 2 else 2600
        dicom_files.write(
            folder / f"{9 - number}.dcm",
            values,
            StudyInstanceUID="1.2.3",
            SeriesInstanceUID="1.2.3.4",
            InstanceNumber=9 - number,
            BodyPartExamined="CHEST",
            ImagePositionPatient=[-20.0, -15.0, 100.0 + 5 * number],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            PixelSpacing=[1.0, 1.0],
            RescaleSlope=1,
            RescaleIntercept=0,
            WindowCenter=1500,
            WindowWidth=3000,
        )
    # Voxels of half a millimetre; x to the right and y to the front, as NIfTI counts.
    labels = np.zeros((80, 60, count), np.uint8)
    affine = np.array([[-0.5, 0, 0, 20.0], [0, -0.5, 0, 15.0], [0, 0, 5.0, 100.0], [0, 0, 0, 1]])
    labels[20:60, 16:40, 2:4] = 1
    nibabel.save(nibabel.Nifti1Image(labels, affine), folder.parent / "mask.nii.gz")


def series_source(folder):
    return source(
        folder,
        "volume",
        files=r"scan/.*\.dcm",
        mask_pattern="mask.nii.gz",
        structures={"any": "mass"},
    )


def test_a_dicom_series_finds_its_mask_in_the_patient(tmp_path):
    write_series(tmp_path / "scan")
    kept, reasons = read(series_source(tmp_path))
    assert len(kept) == 2 and not reasons
    brightest = []
    for seed in kept:
        assert seed.boxes == (Box("mass", 10, 8, 30, 20),)
        shown = np.asarray(images.open_image(examples.value(seed.media[0])))[..., 0]
        assert (shown[8:20, 10:30] > 200).all() and shown[0, 0] < 50
        brightest.append(int(shown.max()))
        assert seed.modality == "CT"
        assert seed.labels == {"body_part": "chest", "plane": "axial", "structures": "mass"}
        for secret in dicom_files.SECRETS:
            assert secret.encode() not in seed.media[0].data
    assert brightest == sorted(brightest, reverse=True), "from the feet to the head"


def test_a_dicom_slice_without_a_place_refuses_its_series(tmp_path):
    write_series(tmp_path / "scan")
    values = np.zeros((30, 40), np.uint16)
    dicom_files.write(
        tmp_path / "scan" / "x.dcm",
        values,
        StudyInstanceUID="1.2.3",
        SeriesInstanceUID="1.2.3.4",
    )
    assert read(series_source(tmp_path)) == (
        [],
        ["the header does not say where the slice lies"],
    )
