# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Volumes with masks as slices: NIfTI files, and series of DICOM files, with NIfTI masks.

Axes: T slices, H rows, W columns.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
from jaxtyping import Shaped

from data_tools import scans
from data_tools.synthesis import label_files, mask_files, regions
from data_tools.synthesis import seeds as seeds_lib
from lingshu_jax.common import errors
from lingshu_jax.data import formats, formats_media, volume_files, volumes

NO_STRUCTURE = "no mask shows a structure"
_RUN = b"one run"  # groups files of a series; its hashes go nowhere


class _Volume(NamedTuple):
    """The slices of a volume, by the names that pictures have, and its masks on them."""

    frames: list[str]
    sides: tuple[int, int]
    masks: list[tuple[Shaped[np.ndarray, "T H W"], dict[str, str]]]


def items(
    layout: label_files.Layout, path: Path, names: list[str]
) -> Iterator[label_files.Item | formats.RowError]:
    """Slices that have a mask, of each NIfTI file and of each series of DICOM files.

    Args:
      layout: Of volumes.
      path: Folder of the set.
      names: From `label_files.matching`.
    """
    media = formats_media.MediaFiles(path)
    for members in _series(path, names):
        try:
            yield from _slices(layout, media, members)
        except formats.RowError as error:
            yield error
        except errors.UserError as error:
            yield formats.RowError(_without_names(error, path, members))


def _series(path: Path, names: list[str]) -> list[list[str]]:
    """NIfTI files alone; DICOM files of one series together, where its first one stands."""
    groups: dict[str, list[str]] = {}
    for below in names:
        key = below
        if not _is_nifti(below):
            try:
                key = f"series {scans.read(str(path / below), _RUN).series}"
            except errors.UserError:
                pass  # it is told when it is read
        groups.setdefault(key, []).append(below)
    return list(groups.values())


def _is_nifti(name: str) -> bool:
    return name.lower().endswith(volume_files.NIFTI_SUFFIXES)


def _slices(
    layout: label_files.Layout, media: formats_media.MediaFiles, members: Sequence[str]
) -> list[label_files.Item]:
    columns = label_files.columns(layout, members[0])
    masks = label_files.masks_of(layout, media, columns)
    if not masks:
        raise formats.RowError(label_files.NO_MASK)
    read = _nifti if _is_nifti(members[0]) else _dicom
    volume = read(layout, [label_files.inside(media, below) for below in members], masks)
    found = _boxes(layout, volume)
    with_mask = sorted(found)[:: layout.every]
    if not with_mask:
        raise formats.RowError(NO_STRUCTURE)
    chosen = volume_files.Choice(frames=layout.most or None).indices(len(with_mask))
    return [
        label_files.Item(
            key=f"{members[0]} {place}",
            image=volume.frames[place],
            columns=columns,
            labels=label_files.named(found[place]),
            boxes=tuple(found[place]),
            masks={file: ", ".join(names.values()) for file, names in masks},
            volume=members[0],
        )
        for place in (with_mask[i] for i in chosen)
    ]


def _nifti(
    layout: label_files.Layout, files: Sequence[str], masks: list[tuple[str, dict[str, str]]]
) -> _Volume:
    plane = cast(volumes.Plane, layout.plane)
    choice = volume_files.Choice(plane=plane)
    shape = volume_files.VolumeFile(files[0], "nifti", choice).read_shape()
    frames = [
        files[0] + choice._replace(frame=frame).fragment() for frame in range(shape.num_frames)
    ]
    read = [(mask_files.read_volume(file, plane), names) for file, names in masks]
    return _Volume(frames, (shape.height, shape.width), read)


def _dicom(
    layout: label_files.Layout, files: Sequence[str], masks: list[tuple[str, dict[str, str]]]
) -> _Volume:
    """The slices of a series along their normal, and the mask looked up at their places."""
    del layout
    slices = sorted(
        ((mask_files.read_place(file), file) for file in files), key=lambda one: one[0].depth
    )
    places = [place for place, _ in slices]
    if len({place.shape for place in places}) > 1:
        raise formats.RowError("slices of several sizes")
    frames = [file + volume_files.Choice(frame=0).fragment() for _, file in slices]
    read = [(mask_files.read_at(file, places), names) for file, names in masks]
    return _Volume(frames, places[0].shape, read)


def _boxes(layout: label_files.Layout, volume: _Volume) -> dict[int, list[seeds_lib.Box]]:
    """The boxes of each slice that has any."""
    found: dict[int, list[seeds_lib.Box]] = {}
    for values, names in volume.masks:
        if values.shape != (len(volume.frames), *volume.sides):
            raise formats.RowError("the mask is of another size than the volume")
        for name, mask in mask_files.structures(values, names).items():
            for place in np.flatnonzero(mask.any(axis=(1, 2))).tolist():
                boxes = regions.of_mask(mask[place], name, least_area=layout.least_area)
                if boxes:
                    found[place] = regions.merge([*found.get(place, ()), *boxes])
    return found


def _without_names(error: Exception, path: Path, members: Sequence[str]) -> str:
    """A reason that names no file: names may say whose picture it is."""
    said = formats.one_line(error)
    for below in members:
        for name in (str((path / below).resolve()), str(path / below), below):
            said = said.replace(name, "the file")
    return said
