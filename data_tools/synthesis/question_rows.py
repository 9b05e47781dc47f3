# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Questions as rows: open ones, yes or no, and multiple choice, in the words of evaluation.

The meta of a row says what is right as rewards read it: the answer, its type, its options; of a
choice the answer is the letter.
"""

import random
import string
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from data_tools import rows as rows_lib
from data_tools.synthesis import asks
from lingshu_jax.common import answers, answers_open, prompts

MOST_WORDS = 8  # of an open answer that rewards can check; a longer one is worded in many ways
_TAILS = {"yes_no": prompts.YES_NO, "number": prompts.CLOSED}


class Options(NamedTuple):
    """Options in an order of chance.

    Attributes:
      texts: Without letters.
      letter: Of the right one.
    """

    texts: tuple[str, ...]
    letter: str


def shuffled(right: str, wrong: Sequence[str], rng: random.Random) -> Options:
    """Options whose right one is under any letter equally often.

    Args:
      right: The right one.
      wrong: The others, at most 25.
      rng: Chance.
    """
    texts = [right, *wrong]
    rng.shuffle(texts)
    return Options(tuple(texts), string.ascii_uppercase[texts.index(right)])


def choice(question: str, options: Options) -> tuple[str, str, dict[str, Any]]:
    """A multiple-choice question: what is asked, the answer, the meta.

    Args:
      question: Without options.
      options: From `shuffled`.
    """
    asked = prompts.ask_choice(question, list(options.texts))
    meta = {
        "answer": options.letter,
        "answer_type": "choice",
        "options": list(options.texts),
    }
    return prompts.ask(asked, prompts.CHOICE), options.letter, meta


def free(question: str, answer: str, *, tail: str = "") -> tuple[str, str, dict[str, Any]]:
    """A question without options: what is asked, the answer, the meta.

    An answer that is too long to be checked stands in no meta.

    Args:
      question: As it is asked.
      answer: The right one.
      tail: How it is to be answered; "" is by the type of the answer.
    """
    kind = answers.infer_type(answer)
    asked = prompts.ask(question, tail or _TAILS.get(kind, prompts.OPEN))
    is_short = len(answers_open.tokens(answer)) <= MOST_WORDS
    return asked, answer, {"answer": answer, "answer_type": kind} if is_short else {}


def draft(
    row: tuple[str, str, Mapping[str, Any]],
    media: tuple[rows_lib.Medium, ...],
    *,
    kind: str = "vqa",
    checks: Mapping[str, Any] | None = None,
) -> asks.Draft:
    """A row of one question and its answer, the pictures first.

    Args:
      row: From `choice` or `free`.
      media: Its pictures.
      kind: As of `asks.Draft`.
      checks: As there.
    """
    asked, answer, meta = row
    pictures = [asks.picture(place) for place in range(len(media))]
    return asks.Draft(
        kind=kind,
        messages=(
            asks.turn("user", *pictures, asks.text(asked)),
            asks.turn("assistant", asks.text(answer)),
        ),
        media=media,
        meta=meta,
        checks=checks or {},
    )
