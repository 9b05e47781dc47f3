# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The step that says of each row which modality its pictures are of. It drops nothing.

In this order: what the file says (DICOM's tag); what its publisher says; a classifier, which may
abstain (`modality_classifier`). Rows get the facts `modality` ("" is not known), `modality_from`
and `modality_confidence`. A classifier over the stand-in knows nothing: its words are kept apart,
in the fact `modality_stand_in`, and nothing is told of how often it is right.
"""

import collections
import dataclasses
import functools
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data_tools import embedding_models, embeddings, steps
from data_tools import modality_classifier as classifier_lib
from data_tools import modality_names as names_lib
from data_tools import rows as rows_lib
from lingshu_jax.common import errors
from lingshu_jax.data import volume_files

FACT, FROM, CONFIDENCE, STAND_IN = (
    "modality",
    "modality_from",
    "modality_confidence",
    "modality_stand_in",
)
TAG, DECLARED, NONE = "tag", "declared", "none"
LABELS, COUNTS, CLASSIFIER, REPORT = "labels", "modalities", "classifier.json", "report.json"
_COLUMNS = ("modality", "Modality", "image_modality")  # of publishers
_GROUPS = ("case", "patient", "series", "group")  # facts or columns: what rows are never parted


@dataclasses.dataclass(kw_only=True)
class Config:
    """How a modality is found.

    Attributes:
      columns: Of publishers, that hold a modality.
      min_confidence: Below it the classifier abstains, 0 to 1.
      min_rows: A head is trained on the modalities of which so many rows are known.
      most_rows: So many rows of a modality are used at most, in training and in each test.
      c: Of the head, how much rows count against the size of its weights.
    """

    columns: tuple[str, ...] = _COLUMNS
    min_confidence: float = 0.6
    min_rows: int = 30
    most_rows: int = 5000
    c: float = 100.0

    def validate(self) -> None:
        """Raises UserError naming the field, its value and what is allowed."""
        if not 0 <= self.min_confidence <= 1:
            raise errors.UserError(
                f"config.modality.min_confidence must be 0 to 1, got {self.min_confidence}"
            )
        for name in ("min_rows", "most_rows"):
            if getattr(self, name) < 1:
                raise errors.UserError(
                    f"config.modality.{name} must be >= 1, got {getattr(self, name)}"
                )
        if self.c <= 0:
            raise errors.UserError(f"config.modality.c must be above 0, got {self.c}")


class Label(NamedTuple):
    """What is known of a row without looking at its pictures.

    Attributes:
      modality: A word of `modality_names`.
      by: "tag" or "declared".
    """

    modality: str
    by: str


@dataclasses.dataclass(frozen=True)
class Modality:
    """The step.

    Attributes:
      config: How.
      embedding: What the classifier looks with; off, nothing is classified.
      declared: Modality of each source that has one, by name of the source.
    """

    config: Config
    embedding: embedding_models.Config
    declared: Mapping[str, str]
    name: str = "modality"

    def settings(self) -> dict[str, Any]:
        """As of `steps.Step`."""
        return {
            **dataclasses.asdict(self.config),
            "declared": sorted(self.declared.items()),
            "vectors": embedding_models.version(self.embedding),
            "prompts": names_lib.PROMPTS,
        }

    def plan(self, source: Path, folder: Path, run: steps.Run) -> None:
        """Embeds all pictures, and makes the classifier of the rows that are known."""
        if not self.embedding.is_on or (folder / CLASSIFIER).is_file():
            return
        parts = rows_lib.names(source)
        missing = [part for part in parts if not _labels_file(folder, part).is_file()]
        run.each(functools.partial(self._write_labels, source, folder), missing)
        embeddings.plan(source, folder, run, self.embedding)
        settings = classifier_lib.Settings(
            self.config.min_confidence, self.config.min_rows, self.config.most_rows, self.config.c
        )
        examples = classifier_lib.gather(_known(folder, parts), settings)
        with embedding_models.opened(self.embedding) as model:
            classifier = classifier_lib.make(examples, model, settings)
        if self.embedding.has_weights:
            steps.write_json(folder / REPORT, classifier_lib.report(classifier, examples))
        else:
            steps.write_json(folder / REPORT, {"plumbing": "vectors of the stand-in say nothing"})
        steps.write_json(folder / CLASSIFIER, classifier.to_json())

    def apply(self, rows: Sequence[rows_lib.Row], folder: Path, part: str) -> steps.Outcome:
        """As of `steps.Step`."""
        if self.embedding.is_on:
            found = steps.read_json(_labels_file(folder, part))
            labels = {row: Label(modality, by) for row, (modality, by, _) in found.items()}
            guesses = _guess(folder, part)
        else:
            found = {row.id: self.label(row) for row in rows}
            labels, guesses = {row: label for row, label in found.items() if label}, {}
        kept = [self._with_facts(row, labels.get(row.id), guesses, folder) for row in rows]
        counts = collections.Counter(f"{row.facts[FROM]} {row.facts[FACT]}" for row in kept)
        steps.write_json(folder / COUNTS / f"{Path(part).stem}.json", dict(sorted(counts.items())))
        return steps.Outcome(kept, [])

    def label(self, row: rows_lib.Row) -> Label | None:
        """What is known of a row without looking at its pictures.

        Args:
          row: Any.

        Returns:
          Its modality, or None.
        """
        by = row.facts.get(FROM)
        if by in (TAG, DECLARED) and (found := names_lib.of_word(str(row.facts.get(FACT)))):
            return Label(found, by)
        if found := next((code for medium in row.media if (code := _tag(medium))), ""):
            return Label(found, TAG)
        words = [row.meta.get(column) for column in self.config.columns]
        for word in [*words, self.declared.get(row.source)]:
            if isinstance(word, str) and (found := names_lib.of_word(word)):
                return Label(found, DECLARED)
        return None

    def _with_facts(
        self,
        row: rows_lib.Row,
        label: Label | None,
        guesses: Mapping[str, classifier_lib.Guess],
        folder: Path,
    ) -> rows_lib.Row:
        if not row.media:
            return row.knowing(**{FACT: names_lib.TEXT_ONLY, FROM: NONE, CONFIDENCE: None})
        if self.embedding.is_on:
            row = row.knowing(**{embeddings.FACT: folder.parent.name})
        if label is not None:
            return row.knowing(**{FACT: label.modality, FROM: label.by, CONFIDENCE: None})
        guess = guesses.get(row.id)
        nothing = {FACT: "", FROM: NONE, CONFIDENCE: None}
        if guess is None:
            return row.knowing(**nothing)
        if not self.embedding.has_weights:
            return row.knowing(**nothing, **{STAND_IN: list(guess)})
        by = guess.by if guess.modality else NONE
        return row.knowing(**{FACT: guess.modality, FROM: by, CONFIDENCE: guess.confidence})

    def _write_labels(self, source: Path, folder: Path, part: str) -> None:
        found = {
            row.id: [*label, group(row)]
            for row in rows_lib.read(source / part)
            if row.media and (label := self.label(row)) is not None
        }
        steps.write_json(_labels_file(folder, part), found)


def group(row: rows_lib.Row) -> str:
    """What a row shares with others, so that they are not on both sides of a test.

    Args:
      row: With a picture. Without a case or series it is its first picture.
    """
    for name in _GROUPS:
        if found := row.facts.get(name) or row.meta.get(name):
            return f"{row.source} {name} {found}"
    medium = row.media[0]
    return (
        f"{row.source} {medium.path.partition('#')[0] or hashlib.sha256(medium.data).hexdigest()}"
    )


def summarise(folder: Path) -> dict[str, Any]:
    """What was found, for the report.

    Args:
      folder: Of the finished step.

    Returns:
      `rows`: counts by where the modality is from, and by modality; `classifier`: what
      `modality_classifier.report` says, only of weights; None where nothing was classified.
    """
    total: dict[str, dict[str, int]] = {}
    for path in sorted((folder / steps.PLAN / COUNTS).glob("*.json")):
        for key, count in steps.read_json(path).items():
            by, _, modality = key.partition(" ")
            of = total.setdefault(by, {})
            of[modality or "not known"] = of.get(modality or "not known", 0) + count
    report = folder / steps.PLAN / REPORT
    return {
        "rows": {by: dict(sorted(of.items())) for by, of in sorted(total.items())},
        "classifier": steps.read_json(report) if report.is_file() else None,
    }


def _known(folder: Path, parts: Sequence[str]) -> Any:
    """The rows whose modality is known, with their vectors, of one partition after the other."""
    for part in parts:
        labels = steps.read_json(_labels_file(folder, part))
        vectors = embeddings.read(folder, part).means() if labels else {}
        for row, (modality, by, of) in labels.items():
            if row in vectors and modality in names_lib.MODALITIES:
                yield classifier_lib.Example(row, modality, by, of, vectors[row])


def _tag(medium: rows_lib.Medium) -> str:
    """The modality that a DICOM file states; "" of other files, and of one that does not read."""
    name = medium.data or medium.path
    if isinstance(name, str) and (name.startswith("[") or not Path(name.split("#")[0]).is_file()):
        return ""
    try:
        file = volume_files.find(name)
        return names_lib.of_code(file.read().header.modality) if file is not None else ""
    except errors.UserError:
        return ""  # a later step drops it, and counts it


def _guess(folder: Path, part: str) -> dict[str, classifier_lib.Guess]:
    return _read_classifier(folder).classify(embeddings.read(folder, part).means())


def _labels_file(folder: Path, part: str) -> Path:
    return folder / LABELS / f"{Path(part).stem}.json"


@functools.lru_cache(maxsize=1)
def _read_classifier(folder: Path) -> classifier_lib.Classifier:
    return classifier_lib.Classifier.of_json(steps.read_json(folder / CLASSIFIER))
