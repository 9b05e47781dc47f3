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
    """Per target: log p of its token, and the entropy of the distribution it came from, nats."""

    logprobs: Float[Array, " X"]
    entropies: Float[Array, " X"]


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
) -> TokenLogprobs:
    """log softmax(hidden head)[labels] and its entropy, a chunk of targets at a time.

        logits = hidden head;  log Z = logsumexp(logits)
        logprob = logits[label] - log Z;  entropy = -sum_v p_v log p_v

    Args:
      hidden: Normalised hidden states, in the compute dtype.
      head: Output head, in the compute dtype; products accumulate in float32.
      labels: Target token ids.
      chunk_tokens: Logits of this many targets are alive at a time, forward and backward.

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
        return chosen - log_z, -jnp.sum(jnp.exp(all_logprobs) * all_logprobs, axis=-1)

    logprobs, entropies = jax.lax.map(lambda xs: one_chunk(*xs), (hidden, labels))
    return TokenLogprobs(logprobs.reshape(-1)[:targets], entropies.reshape(-1)[:targets])


def token_logprobs(
    hidden: Float[Array, "B T D"], head: Float[Array, "D V"], tokens: Int[Array, "B T"]
) -> tuple[Float[Array, "B T"], Float[Array, "B T"]]:
    """log p of every token given those before it, and the entropy of that prediction.

    Token t is predicted from hidden state t - 1; token 0 has no prediction and gets 0.
    A segment's first token is predicted from another segment: its weight must be 0.

    Args:
      hidden: Normalised hidden states of packed rows.
      head: Output head.
      tokens: Token ids of the same rows.

    Returns:
      Log-probabilities and entropies, float32, at the target's place.
    """
    rows, length, width = hidden.shape
    flat = chunked_logprobs(hidden[:, :-1].reshape(-1, width), head, tokens[:, 1:].reshape(-1))
    shape = (rows, length - 1)
    first = ((0, 0), (1, 0))
    return (
        jnp.pad(flat.logprobs.reshape(shape), first),
        jnp.pad(flat.entropies.reshape(shape), first),
    )


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
