# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The loss of stage 4 as sums over the tokens of packed rows; pure.

One loss with options: GRPO, Dr.GRPO, DAPO, GSPO and CISPO are sets of them (`config_loss`).

Axes: B rows, T tokens. Position t of every array speaks of token t as a target (the model at
t - 1 predicts it), the layout of `loss_weights` in a packed row. Log-probabilities are natural
logarithms under the raw logits. A sequence is what shares a segment id: one completion, be it a
branch of a prompt that several share.

Three log-probabilities are kept apart: `sampler_logprobs` (from the engine), `old_logprobs` (the
learner's own forward at the rollout's weights) and `logprobs` (the learner now).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from lingshu_jax.models import attention_masks

LOG_RATIO_LIMIT = 20.0  # verl, EasyR1: exp of more overflows what a gradient can use
KL_LIMIT = 10.0  # verl, EasyR1
RATIOS = ("token", "sequence", "sequence_token")
IMPORTANCE_LEVELS = ("token", "sequence")


class Clip(NamedTuple):
    """How far the policy may move before its gradient stops.

    Attributes:
      low: Lower clip width of the ratio; 1 or more is no floor.
      high: Upper clip width, > 0; wider than `low` is DAPO's clip-higher (arXiv:2503.14476).
      dual: Bound on `-loss / advantage` where the advantage is negative, > 1 (arXiv:1912.09729).
    """

    low: float
    high: float
    dual: float


class Options(NamedTuple):
    """Constants of the loss.

    Attributes:
      clip: Widths of the objective.
      objective: Name in `OBJECTIVES`.
      ratio: Name in `RATIOS`, see `policy_log_ratio`.
      kl_coef: Weight of the KL term, >= 0.
      kl_estimator: Name in `KL_ESTIMATORS`.
      importance_cap: Cap of the importance weights; None switches them off.
      importance_level: Name in `IMPORTANCE_LEVELS`, see `importance_weights`.
    """

    clip: Clip
    objective: str = "clip"
    ratio: str = "token"
    kl_coef: float = 0.0
    kl_estimator: str = "k3"
    importance_cap: float | None = None
    importance_level: str = "token"


class PolicyLoss(NamedTuple):
    """Sums and extremes, which the caller adds over passes and devices.

    Attributes:
      total: What is minimised: the sum of `terms`.
      terms: `loss/policy` and `loss/kl`, the weighted sums that the loss is made of.
      sums: Named sums over tokens, unweighted; divide by `num_tokens`.
      maxima: Named largest values over tokens; 0 where there is no token.
      num_tokens: Tokens with a weight.
    """

    total: Float[Array, ""]
    terms: dict[str, Float[Array, ""]]
    sums: dict[str, Float[Array, ""]]
    maxima: dict[str, Float[Array, ""]]
    num_tokens: Float[Array, ""]


class Diagnostics(NamedTuple):
    """Named sums over tokens and named maxima; see `PolicyLoss`."""

    sums: dict[str, Float[Array, ""]]
    maxima: dict[str, Float[Array, ""]]


def masked_log_ratio(
    numerator: Float[Array, "B T"],
    denominator: Float[Array, "B T"],
    mask: Bool[Array, "B T"],
) -> Float[Array, "B T"]:
    """Difference of log-probabilities, limited to +-20, and 0 outside the mask.

    The mask is applied before anything is exponentiated: a wild number at a padding token would
    give `inf * 0`, which is NaN, in the value or in the gradient.
    """
    difference = jnp.where(mask, numerator, 0.0) - jnp.where(mask, denominator, 0.0)
    return jnp.clip(difference, -LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)


def sequence_sum(
    values: Float[Array, "B T"], segment_ids: Int[Array, "B T"]
) -> Float[Array, "B T"]:
    """At each token the sum over all tokens of its sequence.

    Args:
      values: 0 where a token is not to count.
      segment_ids: Of packed rows; the tokens of an id, which may be a branch, lie side by side.
    """
    place = jnp.cumsum(attention_masks.starts(segment_ids), axis=1) - 1

    def one_row(row: Float[Array, " T"], run: Int[Array, " T"]) -> Float[Array, " T"]:
        sums = jax.ops.segment_sum(row, run, num_segments=len(row), indices_are_sorted=True)
        return sums[run]

    return jax.vmap(one_row)(values, place)


def kl_k1(
    logprobs: Float[Array, "B T"],
    ref_logprobs: Float[Array, "B T"],
    mask: Bool[Array, "B T"],
) -> Float[Array, "B T"]:
    """Estimate k1 of KL(policy || reference) per token: `logprobs - ref_logprobs`.

    Unbiased; negative for some tokens. Its gradient is `grad logprobs` whatever the reference,
    which is 0 in expectation over the policy: in the loss it adds noise and pulls nowhere, in the
    reward it is the estimator of PPO and EasyR1.

    Source: J. Schulman, Approximating KL Divergence (2020), http://joschu.net/blog/kl-approx.html,
    k1; the gradients of all three as verl's `kl_penalty` documents them. Differs: limited to +-20.
    """
    return masked_log_ratio(logprobs, ref_logprobs, mask)


