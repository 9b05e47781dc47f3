# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Real medical pictures for the demo: found, checked, split, and seen in small views.

A *picture* is one source slice or frame; a *series* is the pictures of one volume plane, one
clip or one folder of slices; a *view* is a small crop of a picture, perhaps mirrored or with
inverted gray values. Pictures are split before views are made, so no crop or mirror image of
a held-out picture is ever trained on. A view's shape is drawn independently of its picture,
so that the number of patches tells nothing about the content.

Axes: H rows, W columns.
"""

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import nibabel
import numpy as np
import pydicom
from jaxtyping import Float, UInt8
from PIL import Image

from lingshu_jax.common import errors
from lingshu_jax.data import dicom, images, nifti, volume_files, volumes

# Words for DICOM codes of pictures that show a patient; all other codes are skipped.
MODALITIES = {
    "CT": "CT",
    "MR": "MR",
    "US": "ultrasound",
    "NM": "nuclear medicine",
    "CR": "X-ray",
    "DX": "X-ray",
    "MG": "mammography",
    "PT": "PET",
    "XA": "angiography",
    "RF": "fluoroscopy",
    "OP": "fundus photo",
    "OPT": "OCT",
    "SM": "microscopy",
}
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
# nibabel's own test volumes; NIfTI has no field for the modality, its documentation says MR.
BUNDLED_MR = ("anatomical.nii", "example4d.nii.gz")
# Two of its three colours are saturated nearly everywhere, in the file itself.
BUNDLED_DAMAGED = "ExplVR_BigEnd.dcm"

MIN_SIDE = 24  # smaller pictures are test patterns
MIN_CONTRAST = 12.0  # standard deviation of the gray values below which a picture is blank
SAME_PICTURE = 0.99  # correlation of thumbnails
SERIES_LENGTH = 8  # pictures that make a series
HELD_OUT = 0.2
MAX_SERIES = 128  # pictures taken of one series

SHAPES = (
    (56, 84),
    (84, 56),
    (84, 84),
    (84, 112),
    (112, 84),
    (70, 112),
    (112, 70),
    (98, 98),
    (112, 112),
    (84, 140),
    (140, 84),
    (90, 150),
    (150, 90),
)
MAX_VIEWS = 180  # of one picture
INVERTED = 0.3  # share of views with inverted gray values


class Picture(NamedTuple):
    """One source slice or frame.

    Attributes:
      unit: "<series>/<place in it>"; never the file's name, which may name a person.
      pixels: As read.
      modality: A word of MODALITIES, or None where the file does not say.
      header: The technical facts of the file.
      place: Slice or frame number, from 1.
      length: Slices or frames in the series; 1 for a single picture.
    """

    unit: str
    pixels: UInt8[np.ndarray, "H W 3"]
    modality: str | None
    header: volumes.Header
    place: int
    length: int


class Collection(NamedTuple):
    """What a set of files holds.

    Attributes:
      series: Pictures in order; a single picture is a series of one.
      dropped_tags: Elements that may identify a person, all files.
      skipped: (file, reason) of every file that gave no picture.
    """

    series: list[list[Picture]]
    dropped_tags: int
    skipped: list[tuple[str, str]]


class View(NamedTuple):
    """A small picture to train on.

    Attributes:
      name: File name without suffix, as "train-0012".
      picture: Where it comes from.
      pixels: Cropped, resized, perhaps mirrored or inverted.
      inverted: Whether bright and dark were exchanged.
    """

    name: str
    picture: Picture
    pixels: UInt8[np.ndarray, "H W 3"]
    inverted: bool


class _Stack(NamedTuple):
    """Frames of one file in one plane, before numbering."""

    name: str
    volume: volumes.Volume


def collect(folder: Path | None = None) -> Collection:
    """Reads all pictures of a folder, or those that pydicom and nibabel bring along.

    Args:
      folder: Searched with its subfolders for DICOM, NIfTI, PNG and JPEG files.

    Raises:
      UserError: If the folder is missing.
    """
    stacks: list[_Stack] = []
    skipped: list[tuple[str, str]] = []
    files = _bundled() if folder is None else _files(folder)
    for name, path in files:
        try:
            stacks.extend(_read(name, path))
        except errors.UserError as error:
            skipped.append((name, str(error).replace(str(path), name)))
    kept = list(_without_copies(stacks, skipped))
    series = [list(_pictures(i, group)) for i, group in enumerate(_series(kept))]
    # One count a file: the planes of a volume share their header.
    dropped_tags = sum({stack.name: stack.volume.dropped_tags for stack in stacks}.values())
    return Collection(series, dropped_tags, skipped)


def _bundled() -> Iterator[tuple[str, Path]]:
    dicom = Path(pydicom.__file__).parent / "data"
    yield from (
        pair for sub in ("charset_files", "palettes", "test_files") for pair in _files(dicom / sub)
    )
    yield from (
        (name, path)
        for name, path in _files(Path(nibabel.__file__).parent / "tests" / "data")
        if path.name.endswith(volume_files.NIFTI_SUFFIXES)
    )


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    if not folder.is_dir():
        raise errors.UserError(f"no such folder of images: {folder}")
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith((".", "__")) for part in parts)
        if path.is_file() and not hidden and path.suffix not in (".py", ".pyc"):
            yield "/".join(parts), path


def _read(name: str, path: Path) -> list[_Stack]:
    """The stacks of one file: three planes of a NIfTI volume, else one."""
    lower = path.name.lower()
    if path.name == BUNDLED_DAMAGED:
        raise errors.UserError(f"{path} is saturated: not a usable picture")
    if lower.endswith(volume_files.NIFTI_SUFFIXES):
        planes = [nifti.read(path, plane) for plane in volumes.PLANES]
        wide = [v for v in planes if min(v.frames.shape[1:3]) >= MIN_SIDE]
        modality = "MR" if path.name in BUNDLED_MR else None
        headers = [dataclasses.replace(v.header, modality=modality) for v in wide]
        found = [dataclasses.replace(v, header=h) for v, h in zip(wide, headers, strict=True)]
    elif lower.endswith(PICTURE_SUFFIXES):
        pixels = np.asarray(images.open_image(str(path)))
        found = [volumes.Volume(frames=pixels[None], header=volumes.Header(), dropped_tags=0)]
    else:
        found = [dicom.read(path)]
        code = found[0].header.modality
        if code not in MODALITIES:
            raise errors.UserError(f"{path} has modality {code}: no picture of a patient")
    found = [v for v in found if min(v.frames.shape[1:3]) >= MIN_SIDE]
    if not found:
        raise errors.UserError(f"{path} is smaller than {MIN_SIDE} pixels")
    if all(_gray(v.frames[len(v.frames) // 2]).std() < MIN_CONTRAST for v in found):
        raise errors.UserError(f"{path} is blank")
    return [_Stack(name, v) for v in found]


def _gray(pixels: UInt8[np.ndarray, "H W 3"]) -> Float[np.ndarray, "H W"]:
    return pixels.mean(axis=-1, dtype=np.float64)


def _without_copies(stacks: list[_Stack], skipped: list[tuple[str, str]]) -> Iterator[_Stack]:
    """Leaves out stacks whose middle picture was seen before, whatever its size or coding."""
    seen: list[tuple[str, Float[np.ndarray, " N"]]] = []
    for stack in stacks:
        middle = stack.volume.frames[len(stack.volume.frames) // 2]
        small = np.asarray(Image.fromarray(middle).convert("L").resize((16, 16)), np.float64)
        thumb = (small - small.mean()).ravel() / max(float(small.std()) * 16, 1e-9)
        others = ((n, other) for n, other in seen if n != stack.name)
        twin = next((n for n, other in others if thumb @ other > SAME_PICTURE), None)
        if twin is None:
            seen.append((stack.name, thumb))
            yield stack
        else:
            skipped.append((stack.name, f"{stack.name} shows the same picture as {twin}"))


def _series(stacks: list[_Stack]) -> Iterator[list[_Stack]]:
    """Groups equal-sized single pictures of one folder, where there are enough, as slices."""

    def key(stack: _Stack) -> tuple[str, str, tuple[int, ...]]:
        folder = stack.name.rpartition("/")[0]
        return folder, str(stack.volume.header.modality), stack.volume.frames.shape

    singles = sorted((s for s in stacks if len(s.volume.frames) == 1), key=key)
    yield from ([s] for s in stacks if len(s.volume.frames) > 1)
    for _, group in itertools.groupby(singles, key):
        members = list(group)
        yield from [members] if len(members) >= SERIES_LENGTH else ([s] for s in members)


def _pictures(number: int, stacks: list[_Stack]) -> Iterator[Picture]:
    frames = [(frame, s.volume.header) for s in stacks for frame in s.volume.frames]
    step = -(-len(frames) // MAX_SERIES)
    for i in range(0, len(frames), step):
        pixels, header = frames[i]
        if _gray(pixels).std() >= MIN_CONTRAST:
            modality = MODALITIES.get(header.modality or "")
            yield Picture(f"{number:03}/{i:03}", pixels, modality, header, i + 1, len(frames))


def split(
    series: list[list[Picture]], rng: np.random.Generator
) -> tuple[list[list[Picture]], list[list[Picture]]]:
    """Holds pictures out: a block of each long series, and the last single ones of a modality.

    Neighbouring slices look alike, so the block is contiguous and the pictures next to it go
    nowhere.

    Args:
      series: As collected.
      rng: Places the blocks.

    Returns:
      The series to train on and the held-out ones; neither holds an empty series.
    """
    train, test = [], []
    singles: dict[str | None, list[list[Picture]]] = {}
    for pictures in series:
        if len(pictures) < SERIES_LENGTH:
            if pictures:
                singles.setdefault(pictures[0].modality, []).append(pictures)
            continue
        size = round(HELD_OUT * len(pictures))
        # The outer slices of a volume are nearly empty: the block stays off both ends.
        start = int(rng.integers(2, len(pictures) - size - 2))
        test.append(pictures[start : start + size])
        train.append(pictures[: start - 1] + pictures[start + size + 1 :])
    for groups in singles.values():
        size = max(1, round(HELD_OUT * len(groups))) if len(groups) > 1 else 0
        train.extend(groups[: len(groups) - size])
        test.extend(groups[len(groups) - size :])
    return train, test


def make_views(
    series: list[list[Picture]], *, count: int, prefix: str, rng: np.random.Generator
) -> list[View]:
    """Draws views, the same number of each modality as far as MAX_VIEWS allows.

    Args:
      series: Pictures of one split.
      count: Wished number of views.
      prefix: Of the names.
      rng: Draws pictures, crops, mirrors.

    Returns:
      At most `count` views, none of them blank.
    """
    by_modality: dict[str | None, list[list[Picture]]] = {}
    for pictures in series:
        by_modality.setdefault(pictures[0].modality, []).append(pictures)
    views: list[View] = []
    for groups in by_modality.values():
        share = count // len(by_modality)
        for picture in itertools.islice(_rounds(groups, rng), share):
            pixels = _draw(picture, rng)
            if pixels is not None:
                inverted = bool(rng.random() < INVERTED)
                pixels = 255 - pixels if inverted else pixels
                views.append(View(f"{prefix}-{len(views):04}", picture, pixels, inverted))
    return views


def _rounds(groups: list[list[Picture]], rng: np.random.Generator) -> Iterator[Picture]:
    """A picture of each series in turn, until every picture has been used MAX_VIEWS times."""
    decks = [_deck(group, rng) for group in groups]
    while decks:
        for deck in list(decks):
            picture = next(deck, None)
            if picture is None:
                decks.remove(deck)
            else:
                yield picture


def _deck(pictures: list[Picture], rng: np.random.Generator) -> Iterator[Picture]:
    for _ in range(MAX_VIEWS):
        yield from (pictures[i] for i in rng.permutation(len(pictures)))


def _draw(picture: Picture, rng: np.random.Generator) -> UInt8[np.ndarray, "H W 3"] | None:
    """A random crop in a random shape; None when ten tries were all blank."""
    height, width, _ = picture.pixels.shape
    rows_mm, columns_mm = picture.header.spacing_mm or (1.0, 1.0)
    for _ in range(10):
        out_h, out_w = SHAPES[rng.integers(len(SHAPES))]
        # The largest box of the output's proportions in millimetres, then 0.8 to 1 of it.
        unit = min(height * rows_mm / out_h, width * columns_mm / out_w) * rng.uniform(0.8, 1.0)
        box_h, box_w = out_h * unit / rows_mm, out_w * unit / columns_mm
        top, left = rng.uniform(0, height - box_h), rng.uniform(0, width - box_w)
        box = (left, top, left + box_w, top + box_h)
        image = Image.fromarray(picture.pixels)
        small = image.resize((out_w, out_h), Image.Resampling.BICUBIC, box=box)
        pixels = np.asarray(small)[:: rng.choice((1, -1)), :: rng.choice((1, -1))]
        if _gray(pixels).std() >= MIN_CONTRAST:
            return np.ascontiguousarray(pixels)
    return None
