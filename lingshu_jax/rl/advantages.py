# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Group-relative advantages; pure, on the host.

Axes: Q prompts of a rollout batch, R rollouts per prompt (the group).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

STD_EPS = 1e-6  # verl and EasyR1; TRL adds 1e-4


class Advantages(NamedTuple):
    """One advantage per rollout, and how many groups teach nothing.

    Attributes:
      values: Reward minus the group's mean, over the group's deviation.
      zero_variance_groups: Groups whose rewards are all equal; their values are 0.
    """

    values: Float[np.ndarray, "Q R"]
    zero_variance_groups: int


def group_relative(
    rewards: Float[np.ndarray, "Q R"],
    *,
    eps: float = STD_EPS,
    scale_by_std: bool = True,
) -> Advantages:
    """Centres each reward in its group and divides by the group's deviation.

        advantage_qr = (reward_qr - mean_q) / (std_q + eps),  std with R - 1 in the denominator

    Args:
      rewards: Total reward of each rollout; row q holds the rollouts of prompt q.
      eps: Added to the deviation, > 0.
      scale_by_std: False leaves the division out (Dr.GRPO, arXiv:2503.20783).

    Returns:
      Finite float32 advantages. A group of one, or one whose rewards are all equal, gets
      exactly 0 and is counted: rounding of the mean would otherwise be blown up by `1 / eps`.

    Raises:
      ValueError: If `eps` is not positive or a reward is not finite.

    Source: arXiv:2402.03300, section 4.1.2. Differs: deviation with ddof 1 and eps 1e-6, as in
    verl and EasyR1; a group of one gets 0 where verl subtracts nothing from it.
    """
    if eps <= 0:
        raise ValueError(f"eps must be > 0, got {eps}")
    if not np.isfinite(rewards).all():
        raise ValueError(f"rewards must be finite, got {rewards[~np.isfinite(rewards)][0]}")
    wide = rewards.astype(np.float64)
    constant = wide.max(axis=1) == wide.min(axis=1)
    centred = wide - wide.mean(axis=1, keepdims=True)
    if scale_by_std:
        # max(.., 1): a group of one would divide 0 by 0; it counts as constant anyway.
        variance = (centred**2).sum(axis=1, keepdims=True) / max(wide.shape[1] - 1, 1)
        centred = centred / (np.sqrt(variance) + eps)
    values = np.where(constant[:, None], 0.0, centred).astype(np.float32)
    return Advantages(values, int(constant.sum()))
