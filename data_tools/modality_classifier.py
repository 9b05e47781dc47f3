# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Which modality a picture is of, by its vector: sentences about modalities, and a trained head.

The sentences know all modalities. The head, trained on rows whose modality is known, is right more
often, but knows only those it has seen: it decides where the sentences name one of them. Each has a
temperature, found on rows that the head was not trained on; a third part of the rows is for the
report. What belongs together, a case or a series, is in one part.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int64

from data_tools import embedding_models, linear_head, splits
from data_tools import modality_names as names_lib

HEAD, ZERO_SHOT, BOTH = "head", "zero_shot", "together"
TRAIN, FIT, TEST = "train", "fit", "test"
_SHARES = ((0.6, TRAIN), (0.8, FIT), (1.0, TEST))
_ABSTAINED = "abstained"
_WITHOUT_TRUTH = 1.0  # temperature of sentences where no row is known


class Settings(NamedTuple):
    """Of the classifier; see `modality.Config`."""

    min_confidence: float
    min_rows: int
    most_rows: int
    c: float


class Example(NamedTuple):
    """A row whose modality is known.

    Attributes:
      row: Its id.
      modality: A word of `modality_names.MODALITIES`.
      by: "tag" or "declared".
      group: What it shares with others.
      vector: Of its pictures.
    """

    row: str
    modality: str
    by: str
    group: str
    vector: Float[np.ndarray, " D"]


class Guess(NamedTuple):
    """What the classifier says of a row.

    Attributes:
      modality: "" where it abstains.
      by: "head" or "zero_shot".
      confidence: Of the most probable one, 0 to 1.
    """

    modality: str
    by: str
    confidence: float


class Classifier(NamedTuple):
    """Sentences and perhaps a head.

    Attributes:
      sentences: A vector of each of `MODALITIES`.
      scale: Of their cosines.
      sentences_heat: Their temperature.
      head: None where too few rows are known.
      head_names: The modalities that it knows.
      head_heat: Its temperature.
      min_confidence: Below it nothing is said.
    """

    sentences: Float64[np.ndarray, "K D"]
    scale: float
    sentences_heat: float
    head: linear_head.Head | None
    head_names: tuple[str, ...]
    head_heat: float
    min_confidence: float

    def by_sentences(self, vectors: Float[np.ndarray, "N D"]) -> list[Guess]:
        """What the sentences say, however sure.

        Args:
          vectors: Of rows.
        """
        logits = self.scale * vectors.astype(np.float64) @ self.sentences.T
        chances = linear_head.probabilities(logits, self.sentences_heat)
        return _most_probable(chances, names_lib.MODALITIES, ZERO_SHOT)

    def by_head(self, vectors: Float[np.ndarray, "N D"]) -> list[Guess]:
        """What the head says, however sure.

        Args:
          vectors: Of rows.
        """
        assert self.head is not None, "there is a head"
        chances = linear_head.probabilities(self.head.logits(vectors), self.head_heat)
        return _most_probable(chances, self.head_names, HEAD)

    def both(self, vectors: Float[np.ndarray, "N D"]) -> list[Guess]:
        """What the two say together, however sure.

        Args:
          vectors: Of rows.
        """
        first = self.by_sentences(vectors)
        if self.head is None:
            return first
        second = self.by_head(vectors)
        return [
            trained if said.modality in self.head_names else said
            for said, trained in zip(first, second, strict=True)
        ]

    def classify(self, vectors: Mapping[str, Float[np.ndarray, " D"]]) -> dict[str, Guess]:
        """What is said of rows; unsure, it abstains.

        Args:
          vectors: By id of the row.
        """
        if not vectors:
            return {}
        guesses = self.both(np.stack(list(vectors.values())))
        return dict(zip(vectors, self.sure(guesses), strict=True))

    def sure(self, guesses: Sequence[Guess]) -> list[Guess]:
        """The same, without a modality where the confidence is too low.

        Args:
          guesses: Of rows.
        """
        return [
            guess if guess.confidence >= self.min_confidence else guess._replace(modality="")
            for guess in guesses
        ]

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        head = None if self.head is None else [part.tolist() for part in self.head]
        return {**self._asdict(), "sentences": self.sentences.tolist(), "head": head}

    @classmethod
    def of_json(cls, value: dict[str, Any]) -> "Classifier":
        """What `to_json` gave.

        Args:
          value: As it gave it.
        """
        head = value["head"]
        changed = {
            "sentences": np.array(value["sentences"]),
            "head": None if head is None else linear_head.Head(*map(np.array, head)),
            "head_names": tuple(value["head_names"]),
        }
        return cls(**{**value, **changed})


Examples = dict[str, list[Example]]


def gather(known: Iterable[Example], settings: Settings) -> Examples:
    """The rows that are used, by what for; in an order that does not depend on that of `known`.

    Args:
      known: All that are known.
      settings: How many of a modality at most.

    Returns:
      Rows under "train", "fit" and "test".
    """
    found: dict[tuple[str, str], list[Example]] = {}
    for example in known:
        bucket = found.setdefault((part_of(example.group), example.modality), [])
        bucket.append(example)
        if len(bucket) >= 2 * settings.most_rows:
            bucket[:] = _first(bucket, settings.most_rows)
    parts: Examples = {TRAIN: [], FIT: [], TEST: []}
    for (part, _), bucket in sorted(found.items()):
        parts[part] += _first(bucket, settings.most_rows)
    return parts


