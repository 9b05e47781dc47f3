# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Which questions of benchmarks occur in a file of fingerprints of training data.

In memory are the keys of the questions, sorted, and for each of them and each source of the
training data whether it was seen; the training data pass by in batches.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64, UInt64

from lingshu_jax.common import errors
from lingshu_jax.data import fingerprints
from lingshu_jax.eval import benchmark

# Of a question's runs of words, so many must occur: arXiv 2204.02311, section 8, takes 70 % of
# runs of 8 words.
THRESHOLD = 0.7
# What can be found of a question, in the order of tables.
RULES = ("image", "question", "question_and_options", "ngrams", "image_and_question")

_FIRST_BITS = 24
_REST = np.uint64(64 - _FIRST_BITS)
_Places = Int64[np.ndarray, " _"]
_Hits = tuple[_Places, _Places]  # rows of a batch, and keys that they hold


class Prints(NamedTuple):
    """The keys of a question.

    Attributes:
      images: Of its pictures that decode.
      question: Of its text without options; "" if it has no words.
      question_and_options: Of its text with them; "" without options.
      ngrams: Of the runs of words of its text without options.
    """

    images: tuple[str, ...]
    question: str
    question_and_options: str
    ngrams: UInt64[np.ndarray, " runs"]


class Found(NamedTuple):
    """What training data hold of a question.

    Attributes:
      rules: Those of `RULES` that it meets, each with the names of the sources that hold it or
        some of its runs.
      share: Of its runs of words; None where it has none.
    """

    rules: dict[str, tuple[str, ...]]
    share: float | None


def prints_of(sample: benchmark.Sample, images: Sequence[str]) -> Prints:
    """The keys of a question.

    Args:
      sample: The question.
      images: Keys of its pictures.
    """
    forms = fingerprints.question_forms(sample.question)
    if not forms:
        return Prints(tuple(images), "", "", _numbers(()))
    bare, whole = forms[-1], forms[0] if len(forms) > 1 else ""
    if not whole and sample.choices:
        listed = "\n".join([sample.question, *sample.choices])
        whole = fingerprints.question_forms(listed)[0]
    return Prints(
        tuple(images),
        fingerprints.text_key(bare),
        fingerprints.text_key(whole) if whole else "",
        _numbers(fingerprints.ngrams(bare)),
    )


def find(path: Path, questions: Iterable[Prints]) -> list[Found]:
    """Looks for questions in a file of fingerprints, read once.

    Args:
      path: The file.
      questions: Keys of all questions.

    Raises:
      UserError: If it is no such file, or was made by other rules.
    """
    index = _Index(list(questions))
    for batch in _files().read(path):
        index.see(batch)
    return list(index.results())


def read_note(path: Path) -> dict[str, Any]:
    """What the file says of itself.

    Raises:
      UserError: As of `find`.
    """
    return _files().read_note(path)


class _Table:
    """Sorted keys, and by source which of them were seen."""

    def __init__(self, keys: UInt64[np.ndarray, " _"]):
        self.keys = np.unique(keys)
        self.seen: dict[str, np.ndarray] = {}
        # Most keys of training data are none of these, which their first bits tell soonest.
        self._begins = np.zeros(2**_FIRST_BITS, bool)
        self._begins[self.keys >> _REST] = True

    def __len__(self) -> int:
        return len(self.keys)

    def places(self, values: UInt64[np.ndarray, " _"]) -> tuple[_Places, _Places]:
        """Which of some values are among the keys, and where."""
        likely = np.flatnonzero(self._begins[values >> _REST])
        at = np.searchsorted(self.keys, values[likely])
        at = np.minimum(at, len(self) - 1)  # nothing is likely where there are no keys
        is_hit = self.keys[at] == values[likely]
        return likely[is_hit], at[is_hit]

    def places_of(self, keys: Sequence[UInt64[np.ndarray, " _"]]) -> list[_Places]:
        """Where the keys of each question are; all of them are here."""
        if not keys:
            return []
        ends = np.cumsum([len(some) for some in keys])
        return np.split(self.places(_joined(keys))[1], ends[:-1])

    def mark(self, places: _Places, sources: _Places, names: Sequence[str]) -> None:
        """Notes keys that were seen, each with the place of its source in `names`."""
        for source in np.unique(sources):
            marks = self.seen.setdefault(names[int(source)], np.zeros(len(self), bool))
            marks[places[sources == source]] = True

    def any(self) -> np.ndarray:
        """Which keys were seen in any source."""
        found = np.zeros(len(self), bool)
        for marks in self.seen.values():
            found |= marks
        return found


