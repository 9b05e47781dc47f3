# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Long captions in five stages, as of the paper (arXiv 2506.07044, 2.2.1).

1. Labels become a short, coarse caption; what pixels do not show goes (`metadata.py`).
2. Regions are drawn into the picture (`regions.py`).
3. The model describes the boxed picture with the coarse caption and knowledge in hand, or, without
   regions, the raw picture: the whole, the regions, their relations, and all of it in one text.
4. The model describes the raw picture, with nothing in hand, as doctors of its field want it.
5. Both become one caption; where they differ, stage 3 is right.

The row shows the raw picture. A caption that speaks of boxes or of what the model was given is
thrown out, and what nothing known supports is flagged.
"""

import dataclasses
import random
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pydantic

from data_tools import rows as rows_lib
from data_tools.synthesis import asks, caption_prompts, checks, knowledge, metadata, regions
from data_tools.synthesis import seeds as seeds_lib
from lingshu_jax.common import errors

NO_PICTURE, UNKNOWN = "not one picture", "nothing visible is known"
MENTIONS, UNGROUNDED, SHORT, SAME = (
    "mentions the boxes",
    "ungrounded statements",
    "short caption",
    "the same caption again",
)
_KEPT = ("sources", "most")  # say what is written about, not how


@dataclasses.dataclass(kw_only=True)
class Config:
    """Captions in five stages.

    Attributes:
      sources: Names of the sources it writes about; none is off.
      most: At most so many seeds, drawn by hash; 0 is all.
      knowledge: File of passages, as `knowledge.py` says; "" has none.
      passages: At most so many in a prompt.
      boxes: At most so many are drawn, the largest ones; 0 is all.
      least_words: Of a caption; a shorter one is thrown out.
      drop_ungrounded: Throws out captions with statements that nothing known supports, instead of
        flagging them.
      pairs: 1 writes a second caption of each seed, with another draw, for doctors to compare.
      max_new_tokens: Of the longest reply.
    """

    sources: tuple[str, ...] = ()
    most: int = 0
    knowledge: str = ""
    passages: int = 2
    boxes: int = 12
    least_words: int = 40
    drop_ungrounded: bool = False
    pairs: int = 0
    max_new_tokens: int = 1536

    def validate(self) -> None:
        """Raises UserError naming the field, its value and what is allowed."""
        for name, allowed in (("passages", 0), ("boxes", 0), ("least_words", 1)):
            value = getattr(self, name)
            errors.require(value >= allowed, f"long_captions.{name}", value, f">= {allowed}")
        errors.require(self.pairs in (0, 1), "long_captions.pairs", self.pairs, "0 or 1")
        errors.require(
            self.max_new_tokens >= 64, "long_captions.max_new_tokens", self.max_new_tokens, ">= 64"
        )
        if self.knowledge and not Path(self.knowledge).is_file():
            raise errors.UserError(
                f"config.long_captions.knowledge: no such file: {self.knowledge}"
            )


class Facts(asks.Reply):
    """Of stage 3."""

    overall: str = pydantic.Field(min_length=1)
    region: str = pydantic.Field(min_length=1)
    relations: str = pydantic.Field(min_length=1)
    description: str = pydantic.Field(min_length=1)


class Preference(asks.Reply):
    """Of stage 4."""

    description: str = pydantic.Field(min_length=1)


class Summary(asks.Reply):
    """Of stage 5."""

    caption: str = pydantic.Field(min_length=1)


_EXAMPLE = (
    "This is a picture of the organ in question from a usual view, of good quality and without"
    " artefacts. In its upper part lies a round structure with a smooth border, brighter than what"
    " is around it and of even texture, about a quarter as wide as the organ. It touches the outer"
    " surface and displaces the neighbouring tissue a little without invading it. The structures on"
    " the other side keep their shape, size and brightness. Nothing else stands out in the parts"
    " that are shown, and the outer contour is complete."
)
_FACTS = Facts(
    overall=_EXAMPLE[:98], region=_EXAMPLE[99:270], relations=_EXAMPLE[270:], description=_EXAMPLE
)


@dataclasses.dataclass(frozen=True)
class LongCaptions:
    """The recipe."""

    config: Config
    name: str = "long_captions"
    version: int = 1

    def settings(self) -> dict[str, Any]:
        """As of `asks.Recipe`."""
        made = dataclasses.asdict(self.config)
        made = {name: value for name, value in made.items() if name not in _KEPT}
        return {**made, "knowledge": knowledge.load(self.config.knowledge).digest}

    def write(self, seed: seeds_lib.Seed, draw: int) -> asks.Writing:
        """As of `asks.Recipe`."""
        if len(seed.media) != 1:
            raise asks.Lost(NO_PICTURE, f"{len(seed.media)} pictures")
        known = metadata.coarse(seed)
        if not known.text:
            raise asks.Lost(UNKNOWN, ", ".join(sorted(known.removed)))
        boxes = regions.largest(seed.boxes, self.config.boxes)
        shown = regions.boxed(seed.media[0], boxes) if boxes else seed.media[0]
        named = [*known.shown.values(), *(box.label for box in boxes)]
        library = knowledge.load(self.config.knowledge)
        passages = library.find(named, self.config.passages)
        request = random.Random(draw).choice(caption_prompts.REQUESTS)
        drafts: list[asks.Draft] = []
        losses: list[asks.Loss] = []
        captions: set[str] = set()
        for _ in range(1 + self.config.pairs):
            facts = self._facts(shown, known, boxes, passages)
            caption = yield from self._caption(seed, facts)
            loss = self._loss(caption, seed, known, captions)
            if loss:
                losses.append(loss)
                continue
            captions.add(caption)
            found = {
                "coarse_caption": known.text,
                "removed": sorted(known.removed),
                "regions": len(boxes),
                "knowledge": [passage.origin for passage in passages],
                "ungrounded": [
                    {"sentence": one.sentence, "words": [*one.words]}
                    for one in checks.ungrounded(caption, _lines(seed, known))
                ],
            }
            drafts.append(_draft(seed, request, caption, found))
        return asks.Written(drafts=tuple(drafts), losses=tuple(losses))

    def _facts(
        self,
        shown: rows_lib.Medium,
        known: metadata.Coarse,
        boxes: tuple[seeds_lib.Box, ...],
        passages: tuple[knowledge.Passage, ...],
    ) -> asks.Ask:
        """The question of stage 3."""
        background = f"Background:\n{knowledge.said(passages)}\n" if passages else ""
        values = {"known": known.text, "background": background}
        prompt = caption_prompts.RAW
        if boxes:
            prompt = caption_prompts.BOXED
            values["legend"] = regions.legend(boxes)
        return asks.Ask(
            prompt=prompt,
            text=prompt.fill(**values),
            media=(shown,),
            reply=Facts,
            example=_FACTS,
            max_new_tokens=self.config.max_new_tokens,
        )

    def _caption(self, seed: seeds_lib.Seed, facts: asks.Ask) -> Generator[asks.Ask, Any, str]:
        """Stages 3 to 5."""
        told: Facts = yield facts
        wanted: Preference = yield asks.Ask(
            prompt=caption_prompts.PREFERENCE,
            text=caption_prompts.preference(seed.modality, is_knee=_is_knee(seed)),
            media=seed.media,
            reply=Preference,
            example=Preference(description=_EXAMPLE),
            max_new_tokens=self.config.max_new_tokens,
        )
        summed: Summary = yield asks.Ask(
            prompt=caption_prompts.SUMMARY,
            text=caption_prompts.SUMMARY.fill(
                facts=told.description,
                preference=wanted.description,
                order=caption_prompts.order(seed.modality),
            ),
            reply=Summary,
            example=Summary(caption=_EXAMPLE),
            max_new_tokens=self.config.max_new_tokens,
        )
        return summed.caption

    def _loss(
        self, caption: str, seed: seeds_lib.Seed, known: metadata.Coarse, before: set[str]
    ) -> asks.Loss | None:
        """Why a caption is thrown out; None if it stays."""
        if words := checks.mentions_boxes(caption):
            return asks.Loss(MENTIONS, words)
        count = len(caption.split())
        if count < self.config.least_words:
            return asks.Loss(SHORT, f"{count} words")
        if caption in before:
            return asks.Loss(SAME)
        if self.config.drop_ungrounded:
            found = checks.ungrounded(caption, _lines(seed, known))
            if found:
                return asks.Loss(UNGROUNDED, "; ".join(w for one in found for w in one.words))
        return None


def _is_knee(seed: seeds_lib.Seed) -> bool:
    said = f"{seed.dataset} {seed.caption} {' '.join(seed.labels.values())}".lower()
    return "knee" in said


def _lines(seed: seeds_lib.Seed, known: metadata.Coarse) -> list[str]:
    """All that a caption may claim."""
    return [
        known.text,
        *(f"{name}: {value}" for name, value in known.shown.items()),
        *dict.fromkeys(box.label for box in seed.boxes),
        *([f"modality: {seed.modality}"] if seed.modality else []),
    ]


def _draft(seed: seeds_lib.Seed, request: str, caption: str, found: dict[str, Any]) -> asks.Draft:
    return asks.Draft(
        kind="caption",
        messages=(
            asks.turn("user", asks.picture(0), asks.text(request)),
            asks.turn("assistant", asks.text(caption)),
        ),
        media=seed.media,
        checks=found,
    )
