# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The metrics of one part of a set of reports: of each report, and over all and non-empty ones."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lingshu_jax.eval import stats
from lingshu_jax.eval.report_metrics import cider, columns, lexical, meteor, neural, tokens

Values = dict[str, list[Any]]
RADCLIQ = ("radcliq_v1", "radcliq_v0")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    """One part of the reports of a benchmark.

    Attributes:
      places: Which of the reports have it in their references.
      texts: What was written; "" where nothing was.
      truths: The references, none empty.
      groups: What several studies share, as their patient; "" if nothing.
    """

    places: list[int]
    texts: list[str]
    truths: list[str]
    groups: list[str]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Each report with its reference."""
        return list(zip(self.texts, self.truths, strict=True))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tools:
    """What there is beside the texts.

    Attributes:
      captions: COCO's captions for MedEvalKit's CIDEr.
      jar: METEOR's program.
    """

    captions: Path | None = None
    jar: Path | None = None


def is_blank(text: str) -> bool:
    """Whether a text holds no word.

    Args:
      text: A report or a part of one.
    """
    return not any(character.isalnum() for character in text)


def measure(part: Part, found: Values, tools: Tools) -> tuple[dict[str, Any], Values]:
    """All metrics of a part.

    Args:
      part: With at least one report.
      found: Neural metrics of each of its reports, by name; {} without weights.
      tools: What else there is.

    Returns:
      The numbers: `n`, `empty`, by metric `all` and `non_empty` (None where every report is
      empty), `intervals`, and CheXbert's as `chexbert`; and the values of each report, by metric.
    """
    values, together = _of_reports(part, tools)
    values |= found
    kept = [place for place, text in enumerate(part.texts) if not is_blank(text)]
    whole = _summarise(part, values, range(len(part.texts)))
    numbers: dict[str, Any] = {
        "n": len(part.texts),
        "empty": len(part.texts) - len(kept),
        columns.ALL: whole | together,
        columns.NON_EMPTY: whole | together,
        "intervals": {
            name: _interval(of_each, part.groups)
            for name, of_each in values.items()
            if name != neural.LABELS
        },
        "chexbert": _labels(values, range(len(part.texts))),
    }
    if len(kept) < len(part.texts):
        numbers[columns.NON_EMPTY] = _summarise(part, values, kept) if kept else None
    return numbers, values


def chance(part: Part) -> dict[str, float] | None:
    """Lexical metrics of the references of other studies, as if they had been written.

    Reports are alike in their wording: what has no more than this says nothing of its study.

    Args:
      part: As in `measure`.

    Returns:
      By metric; None where there is one report.
    """
    count = len(part.truths)
    if count < 2:
        return None
    # Half the set away, for studies of one patient lie side by side.
    others = [part.truths[(place + count // 2) % count] for place in range(count)]
    swapped = dataclasses.replace(part, texts=others)
    return _summarise(swapped, _of_reports(swapped, Tools())[0], range(count))


def _of_reports(part: Part, tools: Tools) -> tuple[Values, dict[str, float]]:
    """Lexical metrics of each report, 0 where it is empty; and what METEOR gives for all."""
    said = lexical.cut(part.texts)
    gold = {name: [[one] for one in found] for name, found in lexical.cut(part.truths).items()}
    values: Values = dict(lexical.of_reports(part.texts, part.truths))
    for name in ("ptb", "ws", "own"):
        values[f"cider_{name}"] = cider.scores(said[name], gold[name])
    if tools.captions:
        values["cider_medevalkit"] = _medevalkit(part, tools.captions)
    together = {}
    if tools.jar:
        values["meteor"], together["meteor_coco"] = meteor.scores(
            said["ptb"], gold["ptb"], tools.jar
        )
    for place, text in enumerate(part.texts):
        if is_blank(text):
            for of_each in values.values():
                of_each[place] = 0.0
    return values, together


def _medevalkit(part: Part, captions: Path) -> list[float]:
    """CIDEr as MedEvalKit has it computed: plain, of lower-cased texts, with COCO's weights."""
    said = [tokens.ptb(text.lower()) for text in part.texts]
    gold = [tokens.ptb(text.lower()) for text in part.truths]
    known = cider.read_captions(captions, [*said, *gold])
    return cider.scores(said, [[one] for one in gold], known=known, defended=False)


def _summarise(part: Part, values: Mapping[str, Sequence[Any]], places: Sequence[int]) -> Any:
    """The numbers over some reports, by metric."""
    kept = {name: [found[place] for place in places] for name, found in values.items()}
    numbers = {
        name: math.fsum(found) / len(found) for name, found in kept.items() if name != neural.LABELS
    }
    texts, truths = ([side[place] for place in places] for side in (part.texts, part.truths))
    numbers |= lexical.of_corpus(texts, truths)
    models = {name: found for name, found in kept.items() if name in neural.NAMES}
    summed = neural.summarise(models, kept["bleu2_rexrank"])
    for version in RADCLIQ:
        if version in summed:
            numbers[version] = summed[version]["raw"]
            numbers[f"{version}_inverse"] = summed[version]["inverse"]
    return {name: numbers[name] for name in columns.NAMES if name in numbers}


def _labels(values: Mapping[str, Sequence[Any]], places: Sequence[int]) -> dict[str, Any] | None:
    """CheXbert's F1 over some reports."""
    if neural.LABELS not in values:
        return None
    return neural.finding_scores([values[neural.LABELS][place] for place in places])


def _interval(values: Sequence[float], groups: Sequence[str]) -> list[float] | None:
    """The interval of a mean; None where there are fewer than two clusters."""
    of_each = np.asarray(values, np.float64)
    if len(stats.cluster(of_each, groups).sums) < 2:
        return None
    return list(stats.clustered_interval(of_each, groups))
