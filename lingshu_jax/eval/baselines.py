# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What scores are worth: those of answers that need no look at the question.

constant    the most frequent gold of each answer type, given to every question of that type
random      an option drawn at random, or a coin for yes and no; open questions score 0
no answer   an empty response; strict never counts one as right, but MedEvalKit's rules may
"""

import collections
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from lingshu_jax.common import answers_choice
from lingshu_jax.eval import benchmark, metrics

Row = Mapping[str, Any]

_SILENT = benchmark.Answer("", "stop")


def judge_silent(samples: Sequence[benchmark.Sample]) -> list[bool | None]:
    """MedEvalKit's verdict on an empty answer to each question; None without verdicts.

    Args:
      samples: Of one benchmark, in its order.
    """
    rows = benchmark.score_all(samples, itertools.repeat(_SILENT, len(samples)))
    return [row["compat"]["correct"] for row in rows]


def accuracies(rows: Sequence[Row], silent: Sequence[bool | None]) -> dict[str, float | None]:
    """The accuracies that a model should beat.

    Args:
      rows: Of samples.jsonl; those without a verdict do not count.
      silent: From `judge_silent`, of the same questions.

    Returns:
      `constant_accuracy`, `random_accuracy`, and `no_answer_accuracy`, which is compat's; None
      where nothing is scored.
    """
    scored = [row for row in rows if row["compat"]["correct"] is not None]
    if not scored:
        return dict.fromkeys(("constant_accuracy", "random_accuracy", "no_answer_accuracy"))
    constants = metrics.constant_baseline(rows).values()
    return {
        "constant_accuracy": sum(c["correct"] for c in constants) / len(scored),
        "random_accuracy": math.fsum(map(chance, scored)) / len(scored),
        "no_answer_accuracy": sum(filter(None, silent)) / len(scored),
    }


def chance(row: Row) -> float:
    """The chance that a random answer of the right kind is right.

    Args:
      row: A choice has its `options`; of sets of letters each that is not empty may be drawn.
    """
    if row["answer_type"] == "yes_no":
        return 1 / 2
    if row["answer_type"] == "choice":
        return 1 / len(row["options"])
    return 1 / (2 ** len(row["options"]) - 1) if row["answer_type"] == "choices" else 0.0


def letters(rows: Sequence[Row]) -> dict[str, Any] | None:
    """How often each letter is the gold, and how often strict scoring read it in an answer.

    Args:
      rows: Of samples.jsonl.

    Returns:
      `golds` and `answers` by letter, from A to the last that any question has, and `none`, the
      answers without a valid letter; None without questions of a single choice.
    """
    chosen = [row for row in rows if row["answer_type"] == "choice"]
    if not chosen:
        return None
    golds = collections.Counter(
        answers_choice.gold_letter(row["gold"], row["options"]) for row in chosen
    )
    read = [row["strict"]["value"] for row in chosen if row["strict"]["status"] == "ok"]
    said = collections.Counter(read)
    every = [chr(ord("A") + place) for place in range(max(len(row["options"]) for row in chosen))]
    return {
        "golds": {letter: golds[letter] for letter in every},
        "answers": {letter: said[letter] for letter in every},
        "none": len(chosen) - len(read),
    }
