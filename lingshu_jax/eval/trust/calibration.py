# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Whether a model knows when it is right: the probability of the option it would choose.

Closed questions alone, asked with the direct prompt; see `confidence.py`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lingshu_jax.eval import metrics, section_charts
from lingshu_jax.eval.trust import calibration_measures as measures
from lingshu_jax.eval.trust import calibration_page, confidence
from lingshu_jax.eval.trust import desk as desk_lib

NAME = "calibration"
TITLE = "Calibration"
TEMPLATE = calibration_page.TEMPLATE
STRATUM = "modality"  # under which the numbers are broken down, where questions have one
MOST_DRAWN = 8  # benchmarks with charts; the tables hold all

Row = Mapping[str, Any]


def run(desk: desk_lib.Desk) -> dict[str, Any] | None:
    """Asks for the probabilities of all options and compares them with what is right.

    Args:
      desk: The evaluation.

    Returns:
      The content of the section; None while scores of other parts are missing.

    Raises:
      UserError: If the engine gives no log-probabilities.
    """
    confidence.check(desk, NAME)
    measured = {name: confidence.measure(desk, name) for name in desk.names}
    found = {name: one for name, one in measured.items() if one is not None}
    if len(found) < len(measured):
        return None
    remarks, numbers = confidence.remarks(desk), {}
    charts: list[dict[str, str]] = []
    drawn = [name for name, one in found.items() if one.beliefs]
    for name, one in found.items():
        beliefs = confidence.Beliefs.of(list(one.beliefs.values()))
        numbers[name] = {"n": len(beliefs.each), "left_out": dict(one.left_out)}
        remarks += confidence.unscored_remark(name, one)
        if beliefs.each:
            numbers[name] |= summarise(beliefs) | beside_answers(beliefs, desk.rows(name))
            charts += draw(name, beliefs) if name in drawn[:MOST_DRAWN] else []
    if len(drawn) > MOST_DRAWN:
        remarks.append(f"Charts show the first {MOST_DRAWN} of {len(drawn)} benchmarks.")
    return {
        "settings": {
            "prompt": confidence.PROMPT,
            "bins": measures.BINS,
            "limit": desk.limit,
            "forms": {k: {a: list(b) for a, b in v.items()} for k, v in confidence.FORMS.items()},
        },
        "remarks": remarks,
        "benchmarks": numbers,
        "charts": charts,
    }


def summarise(beliefs: confidence.Beliefs) -> dict[str, Any]:
    """The numbers of one benchmark, in JSON values.

    Args:
      beliefs: At least one.

    Returns:
      Those of `_core`; intervals and `chance_ece`; Brier score and nats of equal probabilities, to
      compare with; the reliability table `bins`; the area under the risk-coverage curve `aurc`,
      between that of a model that is sure exactly where it is right, `best_aurc`, and the error
      rate; `coverage`, what is right where only the surest are answered; `by_stratum`.
    """
    sure, correct = beliefs.confidence, beliefs.correct
    sizes = np.array([len(one.probabilities) for one in beliefs.each])
    intervals = measures.intervals(sure, correct, beliefs.brier, beliefs.groups)
    curve = measures.risk_coverage(sure, correct)
    return {
        **_core(beliefs),
        "ece_interval": _listed(intervals.ece),
        "chance_ece": intervals.chance_ece,
        "brier_interval": _listed(intervals.brier),
        "uniform_brier": float((1 - 1 / sizes).mean()),
        "uniform_nats": float(np.log(sizes).mean()),
        "bins": [one._asdict() for one in measures.reliability(sure, correct)],
        "aurc": curve.area,
        "best_aurc": measures.best_area(correct),
        "coverage": [_covered(curve, share) for share in measures.COVERAGES],
        "by_stratum": _by_stratum(beliefs),
    }


def beside_answers(beliefs: confidence.Beliefs, rows: Sequence[Row]) -> dict[str, Any]:
    """What the model answered to the same questions when it was free to say anything.

    Args:
      beliefs: At least one.
      rows: Of samples.jsonl, of these questions and others.

    Returns:
      `answered_accuracy` under strict scoring; `readable`, answers that strict scoring could read;
      `agreement`, the share of these that name the option of the highest probability, None without
      any.
    """
    by_id = {row["id"]: row["strict"] for row in rows}
    verdicts = [(one, by_id[one.closed.sample.id]) for one in beliefs.each]
    readable = [(one, strict["value"]) for one, strict in verdicts if strict["status"] == "ok"]
    agreeing = sum(confidence.same_option(one, value) for one, value in readable)
    return {
        "answered_accuracy": sum(strict["correct"] for _, strict in verdicts) / len(verdicts),
        "readable": len(readable),
        "agreement": agreeing / len(readable) if readable else None,
    }


