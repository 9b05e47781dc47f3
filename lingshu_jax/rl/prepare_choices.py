# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
r"""Multiple choice as open questions: "Which lobe?\nA. left\nB. right" loses its options.

A guess among four letters is right one time in four, whatever the image shows. An item becomes an
open question, its gold the text of the right option, unless one of these says that it cannot:

    its options cannot be told from its text   several of them would be left in the question
    it asks nothing without its options        a sentence to be completed, or no text at all
    it refers to its options                   "which of the following", "EXCEPT", "best describes"
    an option refers to others                 "all of the above", "none of these", "both A and B"
    its answer is a number                     "about 5 mm" is only right among the others
    its answer is no word or short phrase      over 4 words or 40 characters, a list, a clause
    yes or no stand among its options          beside "maybe"

An item whose options are yes and no alone becomes a yes/no question. Pure functions of text.

Source: arXiv:2506.07044, section 3.1.4, which says that word answers are rewritten; the rules are
ours.
"""

import re
import string
from collections.abc import Sequence
from typing import NamedTuple

from lingshu_jax.common import answers_choice, prompts

MAX_WORDS, MAX_CHARACTERS, MAX_HAN = 4, 40, 12

NOT_FOUND = "its options cannot be told from its text"
NO_QUESTION = "it asks nothing without its options"
REFERS = "it refers to its options"
OPTION_REFERS = "an option refers to others"
NUMBER = "its answer is a number"
LONG = "its answer is no word or short phrase"
POLARITY = "yes or no stand among its options"

_MARK = r"(?:\(?[A-Za-z][.):、]|[-*•])?[ \t]*"  # "A.", "(A)", a bullet
_BETWEEN = r"[\s;,.。]*"
_HEADER = re.compile(
    r"\s*(?:(?:answer|the)\s+)?(?:options|choices|选项)(?:\s+are)?\s*[:：]?\s*$", re.IGNORECASE
)
_LABEL = re.compile(r"^\s*(?:question|问题)\s*[:：]\s*", re.IGNORECASE)
_SENTENCE = re.compile(r"(?<=[.?!。？！])\s+|\n+")
# Sentences that ask for a letter; a question such as "Choose the option that ..." is none.
_ASKS_LETTER = re.compile(
    r"""(?:please\s+)?(?:answer|select|choose|pick|give|output|respond|reply|write|state|indicate)\b
        (?!.*\b(?:that|which|what|best|most|where|who)\b)
        .{0,80}\b(?:letters?|options?|choices?|answers?|alternatives?)\b.{0,60}
        |请?(?:直接)?(?:选择|回答).{0,20}(?:字母|选项).{0,10}""",
    re.IGNORECASE | re.VERBOSE,
)
_REFERS = re.compile(
    r"""(?i:\b(?:of|from|among|amongst|in)\s+(?:the|these|those)\s+(?:options|choices|list)\b
        |\bthe\s+following\b(?!\s+(?:image|picture|scan|figure|x-?ray|ct|mri?|patient|case)s?\b)
        |\bwhich\s+(?:one\b|option|choice|statement|answer|pair|set|combination|row)
        |(?:^|(?<=[.?!]))\s*which\s+(?:is|are|was|were|would|can|could|does|do|has|have|will|may)\b
        |\b(?:of|among)\s+(?:these|those)\b
        |\b(?:listed|given|shown|mentioned)\s+(?:below|above)\b
        |\b(?:option|choice|statement|answer|alternative)s?\s+
         (?:is|are|below|above|given|provided|listed|best|that)\b
        |\bbest\s+(?:describe|match|characteri[sz]e|explain|complete|summari[sz]e|represent|answer)
        |\bexcept\b\s*[:?.]?\s*$
        |\b(?:closest|nearest)\s+(?:to|match|value|answer)\b)
        |\b(?:EXCEPT|LEAST|NOT|INCORRECT|FALSE|TRUE)\b
        |下列|以下|哪一?[项个]|选项|除外""",
    re.VERBOSE | re.MULTILINE,
)
_OPTION_REFERS = re.compile(
    r"""\b(?:all|none|any|both|neither|either|some|two)\s+(?:of\s+)?(?:the|these|those|them)?\s*
         (?:above|below|options?|choices?|answers?|listed|others?)\b
        |\b(?:all|none|any|both|neither|either)\s+of\s+(?:these|those|them|it|the)\b
        |^\s*(?:all|none|both|neither|either|other|others)\s*\.?\s*$
        |\b(?:both|either|neither)\b.*\b(?:and|or|nor)\b
        |^\s*\(?[A-G]\)?(?:\s*(?:,|and|&|or|nor)\s*\(?[A-G]\)?)+\.?\s*$
        |\b(?:not\s+(?:enough|sure|given|visible\s+here)|cannot\s+be\s+determined)\b
        |以上|均是|均不|都是|都不|其他""",
    re.IGNORECASE | re.VERBOSE,
)
# "2 cm", "2CO2", "two"; not "5-alpha reductase", "3rd ventricle".
_NUMBER = re.compile(
    r"[-+<>≤≥~≈]?\s*\d(?!\d*(?:-[a-z]|st\b|nd\b|rd\b|th\b))"
    r"|(?:one|two|three|four|five|six|seven|eight|nine|ten|zero)$",
    re.IGNORECASE,
)
_SHORT_FORM = re.compile(r"\s*\([A-Z0-9][A-Za-z0-9-]{1,7}\)$")  # "... syndrome (PCOS)"
_BLANK = re.compile(r"_{2,}|\.{4,}|…")
# A list, a sentence, a clause, a phrase with a preposition: one thing has many such names.
_CLAUSE = re.compile(
    r"""[,;:?!]|\.\s|，|。|；|：
        |^(?:if|when|while|because|since|as|by|via|to|for|from|with|through|in|at|on|it|they|there)\s
        |\b(?:is|are|was|were|has|have|had|will|would|should|does|do|can|may|must|only)\b""",
    re.IGNORECASE | re.VERBOSE,
)
# The last sentence of what can be answered without options.
_QUESTION = re.compile(
    r"""[?？]|吗|什么|哪|何|谁|多少|几
        |^\W*(?:what|where|which|who|whose|when|why|how|is|are|was|were|do|does|did|can|has|have
        |name|identify|state|describe|find|give|determine|diagnose|specify|locate|indicate)\b""",
    re.IGNORECASE | re.VERBOSE,
)
_HAN = re.compile(r"[\u3400-\u9fff]")


