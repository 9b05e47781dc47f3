# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The layouts of sets of labelled pictures, each as a stream of items.

An item is a picture with what its publisher says of it, not yet put into words. What cannot be used
is a `RowError` in its place.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast
from xml.etree import ElementTree

from data_tools.adapters import reading
from data_tools.synthesis import label_files, label_volumes, mask_files
from data_tools.synthesis import seeds as seeds_lib
from lingshu_jax.common import errors
from lingshu_jax.data import formats, formats_media, images

Found = tuple[int, label_files.Item | formats.RowError]
# Of a file of boxes: beside it, in a folder beside its own, anywhere.
_VOC_PICTURES = "{dir}/{filename}|{dir}/../*/{filename}|**/{filename}"


def stream(layout: label_files.Layout, path: Path) -> Iterator[Found]:
    """Every picture of a set with its place, or why it cannot be used.

    Args:
      layout: How the set lies.
      path: Its folder or table, which is there.

    Raises:
      UserError: If it holds no picture, or no table.
    """
    if layout.layout in label_files.TABLES:
        yield from _table(layout, path)
        return
    names = label_files.matching(layout, path)
    if layout.layout == label_files.VOLUME:
        yield from enumerate(label_volumes.items(layout, path, names), start=1)
        return
    read = _voc_item if layout.layout == label_files.VOC else _picture_item
    media = formats_media.MediaFiles(path)
    for line, below in enumerate(names, start=1):
        try:
            yield line, read(layout, media, below)
        except formats.RowError as error:
            yield line, error


def parse_xml(file: Path) -> ElementTree.Element:
    """The root of an XML file without a document type, and so without entities of its own.

    Args:
      file: Which.

    Raises:
      RowError: If it is broken, or declares a document type.
    """
    try:
        return ElementTree.parse(file, ElementTree.XMLParser(target=_NoDoctype())).getroot()
    except formats.RowError:
        raise
    except (ElementTree.ParseError, ValueError, OSError) as error:
        raise formats.RowError("broken XML") from error


def _table(layout: label_files.Layout, path: Path) -> Iterator[Found]:
    tables, root = [path], path.parent
    if path.is_dir():
        pattern = layout.table or f"*.{layout.layout}"
        tables, root = sorted(path.glob(pattern)), path
        if not tables:
            raise errors.UserError(f"{path} holds no {pattern}")
    media = formats_media.MediaFiles(root)
    for file in tables:
        rows = (
            formats.read_rows(file) if layout.layout == label_files.JSONL else reading.table(file)
        )
        for line, row in rows:
            try:
                yield line, _row_item(layout, media, row)
            except formats.RowError as error:
                yield line, error


def _row_item(
    layout: label_files.Layout, media: formats_media.MediaFiles, row: Any
) -> label_files.Item:
    if isinstance(row, formats.RowError):
        raise row
    named = row.get(layout.image_column)
    if not isinstance(named, str) or not named.strip():
        raise formats.RowError(f"no {layout.image_column!r} that names a picture")
    image = label_files.inside(media, named.strip()) if not layout.image_pattern else ""
    item = label_files.Item(
        key=named.strip(), image=image or _one_of(media, layout.image_pattern, row), columns=row
    )
    if layout.layout == label_files.JSONL:
        item = _with_said(layout, media, item)
    return label_files.with_masks(layout, media, item) if layout.has_masks() else item


def _with_said(
    layout: label_files.Layout, media: formats_media.MediaFiles, item: label_files.Item
) -> label_files.Item:
    """An item with the labels, boxes and masks that its row has."""
    masks = _said_masks(media, item.columns.get("masks"))
    boxes = [*_said_boxes(item.image, item.columns.get("boxes"))]
    for file, name in masks.items():
        names = {mask_files.ANY: name}
        boxes += label_files.mask_boxes(item.image, file, names, layout.least_area)
    said = _said_labels(item.columns.get("labels"))
    labels = {**said, **label_files.named(boxes), **said}  # its own word stays, in its place
    return dataclasses.replace(item, labels=labels, boxes=tuple(boxes), masks=masks)


def _picture_item(
    layout: label_files.Layout, media: formats_media.MediaFiles, below: str
) -> label_files.Item:
    """A picture, with its masks where it has some."""
    item = label_files.Item(
        key=below,
        image=label_files.inside(media, below),
        columns=label_files.columns(layout, below),
    )
    return label_files.with_masks(layout, media, item) if layout.has_masks() else item