def draw(name: str, beliefs: confidence.Beliefs) -> list[dict[str, str]]:
    """The reliability diagram and the risk-coverage curve of a benchmark.

    Args:
      name: Of the benchmark.
      beliefs: At least one.
    """
    sure, correct = beliefs.confidence, beliefs.correct
    used = [one for one in measures.reliability(sure, correct) if one.n]
    curve = measures.risk_coverage(sure, correct)
    means = [one.confidence or 0.0 for one in used]
    heights = [one.accuracy or 0.0 for one in used]
    shares = [one.n / len(sure) for one in used]
    share = {"low": 0.0, "high": 1.02, "is_share": True}
    line = section_charts.Line
    reliability = section_charts.lines(
        f"{name}: reliability",
        [
            line(label="accuracy", x=means, y=heights, has_dots=True),
            line(label="share of the questions", x=means, y=shares, has_dots=True),
            line(label="perfect calibration", x=(0.0, 1.0), y=(0.0, 1.0), is_reference=True),
        ],
        x=section_charts.Axis(label="confidence", **share),
        y=section_charts.Axis(label="share", **share),
        note="Below the dashed line the model is surer than it is right.",
    )
    error = float(curve.risk[-1])
    coverage = section_charts.lines(
        f"{name}: risk and coverage",
        [
            line(
                label="wrong among the answered", x=curve.coverage.tolist(), y=curve.risk.tolist()
            ),
            line(label="answered at random", x=(0.0, 1.0), y=(error, error), is_reference=True),
        ],
        x=section_charts.Axis(label="share answered, the surest first", **share),
        y=section_charts.Axis(
            label="share wrong",
            low=0.0,
            high=1.06 * max(float(curve.risk.max()), 0.01),
            is_share=True,
        ),
        note="A useful confidence keeps the left end low.",
    )
    return [reliability, coverage]


def _core(beliefs: confidence.Beliefs) -> dict[str, Any]:
    """What every stratum has too.

    `ece` and `mce` are over bins of equal width, `adaptive_ece` over bins of equally many;
    `brier` is over all options, in [0, 2], `brier_chosen` over the chosen one alone, in [0, 1];
    `nats` is the mean negative log-likelihood of the right option; `mass` the mean of what all
    options have together, `low_mass` the share of questions with less than half.
    """
    sure, correct = beliefs.confidence, beliefs.correct
    wide, even = measures.equal_width(sure), measures.equal_mass(sure)
    return {
        "n": len(sure),
        "accuracy": float(correct.mean()),
        "confidence": float(sure.mean()),
        "ece": measures.calibration_error(sure, correct, wide),
        "adaptive_ece": measures.calibration_error(sure, correct, even),
        "mce": measures.largest_error(sure, correct, wide),
        "brier": float(beliefs.brier.mean()),
        "brier_chosen": float(np.square(sure - correct).mean()),
        "nats": math.fsum(beliefs.nats) / len(sure),
        "mass": float(beliefs.mass.mean()),
        "low_mass": float((beliefs.mass < 0.5).mean()),
    }


def _listed(interval: metrics.Interval | None) -> list[float] | None:
    return None if interval is None else list(interval)


def _covered(curve: measures.Curve, coverage: float) -> dict[str, float]:
    risk, threshold = curve.at(coverage)
    return {"coverage": coverage, "accuracy": 1 - risk, "risk": risk, "threshold": threshold}


def _by_stratum(beliefs: confidence.Beliefs) -> dict[str, dict[str, Any]]:
    parts: dict[str, list[confidence.Belief]] = {}
    for one in beliefs.each:
        strata = one.closed.sample.strata
        if STRATUM in strata:
            parts.setdefault(strata[STRATUM], []).append(one)
    return {value: _core(confidence.Beliefs.of(parts[value])) for value in sorted(parts)}
