# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""How MMMU's own evaluation reads an answer (eval/eval_utils.py@51ce7f3), as MedEvalKit uses it.

A multiple-choice answer that names nothing gets a letter by chance there; `read_letter` says so
and leaves the draw to whoever keeps the generator. An open answer becomes a list of texts and
numbers, any of which may hold the gold.
"""

import re
from collections.abc import Sequence

_ENDS = (",", ".", "!", "?", ";", ":", "'")
_INDICATORS = ("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ")
_TRIVIAL = frozenset(_ENDS)
_LEAST_WORDS = 5  # an answer with more of them is searched for the options' texts
_NUMBERS = (
    re.compile(r"-?\b\d{1,3}(?:,\d{3})+\b"),  # 1,234
    re.compile(r"-?\d+(?:\.\d+)?[eE][+-]?\d+"),  # 1e5
    re.compile(r"-?(?:\d+\.\d+|\.\d+|\d+\b)(?![eE][+-]?\d+)(?![,\d])"),
)


def read_letter(response: str, options: Sequence[str]) -> str | None:
    """The letter that an answer names: in brackets, alone, or by its option's text.

    Args:
      response: The answer.
      options: Option texts without letters.

    Returns:
      The one that is named last; None if there is none.
    """
    text = response.strip()
    for end in _ENDS:
        text = text.strip(end)
    text = f" {text} "
    letters = [chr(ord("A") + place) for place in range(len(options))]
    for form in ("({})", " {} "):
        found = {letter: text.rfind(form.format(letter)) for letter in letters}
        if max(found.values(), default=-1) >= 0:
            return max(found, key=found.__getitem__)
    if len(text.split()) > _LEAST_WORDS:
        lowered = text.lower()
        by_letter = zip(letters, options, strict=True)
        found = {letter: lowered.rfind(option.lower()) for letter, option in by_letter}
        if max(found.values(), default=-1) >= 0:
            return max(found, key=found.__getitem__)
    return None


def read_open(response: str) -> list[str | float]:
    """What an open answer may mean: its key phrases and the numbers in them, in normal form.

    Args:
      response: The answer.
    """
    phrases = _key_phrases(response.strip().strip(".").lower())
    numbers = [n for phrase in phrases for pattern in _NUMBERS for n in pattern.findall(phrase)]
    return list(dict.fromkeys(form for text in [*phrases, *numbers] for form in _forms(text)))


def is_right_open(gold: str, said: Sequence[str | float]) -> bool:
    """True if a text that was said contains the gold's, or a number equals it.

    Args:
      gold: The truth.
      said: Result of `read_open`.
    """
    golds = _forms(gold)
    texts = [form for form in golds if isinstance(form, str)]
    return any(
        any(text in form for text in texts) if isinstance(form, str) else form in golds
        for form in said
    )


def _key_phrases(text: str) -> list[str]:
    """Of each line the shortest tail behind an indicator; the whole text where there is none."""
    lines = text.split("\n")
    phrases = []
    for number, line in enumerate(lines):
        shortest = ""
        for indicator in (*_INDICATORS, *(["="] if number == len(lines) - 1 else [])):
            if indicator in line:
                tail = line.split(indicator)[-1].strip()
                # An empty tail is the shortest, and yet the next one takes its place.
                shortest = tail if not shortest or len(tail) < len(shortest) else shortest
        if shortest and shortest not in _TRIVIAL:
            phrases.append(shortest)
    return phrases or [text]


def _forms(text: str) -> list[str | float]:
    """A number to two decimals, or lower-case text; a single character needs a blank beside it."""
    text = text.strip()
    try:
        return [round(float(text.replace(",", "")), 2)]
    except ValueError:
        pass
    text = text.lower()
    return [f" {text}", f"{text} "] if len(text) == 1 else [text]
