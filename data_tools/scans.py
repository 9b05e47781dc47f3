# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Headers of DICOM files as curation needs them: whose they are, hashed, and what is in the pixels.

Identifying values are read here and nowhere else in curation. They leave this module hashed with a
secret: series can be told apart, and nobody can be found without the secret.
"""

import gzip
import hashlib
import io
import secrets
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pydicom
from pydicom import errors as dicom_errors

from data_tools import burned_in
from lingshu_jax.common import errors, paths
from lingshu_jax.data import dicom, quiet, volumes

SALT_FILE = "deidentification.salt"  # in the folder of a curation; not for passing on
SALT_BYTES = 32
_HASH_BYTES = 12
# View Position, (0018,5101): the defined terms of PS3.3 C.8.4.5.1.1 and C.8.11.7 in use.
VIEWS = frozenset("AP PA LL RL LLD RLD LLO RLO LATERAL CC MLO ML LM XCCL".split())
_TAGS = (
    *("PatientID", "IssuerOfPatientID", "StudyInstanceUID", "SeriesInstanceUID"),
    *("InstanceNumber", "BurnedInAnnotation", "RecognizableVisualFeatures", "ViewPosition"),
    *("SequenceOfUltrasoundRegions", "Modality", "BodyPartExamined", "ImageOrientationPatient"),
    *("SharedFunctionalGroupsSequence", "PlaneOrientationSequence"),
)
_CORNERS = (
    *("RegionLocationMinX0", "RegionLocationMinY0"),
    *("RegionLocationMaxX1", "RegionLocationMaxY1"),
)
_ERRORS = (*volumes.DECODE_ERRORS, dicom_errors.InvalidDicomError)


class Facts(NamedTuple):
    """What a header says; nothing here names a person.

    Attributes:
      series: Keyed hash of the series.
      case: Keyed hash of the patient, or of the study where no patient is stated.
      instance: Place within its series; 0 where it does not say.
      says_burned_in: Its pixels hold text that identifies, as it says itself.
      says_recognizable: They show a face, or the like, as it says itself.
      regions: Where the picture of an ultrasound is; what lies outside may be text.
      view: How an X-ray was taken, a word of `VIEWS`.
      modality: DICOM's code, a known one.
      body_part: DICOM's term, a known one.
      plane: The anatomical plane nearest to the slice; None where it does not say.
    """

    series: str
    case: str
    instance: int = 0
    says_burned_in: bool = False
    says_recognizable: bool = False
    regions: tuple[burned_in.Box, ...] = ()
    view: str | None = None
    modality: str | None = None
    body_part: str | None = None
    plane: volumes.Plane | None = None


def salt(output: Path, given: str = "") -> bytes:
    """The secret of a curation, made with its first run.

    Args:
      output: Folder of the curation.
      given: File of a secret to use instead, so that hashes agree between curations.

    Raises:
      UserError: If the file given is missing or holds fewer than 16 bytes.
    """
    file = Path(given) if given else output / SALT_FILE
    if not given and not file.is_file():
        output.mkdir(parents=True, exist_ok=True)
        with paths.whole_file(file) as partial:
            partial.touch(mode=0o600)
            partial.write_bytes(secrets.token_bytes(SALT_BYTES))
    if not file.is_file() or file.stat().st_size < 16:
        raise errors.UserError(f"the secret {file} is missing or shorter than 16 bytes")
    return file.read_bytes()


def hashed(salt: bytes, *values: Any) -> str:
    """A keyed hash: equal for equal values, and telling nothing of them.

    Args:
      salt: Of the curation.
      values: What is hashed.
    """
    said = "\0".join(map(str, values)).encode("utf-8", "surrogatepass")
    key = hashlib.blake2b(salt).digest()
    return hashlib.blake2b(said, key=key, digest_size=_HASH_BYTES).hexdigest()


def read(source: str | bytes, salt: bytes) -> Facts:
    """Reads the header of a DICOM file that `dicom.read` or `dicom.read_shape` has read.

    Args:
      source: Its path or its bytes.
      salt: Of the curation.

    Raises:
      UserError: If it does not read; nothing is quoted.
    """
    quiet.ignore_warnings_of("pydicom")
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
            is_packed = file.read(2).startswith(volumes.GZIP_MAGIC)
            file.seek(0)
            if is_packed:
                file = io.BytesIO(gzip.GzipFile(fileobj=file).read(dicom.MAX_BYTES))
            header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=[*_TAGS])
        return _facts(header, source, salt)
    except _ERRORS as error:
        name = type(error).__name__
        raise errors.UserError(f"the DICOM header does not read ({name})") from None


def _facts(header: pydicom.Dataset, source: str | bytes, salt: bytes) -> Facts:
    # A file that names no series is one of its own.
    itself = str(source) if isinstance(source, str) else hashlib.sha256(source).hexdigest()
    series = header.get("SeriesInstanceUID") or itself
    study = header.get("StudyInstanceUID") or series
    patient = header.get("PatientID")
    case = ("patient", header.get("IssuerOfPatientID") or "", patient) if patient else (study,)
    place = str(header.get("InstanceNumber") or 0)
    return Facts(
        series=hashed(salt, "series", study, series),
        case=hashed(salt, "case", *case),
        instance=int(place) if place.lstrip("-").isdigit() else 0,
        says_burned_in=_word(header, "BurnedInAnnotation") == "YES",
        says_recognizable=_word(header, "RecognizableVisualFeatures") == "YES",
        regions=_regions(header),
        view=_known(header, "ViewPosition", VIEWS),
        modality=_known(header, "Modality", dicom.MODALITIES),
        body_part=_known(header, "BodyPartExamined", dicom.BODY_PARTS),
        plane=_plane(header),
    )


def _word(header: pydicom.Dataset, keyword: str) -> str:
    return str(header.get(keyword) or "").strip().upper()


def _known(header: pydicom.Dataset, keyword: str, words: frozenset[str]) -> str | None:
    """A value that is a known word; any other is not passed on, whatever it says."""
    word = _word(header, keyword).replace(" ", "")
    return word if word in words else None


def _regions(header: pydicom.Dataset) -> tuple[burned_in.Box, ...]:
    """The regions of an ultrasound picture, their last pixels included.

    Source: DICOM PS3.3, C.8.5.5.1.
    """
    found = []
    for item in header.get("SequenceOfUltrasoundRegions") or ():
        corners = [item.get(corner) for corner in _CORNERS]
        if None not in corners:
            left, top, right, bottom = map(int, corners)
            if 0 <= left <= right and 0 <= top <= bottom:
                found.append(burned_in.Box(left, top, right + 1, bottom + 1))
    return tuple(found)


def _plane(header: pydicom.Dataset) -> volumes.Plane | None:
    """The plane across which the axis of the patient runs that the slice's normal is nearest to."""
    groups = [header, *(header.get("SharedFunctionalGroupsSequence") or ())[:1]]
    groups += [item for group in groups[1:] for item in group.get("PlaneOrientationSequence") or ()]
    found = next((one for group in groups if (one := group.get("ImageOrientationPatient"))), None)
    if found is None or len(found) != 6:
        return None
    rows, columns = np.array(found[:3], float), np.array(found[3:], float)
    normal = abs(np.cross(rows, columns))
    return (
        volumes.PLANES[int(normal.argmax())] if np.isfinite(normal).all() and normal.any() else None
    )
