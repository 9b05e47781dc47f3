# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Files of masks: pictures whose pixels say what is there, and NIfTI volumes.

Values are read as they are stored, never stretched as those of pictures to look at are. Volumes are
cut as `lingshu_jax.data.nifti` cuts the volumes that they belong to; for a DICOM series they are
looked up at the place that each of its pixels has in the patient.

Axes: H rows, W columns, C channels, T slices.
"""

import contextlib
import gzip
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import nibabel
import numpy as np
import pydicom
from jaxtyping import Bool, Float, Shaped
from nibabel import orientations
from PIL import Image
from pydicom import errors as dicom_errors

from lingshu_jax.common import errors
from lingshu_jax.data import images, nifti, quiet, volumes

ANY = "any"  # every value but 0
_COLOUR_DIGITS = 7  # of "#rrggbb"
_TAGS = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns")
# DICOM counts to the left and to the back of the patient, NIfTI to the right and to the front.
_LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])


class Place(NamedTuple):
    """Where a slice of a DICOM series lies, in millimetres (PS3.3, C.7.6.2.1.1).

    Attributes:
      origin: Centre of the first pixel.
      right: From a pixel to the next one of its row.
      down: From a pixel to the next one of its column.
      shape: Rows and columns.
    """

    origin: Float[np.ndarray, " 3"]
    right: Float[np.ndarray, " 3"]
    down: Float[np.ndarray, " 3"]
    shape: tuple[int, int]

    @property
    def depth(self) -> float:
        """Along the normal of the slice; orders the slices of a series."""
        return float(self.origin @ np.cross(self.right, self.down))


def read_picture(path: str) -> Shaped[np.ndarray, "H W *C"]:
    """The values of a picture as stored: grey values or places of a palette, or colours.

    Args:
      path: Of a file of one picture.

    Raises:
      UserError: If it does not decode; the file is not named.
    """
    quiet.ignore_warnings_of("PIL")
    try:
        with Image.open(path, formats=images.FORMATS) as picture:
            values = np.asarray(picture)
            has_alpha = picture.mode in ("LA", "RGBA", "PA")
    except images.PILLOW_ERRORS as error:
        raise errors.UserError(f"the mask does not decode ({type(error).__name__})") from None
    if has_alpha:
        values = values[..., :-1]
    return values[..., 0] if values.ndim == 3 and values.shape[-1] == 1 else values


def read_volume(path: str, plane: volumes.Plane = "axial") -> Shaped[np.ndarray, "T H W"]:
    """The values of a NIfTI mask, slices and their sides as `nifti.read` has them.

    Args:
      path: Of the file.
      plane: As of `nifti.read`.

    Raises:
      UserError: If it is no volume of one value a voxel; the file is not named.
    """
    with _loaded(path) as image:
        values = orientations.apply_orientation(
            _values(image), orientations.io_orientation(image.affine)
        )
    axis = volumes.PLANES.index(plane)
    return np.moveaxis(values, axis, 0)[:, ::-1, ::-1].swapaxes(1, 2)


def read_at(path: str, places: list[Place]) -> Shaped[np.ndarray, "T H W"]:
    """The values of a NIfTI mask at the pixels of a DICOM series; 0 outside of it.

    Args:
      path: Of the file.
      places: Of the slices, which are of one size.

    Raises:
      UserError: As of `read_volume`.
    """
    with _loaded(path) as image:
        values, to_voxel = _values(image), np.linalg.inv(np.asarray(image.affine))
    found = np.zeros((len(places), *places[0].shape), values.dtype)
    for number, place in enumerate(places):
        rows, columns = np.indices(place.shape)
        world = place.origin + columns[..., None] * place.right + rows[..., None] * place.down
        voxels = (world * _LPS_TO_RAS) @ to_voxel[:3, :3].T + to_voxel[:3, 3]
        nearest = np.rint(voxels).astype(int)
        inside = ((nearest >= 0) & (nearest < values.shape)).all(axis=-1)
        found[number][inside] = values[tuple(nearest[inside].T)]
    return found


def read_place(path: str) -> Place:
    """Where a DICOM slice lies; no other element is read.

    Args:
      path: Of the file.

    Raises:
      UserError: If it does not say; the file is not named.
    """
    quiet.ignore_warnings_of("pydicom")
    try:
        with open(path, "rb") as file:
            is_packed = file.read(2) == volumes.GZIP_MAGIC
        with gzip.open(path) if is_packed else open(path, "rb") as file:
            header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=[*_TAGS])
            across = np.array(header.ImageOrientationPatient, float).reshape(2, 3)
            down, right = (float(step) for step in header.PixelSpacing)
            return Place(
                origin=np.array(header.ImagePositionPatient, float).reshape(3),
                right=across[0] * right,
                down=across[1] * down,
                shape=(int(header.Rows), int(header.Columns)),
            )
    except (*volumes.DECODE_ERRORS, dicom_errors.InvalidDicomError):
        raise errors.UserError("the header does not say where the slice lies") from None


def structures(
    values: Shaped[np.ndarray, "*axes"], names: Mapping[str, str], *, is_colour: bool = False
) -> dict[str, Bool[np.ndarray, "*axes"]]:
    """Where each structure is.

    Args:
      values: From `read_picture`, `read_volume` or `read_at`.
      names: Name of each value: a number, a colour as "#ff0000", or "any", all but 0.
      is_colour: The last axis are channels.

    Returns:
      Masks by name, of structures that are there; two values may have one name.
    """
    found: dict[str, Bool[np.ndarray, "*axes"]] = {}
    for value, name in names.items():
        mask = _mask(values, value, is_colour)
        if mask.any():
            found[name] = found[name] | mask if name in found else mask
    return found


def is_value(text: str) -> bool:
    """Whether a text names a value of a mask.

    Args:
      text: As a key of the names of `structures`.
    """
    if text.startswith("#"):
        digits = set("0123456789abcdefABCDEF")
        return len(text) == _COLOUR_DIGITS and set(text[1:]) <= digits
    return text == ANY or (text.isdecimal() and int(text) > 0)


def _mask(
    values: Shaped[np.ndarray, "*axes"], value: str, is_colour: bool
) -> Bool[np.ndarray, "*axes"]:
    """Where one value is."""
    if value == ANY:
        same = values != 0
        return np.asarray(same.any(axis=-1) if is_colour else same)
    wanted = [int(value[i : i + 2], 16) for i in (1, 3, 5)] if value[0] == "#" else [int(value)]
    if len(wanted) > 1 and not is_colour:
        return np.zeros(values.shape, bool)
    same = values == np.array(wanted if is_colour else wanted[0])
    return np.asarray(same.all(axis=-1) if is_colour else same)


@contextlib.contextmanager
def _loaded(path: str) -> Iterator[nibabel.Nifti1Image]:
    quiet.ignore_warnings_of("nibabel")
    try:
        image = nibabel.load(Path(path))
        if not isinstance(image, nibabel.Nifti1Image):
            raise errors.UserError("the mask is no NIfTI volume")
        volumes.check_size("the mask", tuple(image.shape))
        yield image
    except errors.UserError:
        raise
    except nifti.READ_ERRORS as error:
        raise errors.UserError(f"the mask does not read ({type(error).__name__})") from None


def _values(image: nibabel.Nifti1Image) -> Shaped[np.ndarray, "x y z"]:
    values = np.asanyarray(image.dataobj)
    values = values[..., 0] if values.ndim == 4 and values.shape[3] == 1 else values
    if values.ndim != 3 or values.dtype.kind not in "biuf":
        raise errors.UserError(f"the mask must hold one value a voxel, got {values.shape}")
    if values.dtype.kind == "f":
        values = np.rint(np.nan_to_num(values)).astype(np.int64)
    return values
