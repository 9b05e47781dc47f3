# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Rewards of one completion: strict format and verified accuracy, by name.

Both come from `common/answers.py`, the judge that evaluation asks as well. Malformed text
earns nothing: accuracy is read out of the one `<answer>` block of a well-formed completion.
"""

import dataclasses
from typing import NamedTuple, Protocol, runtime_checkable

from lingshu_jax.common import answers

MALFORMED = "malformed"  # a status beside those of `common.answers`


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
    """What a completion is judged against.

    Attributes:
      text: The question as asked, with its options.
      gold: The right answer.
      answer_type: One of `answers.ANSWER_TYPES`.
      options: Option texts without letters, for the kinds of choice.
    """

    text: str
    gold: str
    answer_type: answers.AnswerType
    options: tuple[str, ...] = ()


class Reward(NamedTuple):
    """What a completion earned, and why.

    Attributes:
      total: Weighted sum of the terms, used for the advantages.
      terms: Unweighted terms by name, each in [0, 1].
      status: The judge's status, or "malformed".
      parsed: The answer that was read, or None.
    """

    total: float
    terms: dict[str, float]
    status: str
    parsed: str | None


@runtime_checkable
class RewardFn(Protocol):
    """Any function that rewards one completion."""

    def __call__(self, completion: str, question: Question, *, finish_reason: str) -> Reward:
        """Judges a completion; pure, the same text always earns the same."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class FormatAccuracy:
    """The paper's reward: strict format times 0.5 plus accuracy times 1.0.

    Attributes:
      format_weight: Weight of the format term, >= 0.
      accuracy_weight: Weight of the accuracy term, >= 0.
      format_needs_answer: Pays the format term only beside a right answer, so that form alone
        earns nothing. The paper pays it always.
    """

    format_weight: float = 0.5
    accuracy_weight: float = 1.0
    format_needs_answer: bool = False

    def __call__(self, completion: str, question: Question, *, finish_reason: str) -> Reward:
        """Judges a completion.

        Args:
          completion: Decoded text, without the stop token.
          question: What was asked.
          finish_reason: "stop" or "length".

        Returns:
          Terms `format` and `accuracy`, each 0 or 1.

        Source: arXiv:2506.07044, sections 3.1.4 and 3.2. The tags are EasyR1's r1v form; the
        paper does not state its own.
        """
        parts = answers.parse_think_answer(completion)
        if parts is None or not parts.answer:
            return Reward(0.0, {"format": 0.0, "accuracy": 0.0}, MALFORMED, None)
        verdict = answers.judge(
            completion,
            gold=question.gold,
            answer_type=question.answer_type,
            options=question.options,
            question=question.text,
            finish_reason=finish_reason,
        )
        accuracy = float(verdict.correct)
        form = accuracy if self.format_needs_answer else 1.0
        total = self.format_weight * form + self.accuracy_weight * accuracy
        parsed = None if verdict.value is None else str(verdict.value)
        return Reward(total, {"format": form, "accuracy": accuracy}, verdict.status, parsed)
