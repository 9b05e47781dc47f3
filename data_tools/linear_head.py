# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Multinomial logistic regression on vectors, and the temperature that makes it say how sure it is.

Small and without chance: the same rows in the same order give the same head.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int64
from scipy import optimize, special

MOST_STEPS = 1000
_TEMPERATURES = (-5.0, 5.0)  # natural logarithms of the lowest and the highest


class Head(NamedTuple):
    """A linear classifier.

    Attributes:
      weights: Of each class.
      bias: Of each class.
    """

    weights: Float64[np.ndarray, "K D"]
    bias: Float64[np.ndarray, " K"]

    def logits(self, vectors: Float[np.ndarray, "N D"]) -> Float64[np.ndarray, "N K"]:
        """What a softmax makes probabilities of.

        Args:
          vectors: Of any rows.
        """
        return vectors.astype(np.float64) @ self.weights.T + self.bias


def fit(
    vectors: Float[np.ndarray, "N D"], classes: Int64[np.ndarray, " N"], *, count: int, c: float
) -> Head:
    """The head with the smallest loss; classes weigh the same, however many rows they have.

    The loss is that of scikit-learn's LogisticRegression(C=c, class_weight="balanced"): the bias
    is not held down.

    Args:
      vectors: Of the rows.
      classes: Of the rows, 0 to count - 1, each there at least once.
      count: Of classes, at least 2.
      c: How much the rows count against the size of the weights, > 0.
    """
    rows, width = vectors.shape
    values = vectors.astype(np.float64)
    weight = (rows / (count * np.bincount(classes, minlength=count)))[classes]
    truth = np.eye(count)[classes]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        head = _unpack(flat, count, width)
        log_odds = special.log_softmax(head.logits(values), axis=1)
        error = (np.exp(log_odds) - truth) * weight[:, None]
        total = -c * float(weight @ log_odds[np.arange(rows), classes])
        gradient = [c * error.T @ values + head.weights, c * error.sum(0)]
        return total + float((head.weights**2).sum()) / 2, np.concatenate(
            [part.ravel() for part in gradient]
        )

    found = optimize.minimize(
        loss,
        np.zeros(count * (width + 1)),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": MOST_STEPS, "gtol": 1e-6 * c * rows, "ftol": 1e-12},
    )
    return _unpack(found.x, count, width)


def temperature(logits: Float[np.ndarray, "N K"], classes: Int64[np.ndarray, " N"]) -> float:
    """By what logits are divided so that probabilities fit rows that the head was not made of.

    Few rows that are all right would make it as sure as can be: as in Platt's scaling, of N rows
    each counts as right by 1 - 1 / (N + 2), and the rest is shared by the other classes.

    Args:
      logits: Of such rows, for two classes at least.
      classes: What they are.

    Returns:
      That with the smallest cross-entropy, between e^-5 and e^5; 1 without rows.
    """
    if not len(logits):
        return 1.0

    rows, count = logits.shape
    truth = np.full((rows, count), 1 / (rows + 2) / (count - 1))
    truth[np.arange(rows), classes] = 1 - 1 / (rows + 2)

    def loss(log_temperature: float) -> float:
        log_odds = special.log_softmax(logits / np.exp(log_temperature), axis=1)
        return -float((truth * log_odds).sum(1).mean())

    found = optimize.minimize_scalar(loss, bounds=_TEMPERATURES, method="bounded")
    return float(np.exp(found.x))


def probabilities(logits: Float[np.ndarray, "N K"], heat: float) -> Float64[np.ndarray, "N K"]:
    """The softmax of logits.

    Args:
      logits: Of any rows.
      heat: From `temperature`.
    """
    return special.softmax(np.asarray(logits, np.float64) / heat, axis=1)


def confusion(
    truth: Sequence[str], said: Sequence[str], *, abstained: str
) -> dict[str, dict[str, int]]:
    """How often what is one thing was called another.

    Args:
      truth: Of each row.
      said: Of each row; "" is nothing.
      abstained: The word for nothing.

    Returns:
      Counts by truth and then by what was said, sorted, without zeros.
    """
    table: dict[str, dict[str, int]] = {}
    for true, word in sorted(zip(truth, said, strict=True)):
        row = table.setdefault(true, {})
        row[word or abstained] = row.get(word or abstained, 0) + 1
    return table


def _unpack(flat: Float64[np.ndarray, " P"], count: int, width: int) -> Head:
    return Head(flat[: count * width].reshape(count, width), flat[count * width :])
