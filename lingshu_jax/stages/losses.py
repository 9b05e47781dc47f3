# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Losses over packed rows, without ever holding all logits.

Axes: B rows, T tokens, D width, V vocabulary, X targets of all rows.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

CHUNK_TOKENS = 1024


class TokenLogprobs(NamedTuple):
    """Of every target, in nats.

    Attributes:
      logprobs: log p of its token.
      entropies: Of the distribution it came from.
      log_z: Logarithm of the sum that the distribution was divided by.
    """

    logprobs: Float[Array, "*X"]
    entropies: Float[Array, "*X"]
    log_z: Float[Array, "*X"]


class WeightedSum(NamedTuple):
    """A sum and the weight it is to be divided by, once, after all devices and micro-batches."""

    total: Float[Array, ""]
    weight: Float[Array, ""]

    def mean(self) -> Float[Array, ""]:
        """total / weight; 0 where there is no weight."""
        return jnp.where(self.weight > 0, self.total / jnp.maximum(self.weight, 1e-20), 0.0)


def chunked_logprobs(
    hidden: Float[Array, "X D"],
    head: Float[Array, "D V"],
    labels: Int[Array, " X"],
    *,
    chunk_tokens: int = CHUNK_TOKENS,
    differentiate_log_z: bool = False,
) -> TokenLogprobs:
    """log softmax(hidden head)[labels], entropy and log Z, a chunk of targets at a time.

        logits = hidden head;  log Z = logsumexp(logits)
        logprob = logits[label] - log Z;  entropy = -sum_v p_v log p_v

    Args:
      hidden: Normalised hidden states, in the compute dtype.
      head: Output head, in the compute dtype; products accumulate in float32.
      labels: Target token ids.
      chunk_tokens: Logits of this many targets are alive at a time, forward and backward.
      differentiate_log_z: Lets a gradient flow through the returned log Z; without one the
        backward pass has nothing to do for it.

    Returns:
      float32 values for each target.
    """
    targets, width = hidden.shape
    chunk = min(chunk_tokens, targets)
    padding = -targets % chunk
    hidden = jnp.pad(hidden, ((0, padding), (0, 0))).reshape(-1, chunk, width)
    labels = jnp.pad(labels, (0, padding)).reshape(-1, chunk)

    @jax.checkpoint
    def one_chunk(hidden, labels):
        logits = jnp.einsum("XD,DV->XV", hidden, head, preferred_element_type=jnp.float32)
        log_z = jax.nn.logsumexp(logits, axis=-1)
        chosen = jnp.take_along_axis(logits, labels[:, None], axis=-1)[:, 0]
        all_logprobs = logits - log_z[:, None]
        entropies = -jnp.sum(jnp.exp(all_logprobs) * all_logprobs, axis=-1)
        given = log_z if differentiate_log_z else jax.lax.stop_gradient(log_z)
        return TokenLogprobs(chosen - log_z, entropies, given)

    chunks = jax.lax.map(lambda xs: one_chunk(*xs), (hidden, labels))
    return TokenLogprobs(*(values.reshape(-1)[:targets] for values in chunks))


def token_logprobs(
    hidden: Float[Array, "B T D"],
    head: Float[Array, "D V"],
    tokens: Int[Array, "B T"],
    *,
    differentiate_log_z: bool = False,
) -> TokenLogprobs:
    """log p of every token given those before it; entropy and log Z of that prediction.

    Token t is predicted from hidden state t - 1; token 0 has no prediction and gets 0.
    A segment's first token is predicted from another segment: its weight must be 0.

    Args:
      hidden: Normalised hidden states of packed rows.
      head: Output head.
      tokens: Token ids of the same rows.
      differentiate_log_z: As in `chunked_logprobs`.

    Returns:
      float32 arrays of B rows of T, at the target's place.
    """
    rows, length, width = hidden.shape
    flat = chunked_logprobs(
        hidden[:, :-1].reshape(-1, width),
        head,
        tokens[:, 1:].reshape(-1),
        differentiate_log_z=differentiate_log_z,
    )
    shape, first = (rows, length - 1), ((0, 0), (1, 0))
    return TokenLogprobs(*(jnp.pad(values.reshape(shape), first) for values in flat))


def next_token_loss(
    logprobs: Float[Array, "B T"], loss_weights: Float[Array, "B T"]
) -> WeightedSum:
    """Weighted negative log-likelihood, as a sum and its weight.

        total = sum_t -w_t log p_t;  weight = sum_t w_t

    With w = 1 the mean is over trained tokens; with w = 1 / (trained tokens of the
    sequence) it is the mean of per-sequence means. The data layer sets w.

    Args:
      logprobs: From `token_logprobs`.
      loss_weights: Weight of each token as a target, >= 0.
    """
    return WeightedSum(-jnp.sum(loss_weights * logprobs), jnp.sum(loss_weights))


def z_penalty(log_z: Float[Array, "B T"], loss_weights: Float[Array, "B T"]) -> WeightedSum:
    """Weighted square of log Z, which keeps the logits from drifting; a sum and its weight.

        total = sum_t w_t (log Z_t)^2;  weight = sum_t w_t

    Cross entropy does not change when all logits of a target grow alike, log Z does. The weights
    are those of the loss, so that both have one denominator.

    Args:
      log_z: From `token_logprobs`, differentiated.
      loss_weights: Weight of each token as a target, >= 0.

    Source: arXiv:2204.02311, 5 (coefficient 1e-4 there).
    """
    return WeightedSum(jnp.sum(loss_weights * jnp.square(log_z)), jnp.sum(loss_weights))
