# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What stage 4 adds to a stage's config.

A step is one optimizer update, as in the other stages. A rollout batch is sampled and rewarded at
the weights before its first update, and serves one or more of them.
"""

import dataclasses

from lingshu_jax.common import errors, prompts
from lingshu_jax.data import sources as data_sources
from lingshu_jax.rl import advantages
from lingshu_jax.stages import config as stage_config


@dataclasses.dataclass(kw_only=True)
class RewardConfig:
    """Weights of the reward's terms; see `rewards.FormatAccuracy`."""

    format_weight: float = 0.5
    accuracy_weight: float = 1.0
    format_needs_answer: bool = False

    def validate(self) -> None:
        """Raises UserError where a field is out of range."""
        for name in ("format_weight", "accuracy_weight"):
            value = getattr(self, name)
            errors.require(value >= 0, f"rl.reward.{name}", value, ">= 0")


@dataclasses.dataclass(kw_only=True)
class EvalConfig:
    """Held-out verifiable questions, asked while training goes on.

    Attributes:
      sources: Where they come from; none switches evaluation off.
      every_steps: Steps between two evaluations; the first is made before step 1, and one more
        after the last.
      prompts: How many questions; 0 is all of them.
      samples_per_prompt: Completions a question at the training temperature; the accuracy
        term is their mean.
      greedy: Decodes each question greedily as well.
      blind_probe: Asks the same questions with every image greyed out as well.
    """

    sources: tuple[data_sources.Source, ...] = ()
    every_steps: int = 50
    prompts: int = 0
    samples_per_prompt: int = 4
    greedy: bool = True
    blind_probe: bool = True

    def validate(self) -> None:
        """Raises UserError where a field is out of range."""
        for source in self.sources:
            source.validate()
        for name in ("every_steps", "samples_per_prompt"):
            errors.require(getattr(self, name) >= 1, f"rl.eval.{name}", getattr(self, name), ">= 1")
        errors.require(self.prompts >= 0, "rl.eval.prompts", self.prompts, ">= 0")


