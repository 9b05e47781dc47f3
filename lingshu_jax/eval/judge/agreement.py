# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""How far two judges agree, beyond what chance would give."""

import collections
from collections.abc import Mapping, Sequence
from typing import Any

from lingshu_jax.eval import metrics
from lingshu_jax.eval.judge import verdicts


def kappa(table: Sequence[Sequence[int]]) -> float | None:
    """Cohen's kappa of a square table of counts.

    Args:
      table: Row: the first one's verdict; column: the second one's.

    Returns:
      At most 1, 0 at chance; None where it is not defined: without counts, or where both always
      give the same one verdict.

    Source: Cohen, Educational and Psychological Measurement 20:37, 1960.
    """
    total = sum(map(sum, table))
    if not total:
        return None
    rows = [sum(row) for row in table]
    columns = [sum(column) for column in zip(*table, strict=True)]
    expected = sum(a * b for a, b in zip(rows, columns, strict=True)) / total**2
    if expected == 1:
        return None
    observed = sum(table[i][i] for i in range(len(table))) / total
    return (observed - expected) / (1 - expected)


def compare(first: Mapping[str, str], second: Mapping[str, str]) -> dict[str, Any] | None:
    """Two sets of verdicts on the same answers.

    Args:
      first: One of `verdicts.OUTCOMES` by key.
      second: The same of another judge, or of the rule.

    Returns:
      Over what both gave a verdict on: `n`, the `agreement` with its 95 % Wilson `interval`,
      `kappa`, and the `table` of counts in the order of `verdicts.VERDICTS`, the first one's
      verdicts as rows; `failed`, where one of them gave none. None if nothing was judged by both.
    """
    shared = [key for key in first if key in second]
    pairs = [
        (first[key], second[key])
        for key in shared
        if verdicts.FAILED not in (first[key], second[key])
    ]
    if not shared:
        return None
    counts = collections.Counter(pairs)
    table = [[counts[row, column] for column in verdicts.VERDICTS] for row in verdicts.VERDICTS]
    return {**describe(table), "failed": len(shared) - len(pairs)}


def describe(table: Sequence[Sequence[int]]) -> dict[str, Any]:
    """The numbers of a table of counts.

    Args:
      table: As of `kappa`.

    Returns:
      As `compare`, without `failed`.
    """
    total, same = sum(map(sum, table)), sum(table[i][i] for i in range(len(table)))
    return {
        "n": total,
        "agreement": same / total if total else None,
        "interval": list(metrics.wilson(same, total)) if total else [None, None],
        "kappa": kappa(table),
        "table": [list(row) for row in table],
    }


def add(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The agreement over several benchmarks together.

    Args:
      parts: Results of `compare`, at least one.
    """
    size = len(verdicts.VERDICTS)
    table = [[sum(part["table"][i][j] for part in parts) for j in range(size)] for i in range(size)]
    return {**describe(table), "failed": sum(part["failed"] for part in parts)}
