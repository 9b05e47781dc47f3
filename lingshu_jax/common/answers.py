# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The one judge: RL rewards and evaluation both ask these functions.

`extract` reads an answer out of a response, `judge` compares it with the gold answer. Every
response gets one status; only `ok` can be correct:

    ok          a value was found
    empty       nothing was said, or nothing but reasoning
    truncated   reasoning that never ends, or generation cut off before an answer container
    refusal     an apology or an inability
    unparsed    none of the rules applies
    invalid     a letter beyond the options
    multi       several letters where one is asked
    conflict    letter and text of different options
    ambiguous   several numbers where one is asked

The same response always gets the same verdict: nothing is random, nothing is matched by
similarity. Pure functions, standard library only.
"""

import html
import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from lingshu_jax.common import (
    answers_boxes,
    answers_choice,
    answers_number,
    answers_open,
    answers_polarity,
    answers_text,
    errors,
)

AnswerType = Literal["yes_no", "choice", "choices", "number", "open", "box", "report"]
ANSWER_TYPES: tuple[AnswerType, ...] = (
    *("yes_no", "choice", "choices", "number", "open"),
    *("box", "report"),
)

_THINK_ANSWER = re.compile(
    r"\s*<think>(?P<think>.*)</think>\s*<answer>(?P<answer>.*)</answer>\s*", re.DOTALL
)
_FORMAT_TAGS = ("<think>", "</think>", "<answer>", "</answer>")
# Whatever looks like one of them: other case, blanks, attributes, relatives that `extract` reads.
_LIKE_TAGS = re.compile(
    r"<[\s/|\\]*(?:think|thinking|thought|reasoning|answer)(?![a-z])[^<>]*>", re.IGNORECASE
)
# Directions and controls that show another text than is there, and the tokens of chat templates.
_TRICKS = re.compile(
    "[\u202a-\u202e\u2066-\u2069\x00-\x08\x0b\x0e-\x1f\x7f\U000e0000-\U000e007f]"
    r"|<\|(?!(?:box|object_ref|quad)_(?:start|end)\|>)[^<>\s]*\|>"
)
# Tags that may stand in an answer: they style it.
_TAGS = re.compile(r"</?[^\W\d_][\w:-]*(?:\s[^<>]*)?/?>")
_STYLE_TAGS = re.compile(
    r"</?(?:b|i|u|em|strong|span|code|pre|mark|font|br|p|div|sub|sup|small|ul|ol|li|box|ref)\b",
    re.IGNORECASE,
)
_POLARITIES = ("yes", "no", "true", "false", "是", "否", "是的", "不是", "有", "没有", "无")


class Verdict(NamedTuple):
    """Whether a response is right, and what was read out of it.

    `status` and `value` are those of `answers_text.Extraction`.
    """

    correct: bool
    status: answers_text.Status
    value: str | float | None


class ThinkAnswer(NamedTuple):
    """The two parts of a well-formed response, stripped; either may be empty."""

    think: str
    answer: str


class _Rules(NamedTuple):
    answer_type: AnswerType
    options: Sequence[str]
    question: str


class _Reading(NamedTuple):
    extraction: answers_text.Extraction
    text: str  # where the answer was read; "" if nowhere


def parse_think_answer(text: str) -> ThinkAnswer | None:
    """Checks the strict form: one `<think>..</think>`, then one `<answer>..</answer>`.

    Only white space may stand around and between the two. Tags are lower-case, and each of
    the four occurs exactly once in the whole text, so that nothing can be nested or repeated; nor
    may anything look like a fifth (`<Answer>`, full-width brackets, `&lt;answer&gt;`), show another
    text than is there, or be a chat template's token. In the answer only tags of style may stand.

    Returns:
      The two contents, or None if the text has any other form.
    """
    if any(text.count(tag) != 1 for tag in _FORMAT_TAGS):
        return None
    plain = html.unescape(html.unescape(answers_text.normalise(text)))
    if _TRICKS.search(text) or len(_LIKE_TAGS.findall(plain)) != len(_FORMAT_TAGS):
        return None
    match = _THINK_ANSWER.fullmatch(text)
    if match is None or not all(map(_STYLE_TAGS.match, _TAGS.findall(match["answer"]))):
        return None
    return ThinkAnswer(match["think"].strip(), match["answer"].strip())


def extract(
    response: str | None,
    *,
    answer_type: AnswerType,
    options: Sequence[str] = (),
    question: str = "",
    finish_reason: str = "stop",
) -> answers_text.Extraction:
    """Reads the answer out of a response.

    Args:
      response: What the model wrote; None counts as empty.
      answer_type: "choice" is one letter, "choices" a set of letters.
      options: Option texts without letters, for the two kinds of choice.
      question: Only for "yes_no", may be empty.
      finish_reason: "length" if generation was cut off.

    Raises:
      UserError: If `answer_type` is unknown or a choice has no options.
    """
    _check(answer_type, options)
    rules = _Rules(answer_type, options, question)
    return _read(response, rules, finish_reason).extraction


def judge(
    response: str | None,
    *,
    gold: str,
    answer_type: AnswerType,
    options: Sequence[str] = (),
    question: str = "",
    finish_reason: str = "stop",
) -> Verdict:
    """Compares a response with the gold answer.

    Args:
      response: What the model wrote; None counts as empty.
      gold: The truth: yes or no in any form that `extract` reads; the text or the letter of an
        option; letters; a number with or without unit, or a range; open text, a report; or boxes,
        which half of IoU finds.
      answer_type: Which rules read the answer.
      options: Option texts without letters, for the two kinds of choice.
      question: Only for "yes_no", may be empty.
      finish_reason: "length" if generation was cut off.

    Raises:
      UserError: If the gold answer does not fit the answer type.
    """
    check_gold(gold, answer_type=answer_type, options=options)
    rules = _Rules(answer_type, options, question)
    reading = _read(response, rules, finish_reason)
    if answer_type == "number":
        return _judge_number(reading, answers_text.normalise(gold).strip())
    status, value = reading.extraction
    correct = status == "ok" and _is_equal(str(value), gold, rules)
    return Verdict(correct, status, value)


def check_gold(gold: str, *, answer_type: AnswerType, options: Sequence[str] = ()) -> None:
    """Raises a UserError if a gold answer does not fit its type.

    Args:
      gold: The gold answer.
      answer_type: Its type.
      options: Option texts without letters.
    """
    _check(answer_type, options)
    if answer_type == "choice":
        fits = answers_choice.gold_letter(gold, options) is not None
    elif answer_type in ("open", "report"):
        fits = bool(answers_open.canonical(gold))
    else:
        text = answers_text.normalise(gold).strip()
        fits = _parse(text, _Rules(answer_type, options, "")).status == "ok"
        fits = fits or (answer_type == "number" and answers_number.interval(text) is not None)
    if not fits:
        allowed = f", options {list(options)}" if options else ""
        raise errors.UserError(f"gold answer {gold!r} does not fit type {answer_type!r}{allowed}")


def infer_type(gold: str, options: Sequence[str] = ()) -> AnswerType:
    """The type of a gold answer that comes without one.

    With options it is a choice, or several where the gold is letters; boxes, yes and no, and a
    number with or without a unit of ours are themselves; everything else is open.

    Args:
      gold: The gold answer.
      options: Option texts without letters.
    """
    text = answers_text.normalise(gold).strip()
    if options:
        if answers_choice.gold_letter(gold, options) is not None:
            return "choice"
        letters = answers_choice.extract_set(text, options) if len(options) <= 26 else None
        is_set = letters is not None and letters.status == "ok" and not re.search("[a-z]", text)
        return "choices" if is_set else "choice"
    if answers_boxes.parse(text) is not None:
        return "box"
    if answers_text.canonical(gold) in _POLARITIES:
        return "yes_no"
    return "number" if answers_number.is_whole(text) else "open"


def _check(answer_type: str, options: Sequence[str]) -> None:
    if answer_type not in ANSWER_TYPES:
        raise errors.UserError(f"unknown answer_type {answer_type!r}, known: {list(ANSWER_TYPES)}")
    if answer_type in ("choice", "choices") and not 2 <= len(options) <= 26:
        raise errors.UserError(f"a choice needs 2 to 26 options, got {len(options)}")


def _read(response: str | None, rules: _Rules, finish_reason: str) -> _Reading:
    """Normal form, reasoning, container, rules; a line that says nothing yields to the whole."""
    text = answers_text.normalise(response)
    if not text.strip():
        return _Reading(answers_text.Extraction("empty"), "")
    visible = answers_text.strip_reasoning(text)
    if visible is None:
        return _Reading(answers_text.Extraction("truncated"), "")
    visible = answers_text.without_frame(visible)
    if not visible.strip():
        return _Reading(answers_text.Extraction("empty"), "")
    container = answers_text.find_container(visible)
    if container.kind != "whole":
        found = _Reading(_parse(container.text, rules), container.text)
        if container.kind != "line" or found.extraction.status != "unparsed":
            return found
    if finish_reason == "length":
        return _Reading(answers_text.Extraction("truncated"), "")
    whole = answers_text.plain(visible)
    return _Reading(_parse(whole, rules), whole)


def _parse(text: str, rules: _Rules) -> answers_text.Extraction:
    if rules.answer_type == "choice":
        return answers_choice.extract(text, rules.options)
    if rules.answer_type == "choices":
        return answers_choice.extract_set(text, rules.options)
    if rules.answer_type == "yes_no":
        return answers_polarity.extract(text, question=rules.question)
    if rules.answer_type == "number":
        return answers_number.extract(text)
    if rules.answer_type == "box":
        return answers_boxes.extract(text)
    return answers_open.extract(text)


def _is_equal(value: str, gold: str, rules: _Rules) -> bool:
    if rules.answer_type == "choice":
        wanted = answers_choice.gold_letter(gold, rules.options)
        return wanted is not None and answers_choice.same_option(value, wanted, rules.options)
    if rules.answer_type in ("open", "report"):
        return answers_open.is_equal(value, gold)
    if rules.answer_type == "box":
        boxes = [answers_boxes.parse(answers_text.normalise(text)) or [] for text in (value, gold)]
        least = answers_boxes.RIGHT_IOU
        return answers_boxes.overlap(boxes[0], boxes[1], least=least) >= least
    return value == _parse(answers_text.normalise(gold), rules).value


def _judge_number(reading: _Reading, gold: str) -> Verdict:
    """Numbers need the unit, and a range needs both ends, which a value does not carry."""
    status, value = reading.extraction
    wanted = answers_number.interval(gold)
    if wanted is not None:
        given = answers_number.interval(reading.text.strip(answers_text.WRAPPERS))
        if given is not None:
            return Verdict(answers_number.is_equal(given, wanted), "ok", value)
    elif status == "ok":
        given = answers_number.quantities(reading.text)[0]
        correct = answers_number.is_equal(given, answers_number.quantities(gold)[0])
        return Verdict(correct, status, value)
    return Verdict(False, status, value)
