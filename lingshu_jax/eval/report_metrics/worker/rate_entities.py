# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""RaTEScore without its models: sentences, entities from token labels, weights of types.

Source: Zhao et al., arXiv:2406.16845; PyPI RaTEScore 0.6.0 RaTEScore/{utils,scorer,score}.py.
"""

import re
from collections.abc import Sequence

TYPES = ("ABNORMALITY", "ANATOMY", "DISEASE", "NON-ABNORMALITY", "NON-DISEASE")
# How much a match from one type (row) to another (column) counts, both in the order of `TYPES`:
# the original's weights for long reports, which are its default.
AFFINITY = (
    (
        0.4276119164393705,
        0.6240929990607657,
        0.0034478181112993847,
        0.5431049700217344,
        0.27005425386213877,
    ),
    (
        0.7487824274337533,
        0.2856134859160784,
        0.4592143222158069,
        0.02097055139911715,
        0.00013736314126696204,
    ),
    (
        0.8396510075734789,
        0.9950209388542061,
        0.8460555030578727,
        0.9820689020512646,
        0.3789136708096537,
    ),
    (
        0.16546764653692908,
        0.018670610691852826,
        0.719397354576018,
        0.0009357166071730684,
        0.0927333564267591,
    ),
    (
        0.7759420231214385,
        0.1839139293714062,
        0.10073046076318157,
        0.03860183811876373,
        0.34065681486566446,
    ),
)
NEGATION = 0.8716553966489615  # factor of a match of something present with something absent
NOTHING_TO_COMPARE = 0.5  # the score where one side has no entity
_SHORTEST = 3  # characters of a sentence
# Not after the number of a list.
_SENTENCE_END = re.compile(r"(?<=[.!?])(?<!\b\d\.)\s+|\n\s*\n")


def sentences(text: str) -> list[str]:
    """The sentences of a report that are long enough to be read.

    The original splits with medspaCy's PyRuSH; here a sentence ends at `.`, `!` or `?` before
    white space, or at an empty line. Where the two differ, entities at the border may differ.

    Args:
      text: The report.
    """
    parts = (" ".join(part.split()) for part in _SENTENCE_END.split(text))
    return [part for part in parts if len(part) >= _SHORTEST]


def spans(labels: Sequence[str]) -> list[tuple[int, int, str]]:
    """Entities of a sentence: first and last token, and type.

    Follows the original where labels are inconsistent: an entity that opens with I- has no
    beginning and is none; one that the end of the sentence leaves open counts, unless it touches
    the entity before it.

    Args:
      labels: "O", "B-..." or "I-..." for each token, the marks at both ends included.
    """
    found, start, kind, touches = [], None, "", False
    for i in range(1, len(labels) - 1):
        label, following = labels[i], labels[i + 1]
        if label == "O":
            continue
        if label.startswith("B-"):
            start, kind = i, label[2:]
        if following.startswith("I-"):
            continue
        if start is not None:
            found.append((start, i, kind))
        start, touches = None, following.startswith("B-")
    if start is not None and not touches:
        found.append((start, len(labels) - 2, kind))
    return found


def side(similarities: Sequence[tuple[float, str, str]]) -> float:
    """Precision or recall: the weighted mean of best matches.

    Args:
      similarities: Of each entity of one side its best cosine on the other side, its own type and
        the type of its match, both of `TYPES`.
    """
    total = weights = 0.0
    for cosine, own, other in similarities:
        weight = AFFINITY[TYPES.index(own)][TYPES.index(other)]
        total += cosine * weight * (NEGATION if _contradict(own, other) else 1.0)
        weights += weight
    return total / weights if weights else 0.0


def f1(precision: float, recall: float) -> float:
    """Their harmonic mean, 0 where they add up to 0.

    Args:
      precision: At most 1.
      recall: At most 1.
    """
    total = precision + recall
    return 2 * precision * recall / total if total else 0.0


def _contradict(own: str, other: str) -> bool:
    """Whether one says present and the other absent."""
    return "ANATOMY" not in (own, other) and own.startswith("NON-") != other.startswith("NON-")
