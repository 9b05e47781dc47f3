# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Which answers of an evaluation a judge is asked about, and what it is shown of them."""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from lingshu_jax.common import answers_text
from lingshu_jax.eval import compat
from lingshu_jax.eval.judge import prompts, replies, verdicts

Row = Mapping[str, Any]
ITEMS = ("open", "all")
_UNREAD = ("unparsed", "ambiguous")  # strict statuses of an answer that rules cannot read
_NOTHING = ("empty", "truncated")  # and of one that says nothing


class Form(NamedTuple):
    """How a style asks and reads."""

    ask: Callable[[prompts.Question], prompts.Prompt]
    read: Callable[[str, str], str]
    retries: int


FORMS: Mapping[str, Form] = {
    "strict": Form(prompts.strict, verdicts.read, replies.RETRIES),
    # MedEvalKit takes the first reply for what it is.
    "medevalkit": Form(prompts.medevalkit, verdicts.read_medevalkit, 0),
}


def is_judged(row: Row, style: str, items: str = "open") -> bool:
    """Whether the judge of a style is asked about an answer.

    strict: open questions, and what the strict rules cannot read; "all" adds every other question
    with a verdict. Never an answer that says nothing, nor boxes. medevalkit: as in
    MedEvalKit@9b12e3b the open questions of VQA-RAD and PathVQA and all of SLAKE, which rows know
    by their rule.

    Args:
      row: Of samples.jsonl.
      style: Of the judge.
      items: Of a strict one.
    """
    if row["scoring"] != "verdict" or row["answer_type"] == "box":
        return False
    if style == "medevalkit":
        return row["rule"] == "slake" or (row["rule"], row["compat"]["kind"]) == ("vqa", "open")
    status = row["strict"]["status"]
    if status in _NOTHING:
        return False
    return items == "all" or row["answer_type"] == "open" or status in _UNREAD


def question(row: Row, style: str) -> prompts.Question:
    """What a judge is shown of an answer.

    strict: what stands in its container, else all of it without the thoughts. medevalkit: prepared
    as MedEvalKit does (utils/VQA_RAD/VQA_RAD.py, utils/SLAKE/SLAKE.py): the box, else the tag, else
    all; for VQA-RAD and PathVQA gold and answer in lower case and stripped.

    Args:
      row: Of samples.jsonl.
      style: Of the judge.
    """
    if style == "medevalkit":
        return prepared(row, row["gold"], _inside(row["response"]))
    shown = tuple(row["choices"] or row["options"])
    return prompts.Question(row["question"], row["gold"], _said(row["response"]), shown)


def prepared(row: Row, gold: str, answer: str) -> prompts.Question:
    """Gold and answer as MedEvalKit shows them.

    Args:
      row: Decides by its rule.
      gold: The standard answer.
      answer: Without tags and boxes.
    """
    if row["rule"] == "vqa":
        gold, answer = gold.lower().strip(), answer.lower().strip()
    return prompts.Question(row["question"], gold, answer)


def tasks(rows: Sequence[Row], style: str) -> list[replies.Task]:
    """What is asked about some answers; keys are their ids.

    Args:
      rows: Of samples.jsonl.
      style: Of the judge.
    """
    form = FORMS[style]
    return [
        replies.Task(
            key=row["id"],
            prompt=form.ask(question(row, style)),
            read=form.read,
            retries=form.retries,
        )
        for row in rows
    ]


def draw(rows: Sequence[Row], count: int, seed: str) -> list[Row]:
    """Some rows drawn at random, in their order; a larger number draws the same and more.

    Args:
      rows: To be drawn from.
      count: How many; all if there are fewer.
      seed: Of the draw; ids alone decide besides.
    """
    chances = [random.Random(f"{seed} {row['id']}").random() for row in rows]
    places = sorted(range(len(rows)), key=chances.__getitem__)[:count]
    return [rows[place] for place in sorted(places)]


def share_of(rows: Sequence[Row], share: float, seed: int) -> list[Row]:
    """A random share of some rows, rounded up.

    Args:
      rows: To be drawn from.
      share: Above 0, at most 1.
      seed: As of `draw`.
    """
    return draw(rows, math.ceil(share * len(rows)), f"share {seed}")


def _said(response: str) -> str:
    visible = answers_text.strip_reasoning(answers_text.normalise(response)) or ""
    visible = answers_text.without_frame(visible).strip()
    if not visible:
        return ""
    container = answers_text.find_container(visible)
    return container.text if container.kind in ("tag", "box") else visible


def _inside(response: str) -> str:
    """The box, or else what stands between answer tags, or else all of it."""
    boxed = compat.box(response)
    if boxed != compat.NO_BOX:
        return boxed
    return compat.between_tags(response, "answer") if "<answer>" in response else response
