# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""NIfTI volumes as slices of one anatomical plane, whatever way they are stored.

Free text of the header never leaves this module. Needs the extra `lingshu_jax[data]`.

Axes: x from left to right, y from back to front, z upwards; T slices, H rows, W columns.
"""

import contextlib
import logging
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from jaxtyping import Num, Shaped, UInt8
from nibabel import filebasedimages, orientations, spatialimages, wrapstruct

from lingshu_jax.common import errors
from lingshu_jax.data import quiet, volumes

# nibabel prints what it finds odd in a header.
logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)

TEXT_FIELDS = ("descrip", "aux_file", "db_name", "intent_name")
MAX_BYTES = 2**30  # of a gzipped file in memory, unpacked

READ_ERRORS = (
    *volumes.DECODE_ERRORS,
    filebasedimages.ImageFileError,
    spatialimages.HeaderDataError,
    spatialimages.HeaderTypeError,
    spatialimages.ImageDataError,
    wrapstruct.WrapStructError,
)


def read(
    source: str | bytes | Path, plane: volumes.Plane = "axial", volume: int = 0
) -> volumes.Volume:
    """Reads the slices of a NIfTI volume in one anatomical plane, radiological view.

    Axial slices have the patient's front at the top, the others the head; the patient's right
    is at the left of the picture, in sagittal slices the front. Gray values, scaled as the header
    says, are stretched between the 0.5 and 99.5 percentiles of the volume; RGB is kept, RGBA laid
    over white.

    Args:
      source: A path, or the bytes of a file.
      plane: The plane, counted along the nearest axis of the grid; nothing is resampled.
      volume: Which volume of a series, from 0.

    Raises:
      UserError: If the file does not read or is no volume of gray values or colours.
    """
    with _parsing(source) as (image, name):
        _check(image, name, volume)
        axis = volumes.PLANES.index(plane)
        frames = _slices(_colours(_values(image, name, volume)), _orientation(image), axis)
        zooms = _in_world([float(zoom) for zoom in image.header.get_zooms()[:3]], image)
        columns, rows = (zooms[i] for i in range(3) if i != axis)
        header = volumes.Header(
            plane=plane, slice_thickness_mm=zooms[axis], spacing_mm=(rows, columns)
        )
        texts = set(TEXT_FIELDS) & set(image.header.keys())
        dropped_tags = sum(bool(image.header[text].tobytes().strip(b"\0 ")) for text in texts)
    return volumes.Volume(frames=frames, header=header, dropped_tags=dropped_tags)


def read_shape(
    source: str | bytes | Path, plane: volumes.Plane = "axial", volume: int = 0
) -> volumes.Shape:
    """Reads number and size of the slices from the header; no voxel is read.

    Raises:
      UserError: As `read`, as far as the header says.
    """
    with _parsing(source) as (image, name):
        _check(image, name, volume)
        sides = _in_world(list(image.shape[:3]), image)
    axis = volumes.PLANES.index(plane)
    columns, rows = (sides[i] for i in range(3) if i != axis)
    return volumes.Shape(sides[axis], rows, columns)


@contextlib.contextmanager
def _parsing(source: str | bytes | Path) -> Iterator[tuple[nibabel.Nifti1Image, str]]:
    """Lends an image with its header read, and its name; what nibabel raises is a UserError."""
    quiet.ignore_warnings_of("nibabel")
    in_memory = isinstance(source, bytes)
    name = f"NIfTI file of {len(source)} bytes in memory" if in_memory else str(source)
    try:
        image = _from_bytes(source, name) if in_memory else nibabel.load(source)
        if not isinstance(image, nibabel.Nifti1Image):
            raise errors.UserError(f"{name} is {type(image).__name__}, no NIfTI volume")
        yield image, name
    except errors.UserError:
        raise
    except FileNotFoundError as error:
        raise errors.UserError(f"image not found: {name}") from error
    except READ_ERRORS as error:
        raise errors.UserError(f"{name} does not read as NIfTI ({type(error).__name__})") from None


def _from_bytes(data: bytes, name: str) -> nibabel.Nifti1Image:
    if data.startswith(volumes.GZIP_MAGIC):
        data = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(data, MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise errors.UserError(f"{name} unpacks to more than {MAX_BYTES} bytes")
    is_second = data[4:7] == b"n+2"
    return (nibabel.Nifti2Image if is_second else nibabel.Nifti1Image).from_bytes(data)


def _check(image: nibabel.Nifti1Image, name: str, volume: int) -> None:
    """Refuses what is no volume, or holds no such volume."""
    shape = tuple(image.shape)
    if len(shape) not in (3, 4):
        raise errors.UserError(f"{name}: a volume must have 3 or 4 axes, got {shape}")
    volumes.check_size(name, shape[:3])
    count = math.prod(shape[3:])
    if volume >= count:
        raise errors.UserError(f"{name}: no volume {volume}: there are {count}, the first is 0")


def _values(image: nibabel.Nifti1Image, name: str, volume: int) -> Shaped[np.ndarray, "x y z"]:
    """One volume as stored, scaled as the header says; colours are a struct of channels."""
    dtype = np.dtype(image.get_data_dtype())
    if dtype.names is None and dtype.kind not in "iuf":
        raise errors.UserError(f"{name}: values must be real numbers or colours, got {dtype}")
    if len(image.shape) == 4 or dtype.names is not None:
        return np.asanyarray(image.dataobj[..., volume] if len(image.shape) == 4 else image.dataobj)
    return image.get_fdata("unchanged", np.float32)  # half the memory of nibabel's float64


def _orientation(image: nibabel.Nifti1Image) -> Num[np.ndarray, "3 2"]:
    """For each stored axis, the axis of the patient it runs along and its direction, 1 or -1."""
    found = orientations.io_orientation(image.affine)
    if not np.isfinite(found).all():
        raise ValueError("the affine has an axis of no direction")
    return found


def _in_world(sides: list[Any], image: nibabel.Nifti1Image) -> list[Any]:
    """Values of the three stored axes in the order x, y, z."""
    axes = _orientation(image)[:, 0].astype(int).tolist()
    return [sides[axes.index(axis)] for axis in range(3)]


def _colours(values: Shaped[np.ndarray, "x y z"]) -> UInt8[np.ndarray, "x y z c"]:
    """Gray values stretched, one channel; colours as they are, three."""
    names = values.dtype.names
    if names is None:
        # Files hold x fastest; the transposed view walks through memory in order.
        return volumes.stretch(values.T, *volumes.tails(values)).T[..., None]
    colours = np.stack([values[name] for name in names[:3]], axis=-1)
    if len(names) == 4:
        alpha = values[names[3]][..., None] / 255
        colours = np.rint(colours * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return colours


def _slices(
    colours: UInt8[np.ndarray, "x y z c"], orientation: Num[np.ndarray, "3 2"], axis: int
) -> UInt8[np.ndarray, "T H W 3"]:
    """Slices along an axis of the patient, as views."""
    world = orientations.apply_orientation(colours, orientation)
    # From x, y, z to T (slices), H downwards, W: patient's right or front first.
    slices = np.moveaxis(world, axis, 0)[:, ::-1, ::-1].swapaxes(1, 2)
    return np.broadcast_to(slices, (*slices.shape[:3], 3))
