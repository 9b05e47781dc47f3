# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Questions that a model makes of a picture and its caption, with wrong answers beside right ones.

After the paper (arXiv 2506.07044, 2.2.3 and Table 12): two examples from open sets show the form,
and a model that finds that the caption does not fit the picture writes nothing, which is a filter.
"""

import dataclasses
import functools
import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pydantic

from data_tools import rows as rows_lib
from data_tools import splits
from data_tools.synthesis import asks, checks, question_rows
from data_tools.synthesis import seeds as seeds_lib
from data_tools.synthesis import self_instruct_prompts as texts
from lingshu_jax.common import answers, answers_open, answers_text, errors
from lingshu_jax.data import formats

NO_PICTURE, NO_CAPTION = "no picture", "no caption"
NO_FIT, NO_ITEM = "caption does not fit", "no question written"
EMPTY, REPEATED = "empty question or answer", "question repeated"
SAME, REFERS = "a wrong answer is right", "a wrong answer refers to others"
GIVEN_AWAY, SPEAKS = "question gives the answer away", "speaks of what was supplied"
UNGROUNDED = "nothing known supports it"
MOST_ITEMS, MOST_WRONG = 12, 3
_MOST_TOKENS = 2048  # of a reply
_REFERS = re.compile(
    r"\b(?:all|none|both|neither|either|any) of (?:the|these|those)\b|\b(?:the )?above\b"
    r"|^(?:all|none|both|neither)$|\boptions? [a-d]\b|以上",
    re.IGNORECASE,
)


@dataclasses.dataclass(kw_only=True)
class Config:
    """Questions by self-instruction.

    Attributes:
      sources: Captioned pictures that are asked about; none is off.
      most: Pictures at most, drawn by hash; 0 is all.
      questions: About a picture at most, 1 to 12.
      choices: Share of the questions that become multiple choice, 0 to 1; those whose answer is yes
        or no never do.
      examples: JSONL with `question` and `answer` of open sets, two of which are shown to the model
        each time; "" takes our own.
      drop_ungrounded: Leaves out items whose answer claims what neither caption nor labels support,
        as of `checks.ungrounded`; otherwise they are marked.
    """

    sources: tuple[str, ...] = ()
    most: int = 0
    questions: int = 5
    choices: float = 0.5
    examples: str = ""
    drop_ungrounded: bool = False

    def validate(self) -> None:
        """Raises UserError naming the field, its value and what is allowed."""
        if not 1 <= self.questions <= MOST_ITEMS:
            raise errors.UserError(
                f"config.self_instruct.questions must be 1 to {MOST_ITEMS}, got {self.questions}"
            )
        if not 0 <= self.choices <= 1:
            raise errors.UserError(
                f"config.self_instruct.choices must be 0 to 1, got {self.choices}"
            )
        _examples(self.examples)


class Item(asks.Reply):
    """A question."""

    question: str
    answer: str
    wrong: list[str] = pydantic.Field(min_length=1, max_length=MOST_WRONG)


class Items(asks.Reply):
    """Questions, or why there are none."""

    fits: bool
    why: str
    items: list[Item] = pydantic.Field(max_length=MOST_ITEMS)


EXAMPLE = Items(
    fits=True,
    why="",
    items=[
        Item(question="Which organ does the slice show?", answer="liver", wrong=["lung", "brain"]),
        Item(question="Where does the lesion lie?", answer="dome", wrong=["hilum", "left lobe"]),
        Item(question="Does it have a sharp edge?", answer="yes", wrong=["no"]),
        Item(question="How does it look?", answer="dark", wrong=["bright", "speckled"]),
        Item(question="Which plane is it?", answer="axial", wrong=["sagittal", "coronal"]),
    ],
)


@dataclasses.dataclass(frozen=True)
class SelfInstruct:
    """The recipe; see the module.

    Attributes:
      config: How.
      name: Of its files.
      version: Of its rules.
    """

    config: Config
    name: str = "self_instruct"
    version: int = 1

    def settings(self) -> Mapping[str, Any]:
        """What decides the outcome beside prompts and replies."""
        examples = rows_lib.dump(_examples(self.config.examples))
        return {
            "questions": self.config.questions,
            "choices": self.config.choices,
            "examples": f"{splits.number(examples):016x}",
            "drop_ungrounded": self.config.drop_ungrounded,
        }

    def write(self, seed: seeds_lib.Seed, draw: int) -> asks.Writing:
        """As of `asks.Recipe`."""
        if not seed.media:
            raise asks.Lost(NO_PICTURE)
        if not seed.caption.strip():
            raise asks.Lost(NO_CAPTION)
        rng = random.Random(draw)
        first, second = rng.sample(_examples(self.config.examples), 2)
        mark = f"{rng.getrandbits(48):012x}"
        reply: Items = yield asks.Ask(
            prompt=texts.ITEMS,
            text=texts.ITEMS.fill(
                mark=mark,
                caption=seed.caption,
                question_1=first[0],
                answer_1=first[1],
                question_2=second[0],
                answer_2=second[1],
                most=str(self.config.questions),
            ),
            media=seed.media,
            reply=Items,
            example=EXAMPLE,
            max_new_tokens=_MOST_TOKENS,
        )
        if not reply.fits:
            raise asks.Lost(NO_FIT, reply.why)
        drafts: list[asks.Draft] = []
        losses: list[asks.Loss] = []
        asked: set[str] = {answers_text.canonical(question) for question, _ in (first, second)}
        for item in reply.items[: self.config.questions]:
            fault = _fault(item, asked, mark)
            asked.add(answers_text.canonical(item.question))
            words = _ungrounded(item, seed)
            if not fault and words and self.config.drop_ungrounded:
                fault = asks.Loss(UNGROUNDED, ", ".join(words))
            if fault:
                losses.append(asks.Loss(fault.reason, fault.detail or item.question))
            else:
                drafts.append(self._draft(item, words, seed, rng))
        if not drafts and not losses:
            raise asks.Lost(NO_ITEM)
        return asks.Written(tuple(drafts), tuple(losses))

    def _draft(
        self, item: Item, words: Sequence[str], seed: seeds_lib.Seed, rng: random.Random
    ) -> asks.Draft:
        is_choice = rng.random() < self.config.choices and not _is_polar(item.answer)
        if is_choice:
            options = question_rows.shuffled(item.answer, _distinct(item.wrong), rng)
            row = question_rows.choice(item.question, options)
        else:
            row = question_rows.free(item.question, item.answer)
        return question_rows.draft(row, seed.media, checks={"fits": True, "ungrounded": [*words]})


@functools.lru_cache(maxsize=8)
def _examples(path: str) -> tuple[tuple[str, str], ...]:
    """Questions with answers; raises a UserError where there are fewer than two."""
    if not path:
        return texts.EXAMPLES
    found = []
    for line, row in formats.read_rows(Path(path)):
        values = (
            [] if isinstance(row, formats.RowError) else [row.get("question"), row.get("answer")]
        )
        pair = [value.strip() for value in values if isinstance(value, str) and value.strip()]
        if len(pair) < 2:
            raise errors.UserError(
                f"config.self_instruct.examples: {path}, line {line}: must be an object with"
                " question and answer"
            )
        found.append((pair[0], pair[1]))
    if len(set(found)) < 2:
        raise errors.UserError(
            f"config.self_instruct.examples: {path} must hold 2 examples or more, got {len(found)}"
        )
    return tuple(found)


def _fault(item: Item, asked: set[str], mark: str) -> asks.Loss | None:
    """Why an item is thrown out; the question is the detail where there is no other."""
    parts = [item.question, item.answer, *item.wrong]
    if not all(map(answers_text.canonical, parts)):
        return asks.Loss(EMPTY)
    if answers_text.canonical(item.question) in asked:
        return asks.Loss(REPEATED)
    for part in parts:
        if found := (mark if mark in part else checks.mentions_boxes(part)):
            return asks.Loss(SPEAKS, found)
    for wrong in item.wrong:
        if _is_same(wrong, item.answer):
            return asks.Loss(SAME, wrong)
        if _REFERS.search(wrong):
            return asks.Loss(REFERS, wrong)
    return asks.Loss(GIVEN_AWAY) if _gives_away(item) else None


def _gives_away(item: Item) -> bool:
    """Whether a question holds its answer, unless it names a wrong one beside it."""
    if _is_polar(item.answer):
        return False
    asked = answers_open.tokens(item.question)
    is_named = [_holds(asked, answers_open.tokens(part)) for part in (item.answer, *item.wrong)]
    return is_named[0] and not any(is_named[1:])


def _holds(words: Sequence[str], part: Sequence[str]) -> bool:
    starts = range(len(words) - len(part) + 1)
    return any([*words[start : start + len(part)]] == [*part] for start in starts)


def _is_same(text: str, other: str) -> bool:
    """Whether two answers are one, in another spelling or order of words."""
    words = [sorted(answers_open.tokens(one)) for one in (text, other)]
    return words[0] == words[1] or answers_open.is_any(text, [other])


def _is_polar(answer: str) -> bool:
    return answers.infer_type(answer) == "yes_no"


def _distinct(wrong: Sequence[str]) -> list[str]:
    """Wrong answers, none of which is there twice."""
    kept: list[str] = []
    for text in wrong:
        if not any(_is_same(text, other) for other in kept):
            kept.append(text)
    return kept


def _ungrounded(item: Item, seed: seeds_lib.Seed) -> tuple[str, ...]:
    """What the answer claims, and a question that is answered with yes, without support."""
    is_yes = answers_text.canonical(item.answer) == "yes"
    claimed = item.question if is_yes else item.answer
    found = checks.ungrounded(claimed, checks.facts_of(seed))
    return tuple(word for one in found for word in one.words)
