# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Where sets of labelled pictures lie on disk: names, patterns of names, masks beside pictures.

What cannot be used is a `RowError`, and never says the name of a file.
"""

import dataclasses
import functools
import glob
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_tools.synthesis import mask_files, regions
from data_tools.synthesis import seeds as seeds_lib
from lingshu_jax.common import errors
from lingshu_jax.data import formats, formats_media, images

JSONL, CSV, FOLDERS, VOC, MASKS, VOLUME = "jsonl", "csv", "folders", "voc", "masks", "volume"
LAYOUTS = (JSONL, CSV, FOLDERS, VOC, MASKS, VOLUME)
TABLES = (JSONL, CSV)
STRUCTURE = "structure"  # the place of a structure's word in the name of its mask's file
FROM_PATH = ("folder", "dir", "stem")  # columns that every path has
NO_PICTURE = "no such picture, or one outside of the folder"
NO_MASK = "no mask"
_PICTURES = r".*\.(?i:png|jpe?g|bmp|tiff?|webp|gif)"
_VOLUMES = r".*\.(?i:nii|nii\.gz|dcm|dicom)"
_XML = r".*\.(?i:xml)"
_FILES = {VOC: _XML, VOLUME: _VOLUMES}
_PLACES = re.compile(r"\{([^{}]+)\}")
_SUFFIX = re.compile(r"(\.nii|\.dcm)?(\.[A-Za-z0-9]+)$")


@dataclasses.dataclass(kw_only=True)
class Layout:
    """Where pictures and their labels are.

    Attributes:
      layout: "jsonl" or "csv", tables; "folders", where a folder is a class; "voc", boxes in XML;
        "masks", a mask beside each picture; "volume", NIfTI or DICOM with a NIfTI mask.
      path: The folder, or the table; perhaps below `root`.
      table: Pattern of the table's name below a folder; "" where `path` is it.
      image_column: Column of a table that names the picture.
      image_pattern: Where a picture of a table lies, with `{COLUMN}` for what a row says; several
        patterns are parted by "|". "" is what `image_column` says.
      files: Regular expression of the names of pictures (voc: of XML files) below the folder, for
        layouts without a table; its named groups become columns, and `folder`, `dir` and `stem` are
        others. "" is all of the kind.
      mask_pattern: Where the masks of a picture lie, as `image_pattern`; with `{structure}` each
        structure has a file of its own.
      structures: What values of a mask mean, as {"1": "kidney", "#ff0000": "vessel"}; {"any":
        "tumour"} is all but 0. Where structures have files, the words in their names.
      plane: In which NIfTI volumes are cut; DICOM has slices already.
      every: Of the slices with a mask every n-th one is taken.
      most: At most so many of a volume, evenly spaced; 0 is all.
      least_area: Pixels of the smallest part of a mask that gets a box.
    """

    layout: str
    path: str
    table: str = ""
    image_column: str = "image"
    image_pattern: str = ""
    files: str = ""
    mask_pattern: str = ""
    structures: dict[str, str] = dataclasses.field(default_factory=dict)
    plane: str = "axial"
    every: int = 1
    most: int = 8
    least_area: int = regions.LEAST_AREA

    def has_masks(self) -> bool:
        """Whether masks belong to its pictures."""
        return self.layout in (MASKS, VOLUME) or bool(self.mask_pattern)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Item:
    """A picture as its publisher leaves it.

    Attributes:
      key: Its own in the set.
      image: Path, perhaps with a fragment.
      columns: What the publisher says.
      labels: What is ready to be said.
      boxes: Regions.
      masks: Files of masks, with what each shows.
      volume: What the slices of one volume share; "" of a single picture.
    """

    key: str
    image: str
    columns: Mapping[str, Any]
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    boxes: tuple[seeds_lib.Box, ...] = ()
    masks: Mapping[str, str] = dataclasses.field(default_factory=dict)
    volume: str = ""


def filled(pattern: str, columns: Mapping[str, Any]) -> str:
    """A pattern of names with what a row says in the places of columns, taken literally.

    Args:
      pattern: With `{COLUMN}`.
      columns: Of the row.

    Raises:
      RowError: If the row has no such column.
    """

    def value(place: re.Match[str]) -> str:
        if not str(columns.get(place[1], "")):
            raise formats.RowError(f"no {place[1]!r} to find a file by")
        return glob.escape(str(columns[place[1]]))

    return _PLACES.sub(value, pattern)


def places(pattern: str) -> list[str]:
    """The columns that a pattern needs.

    Args:
      pattern: As of `filled`.
    """
    return _PLACES.findall(pattern)


@functools.lru_cache(8)
def _expression(text: str) -> re.Pattern[str]:
    return re.compile(text)


def expression(layout: Layout) -> re.Pattern[str]:
    """What the names of the files of a layout match.

    Args:
      layout: Without a table.
    """
    return _expression(layout.files or _FILES.get(layout.layout, _PICTURES))


def matching(layout: Layout, folder: Path) -> list[str]:
    """Names below a folder that the expression matches whole, in order; hidden files are none.

    Args:
      layout: Without a table.
      folder: Of the set.

    Raises:
      UserError: If there is none.
    """
    wanted = expression(layout)
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [one for one in folders if not one.startswith(".")]
        base = os.path.relpath(parent, folder).replace(os.sep, "/")
        for name in names:
            below = name if base == "." else f"{base}/{name}"
            if not name.startswith(".") and wanted.fullmatch(below):
                found.append(below)
    if not found:
        raise errors.UserError(f"{folder} holds no file whose name matches {wanted.pattern}")
    return sorted(found)


def columns(layout: Layout, below: str) -> dict[str, Any]:
    """What a name says: its folder, its stem, and the groups of the expression.

    Args:
      layout: Without a table.
      below: A name of `matching`.
    """
    parent, _, name = below.rpartition("/")
    match = expression(layout).fullmatch(below)
    groups = {k: v for k, v in match.groupdict().items() if v} if match else {}
    stem = _SUFFIX.sub("", name)
    return {"folder": parent.rpartition("/")[2], "dir": parent or ".", "stem": stem, **groups}


def inside(media: formats_media.MediaFiles, name: str) -> str:
    """A file below the folder of a set, as an absolute path.

    Args:
      media: The folder.
      name: Of the file.

    Raises:
      RowError: If it is not there, or lies outside.
    """
    try:
        return media.path(name)
    except formats.RowError:
        raise formats.RowError(NO_PICTURE) from None


def all_of(media: formats_media.MediaFiles, patterns: str, columns: Mapping[str, Any]) -> list[str]:
    """The files that the first pattern finds that finds any, in order.

    Args:
      media: The folder.
      patterns: As of `Layout.image_pattern`.
      columns: For its places.

    Raises:
      RowError: If a column is missing, or a file lies outside.
    """
    for pattern in patterns.split("|"):
        wanted = os.path.normpath(filled(pattern, columns))
        if found := sorted(glob.glob(wanted, root_dir=media.root, recursive=True)):
            return [inside(media, name) for name in found]
    return []


def with_masks(layout: Layout, media: formats_media.MediaFiles, item: Item) -> Item:
    """An item with the boxes of its masks.

    Args:
      layout: Which has masks.
      media: The folder.
      item: A picture.

    Raises:
      RowError: If a mask is of another size or does not decode; where masks are the layout, if
        there is none.
    """
    masks, boxes = dict(item.masks), [*item.boxes]
    for file, names in masks_of(layout, media, item.columns):
        masks[file] = ", ".join(names.values())
        boxes += mask_boxes(item.image, file, names, layout.least_area)
    if not masks and layout.layout == MASKS:
        raise formats.RowError(NO_MASK)
    boxes = regions.merge(boxes)
    labels = {**item.labels, **named(boxes)}
    return dataclasses.replace(item, boxes=tuple(boxes), masks=masks, labels=labels)


def masks_of(
    layout: Layout, media: formats_media.MediaFiles, columns: Mapping[str, Any]
) -> list[tuple[str, dict[str, str]]]:
    """Files of masks, each with the names of its values.

    Args:
      layout: Which has masks.
      media: The folder.
      columns: Of the picture.

    Raises:
      RowError: As of `all_of`.
    """
    if STRUCTURE not in places(layout.mask_pattern):
        files = all_of(media, layout.mask_pattern, columns)
        return [(file, layout.structures) for file in files]
    return [
        (file, {mask_files.ANY: name})
        for word, name in layout.structures.items()
        for file in all_of(media, layout.mask_pattern, {**columns, STRUCTURE: word})
    ]


def mask_boxes(
    image: str, file: str, names: Mapping[str, str], least_area: int
) -> list[seeds_lib.Box]:
    """The boxes of a mask.

    Args:
      image: The picture it belongs to.
      file: The mask.
      names: As of `mask_files.structures`.
      least_area: As of `Layout`.

    Raises:
      RowError: As of `with_masks`.
    """
    try:
        values = mask_files.read_picture(file)
        shape = images.read_shape(image, is_video=False)
    except errors.UserError as error:
        reason = str(error) if str(error).startswith("the mask") else "the picture does not decode"
        raise formats.RowError(reason) from None
    if values.shape[:2] != (shape.height, shape.width):
        raise formats.RowError("the mask is of another size than the picture")
    found = mask_files.structures(values, names, is_colour=values.ndim == 3)
    return [
        box
        for name, mask in found.items()
        for box in regions.of_mask(mask, name, least_area=least_area)
    ]


def named(boxes: Sequence[seeds_lib.Box]) -> dict[str, str]:
    """The label that says what boxes show; none without boxes.

    Args:
      boxes: Of a picture.
    """
    names = sorted({box.label for box in boxes})
    return {"structures": ", ".join(names)} if names else {}
