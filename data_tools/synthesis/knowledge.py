# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Short passages about what a picture shows, attached to prompts as background.

The paper (arXiv 2506.07044, 2.2.1) attaches knowledge from the web. Here it is a file of the
user's, so that where each passage is from, and on what terms, is known and kept:

    {"term": "glioma", "text": "...", "source": "MedQuAD 0000160-1", "licence": "CC-BY-4.0"}

as JSON lines, a JSON list or Parquet. A passage is taken where its term is a label, or one of the
parts of a label, letter for letter when both are written plainly; nothing is guessed.
"""

import functools
import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lingshu_jax.common import errors
from lingshu_jax.data import formats

_COLUMNS = ("term", "text", "source", "licence")
_DIGEST = 16  # hexadecimal digits
_PARTS = re.compile(r"[,;|/]|\band\b|\bwith\b")
_END = re.compile(r"(?<=[.!?])\s")
MOST_CHARACTERS = 600  # of a passage in a prompt


class Passage(NamedTuple):
    """A piece of background.

    Attributes:
      term: What it is about.
      text: The text.
      source: Where it is from.
      licence: On what terms.
    """

    term: str
    text: str
    source: str
    licence: str

    @property
    def origin(self) -> dict[str, str]:
        """All but the text, for the provenance of rows."""
        return {"term": self.term, "source": self.source, "licence": self.licence}


class Library(NamedTuple):
    """The passages of a file.

    Attributes:
      passages: Of each plain term, in the order of the file.
      digest: Of the file.
    """

    passages: Mapping[str, tuple[Passage, ...]]
    digest: str

    def find(self, labels: Iterable[str], most: int) -> tuple[Passage, ...]:
        """The passages about some labels, one each, then second ones.

        Args:
          labels: What a picture shows.
          most: At most so many.
        """
        terms = dict.fromkeys(term for label in labels for term in _terms(label))
        found = [self.passages[term] for term in terms if term in self.passages]
        deepest = max(map(len, found), default=0)
        chosen = [of[turn] for turn in range(deepest) for of in found if turn < len(of)]
        return tuple(chosen[:most])


NOTHING = Library({}, "")


def load(path: str) -> Library:
    """The passages of a file; one that was read is kept while it stays the same.

    Args:
      path: Of the file; "" has none.

    Raises:
      UserError: If it is not there, or a row lacks a text.
    """
    if not path:
        return NOTHING
    try:
        found = Path(path).stat()
    except OSError as error:
        raise errors.UserError(f"no such file of passages: {path}") from error
    return _load(path, found.st_mtime_ns, found.st_size)


def plain(term: str) -> str:
    """A term in small letters, without accents, marks and double blanks.

    >>> plain("Ewing's  sarcoma"), plain("COVID-19")
    ('ewings sarcoma', 'covid 19')
    """
    decomposed = unicodedata.normalize("NFKD", term.casefold())
    kept = "".join(one for one in decomposed if not unicodedata.combining(one))
    return " ".join(re.sub(r"[^\w]+", " ", re.sub(r"['’]", "", kept)).split())


def said(passages: Iterable[Passage]) -> str:
    """Passages as a prompt holds them, each cut at the end of a sentence.

    Args:
      passages: From `Library.find`.
    """
    return "\n".join(f"- {passage.term}: {_short(passage.text)}" for passage in passages)


def _terms(label: str) -> list[str]:
    """A label and its parts, plainly; what stands in brackets does not count."""
    whole = re.sub(r"\([^)]*\)", " ", label)
    return [term for term in map(plain, (whole, *_PARTS.split(whole))) if term]


@functools.lru_cache(4)
def _load(path: str, changed: int, size: int) -> Library:
    del changed, size  # tell the versions of a file apart
    passages: dict[str, list[Passage]] = {}
    for line, row in formats.read_rows(Path(path)):
        if isinstance(row, formats.RowError):
            raise errors.UserError(f"{path}, row {line}: {row}")
        passage = _passage(row, f"{path}, row {line}")
        passages.setdefault(plain(passage.term), []).append(passage)
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:_DIGEST]
    return Library({term: tuple(of) for term, of in passages.items()}, digest)


def _passage(row: Mapping[str, Any], where: str) -> Passage:
    values = {}
    for column in _COLUMNS:
        value = row.get(column)
        if not isinstance(value, str) or not value.strip():
            raise errors.UserError(
                f"{where}: {column} must be a text; a passage has {', '.join(_COLUMNS)}"
            )
        values[column] = " ".join(value.split())
    if not plain(values["term"]):
        raise errors.UserError(f"{where}: term {values['term']!r} has no letter")
    return Passage(**values)


def _short(text: str) -> str:
    """The first sentences of a text; of a first one that is too long, its beginning."""
    if len(text) <= MOST_CHARACTERS:
        return text
    kept = ""
    for sentence in _END.split(text):
        if len(kept) + len(sentence) > MOST_CHARACTERS:
            break
        kept = f"{kept} {sentence}".strip()
    return kept or f"{text[:MOST_CHARACTERS].rsplit(' ', 1)[0]} ..."
