# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The step that leaves out what is not worth training on, and takes out what has no meaning.

From the paper (arXiv 2506.07044, 2.1.4): pictures with a side under 64 pixels, captions of fewer
than 10 or more than 1,024 tokens. Ours: pictures that do not decode or show nothing, clips of
repeated frames, other languages, call-outs, citations and hidden words of captions, identifiers.
"""

import dataclasses
import functools
import importlib.metadata
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_tools import filter_images, filter_texts, steps
from data_tools import rows as rows_lib
from lingshu_jax.common import errors

_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_LIBRARIES = ("pillow", "langdetect", "phonenumbers")


@dataclasses.dataclass(kw_only=True)
class Config:
    """What stays.

    Attributes:
      min_side: Of a picture, pixels (paper).
      min_spread: Grey values have to be further apart, 0 to 255; else a picture is blank.
      max_repeated: Share of frames of a clip that may equal the one before.
      min_tokens: Of a caption (paper).
      max_tokens: Of a caption (paper).
      tokenizer: Folder of the tokenizer that counts them; "" counts words. Which one the paper
        counts with is not stated.
      languages: Of the answers; what cannot be told stays. Empty keeps all.
      clean_captions: Takes call-outs and citations out of captions.
      mask_personal: Puts a mark in the place of identifiers; without it such rows are dropped.
      region: Country of telephone numbers without a prefix.
    """

    min_side: int = 64
    min_spread: float = 4.0
    max_repeated: float = 0.9
    min_tokens: int = 10
    max_tokens: int = 1024
    tokenizer: str = ""
    languages: tuple[str, ...] = ("en", "zh")
    clean_captions: bool = True
    mask_personal: bool = True
    region: str = "US"

    def validate(self) -> None:
        """Raises UserError naming the field, its value and what is allowed."""
        for name, low, high in (
            ("min_side", 1, 10_000),
            ("min_spread", 0, 255),
            ("max_repeated", 0, 1),
            ("min_tokens", 0, self.max_tokens),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise errors.UserError(
                    f"config.filters.{name} must be {low} to {high}, got {value}"
                )
        if self.tokenizer and not Path(self.tokenizer).is_dir():
            raise errors.UserError(f"config.filters.tokenizer: no folder {self.tokenizer}")


@dataclasses.dataclass(frozen=True)
class Filters:
    """The step.

    Attributes:
      config: What stays.
      kinds: Kind of each source by name.
    """

    config: Config
    kinds: Mapping[str, str]
    name: str = "filters"

    def settings(self) -> dict[str, Any]:
        """As of `steps.Step`."""
        versions = {library: importlib.metadata.version(library) for library in _LIBRARIES}
        return {
            **dataclasses.asdict(self.config),
            "tokenizer": bool(self.config.tokenizer),
            "kinds": dict(self.kinds),
            "rules": filter_texts.VERSION,
            "libraries": versions,
        }

    def plan(self, source: Path, folder: Path, run: steps.Run) -> None:
        """Every row is judged by itself."""

    def apply(self, rows: Sequence[rows_lib.Row], folder: Path, part: str) -> steps.Outcome:
        """As of `steps.Step`."""
        del folder, part
        count = filter_texts.counter(self.config.tokenizer)
        look = functools.cache(self._look)  # many rows may be about one picture
        kept, dropped = [], []
        for row in rows:
            found = self._judge(row, count, look)
            (kept if isinstance(found, rows_lib.Row) else dropped).append(found)
        return steps.Outcome(kept, dropped)

    def _look(self, medium: rows_lib.Medium) -> filter_images.Look:
        return filter_images.look(
            medium,
            min_side=self.config.min_side,
            min_spread=self.config.min_spread,
            max_repeated=self.config.max_repeated,
        )

    def _judge(
        self,
        row: rows_lib.Row,
        count: Callable[[str], int],
        look: Callable[[rows_lib.Medium], filter_images.Look],
    ) -> rows_lib.Row | rows_lib.Dropped:
        sizes = []
        for medium in row.media:
            seen = look(medium)
            if seen.fault is not None:
                return rows_lib.Dropped.of(row, seen.fault.reason, seen.fault.detail)
            sizes.append(seen.size)
        if self.kinds[row.source] == "captions":
            found = self._caption(row, count)
            if isinstance(found, rows_lib.Dropped):
                return found
            row = found
        row = row.knowing(image_sizes=sizes) if sizes else row
        return self._text(row)

    def _caption(
        self, row: rows_lib.Row, count: Callable[[str], int]
    ) -> rows_lib.Row | rows_lib.Dropped:
        """A caption without what has no meaning, if enough is left and not too much."""
        removed: dict[str, int] = {}

        def clean(text: str) -> str:
            without = _without_hidden(text)
            if without != text:
                removed["hidden words"] = removed.get("hidden words", 0) + 1
            cleaned = filter_texts.clean_caption(without)
            for kind, times in cleaned.removed.items():
                removed[kind] = removed.get(kind, 0) + times
            return cleaned.text

        if self.config.clean_captions:
            row = _with_answers(row, clean)
        tokens = sum(map(count, row.texts("assistant")))
        if tokens < self.config.min_tokens:
            return rows_lib.Dropped.of(row, "short caption", f"{tokens} tokens")
        if tokens > self.config.max_tokens:
            return rows_lib.Dropped.of(row, "long caption", f"{tokens} tokens")
        return row.knowing(removed=removed) if removed else row

    def _text(self, row: rows_lib.Row) -> rows_lib.Row | rows_lib.Dropped:
        """Language and identifiers."""
        said = "\n".join(row.texts("assistant"))
        language = filter_texts.language(said)
        if language is not None and self.config.languages:
            if language not in self.config.languages:
                return rows_lib.Dropped.of(row, "language", language)
        spans = [
            span
            for text in row.texts()
            for span in filter_texts.personal(text, region=self.config.region)
        ]
        if spans and not self.config.mask_personal:
            kinds = ", ".join(sorted({span.kind for span in spans}))
            return dataclasses.replace(rows_lib.Dropped.of(row, "personal", kinds), text="")
        if spans:
            row = _with_texts(row, self._mask).knowing(masked=_count(spans))
        return row.knowing(language=language)

    def _mask(self, text: str) -> str:
        return filter_texts.mask(text, filter_texts.personal(text, region=self.config.region))


def _without_hidden(text: str) -> str:
    """A report without the sentences in which its publisher has hidden words."""
    if not filter_texts.count_hidden(text):
        return text
    sentences = _SENTENCE.split(text)
    return " ".join(one for one in sentences if not filter_texts.count_hidden(one))


def _with_answers(row: rows_lib.Row, change: Callable[[str], str]) -> rows_lib.Row:
    return _with_texts(row, change, role="assistant")


def _with_texts(row: rows_lib.Row, change: Callable[[str], str], *, role: str = "") -> rows_lib.Row:
    """A row with changed texts, of one role or of all."""
    messages = []
    for message in row.messages:
        if role in ("", message["role"]):
            content = [
                {**part, "text": change(part["text"])} if part["type"] == "text" else part
                for part in message["content"]
            ]
            message = {**message, "content": content}
        messages.append(message)
    return dataclasses.replace(row, messages=tuple(messages))


def _count(spans: Sequence[filter_texts.Span]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for span in spans:
        counts[span.kind] = counts.get(span.kind, 0) + 1
    return counts
