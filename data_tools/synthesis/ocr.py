# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Exam questions that are read off a picture, with the reasoning that solves them.

After the paper's OCR instructions: a model solves a question without knowing the answer, its
reasoning is kept where its answer is the true one, and the question is shown as a picture. The
judge is that of rewards and evaluation. What cannot be printed is lost before anything is asked.
"""

import dataclasses
import random
import re
import string
from collections.abc import Mapping, Sequence
from typing import Any

import pydantic

from data_tools import rows as rows_lib
from data_tools.synthesis import asks, checks, ocr_prompts, render_text
from data_tools.synthesis import seeds as seeds_lib
from lingshu_jax.common import answers, answers_choice, answers_text, errors, prompts

FINAL = "### Final Answer:"
NO_QUESTION, NO_ANSWER, PICTURE = "no question", "no answer", "about another picture"
WRONG, LEAK, OTHER_END = "wrong answer", "answer leaked", "reasoning ends elsewhere"
SPEAKS = "speaks of the task"
_KINDS = ("choice", "yes_no", "number", "open")
_TAILS = (prompts.CHOICE, prompts.YES_NO, prompts.CLOSED, prompts.OPEN, prompts.ANSWER_FORMAT)
_HEAD = re.compile(r"^\s*question\s*:\s*", re.IGNORECASE)
_OPTIONS_LINE = re.compile(r"(?im)^\s*(?:options|answer choices|choices)\s*:\s*$")
_ELSEWHERE = re.compile(
    r"\b(?:shown|depicted|pictured|illustrated|displayed|seen) (?:below|above|here|in (?:the|this)"
    r" (?:\w+ )?(?:image|picture|figure|photograph|graph|diagram|chart|table|exhibit))\b"
    r"|\b(?:accompanying|attached|following|above|below) (?:image|picture|figure|photograph|photo"
    r"|diagram|graph|exhibit|radiograph|ecg|ekg|video)\b|\bfigure \d|\b(?:image|exhibit) [A-D]\b"
    r"|\brefer to (?:the|this) (?:image|figure|graph|diagram)",
    re.IGNORECASE,
)
# A last line that we write ourselves.
_LAST = re.compile(r"(?:\A|\n)[#*_\s]*final answer\b[^\n]*\Z", re.IGNORECASE)


@dataclasses.dataclass(kw_only=True)
class Config:
    """OCR instructions.

    Attributes:
      sources: Exam questions with their answers; none is off.
      most: Questions at most, drawn by hash; 0 is all.
      photographs: Share of the pictures that look photographed; the others are clean prints.
      max_new_tokens: Longest reply.
    """

    sources: tuple[str, ...] = ()
    most: int = 0
    photographs: float = 0.5
    max_new_tokens: int = 2048

    def validate(self) -> None:
        """Raises UserError for a value that is out of range."""
        if not 0 <= self.photographs <= 1:
            raise errors.UserError(f"config.ocr.photographs is 0 to 1, got {self.photographs}")
        if self.max_new_tokens < 1:
            raise errors.UserError(
                f"config.ocr.max_new_tokens is 1 or more, got {self.max_new_tokens}"
            )


class Solved(asks.Reply):
    """A question solved."""

    reasoning: str = pydantic.Field(min_length=40)
    answer: str = pydantic.Field(min_length=1)


@dataclasses.dataclass(frozen=True)
class Ocr:
    """The recipe; see the module.

    Attributes:
      config: How.
      name: Of its files.
      version: Of its rules.
    """

    config: Config
    name: str = "ocr"
    version: int = 1

    def settings(self) -> Mapping[str, Any]:
        """What decides the outcome beside prompts and replies."""
        return {"photographs": self.config.photographs}

    def write(self, seed: seeds_lib.Seed, draw: int) -> asks.Writing:
        """As of `asks.Recipe`."""
        rng = random.Random(draw)
        kind, gold = _truth(seed)
        question = bare(seed.question)
        page = self._page(question, seed.options, rng)
        said = rng.choice(ocr_prompts.SAID)
        mark = f"{rng.getrandbits(48):012x}"
        template = ocr_prompts.CHOICE if seed.options else ocr_prompts.OPEN
        listed = f"{question}\n\n{asks.listed(seed.options)}" if seed.options else question
        reply = yield asks.Ask(
            prompt=template,
            text=template.fill(mark=mark, question=listed),
            reply=Solved,
            example=Solved(reasoning=ocr_prompts.EXAMPLE, answer=gold),
            max_new_tokens=self.config.max_new_tokens,
        )
        target = _target(reply, seed, kind=kind, gold=gold, mark=mark)
        picture = rows_lib.Medium(kind="image", data=render_text.draw(page))
        draft = asks.Draft(
            kind="ocr",
            messages=(
                asks.turn("user", asks.picture(0), asks.text(said)),
                asks.turn("assistant", asks.text(target)),
            ),
            media=(picture,),
            meta={
                "answer": gold,
                "answer_type": kind,
                **({"options": list(seed.options)} if seed.options else {}),
            },
            checks={"answer": "as the truth", "leak": "none", "look": page.look},
        )
        return asks.Written(drafts=(draft,))

    def _page(self, question: str, options: Sequence[str], rng: random.Random) -> render_text.Page:
        look = "photograph" if rng.random() < self.config.photographs else "print"
        try:
            return render_text.plan(question, options, seed=rng.getrandbits(63), look=look)
        except render_text.Refused as refused:
            raise asks.Lost(refused.reason, refused.detail) from refused


def bare(question: str) -> str:
    """A question without the words that an adapter puts around it.

    Args:
      question: Of a row, without its options.
    """
    lines = [line for line in question.splitlines() if line.strip() not in _TAILS]
    return _OPTIONS_LINE.sub("", _HEAD.sub("", "\n".join(lines))).strip()


def _truth(seed: seeds_lib.Seed) -> tuple[answers.AnswerType, str]:
    """The type of the answer, and the answer: of a choice its letter."""
    if seed.media:
        raise asks.Lost(PICTURE, "the row has pictures")
    if not bare(seed.question):
        raise asks.Lost(NO_QUESTION)
    if len(seed.options) > len(string.ascii_uppercase):
        raise asks.Lost(NO_QUESTION, f"{len(seed.options)} options")
    if found := _ELSEWHERE.search(seed.question):
        raise asks.Lost(PICTURE, found[0])
    if not seed.answer:
        raise asks.Lost(NO_ANSWER)
    kind = answers.infer_type(seed.answer, seed.options)
    if kind not in _KINDS:
        raise asks.Lost(NO_ANSWER, f"an answer of type {kind}")
    try:
        answers.check_gold(seed.answer, answer_type=kind, options=seed.options)
    except errors.UserError as error:
        raise asks.Lost(NO_ANSWER, str(error)) from error
    letter = answers_choice.gold_letter(seed.answer, seed.options) if kind == "choice" else None
    return kind, letter or seed.answer


def _target(
    reply: Solved, seed: seeds_lib.Seed, *, kind: answers.AnswerType, gold: str, mark: str
) -> str:
    """What the row says; raises `Lost` where the reply is not the true one, or tells too much."""

    def judged(text: str) -> answers.Verdict:
        return answers.judge(
            text, gold=gold, answer_type=kind, options=seed.options, question=seed.question
        )

    verdict = judged(reply.answer)
    if not verdict.correct:
        raise asks.Lost(WRONG, f"{verdict.status}: {reply.answer[:80]!r} is not {gold!r}")
    if mark in reply.reasoning or mark in reply.answer:
        raise asks.Lost(SPEAKS, "the marks around the question")
    if leak := checks.leaks_answer(reply.reasoning):
        raise asks.Lost(LEAK, leak)
    said = answers_text.find_container(answers_text.normalise(reply.reasoning))
    if said.kind != "whole" and kind != "open":
        verdict = judged(said.text)
        if verdict.status == "ok" and not verdict.correct:
            raise asks.Lost(OTHER_END, f"{verdict.value} is not {gold!r}")
    target = f"{_LAST.sub('', reply.reasoning).rstrip()}\n\n{FINAL} {gold}"
    verdict = judged(target)
    if not verdict.correct:
        raise asks.Lost(OTHER_END, f"{verdict.status}: {verdict.value} is not {gold!r}")
    return target
