# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Existing answers to be scored: our own rows, or MedEvalKit's results.json.

A MedEvalKit row has `question` or `prompt`, `answer`, `response`, and `choices` where there are
some; ours has `id`, `question`, `gold`, `response`, and what a row of samples.jsonl has besides.
Whatever else stands in a row is ignored, an old verdict too.
"""

import gzip
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lingshu_jax.common import answers, answers_choice, answers_polarity, errors
from lingshu_jax.eval import benchmark, compat

GZIP = b"\x1f\x8b"
_HAN = [word for word in answers_polarity.YES + answers_polarity.NO if not word.isascii()]
POLARITY_WORDS = frozenset({"yes", "no", *_HAN})


class Answered(NamedTuple):
    """A sample without its prompt, and the answer it got."""

    sample: benchmark.Sample
    answer: benchmark.Answer


def read(path: Path, rule: str | None = None) -> list[Answered]:
    """Reads a prediction file, in its order.

    Args:
      path: A JSON list, or JSONL; the ending does not matter.
      rule: A key of `compat.RULES`; None chooses by what each row holds.

    Raises:
      UserError: If the file is missing or empty, or a row lacks what scoring needs.
    """
    assert rule is None or rule in compat.RULES, rule
    answered = []
    for number, row in enumerate(_rows(path)):
        try:
            answered.append(_answered(row, number, rule))
        except errors.UserError as error:
            raise errors.UserError(f"--predictions {path} row {number}: {error}") from error
    if not answered:
        raise errors.UserError(f"--predictions {path}: no rows")
    ids = [item.sample.id for item in answered]
    if len(set(ids)) < len(ids):
        repeated = next(i for i in ids if ids.count(i) > 1)
        raise errors.UserError(f"--predictions {path}: id {repeated!r} occurs more than once")
    return answered


def _rows(path: Path) -> list[Any]:
    """The rows of a list or of JSONL, told apart by the first character; gzip is undone."""
    if not path.is_file():
        raise errors.UserError(f"--predictions: no such file: {path}")
    raw = path.read_bytes()
    try:
        text = (gzip.decompress(raw) if raw[:2] == GZIP else raw).decode("utf-8-sig").strip()
        if text.startswith("["):
            return json.loads(text)
        return [json.loads(line) for line in text.split("\n") if line.strip()]
    except (ValueError, EOFError, OSError, zlib.error) as error:
        raise errors.UserError(f"--predictions {path}: neither JSON nor JSONL: {error}") from error


def _answered(row: Any, number: int, rule: str | None) -> Answered:
    if not isinstance(row, dict):
        raise errors.UserError(f"must be an object, got {type(row).__name__}")
    gold = _text(row, "gold", "answer")
    if gold is None:
        raise errors.UserError(f"needs gold or answer, found {sorted(row)}")
    if "response" not in row:
        raise errors.UserError(f"needs response, found {sorted(row)}")
    choices = tuple(map(str, row.get("choices") or row.get("options") or ()))
    kind = str(row.get("answer_type", ""))
    sample = benchmark.Sample(
        id=str(row.get("id", number)),
        question=_text(row, "question", "prompt") or "",
        gold=gold,
        answer_type=_answer_type(kind, gold, choices),
        rule=rule or _rule(row, choices),
        options=tuple(answers_choice.without_letters(choices)),
        choices=_lettered(choices) if "options" in row and "choices" not in row else choices,
        is_open=kind == "OPEN",
    )
    sample.check()
    finish_reason = str(row.get("finish_reason") or "stop")
    response = _text(row, "response") or ""
    return Answered(sample, benchmark.Answer(response, finish_reason))


def _text(row: Mapping[str, Any], *names: str) -> str | None:
    """The first field that is there, as text that can be written again."""
    for name in names:
        if row.get(name) is not None:
            return str(row[name]).encode("utf-8", "replace").decode("utf-8")
    return None


def _answer_type(kind: str, gold: str, choices: tuple[str, ...]) -> answers.AnswerType:
    for known in answers.ANSWER_TYPES:
        if kind == known:
            return known
    if choices:
        return "choice"
    return "yes_no" if kind != "OPEN" and gold.strip().lower() in POLARITY_WORDS else "open"


def _rule(row: Mapping[str, Any], choices: tuple[str, ...]) -> str:
    if choices:
        return "choice"
    return "slake" if row.get("answer_type") in ("OPEN", "CLOSED") and "lang" in row else "vqa"


def _lettered(options: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{chr(ord('A') + i)}. {text}" for i, text in enumerate(options))
