# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The step that leaves out what the evaluator's benchmarks ask.

A row goes if one of its pictures is of a benchmark (a perceptual hash without a bit of difference),
if its question is one of a benchmark of texts, word for word, or if it has a run of 13 words in
common with one. Short questions have no such runs: the exact rule finds them. Questions about
pictures are alike without being the same, so they count together with their picture. Where a data
set's own split shares pictures between training and test, as VQA-RAD's does, only the picture
together with the question counts, and the others are told.

The paper (arXiv 2506.07044, 2.3) says that it does this strictly, and not how.
"""

import collections
import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from absl import logging

from data_tools import embedding_models, similar_pictures, steps
from data_tools import rows as rows_lib
from lingshu_jax.common import errors, paths
from lingshu_jax.data import fingerprints
from lingshu_jax.eval import benchmark, catalog

INDEX, FOUND = "benchmarks.json", "found"
PAIR, PICTURE, TEXT, RUN = (
    "benchmark question",
    "benchmark picture",
    "benchmark text",
    "benchmark run of words",
)
SHARED = "benchmark_picture"  # the fact of a row that stays although its picture is of one


@dataclasses.dataclass(kw_only=True)
class Config:
    """Against what, and how strictly.

    Attributes:
      benchmarks: Names or groups of the evaluator, comma list; "" is none.
      data_dir: Folder of their data; "" fetches them from the hub.
      require_all: Benchmarks whose data are missing are an error; else they are named in the
        report as not looked at.
      pairs_only: Sources of which a row goes only if picture and question are both of one
        question of a benchmark.
      similar: Cosine of vectors, above 0 and up to 1, from which a picture is told as a suspect
        (`similar_pictures.py`); 0 looks at none.
      drop_similar: Suspects go, but those of `pairs_only`.
    """

    benchmarks: str = "all"
    data_dir: str = ""
    require_all: bool = False
    pairs_only: tuple[str, ...] = ()
    similar: float = 0.0
    drop_similar: bool = False

    def validate(self, sources: Sequence[str]) -> None:
        """Raises UserError if a source is named that is none, or a benchmark is unknown.

        Args:
          sources: Names of all.
        """
        for name in self.pairs_only:
            if name not in sources:
                raise errors.UserError(
                    f"config.decontaminate.pairs_only names {name!r}; the sources are "
                    f"{', '.join(sources)}"
                )
        if not 0 <= self.similar <= 1:
            raise errors.UserError(
                f"config.decontaminate.similar must be 0 to 1, got {self.similar}"
            )
        if self.benchmarks:
            catalog.choose(self.benchmarks, None)


class Index(NamedTuple):
    """The keys of all questions of all benchmarks, each with the question it is of.

    Attributes:
      images: Of pictures.
      texts: Of whole questions of benchmarks of texts.
      runs: Of runs of words of questions of any benchmark.
      pairs: Of a picture and a question together.
      looked_at: Questions by benchmark.
      missing: Why benchmarks could not be looked at, by name.
    """

    images: Mapping[str, str]
    texts: Mapping[str, str]
    runs: Mapping[str, str]
    pairs: Mapping[str, str]
    looked_at: Mapping[str, int]
    missing: Mapping[str, str]


class Hit(NamedTuple):
    """What a row shares with a benchmark: by which rule, and with which question."""

    rule: str
    question: str


@dataclasses.dataclass(frozen=True)
class Decontaminate:
    """The step.

    Attributes:
      config: Against what.
      embedding: What embeds pictures, where `config.similar` asks for it.
    """

    config: Config
    embedding: embedding_models.Config = dataclasses.field(default_factory=embedding_models.Config)
    name: str = "decontaminate"

    def settings(self) -> dict[str, Any]:
        """As of `steps.Step`; the data of the benchmarks are looked at when they are read."""
        return {
            **dataclasses.asdict(self.config),
            "image": fingerprints.image_version(),
            "text": fingerprints.TEXT_VERSION,
            "vectors": embedding_models.version(self.embedding) if self.config.similar else "",
        }

    def plan(self, source: Path, folder: Path, run: steps.Run) -> None:
        """Reads the benchmarks and keeps their keys."""
        if self.config.similar:
            if not self.embedding.is_on:
                raise errors.UserError(
                    "config.decontaminate.similar needs config.embeddings.weights"
                )
            similar_pictures.plan(
                source,
                folder,
                run,
                self.embedding,
                benchmarks=self.config.benchmarks,
                data_dir=self.config.data_dir,
                threshold=self.config.similar,
            )
        if not (folder / INDEX).is_file():
            steps.write_json(folder / INDEX, make_index(self.config)._asdict())

    def apply(self, rows: Sequence[rows_lib.Row], folder: Path, part: str) -> steps.Outcome:
        """As of `steps.Step`."""
        index = read_index(folder)
        suspects = similar_pictures.read(folder, part) if self.config.similar else {}
        kept, dropped = [], []
        shared: collections.Counter[str] = collections.Counter()
        for row in rows:
            hits = find(row, index)
            if row.source in self.config.pairs_only:
                shared.update(row.source for hit in hits if hit.rule == PICTURE)
                is_shared = any(hit.rule == PICTURE for hit in hits)
                hits = [hit for hit in hits if hit.rule == PAIR]
                row = row.knowing(**{SHARED: True}) if is_shared else row
            elif self.config.drop_similar and row.id in suspects and not hits:
                hits = [Hit(similar_pictures.REASON, suspects[row.id][0])]
            if hits:
                dropped.append(rows_lib.Dropped.of(row, hits[0].rule, f"of {hits[0].question}"))
            else:
                kept.append(row)
        steps.write_json(folder / FOUND / f"{Path(part).stem}.json", dict(shared))
        if self.config.similar:
            similar_pictures.write_kept(folder, part, suspects, kept)
        return steps.Outcome(kept, dropped)


def make_index(config: Config) -> Index:
    """The keys of the benchmarks of a config.

    Args:
      config: Which.

    Raises:
      UserError: If data are missing that are required.
    """
    index = Index({}, {}, {}, {}, {}, {})
    data_dir = paths.local(config.data_dir) if config.data_dir else None
    for item in catalog.choose(config.benchmarks, None) if config.benchmarks else ():
        name = item.card.name
        try:
            samples = catalog.load(item, data_dir)
        except errors.UserError as error:
            if config.require_all:
                raise
            logging.warning("%s is not looked at: %s", name, error)
            index = index._replace(missing={**index.missing, name: str(error)})
            continue
        index = _with_questions(index, name, samples)
    return index


@functools.lru_cache(maxsize=1)
def read_index(folder: Path) -> Index:
    """The keys that a plan has kept.

    Args:
      folder: Of the plan.
    """
    return Index(**steps.read_json(folder / INDEX))


def find(row: rows_lib.Row, index: Index) -> list[Hit]:
    """All that a row shares with benchmarks, the strongest rule first.

    Args:
      row: With the fact `image_hashes` where it has pictures.
      index: Keys of the benchmarks.
    """
    pictures = [key for keys in row.facts.get("image_hashes", ()) for key in keys]
    questions = [
        fingerprints.text_key(form)
        for text in _asked(row)
        for form in fingerprints.question_forms(text)
    ]
    runs = [run for text in row.texts("user", "assistant") for run in fingerprints.ngrams(text)]
    pairs = [_pair(picture, question) for picture in pictures for question in questions]
    lists = ((PAIR, pairs, index.pairs), (PICTURE, pictures, index.images))
    lists += ((TEXT, questions, index.texts), (RUN, runs, index.runs))
    return [
        Hit(rule, known[key])
        for rule, keys, known in lists
        if (key := next((key for key in keys if key in known), None)) is not None
    ]


def summarise(folder: Path) -> dict[str, Any]:
    """What was looked at, and what was found: for the report.

    Args:
      folder: Of the finished step.

    Returns:
      `looked_at`: questions by benchmark; `missing`; `by_benchmark`: dropped rows by rule and
      source; `shared_pictures` by source, of rows that stay; `suspects`, of rows that stay, as
      `similar_pictures.summarise`; `examples`, some of each rule.
    """
    index = read_index(folder / steps.PLAN)
    by_benchmark: dict[str, dict[str, collections.Counter[str]]] = {}
    examples: dict[str, list[dict[str, Any]]] = collections.defaultdict(list)
    for entry in steps.read_dropped(folder):
        name = entry["detail"].removeprefix("of ").partition("/")[0]
        rules = by_benchmark.setdefault(name, {})
        rules.setdefault(entry["reason"], collections.Counter())[entry["source"]] += 1
        if len(examples[entry["reason"]]) < steps.SHOWN:
            examples[entry["reason"]].append(entry)
    shared: collections.Counter[str] = collections.Counter()
    for path in sorted((folder / steps.PLAN / FOUND).glob("*.json")):
        shared.update(steps.read_json(path))
    return {
        "looked_at": dict(index.looked_at),
        "missing": dict(index.missing),
        "by_benchmark": {
            name: {rule: dict(sorted(of.items())) for rule, of in sorted(rules.items())}
            for name, rules in sorted(by_benchmark.items())
        },
        "shared_pictures": dict(sorted(shared.items())),
        "suspects": similar_pictures.summarise(folder / steps.PLAN),
        "examples": dict(examples),
    }


def _with_questions(index: Index, name: str, samples: Sequence[benchmark.Sample]) -> Index:
    """The index with one more benchmark."""
    images, texts, runs, pairs = ({**table} for table in index[:4])
    for sample in samples:
        question = f"{name}/{sample.id}"
        pictures = _pictures(sample)
        forms = fingerprints.question_forms(sample.question)
        keys = [fingerprints.text_key(form) for form in forms]
        images |= {key: images.get(key, question) for key in pictures}
        if not sample.media:
            texts |= {key: texts.get(key, question) for key in keys}
        found = fingerprints.ngrams(forms[-1]) if forms else ()
        runs |= {key: runs.get(key, question) for key in found}
        both = [_pair(picture, key) for picture in pictures for key in keys]
        pairs |= {key: pairs.get(key, question) for key in both}
    looked_at = {**index.looked_at, name: len(samples)}
    return Index(images, texts, runs, pairs, looked_at, index.missing)


def _pictures(sample: benchmark.Sample) -> list[str]:
    """The keys of a question's pictures; of one that does not decode there is none."""
    keys: list[str] = []
    for part in sample.media:
        visual = part[part["type"]]
        visual = tuple(visual) if isinstance(visual, list) else visual
        try:
            keys += fingerprints.media_hashes(visual, is_video=part["type"] == "video")
        except errors.UserError as error:
            logging.warning("a picture of question %s: %s", sample.id, error)
    return keys


def _asked(row: rows_lib.Row) -> Iterable[str]:
    """What each turn of the user says, in one piece."""
    for message in row.messages:
        if message["role"] == "user":
            yield "\n".join(part["text"] for part in message["content"] if part["type"] == "text")


def _pair(picture: str, question: str) -> str:
    return f"{picture} {question}"
