# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What stage 4 adds to a stage's config.

A step is one optimizer update, as in the other stages. A rollout batch is sampled and rewarded at
the weights before its first update, and serves one or more of them.
"""

import dataclasses

from lingshu_jax.common import errors, prompts
from lingshu_jax.data import sources as data_sources
from lingshu_jax.engines import vllm_prompts
from lingshu_jax.rl import (
    config_engine,
    config_loss,
    config_monitors,
    config_reward,
    metric_names,
)
from lingshu_jax.stages import config as stage_config


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
      shuffled_probe: Asks them with the images of other questions as well.
    """

    sources: tuple[data_sources.Source, ...] = ()
    every_steps: int = 50
    prompts: int = 0
    samples_per_prompt: int = 4
    greedy: bool = True
    blind_probe: bool = True
    shuffled_probe: bool = True

    def validate(self) -> None:
        """Raises UserError where a field is out of range."""
        for source in self.sources:
            source.validate()
        for name in ("every_steps", "samples_per_prompt"):
            errors.require(getattr(self, name) >= 1, f"rl.eval.{name}", getattr(self, name), ">= 1")
        errors.require(self.prompts >= 0, "rl.eval.prompts", self.prompts, ">= 0")


@dataclasses.dataclass(kw_only=True)
class RLConfig(config_loss.LossConfig):
    """GRPO: its loss, and how prompts become completions.

    Attributes:
      prompts_per_rollout: Prompts that are sampled together, with the same weights.
      prompts_per_update: Prompts of an optimizer update; divides `prompts_per_rollout`.
      rollouts_per_prompt: Completions of each prompt, the group that advantages compare.
      max_prompt_tokens: Longer prompts are dropped and counted.
      max_new_tokens: Longer completions are cut, with finish_reason "length".
      instruction: Asks for the form that the format term pays; stands on a line of its own
        after the question, unless the question holds it already.
      temperature: Of sampling; log-probabilities stay raw.
      generation_rows: Completions decoded together.
      max_refills: Dynamic sampling (DAPO): groups whose rewards are all equal are left out, and as
        many other prompts are sampled, so often at the most; what is then still missing is made
        up of groups that were left out. 0 leaves none out.
      rollouts_ahead: 1 samples the next rollout batch, with the weights before the updates on
        this one, while those are made; 0 samples with the newest weights.
      engine: What samples: "jax", our own on the trainer's devices, or "vllm".
      vllm: How vLLM works.
      reward: Weights of the reward.
      eval: Held-out questions.
      monitors: When the numbers of the run raise an alarm.
      metric_aliases: "verl" or "trl": TensorBoard and Weights & Biases get the metrics by their
        names there as well; "" by ours alone.
    """

    prompts_per_rollout: int
    prompts_per_update: int
    rollouts_per_prompt: int = 16
    max_prompt_tokens: int
    max_new_tokens: int
    instruction: str = prompts.ANSWER_FORMAT
    temperature: float = 1.0
    generation_rows: int
    max_refills: int = 0
    rollouts_ahead: int = 0
    engine: str = config_engine.JAX
    vllm: config_engine.VllmConfig = dataclasses.field(default_factory=config_engine.VllmConfig)
    reward: config_reward.RewardConfig = dataclasses.field(
        default_factory=config_reward.RewardConfig
    )
    eval: EvalConfig = dataclasses.field(default_factory=EvalConfig)
    monitors: config_monitors.MonitorConfig = dataclasses.field(
        default_factory=config_monitors.MonitorConfig
    )
    metric_aliases: str = ""

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
        super().validate()
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
        errors.require(self.temperature > 0, "rl.temperature", self.temperature, "> 0")
        errors.require(self.max_refills >= 0, "rl.max_refills", self.max_refills, ">= 0")
        ahead = self.rollouts_ahead
        errors.require(ahead in (0, 1), "rl.rollouts_ahead", ahead, "0 or 1")
        buffer, longest = self.overlong_buffer, self.max_new_tokens
        errors.require(
            buffer < longest, "rl.overlong_buffer", buffer, f"< rl.max_new_tokens {longest}"
        )
        self.reward.validate()
        self.eval.validate()
        self.monitors.validate()
        self._validate_engine()
        errors.require_word("rl.metric_aliases", self.metric_aliases, ("", *metric_names.ALIASES))

    def _validate_engine(self) -> None:
        errors.require_word("rl.engine", self.engine, config_engine.ENGINES)
        self.vllm.validate(self.engine)
        if self.engine != config_engine.VLLM:
            return
        warm, coldest, hottest = self.temperature, vllm_prompts.COLDEST, vllm_prompts.HOTTEST
        errors.require(
            coldest <= warm <= hottest,
            "rl.temperature",
            warm,
            f"from {coldest} to {hottest} with vLLM",
        )
        rows, group = self.generation_rows, self.rollouts_per_prompt
        errors.require(
            rows >= group,
            "rl.generation_rows",
            rows,
            f">= rl.rollouts_per_prompt {group} with vLLM, which decodes a group together",
        )
        sleeps = self.vllm.can_sleep
        errors.require(
            not (sleeps and self.rollouts_ahead),
            "rl.vllm.can_sleep",
            sleeps,
            "False beside rl.rollouts_ahead 1: vLLM works while the trainer does",
        )


@dataclasses.dataclass(kw_only=True)
class RLStageConfig(stage_config.StageConfig):
    """Stage 4: a stage and its reinforcement learning.

    `steps`, `save_every_steps` and `rl.eval.every_steps` are multiples of the updates of a
    rollout batch; `epochs` counts prompts, and an unfilled last rollout batch is left out.
    `data.rows_per_batch` is the packed rows of one forward and backward pass, of which an update
    makes as many as its completions fill.

    Attributes:
      rl: How prompts are asked, answers rewarded, and the model updated.
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
        means = self.data.normalization
        errors.require(means == "token", "data.normalization", means, "'token': see rl.aggregation")
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
