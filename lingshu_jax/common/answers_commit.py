# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Does an answer that reads as right also commit itself to it?

Evaluation reads what an answer says and is generous with what stands around it. A reward must not
be: whoever is paid for it learns to say "B, or perhaps C". So the reward asks `fault` about every
answer that was judged right. Explanations stay allowed, and other options in them where they are
dismissed: "B. Pneumothorax is excluded, because ...".
"""

import re
from collections.abc import Sequence
from typing import Literal

from lingshu_jax.common import answers_choice, answers_doubts, answers_number, answers_text

REPEATED = "repeated"
Fault = Literal["hedged", "several", "refusal", "unit"]

MAX_CHARACTERS = 1500  # of an answer that explains itself
_NAMED = "\x01"  # stands where an option's or the gold's own words were

_SENTENCE_END = re.compile(r"[.!?;。\n]")
_BEFORE, _AFTER = 70, 80  # characters in which a dismissal is looked for

_CAPITAL = re.compile(r"(?<![A-Za-z0-9'+.-])([A-Z])(?![A-Za-z0-9+'])(?!-[a-z])")
_SMALL = re.compile(
    r"[(\[]\s*([a-j])\s*[)\]]|(?:option|choice|answer)\s+([a-j])(?![a-z])"
    r"|(?<![a-z0-9'.+-])([b-hj])(?=\s*(?:[.,;:)\]/|&+]|$|(?:and|or|is|nor)(?![a-z])))(?!\.[a-z])"
)
# "A nodule" is an article, "A and", "A is" are the option.
_WORD_AFTER = re.compile(
    r"\s+(?!(?:and|or|to|through|then|over|plus|vs|versus|with|is|are|was|but|nor|because|since|as"
    r"|a|an|the|also|too|can|could|may|might|would|possible|possibly|fits|remains|instead|if)\b)"
    "[a-z]"
)
_SPAN = re.compile(
    r"(?<![A-Za-z])([A-J])\s*(?:-|~|to|through|until|/|\||&|\+)\s*([A-J])(?![A-Za-z])"
)
# "T2/X" or "X or something": another answer stands beside it, whatever it is.
_OR_BEHIND = re.compile(r"[\s*_`)\]\"']*(?:/(?!\s*[<>])|,?\s*or(?![a-z]))")
_OR_BEFORE = re.compile(r"(?:(?<!<)/|(?<![a-z])or\s)\s*(?:an?\s+|the\s+)?[*_`(\[\"']*$")


def is_repeated(text: str, answer_type: str) -> bool:
    """True for one word over and over, a loop of few words, or more than an answer needs.

    Cheap, so that nothing else has to read such a text.

    Args:
      text: All that stands in the answer block.
      answer_type: One of `answers.ANSWER_TYPES`.
    """
    if answer_type not in ("box", "report") and len(text) > MAX_CHARACTERS:
        return True
    words = text.lower().split()
    distinct = len({word.strip(answers_text.WRAPPERS) for word in words})
    is_one_word = len(words) >= 3 and distinct == 1
    is_loop = len(words) >= 24 and distinct < 0.25 * len(words)
    return is_one_word or (is_loop and answer_type != "box")


def fault(
    text: str,
    *,
    value: str,
    answer_type: str,
    options: Sequence[str] = (),
    golds: Sequence[str] = (),
    question: str = "",
) -> Fault | None:
    """What keeps a right answer from being one: doubt, further answers, a refusal.

    Args:
      text: All that stands in the answer block, normalised and plain, boxes taken off.
      value: What was read out of it: a letter of `options`, "yes" or "no", or the answer itself.
      answer_type: One of `answers.ANSWER_TYPES`.
      options: Option texts without letters.
      golds: The gold and its aliases; their own words are no doubts.
      question: As asked; its own words are no contradictions.
    """
    if answer_type in ("box", "report"):
        return "refusal" if answers_text.is_refusal(text) else None
    own = [*options, *(golds if answer_type == "open" else ())]
    masked = _masked(text, own)
    if answers_text.is_refusal(masked):
        return "refusal"
    if (
        answers_doubts.HEDGE.search(masked)
        or _asks(text, question)
        or answers_doubts.COMMENT.search(masked)
    ):
        return "hedged"
    if answer_type == "choice":
        return _choice(text, masked, value, options)
    if answer_type == "yes_no":
        return _yes_no(masked, value, question.lower())
    if answer_type == "number":
        return _number(text, golds, question)
    return None


def _asks(text: str, question: str) -> bool:
    """True if a question mark stands anywhere but behind the question said again."""
    asked = answers_text.normalise(question).strip()
    return "?" in (text.replace(asked, " ") if asked else text)


def _masked(text: str, own: Sequence[str]) -> str:
    """The text in lower case, without the words of options and golds."""
    lowered = text.lower()
    spans = [s for s in answers_choice.mentions(text, own) if s.end - s.start > 2]
    for span in spans:
        lowered = lowered[: span.start] + _NAMED * (span.end - span.start) + lowered[span.end :]
    return lowered


def _choice(text: str, masked: str, value: str, options: Sequence[str]) -> Fault | None:
    """Other options may be named where they are dismissed; the chosen one must not be."""
    if answers_doubts.HEDGE_CHOICE.search(masked):
        return "several"
    spans = [match for match in _SPAN.finditer(text) if match[1] != match[2]]
    if not all(_is_dismissed(masked, span.start(), span.end()) for span in spans):
        return "several"
    chosen = [index for index in range(len(options)) if _is_option(value, index, options)]
    is_named, is_chosen = False, False
    for start, end, index in _named(text, options):
        dismissed = _is_dismissed(masked, start, end)
        is_one_of = _OR_BEHIND.match(masked, end) or _OR_BEFORE.search(masked[:start])
        if index in chosen and is_one_of and not dismissed:
            return "several"
        if index in chosen:
            is_named, is_chosen = True, is_chosen or not dismissed
        elif not dismissed:
            return "several"
    return "hedged" if is_named and not is_chosen else None


def _is_option(letter: str, index: int, options: Sequence[str]) -> bool:
    return answers_choice.same_option(letter, chr(ord("A") + index), options)


def _named(text: str, options: Sequence[str]) -> list[answers_choice.Mention]:
    """Every place that names an option by its letter or its text."""
    texts = answers_choice.mentions(text, options)
    found = [span for span in texts if span.end - span.start > 1 or text[span.start].isdigit()]
    covered = [(span.start, span.end) for span in found]
    letters = [(m.start(1), m[1]) for m in _CAPITAL.finditer(text) if not _is_word(m, text)]
    for match in _SMALL.finditer(text):
        letter = match[1] or match[2] or match[3]
        letters.append((match.start(match.lastindex or 0), letter.upper()))
    for start, letter in letters:
        index = ord(letter) - ord("A")
        if index < len(options) and not any(a <= start < b for a, b in covered):
            found.append(answers_choice.Mention(start, start + 1, index))
    return sorted(found)


def _is_word(match: re.Match[str], text: str) -> bool:
    """True for the article in "A nodule", and for "I see"."""
    return match[1] in "AI" and _WORD_AFTER.match(text, match.end()) is not None


def _is_dismissed(masked: str, start: int, end: int) -> bool:
    before = _SENTENCE_END.split(masked[max(0, start - _BEFORE) : start])[-1]
    if answers_doubts.DISMISSED_BEFORE.search(answers_doubts.TURN.split(before)[-1]):
        return True
    return answers_doubts.DISMISSED_AFTER.search(masked[end : end + _AFTER]) is not None


def _yes_no(masked: str, value: str, question: str) -> Fault | None:
    is_yes = value == "yes"
    opposite = answers_doubts.AFTER_YES if is_yes else answers_doubts.AFTER_NO
    if opposite.search(masked):
        return "several"
    if "true" in masked.split() and "false" in masked.split():
        return "several"
    wrong = answers_doubts.WRONG.search(masked) if is_yes else None
    return "several" if wrong is not None and wrong.group() not in question else None


def _number(text: str, golds: Sequence[str], question: str) -> Fault | None:
    lowered, gold = text.lower(), " ".join(golds).lower()
    if answers_doubts.OR_NUMBER.search(lowered):
        return "several"
    if answers_number.extract(text).status == "ambiguous" and answers_number.interval(text) is None:
        return "several"
    bound = answers_doubts.BOUND.search(lowered)
    if bound is not None and bound.group() not in f"{gold} {question.lower()}":
        return "hedged"
    found = answers_number.quantities(text)
    is_share = any(quantity.unit in ("%", "percent") for quantity in found)
    if is_share and not answers_doubts.SHARE.search(f"{gold} {question.lower()}"):
        return "unit"
    words = answers_number.spelled(text)
    values = {quantity.low for quantity in found}
    if any(word.low not in values and word.low != 1.0 for word in words):
        return "several"
    digits = re.search(r"\d", lowered)
    before = lowered[: digits.start()] if digits else ""
    return "hedged" if answers_doubts.NOT_NUMBER.search(before) else None
