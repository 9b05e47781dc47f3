# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Cases for `rl/audit.py`: completions with the most, or the least, that they may earn.

A row of a JSONL file is

    {"id": "a1", "kind": "adversarial", "prompt": "Is there a mass?", "gold": "yes", "options": [],
     "completion": "<think>x</think><answer>yes or no</answer>", "max_reward": 0.5, "min_reward": 0}

An adversarial row needs `max_reward`, a legitimate one `min_reward`; the other may be null or left
out. Options may carry their letters. Also read are `answer_type`, `aliases` and `finish_reason`.
"""

import json
import math
import pathlib
import re
import string
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from lingshu_jax.common import answers, answers_choice, errors
from lingshu_jax.data import formats, formats_rl
from lingshu_jax.rl import rewards

Kind = Literal["adversarial", "legitimate"]
LIMITS: dict[Kind, str] = {"adversarial": "max_reward", "legitimate": "min_reward"}
FOLDER = pathlib.Path(__file__).parent / "audit_cases"


class Case(NamedTuple):
    """One completion and what it may earn.

    Attributes:
      id: Names it.
      kind: "adversarial" or "legitimate".
      asked: The completion, its question, how it ended.
      limit: The most, or the least, under the paper's weights.
    """

    id: str
    kind: Kind
    asked: rewards.Asked
    limit: float


def read(paths: Iterable[pathlib.Path]) -> list[Case]:
    """All cases of some files.

    Args:
      paths: JSONL files.

    Raises:
      UserError: If a file is missing or empty, or a row is wrong; names file and line.
    """
    cases: list[Case] = []
    seen: set[str] = set()
    for path in paths:
        if not path.is_file():
            raise errors.UserError(f"no such file: {path}")
        try:
            lines = path.read_text(encoding="utf-8-sig").split("\n")
        except UnicodeDecodeError as error:
            raise errors.UserError(f"{path} is not UTF-8: {error.reason}") from error
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                case = _case(_row(line))
                if case.id in seen:
                    raise errors.UserError(f"id {case.id!r} occurs twice")
            except (errors.UserError, formats.RowError) as error:
                raise errors.UserError(f"{path} line {number}: {error}") from error
            seen.add(case.id)
            cases.append(case)
    if not cases:
        raise errors.UserError(f"no cases in {', '.join(map(str, paths))}")
    return cases


def _row(line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise errors.UserError(f"no JSON: {error}") from error
    if not isinstance(row, dict):
        raise errors.UserError(f"a row must be an object, got {type(row).__name__}")
    return row


def _case(row: dict[str, Any]) -> Case:
    kind = row.get("kind")
    if kind not in LIMITS:
        raise errors.UserError(f"kind must be one of {', '.join(LIMITS)}, got {kind!r}")
    name = row.get("id")
    if isinstance(name, int) and not isinstance(name, bool):
        name = str(name)
    if not isinstance(name, str) or not name:
        raise errors.UserError(f"id must be a text, got {name!r}")
    finish_reason = row.get("finish_reason") or "stop"
    if finish_reason not in ("stop", "length"):
        raise errors.UserError(f"finish_reason must be stop or length, got {finish_reason!r}")
    asked = rewards.Asked(_text(row, "completion"), _question(row), finish_reason)
    return Case(name, kind, asked, _number(row, LIMITS[kind]))


def _question(row: dict[str, Any]) -> rewards.Question:
    """The question with its type, told or found out as the data of training does."""
    prompt, options = _text(row, "prompt"), _options(row)
    gold, answer_type = _gold(row), row.get("answer_type")
    if answer_type is not None and answer_type not in answers.ANSWER_TYPES:
        allowed = ", ".join(answers.ANSWER_TYPES)
        raise errors.UserError(f"answer_type must be one of {allowed}, got {answer_type!r}")
    if answer_type is None and not options:
        found = formats_rl.gold_of(gold, {}, prompt)
        if found["answer_type"] == "choice":
            gold, options = found["answer"], found["options"]
    if options and answers_choice.gold_letter(gold, options) is None:
        gold = _without_letter(gold, options)
    answer_type = answer_type or answers.infer_type(gold, options)
    answers.check_gold(gold, answer_type=answer_type, options=options)
    return rewards.Question(
        text=prompt,
        gold=gold,
        answer_type=answer_type,
        options=tuple(options),
        aliases=rewards.read_aliases(row.get("aliases")),
    )


def _without_letter(gold: str, options: list[str]) -> str:
    """The letter of a gold such as "B. Pleural effusion"; else the gold as it is."""
    for letter, option in zip(string.ascii_uppercase, options, strict=False):
        if re.fullmatch(rf"\(?{letter}[\s.):、]*{re.escape(option)}", gold, re.IGNORECASE):
            return letter
    return gold


def _options(row: dict[str, Any]) -> list[str]:
    options = row.get("options")
    if options is None:
        return []
    if not isinstance(options, list) or not all(isinstance(text, str) for text in options):
        raise errors.UserError(f"options must be a list of texts, got {options!r:.60}")
    return answers_choice.without_letters(options)


def _gold(row: dict[str, Any]) -> str:
    gold = row.get("gold")
    if isinstance(gold, list):
        return json.dumps(gold)
    if isinstance(gold, bool) or not isinstance(gold, str | int | float):
        raise errors.UserError(
            f"gold must be a text, a number or a list of boxes, got {gold!r:.60}"
        )
    return str(gold).strip()


def _text(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        raise errors.UserError(f"{name} must be a text, got {value!r:.60}")
    return value


def _number(row: dict[str, Any], name: str) -> float:
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise errors.UserError(f"{name} must be a finite number, got {value!r:.60}")
    return float(value)
