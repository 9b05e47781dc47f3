# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Prefill and decode: tokens in, tokens out, with the sampling policy's own log-probabilities.

Axes: R prompts, B rows (a prompt's samples stand side by side), T prompt tokens, N new tokens,
D width, V vocabulary.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from lingshu_jax.common import sharding, structs
from lingshu_jax.models import layers, qwen2_5_vl, text


@flax.struct.dataclass
class Sampling:
    """How each row is decoded.

    Attributes:
      temperature: float32 [B]; 0 is greedy (plain argmax), else logits are divided by it.
      seeds: uint32 [B]; fixes a row's draws, whatever else is in the batch.
      max_new_tokens: int32 [B]; where a row ends at the latest.
    """

    temperature: Any  # without shapes: programs are lowered for mere descriptions of arrays
    seeds: Any
    max_new_tokens: Any


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


@functools.partial(
    jax.jit, static_argnames=("model", "samples", "capacity", "stop_ids", "is_split")
)
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
    is_split: bool = False,
) -> Generated:
    """Decodes `samples` continuations of every prompt; one prefill and one vision pass each.

    Args:
      params: The model's parameters, best in the compute dtype: others are cast at every step.
      batch: One left-aligned prompt a row, R rows.
      next_positions: Rotary position of the first new token of each prompt.
      sampling: For all R * samples rows, a prompt's samples side by side.
      model: The model; static.
      samples: Continuations a prompt.
      capacity: N, the longest continuation that fits the compiled program.
      stop_ids: Tokens that end a row.
      is_split: Whether decoding takes the stacked layers apart first: a copy of them, and a longer
        program, where reading a layer from the stack would copy it at every step (CPUs).

    Returns:
      R * samples rows, the same on all devices.
    """
    last, cache = prefill(params, batch, model=model)
    cache = _expand(cache, samples, capacity)
    if is_split:
        params, cache = _split(params, cache)
    return decode(
        params,
        jnp.repeat(last, samples, axis=0),
        sampling,
        positions=jnp.repeat(next_positions, samples, axis=0),
        cache=cache,
        model=model,
        capacity=capacity,
        stop_ids=stop_ids,
    )


def prefill(
    params: layers.Params, batch: structs.Batch, *, model: qwen2_5_vl.Qwen2_5_VL
) -> tuple[Float[Array, "R D"], text.Cache]:
    """Hidden state of each prompt's last token, and the cache after it.

    Args:
      params: The model's parameters.
      batch: One left-aligned prompt a row.
      model: The model.
    """
    hidden, cache = qwen2_5_vl.apply(model, params, batch, method=model.prefill)
    last = jnp.take_along_axis(hidden, (cache.lengths - 1)[:, None, None], axis=1)[:, 0]
    return last, cache


def decode_step(
    params: layers.Params,
    tokens: Int[Array, " B"],
    positions: Int[Array, " B"],
    cache: text.Cache,
    *,
    model: qwen2_5_vl.Qwen2_5_VL,
) -> tuple[Float[Array, "B V"], text.Cache]:
    """Logits after one new token a row, and the cache with it.

    Args:
      params: The model's parameters.
      tokens: The newest tokens.
      positions: Their rotary positions.
      cache: Of what came before them, with room.
      model: The model.
    """
    hidden, cache = qwen2_5_vl.apply(model, params, tokens, positions, cache, method=model.step)
    return _logits(params, hidden, model), cache


def _logits(params: Any, hidden: Array, model: qwen2_5_vl.Qwen2_5_VL) -> Array:
    logits = qwen2_5_vl.apply(model, params, hidden, method=model.logits)
    return sharding.constrain(logits, "batch", "vocab")


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
    greedy = jnp.argmax(logits, axis=-1)

    def draw() -> Array:
        keys = jax.vmap(lambda seed: jax.random.fold_in(jax.random.key(seed), step))(sampling.seeds)
        noise = jax.vmap(lambda key: jax.random.gumbel(key, logits.shape[1:]))(keys)
        temperature = jnp.maximum(sampling.temperature, 1e-6)[:, None]
        allowed = logits.at[:, jnp.array(banned)].set(-jnp.inf)
        drawn = jnp.argmax(allowed / temperature + noise, axis=-1)
        return jnp.where(sampling.temperature > 0, drawn, greedy)

    # Noise for the whole vocabulary costs more than reading a small model.
    tokens = jax.lax.cond(jnp.any(sampling.temperature > 0), draw, lambda: greedy)
    tokens = tokens.astype(jnp.int32)
    chosen = jnp.take_along_axis(logits, tokens[:, None], axis=-1)[:, 0]
    return tokens, chosen - jax.nn.logsumexp(logits, axis=-1)


def _expand(cache: text.Cache, samples: int, capacity: int) -> text.Cache:
    """Makes room for `capacity` new tokens of each sample; prompts are kept once."""
    depth, rows, heads, _, width = cache.keys.shape
    axes = (None, "batch", "kv_heads", None, None)
    room = jnp.zeros((depth, rows * samples, heads, capacity, width), cache.keys.dtype)
    return dataclasses.replace(
        cache,
        keys=sharding.constrain(cache.keys, *axes),
        values=sharding.constrain(cache.values, *axes),
        new_keys=sharding.constrain(room, *axes),
        new_values=sharding.constrain(room, *axes),
    )


def _split(params: layers.Params, cache: text.Cache) -> tuple[layers.Params, text.Cache]:
    """The text layers, and their part of the cache, as tuples."""
    decoder = {**params["text"], "layers": layers.split_stack(params["text"]["layers"])}
    names = ("keys", "values", "new_keys", "new_values")
    parts = {name: layers.split_stack(getattr(cache, name)) for name in names}
    return {**params, "text": decoder}, dataclasses.replace(cache, **parts)


def decode(
    params: layers.Params,
    hidden: Float[Array, "B D"],
    sampling: Sampling,
    *,
    positions: Int[Array, " B"],
    cache: text.Cache,
    model: qwen2_5_vl.Qwen2_5_VL,
    capacity: int,
    stop_ids: tuple[int, ...],
) -> Generated:
    """Draws from `hidden`, then steps until every row has ended.

    Args:
      params: The model's parameters.
      hidden: State of each row's last prompt token.
      sampling: Of each row.
      positions: Rotary position of each row's first new token.
      cache: After the prompts, with room for `capacity` tokens.
      model: The model.
      capacity: N.
      stop_ids: Tokens that end a row.

    Returns:
      B rows, the same on all devices.
    """
    rows = hidden.shape[0]
    special = model.size.special
    banned = (special.image_pad, special.video_pad)
    stops = jnp.array(stop_ids)

    def draw(logits, step, state):
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
        logits, cache = decode_step(params, token, place, cache, model=model)
        return step + 1, cache, draw(logits, step, state)

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
    carry = (jnp.int32(1), cache, draw(_logits(params, hidden, model), jnp.int32(0), state))
    _, _, state = jax.lax.while_loop(is_running, advance, carry)
    return Generated(
        *(sharding.constrain(state[name], *[None] * state[name].ndim) for name in Generated._fields)
    )
