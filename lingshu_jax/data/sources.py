# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A named source of training rows, and the examples that it gives."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

from lingshu_jax.common import errors, paths
from lingshu_jax.data import formats, readers, targets

# What a source is of, for mixtures without one kind; "" says nothing.
GROUPS = (
    "medical_multimodal",
    "general_multimodal",
    "medical_text",
    "general_text",
    "captions",
    "synthetic",
    "reasoning",
)


@dataclasses.dataclass(kw_only=True, frozen=True)
class Example:
    """One conversation.

    Attributes:
      id: Unique within its source where the file's own ids are.
      source: Name of the source.
      line: Line of its file, 1 is the first; 0 where there is no file.
      messages: `{"role": "system|user|assistant", "content": [PART, ...]}`, a PART being
        `{"type": "text", "text": S}`, `{"type": "image", "image": PICTURE}` or
        `{"type": "video", "video": path or list of PICTUREs, "fps": float}`; a PICTURE is an
        absolute path, the bytes of a file, or a PIL image. An assistant's message may have
        `"loss": False`.
      meta: The row's other keys; `answer`, `answer_type` (yes_no, choice, open, number),
        `options`, `kind`, `image_id` where the source has them.
      train_on: As in its source.
    """

    id: str
    source: str
    line: int = 0
    messages: tuple[dict[str, Any], ...]
    meta: dict[str, Any] = dataclasses.field(default_factory=dict)
    train_on: targets.TrainOn = "all"


@dataclasses.dataclass(kw_only=True, frozen=True)
class Dropped:
    """A refused row, as `dropped.jsonl` shows it; `line` is 1 for the first row."""

    id: str
    source: str
    line: int
    reason: str

    @property
    def text(self) -> str:
        """All of it in one line, for an error."""
        return f"{self.source}, line {self.line}, id {self.id!r}: {self.reason}"


class Reading(NamedTuple):
    """All rows of a source: good ones in the file's order, and the refused ones."""

    examples: list[Example]
    dropped: list[Dropped]


@dataclasses.dataclass(kw_only=True)
class Source:
    """Where rows come from; a part of a stage's config.

    Attributes:
      name: Unique in a mixture; metrics are reported under it.
      path: File or folder, absolute or relative to `root` of `read`; perhaps in an object store.
      format: "messages", "llava", "swift", "llamafactory", "verl", "easyr1", "vqa_rad",
        "array_record" or "tfds", see docs/data_formats.md.
      image_root: Folder that all media paths start from; "" means the file's own.
      allow_outside: Media may lie outside the image root, by absolute paths, `..` or links.
      media_newline: Around an image tag, "keep" the text, "swallow_one" newline on either side,
        or "strip" the text.
      train_on: "all" answers, the "last" one of each conversation, or the "reasoning" alone; see
        `targets.py`.
      weight: Copies of each row in an epoch; 0.5 takes one half in turn with the other.
      epochs: Passes over the rows in the whole run, instead of `weight`; 0 lets that count.
      limit: At most so many rows, the first of a seeded shuffle; 0 is all.
      group: What kind of data it is: "medical_multimodal", "general_multimodal", "medical_text",
        "general_text", "captions", "synthetic", "reasoning" or "".
      split: For formats and folders that have splits of their own.
      dataset: For `llamafactory`: entries of dataset_info.json, joined by commas; "" is all.
      columns: Our name of a column to the file's, as {"answer": "label"}.
    """

    name: str
    path: str
    format: str = "messages"
    image_root: str = ""
    allow_outside: bool = False
    media_newline: str = "keep"
    train_on: str = "all"
    weight: float = 1.0
    epochs: float = 0.0
    limit: int = 0
    group: str = ""
    split: str = "train"
    dataset: str = ""
    columns: dict[str, str] = dataclasses.field(default_factory=dict)

    def validate(self) -> None:
        """Raises UserError naming the field, its value and what is allowed."""
        if not self.name:
            raise errors.UserError("a data source needs a name")
        if not self.path:
            raise errors.UserError(f"source {self.name!r}: path is empty")
        known = readers.get(self.format)
        self._validate_share()
        splits = known.splits or (self.split,)
        for field, value, allowed in (
            ("split", self.split, splits),
            ("media_newline", self.media_newline, formats.MEDIA_NEWLINES),
            ("train_on", self.train_on, targets.TRAIN_ON),
            *(("column", column, known.columns) for column in self.columns),
        ):
            if not value or value not in allowed:
                raise errors.UserError(
                    f"source {self.name!r}: unknown {field} {value!r} of format {self.format}; "
                    f"allowed: {', '.join(filter(None, allowed)) or 'none'}"
                )

    def _validate_share(self) -> None:
        for field, value, is_good, allowed in (
            ("weight", self.weight, 0 < self.weight < float("inf"), "> 0"),
            ("epochs", self.epochs, 0 <= self.epochs < float("inf"), ">= 0"),
            ("limit", self.limit, self.limit >= 0, ">= 0"),
            ("weight", self.weight, not self.epochs or self.weight == 1, "1 beside epochs"),
            ("group", self.group, self.group in ("", *GROUPS), f"one of {', '.join(GROUPS)}"),
        ):
            if not is_good:
                raise errors.UserError(
                    f"source {self.name!r}: {field} must be {allowed}, got {value!r}"
                )


