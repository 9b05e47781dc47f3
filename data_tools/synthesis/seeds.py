# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What is written about: a row of a source, or a picture with labels."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from data_tools import config as config_lib
from data_tools import examples, source_rows
from data_tools import rows as rows_lib
from lingshu_jax.data import sources

CAPTIONS = "captions"
_ANSWER, _OPTIONS = "answer", "options"


class Box(NamedTuple):
    """A region of a picture.

    Attributes:
      label: What is there.
      left: First column, in pixels; the others likewise.
      top: First row.
      right: One after the last column.
      bottom: One after the last row.
    """

    label: str
    left: int
    top: int
    right: int
    bottom: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Seed:
    """What a recipe is given.

    Attributes:
      id: `<source>/<own id>`, the parent of what is written; as rows of a curation are named.
      source: Its source.
      media: Pictures.
      messages: The turns of a row, as of `rows.Row`; none of labelled pictures.
      question: The first question of a row, without options.
      options: Of the question, without letters; none of an open question.
      answer: What is right; of options, the text of the right one.
      caption: What is said of the picture.
      labels: What is known of the picture, by name: finding, organ, stain, view, ...
      boxes: Regions, in pixels of the first picture.
      masks: Files of masks, with what each shows.
      modality: A word of `modality_names`; "" where it is not known.
      dataset: What wrote the labels, which decides how they are put into words.
      case: A hash of the patient or case; "" where it is not known.
    """

    id: str
    source: str
    media: tuple[rows_lib.Medium, ...] = ()
    messages: tuple[dict[str, Any], ...] = ()
    question: str = ""
    options: tuple[str, ...] = ()
    answer: str = ""
    caption: str = ""
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    boxes: tuple[Box, ...] = ()
    masks: Mapping[str, str] = dataclasses.field(default_factory=dict)
    modality: str = ""
    dataset: str = ""
    case: str = ""


def stream(source: config_lib.CuratedSource, root: str) -> Iterator[Seed | sources.Dropped]:
    """A seed for each row of a source, in their order.

    Args:
      source: What is read.
      root: Folder that relative paths start from.

    Raises:
      UserError: If the source is not there or ill-formed.
    """
    for example in source_rows.stream(source, root):
        if isinstance(example, sources.Dropped):
            yield example
        else:
            yield from_row(examples.from_example(example), kind=source.kind)


def from_row(row: rows_lib.Row, *, kind: str) -> Seed:
    """A row as a seed.

    Args:
      row: Of a source.
      kind: A word of `config.KINDS`.
    """
    questions, answers = row.texts("user"), row.texts("assistant")
    said = answers[0].strip() if answers else ""
    if kind == CAPTIONS:
        return _seed(row, caption=said)
    options = _options(row.meta.get(_OPTIONS))
    given = row.meta.get(_ANSWER)
    answer = given.strip() if isinstance(given, str) and given.strip() else said
    if options and len(answer) == 1 and answer in options:
        answer = options[answer]
    question = questions[0].strip() if questions else ""
    return _seed(
        row,
        question=_without_options(question, options),
        options=tuple(options.values()),
        answer=answer,
    )


def _seed(row: rows_lib.Row, **known: Any) -> Seed:
    modality = row.facts.get("modality") or row.meta.get("modality")
    return Seed(
        id=row.id,
        source=row.source,
        media=row.media,
        messages=row.messages,
        modality=modality if isinstance(modality, str) else "",
        **known,
    )


def _options(value: Any) -> dict[str, str]:
    """Options by their letters, however a publisher keeps them."""
    if isinstance(value, Mapping):
        return {str(k): str(v).strip() for k, v in value.items()}
    if isinstance(value, list | tuple):
        return {chr(ord("A") + i): str(v).strip() for i, v in enumerate(value)}
    return {}


def _without_options(question: str, options: Mapping[str, str]) -> str:
    """The question without the lines that list its options."""
    if not options:
        return question
    told = {f"{letter}{mark} {text}" for letter, text in options.items() for mark in ".:)"}
    lines = [line for line in question.splitlines() if line.strip() not in told]
    return "\n".join(lines).strip().removesuffix("Options:").strip()
