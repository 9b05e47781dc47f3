# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Prefill and decode: tokens in, tokens out, with the sampling policy's own log-probabilities.

A slot is a prompt with its samples. Prompts are read (`read`), put into free slots (`admit`), and
all slots decode together (`advance`) until enough of them are free again; nothing of a slot depends
on what is in the others. Shapes are static: what varies are numbers in arrays.

Axes: R slots, J samples of each, B = R J rows, a slot's samples side by side; P prompts that were
read, T their tokens; S prompt places and U places of new tokens in a slot; D width, V vocabulary.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from lingshu_jax.common import sharding, structs
from lingshu_jax.models import kv_cache, layers, qwen2_5_vl, sampling, text


class Policy(NamedTuple):
    """What decides the next token, and when a row ends; compiled into every program.

    Attributes:
      model: The model.
      stop_ids: Tokens that end a row.
      processors: The caller's own; see `models/sampling.py`.
    """

    model: qwen2_5_vl.Qwen2_5_VL
    stop_ids: tuple[int, ...]
    processors: tuple[sampling.Processor, ...] = ()


@flax.struct.dataclass
class Prompts:
    """Prompts that were read.

    Attributes:
      last: Hidden state of each one's last token [P, D].
      cache: Their keys and values.
      ids: int32 [P, T]; their tokens, -1 where there is none.
      positions: int32 [P]; rotary position of the first token after each.
    """

    last: Any  # without shapes: programs are lowered for mere descriptions of arrays
    cache: kv_cache.Cache
    ids: Any
    positions: Any


@flax.struct.dataclass
class Answers:
    """What all rows have drawn so far; the same on all devices.

    Attributes:
      sampling: How each row is decoded.
      prompts: int32 [R, S]; ids of the prompts, -1 where there is none.
      positions: int32 [B]; rotary position of a row's first new token.
      tokens: int32 [B, U]; new tokens, the stop token included; 0 after `lengths`.
      logprobs: float32 [B, U]; log p of each under the raw logits, nats.
      lengths: int32 [B]; new tokens of each row.
      stopped: bool [B]; whether a stop token ended a row.
      ended: bool [B]; whether anything did, or the row has no request.
    """

    sampling: sampling.Sampling
    prompts: Any
    positions: Any
    tokens: Any
    logprobs: Any
    lengths: Any
    stopped: Any
    ended: Any


@flax.struct.dataclass
class Slots:
    """Everything that decoding carries on; donate it to the next program.

    Attributes:
      cache: Keys and values.
      answers: Tokens, and how each row goes on.
    """

    cache: kv_cache.Cache
    answers: Answers


def prefill(
    params: layers.Params, batch: structs.Batch, *, model: qwen2_5_vl.Qwen2_5_VL
) -> tuple[Float[Array, "P D"], kv_cache.Cache]:
    """Hidden state of each prompt's last token, and the cache after it.

    Args:
      params: The model's parameters.
      batch: One left-aligned prompt a row.
      model: The model.
    """
    hidden, cache = qwen2_5_vl.apply(model, params, batch, method=model.prefill)
    last = jnp.take_along_axis(hidden, (cache.lengths - 1)[:, None, None], axis=1)[:, 0]
    return last, cache


def read(
    params: layers.Params,
    batch: structs.Batch,
    positions: Int[Array, " P"],
    *,
    model: qwen2_5_vl.Qwen2_5_VL,
) -> Prompts:
    """One prefill and one vision pass, from which any number of samples goes on.

    Args:
      params: The model's parameters.
      batch: One left-aligned prompt a row.
      positions: Rotary position of the first token after each.
      model: The model.
    """
    last, cache = prefill(params, batch, model=model)
    ids = jnp.where(batch.segment_ids > 0, batch.tokens, -1)
    return Prompts(last=last, cache=_placed_cache(cache), ids=ids, positions=positions)


def empty(
    model: qwen2_5_vl.Qwen2_5_VL,
    *,
    slots: int,
    samples: int,
    prompt_places: int,
    new_places: int,
    is_apart: bool = False,
) -> Slots:
    """Slots without requests.

    Args:
      model: The model.
      slots: R.
      samples: J.
      prompt_places: S.
      new_places: U, of a power of two.
      is_apart: Whether each layer's keys and values are arrays of their own, for parameters that
        `text.take_apart` took apart.
    """
    cache = kv_cache.empty(
        model.size.text,
        model.dtype,
        prompts=slots,
        samples=samples,
        prompt_places=prompt_places,
        new_places=new_places,
    )
    rows = slots * samples
    rules = jax.tree.map(jnp.asarray, sampling.make(rows, max_new_tokens=0))
    prompts = jnp.full((slots, prompt_places), -1, jnp.int32)
    answers = _begin(rules, prompts, jnp.zeros(rows, jnp.int32), new_places)
    return _placed(Slots(cache=kv_cache.take_apart(cache) if is_apart else cache, answers=answers))


