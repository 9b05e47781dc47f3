# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What may be decided about an item, and what the files keep of what a page sends."""

import datetime
import re
from collections.abc import Mapping
from typing import Any

from data_tools.reviewing import decisions, items
from lingshu_jax.common import errors

FIRST, SECOND, BOTH, NEITHER = "first", "second", "both", "neither"
APPROVED, EDITED, REJECTED = "approve", "edit", "reject"
ALLOWED = {
    items.COMPARE: (FIRST, SECOND, BOTH, NEITHER),
    items.APPROVE: (APPROVED, EDITED, REJECTED),
    items.VERIFY: (APPROVED, EDITED, REJECTED),
}
REASONS = (
    "wrong finding",
    "missing finding",
    "not supported by the picture",
    "wrong side or place",
    "unclear or badly worded",
    "unsafe advice",
    "identifies a person",
    "other",
)
MOST_TEXT = 40_000  # characters of an edited text
MOST_NOTE = 2_000
NUMBER = re.compile(r"[0-9a-f]{16,64}")
_SIDES = ("a", "b")


def checked(item: items.Item, sent: Mapping[str, Any], *, swapped: bool) -> dict[str, Any]:
    """A decision as the files keep it.

    Args:
      item: What it is about.
      sent: By the page: `verdict`, and what belongs to it; see docs/review.md.
      swapped: As of `items.is_swapped`.

    Raises:
      UserError: If it says nothing that may be decided about the item.
    """
    verdict = sent.get("verdict")
    made: dict[str, Any] = {
        "item": item.key,
        "task": item.task,
        "rows": [row.id for row in item.rows],
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": _seconds(sent.get("seconds")),
    }
    if verdict == decisions.UNDO:
        return {**made, "verdict": verdict, "undoes": _number(sent.get("undoes"))}
    if verdict == decisions.SKIP:
        return {**made, "verdict": verdict}
    if item.task == items.COMPARE:
        return {**made, "verdict": _chosen(verdict, swapped)}
    if item.task == items.VERIFY:
        made |= _checks(item.rows[0], sent)
        if verdict != EDITED:
            is_good = all(made["steps"]) and made["consistent"] and not made["leaks"]
            verdict = APPROVED if is_good else REJECTED
    elif verdict == REJECTED:
        made |= _reasons(sent)
    if verdict == EDITED:
        made["texts"] = _texts(item.rows[0], sent.get("texts"))
    if verdict not in ALLOWED[item.task]:
        raise errors.UserError(
            f"verdict must be one of {', '.join(ALLOWED[item.task])}, got {str(verdict)[:40]!r}"
        )
    return {**made, "verdict": verdict}


def number(sent: Mapping[str, Any]) -> str:
    """The number of a decision, drawn by the page.

    Args:
      sent: By the page.

    Raises:
      UserError: If there is none.
    """
    return _number(sent.get("number"))


def told(item: items.Item, given: decisions.Given, *, swapped: bool) -> dict[str, Any]:
    """A reviewer's own decision as the page is told of it.

    Args:
      item: What it is about.
      given: The decision.
      swapped: As of `items.is_swapped`.
    """
    keys = ("number", "verdict", "reasons", "note", "steps", "consistent", "leaks", "texts")
    shown = {key: given[key] for key in keys if key in given}
    if item.task == items.COMPARE and given["verdict"] in (FIRST, SECOND):
        shown["verdict"] = _SIDES[(given["verdict"] == SECOND) != swapped]
    return shown


def _chosen(verdict: Any, swapped: bool) -> str:
    if verdict in (BOTH, NEITHER):
        return verdict
    if verdict not in _SIDES:
        raise errors.UserError(
            f"verdict must be one of a, b, both, neither, got {str(verdict)[:40]!r}"
        )
    return (FIRST, SECOND)[(verdict == "b") != swapped]


def _checks(row: items.Row, sent: Mapping[str, Any]) -> dict[str, Any]:
    """What was found of a trace; all of it must have been looked at."""
    steps, found = items.trace(row.answer).steps, sent.get("steps")
    given = found if isinstance(found, list) else []
    if len(given) != len(steps) or not all(isinstance(step, bool) for step in given):
        raise errors.UserError(f"steps must be true or false for each of {len(steps)} steps")
    for name in ("consistent", "leaks"):
        if not isinstance(sent.get(name), bool):
            raise errors.UserError(f"{name} must be true or false")
    return {"steps": given, "consistent": sent["consistent"], "leaks": sent["leaks"]}


def _reasons(sent: Mapping[str, Any]) -> dict[str, Any]:
    reasons, note = sent.get("reasons", []), sent.get("note", "")
    if not isinstance(reasons, list) or not set(map(str, reasons)) <= set(REASONS):
        raise errors.UserError(f"reasons must be of: {', '.join(REASONS)}")
    if not isinstance(note, str) or len(note) > MOST_NOTE:
        raise errors.UserError(f"a note must be a text of at most {MOST_NOTE} characters")
    if not reasons and not note.strip():
        raise errors.UserError("a rejection needs a reason")
    return {"reasons": sorted(set(reasons), key=REASONS.index), "note": note.strip()}


def _texts(row: items.Row, sent: Any) -> list[list[Any]]:
    """The changed texts: message, part, what it says now."""
    found: dict[tuple[int, int], str] = {}
    for entry in sent if isinstance(sent, list) else []:
        is_entry = isinstance(entry, list) and len(entry) == 3
        if not is_entry or not all(type(place) is int for place in entry[:2]):
            raise errors.UserError("texts must be a list of [message, part, text]")
        message, part, text = entry
        if not 0 <= message < len(row.messages):
            raise errors.UserError(f"there is no message {message}")
        content = row.messages[message]["content"]
        if not 0 <= part < len(content) or content[part]["type"] != "text":
            raise errors.UserError(f"message {message} has no text {part}")
        if not isinstance(text, str) or not text.strip() or len(text) > MOST_TEXT:
            raise errors.UserError(f"a text must have 1 to {MOST_TEXT} characters")
        if text != content[part]["text"]:
            found[message, part] = text
    if not found:
        raise errors.UserError("nothing was changed")
    return [[*place, text] for place, text in sorted(found.items())]


def _number(value: Any) -> str:
    if not isinstance(value, str) or not NUMBER.fullmatch(value):
        raise errors.UserError("a decision needs a number of 16 to 64 hexadecimal digits")
    return value


def _seconds(value: Any) -> float | None:
    """How long it took, as far as the page knows."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e6:
        return None
    return round(float(value), 1)
