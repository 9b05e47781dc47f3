# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Writes small DICOM files that carry what must never be seen again."""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom import uid

SECRETS = ("DOE^JANE", "ID-4711", "19700101", "St Mary", "Dr House", "hidden vendor note")


def write(
    path: Path, values: np.ndarray, *, syntax: uid.UID = uid.ExplicitVRLittleEndian, **fields: Any
) -> Path:
    """Writes a gray CT file.

    Args:
      path: The file.
      values: Stored pixels, (H, W) or (T, H, W).
      syntax: An uncompressed transfer syntax.
      **fields: Elements to overwrite; None deletes one.
    """
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
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
    big = syntax == uid.ExplicitVRBigEndian
    dataset.PixelData = values.astype(values.dtype.newbyteorder(">" if big else "<")).tobytes()
    for keyword, value in fields.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


def item(**fields: Any) -> pydicom.Sequence:
    """A sequence of one item."""
    inner = pydicom.Dataset()
    for keyword, value in fields.items():
        setattr(inner, keyword, value)
    return pydicom.Sequence([inner])
