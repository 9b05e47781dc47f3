# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""How far two judges agree, beyond what chance would give."""

import collections
from collections.abc import Mapping, Sequence
from typing import Any

from lingshu_jax.common import agreement
from lingshu_jax.eval import metrics
from lingshu_jax.eval.judge import verdicts


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
      table: As of `common.agreement.kappa`.

    Returns:
      As `compare`, without `failed`.
    """
    total, same = sum(map(sum, table)), sum(table[i][i] for i in range(len(table)))
    return {
        "n": total,
        "agreement": same / total if total else None,
        "interval": list(metrics.wilson(same, total)) if total else [None, None],
        "kappa": agreement.kappa(table),
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
