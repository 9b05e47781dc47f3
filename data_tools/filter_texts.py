# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a text, and what can be taken out of it: pure functions.

Rules of the medical literature: captions point at parts of a figure ("arrow", "(a)", "Fig. 2") and
at references ("[12]", "(Smith et al., 2010)"), and reports of Open-i hide names as "XXXX".
Identifiers of persons are found by `phonenumbers` and by the patterns below, which cover what
free text of clinics has: they are no proof that a text has none.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import langdetect
import phonenumbers
from langdetect import lang_detect_exception

from lingshu_jax.data import tokenizer as tokenizer_lib

VERSION = "2"
MASK = "[removed]"
# Of English answers of MedQuAD and MTS-Dialog, 4 % of 40 to 59 characters are taken for another
# language, and 0.5 % of 60 to 89; of those the library is sure of, 2 % and 0.2 %.
SHORTEST, SURE = 60, 0.9

_AUTHOR = r"[A-Z][\w'\u2019-]+"
_CITATION = re.compile(
    r"\s*(?:"
    r"\[\s*\d{1,3}(?:\s*[-,\u2013]\s*\d{1,3})*\s*\]"  # [12], [3-5], [1, 2]
    rf"|\(\s*(?:see\s+)?{_AUTHOR}(?:\s+(?:et al\.?|(?:and|&)\s+{_AUTHOR}))?"
    r",?\s*(?:19|20)\d{2}[a-z]?(?:\s*;[^()]{0,80})?\s*\)"  # (Smith et al., 2010)
    r")"
)
_FIGURE = re.compile(
    r"\(?\b(?:see\s+)?(?:supplementary\s+)?(?:fig(?:ure|s|\.)?|table|panel|plate)s?\.?\s*"
    r"(?:S?\d{1,3}[A-Za-z]?|[A-H])(?:\s*[-,\u2013]\s*(?:\d{1,3}[A-Za-z]?|[A-Ha-h]))*\b\)?[.:]?",
    re.IGNORECASE,
)
_PANEL = re.compile(r"(?<!\w)\(\s*(?:[a-h]|[A-H])(?:\s*[-,\u2013]\s*[a-hA-H])*\s*\)")
_POINTER = re.compile(
    r"\(\s*(?:see\s+)?(?:(?:black|white|red|yellow|blue|green|open|solid|curved|large|small|long"
    r"|short|thick|thin)\s+)*(?:arrow(?:\s?head)?s?|asterisks?|stars?)\s*\)",
    re.IGNORECASE,
)
_HIDDEN = re.compile(r"\bX{4,}\b")
_BLANKS = re.compile(r"[ \t]{2,}")
_BEFORE_MARK = re.compile(r"\s+([.,;:])")
_EMPTY = re.compile(r"\(\s*[,;]*\s*\)")

_PERSONAL = {
    "e-mail": re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b"),
    "web address": re.compile(r"\b(?:https?://|www\.)\S+", re.IGNORECASE),
    "social security number": re.compile(r"\b\d{3}-\d{2}-\d{4}\b"),
    "record number": re.compile(
        r"\b(?:MRN|medical record(?: number| no\.?)?|patient (?:id|number|no\.?)|accession"
        r"(?: number| no\.?)?|case (?:id|number|no\.?))\s*[:#]?\s*[A-Z]{0,3}\d[\w-]{3,}",
        re.IGNORECASE,
    ),
    "date": re.compile(
        r"\b(?:\d{1,2}[/.-]\d{1,2}[/.-](?:19|20)\d{2}|(?:19|20)\d{2}-\d{2}-\d{2}"
        r"|(?:\d{1,2}\s+)?(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?\s+"
        r"(?:\d{1,2}(?:st|nd|rd|th)?,?\s+)?(?:19|20)\d{2})\b",
        re.IGNORECASE,
    ),
    "name": re.compile(
        r"\b(?:Mr|Mrs|Ms|Dr|Prof)\.?\s+[A-Z][a-z]+(?:\s+[A-Z]\.)?(?:\s+[A-Z][a-z]+)?\b"
        r"|\b(?i:patient(?:\s+name)?|name)\s*:\s*[A-Z][a-z]+,?\s+[A-Z][a-z]+\b"
    ),
}