def part_of(group: str) -> str:
    """What the rows of a group are for.

    Args:
      group: As of `Example`.
    """
    place = splits.number(f"modality {group}") / 2**64
    return next(name for end, name in _SHARES if place < end or name == TEST)


def make(examples: Examples, model: embedding_models.Model, settings: Settings) -> Classifier:
    """The classifier.

    Args:
      examples: From `gather`.
      model: That made their vectors.
      settings: Of the classifier.
    """
    names = _trained(examples[TRAIN], settings.min_rows)
    head, head_heat = None, 1.0
    if len(names) > 1:
        ours = [example for example in examples[TRAIN] if example.modality in names]
        vectors, classes = _arrays(ours, names)
        head = linear_head.fit(vectors, classes, count=len(names), c=settings.c)
        held = [example for example in examples[FIT] if example.modality in names]
        if held:
            vectors, classes = _arrays(held, names)
            head_heat = linear_head.temperature(head.logits(vectors), classes)
    sentences = _sentences(model)
    heat = _WITHOUT_TRUTH
    if examples[FIT]:
        vectors, classes = _arrays(examples[FIT], names_lib.MODALITIES)
        logits = model.scale * vectors.astype(np.float64) @ sentences.T
        heat = linear_head.temperature(logits, classes)
    return Classifier(
        sentences,
        model.scale,
        heat,
        head,
        names if head is not None else (),
        head_heat,
        settings.min_confidence,
    )


def report(classifier: Classifier, examples: Examples) -> dict[str, Any]:
    """How often the classifier is right, on rows that nothing of it was made of.

    Args:
      classifier: From `make`, over weights: of the stand-in there is nothing to report.
      examples: That it was made of.

    Returns:
      `rows` by part and modality; `head_names`; and under "tag" and "declared", for "zero_shot",
      "head" and both "together": `rows`; `accuracy` without abstaining; `coverage`, the share
      that it is sure of; `accuracy_where_sure`; `confusion`. What was measured on no row is None.
    """
    found: dict[str, Any] = {
        "rows": {part: _sizes(rows) for part, rows in examples.items()},
        "head_names": list(classifier.head_names),
        "temperatures": {ZERO_SHOT: classifier.sentences_heat, HEAD: classifier.head_heat},
        "min_confidence": classifier.min_confidence,
    }
    for by in ("tag", "declared"):
        rows = [example for example in examples[TEST] if example.by == by]
        found[by] = dict(_measured(classifier, rows))
    return found


def _measured(
    classifier: Classifier, rows: Sequence[Example]
) -> Iterator[tuple[str, dict[str, Any]]]:
    ways = {ZERO_SHOT: classifier.by_sentences, BOTH: classifier.both}
    if classifier.head is not None:
        ways[HEAD] = classifier.by_head
    for name, way in ways.items():
        guesses = way(np.stack([row.vector for row in rows])) if rows else []
        truth = [row.modality for row in rows]
        said = [guess.modality for guess in classifier.sure(guesses)]
        right = [guess.modality == true for guess, true in zip(guesses, truth, strict=True)]
        sure = [ok for ok, word in zip(right, said, strict=True) if word]
        yield (
            name,
            {
                "rows": len(rows),
                "accuracy": _share(right),
                "coverage": _share([bool(word) for word in said]),
                "accuracy_where_sure": _share(sure),
                "confusion": linear_head.confusion(truth, said, abstained=_ABSTAINED),
            },
        )


def _sentences(model: embedding_models.Model) -> Float64[np.ndarray, "K D"]:
    """Of each modality the mean of its wordings, of length 1."""
    means = [
        model.texts(names_lib.PROMPTS[name]).astype(np.float64).mean(0)
        for name in names_lib.MODALITIES
    ]
    return np.stack([mean / np.linalg.norm(mean) for mean in means])


def _trained(rows: Sequence[Example], min_rows: int) -> tuple[str, ...]:
    sizes = _sizes(rows)
    return tuple(name for name in names_lib.MODALITIES if sizes.get(name, 0) >= min_rows)


def _sizes(rows: Sequence[Example]) -> dict[str, int]:
    words = [row.modality for row in rows]
    return {name: words.count(name) for name in names_lib.MODALITIES if name in words}


def _arrays(
    rows: Sequence[Example], names: Sequence[str]
) -> tuple[Float[np.ndarray, "N D"], Int64[np.ndarray, " N"]]:
    classes = np.array([names.index(row.modality) for row in rows], np.int64)
    return np.stack([row.vector for row in rows]), classes


def _most_probable(
    chances: Float64[np.ndarray, "N K"], names: Sequence[str], by: str
) -> list[Guess]:
    best = chances.argmax(1)
    return [
        Guess(names[int(place)], by, round(float(row[place]), 4))
        for place, row in zip(best, chances, strict=True)
    ]


def _first(rows: Sequence[Example], most: int) -> list[Example]:
    """A draw that is the same in whatever order rows come."""
    return sorted(rows, key=lambda row: (splits.number(row.row), row.row))[:most]


def _share(values: Sequence[bool]) -> float | None:
    return sum(values) / len(values) if values else None
