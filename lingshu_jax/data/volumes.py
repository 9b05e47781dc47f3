# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""DICOM and NIfTI files as RGB frames with a header of technical fields only.

Axes: T frames or slices, H rows, W columns.

Nothing that may identify a person leaves this module: `Header` is an allow-list, every
other element of the file stays behind and the identifying ones are counted. Text burned
into the pixels is not removed. Reading needs the extra `lingshu-jax[data]`.
"""

import dataclasses
import gzip
import math
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import nibabel
import numpy as np
import pydicom
from jaxtyping import Float, Num, UInt8
from nibabel import filebasedimages, spatialimages
from pydicom import errors as dicom_errors
from pydicom import multival, pixels

from lingshu_jax.common import errors

Plane = Literal["axial", "coronal", "sagittal"]
PLANES: tuple[Plane, ...] = ("sagittal", "coronal", "axial")  # in the order of the axes x, y, z
NIFTI_SUFFIXES = (".nii", ".nii.gz")
MAX_VALUES = 2**28  # pixel values of a file, all frames; a header may ask for anything

# Without a window in the header, this share of the values is cut at either end.
TAIL_PERCENT = 0.5

MODALITIES = frozenset(
    "CR CT DX ECG IO MG MR NM OP OPT OT PT PX RF RTDOSE SC SEG SM US XA XC".split()
)
BODY_PARTS = frozenset(
    "ABDOMEN ABDOMENPELVIS ANKLE ARM BLADDER BRAIN BREAST CHEST CLAVICLE COLON CSPINE ELBOW "
    "EXTREMITY EYE FEMUR FINGER FOOT FOREARM HAND HEAD HEADNECK HEART HIP JAW KIDNEY KNEE LEG "
    "LIVER LSPINE NECK PELVIS PROSTATE RIB SHOULDER SKULL SPINE SSPINE STERNUM THIGH THORAX THUMB "
    "TOE TSPINE UTERUS WHOLEBODY WRIST".split()
)

# Value representations and keywords that may point to a person: names, dates, times, unique
# identifiers; and whatever a vendor hides in private elements.
PERSONAL_VRS = frozenset(("PN", "DA", "TM", "DT", "UI", "AS"))
PERSONAL_WORDS = (
    "Patient",
    "Physician",
    "Operator",
    "Performing",
    "Requesting",
    "Referring",
    "Institution",
    "Station",
    "Accession",
    "StudyID",
    "Address",
    "Telephone",
    "Serial",
    "Comments",
    "Description",
    "Responsible",
    "Occupation",
    "Ethnic",
    "Admission",
    "Issuer",
    "Protocol",
)

DECODE_ERRORS = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
    dicom_errors.BytesLengthException,
)


@dataclasses.dataclass(kw_only=True, frozen=True)
class Header:
    """Technical facts; None where the file does not say.

    Attributes:
      modality: DICOM's code, as CT, MR, US.
      body_part: DICOM's term, as HEAD.
      plane: The anatomical plane nearest to the frames.
      slice_thickness_mm: As stated; for NIfTI the distance of slices.
      spacing_mm: Distance of rows, distance of columns.
      fps: Frames a second of a clip.
    """

    modality: str | None = None
    body_part: str | None = None
    plane: Plane | None = None
    slice_thickness_mm: float | None = None
    spacing_mm: tuple[float, float] | None = None
    fps: float | None = None


@dataclasses.dataclass(kw_only=True, frozen=True)
class Volume:
    """Frames of one file.

    Attributes:
      frames: Ready to look at; gray images have three equal channels.
      header: The allowed facts.
      dropped_tags: Elements that may identify a person and were left behind.
    """

    frames: UInt8[np.ndarray, "T H W 3"]
    header: Header
    dropped_tags: int


def read_dicom(path: Path) -> Volume:
    """Reads one DICOM file, gzipped or not, in any transfer syntax that pydicom decodes.

    Gray values go through rescale and the header's window; without one, 8-bit values are kept
    and wider ones are stretched between their 0.5 and 99.5 percentiles. MONOCHROME1 is turned
    round so that bright is bright. Orientation is as stored.

    Args:
      path: The file.

    Raises:
      UserError: If it is not DICOM, holds no pixels, or they do not decode. The message names
        the file and never quotes a header value.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    # pydicom warns of every oddity of a header, quoting it; the values must not reach a log.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with opener(path, "rb") as file:
                dataset = pydicom.dcmread(file)
                _check_pixels(dataset, path)
                frames = _frames(dataset)
            header = _dicom_header(dataset)
            dropped_tags = sum(_is_personal(element) for element in _elements(dataset))
        except errors.UserError:
            raise
        except dicom_errors.InvalidDicomError as error:
            raise errors.UserError(f"{path} is not a DICOM file") from error
        except DECODE_ERRORS as error:
            why = type(error).__name__
            raise errors.UserError(f"{path}: the pixel data does not decode ({why})") from error
    return Volume(frames=frames, header=header, dropped_tags=dropped_tags)