def kl_k2(
    logprobs: Float[Array, "B T"],
    ref_logprobs: Float[Array, "B T"],
    mask: Bool[Array, "B T"],
) -> Float[Array, "B T"]:
    """Estimate k2 of KL(policy || reference) per token: half the squared log ratio.

    Biased by third order; never negative. Its gradient, `(logprobs - ref_logprobs) grad logprobs`,
    is in expectation over the policy the gradient of KL(policy || reference): in the loss it is
    the one that descends the KL itself.

    Source: as `kl_k1`, k2.
    """
    return 0.5 * masked_log_ratio(logprobs, ref_logprobs, mask) ** 2


def kl_k3(
    logprobs: Float[Array, "B T"],
    ref_logprobs: Float[Array, "B T"],
    mask: Bool[Array, "B T"],
) -> Float[Array, "B T"]:
    """Estimate k3 of KL(policy || reference) per token.

        d = ref_logprobs - logprobs,  k3 = exp(d) - d - 1

    Unbiased; never negative. Its gradient, `(1 - exp(d)) grad logprobs`, is in expectation over
    the policy the gradient of the other direction, KL(reference || policy); near the reference
    the two agree to first order.

    Args:
      logprobs: log p of each token under the policy in training; the gradient flows.
      ref_logprobs: The same under the reference model.
      mask: True on completion tokens; elsewhere the result is 0.

    Returns:
      The estimate, limited to 10.

    Source: as `kl_k1`, k3, and arXiv:2402.03300, eq. 4; limits as in verl and EasyR1
    (`low_var_kl`).
    """
    d = masked_log_ratio(ref_logprobs, logprobs, mask)
    return jnp.minimum(jnp.exp(d) - d - 1.0, KL_LIMIT)


KL_ESTIMATORS = {"k1": kl_k1, "k2": kl_k2, "k3": kl_k3}


def policy_log_ratio(
    logprobs: Float[Array, "B T"],
    old_logprobs: Float[Array, "B T"],
    mask: Bool[Array, "B T"],
    *,
    level: str,
    segment_ids: Int[Array, "B T"],
) -> Float[Array, "B T"]:
    """Logarithm of new policy over old, 0 outside the mask.

        token            l_t = logprobs_t - old_logprobs_t
        sequence         s = mean of l_t over the sequence, at each of its tokens
        sequence_token   stop(s) + logprobs_t - stop(logprobs_t)

    The last has the value of `sequence` and a gradient of its own at each token, for weights or
    advantages that differ inside a sequence.

    Args:
      logprobs: Under the policy in training; the gradient flows.
      old_logprobs: Under the learner at the rollout's weights.
      mask: True on completion tokens.
      level: Which of the three.
      segment_ids: Of the packed rows.

    Source: arXiv:2507.18071, eq. 7 and 14.
    """
    each = masked_log_ratio(logprobs, old_logprobs, mask)
    if level == "token":
        return each
    lengths = sequence_sum(mask.astype(jnp.float32), segment_ids)
    mean = sequence_sum(each, segment_ids) / jnp.maximum(lengths, 1.0)
    if level == "sequence_token":
        new = jnp.where(mask, logprobs, 0.0)
        mean = jax.lax.stop_gradient(mean) + (new - jax.lax.stop_gradient(new))
    return jnp.where(mask, mean, 0.0)


