# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""How right the answer of a well-formed completion is, by kind of question.

What is right comes from `common/answers.py`, the judge that evaluation asks as well. A reward asks
two things more: that the answer commits itself (`answers_commit.fault`), and of open answers
whether a sentence says the gold and nothing else (`answers_open.states`).
"""

import dataclasses
import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from lingshu_jax.common import (
    answers,
    answers_boxes,
    answers_commit,
    answers_open,
    answers_text,
    errors,
    report_metrics,
)
from lingshu_jax.rl import config_reward

_BOXED = re.compile(r"\\boxed\s*\{")
_FENCE = re.compile(r"^\s*(?:```|~~~)\w*\n(.*?)\n?(?:```|~~~)\s*$", re.DOTALL)
_JSON_ANSWER = re.compile(r"""^\s*\{\s*["'](?:final_)?answer["']\s*:\s*(.*?)\s*\}\s*$""", re.DOTALL)
_MINUS = re.compile(r"(?<![a-z\d])minus\s+(?=\d)|(?<![\d])负\s*(?=\d)", re.IGNORECASE)
# A number in the unit that the question asks for: "in mm", "(cm)".
_UNIT_ASKED = re.compile(r"(?:\bin\s+|\()(mm|cm|millimet(?:er|re)s?|centimet(?:er|re)s?)\b", re.I)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
    """What a completion is judged against.

    Attributes:
      text: The question as asked, with its options.
      gold: The right answer.
      answer_type: One of `answers.ANSWER_TYPES`.
      options: Option texts without letters, for the kinds of choice.
      aliases: Other right answers to an open question.
    """

    text: str
    gold: str
    answer_type: answers.AnswerType
    options: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()

    @property
    def golds(self) -> tuple[str, ...]:
        """The gold and its aliases."""
        return (self.gold, *self.aliases)


class Measured(NamedTuple):
    """How right an answer is.

    Attributes:
      score: In [0, 1].
      status: The judge's, or a fault's name.
      parsed: The answer that was read, or None.
    """

    score: float
    status: str
    parsed: str | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rules:
    """How the kinds of answers are measured; the fields are those of `RewardConfig`."""

    open_match: config_reward.OpenMatch = "exact"
    f1_threshold: float = 0.0
    box_min_iou: float = answers_boxes.RIGHT_IOU
    report_metrics: tuple[str, ...] = ("rouge_l",)

    def measure(self, answer: str, question: Question) -> Measured:
        """Judges what stands in the answer block.

        Args:
          answer: The content of the one `<answer>` block, not blank.
          question: What was asked.
        """
        bare = _bare(answer)
        if answers_commit.is_repeated(bare, question.answer_type):
            return Measured(0.0, answers_commit.REPEATED, None)
        text = _without_boxes(bare)
        if question.answer_type in ("open", "report"):
            found = self._written(bare, text, question)
        elif question.answer_type == "box":
            found = self._boxes(bare, question)
        else:
            found = _ruled(bare, question)
        if found.score == 0.0:
            return found
        fault = answers_commit.fault(
            text,
            value=found.parsed or "",
            answer_type=question.answer_type,
            options=question.options,
            golds=question.golds,
            question=question.text,
        )
        return found if fault is None else Measured(0.0, fault, found.parsed)

    def _written(self, bare: str, text: str, question: Question) -> Measured:
        """Open answers and reports."""
        status, value = answers.extract(bare, answer_type=question.answer_type)
        parsed = None if value is None else str(value)
        if status != "ok":
            return Measured(0.0, status, parsed)
        golds = question.golds
        if question.answer_type == "report":
            metrics = [report_metrics.METRICS[name] for name in self.report_metrics]
            score = math.fsum(metric(text, question.gold) for metric in metrics) / len(metrics)
            return Measured(score, status, parsed)
        if answers_open.states(text, golds, question=question.text):
            return Measured(1.0, status, parsed)
        if self.open_match == "exact":
            return Measured(0.0, status, parsed)
        score = max(answers_open.token_f1(text, gold) for gold in golds)
        if self.f1_threshold:
            score = float(score >= self.f1_threshold)
        return Measured(score, status, parsed)

    def _boxes(self, bare: str, question: Question) -> Measured:
        status, value = answers.extract(bare, answer_type="box")
        if status != "ok":
            return Measured(0.0, status, None)
        found = answers_boxes.parse(str(value)) or []
        gold = answers_boxes.parse(question.gold) or []
        score = answers_boxes.overlap(found, gold, least=self.box_min_iou)
        return Measured(score, status, str(value))


def _ruled(bare: str, question: Question) -> Measured:
    """Choices, yes and no, numbers: the judge's verdict."""
    verdict = answers.judge(
        bare,
        gold=_gold(question),
        answer_type=question.answer_type,
        options=question.options,
        question=question.text,
    )
    parsed = None if verdict.value is None else str(verdict.value)
    return Measured(float(verdict.correct), verdict.status, parsed)


def _gold(question: Question) -> str:
    """The gold; a bare number gets the unit in which the question asks for it."""
    asked = _UNIT_ASKED.findall(question.text)
    if question.answer_type != "number" or len(asked) != 1:
        return question.gold
    is_bare = re.fullmatch(r"[-+]?[\d.,]+", question.gold.strip()) is not None
    return f"{question.gold} {asked[0]}" if is_bare else question.gold


def _bare(answer: str) -> str:
    """The normalised answer out of a code fence and a JSON object of one entry."""
    text = answers_text.normalise(answer).strip()
    for pattern in (_FENCE, _JSON_ANSWER):
        match = pattern.match(text)
        text = match[1].strip() if match else text
    return _MINUS.sub("-", text)


def _without_boxes(text: str) -> str:
    r"""Plain text in which each `\boxed{x}` is x, so that what stands around one counts as said."""
    while (match := _BOXED.search(text)) is not None:
        end = _closing(text, match.end())
        text = f"{text[: match.start()]} {text[match.end() : end]} {text[end + 1 :]}"
    return answers_text.plain(text)


def _closing(text: str, start: int) -> int:
    depth = 1
    for place in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return place
    return len(text)


def read_aliases(value: object) -> tuple[str, ...]:
    """The `aliases` of a row's meta.

    Args:
      value: None, a text, or a sequence of texts.

    Raises:
      UserError: If it is anything else.
    """
    if value is None:
        return ()
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, Sequence) or not all(isinstance(text, str) for text in texts):
        raise errors.UserError(f"aliases must be a list of texts, got {value!r:.60}")
    return tuple(text for text in texts if isinstance(text, str) and text.strip())
