# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""When the numbers of a run of stage 4 say that something is wrong; see `monitors.py`."""

import dataclasses

from lingshu_jax.common import errors

ALARMS = (
    "format_without_accuracy",
    "length_drift",
    "repetition",
    "duplicates",
    "entropy_collapse",
    "entropy_explosion",
    "ratio_gap",
)


@dataclasses.dataclass(kw_only=True)
class MonitorConfig:
    """Bounds of the monitors. None leaves a bound out.

    A bound "of the baseline" is a factor on the mean over the first `baseline_steps` steps at
    which the measure exists; before these have been seen it finds nothing.

    Attributes:
      patience: Steps in a row out of bounds that raise an alarm. More than the updates of a
        rollout batch, which share their completions: two batches at least.
      baseline_steps: Steps that length, entropy and accuracy are compared with.
      min_format: Form counts as learned from this format reward on; below it
        `format_without_accuracy` is silent.
      min_accuracy: `format_without_accuracy`: least accuracy reward a unit of format reward. The
        runs that were reported to be hacked had form 1 and accuracy 0 (huggingface/open-r1#407,
        om-ai-lab/VLM-R1#173); the worst guesser among several options has more than 5 %.
      min_accuracy_kept: The same of the baseline: hedging and empty forms also show as half of
        the right answers gone. Chance moves a batch of 96 answers by a tenth, not by half.
      length_factor: `length_drift`: the mean length, up or down, and the share of completions
        that end by themselves, down, of the baseline. Reasoning may grow over hundreds of
        steps; three times as long means that what was tuned at the start (the token limit, the
        memory) no longer fits. Falling is what truncation does (hiyouga/EasyR1#40,
        huggingface/open-r1#363).
      max_repetition: `repetition`: largest share of completions that repeat themselves.
      repeated_ngrams: A completion repeats itself if more than this share of its runs of 8
        tokens stood in it before: a loop over its last third. Of 5,685 step-by-step answers of
        GPT-3.5 and GPT-4 to medical questions (Teddy-XiongGZ/MIRAGE) none does; 0.28 is the most.
      max_duplicates: `duplicates`: completions equal to another of their group, of the most
        that could be. Identical samples are what a checkpoint's own sampling settings can give
        (modelscope/ms-swift#5967). Short answers of a sure model are often equal; when nearly
        all are, no group has a contrast to learn from.
      min_entropy: `entropy_collapse`, of the baseline. That it falls fast, until the answers of
        a group are nearly identical, is what DAPO set out from (arXiv:2503.14476, section 3.1);
        the factor is our choice.
      max_entropy: `entropy_explosion`, of the baseline.
      max_logprob_gap: `ratio_gap`: mean |log-probability of the sampler - of the learner|, nats.
        NVIDIA-NeMo/RL asks its own runs for less than 5 % (`token_mult_prob_error` < 1.05, at
        7ea279a) and calls 1 to 2 % and rising a fault; bfloat16 engines come to about 1 %.
      min_effective_share: `ratio_gap`: effective share of the samples under the importance
        weights. verl's guide draws "good" at 0.5 and a warning at 0.3
        (docs/algo/rollout_corr.md at 1dda039).
      stop_on: Alarms that end the run; what they found stays in its metrics.
    """

    patience: int = 10
    baseline_steps: int = 20
    min_format: float = 0.5
    min_accuracy: float | None = 0.05
    min_accuracy_kept: float | None = 0.5
    length_factor: float | None = 3.0
    max_repetition: float | None = 0.2
    repeated_ngrams: float = 0.3
    max_duplicates: float | None = 0.95
    min_entropy: float | None = 0.1
    max_entropy: float | None = 3.0
    max_logprob_gap: float | None = 0.05
    min_effective_share: float | None = 0.5
    stop_on: tuple[str, ...] = ()

    def validate(self) -> None:
        """Raises UserError where a field is out of range."""
        for name in ("patience", "baseline_steps"):
            value = getattr(self, name)
            errors.require(value >= 1, f"rl.monitors.{name}", value, ">= 1")
        for name in (
            *("min_format", "min_accuracy", "min_accuracy_kept", "max_repetition"),
            *("repeated_ngrams", "max_duplicates", "min_entropy", "min_effective_share"),
        ):
            value = getattr(self, name)
            is_good = value is None or 0 <= value <= 1
            errors.require(is_good, f"rl.monitors.{name}", value, "in [0, 1], or None for none")
        for name in ("length_factor", "max_entropy"):
            value = getattr(self, name)
            is_good = value is None or value > 1
            errors.require(is_good, f"rl.monitors.{name}", value, "> 1, or None for none")
        gap = self.max_logprob_gap
        errors.require(
            gap is None or gap > 0, "rl.monitors.max_logprob_gap", gap, "> 0, or None for none"
        )
        unknown = [name for name in self.stop_on if name not in ALARMS]
        errors.require(not unknown, "rl.monitors.stop_on", unknown, f"of {ALARMS}")
