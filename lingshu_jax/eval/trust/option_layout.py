# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The options of a question in another order, wherever its prompt lists them.

Letters stay where they are and texts move: the option at place i of the new order is the one that
was at `order[i]`. Each set of questions keeps its own form, `A. text`, `(A) text` or ` A:text `.
"""

import dataclasses
import re
import string
from collections.abc import Sequence
from typing import Any, NamedTuple

from lingshu_jax.common import answers_choice
from lingshu_jax.eval import benchmark
from lingshu_jax.eval.benchmarks import letters

NO_CHOICE = "no single option is asked for"
NOT_LISTED = "the prompt does not list the options once, a line each"
OTHER_LETTERS = "some options begin with a letter of their own"
REFERS = "the text speaks of options by their letter or place"
UNCLEAR = "the gold is no option"

_LETTER = r"[(\[]?[A-Ja-j][)\]]?"
_AND = r"\s*(?:,\s*(?:and|or)\b|and\b|or\b|nor\b|,|&|/|\+|、|，|和|与|及|或)\s*"
# An option that names others. Single letters are groups of blood or vitamins as well, so that
# either nothing but letters stands there, or the word "option" does. "All of these" is true in any
# order.
_REFERENCES = tuple(
    re.compile(pattern, flags)
    for pattern, flags in (
        (
            r"\b(?:all|none|any|both|neither|two|three|each|some|one|either|more) of (?:the )?"
            r"(?:above|below|preceding|previous|foregoing|following|former|other)\b",
            re.IGNORECASE,
        ),
        (r"\b(?:all|none|both|any)(?: the)? (?:above|below)\b", re.IGNORECASE),
        (r"\bthe above\b|\babove[- ]mentioned\b|\bmentioned above\b", re.IGNORECASE),
        (
            r"(?i:\b(?:options?|choices?|answers?|statements?))\s+"
            r"(?:(?i:above|below|preceding)\b|[(\[]?[A-J][)\]]?(?![A-Za-z])|[(\[][a-j][)\]])",
            re.NOFLAG,
        ),
        (
            rf"^\W*(?i:(?:both|either|neither|only|all|none of)\s+)?{_LETTER}"
            rf"(?:{_AND}{_LETTER})+\s*(?:only|alone|(?:are|is) (?:correct|right|true|false))?\W*$",
            re.NOFLAG,
        ),
        (r"^\W*(?:both|either|neither)\s+[(\[]?[a-j][)\]]?\s+(?:and|or|nor)\b", re.IGNORECASE),
        (r"^\W*(?:以上|上述|上列|前述|如上|以下|下列|下述)", re.NOFLAG),
        (r"(?:以上|上述|前述|下列)(?:选项|答案|各项|所有|都|均|皆|全)", re.NOFLAG),
        (r"选项\s*[A-J]|(?<![A-Za-z])[A-J]\s*[、,，和与及或+]\s*[A-J]\s*[都均皆两项]", re.NOFLAG),
        (r"^\s*[A-J]{2,}\s*[都均皆]", re.NOFLAG),
        (r"^\W*(?:前|后)[两二三四五]\s*[项者种个]", re.NOFLAG),
    )
)
# A question that names an option by its letter.
_NAMED = re.compile(r"\b(?:[Oo]ption|[Cc]hoice)s?\s+[(\[]?[A-J][)\]]?(?![A-Za-z])|选项\s*[A-J]")


class Layout(NamedTuple):
    """How a question shows its options.

    Attributes:
      heads: What stands before each text, as `A. `.
      texts: The texts as they are shown.
      listed: All of them in one string.
      inline: The same where the question repeats them as `(A) text (B) text`; "" if it does not.
    """

    heads: tuple[str, ...]
    texts: tuple[str, ...]
    listed: str
    inline: str


def find(sample: benchmark.Sample) -> Layout | str:
    """How a question shows its options, or why they cannot be put into another order.

    Args:
      sample: Any question.
    """
    if sample.answer_type != "choice":
        return NO_CHOICE
    if len(sample.options) < 2 or len(sample.choices) != len(sample.options):
        return NOT_LISTED
    if answers_choice.gold_letter(sample.gold, sample.options) is None:
        return UNCLEAR
    heads, texts = [], []
    for choice, option in zip(sample.choices, sample.options, strict=True):
        if not option.strip() or not choice.rstrip().endswith(option.rstrip()):
            return NOT_LISTED
        start = len(choice.rstrip()) - len(option.rstrip())
        heads.append(choice[:start])
        texts.append(choice[start:])
    if not _are_plain(heads, sample.options):
        return OTHER_LETTERS
    if refers(sample):
        return REFERS
    listed, inline = "\n".join(sample.choices), _inline(sample.options)
    asked = "\n".join(_texts(sample))
    repeats = inline in sample.question
    if letters.LISTED in sample.question and not repeats:
        return NOT_LISTED
    if not _stands_once(listed, asked) or (repeats and asked.count(inline) != 1):
        return NOT_LISTED
    return Layout(tuple(heads), tuple(texts), listed, inline if repeats else "")


def refers(sample: benchmark.Sample) -> bool:
    """Whether an option or the question speaks of options by their letter or place.

    Args:
      sample: A question of a single choice.
    """
    named = _NAMED.search(sample.question) is not None
    return named or any(p.search(o) for o in sample.options for p in _REFERENCES)


def reorder(sample: benchmark.Sample, order: Sequence[int]) -> benchmark.Sample:
    """The question with its options in another order; a gold that is a letter moves with its text.

    Args:
      sample: One for which `find` gives a layout.
      order: For each place, where the option stood.
    """
    layout = find(sample)
    assert isinstance(layout, Layout), "only questions whose options are found are asked"
    options = tuple(sample.options[place] for place in order)
    texts = [layout.texts[place] for place in order]
    choices = tuple(head + text for head, text in zip(layout.heads, texts, strict=True))
    swaps = [(layout.listed, "\n".join(choices))]
    question = sample.question
    if layout.inline:
        swaps.insert(0, (layout.inline, _inline(options)))
        question = question.replace(*swaps[0])
    gold = sample.gold
    if len(gold.strip()) == 1:
        letter = answers_choice.gold_letter(gold, sample.options)
        place = string.ascii_uppercase.index(letter or "A")
        gold = string.ascii_uppercase[list(order).index(place)]
    return dataclasses.replace(
        sample,
        question=question,
        gold=gold,
        options=options,
        choices=choices,
        messages=tuple(_swapped(message, swaps) for message in sample.messages),
    )


def _are_plain(heads: Sequence[str], options: Sequence[str]) -> bool:
    """True if each head is its own letter, or nothing is lettered."""
    for letter, head, option in zip(string.ascii_uppercase, heads, options, strict=False):
        if any(heads):
            if not re.fullmatch(rf"\W*{letter}\W*", head):
                return False
        elif re.match(rf"\s*[(\[]?{letter}\s*[.):、]", option):
            return False
    return True


def _inline(options: Sequence[str]) -> str:
    return " ".join(
        f"({letter}) {text}" for letter, text in zip(string.ascii_uppercase, options, strict=False)
    )


def _texts(sample: benchmark.Sample) -> list[str]:
    return [
        part["text"]
        for message in sample.messages
        for part in message["content"]
        if part["type"] == "text"
    ]


def _stands_once(listed: str, asked: str) -> bool:
    """Whether it is there once, on lines of its own."""
    start = asked.find(listed)
    end = start + len(listed)
    is_whole = asked[max(0, start - 1) : start] in ("", "\n") and asked[end : end + 1] in ("", "\n")
    return asked.count(listed) == 1 and is_whole


def _swapped(message: dict[str, Any], swaps: Sequence[tuple[str, str]]) -> dict[str, Any]:
    content = []
    for part in message["content"]:
        if part["type"] == "text":
            text = part["text"]
            for old, new in swaps:
                text = text.replace(old, new)
            part = {**part, "text": text}
        content.append(part)
    return {**message, "content": content}