def importance_weights(
    old_logprobs: Float[Array, "B T"],
    sampler_logprobs: Float[Array, "B T"],
    mask: Bool[Array, "B T"],
    *,
    cap: float,
    level: str = "token",
    segment_ids: Int[Array, "B T"] | None = None,
) -> Float[Array, "B T"]:
    """Truncated importance weights of the learner over the sampler; no gradient flows.

        w = min(exp(old_logprobs - sampler_logprobs), cap)

    Args:
      old_logprobs: The learner's own, at the weights that sampled.
      sampler_logprobs: What the engine reported while sampling.
      mask: True on completion tokens; elsewhere the weight is 1.
      cap: Upper bound, >= 1. Infinity leaves the weights whole.
      level: "token", or "sequence" for the product over a sequence at each of its tokens.
      segment_ids: Of the packed rows; read where the level is "sequence".

    Returns:
      Weights in (0, cap].

    Source: truncated importance sampling of F. Yao et al., Your Efficient RL Framework Secretly
    Brings You Off-Policy RL Training (2025), https://fengyao.notion.site/off-policy-rl, as in
    verl's rollout correction; the levels are `token_truncate` and `sequence_truncate` of TRL.
    """
    log_ratio = masked_log_ratio(old_logprobs, sampler_logprobs, mask)
    if level == "sequence":
        assert segment_ids is not None, "a weight of a sequence needs segment_ids"
        whole = jnp.where(mask, sequence_sum(log_ratio, segment_ids), 0.0)
        log_ratio = jnp.clip(whole, -LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
    return jax.lax.stop_gradient(jnp.minimum(jnp.exp(log_ratio), cap))


def clipped_objective(
    logprobs: Float[Array, "B T"],
    ratio: Float[Array, "B T"],
    advantages: Float[Array, "B T"],
    *,
    clip: Clip,
) -> Float[Array, "B T"]:
    """PPO's clipped surrogate with a second clip for bad tokens, as a loss.

        loss = max(-ratio A, -clip(ratio, 1 - low, 1 + high) A)
        loss = min(loss, -dual A)   where A < 0

    Args:
      logprobs: Not read; the gradient flows through the ratio.
      ratio: New policy over old, per token.
      advantages: Per token; 0 gives a loss of 0.
      clip: The three widths.

    Returns:
      Loss of each token.

    Source: arXiv:1707.06347, eq. 7; the second clip arXiv:1912.09729.
    """
    del logprobs
    clipped = jnp.clip(ratio, 1.0 - clip.low, 1.0 + clip.high)
    loss = jnp.maximum(-ratio * advantages, -clipped * advantages)
    return jnp.where(advantages < 0, jnp.minimum(loss, -clip.dual * advantages), loss)


def cispo_objective(
    logprobs: Float[Array, "B T"],
    ratio: Float[Array, "B T"],
    advantages: Float[Array, "B T"],
    *,
    clip: Clip,
) -> Float[Array, "B T"]:
    """REINFORCE with a clipped importance weight, which carries no gradient, as a loss.

        loss = -stop(clip(ratio, 1 - low, 1 + high)) A logprobs

    A token whose weight is clipped still learns; under `clipped_objective` it would not.

    Args:
      logprobs: Under the policy in training, finite; the gradient flows.
      ratio: New policy over old, per token.
      advantages: Per token; 0 gives a loss of 0.
      clip: Its `dual` is not read.

    Returns:
      Loss of each token.

    Source: arXiv:2506.13585, eq. 4 and 5.
    """
    clipped = jnp.clip(ratio, 1.0 - clip.low, 1.0 + clip.high)
    return -jax.lax.stop_gradient(clipped) * advantages * logprobs


OBJECTIVES = {"clip": clipped_objective, "cispo": cispo_objective}


def grpo_loss(
    logprobs: Float[Array, "B T"],
    old_logprobs: Float[Array, "B T"],
    sampler_logprobs: Float[Array, "B T"],
    *,
    ref_logprobs: Float[Array, "B T"] | None,
    advantages: Float[Array, "B T"],
    loss_weights: Float[Array, "B T"],
    segment_ids: Int[Array, "B T"],
    options: Options,
) -> PolicyLoss:
    """The loss of some rows of an update, with named terms.

        loss/policy = sum_t weight_t w_t objective(logprobs_t, ratio_t, A_t)
        loss/kl     = sum_t weight_t kl_coef kl_t

    The weights hold the division (`weights.completion_weights`): the loss of an update is the sum
    over its rows, however they are spread over passes and devices.

    Args:
      logprobs: Under the policy in training; the gradient flows.
      old_logprobs: Under the learner at the rollout's weights; no gradient flows.
      sampler_logprobs: Under the engine that sampled; no gradient flows.
      ref_logprobs: Under the reference model; None leaves the KL term out (`kl_coef` is 0).
      advantages: Per token, the completion's advantage repeated.
      loss_weights: > 0 on completion tokens (with the stop token), 0 elsewhere.
      segment_ids: Of the packed rows.
      options: Constants.

    Returns:
      Sums for the loss, and diagnostics of ratio, clipping, KL and the sampler's gap.

    Raises:
      ValueError: If `kl_coef` is positive and `ref_logprobs` is missing.

    Source: arXiv:2402.03300, eq. 3, and what `config_loss` names. Differs: clip-higher and dual
    clip as in EasyR1; importance weights of learner over sampler.
    """
    if options.kl_coef > 0 and ref_logprobs is None:
        raise ValueError(f"kl_coef is {options.kl_coef}, which needs ref_logprobs; got None")
    mask = loss_weights > 0
    old_logprobs = jax.lax.stop_gradient(old_logprobs)
    # What is outside the mask may be anything: it must not meet a product.
    logprobs, advantages = jnp.where(mask, logprobs, 0.0), jnp.where(mask, advantages, 0.0)
    ratio = jnp.exp(
        policy_log_ratio(logprobs, old_logprobs, mask, level=options.ratio, segment_ids=segment_ids)
    )
    objective = OBJECTIVES[options.objective](logprobs, ratio, advantages, clip=options.clip)
    importance = importance_weights(
        old_logprobs,
        sampler_logprobs,
        mask,
        cap=jnp.inf,
        level=options.importance_level,
        segment_ids=segment_ids,
    )
    if options.importance_cap is not None:
        objective *= jnp.minimum(importance, options.importance_cap)
    kl = jnp.zeros_like(logprobs)
    if ref_logprobs is not None:
        estimate = KL_ESTIMATORS[options.kl_estimator]
        kl = estimate(logprobs, jax.lax.stop_gradient(ref_logprobs), mask)
    terms = {
        "loss/policy": jnp.sum(loss_weights * objective),
        "loss/kl": options.kl_coef * jnp.sum(loss_weights * kl),
    }
    moved = ratio_diagnostics(ratio, advantages, mask=mask, options=options)
    gap = jnp.where(mask, jnp.abs(old_logprobs - sampler_logprobs), 0.0)
    apart = gap_diagnostics(gap, importance, mask=mask, cap=options.importance_cap)
    return PolicyLoss(
        total=terms["loss/policy"] + terms["loss/kl"],
        terms=terms,
        sums=moved.sums | apart.sums | {"kl": jnp.sum(kl)},
        maxima=moved.maxima | apart.maxima,
        num_tokens=jnp.sum(mask.astype(jnp.float32)),
    )


def ratio_diagnostics(
    ratio: Float[Array, "B T"],
    advantages: Float[Array, "B T"],
    *,
    mask: Bool[Array, "B T"],
    options: Options,
) -> Diagnostics:
    """How far the new policy is from the old one, and what clipping stopped.

    Args:
      ratio: New over old; 1 outside the mask.
      advantages: Per token.
      mask: True on completion tokens.
      options: Of the loss. Under "clip" a token counts as clipped where its gradient is cut,
        under "cispo" where its weight is.

    Returns:
      Sums `ratio/mean`, `clip_fraction`, `clip_fraction/low|high|dual`; maximum `ratio/max`
      and `ratio/max_deviation` (of `|ratio - 1|`).
    """
    ratio, clip = jax.lax.stop_gradient(ratio), options.clip
    high, low = mask & (ratio > 1.0 + clip.high), mask & (ratio < 1.0 - clip.low)
    dual = jnp.zeros_like(mask)
    if options.objective == "clip":
        high, low = high & (advantages > 0), low & (advantages < 0)
        dual = mask & (advantages < 0) & (ratio > clip.dual)
    counts = {"high": high, "low": low, "dual": dual}
    sums = {f"clip_fraction/{k}": jnp.sum(hit, dtype=jnp.float32) for k, hit in counts.items()}
    sums["clip_fraction"] = jnp.sum(high | low | dual, dtype=jnp.float32)
    sums["ratio/mean"] = jnp.sum(jnp.where(mask, ratio, 0.0))
    maxima = {
        "ratio/max": jnp.max(jnp.where(mask, ratio, 0.0)),
        "ratio/max_deviation": jnp.max(jnp.abs(ratio - 1.0)),
    }
    return Diagnostics(sums, maxima)


def gap_diagnostics(
    gap: Float[Array, "B T"],
    importance: Float[Array, "B T"],
    *,
    mask: Bool[Array, "B T"],
    cap: float | None,
) -> Diagnostics:
    """How far the sampler is from the learner at the same weights.

    Args:
      gap: Absolute difference of their log-probabilities, 0 outside the mask.
      importance: Their importance weights, whole.
      mask: True on completion tokens.
      cap: Truncation of the importance weights; None counts none as truncated.

    Returns:
      Sums `logprob_gap/mean` (nats), `importance/mean`, `importance/truncated`, and
      `importance/square`, from which `effective_share` is made; maximum `logprob_gap/max`.
    """
    capped = importance if cap is None else jnp.minimum(importance, cap)
    truncated = mask & (importance > capped)
    sums = {
        "logprob_gap/mean": jnp.sum(gap),
        "importance/mean": jnp.sum(jnp.where(mask, capped, 0.0)),
        "importance/square": jnp.sum(jnp.where(mask, capped**2, 0.0)),
        "importance/truncated": jnp.sum(truncated, dtype=jnp.float32),
    }
    return jax.lax.stop_gradient(Diagnostics(sums, {"logprob_gap/max": jnp.max(gap)}))


def divide(total: Float[Array, ""], weight: Float[Array, ""]) -> Float[Array, ""]:
    """`total / weight`, and 0 where the weight is 0; gradients stay finite."""
    safe = jnp.where(weight > 0, weight, 1.0)
    return jnp.where(weight > 0, total / safe, 0.0)
