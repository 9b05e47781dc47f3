# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Contamination: which questions the training data hold, and how they were answered.

A short question as "is there a fracture?" stands in training data without being known from there,
and an image alone says nothing of what is asked about it. So a question with pictures counts as
contaminated where one training row holds a picture of it and its text; a report where training
holds a picture of it; a question without pictures where training holds its text, with its options
if it has some, or most of its runs of 13 words.
"""

import collections
import concurrent.futures
import dataclasses
import itertools
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tqdm

from lingshu_jax.common import errors
from lingshu_jax.data import fingerprints, images
from lingshu_jax.eval import benchmark, metrics
from lingshu_jax.eval.trust import contamination_page, differences, overlap
from lingshu_jax.eval.trust import desk as desk_lib

NAME = "contamination"
TITLE = "Contamination"
TEMPLATE = contamination_page.TEMPLATE

EXAMPLES = 20  # of each benchmark
LONGEST = 200  # characters of a question that are shown
_AT_ONCE = 256  # pictures that wait for a thread


@dataclasses.dataclass
class _Taken:
    """The questions of a benchmark with what was found of them."""

    samples: Sequence[benchmark.Sample]
    prints: list[overlap.Prints]
    unreadable: int
    found: list[overlap.Found] = dataclasses.field(default_factory=list)


def run(desk: desk_lib.Desk, *, manifest: Path) -> dict[str, Any]:
    """Compares all questions with the training data; no model is asked.

    Args:
      desk: The evaluation.
      manifest: Fingerprints of training data, from `data_tools.fingerprint`.

    Returns:
      The content of the section.

    Raises:
      UserError: If the file is none, or was made by other rules.
    """
    note = overlap.read_note(manifest)
    taken = {name: _take(name, desk.samples(name), note) for name in desk.names}
    found = iter(overlap.find(manifest, itertools.chain(*(t.prints for t in taken.values()))))
    for of in taken.values():
        of.found = [*itertools.islice(found, len(of.samples))]
    numbers = {name: _summarise(of, desk.rows(name)) for name, of in taken.items()}
    return {
        "settings": {
            "threshold": overlap.THRESHOLD,
            "n": fingerprints.N,
            "image_version": note["image_version"],
            "text_version": note["text_version"],
        },
        "training": {key: note[key] for key in ("rows", "rows_with_images", "images", "dropped")},
        "sources": note["sources"],
        "remarks": _remarks(taken, note),
        "benchmarks": numbers,
    }


def deciding(sample: benchmark.Sample) -> tuple[str, ...]:
    """The rules of `overlap.RULES` of which one is enough for a question to count.

    Args:
      sample: The question.
    """
    if sample.media:
        return ("image",) if sample.scoring == "report" else ("image_and_question",)
    return ("question_and_options" if sample.choices else "question", "ngrams")


def _take(name: str, samples: Sequence[benchmark.Sample], note: Mapping[str, Any]) -> _Taken:
    """The keys of all questions; pictures are decoded only where training has some."""
    if not note["images"]:
        return _Taken(samples, [overlap.prints_of(sample, ()) for sample in samples], 0)
    parts = {_key(part): part for sample in samples for part in sample.media}
    keys, hashes = [*parts], {}
    with (
        concurrent.futures.ThreadPoolExecutor() as pool,
        tqdm.tqdm(desc=f"{name} fingerprints", total=len(keys), disable=not keys) as bar,
    ):
        for start in range(0, len(keys), _AT_ONCE):
            some = keys[start : start + _AT_ONCE]
            for key, found in zip(some, pool.map(_hash, map(parts.get, some)), strict=True):
                hashes[key] = found
                bar.update()
    prints = [
        overlap.prints_of(s, [*itertools.chain(*(hashes[_key(part)] or () for part in s.media))])
        for s in samples
    ]
    return _Taken(samples, prints, sum(found is None for found in hashes.values()))


def _key(part: Mapping[str, Any]) -> Hashable:
    """Equal for equal media."""
    return part["type"], _visual(part)


def _visual(part: Mapping[str, Any]) -> images.Visual:
    value = part[part["type"]]
    return tuple(value) if isinstance(value, list) else value


def _hash(part: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The keys of a picture or of a video's frames; None if it does not decode."""
    try:
        return fingerprints.media_hashes(_visual(part), is_video=part["type"] == "video")
    except errors.UserError:
        return None