def admit(
    params: layers.Params,
    slots: Slots,
    prompts: Prompts,
    places: Int[Array, " P"],
    *,
    rules: sampling.Sampling,
    policy: Policy,
) -> Slots:
    """Puts prompts into free slots and draws the first token of each of their samples.

    Args:
      params: The model's parameters.
      slots: Some of them free.
      prompts: From `read`.
      places: The slot of each prompt, no two the same; one of R or more is left out.
      rules: How each of the P J samples is decoded, a prompt's side by side.
      policy: What decides the token.
    """
    capacity, width = slots.answers.tokens.shape[1], slots.answers.prompts.shape[1]
    samples = slots.answers.tokens.shape[0] // slots.answers.prompts.shape[0]
    fresh = _begin(rules, prompts.ids, jnp.repeat(prompts.positions, samples), capacity)
    logits = _logits(params, prompts.last, policy.model)
    fresh = _draw(jnp.repeat(logits, samples, axis=0), fresh, policy)
    room = ((0, 0), (0, width - prompts.ids.shape[1]))
    fresh = dataclasses.replace(fresh, prompts=jnp.pad(prompts.ids, room, constant_values=-1))
    rows = (places[:, None] * samples + jnp.arange(samples)[None, :]).reshape(-1)

    def put(path: Any, stack: Array, new: Array) -> Array:
        index = places if path[-1].name == "prompts" else rows
        return stack.at[index].set(new.astype(stack.dtype), mode="drop", unique_indices=True)

    answers = jax.tree_util.tree_map_with_path(put, slots.answers, fresh)
    is_apart = isinstance(slots.cache.keys, tuple)
    read = kv_cache.take_apart(prompts.cache) if is_apart else prompts.cache
    cache = kv_cache.insert(slots.cache, read, places)
    return _placed(Slots(cache=cache, answers=answers))


def decode_step(
    params: layers.Params,
    tokens: Int[Array, " B"],
    positions: Int[Array, " B"],
    cache: kv_cache.Cache,
    *,
    model: qwen2_5_vl.Qwen2_5_VL,
) -> tuple[Float[Array, "B V"], kv_cache.Cache]:
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


def advance(
    params: layers.Params,
    slots: Slots,
    is_live: Bool[Array, " B"],
    *,
    steps: Int[Array, ""],
    enough: Int[Array, ""],
    policy: Policy,
) -> Slots:
    """Decodes up to so many tokens of every row, until enough slots are free or all are.

    Args:
      params: The model's parameters; its text layers may be apart (`text.take_apart`).
      slots: With their first tokens drawn.
      is_live: False ends a row, whatever it has drawn.
      steps: Tokens a row at the most.
      enough: Free slots at which to come back earlier.
      policy: What decides the tokens.
    """
    answers = dataclasses.replace(slots.answers, ended=slots.answers.ended | ~is_live)
    enough = jnp.minimum(enough, answers.prompts.shape[0])

    def is_running(carry: tuple[Array, Slots]) -> Array:
        step, slots = carry
        return (step < steps) & (jnp.sum(_is_free(slots.answers)) < enough)

    def body(carry: tuple[Array, Slots]) -> tuple[Array, Slots]:
        step, slots = carry
        answers = slots.answers
        newest = jnp.maximum(answers.lengths - 1, 0)
        # What ended is not read any more: attention goes as far as the longest that lives.
        cache = kv_cache.free(slots.cache, _is_free(answers))
        cache = dataclasses.replace(cache, new_lengths=jnp.where(answers.ended, 0, newest))
        logits, cache = decode_step(
            params,
            jnp.take_along_axis(answers.tokens, newest[:, None], axis=1)[:, 0],
            answers.positions + newest,
            cache,
            model=policy.model,
        )
        return step + 1, Slots(cache=cache, answers=_draw(logits, answers, policy))

    carry = (jnp.int32(0), dataclasses.replace(slots, answers=answers))
    _, slots = jax.lax.while_loop(is_running, body, carry)
    return _placed(slots)


