# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Losses over packed rows, without ever holding all logits.

The vocabulary is cut into blocks, and the logits of one block are alive at a time: the forward
pass keeps a running maximum and sums of every target, the backward pass makes the logits again
from the kept log Z and writes the head's gradient a block at a time, each whole. A block of the
head is all that is ever cast to the compute dtype or, on a mesh, gathered from other devices.

Axes: B rows, T tokens, D width, V vocabulary, X targets of all rows, W columns of a block.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import flax.struct
import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, PartitionSpec
from jaxtyping import Array, Float, Int

from lingshu_jax.common import sharding

# float32 logits of a block on one device. They and what is computed from them are most of what
# the loss needs beside its gradients; with 8,192 targets it makes blocks of 8,192 columns, wide
# enough that the products and not the running sums take the time.
BLOCK_BYTES = 2**28
LANES = 128  # a block starts and ends where a TPU's tile of the vocabulary does
LOWEST = -1e30  # below every logit, and finite: a difference of two is no NaN

Carry = TypeVar("Carry")


class TokenLogprobs(NamedTuple):
    """Of every target, in nats.

    Attributes:
      logprobs: log p of its token.
      entropies: Of the distribution it came from.
      log_z: Logarithm of the sum that the distribution was divided by.
    """

    logprobs: Float[Array, "B T"]
    entropies: Float[Array, "B T"]
    log_z: Float[Array, "B T"]


class WeightedSum(NamedTuple):
    """A sum and the weight it is to be divided by, once, after all devices and micro-batches."""

    total: Float[Array, ""]
    weight: Float[Array, ""]

    def mean(self) -> Float[Array, ""]:
        """total / weight; 0 where there is no weight."""
        return jnp.where(self.weight > 0, self.total / jnp.maximum(self.weight, 1e-20), 0.0)


def chunked_logprobs(
    hidden: Float[Array, "B T D"],
    head: Float[Array, "D V"] | Float[Array, "V D"],
    labels: Int[Array, "B T"],
    *,
    is_tied: bool = False,
    block_width: int = 0,
) -> TokenLogprobs:
    """log softmax(hidden head)[labels], entropy and log Z, a block of the vocabulary at a time.

        logits = hidden head;  log Z = logsumexp(logits)
        logprob = logits[label] - log Z;  entropy = -sum_v p_v log p_v

    All three are differentiable. With a, b, c the gradients that arrive at them,

        d logits_v = a [v = label] + p_v (c - a - b (log p_v + entropy))

    Under an active mesh rows, tokens, vocabulary and width lie as `sharding` has them; a block of
    the head is gathered over fsdp, its gradient goes back the same way, and the vocabulary stays
    split over tensor.

    Args:
      hidden: Normalised hidden states, in the compute dtype.
      head: Output head as it is stored, cast to the compute dtype block by block; products
        accumulate in float32, and its gradient is rounded once, to its own dtype.
      labels: Target token ids.
      is_tied: The head is the embedding, V rows of D, and taken as it lies: turned around it
        would be copied whole.
      block_width: W, columns whose logits are alive at a time on a device, forward and backward;
        0 is `default_width`.

    Returns:
      float32 values for each target.
    """
    mesh = sharding.active_mesh()
    rows = head_place = PartitionSpec()
    if mesh is not None:
        rows = sharding.activation_spec(labels.shape, ("batch", "tokens"), mesh)
        rules = sharding.TRAIN_RULES
        names = ("vocab", "embed") if is_tied else ("embed", "vocab")
        head_place = PartitionSpec(*(rules[name] for name in names))
    layout = _Layout(block_width, mesh, rows, head_place, is_tied)
    return _logprobs(hidden, head, labels, layout)


