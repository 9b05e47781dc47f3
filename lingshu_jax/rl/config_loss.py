# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Which loss stage 4 minimises: one function with options, of which the known variants are sets.

| variant | objective | ratio    | aggregation | clip        | std | KL | besides              |
|---------|-----------|----------|-------------|-------------|-----|----|----------------------|
| GRPO    | clip      | token    | token       | 0.2, 0.3    | yes | k3 |                      |
| Dr.GRPO | clip      | token    | constant    | 0.2, 0.2    | no  | no |                      |
| DAPO    | clip      | token    | token       | 0.2, 0.28   | yes | no | overlong, refills    |
| GSPO    | clip      | sequence | sequence    | 3e-4, 4e-4  | yes | no |                      |
| CISPO   | cispo     | token    | token       | no floor, 4 | yes | no | overlong, refills    |

`configs/stage4_rl.py` has them by name, with the source of each value.
"""

import dataclasses

from lingshu_jax.common import errors
from lingshu_jax.rl import advantages, losses, weights

KL_PLACES = ("loss", "reward")


@dataclasses.dataclass(kw_only=True)
class LossConfig:
    """Loss and advantages of stage 4; `losses.grpo_loss` and `weights` say what each means.

    Attributes:
      objective: "clip", PPO's surrogate, or "cispo", a clipped weight without gradient.
      ratio: Of new policy over old: of each "token", or of a whole "sequence" (GSPO), or its
        value with the gradient of each token, "sequence_token".
      aggregation: "token", the mean over all tokens of an update; "sequence", the mean of each
        completion's mean; "constant", each completion's sum over `max_new_tokens`.
      overlong_filter: Completions cut at `max_new_tokens` are left out of the loss.
      overlong_buffer: Length of the last part of `max_new_tokens` in which the reward falls from
        0 by 1, see `weights.overlong_penalty`; 0 is no such term.
      clip_low: Lower clip width of the ratio; 1 or more is no floor, under "cispo" alone.
      clip_high: Upper clip width.
      clip_dual: Bound of the loss of bad tokens; not read under "cispo".
      importance_cap: Cap of the weights learner / sampler; 0 switches them off.
      importance_level: Whether such a weight is of each "token" or of a whole "sequence".
      kl_coef: Weight of the KL term; 0 keeps no reference model.
      kl_estimator: "k1", "k2" or "k3", see `losses.KL_ESTIMATORS`.
      kl_in: Whether the term is part of the "loss" or, before advantages, of the "reward".
      scale_by_std: Divides centred rewards by the group's deviation.
      advantage_eps: Added to the deviation.
    """

    objective: str = "clip"
    ratio: str = "token"
    aggregation: str = "token"
    overlong_filter: bool = False
    overlong_buffer: int = 0
    clip_low: float = 0.2
    clip_high: float = 0.3
    clip_dual: float = 3.0
    importance_cap: float = 2.0
    importance_level: str = "token"
    kl_coef: float = 1e-3
    kl_estimator: str = "k3"
    kl_in: str = "loss"
    scale_by_std: bool = True
    advantage_eps: float = advantages.STD_EPS

    @property
    def has_kl_loss(self) -> bool:
        """Whether the loss has a KL term, which needs the reference in every pass."""
        return self.kl_coef > 0 and self.kl_in == "loss"

    def validate(self) -> None:
        """Raises UserError naming the first field that is out of range."""
        for name, allowed in (
            ("objective", tuple(losses.OBJECTIVES)),
            ("ratio", losses.RATIOS),
            ("aggregation", weights.AGGREGATIONS),
            ("importance_level", losses.IMPORTANCE_LEVELS),
            ("kl_estimator", tuple(losses.KL_ESTIMATORS)),
            ("kl_in", KL_PLACES),
        ):
            errors.require_word(f"rl.{name}", getattr(self, name), allowed)
        for name in ("clip_high", "advantage_eps"):
            errors.require(getattr(self, name) > 0, f"rl.{name}", getattr(self, name), "> 0")
        low = self.clip_low
        if self.objective == "clip":
            errors.require(0 < low < 1, "rl.clip_low", low, "in (0, 1) under objective 'clip'")
        errors.require(low >= 0, "rl.clip_low", low, ">= 0")
        errors.require(self.clip_dual > 1, "rl.clip_dual", self.clip_dual, "> 1")
        errors.require(self.kl_coef >= 0, "rl.kl_coef", self.kl_coef, ">= 0")
        cap = self.importance_cap
        errors.require(cap == 0 or cap >= 1, "rl.importance_cap", cap, ">= 1, or 0 for none")
        buffer = self.overlong_buffer
        errors.require(buffer >= 0, "rl.overlong_buffer", buffer, ">= 0")