def _voc_item(
    layout: label_files.Layout, media: formats_media.MediaFiles, below: str
) -> label_files.Item:
    """The boxes of an XML file of Pascal VOC."""
    root = parse_xml(media.root / below)
    filename = (root.findtext("filename") or "").strip()
    columns = {**label_files.columns(layout, below), "filename": filename}
    image = _one_of(media, layout.image_pattern or _VOC_PICTURES, columns)
    boxes = _clipped(image, [_voc_box(one, layout.structures) for one in root.iter("object")])
    labels = {"structures": _counted(boxes)} if boxes else {}
    return label_files.Item(key=below, image=image, columns=columns, boxes=boxes, labels=labels)


def _voc_box(element: ElementTree.Element, names: Mapping[str, str]) -> seeds_lib.Box:
    """A box; the first pixel of a picture is 1 there, and the last one of a box counts."""
    label = (element.findtext("name") or "").strip()
    if not label or (names and label not in names):
        raise formats.RowError(f"a box of unknown name {label!r:.20}")
    try:
        left, top, right, bottom = (
            round(float(element.findtext(f"bndbox/{side}") or ""))
            for side in ("xmin", "ymin", "xmax", "ymax")
        )
    except (ValueError, OverflowError):
        raise formats.RowError("a box without corners") from None
    return seeds_lib.Box(names.get(label, label), left - 1, top - 1, right, bottom)


class _NoDoctype(ElementTree.TreeBuilder):
    """Refuses document types: entities that grow when they are read are declared there."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        """Called where one begins."""
        del name, pubid, system
        raise formats.RowError("XML with a document type")


def _counted(boxes: Sequence[seeds_lib.Box]) -> str:
    """What boxes show and how many of each: "red blood cell (12), white blood cell (1)"."""
    found = Counter(box.label for box in boxes)
    return ", ".join(f"{label} ({count})" for label, count in sorted(found.items()))


def _said_labels(value: Any) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise formats.RowError("labels must be an object")
    return {str(name): str(one) for name, one in value.items() if one not in (None, "")}


def _said_boxes(image: str, value: Any) -> tuple[seeds_lib.Box, ...]:
    """Boxes of a row: {"label": "nodule", "box": [left, top, right, bottom]}."""
    if value is not None and not isinstance(value, list):
        raise formats.RowError("boxes must be a list")
    return _clipped(image, [_said_box(one) for one in value or ()])


def _said_box(value: Any) -> seeds_lib.Box:
    found = value if isinstance(value, dict) else {}
    label, sides = found.get("label"), found.get("box")
    is_box = isinstance(sides, list) and len(sides) == 4 and all(map(_is_number, sides))
    if not isinstance(label, str) or not label.strip() or not is_box:
        raise formats.RowError("a box must be {label, box: [left, top, right, bottom]}")
    left, top, right, bottom = (round(side) for side in cast(list[float], sides))
    return seeds_lib.Box(label.strip(), left, top, right, bottom)


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) < 1e9  # not inf or nan, which JSON may hold


def _said_masks(media: formats_media.MediaFiles, value: Any) -> dict[str, str]:
    """Masks of a row: {"mask.png": "nodule"}."""
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise formats.RowError("masks must be an object of files with what each shows")
    return {label_files.inside(media, str(file)): name for file, name in value.items()}


def _clipped(image: str, boxes: Sequence[seeds_lib.Box]) -> tuple[seeds_lib.Box, ...]:
    """Boxes inside of their picture; one that lies outside is an error of the publisher."""
    if not boxes:
        return ()
    try:
        shape = images.read_shape(image, is_video=False)
    except errors.UserError:
        raise formats.RowError("the picture does not decode") from None
    found = []
    for label, left, top, right, bottom in boxes:
        box = seeds_lib.Box(
            label, max(left, 0), max(top, 0), min(right, shape.width), min(bottom, shape.height)
        )
        if box.left >= box.right or box.top >= box.bottom:
            raise formats.RowError("a box without an inside, or outside of its picture")
        found.append(box)
    return tuple(found)


def _one_of(media: formats_media.MediaFiles, patterns: str, columns: Mapping[str, Any]) -> str:
    found = label_files.all_of(media, patterns, columns)
    if not found:
        raise formats.RowError(label_files.NO_PICTURE)
    return found[0]