class Cleaned(NamedTuple):
    """A text without what has no meaning beside it.

    Attributes:
      text: What is left.
      removed: How often each kind was taken out.
    """

    text: str
    removed: dict[str, int]


class Span(NamedTuple):
    """Where an identifier stands: of what kind, from which character to which."""

    kind: str
    start: int
    end: int


def clean_caption(text: str) -> Cleaned:
    """Takes citation marks, call-outs of figures and panels, and pointers out of a caption.

    Args:
      text: A caption of the literature.
    """
    removed: dict[str, int] = {}
    for kind, pattern in (
        ("citation", _CITATION),
        ("figure call-out", _FIGURE),
        ("panel", _PANEL),
        ("pointer", _POINTER),
    ):
        text, count = pattern.subn(" ", text)
        if count:
            removed[kind] = count
    text = _EMPTY.sub(" ", text)
    return Cleaned(_BEFORE_MARK.sub(r"\1", _BLANKS.sub(" ", text)).strip(" ,;:"), removed)


def count_hidden(text: str) -> int:
    """How many words of a report were hidden as "XXXX" by its publisher."""
    return len(_HIDDEN.findall(text))


def personal(text: str, *, region: str = "US") -> list[Span]:
    """Where identifiers of persons stand, in their order; none overlap.

    Args:
      text: Any.
      region: Country whose telephone numbers have no prefix, as of `phonenumbers`.
    """
    found = [
        Span(kind, match.start(), match.end())
        for kind, pattern in _PERSONAL.items()
        for match in pattern.finditer(text)
    ]
    found += [
        Span("telephone number", match.start, match.end)
        for match in phonenumbers.PhoneNumberMatcher(text, region)
    ]
    spans: list[Span] = []
    for span in sorted(found, key=lambda span: (span.start, -span.end)):
        if not spans or span.start >= spans[-1].end:
            spans.append(span)
    return spans


def mask(text: str, spans: list[Span]) -> str:
    """The text with `MASK` in the place of spans.

    Args:
      text: Any.
      spans: From `personal`.
    """
    for span in reversed(spans):
        text = text[: span.start] + MASK + text[span.end :]
    return text


def language(text: str) -> str | None:
    """The language of a text as "en" or "zh"; None where it cannot be told.

    Args:
      text: Any; of fewer than `SHORTEST` characters it is told of Chinese alone, for which it is
        enough that most letters are.
    """
    letters = [character for character in text if character.isalpha()]
    if len(text.strip()) < SHORTEST and not any(map(_is_chinese, letters)):
        return None
    if letters and sum(map(_is_chinese, letters)) > len(letters) / 2:
        return "zh"
    langdetect.DetectorFactory.seed = 0  # its draws decide ties
    try:
        first = langdetect.detect_langs(text)[0]
    except lang_detect_exception.LangDetectException:
        return None
    return str(first.lang) if first.prob >= SURE else None


def counter(tokenizer: str) -> Callable[[str], int]:
    """What counts the tokens of a caption.

    Args:
      tokenizer: Folder with the tokenizer of Qwen2.5; "" counts words and Chinese characters.
    """
    if not tokenizer:
        return lambda text: sum(1 for _ in _words(text))
    loaded = tokenizer_lib.load(Path(tokenizer))
    return lambda text: len(loaded.encode(text, add_special_tokens=False).ids)


def _words(text: str) -> Iterator[str]:
    yield from (match[0] for match in re.finditer(r"[\u4e00-\u9fff]|[^\W\u4e00-\u9fff]+", text))


def _is_chinese(character: str) -> bool:
    return "\u4e00" <= character <= "\u9fff"
