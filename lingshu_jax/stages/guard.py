# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Steps that are not trusted: left out inside the compiled step, counted outside of it.

A bad step leaves weights and optimizer state exactly as they were. After some bad steps in a row
the weights themselves are not trusted, and the run takes those of the last good checkpoint.
"""

import collections
from collections.abc import Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from lingshu_jax.stages import config as stage_config

SKIPPED, NONFINITE, SPIKE = "skipped", "skipped/nonfinite", "skipped/spike"

# Fewer good losses than this say nothing of what is usual.
FEWEST_LOSSES = 10
# In nats a token. A model that knows its rows by heart goes from 0.01 to 0.1 without harm.
SMALLEST_SPIKE = 1.0

Tree = TypeVar("Tree")


def judge(
    loss: Float[Array, ""], grad_norm: Float[Array, ""], max_loss: Any
) -> tuple[Bool[Array, ""], dict[str, Array]]:
    """Whether a step may be taken, on the device.

    Args:
      loss: Of the batch.
      grad_norm: Of all gradients, before clipping.
      max_loss: From `Guard.max_loss`; infinite where no finite loss is too large.

    Returns:
      The verdict, and 0 or 1 as metrics: `skipped` and its reason.
    """
    is_finite = jnp.isfinite(loss) & jnp.isfinite(grad_norm)
    is_spike = is_finite & (loss > max_loss)
    flags = {SKIPPED: ~is_finite | is_spike, NONFINITE: ~is_finite, SPIKE: is_spike}
    return ~flags[SKIPPED], {name: flag.astype(jnp.float32) for name, flag in flags.items()}


def choose(is_good: Bool[Array, ""], after: Tree, before: Tree) -> Tree:
    """`after` where the step is good, else `before`, bit by bit.

    Args:
      is_good: From `judge`.
      after: Tree of arrays.
      before: The same before the step.
    """
    return jax.tree.map(lambda new, old: jnp.where(is_good, new, old), after, before)


class Guard:
    """What the run remembers of its steps; saved with every checkpoint.

    Attributes:
      is_calm: Whether the last step was good: only then are the weights worth saving.
      in_a_row: Steps skipped since the last good one or the last rollback.
      skipped: Steps skipped in the whole run.
      rollbacks: Returns to a checkpoint in the whole run.
    """

    def __init__(self, config: stage_config.GuardConfig):
        """Remembers nothing yet.

        Args:
          config: Limits.
        """
        self._config = config
        self._losses: collections.deque[float] = collections.deque(maxlen=config.spike_window)
        self.is_calm = True
        self.in_a_row = self.skipped = self.rollbacks = 0

    def max_loss(self) -> np.float32:
        """The largest loss that the next step may have."""
        factor, fewest = self._config.spike_factor, min(FEWEST_LOSSES, self._config.spike_window)
        if not factor or len(self._losses) < fewest:
            return np.float32(np.inf)
        usual = float(np.median(self._losses))
        return np.float32(max(factor * usual, SMALLEST_SPIKE))

    def record(self, scalars: Mapping[str, float | None]) -> None:
        """Counts a step.

        Args:
          scalars: Its metrics, with those of `judge`.
        """
        self.is_calm = not scalars[SKIPPED]
        if not self.is_calm:
            self.in_a_row += 1
            self.skipped += 1
            return
        self.in_a_row = 0
        self._losses.append(float(scalars["loss"] or 0.0))

    @property
    def must_roll_back(self) -> bool:
        """Whether too many steps in a row were skipped."""
        return self.in_a_row >= self._config.max_skipped

    @property
    def is_exhausted(self) -> bool:
        """Whether the run has rolled back as often as it may."""
        return self.rollbacks >= self._config.max_rollbacks

    def count_rollback(self) -> None:
        """Counts a return to a checkpoint."""
        self.in_a_row = 0
        self.rollbacks += 1

    def counts(self) -> dict[str, int]:
        """For `finished.json`."""
        return {"skipped": self.skipped, "rollbacks": self.rollbacks}

    def to_json(self) -> dict[str, Any]:
        """All of it, to go beside a checkpoint; floats come back from JSON bit by bit."""
        return {**self.counts(), "in_a_row": self.in_a_row, "losses": list(self._losses)}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Remembers what an earlier process did.

        Args:
          saved: From `to_json`.
        """
        self.skipped, self.rollbacks = saved["skipped"], saved["rollbacks"]
        self.in_a_row = saved["in_a_row"]
        self._losses.clear()
        self._losses.extend(saved["losses"])