def _check_pixels(dataset: pydicom.Dataset, path: Path) -> None:
    names = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
    if not any(name in dataset for name in names):
        raise errors.UserError(f"{path} holds no pixel data")
    sides = dataset.Rows, dataset.Columns, dataset.get("SamplesPerPixel", 1)
    count = math.prod(sides) * int(dataset.get("NumberOfFrames") or 1)
    if not 0 < count <= MAX_VALUES:
        raise errors.UserError(f"{path} declares {count} pixel values; allowed: 1 to {MAX_VALUES}")


def _elements(dataset: pydicom.Dataset) -> Iterator[pydicom.DataElement]:
    for element in dataset:
        yield element
        if element.VR == "SQ":
            for item in element.value:
                yield from _elements(item)


def _is_personal(element: pydicom.DataElement) -> bool:
    if element.is_empty:
        return False
    if element.tag.is_private or element.VR in PERSONAL_VRS:
        return True
    return any(word in element.keyword for word in PERSONAL_WORDS)


def _frames(dataset: pydicom.Dataset) -> UInt8[np.ndarray, "T H W 3"]:
    """Decoded, in RGB, with a leading frame axis even for a single frame."""
    stored = pixels.pixel_array(dataset)
    color = dataset.get("SamplesPerPixel", 1) == 3
    if stored.ndim == (3 if color else 2):
        stored = stored[None]
    if color:
        return _narrow(stored, bits=int(dataset.BitsStored))
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        looked_up = pixels.apply_color_lut(stored, dataset)[..., :3]
        return _narrow(looked_up, bits=8 * looked_up.dtype.itemsize)
    gray = _gray(stored, dataset)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        gray = 255 - gray
    return np.repeat(gray[..., None], 3, axis=-1)


def _narrow(values: Num[np.ndarray, "T H W 3"], *, bits: int) -> UInt8[np.ndarray, "T H W 3"]:
    """The upper 8 of `bits` bits."""
    return (values >> max(bits - 8, 0)).astype(np.uint8)


def _gray(stored: Num[np.ndarray, "T H W"], dataset: pydicom.Dataset) -> UInt8[np.ndarray, "T H W"]:
    """Rescale and window of the header, or of the values."""
    transform = _group(dataset, "PixelValueTransformationSequence")
    voi = _group(dataset, "FrameVOILUTSequence")
    values = pixels.apply_rescale(stored, transform).astype(np.float64)
    if "VOILUTSequence" in dataset:
        table = pixels.apply_voi(stored, dataset)
        return stretch(table.astype(np.float64), low=0.0, high=float(table.max()))
    center, width = _first(voi, "WindowCenter"), _first(voi, "WindowWidth")
    if center is not None and width is not None:
        function = voi.get("VOILUTFunction") or "LINEAR"
        return window(values, center=center, width=width, function=function)
    if dataset.BitsStored <= 8 and "RescaleSlope" not in transform:
        return stored.astype(np.uint8)
    padding = _first(dataset, "PixelPaddingValue")
    real = values if padding is None else values[stored != padding]
    return stretch(values, *_tails(real))


def _group(dataset: pydicom.Dataset, sequence: str) -> pydicom.Dataset:
    """Where an element group stands: in the frame groups of an enhanced file, or on top."""
    for outer in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        items = dataset.get(outer)
        if items and sequence in items[0]:
            return items[0][sequence].value[0]
    return dataset


def _first(dataset: pydicom.Dataset, keyword: str) -> float | None:
    """The first value of a numeric element that may be absent, empty or multi-valued."""
    value = dataset.get(keyword)
    if value is None or value == "":
        return None
    if isinstance(value, multival.MultiValue):
        if not value:
            return None
        value = value[0]
    return float(value)


def window(
    values: Float[np.ndarray, "T H W"], *, center: float, width: float, function: str = "LINEAR"
) -> UInt8[np.ndarray, "T H W"]:
    """DICOM's window.

    Args:
      values: After rescale.
      center: Middle of the window.
      width: Its width; LINEAR needs >= 1, the others > 0.
      function: LINEAR, LINEAR_EXACT or SIGMOID; anything else counts as LINEAR.

    Source: DICOM PS3.3, C.11.2.1.2 and C.11.2.1.3.
    """
    if function == "SIGMOID":
        # The exponent is bounded: exp of a far value would overflow, its result is 0 or 1 anyway.
        exponent = np.clip(-4 * (values - center) / max(width, 1e-9), -700, 700)
        return np.rint(255 / (1 + np.exp(exponent))).astype(np.uint8)
    if function != "LINEAR_EXACT":
        center, width = center - 0.5, width - 1
    return stretch(values, low=center - width / 2, high=center + width / 2)


