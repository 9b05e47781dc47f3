# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""CIDEr: how alike two texts are in the runs of words that tell reports apart; in [0, 10].

A run of one to four words weighs the more the fewer references hold it. So the score of a report
depends on which others are evaluated, and where all references are the same, or there is one, every
weight and every score is 0. Below FEWEST studies it says little.

Source: Vedantam et al., arXiv 1411.5726; pycocoevalcap cider/cider_scorer.py@ad63453.
"""

import collections
import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lingshu_jax.common import errors
from lingshu_jax.eval.report_metrics import lexical, tokens

FEWEST = 50  # studies
SIGMA = 6.0  # of the penalty on another length, in pairs of words
CAPTIONS = "captions_val2014.json"  # of COCO, from annotations_trainval2014.zip
Run = tuple[str, ...]


class Frequencies(NamedTuple):
    """How common runs of words are.

    Attributes:
      documents: How many there are.
      counts: How many of them hold a run; one that is not there counts as 1.
    """

    documents: int
    counts: Mapping[Run, int]


class _Vector(NamedTuple):
    """A text, by length of the runs: their weights, and the length of that vector."""

    weights: list[dict[Run, float]]
    norms: list[float]
    pairs: int


def frequencies(documents: Iterable[Sequence[lexical.Tokens]]) -> Frequencies:
    """Counts runs over documents of one or more texts.

    Args:
      documents: Tokens of the texts of each, as the references of a report.
    """
    counts: collections.Counter[Run] = collections.Counter()
    number = 0
    for texts in documents:
        counts.update({run for text in texts for run in _runs(text)})
        number += 1
    return Frequencies(number, counts)


def scores(
    said: Sequence[lexical.Tokens],
    truths: Sequence[Sequence[lexical.Tokens]],
    *,
    known: Frequencies | None = None,
    defended: bool = True,
) -> list[float]:
    """CIDEr of each report.

    Args:
      said: Its tokens.
      truths: Tokens of its references.
      known: How common runs are; None counts them in the references.
      defended: CIDEr-D, which clips counts and penalises another length; else plain CIDEr.
    """
    known = known or frequencies(truths)
    found = []
    for one, golds in zip(said, truths, strict=True):
        vector = _vector(one, known)
        alike = [_similarity(vector, _vector(gold, known), defended=defended) for gold in golds]
        found.append(10.0 * math.fsum(alike) / len(golds))
    return found


def read_captions(path: Path, wanted: Collection[lexical.Tokens]) -> Frequencies:
    """How common runs of words are in captions of COCO; an image is a document.

    `cidereval`, which MedEvalKit calls, weighs by these captions unless told otherwise. It keeps
    the counts in a pickle; here they are counted in the captions themselves.

    Args:
      path: The publisher's annotations, `{"annotations": [{"image_id", "caption"}]}`.
      wanted: Tokens of the texts whose runs are counted.

    Raises:
      UserError: If the file has another form.
    """
    asked = {run for text in wanted for run in _runs(text)}
    by_image: dict[object, set[Run]] = collections.defaultdict(set)
    try:
        for entry in json.loads(path.read_text(encoding="utf-8"))["annotations"]:
            runs = by_image[entry["image_id"]]
            runs.update(run for run in _runs(tokens.ptb(entry["caption"])) if run in asked)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise errors.UserError(
            f"{path} must hold COCO's annotations with image_id and caption"
        ) from error
    counts = collections.Counter(run for runs in by_image.values() for run in runs)
    return Frequencies(len(by_image), counts)


def _runs(text: lexical.Tokens) -> Iterable[Run]:
    for order in lexical.ORDERS:
        yield from lexical.ngrams(text, order)


def _vector(text: lexical.Tokens, known: Frequencies) -> _Vector:
    most = math.log(max(1, known.documents))
    weights: list[dict[Run, float]] = []
    for order in lexical.ORDERS:
        counts = lexical.ngrams(text, order)
        weights.append(
            {
                run: count * (most - math.log(max(1, known.counts.get(run, 0))))
                for run, count in counts.items()
            }
        )
    norms = [math.sqrt(math.fsum(w * w for w in part.values())) for part in weights]
    return _Vector(weights, norms, max(0, len(text) - 1))


def _similarity(said: _Vector, truth: _Vector, *, defended: bool) -> float:
    """The mean over the lengths of runs."""
    penalty = math.exp(-((said.pairs - truth.pairs) ** 2) / (2 * SIGMA**2)) if defended else 1.0
    parts = []
    for place in range(len(lexical.ORDERS)):
        ours, theirs = said.weights[place], truth.weights[place]
        products = [
            (min(weight, theirs[run]) if defended else weight) * theirs[run]
            for run, weight in ours.items()
            if run in theirs
        ]
        norm = said.norms[place] * truth.norms[place]
        parts.append(math.fsum(products) / norm if norm else 0.0)
    return penalty * math.fsum(parts) / len(parts)