@functools.partial(
    jax.jit, static_argnames=("model", "samples", "capacity", "stop_ids", "is_apart")
)
def generate(
    params: layers.Params,
    batch: structs.Batch,
    next_positions: Int[Array, " R"],
    rules: sampling.Sampling,
    *,
    model: qwen2_5_vl.Qwen2_5_VL,
    samples: int,
    capacity: int,
    stop_ids: tuple[int, ...],
    is_apart: bool = False,
) -> Answers:
    """All of it as one program, for prompts that begin together and fill the slots.

    The engine runs the same functions as programs of their own, so that slots can be refilled
    between them. This one is for who has a batch of prompts and no engine: the comparisons with
    transformers, of logits and of speed, and what tests look for in a compiled program.

    Args:
      params: The model's parameters, best in the compute dtype: others are cast at every step.
      batch: One left-aligned prompt a row, R rows.
      next_positions: Rotary position of the first new token of each prompt.
      rules: For all R * samples rows, a prompt's samples side by side.
      model: The model; static.
      samples: Continuations a prompt.
      capacity: U, the longest continuation that fits the compiled program.
      stop_ids: Tokens that end a row.
      is_apart: Whether `text.take_apart` comes first; on CPUs decoding is faster so.

    Returns:
      R * samples rows.
    """
    policy = Policy(model, stop_ids)
    prompts = read(params, batch, next_positions, model=model)
    count, places = batch.tokens.shape
    slots = empty(
        model,
        slots=count,
        samples=samples,
        prompt_places=places,
        new_places=capacity,
        is_apart=is_apart,
    )
    if is_apart:
        params = {**params, "text": text.take_apart(params["text"])}
    slots = admit(params, slots, prompts, jnp.arange(count), rules=rules, policy=policy)
    is_live = jnp.ones(count * samples, bool)
    whole = jnp.int32(capacity)
    slots = advance(params, slots, is_live, steps=whole, enough=jnp.int32(count), policy=policy)
    return slots.answers


def _begin(rules: sampling.Sampling, prompts: Any, positions: Any, capacity: int) -> Answers:
    """Rows that have drawn nothing yet."""
    rows = positions.shape[0]
    return Answers(
        sampling=rules,
        prompts=prompts,
        positions=positions,
        tokens=jnp.zeros((rows, capacity), jnp.int32),
        logprobs=jnp.zeros((rows, capacity), jnp.float32),
        lengths=jnp.zeros(rows, jnp.int32),
        stopped=jnp.zeros(rows, bool),
        ended=rules.max_new_tokens <= 0,
    )


def _draw(logits: Float[Array, "B V"], answers: Answers, policy: Policy) -> Answers:
    """One more token of every row that has not ended."""
    special, rules = policy.model.size.special, answers.sampling
    # Rows that ended ask for nothing: noise and sorting are left out where the rest is greedy.
    rules = dataclasses.replace(
        rules,
        temperature=jnp.where(answers.ended, 0.0, rules.temperature),
        repetition_penalty=jnp.where(answers.ended, 1.0, rules.repetition_penalty),
    )
    state = sampling.State(rules, answers.prompts, answers.tokens, answers.lengths)
    token, logprob = sampling.choose(
        logits,
        state,
        banned=(special.image_pad, special.video_pad),
        processors=policy.processors,
    )
    is_active = ~answers.ended
    stops = jnp.array(policy.stop_ids, jnp.int32)
    is_stop = jnp.any(token[:, None] == stops[None, :], axis=-1) & is_active & ~rules.ignore_eos
    places = jnp.arange(answers.tokens.shape[1])
    is_here = (places[None, :] == answers.lengths[:, None]) & is_active[:, None]
    lengths = answers.lengths + is_active
    return dataclasses.replace(
        answers,
        tokens=jnp.where(is_here, token[:, None], answers.tokens),
        logprobs=jnp.where(is_here, logprob[:, None], answers.logprobs),
        lengths=lengths,
        stopped=answers.stopped | is_stop,
        ended=answers.ended | is_stop | (lengths >= rules.max_new_tokens),
    )


def _is_free(answers: Answers) -> Bool[Array, " R"]:
    """Slots of which every row has ended."""
    return jnp.all(answers.ended.reshape(answers.prompts.shape[0], -1), axis=1)


def _placed(slots: Slots) -> Slots:
    """Slots over the mesh; what was drawn on every device, as every process reads it.

    Fixed at the end of every program, so that the next one finds what it was compiled for.
    """
    everywhere = jax.tree.map(
        lambda leaf: sharding.constrain(leaf, *[None] * leaf.ndim), slots.answers
    )
    return Slots(cache=_placed_cache(slots.cache), answers=everywhere)


def _placed_cache(cache: kv_cache.Cache) -> kv_cache.Cache:
    def place(leaf: Array) -> Array:
        return sharding.constrain(leaf, None, "batch", "kv_heads", None, None)

    return dataclasses.replace(
        cache,
        **{name: jax.tree.map(place, getattr(cache, name)) for name in kv_cache.KEYS_AND_VALUES},
        lengths=sharding.constrain(cache.lengths, "batch"),
        new_lengths=sharding.constrain(cache.new_lengths, "batch"),
    )


def _logits(params: Any, hidden: Array, model: qwen2_5_vl.Qwen2_5_VL) -> Array:
    logits = qwen2_5_vl.apply(model, params, hidden, method=model.logits)
    return sharding.constrain(logits, "batch", "vocab")
