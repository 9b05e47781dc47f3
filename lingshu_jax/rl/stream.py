# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The order in which prompts are asked, and how far a run has come in it."""

import collections
import itertools
from collections.abc import Sequence

from lingshu_jax.rl import questions


class Stream:
    """Endless prompts: every epoch in a new order, a pure function of the seed.

    Attributes:
      position: Prompts taken so far; all that a continued run has to know. Set it back, and what
        came after is asked again.
    """

    def __init__(self, prompts: Sequence[questions.Prompt], *, seed: int, position: int):
        """Takes nothing yet.

        Args:
          prompts: At least one.
          seed: Of the orders.
          position: Where to go on.
        """
        self.position, self._prompts, self._seed = position, prompts, seed
        self._returned: collections.deque[questions.Prompt] = collections.deque()

    def take(self, count: int) -> list[questions.Prompt]:
        """The next prompts; those that were given back come first.

        Args:
          count: How many.
        """
        again = min(count, len(self._returned))
        taken = [self._returned.popleft() for _ in range(again)]
        first, self.position = self.position, self.position + count - again
        order = questions.order(len(self._prompts), seed=self._seed)
        return taken + [self._prompts[i] for i in itertools.islice(order, first, self.position)]

    def give_back(self, prompts: Sequence[questions.Prompt]) -> None:
        """Has them asked again, before all others.

        The position does not move: what was given back is lost to a continued run, which goes on
        from before they were taken.

        Args:
          prompts: In the order to ask them in.
        """
        self._returned.extend(prompts)