@dataclasses.dataclass(kw_only=True)
class RLConfig:
    """GRPO.

    Attributes:
      prompts_per_rollout: Prompts of a step.
      prompts_per_update: Prompts of an optimizer update; divides `prompts_per_rollout`.
      rollouts_per_prompt: The group.
      max_prompt_tokens: Longer prompts are dropped and counted.
      max_new_tokens: Longer completions are cut, with finish_reason "length".
      instruction: Asks for the form that the format term pays; stands on a line of its own
        after the question, unless the question holds it already.
      temperature: Of sampling; log-probabilities stay raw.
      kl_coef: Weight of the KL term; 0 keeps no reference model.
      clip_low: Lower clip width of the ratio.
      clip_high: Upper clip width.
      clip_dual: Bound of the loss of bad tokens.
      importance_cap: Cap of the weights learner / sampler; 0 switches them off.
      scale_by_std: Divides centred rewards by the group's deviation.
      advantage_eps: Added to the deviation.
      generation_rows: Completions decoded together.
      reward: Weights of the reward.
      eval: Held-out questions.
    """

    prompts_per_rollout: int
    prompts_per_update: int
    rollouts_per_prompt: int = 16
    max_prompt_tokens: int
    max_new_tokens: int
    instruction: str = prompts.ANSWER_FORMAT
    temperature: float = 1.0
    kl_coef: float = 1e-3
    clip_low: float = 0.2
    clip_high: float = 0.3
    clip_dual: float = 3.0
    importance_cap: float = 2.0
    scale_by_std: bool = True
    advantage_eps: float = advantages.STD_EPS
    generation_rows: int
    reward: RewardConfig = dataclasses.field(default_factory=RewardConfig)
    eval: EvalConfig = dataclasses.field(default_factory=EvalConfig)

    @property
    def updates_per_rollout(self) -> int:
        """Optimizer updates of one step."""
        return self.prompts_per_rollout // self.prompts_per_update

    def total_steps(self, *, steps: int, epochs: int, num_prompts: int) -> int:
        """Optimizer steps of a run.

        Args:
          steps: Of the stage's config; 0 lets `epochs` decide.
          epochs: Passes over the prompts.
          num_prompts: Usable prompts.
        """
        rollouts = max(1, epochs * num_prompts // self.prompts_per_rollout)
        return steps or rollouts * self.updates_per_rollout

    def validate(self) -> None:
        """Raises UserError naming the first field that is out of range."""
        for name in (
            "prompts_per_rollout",
            "prompts_per_update",
            "max_prompt_tokens",
            "max_new_tokens",
            "generation_rows",
        ):
            errors.require(getattr(self, name) >= 1, f"rl.{name}", getattr(self, name), ">= 1")
        errors.require(
            self.prompts_per_rollout % self.prompts_per_update == 0,
            "rl.prompts_per_update",
            self.prompts_per_update,
            f"a divisor of prompts_per_rollout {self.prompts_per_rollout}",
        )
        group = self.rollouts_per_prompt
        errors.require(
            group >= 2, "rl.rollouts_per_prompt", group, ">= 2, advantages compare a group"
        )
        for name in ("temperature", "clip_high", "advantage_eps"):
            errors.require(getattr(self, name) > 0, f"rl.{name}", getattr(self, name), "> 0")
        errors.require(0 < self.clip_low < 1, "rl.clip_low", self.clip_low, "in (0, 1)")
        errors.require(self.clip_dual > 1, "rl.clip_dual", self.clip_dual, "> 1")
        errors.require(self.kl_coef >= 0, "rl.kl_coef", self.kl_coef, ">= 0")
        cap = self.importance_cap
        errors.require(cap == 0 or cap >= 1, "rl.importance_cap", cap, ">= 1, or 0 for none")
        self.reward.validate()
        self.eval.validate()


@dataclasses.dataclass(kw_only=True)
class RLStageConfig(stage_config.StageConfig):
    """Stage 4: a stage and its reinforcement learning.

    `steps`, `save_every_steps` and `rl.eval.every_steps` are multiples of the updates of a
    rollout batch; `epochs` counts prompts, and an unfilled last rollout batch is left out.
    `data.rows_per_batch` is the packed rows of one forward and backward pass, of which an update
    makes as many as its completions fill.
    """

    rl: RLConfig

    def validate(self) -> None:
        """Raises UserError naming the first field that is out of range."""
        super().validate()
        self.rl.validate()
        errors.require(self.stage == "rl", "stage", self.stage, "'rl'")
        errors.require(
            self.accumulation_steps == 1,
            "accumulation_steps",
            self.accumulation_steps,
            "1: an update of stage 4 takes as many passes as its rows fill",
        )
        for name in ("sequences_per_row", "sequences_per_batch"):
            value = getattr(self.data, name)
            errors.require(
                value == 0, f"data.{name}", value, "0: rollouts are packed, counted in rows"
            )
        patches, policy = self.data.patches_per_row, self.data.too_long
        errors.require(
            patches > 0, "data.patches_per_row", patches, "> 0: rollouts have no lengths yet"
        )
        errors.require(
            policy == "drop", "data.too_long", policy, "'drop': prompts are not rewritten"
        )
        every, weight = self.validation.every_steps, self.optim.z_loss
        errors.require(every == 0, "validation.every_steps", every, "0: stage 4 has rl.eval")
        errors.require(weight == 0, "optim.z_loss", weight, "0: it belongs to the cross entropy")
        updates = self.rl.updates_per_rollout
        for name, value in (
            ("steps", self.steps),
            ("save_every_steps", self.save_every_steps),
            ("rl.eval.every_steps", self.rl.eval.every_steps),
        ):
            errors.require(
                value % updates == 0, name, value, f"a multiple of the {updates} updates a rollout"
            )
        longest = self.rl.max_prompt_tokens + self.rl.max_new_tokens
        errors.require(
            longest <= self.data.tokens_per_row,
            "data.tokens_per_row",
            self.data.tokens_per_row,
            f">= rl.max_prompt_tokens + rl.max_new_tokens = {longest}",
        )
