# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Reasons that lead to a known answer, written with the truth in hand and never citing it.

After the paper (arXiv 2506.07044, 2.2.4 and Tables 13 to 15). A trace is lost where it says that it
was told, where its answer is wrong by the rules of rewards, and where the model, asked a second
time, finds that trace and truth do not agree. An open answer may be worded in many ways: there the
second question decides, and the truth in its own words is what the row ends with.
"""

import dataclasses
import random
import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from data_tools.synthesis import asks, checks, ocr, question_rows
from data_tools.synthesis import reasoning_prompts as texts
from data_tools.synthesis import seeds as seeds_lib
from lingshu_jax.common import answers, answers_choice, answers_open, answers_text, errors, prompts

FINAL = "### Final Answer:"  # the paper's, Figures 11 to 13
NO_QUESTION, NO_ANSWER = "no question", "no answer that can be checked"
SHORT, LEAK, SPEAKS = "reasoning too short", "answer leaked", "speaks of the task"
WRONG, INCONSISTENT = "wrong answer", "inconsistent with the truth"
ELSEWHERE = "reasoning ends elsewhere"
_KINDS = ("choice", "choices", "yes_no", "number", "open")
_JUDGE_TOKENS = 256
# A last line of the model's own: ours stands in its place.
_LAST = re.compile(r"(?:\A|\n)[#*_\s]*(?:final answer|最终答案)[^\n]*\Z", re.IGNORECASE)
_HAN = re.compile(r"[\u4e00-\u9fff]")


@dataclasses.dataclass(kw_only=True)
class Config:
    """Reasons that lead to a known answer.

    Attributes:
      sources: Questions with answers, with pictures or without; none is off.
      most: Questions at most, drawn by hash; 0 is all.
      least_words: Of a trace; a Chinese character counts as a word.
      open_by_rule: Leaves out open answers that are not the truth word for word, as rewards would
        judge them, though the second question found them consistent.
      max_new_tokens: Longest trace, in tokens.
    """

    sources: tuple[str, ...] = ()
    most: int = 0
    least_words: int = 25
    open_by_rule: bool = False
    max_new_tokens: int = 2048

    def validate(self) -> None:
        """Raises UserError naming the field, its value and what is allowed."""
        for name, smallest in (("least_words", 0), ("max_new_tokens", 1)):
            if getattr(self, name) < smallest:
                raise errors.UserError(
                    f"config.reasoning.{name} must be >= {smallest}, got {getattr(self, name)}"
                )


class Trace(asks.Reply):
    """A question reasoned out."""

    reasoning: str
    answer: str


class Verdict(asks.Reply):
    """What the second question finds."""

    verdict: Literal["consistent", "inconsistent"]
    told: Literal["yes", "no"]
    why: str


class _Asked(NamedTuple):
    """A question with its truth.

    Attributes:
      kind: As of `answers.ANSWER_TYPES`.
      question: Without options, and without words on the form of the answer.
      listed: With its options.
      gold: The truth as meta holds it: of a choice the letter.
      truth: The truth as it is told to the model.
    """

    kind: answers.AnswerType
    question: str
    listed: str
    gold: str
    truth: str


@dataclasses.dataclass(frozen=True)
class Reasoning:
    """The recipe; see the module.

    Attributes:
      config: How.
      name: Of its files.
      version: Of its rules.
    """

    config: Config
    name: str = "reasoning"
    version: int = 1

    def settings(self) -> Mapping[str, Any]:
        """What decides the outcome beside prompts and replies."""
        return {
            "least_words": self.config.least_words,
            "open_by_rule": self.config.open_by_rule,
        }

    def write(self, seed: seeds_lib.Seed, draw: int) -> asks.Writing:
        """As of `asks.Recipe`."""
        rng = random.Random(draw)
        asked = _asked(seed)
        mark = f"{rng.getrandbits(48):012x}"
        steps = rng.choice(texts.STEPS_ZH if _HAN.search(asked.question) else texts.STEPS)
        prompt = _prompt(seed)
        trace: Trace = yield asks.Ask(
            prompt=prompt,
            text=prompt.fill(mark=mark, question=asked.listed, truth=asked.truth),
            media=seed.media,
            reply=Trace,
            example=Trace(reasoning=texts.EXAMPLE, answer=asked.gold),
            max_new_tokens=self.config.max_new_tokens,
        )
        reasoning = _LAST.sub("", trace.reasoning).rstrip()
        is_true = self._check(reasoning, trace.answer, seed, asked, mark=mark)
        verdict: Verdict = yield asks.Ask(
            prompt=texts.JUDGE,
            text=texts.JUDGE.fill(
                mark=mark,
                question=asked.listed,
                truth=asked.truth,
                reasoning=reasoning,
                answer=trace.answer,
            ),
            reply=Verdict,
            example=Verdict(verdict="consistent", told="no", why="the same"),
            max_new_tokens=_JUDGE_TOKENS,
        )
        if verdict.verdict != "consistent":
            raise asks.Lost(INCONSISTENT, verdict.why)
        if verdict.told == "yes":
            raise asks.Lost(LEAK, f"found by the second question: {verdict.why}")
        found = {"answer": "the truth" if is_true else "the truth in other words"}
        draft = question_rows.draft(
            (
                prompts.ask(asked.listed, steps),
                f"{reasoning}\n\n{FINAL} {asked.gold}",
                _meta(asked, seed),
            ),
            seed.media,
            kind="reasoning",
            checks={**found, "verdict": verdict.verdict, "leak": "none"},
        )
        return asks.Written(drafts=(draft,))

    def _check(
        self, reasoning: str, answer: str, seed: seeds_lib.Seed, asked: _Asked, *, mark: str
    ) -> bool:
        """Whether the answer is the truth by rule; raises `Lost` where rules find a fault."""
        words = len(answers_open.tokens(reasoning))
        if words < self.config.least_words:
            raise asks.Lost(SHORT, f"{words} words")
        if mark in reasoning or mark in answer:
            raise asks.Lost(SPEAKS, "the marks around the question")
        if leak := checks.leaks_answer(reasoning):
            raise asks.Lost(LEAK, leak)
        _check_end(reasoning, seed, asked)
        is_true = checks.consistent(answer, asked.gold, seed.options, question=asked.question)
        if not is_true and (asked.kind != "open" or self.config.open_by_rule):
            raise asks.Lost(WRONG, f"{answer[:80]!r} is not {asked.gold!r}")
        return is_true


def _check_end(reasoning: str, seed: seeds_lib.Seed, asked: _Asked) -> None:
    """Raises `Lost` where a trace names an answer of its own, and another than the truth."""
    said = answers_text.find_container(answers_text.normalise(reasoning))
    if said.kind == "whole" or asked.kind == "open":
        return
    verdict = answers.judge(
        said.text,
        gold=asked.gold,
        answer_type=asked.kind,
        options=seed.options,
        question=asked.question,
    )
    if verdict.status == "ok" and not verdict.correct:
        raise asks.Lost(ELSEWHERE, f"{verdict.value} is not {asked.gold!r}")


def _prompt(seed: seeds_lib.Seed) -> asks.Prompt:
    if seed.options:
        return texts.CHOICE if seed.media else texts.TEXT_CHOICE
    return texts.OPEN if seed.media else texts.TEXT_OPEN


def _asked(seed: seeds_lib.Seed) -> _Asked:
    """What is asked; raises `Lost` where there is no question or no truth to be checked."""
    question = ocr.bare(seed.question)
    if not question:
        raise asks.Lost(NO_QUESTION)
    if not seed.answer:
        raise asks.Lost(NO_ANSWER)
    kind = answers.infer_type(seed.answer, seed.options)
    if kind not in _KINDS:
        raise asks.Lost(NO_ANSWER, f"an answer of type {kind}")
    try:
        answers.check_gold(seed.answer, answer_type=kind, options=seed.options)
    except errors.UserError as error:
        raise asks.Lost(NO_ANSWER, str(error)) from error
    gold = truth = seed.answer
    listed = question
    if seed.options:
        listed = prompts.ask_choice(question, list(seed.options))
    if kind == "choice":
        gold = answers_choice.gold_letter(seed.answer, seed.options) or seed.answer
        truth = f"{gold}. {seed.options[ord(gold) - ord('A')]}"
    return _Asked(kind, question, listed, gold, truth)


def _meta(asked: _Asked, seed: seeds_lib.Seed) -> dict[str, Any]:
    """What rewards read; nothing where an open answer is too long to be checked."""
    is_long = len(answers_open.tokens(asked.gold)) > question_rows.MOST_WORDS
    if asked.kind == "open" and is_long:
        return {}
    meta = {"answer": asked.gold, "answer_type": asked.kind}
    return {**meta, "options": list(seed.options)} if seed.options else meta
