# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""DICOM files as RGB frames with a header of technical fields only.

Nothing that may identify a person leaves this module: `volumes.Header` is an allow-list, every
other element of the file stays behind and the identifying ones are counted. Errors never quote a
header value, and what pydicom warns of or logs is silenced. Text burned into the pixels is not
removed. Needs the extra `lingshu_jax[data]`.

Axes: T frames, H rows, W columns.
"""

import contextlib
import gzip
import io
import logging
import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
from jaxtyping import Num, UInt8
from pydicom import encaps, multival, pixels, uid
from pydicom import errors as dicom_errors

from lingshu_jax.common import errors
from lingshu_jax.data import quiet, volumes

# pydicom logs whatever it warns of as well, header values included; so do loggers below its own.
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)

MAX_BYTES = 2**30  # of a compressed file, unpacked
PIXEL_ELEMENTS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
SHAPE_ELEMENTS = (
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "NumberOfFrames",
    "CineRate",
    "FrameTime",
    "FrameTimeVector",
    "RecommendedDisplayFrameRate",
)

START_OF_SCAN = 0xFFDA
SEQUENTIAL = {0xFFC0, 0xFFC1}  # baseline and extended
CODESTREAM = b"\xff\x4f\xff\x51"  # of JPEG 2000, bare or in a file of its own
JP2_SIGNATURE = b"\x00\x00\x00\x0cjP"
START_OF_FRAME = {*range(0xFFC0, 0xFFD0), 0xFFF7} - {0xFFC4, 0xFFC8, 0xFFCC}

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

DECODE_ERRORS = (*volumes.DECODE_ERRORS, StopIteration, dicom_errors.BytesLengthException)


def read(source: str | bytes | Path) -> volumes.Volume:
    """Reads one DICOM file, gzipped or not, in any transfer syntax that pydicom decodes.

    Gray values go through the modality's rescale or table and the header's VOI table or window,
    each frame through its own; without either, values of at most 8 bits keep their range, and
    wider ones are stretched between the 0.5 and 99.5 percentiles of all frames. MONOCHROME1 is
    turned round so that bright is bright. Colours (RGB, YBR, PALETTE COLOR) become RGB of 8 bits.
    Orientation is as stored.

    Args:
      source: A path, or the bytes of a file.

    Raises:
      UserError: If it is not DICOM, holds no pixels, or they do not decode. The message names
        the file and never quotes a header value.
    """
    with _parsing(source) as (file, name):
        dataset = _with_pixels(file, name)
        header = _header(dataset)
        dropped_tags = sum(_personal_elements(dataset))
    with _decoding(dataset, name):
        frames = _frames(dataset)
    return volumes.Volume(frames=frames, header=header, dropped_tags=dropped_tags)


def read_gray(source: str | bytes | Path) -> volumes.Gray | None:
    """Reads the values of a file that `read` shows through a window; None of colours.

    Raises:
      UserError: As `read`.
    """
    with _parsing(source) as (file, name):
        dataset = _with_pixels(file, name)
    kind = dataset.get("PhotometricInterpretation")
    if dataset.get("SamplesPerPixel", 1) != 1 or kind == "PALETTE COLOR":
        return None
    with _decoding(dataset, name):
        stored = _stored(dataset)
        values = np.empty(stored.shape, np.float32)
        for i, frame in enumerate(stored):
            transform = _group(dataset, "PixelValueTransformationSequence", i)
            values[i] = pixels.apply_rescale(frame, transform)
        window = _window(_group(dataset, "FrameVOILUTSequence", 0))
    return volumes.Gray(values, window, kind == "MONOCHROME1")


def read_shape(source: str | bytes | Path) -> volumes.Shape:
    """Reads the size and the frame rate from the header; no pixel is read.

    Raises:
      UserError: As `read`, as far as the header says.
    """
    with _parsing(source) as (file, name):
        dataset = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(SHAPE_ELEMENTS))
        count = _check_sides(dataset, name)
        return volumes.Shape(count, dataset.Rows, dataset.Columns, _fps(dataset))


@contextlib.contextmanager
def _parsing(source: str | bytes | Path) -> Iterator[tuple[io.BufferedIOBase, str]]:
    """Lends an opened file and its name; what pydicom raises meanwhile becomes a UserError.

    The cause is cut off: its message may quote what the header says.
    """
    quiet.ignore_warnings_of("pydicom", "pylibjpeg", "libjpeg", "openjpeg", "rle")
    in_memory = isinstance(source, bytes)
    name = f"DICOM file of {len(source)} bytes in memory" if in_memory else str(source)
    try:
        with io.BytesIO(source) if in_memory else open(source, "rb") as file:
            yield _unpacked(file, name), name
    except errors.UserError:
        raise
    except FileNotFoundError as error:
        raise errors.UserError(f"image not found: {name}") from error
    except dicom_errors.InvalidDicomError:
        raise errors.UserError(f"{name} is not a DICOM file") from None
    except DECODE_ERRORS as error:
        why = type(error).__name__
        raise errors.UserError(f"{name} does not read as DICOM ({why})") from None


def _unpacked(file: io.BufferedIOBase, name: str) -> io.BufferedIOBase:
    """The file, a gzipped one unpacked; refuses one that unpacks to more than MAX_BYTES."""
    head = file.read(2**10)
    file.seek(0)
    if head.startswith(volumes.GZIP_MAGIC):
        data = gzip.GzipFile(fileobj=file).read(MAX_BYTES + 1)
        file, size = io.BytesIO(data), len(data)
    elif uid.DeflatedExplicitVRLittleEndian.encode() in head:
        # pydicom inflates all at once, without a limit; the data begin behind the file's meta
        # group, whose length is the value of its first element.
        file.seek(144 + int.from_bytes(head[140:144], "little"))
        size = len(zlib.decompressobj(-zlib.MAX_WBITS).decompress(file.read(), MAX_BYTES + 1))
        file.seek(0)
    else:
        return file
    if size > MAX_BYTES:
        raise errors.UserError(f"{name} unpacks to more than {MAX_BYTES} bytes")
    return file


def _with_pixels(file: io.BufferedIOBase, name: str) -> pydicom.Dataset:
    """A whole file, its pixels not yet decoded; refuses one without."""
    dataset = pydicom.dcmread(file)
    if not any(element in dataset for element in PIXEL_ELEMENTS):
        raise errors.UserError(f"{name} holds no pixel data")
    _check_sides(dataset, name)
    return dataset


@contextlib.contextmanager
def _decoding(dataset: pydicom.Dataset, name: str) -> Iterator[None]:
    """Checks the pixel data; what decoding it raises becomes a UserError."""
    try:
        _check_compressed(dataset, name)
        yield
    except errors.UserError:
        raise
    except DECODE_ERRORS as error:
        why = _explain(dataset, error)
        raise errors.UserError(f"{name}: the pixel data does not decode ({why})") from None


def _check_sides(dataset: pydicom.Dataset, name: str) -> int:
    """Refuses sizes that cannot be, and returns the number of frames."""
    if "Rows" not in dataset or "Columns" not in dataset:
        raise errors.UserError(f"{name} holds no picture: its header has no Rows and Columns")
    count = int(dataset.get("NumberOfFrames") or 1)
    samples = int(dataset.get("SamplesPerPixel") or 1)
    volumes.check_size(name, (count, int(dataset.Rows), int(dataset.Columns), samples))
    if samples not in (1, 3):
        raise errors.UserError(f"{name} has {samples} samples a pixel; allowed: 1 and 3")
    return count


def _check_compressed(dataset: pydicom.Dataset, name: str) -> None:
    """Refuses compressed frames of more pixels than the header declares; mends scan headers."""
    if not dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return
    count = int(dataset.get("NumberOfFrames") or 1)
    frames = list(encaps.generate_frames(dataset.PixelData, number_of_frames=count))
    for frame in frames:
        height, width = _compressed_sides(frame)
        if height * width > dataset.Rows * dataset.Columns:
            raise errors.UserError(
                f"{name}: a compressed frame has {height} x {width} pixels,"
                f" the header says {dataset.Rows} x {dataset.Columns}"
            )
    mended = [_mend_scan(frame) for frame in frames]
    if mended != frames:
        dataset.PixelData = encaps.encapsulate(mended)


def _segments(frame: bytes) -> Iterator[tuple[int, int]]:
    """Marker and place of each segment of a JPEG or JPEG-LS stream, up to its first scan.

    Source: ITU-T T.81, B.1.1.
    """
    place = 2
    while frame.startswith(b"\xff\xd8") and place + 4 <= len(frame):
        marker, length = struct.unpack_from(">HH", frame, place)
        yield marker, place
        if marker == START_OF_SCAN:
            return
        place += 1 if marker == 0xFFFF or marker < 0xFF00 else 2 + length  # 0xFF may be repeated


def _compressed_sides(frame: bytes) -> tuple[int, int]:
    """Height and width of a JPEG, JPEG-LS or JPEG 2000 stream; 0 where it does not say.

    Source: ITU-T T.81, B.2.2; ITU-T T.87, C.2.2; ITU-T T.800, A.5.1.
    """
    if frame.startswith((CODESTREAM, JP2_SIGNATURE)):
        start = frame.index(CODESTREAM)
        width, height, left, top = struct.unpack_from(">4I", frame, start + 8)
        return height - top, width - left
    for marker, place in _segments(frame):
        if marker in START_OF_FRAME:
            return struct.unpack_from(">HH", frame, place + 5)
    return 0, 0


def _mend_scan(frame: bytes) -> bytes:
    """The stream with all coefficients in its scan, where encoders wrote none.

    A sequential scan must say 0 to 63; some 12-bit encoders write 0 to 0, which most decoders
    overlook and libjpeg refuses.

    Source: ITU-T T.81, B.2.3.
    """
    markers = dict(_segments(frame))
    if START_OF_SCAN not in markers or not SEQUENTIAL & set(markers):
        return frame
    place = markers[START_OF_SCAN] + 5
    place += 2 * frame[place - 1]
    return frame[:place] + b"\x00\x3f\x00" + frame[place + 3 :]


def _explain(dataset: pydicom.Dataset, error: BaseException) -> str:
    """Why pixels do not decode: the transfer syntax, and the package that would be needed."""
    syntax = str(dataset.file_meta.get("TransferSyntaxUID"))
    # Only registered names: an unknown one is a value of this file.
    name = uid.UID_dictionary.get(syntax, ["unknown transfer syntax"])[0]
    try:
        decoder = pixels.get_decoder(syntax)
    except NotImplementedError:
        return f"{name}: pydicom has no decoder for it"
    if not decoder.is_available:
        return f"{name}: {'; '.join(decoder.missing_dependencies)}; pip install 'lingshu-jax[data]'"
    tried = (
        f", tried with {', '.join(decoder.available_plugins)}" if decoder.available_plugins else ""
    )
    return f"{type(error).__name__}; {name}{tried}"


def _personal_elements(dataset: pydicom.Dataset) -> Iterator[bool]:
    """For each element, those of nested datasets included, whether it may identify a person."""
    for tag in dataset.keys():
        try:
            element = dataset[tag]
        except DECODE_ERRORS:
            yield True  # unreadable; it stays behind like the others
            continue
        yield _is_personal(element)
        if element.VR == "SQ":
            for item in element.value:
                yield from _personal_elements(item)


def _is_personal(element: pydicom.DataElement) -> bool:
    if element.is_empty:
        return False
    if element.tag.is_private or element.VR in PERSONAL_VRS:
        return True
    return any(word in element.keyword for word in PERSONAL_WORDS)


def _frames(dataset: pydicom.Dataset) -> UInt8[np.ndarray, "T H W 3"]:
    """Decoded, in RGB, with a leading frame axis even for a single frame."""
    stored = _stored(dataset)
    if stored.ndim == 4:
        return _narrow(stored, bits=int(dataset.BitsStored))
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        looked_up = pixels.apply_color_lut(stored, _little_endian_palette(dataset))[..., :3]
        return _narrow(looked_up, bits=8 * looked_up.dtype.itemsize)
    gray = _gray(stored, dataset)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        gray = 255 - gray
    return volumes.gray_to_rgb(gray)


def _stored(dataset: pydicom.Dataset) -> Num[np.ndarray, "T H W *colors"]:
    # pylibjpeg-rle panics on some broken frames, with an exception that nobody may catch.
    is_rle = dataset.file_meta.TransferSyntaxUID == uid.RLELossless
    stored = pixels.pixel_array(dataset, decoding_plugin="pydicom" if is_rle else "")
    is_color = dataset.get("SamplesPerPixel", 1) == 3
    return stored[None] if stored.ndim == (3 if is_color else 2) else stored


def _narrow(values: Num[np.ndarray, "T H W 3"], *, bits: int) -> UInt8[np.ndarray, "T H W 3"]:
    """The upper 8 of `bits` bits."""
    return values if values.dtype == np.uint8 else (values >> max(bits - 8, 0)).astype(np.uint8)


def _little_endian_palette(dataset: pydicom.Dataset) -> pydicom.Dataset:
    """The dataset with its tables in the byte order in which pydicom looks colours up."""
    if dataset.original_encoding[1]:
        return dataset
    for color in ("Red", "Green", "Blue"):
        element = dataset[f"{color}PaletteColorLookupTableData"]
        element.value = np.frombuffer(element.value, ">u2").astype("<u2").tobytes()
    return dataset


def _gray(stored: Num[np.ndarray, "T H W"], dataset: pydicom.Dataset) -> UInt8[np.ndarray, "T H W"]:
    """Rescale and window of the header, or of the values; frame by frame, to save memory."""
    transforms = [
        _group(dataset, "PixelValueTransformationSequence", i) for i in range(len(stored))
    ]
    vois = [_group(dataset, "FrameVOILUTSequence", i) for i in range(len(stored))]
    is_seen = "VOILUTSequence" in dataset or all(_window(voi) for voi in vois)
    low, high = (0.0, 1.0) if is_seen else _range(stored, dataset, transforms)
    gray = np.empty(stored.shape, np.uint8)
    for i, (transform, voi) in enumerate(zip(transforms, vois, strict=True)):
        values = pixels.apply_rescale(stored[i : i + 1], transform)
        frame_window = _window(voi)
        if "VOILUTSequence" in dataset:
            gray[i] = _look_up(values, dataset)[0]
        elif frame_window:
            function = str(voi.get("VOILUTFunction") or "LINEAR")
            center, width = frame_window
            gray[i] = volumes.window(values, center=center, width=width, function=function)[0]
        else:
            gray[i] = volumes.stretch(values, low, high)[0]
    return gray


def _group(dataset: pydicom.Dataset, sequence: str, frame: int) -> pydicom.Dataset:
    """Where an element group stands: in the frame groups of an enhanced file, or on top."""
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    own = dataset.get("PerFrameFunctionalGroupsSequence") or []
    for groups in (*shared[:1], *own[frame : frame + 1]):
        if sequence in groups and groups[sequence].value:
            return groups[sequence].value[0]
    return dataset


def _window(voi: pydicom.Dataset) -> tuple[float, float] | None:
    """Center and width of the first window, where there is one."""
    center, width = _first(voi, "WindowCenter"), _first(voi, "WindowWidth")
    return None if center is None or width is None else (center, width)


def _first(dataset: pydicom.Dataset, keyword: str) -> float | None:
    """The first value of a numeric element that may be absent, empty or multi-valued."""
    value = dataset.get(keyword)
    if isinstance(value, multival.MultiValue):
        value = value[0] if value else None
    if value is None or value == "":
        return None
    return float(value) if math.isfinite(float(value)) else None


def _look_up(
    values: Num[np.ndarray, "T H W"], dataset: pydicom.Dataset
) -> UInt8[np.ndarray, "T H W"]:
    """DICOM's VOI table; its largest entry becomes 255.

    Source: DICOM PS3.3, C.11.2.1.1.
    """
    item = dataset["VOILUTSequence"].value[0]
    table, (count, first, _) = item.LUTData, item.LUTDescriptor
    if isinstance(table, bytes):
        order = "<" if dataset.original_encoding[1] else ">"
        table = np.frombuffer(table, f"{order}u{2 if len(table) >= 2 * (count or 2**16) else 1}")
    table = np.asarray(table, np.float64)
    places = np.clip(np.rint(values) - first, 0, len(table) - 1).astype(np.int64)
    return volumes.stretch(table[places], low=0.0, high=float(table.max()))


def _range(
    stored: Num[np.ndarray, "T H W"], dataset: pydicom.Dataset, transforms: list[pydicom.Dataset]
) -> tuple[float, float]:
    """The rescaled values that become black and white where the header has no window."""
    bits, is_signed = int(dataset.get("BitsStored", 32)), bool(dataset.get("PixelRepresentation"))
    if bits <= 8 and not any(map(_is_rescaled, transforms)):
        low = -(2 ** (bits - 1)) if is_signed else 0
        return float(low), float(low + 2**bits - 1)
    step = -(-stored.size // volumes.MAX_SAMPLE)
    padding = _first(dataset, "PixelPaddingValue")
    limit = _first(dataset, "PixelPaddingRangeLimit")
    samples = []
    for frame, transform in zip(stored, transforms, strict=True):
        sample = frame.ravel()[::step]
        if padding is not None:
            ends = sorted((padding, padding if limit is None else limit))
            sample = sample[(sample < ends[0]) | (sample > ends[1])]
        samples.append(pixels.apply_rescale(sample, transform))
    return volumes.tails(np.concatenate(samples))


def _is_rescaled(transform: pydicom.Dataset) -> bool:
    slope, intercept = (_first(transform, f"Rescale{name}") for name in ("Slope", "Intercept"))
    return "ModalityLUTSequence" in transform or (slope or 1, intercept or 0) != (1, 0)


def _header(dataset: pydicom.Dataset) -> volumes.Header:
    """The allowed facts; a code that is not a known word is left out, whatever it says."""
    modality = str(dataset.get("Modality") or "").strip().upper()
    body_part = str(dataset.get("BodyPartExamined") or "").upper().replace(" ", "")
    measures = _group(dataset, "PixelMeasuresSequence", 0)
    spacing = measures.get("PixelSpacing")
    thickness = _first(measures, "SliceThickness")
    return volumes.Header(
        modality=modality if modality in MODALITIES else None,
        body_part=body_part if body_part in BODY_PARTS else None,
        plane=_plane(_group(dataset, "PlaneOrientationSequence", 0)),
        slice_thickness_mm=thickness if thickness and thickness > 0 else None,
        spacing_mm=(float(spacing[0]), float(spacing[1])) if spacing else None,
        fps=_fps(dataset),
    )


def _fps(dataset: pydicom.Dataset) -> float | None:
    """Frames a second of a clip: the cine rate, else one over the time of a frame."""
    rate = _first(dataset, "CineRate")
    frame_ms = _first(dataset, "FrameTime")
    if rate and rate > 0:
        return rate
    if frame_ms and frame_ms > 0:
        return 1000 / frame_ms
    steps_ms = dataset.get("FrameTimeVector")  # its first value is 0
    if isinstance(steps_ms, multival.MultiValue) and len(steps_ms) > 1 and sum(steps_ms) > 0:
        return 1000 * (len(steps_ms) - 1) / float(sum(steps_ms))
    shown = _first(dataset, "RecommendedDisplayFrameRate")
    return shown if shown and shown > 0 else None


def _plane(dataset: pydicom.Dataset) -> volumes.Plane | None:
    orientation = dataset.get("ImageOrientationPatient")
    if not orientation or len(orientation) != 6:
        return None
    directions = np.array(orientation, np.float64)
    normal = np.abs(np.cross(directions[:3], directions[3:]))
    return volumes.PLANES[int(normal.argmax())] if normal.max() > 0 else None