def records(source: Source, root: Path | str = "") -> Iterator[formats.Record | formats.Refusal]:
    """The rows of a source one after the other, good and refused.

    Args:
      source: What to read.
      root: Folder that relative paths of the source start from.

    Raises:
      UserError: If the source is ill-formed or its file is missing.
    """
    source.validate()
    image_root = _image_root(source, root) if source.image_root else None
    if image_root is not None and not image_root.is_dir():
        raise errors.UserError(f"source {source.name!r}: no such image root: {image_root}")
    return readers.get(source.format).read(_rows_at(source, root), _options(source, image_root))


def read(source: Source, root: Path | str = "") -> Reading:
    """Reads every row of a source; none is left out without a `Dropped` entry.

    Args:
      source: What to read.
      root: As in `records`.

    Raises:
      UserError: As in `records`.
    """
    examples, dropped = [], []
    for row in stream(source, root):
        if isinstance(row, Dropped):
            dropped.append(row)
        else:
            examples.append(row)
    return Reading(examples, dropped)


def stream(source: Source, root: Path | str = "") -> Iterator[Example | Dropped]:
    """The same, one row after the other and in the file's order.

    Args:
      source: What to read.
      root: As in `records`.

    Raises:
      UserError: As in `records`.
    """
    for row in records(source, root):
        place = {"id": row.row_id, "source": source.name, "line": row.line}
        if isinstance(row, formats.Refusal):
            yield Dropped(**place, reason=row.reason)
        else:
            train_on = cast(targets.TrainOn, source.train_on)
            yield Example(**place, messages=row.messages, meta=row.meta, train_on=train_on)


def absent(source: Source, root: Path | str = "") -> list[Path]:
    """What a source names and is not there: its file or folder, its image root.

    Args:
      source: What is to be read.
      root: As in `records`.
    """
    places = [_rows_at(source, root)]
    places += [_image_root(source, root)] if source.image_root else []
    return [place for place in places if not os.path.exists(place)]


def row_files(source: Source, root: Path | str = "") -> list[Path]:
    """The files that hold the rows of a source.

    Args:
      source: What is read.
      root: As in `records`.

    Raises:
      UserError: If there is none.
    """
    return readers.get(source.format).row_files(_rows_at(source, root), _options(source, None))


def _rows_at(source: Source, root: Path | str) -> Path:
    path = paths.under(root, source.path)
    paths.fetch_once(str(path))
    return path


def _image_root(source: Source, root: Path | str) -> Path:
    """Its files are fetched when rows name them (`formats_media.py`)."""
    path = paths.under(root, source.image_root)
    paths.fetch_folder(path)
    return path


def _options(source: Source, image_root: Path | None) -> formats.Options:
    return formats.Options(
        image_root=image_root,
        allow_outside=source.allow_outside,
        media_newline=cast(formats.MediaNewline, source.media_newline),
        split=source.split,
        dataset=source.dataset,
        columns=source.columns,
    )
