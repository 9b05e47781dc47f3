# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Prefill and decode: tokens in, tokens out, with the sampling policy's own log-probabilities.

Axes: B requests (a request's samples stand side by side), T prompt tokens, N new tokens,
V vocabulary.
"""

import functools
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Integer

from lingshu_jax.common import structs
from lingshu_jax.models import layers, qwen2_5_vl, text


@flax.struct.dataclass
class Sampling:
    """How each row is decoded.

    Attributes:
      temperature: 0 is greedy (plain argmax); else logits are divided by it.
      seeds: Fixes a row's draws, whatever else is in the batch.
      max_new_tokens: Where a row ends at the latest.
    """

    temperature: Float[Array, " B"]
    seeds: Integer[Array, " B"]
    max_new_tokens: Int[Array, " B"]


class Generated(NamedTuple):
    """What came out.

    Attributes:
      tokens: New tokens, the stop token included; padding after `lengths` is 0.
      logprobs: log p of each under the raw logits (no temperature), nats. Padding 0.
      lengths: New tokens of each row.
      stopped: Whether a row ended with a stop token.
    """

    tokens: Int[Array, "B N"]
    logprobs: Float[Array, "B N"]
    lengths: Int[Array, " B"]
    stopped: Bool[Array, " B"]


@functools.partial(jax.jit, static_argnames=("model", "samples", "capacity", "stop_ids"))
def generate(
    params: layers.Params,
    batch: structs.Batch,
    next_positions: Int[Array, " R"],
    sampling: Sampling,
    *,
    model: qwen2_5_vl.Qwen2_5_VL,
    samples: int,
    capacity: int,
    stop_ids: tuple[int, ...],
) -> Generated:
    """Decodes `samples` continuations of every prompt; one prefill and one vision pass each.

    Args:
      params: The model's parameters.
      batch: One left-aligned prompt a row, R rows.
      next_positions: Rotary position of the first new token of each prompt.
      sampling: For all R * samples rows, a prompt's samples side by side.
      model: The model; static.
      samples: Continuations a prompt.
      capacity: N, the longest continuation that fits the compiled program.
      stop_ids: Tokens that end a row.

    Returns:
      R * samples rows.
    """
    hidden, cache = qwen2_5_vl.apply(model, params, batch, method=model.prefill)
    last = jnp.take_along_axis(hidden, (cache.lengths - 1)[:, None, None], axis=1)[:, 0]
    cache = _expand(cache, samples, capacity)
    first = jnp.repeat(last, samples, axis=0)
    positions = jnp.repeat(next_positions, samples, axis=0)
    return _decode(
        params,
        first,
        positions=positions,
        cache=cache,
        sampling=sampling,
        model=model,
        capacity=capacity,
        stop_ids=stop_ids,
    )


def choose(
    logits: Float[Array, "B V"],
    sampling: Sampling,
    step: Int[Array, ""],
    banned: tuple[int, ...],
) -> tuple[Int[Array, " B"], Float[Array, " B"]]:
    """The next token of each row and its raw log-probability.

    Args:
      logits: Raw float32 logits.
      sampling: Temperature and seed of each row.
      step: How many tokens each row has drawn before.
      banned: Media ids, which are never drawn; greedy decoding is plain argmax, unbanned.
    """
    keys = jax.vmap(lambda seed: jax.random.fold_in(jax.random.key(seed), step))(sampling.seeds)
    noise = jax.vmap(lambda key: jax.random.gumbel(key, logits.shape[1:]))(keys)
    temperature = jnp.maximum(sampling.temperature, 1e-6)[:, None]
    allowed = logits.at[:, jnp.array(banned)].set(-jnp.inf)
    drawn = jnp.argmax(allowed / temperature + noise, axis=-1)
    greedy = jnp.argmax(logits, axis=-1)
    tokens = jnp.where(sampling.temperature > 0, drawn, greedy).astype(jnp.int32)
    chosen = jnp.take_along_axis(logits, tokens[:, None], axis=-1)[:, 0]
    return tokens, chosen - jax.nn.logsumexp(logits, axis=-1)


def _expand(cache: text.Cache, samples: int, capacity: int) -> text.Cache:
    """Repeats each prompt's cache for its samples and makes room for new tokens."""

    def widen(leaf: Array) -> Array:
        room = [(0, 0), (0, 0), (0, capacity), (0, 0), (0, 0)]
        return jnp.repeat(jnp.pad(leaf, room), samples, axis=1)

    return text.Cache(
        keys=widen(cache.keys),
        values=widen(cache.values),
        lengths=jnp.repeat(cache.lengths, samples, axis=0),
    )


def _decode(
    params: Any,
    hidden: Array,
    *,
    positions: Array,
    cache: text.Cache,
    sampling: Sampling,
    model: qwen2_5_vl.Qwen2_5_VL,
    capacity: int,
    stop_ids: tuple[int, ...],
) -> Generated:
    """Draws from `hidden`, then steps until every row has ended."""
    rows = hidden.shape[0]
    special = model.size.special
    banned = (special.image_pad, special.video_pad)
    stops = jnp.array(stop_ids)

    def draw(hidden, step, state):
        logits = qwen2_5_vl.apply(model, params, hidden, method=model.logits)
        token, logprob = choose(logits, sampling, step, banned)
        is_active = ~state["ended"]
        is_stop = is_active & jnp.any(token[:, None] == stops[None, :], axis=-1)
        lengths = state["lengths"] + is_active
        return {
            "tokens": state["tokens"].at[:, step].set(jnp.where(is_active, token, 0)),
            "logprobs": state["logprobs"].at[:, step].set(jnp.where(is_active, logprob, 0.0)),
            "lengths": lengths,
            "stopped": state["stopped"] | is_stop,
            "ended": state["ended"] | is_stop | (lengths >= sampling.max_new_tokens),
        }

    def advance(carry):
        step, cache, state = carry
        token = state["tokens"][:, step - 1]
        place = positions + step - 1
        hidden, cache = qwen2_5_vl.apply(model, params, token, place, cache, method=model.step)
        return step + 1, cache, draw(hidden, step, state)

    def is_running(carry):
        step, _, state = carry
        return (step < capacity) & ~jnp.all(state["ended"])

    state: dict[str, Any] = {
        "tokens": jnp.zeros((rows, capacity), jnp.int32),
        "logprobs": jnp.zeros((rows, capacity), jnp.float32),
        "lengths": jnp.zeros(rows, jnp.int32),
        "stopped": jnp.zeros(rows, bool),
        "ended": sampling.max_new_tokens <= 0,
    }
    carry = (jnp.int32(1), cache, draw(hidden, jnp.int32(0), state))
    _, _, state = jax.lax.while_loop(is_running, advance, carry)
    return Generated(state["tokens"], state["logprobs"], state["lengths"], state["stopped"])
