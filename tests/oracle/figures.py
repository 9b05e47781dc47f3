# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What a run of the oracle tests saw, for docs/parity.md.

Nothing of lingshu_jax is imported here: conftest.py imports this file before the jaxtyping hook
is installed.
"""

import collections
from collections.abc import Mapping
from typing import Any


class Figures:
    """The largest difference of each kind, and how many greedy tokens were compared."""

    def __init__(self) -> None:
        self.largest: dict[str, float] = collections.defaultdict(float)
        self.greedy_compared, self.greedy_total = 0, 0

    def see(self, gaps: Mapping[str, float]) -> None:
        for kind, gap in gaps.items():
            self.largest[kind] = max(self.largest[kind], gap)

    def count_greedy(self, compared: int, total: int) -> None:
        self.greedy_compared += compared
        self.greedy_total += total

    def to_dict(self) -> dict[str, Any]:
        """For `join`, in another process."""
        return {"largest": dict(self.largest), "greedy": (self.greedy_compared, self.greedy_total)}

    def join(self, other: Mapping[str, Any]) -> None:
        self.see(other["largest"])
        self.count_greedy(*other["greedy"])

    def lines(self) -> list[str]:
        """One line a kind."""
        lines = [f"{kind}: {gap:.2g}" for kind, gap in sorted(self.largest.items())]
        if self.greedy_total:
            share = self.greedy_compared / self.greedy_total
            lines.append(
                f"greedy compared: {self.greedy_compared:,} of {self.greedy_total:,} tokens"
                f" ({share:.1%})"
            )
        return lines