def _summarise(of: _Taken, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The numbers of a benchmark."""
    total = len(of.samples)
    pairs = [*zip(of.samples, of.found, strict=True)]
    is_bad = [not f.rules.keys().isdisjoint(deciding(sample)) for sample, f in pairs]
    by_rule = {rule: sum(rule in f.rules for f in of.found) for rule in overlap.RULES}
    sources = collections.Counter(source for pair in pairs for source in _sources(*pair))
    return {
        "n": total,
        "with_pictures": sum(bool(sample.media) for sample in of.samples),
        "without_ngrams": sum(f.share is None for f in of.found),
        "unreadable": of.unreadable,
        "rules": {
            rule: {"n": count, "share": count / total if total else None}
            for rule, count in by_rule.items()
        },
        "contaminated": sum(is_bad),
        "contaminated_share": sum(is_bad) / total if total else None,
        "contaminated_interval": list(metrics.wilson(sum(is_bad), total)),
        "sources": dict(sources.most_common()),
        "accuracy": _accuracy(rows, is_bad),
        "examples": _examples(of, is_bad),
    }


def _accuracy(rows: Sequence[Mapping[str, Any]], is_bad: Sequence[bool]) -> dict[str, Any] | None:
    """By verdict, of both kinds of questions; None where nothing has a verdict."""
    pairs = zip(rows, is_bad, strict=True)
    scored = [pair for pair in pairs if pair[0]["compat"]["correct"] is not None]
    if not scored:
        return None
    first = np.array([is_one for _, is_one in scored])
    numbers: dict[str, Any] = {"contaminated": int(first.sum()), "clean": int((~first).sum())}
    for mode in metrics.MODES:
        correct = np.array([row[mode]["correct"] for row, _ in scored], np.float64)
        found = differences.compare(correct, first, [row["group"] for row, _ in scored])
        numbers[mode] = {
            "contaminated": found.first,
            "clean": found.second,
            "difference": found.difference,
            "interval": None if found.difference is None else list(found.interval),
        }
    return numbers


def _examples(of: _Taken, is_bad: Sequence[bool]) -> list[dict[str, Any]]:
    """Some questions that count, spread over the benchmark."""
    places = np.flatnonzero(is_bad).tolist()
    steps = np.linspace(0, len(places), min(EXAMPLES, len(places)), endpoint=False)
    chosen = [places[int(step)] for step in steps]
    return [
        {
            "id": of.samples[place].id,
            "question": of.samples[place].question[:LONGEST],
            "rules": [*of.found[place].rules],
            "sources": _sources(of.samples[place], of.found[place]),
        }
        for place in chosen
    ]


def _sources(sample: benchmark.Sample, found: overlap.Found) -> list[str]:
    """Those for which a question counts."""
    return sorted({source for rule in deciding(sample) for source in found.rules.get(rule, ())})


def _remarks(taken: Mapping[str, _Taken], note: Mapping[str, Any]) -> list[str]:
    remarks = []
    if note["dropped"]:
        remarks.append(
            f"{note['dropped']} training rows could not be read and are not in the fingerprints"
        )
    remarks += [
        f"{name}: {of.unreadable} images or videos do not decode and were not compared"
        for name, of in taken.items()
        if of.unreadable
    ]
    if not note["images"] and any(s.media for of in taken.values() for s in of.samples):
        remarks.append("The training data have no pictures: no question with a picture can count")
    return remarks
