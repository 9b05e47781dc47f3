# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Questions by template: the answer is a label, the wrong ones are labels of the same set.

After the paper (arXiv 2506.07044, 2.2.3); no model is asked. What a set does not say of a picture
counts as absent, as its publishers do: a set that leaves findings out gives wrong "no".
"""

import collections
import dataclasses
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from data_tools import modality_names
from data_tools.synthesis import asks, metadata, question_rows
from data_tools.synthesis import seeds as seeds_lib
from data_tools.synthesis import template_vqa_texts as texts
from lingshu_jax.common import answers_open, errors, prompts
from lingshu_jax.data import sources as sources_lib

NO_LABEL, NO_OTHER, NO_PICTURE = "no label to ask about", "no other value", "no picture"
FORMS = ("choice", "yes_no", "open", "count")
MOST_VALUES = 1000  # of a label in one source: more are no classes but free text
_UNKNOWN = frozenset(
    "unknown nan n/a na other others unspecified uncertain indeterminate null missing none".split()
) | {"", "not specified", "not available"}
_COUNTED = re.compile(r"(?P<value>.+?) \((?P<count>\d+)\)")
_ARTICLE = re.compile(r"^(?:an?|the) ", re.IGNORECASE)
_NOTHING = re.compile(r"^(?:no|normal|without|healthy|negative|clear)\b", re.IGNORECASE)


@dataclasses.dataclass(kw_only=True)
class Config:
    """Questions by template.

    Attributes:
      sources: Labelled sets that are asked about; none is off.
      most: Pictures at most, drawn by hash; 0 is all.
      forms: Words of `FORMS`; "count" asks how many of a structure there are, where that is known.
      per_label: Questions about each label of a picture, each of another form.
      options: Of a multiple-choice question, 2 to 10; fewer where a set has no more values.
      most_counted: Larger numbers are not asked about.
      names: Names of labels of the user's own to the kinds of `template_vqa_texts.KINDS`.
      spaces: `<source>/<label>` to all values of that label; those that are not here are gathered
        from the pictures.
    """

    sources: tuple[str, ...] = ()
    most: int = 0
    forms: tuple[str, ...] = FORMS
    per_label: int = 1
    options: int = 4
    most_counted: int = 10
    names: dict[str, str] = dataclasses.field(default_factory=dict)
    spaces: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    def validate(self) -> None:
        """Raises UserError naming the field, its value and what is allowed."""
        for name, low, high in (
            ("per_label", 1, len(FORMS)),
            ("options", 2, 10),
            ("most_counted", 1, 1000),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise errors.UserError(
                    f"config.template_vqa.{name} must be {low} to {high}, got {value}"
                )
        if not self.forms or not set(self.forms) <= set(FORMS):
            raise errors.UserError(
                f"config.template_vqa.forms must be some of {', '.join(FORMS)}, got {self.forms}"
            )
        for name, kind in self.names.items():
            if kind not in texts.KINDS:
                raise errors.UserError(
                    f"config.template_vqa.names: {name!r} must be one of {', '.join(texts.KINDS)},"
                    f" got {kind!r}{errors.suggest(kind, texts.KINDS)}"
                )
        for name, values in self.spaces.items():
            if len(set(values)) < 2:
                raise errors.UserError(
                    f"config.template_vqa.spaces: {name!r} must have 2 values or more, got {values}"
                )


class _Label(NamedTuple):
    """A label of a picture, with what is absent.

    Attributes:
      kind: Key of `texts.KINDS`.
      values: What is there.
      counts: How many of each, where that is known.
      absent: Values of the set that are not there.
      is_told: Whether the set has another value at all.
    """

    kind: str
    values: tuple[str, ...]
    counts: Mapping[str, int]
    absent: tuple[str, ...]
    is_told: bool


@dataclasses.dataclass(frozen=True)
class TemplateVqa:
    """The recipe; see the module.

    Attributes:
      config: How.
      spaces: `<source>/<label>` to its values, from `prepared`.
      name: Of its files.
      version: Of its rules and questions.
    """

    config: Config
    spaces: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    name: str = "template_vqa"
    version: int = 1

    def prepared(self, seeds: Iterable[seeds_lib.Seed | sources_lib.Dropped]) -> "TemplateVqa":
        """The same that knows which values the labels of each source have.

        Args:
          seeds: All of its sources; refused rows are passed over.

        Raises:
          UserError: If a label has so many values that they are no classes.
        """
        found: dict[str, set[str]] = collections.defaultdict(set)
        for seed in seeds:
            if isinstance(seed, sources_lib.Dropped):
                continue
            for name, text in _labels(seed).items():
                kind, key = self._kind(seed, name), f"{seed.source}/{name}"
                if not kind or key in self.config.spaces:
                    continue
                found[key] |= set(_values(kind, text)[0])
                if len(found[key]) > MOST_VALUES:
                    raise errors.UserError(
                        f"label {name!r} of source {seed.source!r} has over {MOST_VALUES} values:"
                        " it is free text; leave the label out of the source"
                    )
        spaces = {key: tuple(sorted(values)) for key, values in sorted(found.items())}
        return dataclasses.replace(self, spaces=spaces)

    def settings(self) -> Mapping[str, Any]:
        """What decides the outcome beside prompts and replies."""
        config = self.config
        return {
            "forms": list(config.forms),
            "per_label": config.per_label,
            "options": config.options,
            "most_counted": config.most_counted,
            "names": dict(sorted(config.names.items())),
            "spaces": {k: list(v) for k, v in sorted({**self.spaces, **config.spaces}.items())},
        }

    def write(self, seed: seeds_lib.Seed, draw: int) -> asks.Writing:
        """As of `asks.Recipe`; nothing is asked."""
        yield from ()
        if not seed.media:
            raise asks.Lost(NO_PICTURE)
        rng = random.Random(draw)
        drafts: list[asks.Draft] = []
        losses: list[asks.Loss] = []
        for name, text in _labels(seed).items():
            label = self._label(seed, name, text)
            if label is None:
                continue
            forms = [form for form in self.config.forms if self._is_possible(label, form)]
            if not forms and not label.absent:
                losses.append(asks.Loss(NO_OTHER, name))
            for form in rng.sample(forms, min(self.config.per_label, len(forms))):
                row = self._row(label, form, rng)
                checks = {"label": name, "form": form}
                drafts.append(question_rows.draft(row, seed.media, checks=checks))
        if not drafts and not losses:
            raise asks.Lost(NO_LABEL, ", ".join(seed.labels))
        return asks.Written(tuple(drafts), tuple(losses))

    def _kind(self, seed: seeds_lib.Seed, name: str) -> str:
        """The kind of a label; "" where it is not asked about."""
        kind = self.config.names.get(name)
        if kind:
            return kind
        if metadata.why_hidden(name, dataset=seed.dataset, modality=seed.modality):
            return ""
        return texts.NAMES.get(metadata.normal(name), "")

    def _label(self, seed: seeds_lib.Seed, name: str, text: str) -> _Label | None:
        kind = self._kind(seed, name)
        values, counts = _values(kind, text) if kind else ((), {})
        if not values:
            return None
        key = f"{seed.source}/{name}"
        space = self.config.spaces.get(key) or self.spaces.get(key, ())
        if kind == "modality" and len(space) < 2:  # a set of one: the others are no secret
            space = modality_names.MODALITIES
        absent = tuple(one for one in space if _is_other(one, values, texts.KINDS[kind]))
        return _Label(kind, values, counts, absent, is_told=len(space) > 1)

    def _is_possible(self, label: _Label, form: str) -> bool:
        if form == "count":
            return any(0 < count <= self.config.most_counted for count in label.counts.values())
        if form == "open":
            is_one = len(label.values) == 1
            return label.is_told and (is_one or bool(texts.KINDS[label.kind].ask_all))
        return bool(label.absent)

    def _row(self, label: _Label, form: str, rng: random.Random) -> tuple[str, str, dict[str, Any]]:
        """What is asked, the answer, the meta."""
        words = texts.KINDS[label.kind]
        if form == "choice":
            right = rng.choice(label.values)
            wrong = _distinct(label.absent, self.config.options - 1, words, rng)
            options = question_rows.shuffled(right, wrong, rng)
            return question_rows.choice(rng.choice(words.ask), options)
        if form == "yes_no":
            answer = rng.choice(("yes", "no"))
            value = rng.choice(label.values if answer == "yes" else label.absent)
            is_nothing = label.kind == "finding" and _NOTHING.match(value)
            phrases = texts.YES_NO_NORMAL if is_nothing else words.yes_no
            return question_rows.free(rng.choice(phrases).format(value=value), answer)
        if form == "count":
            few = [v for v, count in label.counts.items() if 0 < count <= self.config.most_counted]
            value = rng.choice(few)
            asked = rng.choice(texts.HOW_MANY).format(value=value)
            return question_rows.free(asked, str(label.counts[value]))
        asked = rng.choice(words.ask if len(label.values) == 1 else words.ask_all)
        return question_rows.free(asked, ", ".join(label.values), tail=prompts.CLOSED)


def _labels(seed: seeds_lib.Seed) -> dict[str, str]:
    """The labels, the modality among them."""
    known = {"modality": seed.modality} if seed.modality else {}
    return {**known, **seed.labels}


def _values(kind: str, text: str) -> tuple[tuple[str, ...], dict[str, int]]:
    """The values of a label without articles, and how many of each there are."""
    between = r"[,;|]" if texts.KINDS[kind].ask_all else r"[;|]"
    values: list[str] = []
    counts: dict[str, int] = {}
    for part in map(str.strip, re.split(between, text)):
        match = _COUNTED.fullmatch(part)
        value = _ARTICLE.sub("", match["value"] if match else part).replace("_", " ").strip()
        if value.lower() in _UNKNOWN and not (kind == "grade" and value.lower() == "none"):
            continue
        values.append(value)
        if match:
            counts[value] = int(match["count"])
    return tuple(dict.fromkeys(values)), counts


def _is_other(value: str, there: Sequence[str], kind: texts.Kind) -> bool:
    """Whether a value says something else than those that are there."""
    if answers_open.is_any(value, there):
        return False
    if kind.is_graded:
        return True
    words = set(answers_open.tokens(value))
    return not any(
        words <= own or own <= words for own in (set(answers_open.tokens(one)) for one in there)
    )


def _distinct(values: Sequence[str], most: int, kind: texts.Kind, rng: random.Random) -> list[str]:
    """Some of the values, none of which says the same as another."""
    chosen: list[str] = []
    for value in rng.sample(values, len(values)):
        if len(chosen) < most and _is_other(value, chosen, kind):
            chosen.append(value)
    return chosen
