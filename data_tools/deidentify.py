# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The step that takes from pictures what may name a person: tags, and text burned into pixels.

DICOM and NIfTI files become pictures without any tag, embedded in their row, before the row is
written for the first time: `convert` belongs into ingest. Of the header stay known words alone,
and keyed hashes of series and case. Columns that name a patient become keyed hashes as well: a
plain hash of a number can be found by trying all numbers. Text in the pixels is found by the file's
own word, by the regions of an ultrasound, whose outside is blackened, and by `burned_in.find`.

Pictures that are no DICOM lie in published sets: they are looked at and flagged, or masked or
dropped, as is configured. What is beside their pixels (EXIF, comments) goes here if they are
embedded in their row, and else when shards are written (`picture_files.py`).
"""

import dataclasses
import functools
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from data_tools import burned_in, examples, picture_files, scans, steps
from data_tools import modality_names as names_lib
from data_tools import rows as rows_lib
from lingshu_jax.common import errors
from lingshu_jax.data import images, volume_files, volumes

Treatment = str
TREATMENTS = ("mask", "drop", "flag", "off")
TAG, REGIONS, DETECTOR, NONE = "tag", "regions", "detector", "none"  # how text was found
FOUND, BOXES, SCANS = "burned_in", "burned_in_boxes", "scans"  # facts, a value for each medium
BROKEN, TEXT, UNFOUND, FACE = (
    "broken scan",
    "burned-in text",
    "burned-in text that was not found",
    "recognizable person",
)
PATIENT = ("patient", "patient_id", "subject_id")  # columns, and facts, that name one
_LOOKED_AT = 3  # frames of a clip
_FROM_TAG = "tag"  # as of `modality.TAG`


@dataclasses.dataclass(kw_only=True)
class Config:
    """What becomes of text in pixels: "mask", "drop", "flag", or "off", which does not look.

    Attributes:
      dicom: Of DICOM files. With "mask", a file that says of itself to have such text, where none
        is found, is dropped.
      pictures: Of all other pictures. NIfTI volumes are not looked at: they hold measured values.
      drop_recognizable: Leaves out DICOM files that say to show a recognizable person.
      salt: File of a secret for the hashes; "" makes one with the first run.
    """

    dicom: Treatment = "mask"
    pictures: Treatment = "flag"
    drop_recognizable: bool = True
    salt: str = ""

    def validate(self) -> None:
        """Raises UserError naming the field, its value and what is allowed."""
        for name in ("dicom", "pictures"):
            value = getattr(self, name)
            if value not in TREATMENTS:
                raise errors.UserError(
                    f"config.deidentify.{name} must be one of {', '.join(TREATMENTS)}, got {value}"
                )
        if self.salt and not Path(self.salt).is_file():
            raise errors.UserError(f"config.deidentify.salt: no file {self.salt}")


class _Gone(Exception):
    """A row has to go: reason, detail."""


class Treated(NamedTuple):
    """A picture or clip after this step.

    Attributes:
      medium: Without tags, its text masked if that is asked for.
      found: How text was found.
      boxes: Texts found.
      scan: What is known of the file, where it is DICOM or NIfTI.
    """

    medium: rows_lib.Medium
    found: str = NONE
    boxes: int = 0
    scan: Mapping[str, Any] | None = None


@dataclasses.dataclass(frozen=True)
class Deidentify:
    """The step.

    Attributes:
      config: What becomes of text.
      salt: Secret of the hashes, from `scans.salt`.
    """

    config: Config
    salt: bytes = dataclasses.field(repr=False)
    name: str = "deidentify"

    def settings(self) -> dict[str, Any]:
        """As of `steps.Step`."""
        made = dataclasses.asdict(self.config)
        # Another secret gives other hashes; the secret itself is not told.
        made["salt"] = scans.hashed(self.salt, "check")
        return {**made, "detector": burned_in.VERSION, "patient": PATIENT}

    def plan(self, source: Path, folder: Path, run: steps.Run) -> None:
        """Every row is judged by itself."""

    def apply(self, rows: Sequence[rows_lib.Row], folder: Path, part: str) -> steps.Outcome:
        """As of `steps.Step`; what `convert` has done is not done again."""
        del folder, part
        return self._each(rows, scans_only=False)

    def convert(self, rows: Sequence[rows_lib.Row]) -> steps.Outcome:
        """Does the rows with DICOM or NIfTI files, and hashes what names a patient in all rows.

        Args:
          rows: As they were read, not written yet.
        """
        return self._each([self._without_patient(row) for row in rows], scans_only=True)

    def _without_patient(self, row: rows_lib.Row) -> rows_lib.Row:
        named = {name: row.meta[name] for name in PATIENT if row.meta.get(name)}
        keyed = {name: scans.hashed(self.salt, "patient", value) for name, value in named.items()}
        return dataclasses.replace(row, meta={**row.meta, **keyed}) if keyed else row

    def _each(self, rows: Sequence[rows_lib.Row], *, scans_only: bool) -> steps.Outcome:
        treat = functools.lru_cache(512)(self._treat)  # many rows may be about one picture
        kept, dropped = [], []
        for row in rows:
            if not row.media or FOUND in row.facts or (scans_only and not has_scan(row)):
                kept.append(row)
                continue
            try:
                kept.append(_with_facts(row, [treat(medium) for medium in row.media]))
            except _Gone as gone:
                dropped.append(rows_lib.Dropped.of(row, *gone.args))
        return steps.Outcome(kept, dropped)

    def _treat(self, medium: rows_lib.Medium) -> Treated:
        files = _scan_files(medium)
        if files is None:
            return self._picture(medium)
        try:
            if not all(files):
                raise errors.UserError("a clip of scans and other pictures cannot be curated")
            return self._scan(medium, [file for file in files if file is not None])
        except errors.UserError as error:
            raise _Gone(BROKEN, _without_paths(str(error), files)) from None

    def _scan(self, medium: rows_lib.Medium, files: list[volume_files.VolumeFile]) -> Treated:
        """The frames of DICOM or NIfTI files, without tags."""
        frames = [frame for file in files for frame in file.frames()]
        if medium.kind == "image" and len(frames) != 1:
            raise errors.UserError(f"{len(frames)} frames are no picture: choose one, as #frame=0")
        if len({frame.shape for frame in frames}) > 1:
            raise errors.UserError("frames must have one size")
        first, volume = files[0], files[0].read()
        if first.kind == "nifti":
            itself = scans.hashed(self.salt, "file", first.source)
            facts, treatment = scans.Facts(itself, itself), "off"
        else:
            facts, treatment = scans.read(first.source, self.salt), self.config.dicom
        if facts.says_recognizable and self.config.drop_recognizable:
            raise _Gone(FACE, "by its tag")
        found, boxes = self._look(frames, facts, treatment)
        if treatment == "mask":
            frames = [_masked(frame, boxes, facts.regions) for frame in frames]
        packed = _png(frames[0]) if medium.kind == "image" else _tiff(frames)
        scan = _describe(volume.header, facts, first.choice, len(volume.frames))
        scan["dropped_tags"] = sum(file.read().dropped_tags for file in files)
        return Treated(rows_lib.Medium(kind=medium.kind, data=packed), found, len(boxes), scan)

    def _look(
        self, frames: list[UInt8[np.ndarray, "H W 3"]], facts: scans.Facts, treatment: Treatment
    ) -> tuple[str, list[burned_in.Box]]:
        """How text was found, and where; raises where the row has to go."""
        if treatment == "off":
            return TAG if facts.says_burned_in else NONE, []
        step = -(-len(frames) // _LOOKED_AT)
        seen = [burned_in.find(_grey(frame)) for frame in frames[::step]]
        boxes = burned_in.union(box for found in seen for box in found)
        outside = bool(facts.regions) and not _inside(frames[0].shape[:2], facts.regions).all()
        found = DETECTOR if boxes else NONE
        found = REGIONS if outside else found
        found = TAG if facts.says_burned_in else found
        if treatment == "drop" and found != NONE:
            raise _Gone(TEXT, f"by {found}")
        if treatment == "mask" and facts.says_burned_in and not boxes and not outside:
            raise _Gone(UNFOUND, "by its tag")
        return found, boxes

    def _picture(self, medium: rows_lib.Medium) -> Treated:
        """A picture of another kind; what does not decode is left to the filters."""
        try:
            if medium.data:
                medium = dataclasses.replace(medium, data=picture_files.clean(medium.data))
            if self.config.pictures == "off" or medium.kind == "video":
                return Treated(medium)
            picture = images.open_image(examples.value(medium))
        except errors.UserError:
            return Treated(medium)
        boxes = burned_in.find(np.asarray(picture.convert("L")))
        if not boxes:
            return Treated(medium)
        if self.config.pictures == "drop":
            raise _Gone(TEXT, f"by {DETECTOR}")
        if self.config.pictures == "mask":
            packed = _png(_masked(np.asarray(picture), boxes, ()))
            medium = rows_lib.Medium(kind=medium.kind, data=packed)
        return Treated(medium, DETECTOR, len(boxes))


def has_scan(row: rows_lib.Row) -> bool:
    """Whether a picture of a row is a DICOM or NIfTI file.

    Args:
      row: Any.
    """
    return any(_scan_files(medium) is not None for medium in row.media)


def _scan_files(medium: rows_lib.Medium) -> list[volume_files.VolumeFile | None] | None:
    """The DICOM or NIfTI files that a medium is; None if none is, or they are not to be read."""
    value = examples.value(medium)
    named = value if isinstance(value, list) else [value]
    try:
        found = [volume_files.find(one) for one in named]
    except (errors.UserError, OSError):
        return None
    return found if any(found) else None


def _with_facts(row: rows_lib.Row, treated: Sequence[Treated]) -> rows_lib.Row:
    facts: dict[str, Any] = {
        FOUND: [one.found for one in treated],
        BOXES: [one.boxes for one in treated],
    }
    known = [one.scan for one in treated if one.scan is not None]
    if known:
        facts[SCANS] = [one.scan and dict(one.scan) for one in treated]
        # Of a row about several, those of the first.
        facts |= {name: known[0][name] for name in ("series", "case")}
        if modality := names_lib.of_code(known[0]["modality"]):
            facts |= {"modality": modality, "modality_from": _FROM_TAG}
    media = tuple(one.medium for one in treated)
    return dataclasses.replace(row, media=media).knowing(**facts)


def _describe(
    header: volumes.Header, facts: scans.Facts, choice: volume_files.Choice, count: int
) -> dict[str, Any]:
    """The known words of a header, and hashes."""
    return {
        "modality": header.modality,
        "body_part": header.body_part,
        "plane": header.plane,
        "view": facts.view,
        "series": facts.series,
        "case": facts.case,
        "slice": facts.instance if count == 1 else (choice.frame or 0) + 1,
    }


def _grey(frame: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W"]:
    if frame.strides[-1] == 0:
        return np.ascontiguousarray(frame[..., 0])
    return np.asarray(Image.fromarray(np.ascontiguousarray(frame)).convert("L"))


def _inside(shape: tuple[int, ...], regions: Sequence[burned_in.Box]) -> np.ndarray:
    """True where a pixel lies in a region."""
    inside = np.zeros(shape, bool)
    for left, top, right, bottom in regions:
        inside[top:bottom, left:right] = True
    return inside


def _masked(
    frame: UInt8[np.ndarray, "H W 3"],
    boxes: Sequence[burned_in.Box],
    regions: Sequence[burned_in.Box],
) -> UInt8[np.ndarray, "H W 3"]:
    is_grey = frame.strides[-1] == 0
    channels = [frame[..., 0]] if is_grey else [frame[..., i] for i in range(3)]
    made = [burned_in.mask(np.ascontiguousarray(channel), boxes) for channel in channels]
    if regions:
        for channel in made:
            channel[~_inside(channel.shape, regions)] = 0
    return volumes.gray_to_rgb(made[0][None])[0] if is_grey else np.stack(made, axis=-1)


def _pil(frame: UInt8[np.ndarray, "H W 3"]) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(frame[..., 0] if frame.strides[-1] == 0 else frame))


def _png(frame: UInt8[np.ndarray, "H W 3"]) -> bytes:
    file = io.BytesIO()
    _pil(frame).save(file, "PNG")
    return file.getvalue()


def _tiff(frames: Sequence[UInt8[np.ndarray, "H W 3"]]) -> bytes:
    """All frames of a clip in one file, without loss."""
    file = io.BytesIO()
    first, *others = map(_pil, frames)
    first.save(file, "TIFF", compression="tiff_deflate", save_all=True, append_images=others)
    return file.getvalue()


def _without_paths(reason: str, files: Sequence[volume_files.VolumeFile | None]) -> str:
    """A reason that names no file: names of files and folders may say whose picture it is."""
    for file in files:
        if file is not None and isinstance(file.source, str):
            reason = reason.replace(file.name, "the file").replace(file.source, "the file")
    return reason
