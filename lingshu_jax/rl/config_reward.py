# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What a completion earns: weights of the terms, and how the answers of each kind are measured."""

import dataclasses
import math
from typing import Literal, get_args

from lingshu_jax.common import answers_boxes, errors, report_metrics

OpenMatch = Literal["exact", "f1"]


@dataclasses.dataclass(kw_only=True)
class JudgeConfig:
    """A model behind an OpenAI-compatible server, asked about open answers the rules do not know.

    Attributes:
      model: Its name at the server; "" asks no judge.
      weight: Of the term `judge`, >= 0.
      base_url: Of the server; "" is $OPENAI_BASE_URL, else OpenAI's.
      key_variable: The environment variable that holds the key.
      max_new_tokens: Of a verdict; reasoning counts.
      max_concurrency: Questions at a time.
      timeout_seconds: For one try.
      max_retries: Further tries.
      cache_folder: Keeps the verdicts between runs; "" keeps them in memory.
    """

    model: str = ""
    weight: float = 1.0
    base_url: str = ""
    key_variable: str = "OPENAI_API_KEY"
    max_new_tokens: int = 256
    max_concurrency: int = 32
    timeout_seconds: float = 60.0
    max_retries: int = 2
    cache_folder: str = ""

    def validate(self) -> None:
        """Raises UserError where a field is out of range."""
        _require_weight("judge.weight", self.weight)
        for name, least in (("max_new_tokens", 1), ("max_concurrency", 1), ("max_retries", 0)):
            value = getattr(self, name)
            errors.require(value >= least, f"rl.reward.judge.{name}", value, f">= {least}")
        seconds = self.timeout_seconds
        errors.require(
            0 < seconds < math.inf, "rl.reward.judge.timeout_seconds", seconds, "> 0 and finite"
        )


@dataclasses.dataclass(kw_only=True)
class RewardConfig:
    """Format and accuracy, weighted; the defaults are the paper's (arXiv:2506.07044, 3.1.4).

    Attributes:
      format_weight: Weight of the format term, >= 0.
      accuracy_weight: Weight of the accuracy term, >= 0.
      format_needs_answer: Pays the format term only as far as the answer is right, so that form
        alone earns nothing. The paper pays it always.
      function: `path.py:name` of a function of your own, which then decides the total; see
        `rl/reward_function.py`. "" is none.
      open_match: Short open answers earn by normalised match ("exact"), or by token F1 with the
        gold or the best of its aliases ("f1").
      f1_threshold: With "f1": 1 from here on and 0 below; 0 pays the F1 itself.
      box_min_iou: Boxes that overlap less are no match; matched ones earn their IoU.
      report_metrics: Reports earn the mean of these: rouge_l, bleu, token_f1.
      judge: A further opinion on open answers.
    """

    format_weight: float = 0.5
    accuracy_weight: float = 1.0
    format_needs_answer: bool = False
    function: str = ""
    open_match: OpenMatch = "exact"
    f1_threshold: float = 0.0
    box_min_iou: float = answers_boxes.RIGHT_IOU
    report_metrics: tuple[str, ...] = ("rouge_l",)
    judge: JudgeConfig = dataclasses.field(default_factory=JudgeConfig)

    def validate(self) -> None:
        """Raises UserError where a field is out of range."""
        for name in ("format_weight", "accuracy_weight"):
            _require_weight(name, getattr(self, name))
        errors.require_word("rl.reward.open_match", self.open_match, get_args(OpenMatch))
        for name in ("f1_threshold", "box_min_iou"):
            value = getattr(self, name)
            errors.require(0 <= value <= 1, f"rl.reward.{name}", value, "in [0, 1]")
        errors.require(
            self.f1_threshold == 0 or self.open_match == "f1",
            *("rl.reward.f1_threshold", self.f1_threshold, "0 where open_match is not 'f1'"),
        )
        metrics = tuple(report_metrics.METRICS)
        errors.require(
            bool(self.report_metrics) and set(self.report_metrics) <= set(metrics),
            *("rl.reward.report_metrics", self.report_metrics, f"one or more of {metrics}"),
        )
        errors.require(
            not (self.function and self.judge.model),
            *("rl.reward.judge.model", self.judge.model, "'' beside a function of your own"),
        )
        self.judge.validate()


def _require_weight(name: str, value: float) -> None:
    errors.require(0 <= value < math.inf, f"rl.reward.{name}", value, ">= 0")
