# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Dialogues of patients and doctors, rewritten as a health assistant would answer.

After the paper's rewriting of HealthCareMagic-100k and iCliniq: an understanding tone, reliable
content, no diagnosis, no prescription, the kind of doctor to see, and that this is no definitive
diagnosis. Identities go three times: what rules find is masked before anything is sent, the model
is told to leave out the rest, and a row in whose outcome rules find one is lost.

    lost      identities or masks left; a dose, or a medicine to take; a diagnosis; words of one
              who says that he is a doctor; no disclaimer; no kind of doctor
    flagged   a class of medicines to take; a question that changed; an answer much shorter or
              longer than the original; medical words of the original that are gone

A dialogue of several turns is rewritten answer by answer, each with what was rewritten before;
where one of them is lost all is. The rules are of English: other dialogues are lost.
"""

import dataclasses
import random
import re
from collections.abc import Collection, Mapping
from typing import Any

import pydantic

from data_tools import filter_texts
from data_tools.synthesis import asks, dialogues_identities, dialogues_prompts, dialogues_rules
from data_tools.synthesis import seeds as seeds_lib
from lingshu_jax.common import errors

NO_DIALOGUE, OTHER_LANGUAGE = "no dialogue", "not in English"
IDENTITY, MARKS = "identity left", "speaks of the task"
PRESCRIPTION, DIAGNOSIS, DOCTOR = "prescription", "diagnosis", "speaks as a doctor"
NO_DISCLAIMER, NO_SPECIALIST = "no disclaimer", "no kind of doctor"
_ENGLISH = 0.9  # of the letters are of the basic alphabet
# Of the words of the original: below, something is gone; above, something came to it.
SHORTER, LONGER = 0.4, 6.0
_LEAST_TERMS, _FEWEST_TERMS = 0.4, 3  # shared, where there are so many
_KEPT = 0.7  # of the words of a question
# The publisher's instruction before each message (HealthCareMagic-100k, column `instruction`).
_INSTRUCTION = re.compile(r"^if you are a doctor,[^\n]*\n+", re.IGNORECASE)
_SPOKEN = {"user": "Patient", "assistant": "Assistant"}


@dataclasses.dataclass(kw_only=True)
class Config:
    """Dialogues of patients and doctors, rewritten.

    Attributes:
      sources: Dialogues; none is off.
      most: Dialogues at most, drawn by hash; 0 is all.
      most_turns: A dialogue of more answers ends after so many.
      max_new_tokens: Longest reply.
    """

    sources: tuple[str, ...] = ()
    most: int = 0
    most_turns: int = 4
    max_new_tokens: int = 2048

    def validate(self) -> None:
        """Raises UserError for a value that is out of range."""
        for name in ("most_turns", "max_new_tokens"):
            if getattr(self, name) < 1:
                raise errors.UserError(
                    f"config.dialogues.{name} is 1 or more, got {getattr(self, name)}"
                )


class Rewritten(asks.Reply):
    """A message and its answer, rewritten."""

    question: str = pydantic.Field(min_length=1)
    answer: str = pydantic.Field(min_length=80)
    specialist: str = pydantic.Field(min_length=2)


@dataclasses.dataclass(frozen=True)
class _Pair:
    """A message of the patient and its answer."""

    question: str
    answer: str


@dataclasses.dataclass(frozen=True)
class Dialogues:
    """The recipe; see the module.

    Attributes:
      config: How.
      name: Of its files.
      version: Of its rules.
    """

    config: Config
    name: str = "dialogues"
    version: int = 1

    def settings(self) -> Mapping[str, Any]:
        """What decides the outcome beside prompts and replies."""
        return {"most_turns": self.config.most_turns}

    def write(self, seed: seeds_lib.Seed, draw: int) -> asks.Writing:
        """As of `asks.Recipe`."""
        originals = _pairs(seed)
        known = dialogues_identities.names(
            text for pair in originals for text in (pair.question, pair.answer)
        )
        mark = f"{random.Random(draw).getrandbits(48):012x}"
        written: list[Rewritten] = []
        for original in originals[: self.config.most_turns]:
            shown = _Pair(
                dialogues_identities.masked(original.question, known),
                dialogues_identities.masked(original.answer, known),
            )
            reply = yield asks.Ask(
                prompt=dialogues_prompts.REWRITE,
                text=dialogues_prompts.REWRITE.fill(
                    mark=mark,
                    before=_before(written, mark),
                    question=shown.question,
                    answer=shown.answer,
                ),
                reply=Rewritten,
                example=_example(shown),
                max_new_tokens=self.config.max_new_tokens,
            )
            told = "\n".join([*(one.question for one in written), shown.question])
            _check(reply, known=known, mark=mark, told=told)
            written.append(reply)
        cut = len(originals) - len(written)
        return asks.Written(drafts=(_draft(written, originals, known, cut=cut),))


def _pairs(seed: seeds_lib.Seed) -> list[_Pair]:
    """The messages with their answers; raises `Lost` where there are none."""
    if seed.media:
        raise asks.Lost(NO_DIALOGUE, "with pictures")
    turns: list[tuple[str, str]] = []
    for message in seed.messages:
        if message["role"] not in _SPOKEN:
            continue
        said = "\n".join(part["text"] for part in message["content"] if part["type"] == "text")
        if turns and turns[-1][0] == message["role"]:
            said = f"{turns.pop()[1]}\n{said}"
        turns.append((message["role"], said.strip()))
    if turns and turns[-1][0] == "user":
        turns.pop()  # has no answer
    if not turns or turns[0][0] != "user" or not all(said for _, said in turns):
        raise asks.Lost(NO_DIALOGUE, f"{len(turns)} turns")
    letters = [letter for _, said in turns for letter in said if letter.isalpha()]
    if sum(map(str.isascii, letters)) < _ENGLISH * len(letters):
        raise asks.Lost(OTHER_LANGUAGE)
    said = [said for _, said in turns]
    pairs = [_Pair(_INSTRUCTION.sub("", q), a) for q, a in zip(said[::2], said[1::2], strict=True)]
    if not all(pair.question for pair in pairs):
        raise asks.Lost(NO_DIALOGUE, "an empty message")
    return pairs


def _before(written: list[Rewritten], mark: str) -> str:
    if not written:
        return ""
    said = "\n".join(f"Patient: {one.question}\nAssistant: {one.answer}" for one in written)
    return dialogues_prompts.BEFORE.format(mark=mark, said=said)


def _example(shown: _Pair) -> Rewritten:
    """As long as a reply is: the message stays about as long as it was."""
    kept = shown.question.replace(filter_texts.MASK, "my doctor")
    return Rewritten(
        question=kept,
        answer=dialogues_prompts.EXAMPLE_ANSWER,
        specialist=dialogues_prompts.EXAMPLE_SPECIALIST,
    )


def _check(reply: Rewritten, *, known: Collection[str], mark: str, told: str) -> None:
    """Raises `Lost` for what must not be trained on; no detail names a person."""
    for where, text in (("question", reply.question), ("answer", reply.answer)):
        spans = dialogues_identities.find(text) + dialogues_identities.mentioned(text, known)
        if spans:
            kinds = sorted({span.kind for span in spans})
            raise asks.Lost(IDENTITY, f"{', '.join(kinds)} in the {where}")
        if filter_texts.MASK in text or mark in text:
            raise asks.Lost(MARKS, f"in the {where}")
    answer = reply.answer
    if found := dialogues_rules.prescribes(answer):
        raise asks.Lost(PRESCRIPTION, found)
    if found := dialogues_rules.diagnoses(answer, told):
        raise asks.Lost(DIAGNOSIS, found)
    if found := dialogues_rules.poses(answer):
        raise asks.Lost(DOCTOR, found)
    if not dialogues_rules.disclaims(answer):
        raise asks.Lost(NO_DISCLAIMER)
    named = dialogues_rules.doctors(reply.specialist)
    if not named & dialogues_rules.doctors(answer):
        raise asks.Lost(NO_SPECIALIST, "none is named" if not named else ", ".join(sorted(named)))


def _draft(
    written: list[Rewritten], originals: list[_Pair], known: Collection[str], *, cut: int
) -> asks.Draft:
    messages = []
    flags: set[str] = set()
    ratios, shares = [], []
    for one, original in zip(written, originals, strict=False):
        messages.append(asks.turn("user", asks.text(one.question)))
        messages.append(asks.turn("assistant", asks.text(one.answer)))
        masked = dialogues_identities.masked(original.question, known)
        if _share(_words(masked.replace(filter_texts.MASK, " ")), _words(one.question)) < _KEPT:
            flags.add("question changed")
        if dialogues_rules.names_class(one.answer):
            flags.add("class of medicines")
        ratios.append(len(one.answer.split()) / len(original.answer.split()))
        terms = dialogues_rules.terms(original.answer)
        if len(terms) >= _FEWEST_TERMS:
            shares.append(_share(terms, dialogues_rules.terms(one.answer)))
    flags |= {"shorter"} if min(ratios) < SHORTER else set()
    flags |= {"longer"} if max(ratios) > LONGER else set()
    flags |= {"terms gone"} if shares and min(shares) < _LEAST_TERMS else set()
    return asks.Draft(
        kind="dialogue",
        messages=tuple(messages),
        meta={"specialist": [one.specialist for one in written]},
        checks={
            "identities": "none found",
            "turns": len(written),
            "turns left out": cut,
            "length": [round(ratio, 2) for ratio in ratios],
            "shared terms": round(min(shares), 2) if shares else None,
            "flags": sorted(flags),
        },
    )


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z0-9]{3,}", text.lower()))


def _share(of: Collection[str], there: Collection[str]) -> float:
    """How many of some words are there; 1 without any."""
    return len(set(of) & set(there)) / len(set(of)) if of else 1.0
