# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Questions of Chinese medical examinations, as MedEvalKit asks them: choices in Chinese."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lingshu_jax.eval import benchmark, files
from lingshu_jax.eval import card as card_lib
from lingshu_jax.eval import question_formats as formats

RULE = "choice"


class Asked(NamedTuple):
    """A question of a row.

    Attributes:
      question: Its text.
      options: Option texts in the order of their letters.
      choices: The same as the prompt shows them.
      gold: The letter of the right option, or the letters of several.
    """

    question: str
    options: tuple[str, ...]
    choices: tuple[str, ...]
    gold: str


def sample(
    row_id: str, asked: Asked, *, fields: Mapping[str, Any], strata: Mapping[str, str]
) -> benchmark.Sample:
    """A question as a sample.

    Args:
      row_id: Unique within the benchmark.
      asked: The question.
      fields: What results keep, besides prompt, choices and answer.
      strata: Of what kind it is.
    """
    prompt = formats.ask_choice(asked.question, asked.choices, "zh")
    return benchmark.Sample(
        id=row_id,
        question=asked.question,
        gold=asked.gold,
        answer_type="choices" if len(asked.gold) > 1 else "choice",
        rule=RULE,
        messages=formats.turn(prompt),
        options=asked.options,
        choices=asked.choices,
        strata=strata,
        fields={
            **fields,
            "prompt": prompt,
            "choices": list(asked.choices),
            "answer": asked.gold,
        },
    )


def keyed(options: Any) -> dict[str, str]:
    """Options by letter; some copies have a list of `key` and `value` instead.

    Args:
      options: As the row has them.

    Returns:
      Nothing if they are neither, or if a letter occurs twice.
    """
    if isinstance(options, list):
        by_key = {o.get("key"): o.get("value") for o in options if isinstance(o, dict)}
        options = by_key if len(by_key) == len(options) else {}
    found = options if isinstance(options, dict) else {}
    return {str(key): str(text) for key, text in found.items() if text is not None}


def first(card: card_lib.Card, folder: Path, patterns: Sequence[str]) -> Path:
    """The one file of the first pattern that matches.

    Args:
      card: Of the benchmark.
      folder: Where they are looked for.
      patterns: As of `files.matches`, the likeliest last: it is named if there is none.

    Raises:
      UserError: If there is none, or more than one.
    """
    found = next((name for name in patterns if files.matches(folder, name)), patterns[-1])
    return files.only(card, folder, found)