def default_width(targets: int, vocabulary: int) -> int:
    """W: as wide as `BLOCK_BYTES` allows, in whole `LANES`; rather narrower than uneven.

    A last block of another width is a second body to compile; none is needed where a width of at
    least half the widest divides the vocabulary.

    Args:
      targets: X, on one device.
      vocabulary: V, on one device.
    """
    most = max(BLOCK_BYTES // (4 * targets) // LANES, 1) * LANES
    if vocabulary <= most:
        return vocabulary
    widths = range(most, most // 2, -LANES)
    return next((width for width in widths if vocabulary % width == 0), most)


def token_logprobs(
    hidden: Float[Array, "B T D"],
    head: Float[Array, "D V"] | Float[Array, "V D"],
    tokens: Int[Array, "B T"],
    *,
    is_tied: bool = False,
) -> TokenLogprobs:
    """log p of every token given those before it; entropy and log Z of that prediction.

    Token t is predicted from hidden state t - 1; token 0 has no prediction and gets 0.
    A segment's first token is predicted from another segment: its weight must be 0.

    Args:
      hidden: Normalised hidden states of packed rows.
      head: Output head as it is stored.
      tokens: Token ids of the same rows.
      is_tied: As in `chunked_logprobs`.

    Returns:
      float32 arrays of B rows of T, at the target's place.
    """
    # The labels move, not the hidden states: T stays what it is, a power of two and split evenly.
    predicted = chunked_logprobs(hidden, head, jnp.roll(tokens, -1, axis=1), is_tied=is_tied)
    is_first = jnp.arange(tokens.shape[1])[None, :] == 0
    return TokenLogprobs(*(jnp.where(is_first, 0.0, jnp.roll(x, 1, axis=1)) for x in predicted))


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
      log_z: From `token_logprobs`.
      loss_weights: Weight of each token as a target, >= 0.

    Source: arXiv:2204.02311, 5 (coefficient 1e-4 there).
    """
    return WeightedSum(jnp.sum(loss_weights * jnp.square(log_z)), jnp.sum(loss_weights))


class _Layout(NamedTuple):
    """How the work is cut; static.

    Attributes:
      block_width: Of the vocabulary on one device; 0 is the default.
      mesh: None on one device.
      rows: Mesh axes of rows and tokens.
      head: Mesh axes of the head's two dimensions.
      is_tied: The head is the embedding, its vocabulary stands first.
    """

    block_width: int
    mesh: AbstractMesh | None
    rows: PartitionSpec
    head: PartitionSpec
    is_tied: bool

    @property
    def vocab_axis(self) -> int:
        """Of the head and its blocks."""
        return 0 if self.is_tied else 1

    def product(self, equation: str, a: Array, b: Array) -> Float[Array, "..."]:
        """einsum in float32, where H stands for the dimensions of a block of the head."""
        equation = equation.replace("H", "WD" if self.is_tied else "DW")
        return jnp.einsum(equation, a, b, preferred_element_type=jnp.float32)

    def on_devices(self, function: Callable[..., Any], out: Any, *args: Any) -> Any:
        """Runs `function` of (hidden, head, labels, then arrays like labels) on every device."""
        if self.mesh is None:
            return function(*args)
        places = [PartitionSpec(*self.rows, None), self.head, *[self.rows] * (len(args) - 2)]
        return jax.shard_map(
            function, mesh=self.mesh, in_specs=tuple(places), out_specs=out, check_vma=False
        )(*args)

    def axes(self, *names: str) -> tuple[str, ...]:
        """Those along which there are several devices."""
        return tuple(x for x in names if self.mesh is not None and self.mesh.shape[x] > 1)

    def gather(self, block: Array) -> Array:
        """The whole width of a block of the head."""
        for axis in self.axes("fsdp"):
            block = jax.lax.all_gather(block, axis, axis=1 - self.vocab_axis, tiled=True)
        return block

    def collect(self, gradient: Array) -> Array:
        """This device's part of the width of a block's gradient, summed over all rows."""
        width = 1 - self.vocab_axis
        for axis in self.axes("fsdp"):
            gradient = jax.lax.psum_scatter(gradient, axis, scatter_dimension=width, tiled=True)
        return jax.lax.psum(gradient, self.axes("data", "context")) / self._copies()

    def _copies(self) -> int:
        """On how many devices the same rows lie, because they do not divide."""
        if self.mesh is None:
            return 1
        entries = [(entry,) if isinstance(entry, str) else entry or () for entry in self.rows]
        whole = {"data", "fsdp", "context"}.difference(*entries)
        return math.prod(self.mesh.shape[axis] for axis in whole)


class _Running(NamedTuple):
    """Of every target over the columns so far; l are their logits.

    Attributes:
      top: max l.
      total: sum exp(l - top).
      moment: sum exp(l - top) (l - top).
      chosen: The label's l, 0 until it is met.
    """

    top: Float[Array, " X"]
    total: Float[Array, " X"]
    moment: Float[Array, " X"]
    chosen: Float[Array, " X"]

    def raised(self, top: Float[Array, " X"]) -> "_Running":
        """The same with another, higher `top`."""
        down = self.top - top
        shrink = jnp.exp(down)
        moment = shrink * (self.moment + self.total * down)
        return _Running(top, shrink * self.total, moment, self.chosen)


@flax.struct.dataclass
class _Saved:
    """Between the passes. `trains_head` is static: a frozen head costs no product."""

    hidden: Array
    head: Array
    labels: Array
    out: TokenLogprobs
    trains_head: bool = flax.struct.field(pytree_node=False)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _logprobs(hidden: Array, head: Array, labels: Array, layout: _Layout) -> TokenLogprobs:
    function = functools.partial(_values, layout=layout)
    return layout.on_devices(function, layout.rows, hidden, head, labels)


def _forward(hidden: Any, head: Any, labels: Any, layout: _Layout) -> tuple[Any, _Saved]:
    out: Any = _logprobs(hidden.value, head.value, labels.value, layout)
    return out, _Saved(hidden.value, head.value, labels.value, out, trains_head=head.perturbed)


def _backward(layout: _Layout, saved: _Saved, arriving: TokenLogprobs) -> tuple[Any, Any, None]:
    a, b, c = (None if isinstance(x, jax.custom_derivatives.SymbolicZero) else x for x in arriving)
    function = functools.partial(_gradients, layout=layout, trains_head=saved.trains_head)
    out = (PartitionSpec(*layout.rows, None), layout.head if saved.trains_head else None)
    # Where no gradient arrives at the entropies, as in supervised training, nothing needs them.
    entropies = None if b is None else saved.out.entropies
    args = (saved.hidden, saved.head, saved.labels, saved.out.log_z, entropies, a, b, c)
    return *layout.on_devices(function, out, *args), None


_logprobs.defvjp(_forward, _backward, symbolic_zeros=True)


def _values(hidden: Array, head: Array, labels: Array, *, layout: _Layout) -> TokenLogprobs:
    """Of the rows on this device."""
    shape = labels.shape
    hidden, labels = hidden.reshape(-1, hidden.shape[-1]), _local(labels, head, layout)

    def add(block: Array, start: Array, running: _Running) -> _Running:
        logits = layout.product("XD,H->XW", hidden, block)
        place = labels - start
        is_here = (place >= 0) & (place < logits.shape[1])
        at_label = jnp.take_along_axis(logits, jnp.where(is_here, place, 0)[:, None], axis=1)
        running = running.raised(jnp.maximum(running.top, jnp.max(logits, axis=1)))
        logits = logits - running.top[:, None]
        weights = jnp.exp(logits)
        return running._replace(
            total=running.total + jnp.sum(weights, axis=1),
            moment=running.moment + jnp.sum(weights * logits, axis=1),
            chosen=jnp.where(is_here, at_label[:, 0], running.chosen),
        )

    nothing = jnp.zeros(labels.shape, jnp.float32)
    running = _Running(nothing + LOWEST, nothing, nothing, nothing)
    running = _over_blocks(add, running, hidden, head, layout=layout)
    if axes := layout.axes("tensor"):
        running = running.raised(jax.lax.pmax(running.top, axes))
        running = running._replace(
            **{k: jax.lax.psum(getattr(running, k), axes) for k in ("total", "moment", "chosen")}
        )
    log_total = jnp.log(running.total)
    out = (
        running.chosen - running.top - log_total,
        log_total - running.moment / running.total,
        running.top + log_total,
    )
    return TokenLogprobs(*(x.reshape(shape) for x in out))


def _gradients(
    hidden: Array,
    head: Array,
    labels: Array,
    *values: Array | None,
    layout: _Layout,
    trains_head: bool,
) -> tuple[Array, Array | None]:
    """By hidden and head on this device.

    Args:
      hidden: Of the rows on this device.
      head: Its part.
      labels: Of the same rows.
      *values: log Z, entropies, and a, b, c of `chunked_logprobs`; None where nothing arrives.
      layout: How the work is cut.
      trains_head: Whether there is a second result.
    """
    shape = hidden.shape
    hidden, labels = hidden.reshape(-1, shape[-1]), _local(labels, head, layout)
    log_z, entropies, a, b, c = jax.tree.map(lambda x: x.reshape(-1, 1), values)
    a, c = (jnp.zeros_like(log_z) if x is None else x for x in (a, c))
    scale = c - a if b is None else c - a - b * entropies

    def add(block: Array, start: Array, sums: tuple[Array, Any]) -> tuple[Array, Any]:
        by_hidden, by_head = sums
        logprobs = layout.product("XD,H->XW", hidden, block) - log_z
        is_label = (labels - start)[:, None] == jnp.arange(logprobs.shape[1])[None, :]
        slopes = scale if b is None else scale - b * logprobs
        slopes = jnp.exp(logprobs) * slopes + jnp.where(is_label, a, 0.0)
        slopes = slopes.astype(hidden.dtype)
        by_hidden = by_hidden + layout.product("XW,H->XD", slopes, block)
        if by_head is not None:
            one = layout.collect(layout.product("XD,XW->H", hidden, slopes)).astype(head.dtype)
            by_head = jax.lax.dynamic_update_slice_in_dim(by_head, one, start, layout.vocab_axis)
        return by_hidden, by_head

    sums = jnp.zeros(hidden.shape, jnp.float32), jnp.zeros_like(head) if trains_head else None
    by_hidden, by_head = _over_blocks(add, sums, hidden, head, layout=layout)
    by_hidden = jax.lax.psum(by_hidden, layout.axes("tensor"))
    return by_hidden.astype(hidden.dtype).reshape(shape), by_head


def _over_blocks(
    add: Callable[[Array, Array, Carry], Carry],
    carry: Carry,
    hidden: Float[Array, "X D"],
    head: Array,
    *,
    layout: _Layout,
) -> Carry:
    """`add` of every block, its first column and what was carried so far."""
    vocabulary = head.shape[layout.vocab_axis]
    width = layout.block_width or default_width(hidden.shape[0], vocabulary)

    def take(start: Any, width: int, carry: Carry) -> Carry:
        block = jax.lax.dynamic_slice_in_dim(head, start, width, layout.vocab_axis)
        # As bits behind a barrier: else XLA sees that only bfloat16 is asked for, and casts and
        # keeps the whole float32 head before the loop.
        bits = jax.lax.bitcast_convert_type(block, f"uint{8 * head.dtype.itemsize}")
        block = jax.lax.bitcast_convert_type(jax.lax.optimization_barrier(bits), head.dtype)
        return add(layout.gather(block.astype(hidden.dtype)), start, carry)

    # What is left has a body of its own: a block that overlapped another would count twice.
    whole, rest = divmod(vocabulary, width)
    carry = jax.lax.fori_loop(0, whole, lambda i, x: take(i * width, width, x), carry)
    return take(jnp.int32(whole * width), rest, carry) if rest else carry


def _local(labels: Array, head: Array, layout: _Layout) -> Int[Array, " X"]:
    """Labels as columns of this device's part of the vocabulary; those of others lie outside."""
    labels = labels.reshape(-1)
    for axis in layout.axes("tensor"):
        labels = labels - jax.lax.axis_index(axis) * head.shape[layout.vocab_axis]
    return labels
