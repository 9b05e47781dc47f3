# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""RadCliQ: four metrics of a report in one number, fitted to radiologists' errors; lower is better.

Both versions are linear: the features are standardised, weighted and summed. So the mean of the
scores is the score of the mean features, which `corpus` checks.

Source: Yu et al., Patterns 4:100802, 2023; rajpurkarlab/CXR-Report-Metric@9c9ecad CXRMetric/
radcliq-v1.pkl, normalizer.pkl and composite_metric_model.pkl (read, not executed).
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Features(NamedTuple):
    """What RadCliQ is made of, in its order; all zero for an empty report.

    Attributes:
      radgraph: RadGraph F1, the mean over entities and relations; [0, 1].
      bertscore: BERTScore of distilroberta-base, layer 5, rescaled with its baseline; at most 1.
      sembscore: Cosine of CheXbert's embeddings; [-1, 1].
      bleu2: BLEU-2 of one report; [0, 1].
    """

    radgraph: float
    bertscore: float
    sembscore: float
    bleu2: float


@dataclasses.dataclass(frozen=True)
class Version:
    """A fit: `intercept + sum(coefficients * (features - mean) / scale)`.

    Attributes:
      mean: Of each feature over the reports that it was fitted to.
      scale: Their standard deviations.
      coefficients: Of the standardised features.
      intercept: The score of the mean features.
    """

    mean: Features
    scale: Features
    coefficients: Features
    intercept: float


VERSIONS = {
    "v1": Version(  # 160 reports
        mean=Features(
            0.5379231241355762, 0.6175725628125001, 0.7647942121140658, 0.44738335396242174
        ),
        scale=Features(
            0.3028258411486429, 0.22430938459304575, 0.2539439110169773, 0.2989271671041838
        ),
        coefficients=Features(
            -0.37708368261038905, -0.37030009974480316, -0.25261621789593225, 4.315048405024756e-12
        ),
        intercept=2.466552561323256e-10,
    ),
    "v0": Version(  # 200 reports
        mean=Features(
            0.5398376019082272, 0.6312549595000001, 0.7716797866672277, 0.4607372064809605
        ),
        scale=Features(
            0.3018344440559102, 0.22466950746141123, 0.24750333805236252, 0.30336670936092264
        ),
        coefficients=Features(
            -0.4796252644863446, -0.6762170542369337, -0.46366575161751994, 0.2165861905287535
        ),
        intercept=1.641666666666666,
    ),
}
EMPTY = Features(0.0, 0.0, 0.0, 0.0)
_TOLERANCE = 1e-9  # of rounding, in units of the score


class Corpus(NamedTuple):
    """RadCliQ of a set of reports.

    Attributes:
      raw: The mean; lower is better.
      inverse: 1 / raw, as leaderboards print it, where that means something; else None.
      reason: Why there is no inverse; None where there is one.
    """

    raw: float
    inverse: float | None
    reason: str | None


def score(version: str, features: Features) -> float:
    """RadCliQ of one report, or of the mean features of many.

    Args:
      version: "v1" or "v0".
      features: Of the report.
    """
    fit = VERSIONS[version]
    terms = zip(features, fit.mean, fit.scale, fit.coefficients, strict=True)
    return fit.intercept + sum(weight * (x - mean) / scale for x, mean, scale, weight in terms)


def corpus(version: str, features: Sequence[Features]) -> Corpus:
    """RadCliQ of a set of reports.

    Args:
      version: "v1" or "v0".
      features: Of each report; at least one.

    Raises:
      ValueError: If there is no report.
      ArithmeticError: If the mean of the scores is not the score of the means.
    """
    if not features:
        raise ValueError("RadCliQ of no reports is not defined")
    raw = math.fsum(score(version, each) for each in features) / len(features)
    of_means = score(version, Features(*np.mean(np.asarray(features, np.float64), axis=0).tolist()))
    if not abs(raw - of_means) <= _TOLERANCE * max(1.0, abs(raw)):
        raise ArithmeticError(f"RadCliQ-{version}: mean {raw} is not that of the means {of_means}")
    if raw > 0:
        return Corpus(raw, 1 / raw, None)
    return Corpus(raw, None, "the mean RadCliQ is not above 0, so 1/RadCliQ means nothing")
