# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Options by letter, and golds that are letters, as several benchmarks of texts give them."""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lingshu_jax.common import errors
from lingshu_jax.eval import card as card_lib
from lingshu_jax.eval import files

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
LISTED = "\nAnswer Choices: "  # between question and options where both are one string


def texts(card: card_lib.Card, where: str, options: Any) -> tuple[str, ...]:
    """Option texts in the order of their letters.

    Args:
      card: Of the benchmark.
      where: File and row, for messages.
      options: By letter, which must be A, B, C and so on; Parquet has None under the letters that
        only other rows use.

    Raises:
      UserError: If letters are missing or not in order.
    """
    found = options if isinstance(options, Mapping) else {}
    there = {letter: text for letter, text in found.items() if text is not None}
    if not there or "".join(map(str, there)) != LETTERS[: len(there)]:
        raise errors.UserError(
            f"{card.name}: {where}: options must be texts under A, B, C and so on, got"
            f" {str(options)[:80]!r}"
        )
    return tuple(map(str, there.values()))


def listed(card: card_lib.Card, where: str, options: Any) -> tuple[str, ...]:
    """Option texts of a list.

    Args:
      card: Of the benchmark.
      where: File and row, for messages.
      options: As the row has them.

    Raises:
      UserError: If it is no list of 1 to 26.
    """
    if isinstance(options, list) and 0 < len(options) <= len(LETTERS):
        return tuple(map(str, options))
    raise errors.UserError(
        f"{card.name}: {where}: options must be a list of texts, got {str(options)[:80]!r}"
    )


def gold(card: card_lib.Card, where: str, letter: Any, options: Sequence[str]) -> str:
    """The letter of the right option.

    Args:
      card: Of the benchmark.
      where: File and row, for messages.
      letter: As the row has it; may be a list of one.
      options: Option texts.

    Raises:
      UserError: If no option has this letter.
    """
    if isinstance(letter, list) and len(letter) == 1:
        letter = letter[0]
    allowed = LETTERS[: len(options)]
    if isinstance(letter, str) and len(letter) == 1 and letter in allowed:
        return letter
    raise errors.UserError(
        f"{card.name}: {where}: the gold must be one of {', '.join(allowed)}, got {letter!r}"
    )


def numbered(card: card_lib.Card, where: str, index: Any, options: Sequence[str]) -> str:
    """The letter of the right option where the row counts from 0.

    Args:
      card: Of the benchmark.
      where: File and row, for messages.
      index: As the row has it.
      options: Option texts.

    Raises:
      UserError: If no option has this number.
    """
    if isinstance(index, int) and 0 <= index < len(options):
        return LETTERS[index]
    raise errors.UserError(
        f"{card.name}: {where}: the gold must be 0 to {len(options) - 1}, got {index!r}"
    )


def read_joined(
    card: card_lib.Card, path: Path, columns: Sequence[str], num_options: int
) -> Iterator[tuple[dict[str, Any], str, tuple[str, ...], str]]:
    """Rows whose question holds its options, as MedXpertQA's repository writes them.

    Args:
      card: Of the benchmark.
      path: The file; every row has `question` and `label`.
      columns: Those that every row needs.
      num_options: How many options each must have.

    Yields:
      The row, its question, its option texts and the letter of the gold.

    Raises:
      UserError: As in `split` and `gold`.
    """
    for number, row in enumerate(files.read_rows(card, path, columns)):
        where = f"{path} row {number}"
        question, options = split(card, where, str(row["question"]), num_options)
        yield row, question, tuple(options), gold(card, where, row["label"], options)


def split(card: card_lib.Card, where: str, text: str, num_options: int) -> tuple[str, list[str]]:
    """Question and options of one string: "Answer Choices: (A) text (B) text" on the last line.

    An option may hold such a letter itself; a string that can be read in two ways is refused.

    Args:
      card: Of the benchmark.
      where: File and row, for messages.
      text: The string.
      num_options: How many options it must have.

    Returns:
      The question, and the option texts without letters.

    Raises:
      UserError: If there is not exactly one way to read it.
    """
    first = LISTED + "(A) "
    question, found, tail = text.partition(first)
    marks = [f" ({letter}) " for letter in LETTERS[1:num_options]]
    places = [[match.start() for match in re.finditer(re.escape(m), tail)] for m in marks]
    ways = [way for way in itertools.product(*places) if list(way) == sorted(way)]
    if not found or first in tail or len(ways) != 1:
        raise errors.UserError(
            f"{card.name}: {where}: question must hold {num_options} options as (A) to"
            f" ({LETTERS[num_options - 1]}) behind {LISTED.strip()!r} and read in one way,"
            f" found {len(ways) if found else 0} ways in {text[-80:]!r}"
        )
    starts = [0, *(start + len(mark) for start, mark in zip(ways[0], marks, strict=True))]
    return question, [tail[a:b] for a, b in zip(starts, [*ways[0], len(tail)], strict=True)]
