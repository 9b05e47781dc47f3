# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The GRPO loss as sums over the tokens of packed rows; pure.

Axes: B rows, T tokens. Position t of every array speaks of token t as a target (the model at
t - 1 predicts it), the layout of `loss_weights` in a packed row. Log-probabilities are natural
logarithms under the raw logits.

Three are kept apart: `sampler_logprobs` (from the engine), `old_logprobs` (the learner's own
forward at the rollout's weights) and `logprobs` (the learner now).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

LOG_RATIO_LIMIT = 20.0  # verl, EasyR1: exp of more overflows what a gradient can use
KL_LIMIT = 10.0  # verl, EasyR1


class Clip(NamedTuple):
    """How far the policy may move before its gradient stops.

    Attributes:
      low: Lower clip width of the ratio, in (0, 1).
      high: Upper clip width, > 0; wider than `low` is DAPO's clip-higher (arXiv:2503.14476).
      dual: Bound on `-loss / advantage` where the advantage is negative, > 1 (arXiv:1912.09729).
    """

    low: float
    high: float
    dual: float


class PolicyLoss(NamedTuple):
    """Weighted sums and extremes; the caller adds over devices and divides once.

    Attributes:
      total: Sum over tokens of `loss_weights * (policy + kl_coef * kl)`; what is minimised.
      weight: Sum of `loss_weights`: the denominator of `total`.
      sums: Named sums over tokens, unweighted; divide by `num_tokens`.
      maxima: Named largest values over tokens; 0 where there is no token.
      num_tokens: Tokens with a weight.
    """

    total: Float[Array, ""]
    weight: Float[Array, ""]
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
    difference = jnp.where(mask, numerator - denominator, 0.0)
    return jnp.clip(difference, -LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)


def kl_k3(
    logprobs: Float[Array, "B T"],
    ref_logprobs: Float[Array, "B T"],
    mask: Bool[Array, "B T"],
) -> Float[Array, "B T"]:
    """Estimate of KL(policy || reference) per token; never negative.

        d = ref_logprobs - logprobs,  k3 = exp(d) - d - 1

    Args:
      logprobs: log p of each token under the policy in training; the gradient flows.
      ref_logprobs: The same under the reference model.
      mask: True on completion tokens; elsewhere the result is 0.

    Returns:
      The estimate, limited to 10.

    Source: arXiv:2402.03300, eq. 4; limits as in verl and EasyR1 (`low_var_kl`).
    """
    d = masked_log_ratio(ref_logprobs, logprobs, mask)
    return jnp.minimum(jnp.exp(d) - d - 1.0, KL_LIMIT)


def importance_weights(
    old_logprobs: Float[Array, "B T"],
    sampler_logprobs: Float[Array, "B T"],
    mask: Bool[Array, "B T"],
    *,
    cap: float,
) -> Float[Array, "B T"]:
    """Truncated importance weights of the learner over the sampler; no gradient flows.

        w = min(exp(old_logprobs - sampler_logprobs), cap)

    Args:
      old_logprobs: The learner's own, at the weights that sampled.
      sampler_logprobs: What the engine reported while sampling.
      mask: True on completion tokens; elsewhere the weight is 1.
      cap: Upper bound, >= 1. Infinity leaves the weights whole.

    Returns:
      Weights in (0, cap].

    Source: truncated importance sampling per token, as in verl's rollout correction.
    """
    log_ratio = masked_log_ratio(old_logprobs, sampler_logprobs, mask)
    return jax.lax.stop_gradient(jnp.minimum(jnp.exp(log_ratio), cap))


def clipped_objective(
    ratio: Float[Array, "B T"], advantages: Float[Array, "B T"], *, clip: Clip
) -> Float[Array, "B T"]:
    """PPO's clipped surrogate with a second clip for bad tokens, as a loss.

        loss = max(-ratio A, -clip(ratio, 1 - low, 1 + high) A)
        loss = min(loss, -dual A)   where A < 0

    Args:
      ratio: New policy over old, per token.
      advantages: Per token; 0 gives a loss of 0.
      clip: The three widths.

    Returns:
      Loss of each token.

    Source: arXiv:1707.06347, eq. 7; arXiv:1912.09729, eq. 5.
    """
    clipped = jnp.clip(ratio, 1.0 - clip.low, 1.0 + clip.high)
    loss = jnp.maximum(-ratio * advantages, -clipped * advantages)
    return jnp.where(advantages < 0, jnp.minimum(loss, -clip.dual * advantages), loss)


def grpo_loss(
    logprobs: Float[Array, "B T"],
    old_logprobs: Float[Array, "B T"],
    sampler_logprobs: Float[Array, "B T"],
    *,
    ref_logprobs: Float[Array, "B T"] | None,
    advantages: Float[Array, "B T"],
    loss_weights: Float[Array, "B T"],
    clip: Clip,
    kl_coef: float,
    importance_cap: float | None,
) -> PolicyLoss:
    """GRPO with named terms, as sums.

        ratio = exp(logprobs - old_logprobs)
        total = sum_t weight_t (w_t clipped_objective(ratio_t, A_t) + kl_coef k3_t)
        loss  = total / sum_t weight_t

    Weights of 1 on every completion token make it a token mean; weights of 1 / length make it
    the mean of per-sequence means. The division is left to the caller, over all devices and
    micro-batches at once; with no valid token both sums are 0 and `divide` gives 0.

    Args:
      logprobs: Under the policy in training; the gradient flows.
      old_logprobs: Under the learner at the rollout's weights; no gradient flows.
      sampler_logprobs: Under the engine that sampled; no gradient flows.
      ref_logprobs: Under the reference model; None leaves the KL term out (`kl_coef` is 0).
      advantages: Per token, the completion's advantage repeated.
      loss_weights: > 0 on completion tokens (with the stop token), 0 elsewhere.
      clip: Widths of the clipped objective.
      kl_coef: Weight of the KL term, >= 0.
      importance_cap: Cap of the importance weights; None switches them off.

    Returns:
      Sums for the loss, and diagnostics of ratio, clipping, KL and the sampler's gap.

    Raises:
      ValueError: If `kl_coef` is positive and `ref_logprobs` is missing.

    Source: arXiv:2402.03300, eq. 3. Differs: the caller may choose a token mean (the default
    of the stage, arXiv:2503.14476 and EasyR1) where the equation has a mean of sequence means;
    clip-higher and dual clip as in EasyR1; importance weights of learner over sampler.
    """
    if kl_coef > 0 and ref_logprobs is None:
        raise ValueError(f"kl_coef is {kl_coef}, which needs ref_logprobs; got None")
    mask = loss_weights > 0
    old_logprobs = jax.lax.stop_gradient(old_logprobs)
    log_ratio = masked_log_ratio(logprobs, old_logprobs, mask)
    ratio = jnp.exp(log_ratio)
    objective = clipped_objective(ratio, jnp.where(mask, advantages, 0.0), clip=clip)
    if importance_cap is not None:
        cap = importance_cap
        objective *= importance_weights(old_logprobs, sampler_logprobs, mask, cap=cap)
    kl = jnp.zeros_like(logprobs)
    if ref_logprobs is not None:
        kl = kl_k3(logprobs, jax.lax.stop_gradient(ref_logprobs), mask)
    sums, maxima = ratio_diagnostics(ratio, advantages, mask=mask, clip=clip)
    gap_sums, gap_maxima = gap_diagnostics(
        old_logprobs, sampler_logprobs, mask=mask, cap=importance_cap
    )
    sums |= gap_sums | {"policy": jnp.sum(objective), "kl": jnp.sum(kl)}
    return PolicyLoss(
        total=jnp.sum(loss_weights * (objective + kl_coef * kl)),
        weight=jnp.sum(loss_weights),
        sums=sums,
        maxima=maxima | gap_maxima,
        num_tokens=jnp.sum(mask.astype(jnp.float32)),
    )


def ratio_diagnostics(
    ratio: Float[Array, "B T"],
    advantages: Float[Array, "B T"],
    *,
    mask: Bool[Array, "B T"],
    clip: Clip,
) -> Diagnostics:
    """How far the new policy is from the old one, and what clipping stopped.

    Args:
      ratio: New over old; 1 outside the mask.
      advantages: Per token.
      mask: True on completion tokens.
      clip: Widths; a token counts as clipped where its gradient is cut.

    Returns:
      Sums `ratio/mean`, `clip_fraction`, `clip_fraction/low|high|dual`; maximum `ratio/max`
      and `ratio/max_deviation` (of `|ratio - 1|`).
    """
    ratio = jax.lax.stop_gradient(ratio)
    high = mask & (advantages > 0) & (ratio > 1.0 + clip.high)
    low = mask & (advantages < 0) & (ratio < 1.0 - clip.low)
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
    old_logprobs: Float[Array, "B T"],
    sampler_logprobs: Float[Array, "B T"],
    *,
    mask: Bool[Array, "B T"],
    cap: float | None,
) -> Diagnostics:
    """How far the sampler is from the learner at the same weights.

    Args:
      old_logprobs: The learner's own, at the weights that sampled.
      sampler_logprobs: What the engine reported.
      mask: True on completion tokens.
      cap: Truncation of the importance weights; None counts none as truncated.

    Returns:
      Sums `logprob_gap/mean` (of the absolute difference, nats), `importance/mean`,
      `importance/truncated`, and `importance/square`, from which `effective_share` is made;
      maximum `logprob_gap/max`.
    """
    gap = jnp.where(mask, jnp.abs(old_logprobs - sampler_logprobs), 0.0)
    weights = importance_weights(old_logprobs, sampler_logprobs, mask, cap=jnp.inf)
    capped = weights if cap is None else jnp.minimum(weights, cap)
    truncated = mask & (weights > capped)
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
