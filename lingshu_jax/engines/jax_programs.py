# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The compiled programs of the JAX engine, with the weights and the devices they run on.

    read     one for each size of prompts (tokens, patches)
    admit    one for each size of prompts and shape of slots
    advance  one for each shape of slots
    score    one for each size of rows

What varies from call to call are numbers in arrays, never shapes.

A training loop may launch programs of its own from another thread meanwhile: each launch takes its
turn (`sharding.LAUNCH`).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from lingshu_jax.common import metrics, sharding, structs
from lingshu_jax.engines import jax_layout
from lingshu_jax.models import generate as decoding
from lingshu_jax.models import sampling, scoring

# Several short prompts are read at once: weights are read once for all of them, and the products
# are large enough for all cores of a CPU.
TOKENS_AT_ONCE = 2048
HOST, PREFILL, DECODE = "host", "prefill", "decode"  # what the time of a generation goes into

_read = jax.jit(decoding.read, static_argnames="model")
_empty = jax.jit(
    decoding.empty,
    static_argnames=("model", "slots", "samples", "prompt_places", "new_places", "is_apart"),
)
_admit = jax.jit(decoding.admit, static_argnames="policy", donate_argnames="slots")
_advance = jax.jit(decoding.advance, static_argnames="policy", donate_argnames="slots")
_score = jax.jit(scoring.logprobs, static_argnames="model")


class Shape(NamedTuple):
    """Of the slots that decode together.

    Attributes:
      slots: Requests.
      samples: Answers of each.
      prompt_places: Tokens of the longest prompt.
      new_places: Tokens of the longest answer.
    """

    slots: int
    samples: int
    prompt_places: int
    new_places: int


class Drawn(NamedTuple):
    """What all rows hold, on the host.

    Attributes:
      tokens: New tokens [B, U].
      logprobs: Of each [B, U].
      lengths: How many there are [B].
      stopped: Whether a stop token ended a row [B].
      ended: Whether anything did [B].
    """

    tokens: np.ndarray
    logprobs: np.ndarray
    lengths: np.ndarray
    stopped: np.ndarray
    ended: np.ndarray


class Programs:
    """Runs them under the mesh of the weights, and only meanwhile."""

    def __init__(
        self,
        layout: jax_layout.Layout,
        policy: decoding.Policy,
        watch: metrics.Stopwatch | None = None,
    ):
        """Compiles nothing yet.

        Args:
          layout: Weights and mesh.
          policy: Model, stop tokens and processors.
          watch: Is told of prompts read and tokens decoded, and of what lies between.
        """
        self._layout, self._policy = layout, policy
        self._watch = watch or metrics.Stopwatch(useful=())
        self.parts = sharding.batch_parts(layout.mesh)

    def rows_at_once(self, tokens: int) -> int:
        """How many rows of a size are scored together: one on each part of the mesh, or more.

        On CPUs one: rows that are missing would cost as much as others.

        Args:
          tokens: Of each.
        """
        return self.parts * (1 if self._layout.is_cpu else _several(tokens))

    def prompts_at_once(self, tokens: int, slots: int) -> int:
        """How many prompts of a size are read together: at most for a quarter of the slots.

        Args:
          tokens: Of each.
          slots: A multiple of the parts.
        """
        quarter = max(1, slots // (4 * self.parts)) * self.parts
        return min(self.parts * _several(tokens), quarter)

    def num_slots(self, rows: int, samples: int) -> int:
        """Slots of so many rows, or more, so that they divide over the mesh.

        Args:
          rows: That decode together.
          samples: Rows of a slot.
        """
        return max(1, -(-(rows // samples) // self.parts)) * self.parts

    def empty(self, shape: Shape) -> decoding.Slots:
        """Slots without requests.

        Args:
          shape: Of all of them.
        """
        with jax.set_mesh(self._layout.mesh), sharding.LAUNCH:
            is_apart = self._layout.is_cpu
            return _empty(self._policy.model, **shape._asdict(), is_apart=is_apart)

    def admit(
        self,
        slots: decoding.Slots,
        batch: structs.Batch,
        *,
        positions: np.ndarray,
        places: np.ndarray,
        rules: sampling.Sampling,
    ) -> decoding.Slots:
        """Reads prompts into free slots; see `models/generate.py`.

        Args:
          slots: Donated.
          batch: One prompt a row.
          positions: Rotary position of the first token after each.
          places: The slot of each.
          rules: Of each one's samples.
        """
        layout, policy = self._layout, self._policy
        self._watch.lap(HOST)
        with jax.set_mesh(layout.mesh):
            placed = jax_layout.place(batch, layout.mesh)
            with sharding.LAUNCH:
                prompts = _read(layout.params, placed, positions, model=policy.model)
            with sharding.LAUNCH:
                slots = _admit(layout.decoder, slots, prompts, places, rules=rules, policy=policy)
        self._watch.lap(PREFILL)
        return slots

    def advance(
        self, slots: decoding.Slots, is_live: np.ndarray, *, steps: int, enough: int
    ) -> tuple[decoding.Slots, Drawn]:
        """Decodes; see `models/generate.py`.

        Args:
          slots: Donated.
          is_live: False ends a row.
          steps: Tokens a row at the most.
          enough: Free slots at which to come back earlier.
        """
        self._watch.lap(HOST)
        # Decoding would wait for the prompts anyway; so each has its own time.
        jax.block_until_ready(slots)
        self._watch.lap(PREFILL)
        with jax.set_mesh(self._layout.mesh), sharding.LAUNCH:
            slots = _advance(
                self._layout.decoder,
                slots,
                is_live,
                steps=np.int32(steps),
                enough=np.int32(enough),
                policy=self._policy,
            )
        fields: Sequence[Any] = [getattr(slots.answers, name) for name in Drawn._fields]
        drawn = Drawn(*jax.device_get(fields))
        self._watch.lap(DECODE)
        return slots, drawn

    def score(self, batch: structs.Batch) -> np.ndarray:
        """log p [P, T] of the tokens that have a weight, each given those before it.

        Args:
          batch: Rows with branches.
        """
        with jax.set_mesh(self._layout.mesh):
            placed = jax_layout.place(batch, self._layout.mesh)
            with sharding.LAUNCH:
                scored = _score(self._layout.params, placed, model=self._policy.model)
        return np.asarray(jax.device_get(scored))


def _several(tokens: int) -> int:
    """Rows for each part of a mesh, a power of two: that often divides what waits."""
    return 1 << (max(1, TOKENS_AT_ONCE // tokens).bit_length() - 1)
