# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Why MedEvalKit's verdict on an answer and the strict one differ, in one word for a table."""

from lingshu_jax.common import answers, answers_text
from lingshu_jax.eval import compat

_LUCKY: dict[str, str] = {
    "similar": "guessed_similar",
    "first": "empty_is_first_option",
    "random": "guessed_random",
}
# What each name of a row's `reason` says; "" is where the two agree.
REASONS: dict[str, str] = {
    "guessed_similar": "compat took the most similar option, and that was right",
    "empty_is_first_option": "nothing resembles an option, compat took the first, that was right",
    "guessed_random": "compat drew a letter, and that was right",
    "read_by_strict_only": "compat guessed wrong where strict reads a letter or a text",
    "substring_yes_no": "compat looks for yes and no inside words, as in 'unknown'",
    "contained": "to compat an answer that contains the gold is right",
    "synonym": "strict knows other words for yes and no",
    "unstripped": "compat compares with the blanks around the answer",
    "normal_form": "strict compares without case, article and punctuation, and knows aliases",
    "read_differently": "both read an answer, and not the same",
    **{
        f"status:{status}": f"compat reads an answer where strict says {status}"
        for status in answers_text.STATUSES
        if status != "ok"
    },
}


def reason(verdict: compat.Verdict, strict: answers.Verdict, answer_type: str) -> str:
    """The name in REASONS of what makes two verdicts differ; "" if they agree.

    Args:
      verdict: MedEvalKit's.
      strict: Ours.
      answer_type: One of `answers.ANSWER_TYPES`.
    """
    if verdict.correct is None or verdict.correct == strict.correct:
        return ""
    if verdict.by in compat.GUESSES:
        return _LUCKY[verdict.by] if verdict.correct else "read_by_strict_only"
    if verdict.by == "substring":
        return "substring_yes_no"
    if verdict.by == "contained":
        return "contained"
    if strict.status != "ok":
        return f"status:{strict.status}"
    if verdict.by == "unstripped":
        return "unstripped"
    if verdict.by in ("neither", "unequal"):
        return "synonym" if answer_type == "yes_no" else "normal_form"
    return "read_differently"