class Open(NamedTuple):
    """The item as an open question.

    Attributes:
      text: The question with its new tail.
      gold: The text of the right option, or "yes" or "no".
      answer_type: "open" or "yes_no".
    """

    text: str
    gold: str
    answer_type: str


class Choice(NamedTuple):
    """The item stays as it is.

    Attributes:
      reason: Why; one of the constants above.
    """

    reason: str


def rewrite(text: str, *, gold: str, options: Sequence[str]) -> Open | Choice:
    """A multiple-choice item as an open question, or why it stays one.

    Args:
      text: As asked, with the options where it shows them, and without a format instruction.
      gold: The right option's letter or text, checked against the options.
      options: Option texts without letters.
    """
    letter = answers_choice.gold_letter(gold, options)
    assert letter is not None, "a gold that fits none of its options is refused before"
    answer = _bare(options[string.ascii_uppercase.index(letter)])
    block = _block(options).search(text)
    if block is None and _mentions(text, options) > 1:
        return Choice(NOT_FOUND)
    head, tail = (text[: block.start()], text[block.end() :]) if block else (text, "")
    stem = _stem(head, tail)
    question = _SENTENCE.split(_stem(head, "") or stem)[-1]
    is_polar = sorted(_bare(option).lower() for option in options) == ["no", "yes"]
    for is_unfit, reason in (
        (not _QUESTION.search(question) or _BLANK.search(stem), NO_QUESTION),
        (_REFERS.search(stem), REFERS),
        (any(map(_OPTION_REFERS.search, options)), OPTION_REFERS),
        (not is_polar and has_polarity(options), POLARITY),
        (_NUMBER.match(answer), NUMBER),
        (not _is_short(answer), LONG),
    ):
        if is_unfit:
            return Choice(reason)
    if is_polar:
        return Open(prompts.ask(stem, prompts.YES_NO), answer.lower(), "yes_no")
    return Open(prompts.ask(stem, prompts.OPEN), answer, "open")


def has_polarity(options: Sequence[str]) -> bool:
    """Whether yes or no stand among options: a yes/no question in the dress of a choice.

    Args:
      options: Without letters.
    """
    return any(_bare(option).lower() in ("yes", "no") for option in options)


def _block(options: Sequence[str]) -> re.Pattern[str]:
    """All options one after the other, each with a letter, a bullet or nothing in front."""
    each = (_MARK + r"\s+".join(map(re.escape, option.split())) for option in options)
    return re.compile(r"(?<!\w)" + _BETWEEN.join(each) + r"(?!\w)[ \t.;。]*")


def _stem(head: str, tail: str) -> str:
    """What the item asks, without labels and without what asks for a letter."""
    stem = "\n".join([_LABEL.sub("", _HEADER.sub("", head)).rstrip(), tail.strip()])
    for sentence in _SENTENCE.split(stem):
        if _ASKS_LETTER.fullmatch(sentence.strip()):
            stem = stem.replace(sentence, "", 1)
    return _HEADER.sub("", stem).strip()


def _mentions(text: str, options: Sequence[str]) -> int:
    """How many options stand in a text as whole words."""
    lowered = " ".join(text.lower().split())
    wanted = {" ".join(option.lower().split()) for option in options}
    return sum(
        re.search(rf"(?<!\w){re.escape(option)}(?!\w)", lowered) is not None for option in wanted
    )


def _bare(option: str) -> str:
    """The text of an option without a full stop or a short form at its end."""
    return _SHORT_FORM.sub("", " ".join(option.split()).rstrip(".。"))


def _is_short(answer: str) -> bool:
    """Whether an answer is a word or a short phrase, which can be compared as text."""
    if _CLAUSE.search(answer) or not any(map(str.isalpha, answer)):
        return False
    if len(answer) > MAX_CHARACTERS or len(answer.split()) > MAX_WORDS:
        return False
    return len(_HAN.findall(answer)) <= MAX_HAN