class _Index:
    """The keys of all questions, and what was seen of them."""

    def __init__(self, questions: Sequence[Prints]):
        images = [_numbers(q.images) for q in questions]
        texts = [_numbers(_texts(q)) for q in questions]
        runs = [q.ngrams for q in questions]
        self._images, self._texts = _Table(_joined(images)), _Table(_joined(texts))
        self._runs = _Table(_joined(runs))
        text_places = self._texts.places_of(texts)
        image_places = self._images.places_of(images)
        pairs = [
            (one[:, None] * len(self._texts) + other).reshape(-1).astype(np.uint64)
            for one, other in zip(image_places, text_places, strict=True)
        ]
        self._pairs = _Table(_joined(pairs))
        self._places: dict[str, list[_Places]] = {
            "image": image_places,
            "question": [places[:1] for places in text_places],
            "question_and_options": [places[1:] for places in text_places],
            "ngrams": self._runs.places_of(runs),
            "image_and_question": self._pairs.places_of(pairs),
        }

    def see(self, batch: Any) -> None:
        """Notes what a batch of training rows holds."""
        found: dict[str, _Hits] = {}
        for name, table in (
            ("images", self._images),
            ("texts", self._texts),
            ("ngrams", self._runs),
        ):
            keys = getattr(batch, name)
            hits, places = table.places(keys.values)
            rows = keys.rows[hits]
            table.mark(places, batch.source_of[rows], batch.sources)
            found[name] = rows, places
        rows, pairs = _in_one_row(found["images"], found["texts"], len(self._texts))
        hits, places = self._pairs.places(pairs.astype(np.uint64))
        self._pairs.mark(places, batch.source_of[rows[hits]], batch.sources)

    def results(self) -> Iterator[Found]:
        """What was seen of each question."""
        tables = {
            "image": self._images,
            "question": self._texts,
            "question_and_options": self._texts,
            "ngrams": self._runs,
            "image_and_question": self._pairs,
        }
        seen = {name: table.any() for name, table in tables.items()}
        for each in zip(*(self._places[name] for name in RULES), strict=True):
            places = dict(zip(RULES, each, strict=True))
            shares = {
                name: float(np.mean(seen[name][some])) if len(some) else None
                for name, some in places.items()
            }
            met = {
                name: tuple(
                    source
                    for source, marks in tables[name].seen.items()
                    if marks[places[name]].any()
                )
                for name in RULES
                if _is_met(name, shares[name])
            }
            yield Found(met, shares["ngrams"])


def _is_met(rule: str, share: float | None) -> bool:
    """Of several pictures one is enough; of runs of words there must be many."""
    if share is None:
        return False
    return share >= THRESHOLD if rule == "ngrams" else share > 0


def _in_one_row(images: _Hits, texts: _Hits, num_texts: int) -> tuple[_Places, _Places]:
    """All pairs of a picture and a text in one row: the rows, and the pairs as numbers."""
    (image_rows, image_places), (text_rows, text_places) = images, texts
    first = np.searchsorted(text_rows, image_rows, "left")
    counts = np.searchsorted(text_rows, image_rows, "right") - first
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    partners = np.repeat(first, counts) + within
    pairs = np.repeat(image_places, counts) * num_texts + text_places[partners]
    return np.repeat(image_rows, counts), pairs


def _joined(keys: Sequence[UInt64[np.ndarray, " _"]]) -> UInt64[np.ndarray, " _"]:
    return np.concatenate([np.zeros(0, np.uint64), *keys])


def _texts(question: Prints) -> list[str]:
    return [key for key in (question.question, question.question_and_options) if key]


def _numbers(keys: Iterable[str]) -> UInt64[np.ndarray, " _"]:
    return np.fromiter((int(key, 16) for key in keys), np.uint64)


def _files() -> Any:
    try:
        from lingshu_jax.data import fingerprint_files
    except ImportError as error:
        raise errors.UserError(
            "--contamination reads Parquet with pyarrow; pip install 'lingshu-jax[data]'"
        ) from error
    return fingerprint_files
