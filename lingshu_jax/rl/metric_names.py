# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What our metrics of stage 4 are called elsewhere, for those who have dashboards there.

Read in the sources: verl-project/verl at 1dda039 (trainer/ppo/metric_utils.py, core_algos.py,
ray_trainer.py and rollout_corr_helper.py, workers/utils/losses.py), huggingface/trl at f2cd577
(trainer/grpo_trainer.py). A name stands here only where the number means the same, to the choice
of the mean; where it does not quite, the comment says how. Elsewhere a name of ours has none.
"""

from collections.abc import Mapping

from lingshu_jax.common import errors

Pairs = tuple[tuple[str, str], ...]

VERL: Pairs = (
    ("reward/total", "critic/score/mean"),
    ("reward/total", "critic/rewards/mean"),  # there less the KL penalty, where it is in the reward
    ("length/mean", "response_length/mean"),
    ("length/max", "response_length/max"),
    ("length/truncated", "response_length/clip_ratio"),
    ("length/prompt", "prompt_length/mean"),
    ("loss", "actor/loss"),
    ("loss/policy", "actor/pg_loss"),
    ("entropy", "actor/entropy"),
    ("kl", "actor/kl_loss"),
    ("clip_fraction", "actor/pg_clipfrac"),  # there without the next
    ("clip_fraction/dual", "actor/pg_clipfrac_lower"),
    ("grad_norm", "actor/grad_norm"),
    ("lr/text", "actor/lr"),  # there all parts have one rate
    ("importance/mean", "rollout_corr/rollout_is_mean"),
    ("importance/effective_share", "rollout_corr/rollout_is_eff_sample_size"),
    ("mfu", "perf/mfu/actor"),
    ("mfu/logprobs", "perf/mfu/actor_infer"),
    ("seconds/reward", "timing_s/reward"),
    ("seconds/logprobs", "timing_s/old_log_prob"),  # the reference's are in it here
    ("seconds/update", "timing_s/update_actor"),
    ("seconds/sync", "timing_s/update_weights"),
    ("seconds/eval", "timing_s/testing"),
    ("seconds/save", "timing_s/save_checkpoint"),
)
TRL: Pairs = (
    ("reward/total", "reward"),
    ("reward/format", "rewards/format/mean"),  # there named after the user's functions
    ("reward/accuracy", "rewards/accuracy/mean"),
    ("groups/zero_variance", "frac_reward_zero_std"),
    ("length/mean", "completions/mean_length"),
    ("length/max", "completions/max_length"),
    ("length/truncated", "completions/clipped_ratio"),
    ("loss/policy", "policy_loss"),
    ("entropy", "entropy"),
    ("kl", "kl"),
    ("clip_fraction", "clip_ratio/region_mean"),
    ("clip_fraction/low", "clip_ratio/low_mean"),
    ("clip_fraction/high", "clip_ratio/high_mean"),
    ("logprob_gap/mean", "sampling/sampling_logp_difference/mean"),
    ("logprob_gap/max", "sampling/sampling_logp_difference/max"),
    ("importance/mean", "sampling/importance_sampling_ratio/mean"),
    ("lr/text", "learning_rate"),
)
ALIASES: Mapping[str, Pairs] = {"verl": VERL, "trl": TRL}


def find(project: str) -> Mapping[str, tuple[str, ...]]:
    """Our name -> the names of a project.

    Args:
      project: A key of `ALIASES`; "" has no names.

    Raises:
      UserError: If it is another.
    """
    if not project:
        return {}
    known = tuple(ALIASES)
    errors.require(project in known, "rl.metric_aliases", project, f"'' or one of {known}")
    names: dict[str, tuple[str, ...]] = {}
    for ours, theirs in ALIASES[project]:
        names[ours] = (*names.get(ours, ()), theirs)
    return names
