# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Whether a model stays sure when its picture shows nothing of what is asked.

The same closed questions with their own picture and with others in its place (`pictures.py`). Of
each kind the questions that it covers are compared with themselves on the right picture.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lingshu_jax.common import errors
from lingshu_jax.eval import benchmark, pictures
from lingshu_jax.eval.trust import confidence, confidence_draws, overconfidence_page
from lingshu_jax.eval.trust import desk as desk_lib

NAME = "overconfidence"
TITLE = "Overconfidence without the right picture"
TEMPLATE = overconfidence_page.TEMPLATE
RIGHT = "right"
KINDS: tuple[pictures.Kind, ...] = ("grey", "noise", "photograph", "other_modality")
SURE = 0.9  # a probability above it is sure
NO_PICTURE = "no picture"
NO_OTHER = "no picture of this kind"
COLUMNS = ("confidence", "sure", "entropy", "accuracy")

Beliefs = Mapping[str, confidence.Belief]


@dataclasses.dataclass(frozen=True)
class Asked:
    """What was asked of one benchmark.

    Attributes:
      right: On the right pictures.
      others: By kind of picture.
      remarks: On the pictures, by kind.
    """

    right: confidence.Measured
    others: Mapping[str, confidence.Measured]
    remarks: Mapping[str, Sequence[str]]


def run(desk: desk_lib.Desk) -> dict[str, Any] | None:
    """Asks for the probabilities of all options on each kind of picture.

    Args:
      desk: The evaluation.

    Returns:
      The content of the section; None while scores of other parts are missing.

    Raises:
      UserError: If the engine gives no log-probabilities, or the evaluation was blind.
    """
    confidence.check(desk, NAME)
    if desk.settings.blind:
        raise errors.UserError(
            "--overconfidence compares with the right pictures: evaluate without --blind"
        )
    asked = {name: _ask(desk, name) for name in desk.names}
    found = {name: one for name, one in asked.items() if one is not None}
    if len(found) < len(asked):
        return None
    remarks, numbers = confidence.remarks(desk), {}
    for name, one in found.items():
        numbers[name] = {
            "n": len(one.right.beliefs),
            "left_out": dict(one.right.left_out),
            "pictures": compare(one) if one.right.beliefs else {},
        }
        remarks += confidence.unscored_remark(name, one.right)
        for kind, measured in one.others.items():
            remarks += [f"{name}, {kind}: {sentence}." for sentence in one.remarks[kind]]
            remarks += confidence.unscored_remark(f"{name}, {kind}", measured)
    return {
        "settings": {
            "prompt": confidence.PROMPT,
            "sure": SURE,
            "kinds": list(KINDS),
            "limit": desk.limit,
        },
        "remarks": remarks,
        "benchmarks": numbers,
    }


def compare(asked: Asked) -> dict[str, dict[str, Any]]:
    """The numbers of each kind of picture, the right one first.

    Args:
      asked: With at least one question on the right picture.

    Returns:
      By kind: `n`, and how many questions are `left_out` for what; mean `confidence`, the
      probability of the chosen option; the share that is `sure`; mean `entropy` over that of equal
      probabilities; `accuracy`; mean `mass` of all options. Of other kinds also `same_choice`, how
      often the choice is that of the right picture, and `change`: of each of the first four the
      mean difference to the right picture on the same questions, with its 95 % interval, None
      where there are fewer than two clusters. A kind without questions has the first two alone.
    """
    right = asked.right.beliefs
    found = {RIGHT: {"left_out": {}, **_means(list(right.values()))}}
    for kind, measured in asked.others.items():
        keys = [key for key in measured.beliefs if key in right]
        missing = {why: measured.left_out.get(why, 0) for why in (NO_OTHER, confidence.UNSCORED)}
        left_out = {why: count for why, count in missing.items() if count}
        found[kind] = {"n": len(keys), "left_out": left_out}
        if not keys:
            continue
        pairs = [(right[key], measured.beliefs[key]) for key in keys]
        before, after = ([pair[place] for pair in pairs] for place in (0, 1))
        same = sum(a.chosen == b.chosen for a, b in pairs) / len(pairs)
        found[kind] |= {**_means(after), "same_choice": same, "change": _changes(before, after)}
    return found


def _ask(desk: desk_lib.Desk, name: str) -> Asked | None:
    """All kinds, also where one is not complete yet: other parts go on meanwhile."""
    samples = [one for one in desk.samples(name) if one.media and _is_closed(one)]
    right = _on_the_right(desk, name, samples)
    others = {other: desk.samples(other) for other in desk.names if other != name}
    found: dict[str, confidence.Measured] = {}
    remarks: dict[str, list[str]] = {}
    for kind in KINDS if samples else ():
        change = pictures.change(kind, samples, others=others)

        def why_not(sample: benchmark.Sample, covers: Any = change.covers) -> str:
            return NO_PICTURE if not sample.media else "" if covers(sample) else NO_OTHER

        measured = confidence.measure(
            desk, name, probe=f"{NAME}/{kind}", change=change.apply, among=why_not
        )
        if measured is not None:
            found[kind], remarks[kind] = measured, change.remarks
    if right is None or samples and len(found) < len(KINDS):
        return None
    return Asked(right, found, remarks)


def _on_the_right(
    desk: desk_lib.Desk, name: str, samples: Sequence[benchmark.Sample]
) -> confidence.Measured | None:
    """The scores of the section on calibration, of questions with a picture alone."""
    if not samples:
        return confidence.measure(desk, name, among=lambda sample: NO_PICTURE)
    measured = confidence.measure(desk, name)
    if measured is None:
        return None
    shown = {sample.id for sample in samples}
    beliefs = {key: one for key, one in measured.beliefs.items() if key in shown}
    left_out = dict(measured.left_out)
    if dropped := len(measured.beliefs) - len(beliefs):
        left_out[NO_PICTURE] = dropped
    return confidence.Measured(beliefs, left_out, measured.example)


def _is_closed(sample: benchmark.Sample) -> bool:
    return isinstance(confidence.closed(sample), confidence.Closed)


def _means(each: Sequence[confidence.Belief]) -> dict[str, Any]:
    beliefs = confidence.Beliefs.of(each)
    means = _columns(beliefs).mean(axis=0).tolist()
    found = dict(zip(COLUMNS, means, strict=True))
    return {"n": len(each), **found, "mass": float(beliefs.mass.mean())}


def _changes(
    before: Sequence[confidence.Belief], after: Sequence[confidence.Belief]
) -> dict[str, dict[str, Any]]:
    first, second = confidence.Beliefs.of(before), confidence.Beliefs.of(after)
    differences = _columns(second) - _columns(first)
    intervals = confidence_draws.means(differences, first.groups)
    means = differences.mean(axis=0).tolist()
    return {
        name: {"mean": mean, "interval": None if interval is None else list(interval)}
        for name, mean, interval in zip(COLUMNS, means, intervals, strict=True)
    }


def _columns(beliefs: confidence.Beliefs) -> np.ndarray:
    """[N, 4], as `COLUMNS` says."""
    sure = beliefs.confidence > SURE
    return np.stack([beliefs.confidence, sure, beliefs.entropy, beliefs.correct], axis=1)
