# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""From logits to the next token: processors as pure functions of arrays, and the draw.

A processor takes logits and gives logits of the same shape. The order is that of transformers:
repetition penalty, the caller's own processors, then, where a row samples, banned ids, temperature,
top-k and top-p. Log-probabilities are always those of the raw logits.

Axes: B rows, V vocabulary, X ids of a row, R prompts (B is a multiple of it), S prompt places,
U places of new tokens.
"""

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

COLDEST = 1e-6  # a lower temperature would overflow float32 logits


@flax.struct.dataclass
class Sampling:
    """How each row is decoded; see `engines/protocol.py`.

    Attributes:
      temperature: float32 [B]; 0 is greedy.
      top_p: float32 [B]; 1 keeps all.
      top_k: int32 [B]; 0 keeps all.
      repetition_penalty: float32 [B]; 1 is off.
      seeds: uint32 [B]; fixes a row's draws, whatever else is in the batch.
      max_new_tokens: int32 [B]; where a row ends at the latest.
      ignore_eos: bool [B]; whether stop tokens end nothing.
    """

    temperature: Any  # without shapes: programs are lowered for mere descriptions of arrays
    top_p: Any
    top_k: Any
    repetition_penalty: Any
    seeds: Any
    max_new_tokens: Any
    ignore_eos: Any


@flax.struct.dataclass
class State:
    """What a processor may look at beside the logits.

    Attributes:
      sampling: How each row is decoded.
      prompts: int32 [R, S]; ids of the prompts, -1 where there is none.
      tokens: int32 [B, U]; the new ones; what stands after `lengths` means nothing.
      lengths: int32 [B]; how many are drawn.
    """

    sampling: Sampling
    prompts: Any
    tokens: Any
    lengths: Any


Processor = Callable[[Float[Array, "B V"], State], Float[Array, "B V"]]


def make(
    rows: int,
    *,
    max_new_tokens: Any,
    temperature: Any = 0.0,
    top_p: Any = 1.0,
    top_k: Any = 0,
    repetition_penalty: Any = 1.0,
    seeds: Any = 0,
    ignore_eos: Any = False,
) -> Sampling:
    """The same for all rows, or one value a row; host arrays.

    Args:
      rows: B.
      max_new_tokens: As of `Sampling`, as all that follows.
      temperature: Default greedy.
      top_p: Default all.
      top_k: Default all.
      repetition_penalty: Default off.
      seeds: Of the draws.
      ignore_eos: Default no.
    """

    def whole(value: Any, dtype: Any) -> np.ndarray:
        return np.ascontiguousarray(np.broadcast_to(np.asarray(value, dtype), (rows,)))

    return Sampling(
        temperature=whole(temperature, np.float32),
        top_p=whole(top_p, np.float32),
        top_k=whole(top_k, np.int32),
        repetition_penalty=whole(repetition_penalty, np.float32),
        seeds=whole(seeds, np.uint32),
        max_new_tokens=whole(max_new_tokens, np.int32),
        ignore_eos=whole(ignore_eos, bool),
    )


def penalise(
    logits: Float[Array, "B V"], ids: Int[Array, "B X"], penalty: Float[Array, " B"]
) -> Float[Array, "B V"]:
    """Makes tokens that were there already less likely, once each (arXiv 1909.05858, section 4.1).

    Args:
      logits: Of every token.
      ids: Those that were there; negative ones are none.
      penalty: Divides positive logits and multiplies the others.
    """
    found = jnp.take_along_axis(logits, jnp.maximum(ids, 0), axis=-1)
    penalty = penalty[:, None]
    lowered = jnp.where(found > 0, found / penalty, found * penalty)
    rows = jnp.arange(logits.shape[0])[:, None]
    places = jnp.where(ids < 0, logits.shape[1], ids)  # out of range is dropped
    return logits.at[rows, places].set(lowered, mode="drop")


def ban(logits: Float[Array, "B V"], ids: tuple[int, ...]) -> Float[Array, "B V"]:
    """Some tokens can no longer be drawn.

    Args:
      logits: Of every token.
      ids: Which; none is allowed.
    """
    return logits.at[:, np.array(ids, np.int32)].set(-jnp.inf)


def scale(logits: Float[Array, "B V"], temperature: Float[Array, " B"]) -> Float[Array, "B V"]:
    """Logits over the temperature, which is taken for `COLDEST` where it is less.

    Args:
      logits: Of every token.
      temperature: Of each row.
    """
    return logits / jnp.maximum(temperature, COLDEST)[:, None]


def keep_likeliest(
    logits: Float[Array, "B V"], top_k: Int[Array, " B"], top_p: Float[Array, " B"]
) -> Float[Array, "B V"]:
    """Only the likeliest tokens of a row stay, at least one, and those equal to the last of them.

    Of the `top_k` likeliest, a token stays where those before it, from the likeliest on, have less
    than `top_p` of their probability.

    Args:
      logits: Of every token.
      top_k: 0, or as many as the vocabulary or more, keeps all.
      top_p: 1 keeps all.
    """
    size = logits.shape[1]
    ordered = jnp.sort(logits, axis=-1, descending=True)

    def at(place: Array) -> Array:
        return jnp.take_along_axis(ordered, place[:, None], axis=-1)

    least = at(jnp.where(top_k > 0, jnp.minimum(top_k, size), size) - 1)
    probs = jax.nn.softmax(jnp.where(ordered >= least, ordered, -jnp.inf), axis=-1)
    before = jnp.pad(jnp.cumsum(probs, axis=-1)[:, :-1], ((0, 0), (1, 0)))
    # Devices may take a tiny top_p for 0.
    last = at(jnp.maximum(jnp.sum(before < top_p[:, None], axis=-1), 1) - 1)
    # Where nothing is to be cut, a sum that rounding takes to 1 cuts nothing.
    least = jnp.maximum(least, jnp.where((top_p < 1)[:, None], last, -jnp.inf))
    return jnp.where(logits >= least, logits, -jnp.inf)


def gumbel(seeds: Any, steps: Int[Array, " B"], size: int) -> Float[Array, "B V"]:
    """Noise whose sum with logits is largest at a draw from their softmax.

    Args:
      seeds: uint32 [B].
      steps: How many tokens each row has drawn before.
      size: V.
    """

    def row(seed: Array, step: Array) -> Array:
        return jax.random.gumbel(jax.random.fold_in(jax.random.key(seed), step), (size,))

    return jax.vmap(row)(seeds, steps)


def choose(
    logits: Float[Array, "B V"],
    state: State,
    *,
    banned: tuple[int, ...] = (),
    processors: tuple[Processor, ...] = (),
) -> tuple[Int[Array, " B"], Float[Array, " B"]]:
    """The next token of each row and its raw log-probability.

    What no row asks for is not computed.

    Args:
      logits: Raw float32 logits.
      state: How each row is decoded, and what it holds.
      banned: Ids that are never drawn; greedy decoding is plain argmax.
      processors: The caller's own, for greedy rows as well.
    """
    rules = state.sampling
    is_drawn = rules.temperature > 0
    judged = _where(
        jnp.any(rules.repetition_penalty != 1),
        lambda x: penalise(x, _ids(state), rules.repetition_penalty),
        logits,
    )
    for processor in processors:
        judged = processor(judged, state)
    greedy = jnp.argmax(judged, axis=-1)

    def draw() -> Array:
        kept = scale(ban(judged, banned), rules.temperature)
        is_cut = is_drawn & ((rules.top_k > 0) | (rules.top_p < 1))
        kept = _where(jnp.any(is_cut), lambda x: keep_likeliest(x, rules.top_k, rules.top_p), kept)
        noise = gumbel(rules.seeds, state.lengths, kept.shape[1])
        return jnp.where(is_drawn, jnp.argmax(kept + noise, axis=-1), greedy)

    # Noise for the whole vocabulary costs more than reading a small model.
    tokens = jax.lax.cond(jnp.any(is_drawn), draw, lambda: greedy).astype(jnp.int32)
    chosen = jnp.take_along_axis(logits, tokens[:, None], axis=-1)[:, 0]
    return tokens, chosen - jax.nn.logsumexp(logits, axis=-1)


def _where(is_on: Bool[Array, ""], change: Callable[[Array], Array], logits: Array) -> Array:
    """`change(logits)` where a row needs it."""
    return jax.lax.cond(is_on, change, lambda x: x, logits)


def _ids(state: State) -> Int[Array, "B X"]:
    """All ids of each row: its prompt's, and the new ones so far."""
    rows, capacity = state.tokens.shape
    prompts = jnp.repeat(state.prompts, rows // state.prompts.shape[0], axis=0)
    is_new = jnp.arange(capacity)[None, :] < state.lengths[:, None]
    return jnp.concatenate([prompts, jnp.where(is_new, state.tokens, -1)], axis=1)