def stretch(values: Float[np.ndarray, "..."], low: float, high: float) -> UInt8[np.ndarray, "..."]:
    """Maps low..high to 0..255, rounds, and clips; a range of no width is a threshold."""
    scaled = (values - low) / max(high - low, 1e-9)
    return np.rint(np.clip(np.nan_to_num(scaled), 0, 1) * 255).astype(np.uint8)


def _tails(values: Float[np.ndarray, "..."]) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = np.percentile(finite, (TAIL_PERCENT, 100 - TAIL_PERCENT))
    return float(low), float(high)


def _dicom_header(dataset: pydicom.Dataset) -> Header:
    """The allowed facts; a code that is not a known word is left out, whatever it says."""
    modality = str(dataset.get("Modality") or "").strip().upper()
    body_part = str(dataset.get("BodyPartExamined") or "").upper().replace(" ", "")
    measures = _group(dataset, "PixelMeasuresSequence")
    spacing = measures.get("PixelSpacing")
    frame_ms = _first(dataset, "FrameTime")
    thickness = _first(measures, "SliceThickness")
    return Header(
        modality=modality if modality in MODALITIES else None,
        body_part=body_part if body_part in BODY_PARTS else None,
        plane=_dicom_plane(_group(dataset, "PlaneOrientationSequence")),
        slice_thickness_mm=thickness if thickness and thickness > 0 else None,
        spacing_mm=(float(spacing[0]), float(spacing[1])) if spacing else None,
        fps=1000 / frame_ms if frame_ms and frame_ms > 0 else None,
    )


def _dicom_plane(dataset: pydicom.Dataset) -> Plane | None:
    orientation = dataset.get("ImageOrientationPatient")
    if not orientation or len(orientation) != 6:
        return None
    directions = np.array(orientation, np.float64)
    normal = np.abs(np.cross(directions[:3], directions[3:]))
    return PLANES[int(normal.argmax())] if normal.max() > 0 else None


def read_nifti(path: Path, plane: Plane = "axial") -> Volume:
    """Reads the slices of a NIfTI volume in one anatomical plane, radiological view.

    Axial slices have the patient's front at the top, the others the head; the patient's right
    is at the left of the picture, in sagittal slices the front. Values are stretched between
    the 0.5 and 99.5 percentiles of the volume. Of a series the first volume is read.

    Args:
      path: A .nii or .nii.gz file.
      plane: The plane, counted along the nearest axis of the grid; nothing is resampled.

    Raises:
      UserError: If the file does not read or is not a gray volume.
    """
    try:
        image = nibabel.as_closest_canonical(nibabel.load(path))
        if len(image.shape) not in (3, 4) or not 0 < math.prod(image.shape) <= MAX_VALUES:
            raise errors.UserError(f"{path}: a volume must have 3 or 4 axes, got {image.shape}")
        values = np.asanyarray(image.dataobj if len(image.shape) == 3 else image.dataobj[..., 0])
    except errors.UserError:
        raise
    except (filebasedimages.ImageFileError, spatialimages.HeaderDataError, *DECODE_ERRORS) as error:
        raise errors.UserError(f"{path} does not read as NIfTI ({type(error).__name__})") from error
    if values.dtype.kind not in "iuf":
        raise errors.UserError(f"{path}: values must be real numbers, got {values.dtype}")
    axis = PLANES.index(plane)
    # From x right, y front, z up to T (slices), H downwards, W: patient's right or front first.
    slices = np.moveaxis(values.astype(np.float64), axis, 0)[:, ::-1, ::-1].swapaxes(1, 2)
    gray = stretch(slices, *_tails(values.astype(np.float64)))
    zooms = [float(z) for z in image.header.get_zooms()[:3]]
    columns, rows = (zooms[i] for i in range(3) if i != axis)
    header = Header(plane=plane, slice_thickness_mm=zooms[axis], spacing_mm=(rows, columns))
    texts = {"descrip", "aux_file", "db_name", "intent_name"} & set(image.header.keys())
    dropped_tags = sum(bool(image.header[name].item().strip()) for name in texts)
    frames = np.repeat(gray[..., None], 3, axis=-1)
    return Volume(frames=frames, header=header, dropped_tags=dropped_tags)
