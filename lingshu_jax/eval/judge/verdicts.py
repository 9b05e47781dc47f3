# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What a judge's reply says; a reply that does not say it in the form asked for says nothing."""

import json
from collections.abc import Iterator
from typing import Any, Literal, get_args

from lingshu_jax.common import answers_text
from lingshu_jax.eval import compat

Verdict = Literal["correct", "incorrect", "ungradable"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
FAILED = "failed"  # no verdict: no reply, or none that can be read
OUTCOMES = (*VERDICTS, FAILED)
MET, NOT_MET = "met", "not met"  # of a criterion


def read(reply: str, code: str) -> str:
    """One of OUTCOMES, out of a reply to `prompts.strict`.

    Args:
      reply: What the judge wrote.
      code: Of the prompt. Objects without it may be quoted from an answer and are passed over.

    Returns:
      FAILED unless all objects that have the code name the same verdict.
    """
    found = {str(value.get("verdict")).strip().lower() for value in _signed(reply, code)}
    (verdict,) = found if len(found) == 1 else (FAILED,)
    return verdict if verdict in VERDICTS else FAILED


def read_rubric(reply: str, code: str) -> str:
    """MET, NOT_MET or FAILED, out of a reply to `prompts.rubric`.

    Args:
      reply: What the judge wrote.
      code: As of `read`.
    """
    found = [value.get("criteria_met") for value in _signed(reply, code)]
    if not found or any(value is not found[0] for value in found):
        return FAILED
    return {True: MET, False: NOT_MET}[found[0]] if isinstance(found[0], bool) else FAILED


def read_medevalkit(reply: str, code: str = "") -> str:
    """One of OUTCOMES, out of a reply to `prompts.medevalkit`.

    What stands between the tags counts, or the whole reply where there are none; exactly "0" is
    correct. MedEvalKit counts all else as wrong; here "1" is, and what is neither has FAILED.

    Args:
      reply: What the judge wrote.
      code: Not read; MedEvalKit's prompt has none.
    """
    del code
    said = compat.between_tags(reply, "judge")
    return {"0": "correct", "1": "incorrect"}.get(said, FAILED)


def _signed(reply: str, code: str) -> list[dict[str, Any]]:
    """The JSON objects of a reply that have the prompt's code; thoughts are no reply."""
    visible = answers_text.strip_reasoning(reply)
    if visible is None:
        return []
    return [value for value in _objects(visible) if str(value.get("item")).strip() == code]


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """All JSON objects in a text that stand in no other one."""
    decoder, place = json.JSONDecoder(strict=False), text.find("{")
    while place >= 0:
        try:
            value, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            end = place + 1
        else:
            yield value
        place = text.find("{", end)
