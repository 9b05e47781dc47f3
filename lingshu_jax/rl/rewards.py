# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Rewards of one completion: strict format and verified accuracy, by name.

Malformed text earns nothing: accuracy is read out of the one `<answer>` block of a well-formed
completion, see `rl/reward_accuracy.py`. `make` builds what a config asks for.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from lingshu_jax.common import answers, answers_text
from lingshu_jax.rl import config_reward, reward_accuracy

MALFORMED = "malformed"  # a status beside those of `common.answers` and `answers_commit`
Question = reward_accuracy.Question
read_aliases = reward_accuracy.read_aliases


class Reward(NamedTuple):
    """What a completion earned, and why.

    Attributes:
      total: Weighted sum of the terms, used for the advantages.
      terms: Unweighted terms by name, each in [0, 1]; the same names for every completion.
      status: The judge's status, a fault's name ("hedged", "several", ...), or "malformed".
      parsed: The answer that was read, or None.
    """

    total: float
    terms: dict[str, float]
    status: str
    parsed: str | None


class Asked(NamedTuple):
    """A completion to be rewarded; the arguments of a `RewardFn`."""

    completion: str
    question: Question
    finish_reason: str


@runtime_checkable
class RewardFn(Protocol):
    """Any function that rewards one completion."""

    def __call__(self, completion: str, question: Question, *, finish_reason: str) -> Reward:
        """Judges a completion; pure, the same text always earns the same."""
        ...


@runtime_checkable
class BatchRewardFn(RewardFn, Protocol):
    """One that is faster with many at a time, because it asks a server."""

    def many(self, asked: Sequence[Asked]) -> list[Reward]:
        """Judges completions, in their order."""
        ...


def earn(reward_fn: RewardFn, asked: Sequence[Asked]) -> list[Reward]:
    """What completions earn, in their order; all at once where the function can.

    Args:
      reward_fn: Judges.
      asked: Any number.
    """
    if isinstance(reward_fn, BatchRewardFn):
        return reward_fn.many(asked)
    return [reward_fn(a.completion, a.question, finish_reason=a.finish_reason) for a in asked]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FormatAccuracy:
    """The paper's reward: strict format times 0.5 plus accuracy times 1.0.

    Attributes:
      format_weight: Weight of the format term, >= 0.
      accuracy_weight: Weight of the accuracy term, >= 0.
      format_needs_answer: Pays the format term only as far as the answer is right, so that form
        alone earns nothing. The paper pays it always.
      rules: How answers are measured.
    """

    format_weight: float = 0.5
    accuracy_weight: float = 1.0
    format_needs_answer: bool = False
    rules: reward_accuracy.Rules = reward_accuracy.Rules()

    def __call__(self, completion: str, question: Question, *, finish_reason: str) -> Reward:
        """Judges a completion.

        Args:
          completion: Decoded text, without the stop token.
          question: What was asked.
          finish_reason: "stop" or "length"; a text that is whole is judged either way.

        Returns:
          Terms `format`, 0 or 1, and `accuracy`, in [0, 1].

        Source: arXiv:2506.07044, sections 3.1.4 and 3.2. The tags are EasyR1's r1v form; the
        paper does not state its own. Differs: a thought must not be empty.
        """
        del finish_reason
        parts = answers.parse_think_answer(completion)
        if parts is None or not _says(parts.think) or not _says(parts.answer):
            return Reward(0.0, {"format": 0.0, "accuracy": 0.0}, MALFORMED, None)
        accuracy, status, parsed = self.rules.measure(parts.answer, question)
        form = accuracy if self.format_needs_answer else 1.0
        total = self.format_weight * form + self.accuracy_weight * accuracy
        return Reward(total, {"format": form, "accuracy": accuracy}, status, parsed)


def make(config: config_reward.RewardConfig, *, field: str = "config.rl.reward") -> RewardFn:
    """The reward function that a config asks for.

    Args:
      config: Validated.
      field: Where it stands, for messages.

    Raises:
      UserError: If the user's function cannot be loaded, or the judge's server not be asked.
    """
    # Imported when they are made: they know this module, and openai may not be installed.
    from lingshu_jax.rl import reward_function, reward_judge

    default = from_config(config)
    if config.function:
        return reward_function.load(config.function, field=f"{field}.function", default=default)
    if config.judge.model:
        return reward_judge.JudgedReward(
            default, reward_judge.make_engine(config.judge), settings=config.judge
        )
    return default


def from_config(config: config_reward.RewardConfig) -> FormatAccuracy:
    """Format and accuracy as configured, without a function of the user's and without a judge.

    Args:
      config: Validated.
    """
    rules = reward_accuracy.Rules(
        open_match=config.open_match,
        f1_threshold=config.f1_threshold,
        box_min_iou=config.box_min_iou,
        report_metrics=tuple(config.report_metrics),
    )
    return FormatAccuracy(
        format_weight=config.format_weight,
        accuracy_weight=config.accuracy_weight,
        format_needs_answer=config.format_needs_answer,
        rules=rules,
    )


def _says(text: str) -> bool:
    return bool(answers_text.normalise(text).strip())
