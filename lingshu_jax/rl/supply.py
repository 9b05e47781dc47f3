# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Where the loop gets its rollout batches from: sampled when they are asked for, or one ahead.

    rollouts_ahead 0   sample 1 | train 1 | sample 2 | train 2 | ...
    rollouts_ahead 1   sample 1 | train 1            | train 2 | ...
                                | sample 2           | sample 3

Ahead, batch k + 1 is drawn from a copy of the weights before the updates on batch k, in a thread of
its own. What is old to the loss stays the learner's own forward before the first update on a batch,
so that its ratio begins at 1; that the sampler was older still is in the importance weights of old
over sampler, as in verl.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lingshu_jax.common import errors, metrics, sharding
from lingshu_jax.engines import protocol
from lingshu_jax.rl import ahead, experience, live_engines, pending, questions, rollout
from lingshu_jax.rl import config as rl_config
from lingshu_jax.rl import stream as stream_lib
from lingshu_jax.stages import trainer as trainer_lib

ROLLOUT = "rollout"  # phase of the watchdog
SYNC, HOST, GENERATE, REWARD = "sync", "host", "generate", "reward"  # what time goes into


class Taken(NamedTuple):
    """A rollout batch, as the loop gets it.

    Attributes:
      batch: What to learn from.
      seconds: What the time of sampling it went into; what is left of it is the host's.
      is_ahead: Whether it was sampled while the batch before was trained on.
    """

    batch: experience.Experience
    seconds: dict[str, float]
    is_ahead: bool


class Watched:
    """An engine that tells of every answered request."""

    def __init__(self, engine: protocol.Generator, progress: Callable[[], None]):
        """Wraps it.

        Args:
          engine: Any.
          progress: Called after each request.
        """
        self._engine, self._progress = engine, progress

    def generate(
        self,
        requests: Sequence[protocol.Request],
        *,
        on_result: protocol.OnCompletions | None = None,
    ) -> list[list[protocol.Completion]]:
        """As `protocol.Generator.generate`."""

        def watch(place: int, result: list[protocol.Completion] | protocol.Failure) -> None:
            self._progress()
            if on_result is not None:
                on_result(place, result)
            elif isinstance(result, protocol.Failure):
                raise errors.UserError(result.reason)

        return self._engine.generate(requests, on_result=watch)


class Supply:
    """Rollout batches of a run, and its engine.

    Attributes:
      position: Of the prompt stream after the batch that was taken last.
    """

    def __init__(
        self,
        config: rl_config.RLStageConfig,
        trainer: trainer_lib.Trainer,
        engine: live_engines.LiveEngine,
        *,
        sampler: rollout.Sampler,
        stream: stream_lib.Stream,
    ):
        """Samples nothing yet.

        Args:
          config: The stage.
          trainer: The run, restored.
          engine: Nobody else uses it.
          sampler: How completions are drawn and judged.
          stream: Where prompts come from.
        """
        self._config, self._trainer = config.rl, trainer
        self._engine, self._sampler, self._stream = engine, sampler, stream
        self._ahead: ahead.Ahead[Taken] = ahead.Ahead()
        self._is_awaited = False
        self._sent: tuple[int, int] | None = None
        self._dtype = jnp.dtype(config.model.compute_dtype)
        self.position = stream.position

    def engine_for(self, phase: str) -> protocol.Generator:
        """The engine with the weights as they are; each request that it answers is a phase.

        Args:
          phase: For the watchdog.
        """
        assert not self._ahead.is_begun
        self._trainer.begin(phase)
        self._send()
        return Watched(self._engine, functools.partial(self._trainer.begin, phase))

    def take(self) -> Taken:
        """The groups of the updates from the current step to the end of its rollout batch."""
        if self._ahead.is_begun:
            self._trainer.begin(ROLLOUT)
            self._is_awaited = True
            taken = self._ahead.take()._replace(is_ahead=True)
            self._is_awaited = False
        else:
            wanted, watch = self._wanted(self._trainer.step), metrics.Stopwatch(useful=())
            engine = self.engine_for(ROLLOUT)
            sync = watch.lap(SYNC)
            taken = self._gather(wanted, engine)
            taken.seconds[SYNC] = taken.seconds.get(SYNC, 0.0) + sync
        self.position = taken.batch.position
        return taken

    def begin_next(self) -> None:
        """Begins to sample the batch after the one that is trained on next, where that is asked.

        Otherwise the engine rests.
        """
        trainer = self._trainer
        wanted = self._wanted(self._end(trainer.step))
        if not self._config.rollouts_ahead or wanted.first >= trainer.total_steps:
            self._engine.rest()
            self._sent = None
            return
        self._send()  # where it takes no copy, this lets go of the one before
        if not self._engine.has_own_weights:
            # The updates take the place of the weights that they begin with.
            with sharding.LAUNCH:
                params = _copy(trainer.state.params(), dtype=self._dtype)
            self._engine.set_params(params)
        engine = Watched(self._engine, self._note)
        self._ahead.begin(functools.partial(self._gather, wanted, engine))

    def give_back(self, prompts: Sequence[questions.Prompt]) -> None:
        """The run went back to older weights: what was sampled and not learned from is void.

        Args:
          prompts: Of the batch that was taken last, those that no update learned from.
        """
        self._ahead.cancel()
        self._stream.position = self.position
        self._stream.give_back(prompts)

    def close(self) -> None:
        """Ends sampling ahead, and the engine."""
        self._ahead.close()
        self._engine.close()

    def _send(self) -> None:
        """Gives the engine the weights as they are; a copy that it has already stays."""
        now = (self._trainer.step, self._trainer.guard.rollbacks)
        if self._engine.has_own_weights and self._sent == now:
            return
        self._engine.set_params(self._trainer.state.params())
        self._sent = now

    def _gather(self, wanted: experience.Wanted, engine: protocol.Generator) -> Taken:
        workdir = self._trainer.workdir
        self._engine.take_seconds()  # of an examination
        with pending.opened(workdir, step=wanted.first + 1, lineage=wanted.lineage) as finished:
            batch = experience.gather(
                wanted,
                self._stream,
                engine,
                self._sampler,
                finished=finished,
                max_refills=self._config.max_refills,
            )
        seconds = self._engine.take_seconds() or {GENERATE: batch.generate_seconds}
        seconds.pop(HOST, None)
        return Taken(batch, {**seconds, REWARD: batch.reward_seconds}, is_ahead=False)

    def _wanted(self, first: int) -> experience.Wanted:
        """The batch that is learned from between two steps; weights are those of now."""
        guard = self._trainer.guard
        return experience.Wanted(
            first=first,
            groups=(self._end(first) - first) * self._config.prompts_per_update,
            at=self._trainer.step,
            lineage=(guard.skipped, guard.rollbacks),
        )

    def _end(self, step: int) -> int:
        """The step after the last update of a step's rollout batch."""
        updates = self._config.updates_per_rollout
        return (step // updates + 1) * updates

    def _note(self) -> None:
        """In the thread, after each answered request."""
        self._ahead.check()
        if self._is_awaited:  # else the main thread is in a phase of its own
            self._trainer.begin(ROLLOUT)


@functools.partial(jax.jit, static_argnames="dtype")
def _copy(params: Any, *, dtype: jnp.dtype) -> Any:
    """In the dtype of generation; never the same buffers."""
    return jax.tree.map(lambda leaf: jnp.copy(leaf).astype(dtype), params)
