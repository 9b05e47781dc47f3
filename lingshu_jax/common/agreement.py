# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""How far raters agree, beyond what chance would give."""

from collections.abc import Sequence


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


def fleiss_kappa(counts: Sequence[Sequence[int]]) -> float | None:
    """Fleiss' kappa of items that were each rated by equally many, not always the same ones.

    Args:
      counts: A row an item: how many raters chose each of the categories.

    Returns:
      At most 1, 0 at chance; None where it is not defined: without items, with fewer than two
      raters, or where all always choose the same one category.

    Raises:
      ValueError: If the items have different numbers of raters.

    Source: Fleiss, Psychological Bulletin 76:378, 1971.
    """
    sizes = {sum(row) for row in counts}
    if len(sizes) > 1:
        raise ValueError(f"items have {min(sizes)} to {max(sizes)} raters; all need as many")
    raters = max(sizes, default=0)
    if raters < 2:
        return None
    total = len(counts) * raters
    expected = sum((sum(column) / total) ** 2 for column in zip(*counts, strict=True))
    if expected == 1:
        return None
    pairs = sum(count * (count - 1) for row in counts for count in row)
    observed = pairs / (total * (raters - 1))
    return (observed - expected) / (1 - expected)
