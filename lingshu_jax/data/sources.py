# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A named source of training rows, and the examples that it gives."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

from lingshu_jax.common import errors
from lingshu_jax.data import formats

SPLITS = ("train", "test")


@dataclasses.dataclass(kw_only=True, frozen=True)
class Example:
    """One conversation.

    Attributes:
      id: Unique within its source where the file's own ids are.
      source: Name of the source.
      line: Line of its file, 1 is the first; 0 where there is no file.
      messages: `{"role": "system|user|assistant", "content": [PART, ...]}`, a PART being
        `{"type": "text", "text": S}`, `{"type": "image", "image": path or PIL image}` or
        `{"type": "video", "video": path or list of frames, "fps": float}`; paths absolute.
      meta: The row's other keys; `answer`, `answer_type` (yes_no, choice, open, number),
        `options`, `kind`, `image_id` where the source has them.
    """

    id: str
    source: str
    line: int = 0
    messages: tuple[dict[str, Any], ...]
    meta: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(kw_only=True, frozen=True)
class Dropped:
    """A refused row, as `dropped.jsonl` shows it; `line` is 1 for the first row."""

    id: str
    source: str
    line: int
    reason: str


class Reading(NamedTuple):
    """All rows of a source: good ones in the file's order, and the refused ones."""

    examples: list[Example]
    dropped: list[Dropped]


@dataclasses.dataclass(kw_only=True)
class Source:
    """Where rows come from; a part of a stage's config.

    Attributes:
      name: Unique in a mixture; metrics are reported under it.
      path: File or folder, absolute or relative to `root` of `read`.
      format: A word of `formats.FORMATS`.
      image_root: Folder that holds all media; "" means relative to the file.
      weight: Copies of each row in an epoch; 0.5 takes a seeded half of the rows.
      split: For formats that have splits of their own.
    """

    name: str
    path: str
    format: str = "messages"
    image_root: str = ""
    weight: float = 1.0
    split: str = "train"

    def validate(self) -> None:
        """Raises UserError naming the field, its value and what is allowed."""
        if not self.name:
            raise errors.UserError("a data source needs a name")
        if not self.path:
            raise errors.UserError(f"source {self.name!r}: path is empty")
        formats.reader(self.format)
        if not 0 < self.weight < float("inf"):
            raise errors.UserError(f"source {self.name!r}: weight must be > 0, got {self.weight}")
        if self.split not in SPLITS:
            allowed = ", ".join(SPLITS)
            raise errors.UserError(
                f"source {self.name!r}: unknown split {self.split!r}; allowed: {allowed}"
            )


def read(source: Source, root: Path | str = "") -> Reading:
    """Reads every row of a source; none is left out without a `Dropped` entry.

    Args:
      source: What to read.
      root: Folder that relative paths of the source start from.

    Raises:
      UserError: If the source is ill-formed or its file is missing.
    """
    source.validate()
    image_root = Path(root, source.image_root).absolute() if source.image_root else None
    if image_root is not None and not image_root.is_dir():
        raise errors.UserError(f"source {source.name!r}: no such image root: {image_root}")
    examples, dropped = [], []
    read_file = formats.reader(source.format)
    for row in read_file(Path(root, source.path).absolute(), image_root, source.split):
        place = {"id": row.row_id, "source": source.name, "line": row.line}
        if isinstance(row, formats.Refusal):
            dropped.append(Dropped(**place, reason=row.reason))
        else:
            examples.append(Example(**place, messages=row.messages, meta=row.meta))
    return Reading(examples, dropped)
