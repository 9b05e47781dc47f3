# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""From the sequences of an update to the optimizer's step, pass by pass.

The old policy and the reference model, where both are held in the same dtypes, are read by one
compiled program; gradients by another.
"""

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from jaxtyping import Array, Float, Float32

from lingshu_jax.common import sharding, structs, topologies
from lingshu_jax.data import messages, packing
from lingshu_jax.models import flops, lora, qwen2_5_vl
from lingshu_jax.rl import config as rl_config
from lingshu_jax.rl import config_loss, losses, rollout, rows, step
from lingshu_jax.stages import measures, optim
from lingshu_jax.stages import trainer as trainer_lib

Passes = list[list[rows.Row]]
PLACES = "places"  # the extra that `step.kl_sums` reads


class Known(NamedTuple):
    """What is computed once, before the first update on a rollout batch.

    Attributes:
      extras: Of each pass: `old_logprobs` unless the weights are still those of its first update,
        `ref_logprobs` where there is a reference for the loss.
      flops: Useful operations of their forward passes.
    """

    extras: list[dict[str, Float[Array, "B T"]]]
    flops: float


class Learned(NamedTuple):
    """What an update reports: scalars by name, and the work it was."""

    scalars: dict[str, float | None]
    work: flops.Work


class Programs(NamedTuple):
    """The jitted functions of an update; see `step` for their arguments.

    Attributes:
      logprobs: `step.token_logprobs`.
      kl_sums: `step.kl_sums`; `count` is static.
      gradients: `step.gradient_pass`.
      add: `step.add_passes`; the first sums are donated.
      update: `step.update`; the state is donated.
    """

    logprobs: jax.stages.Wrapped
    kl_sums: jax.stages.Wrapped
    gradients: jax.stages.Wrapped
    add: jax.stages.Wrapped
    update: jax.stages.Wrapped


def make_programs(
    config: rl_config.RLConfig,
    model: qwen2_5_vl.Qwen2_5_VL,
    optimizer: optax.GradientTransformation,
    *,
    device_kind: str = "",
) -> Programs:
    """The programs of a stage; nothing is compiled yet.

    Args:
      config: GRPO's part of the stage.
      model: The model.
      optimizer: From `optim.make_optimizer`.
      device_kind: JAX's name of the devices, for the compiler's options.
    """
    options = make_options(config)
    jit = functools.partial(jax.jit, compiler_options=topologies.COMPILER_OPTIONS.get(device_kind))
    return Programs(
        logprobs=jit(functools.partial(step.token_logprobs, model=model)),
        kl_sums=jit(
            functools.partial(step.kl_sums, estimator=config.kl_estimator), static_argnames="count"
        ),
        gradients=jit(functools.partial(step.gradient_pass, model=model, options=options)),
        add=jit(step.add_passes, donate_argnums=0),
        update=jit(functools.partial(step.update, optimizer=optimizer), donate_argnums=0),
    )


class Learner:
    """Updates a trainer's state from rollouts."""

    def __init__(
        self,
        config: rl_config.RLStageConfig,
        trainer: trainer_lib.Trainer,
        encoder: messages.Encoder,
        reference: optim.Leaves | None,
    ):
        """Compiles nothing yet.

        Args:
          config: The stage.
          trainer: Holds model, optimizer and state.
          encoder: Tokenizer and geometry of the sequences.
          reference: Path -> leaf of the reference model where it is not the frozen one of the
            trainer, which it shares; None where `kl_coef` is 0, and it is not read.
        """
        self._config, self._trainer, self._encoder = config, trainer, encoder
        self._reference = reference
        self._budget = packing.Budget(config.data.tokens_per_row, config.data.patches_per_row)
        device_kind = trainer.mesh.devices.flat[0].device_kind
        self._programs = make_programs(
            config.rl, trainer.model, trainer.optimizer, device_kind=device_kind
        )

    def plan(self, groups: Sequence[Sequence[messages.Encoded]]) -> Passes:
        """Packs the sequences of one update into passes.

        Args:
          groups: From `rollout.to_sequences`.
        """
        return rows.plan(
            groups,
            self._budget,
            geometry=self._encoder.geometry,
            rows_per_pass=self._config.data.rows_per_batch,
        )

    def kl_penalty(self, groups: Sequence[rollout.Group]) -> Float32[np.ndarray, "Q R"]:
        """The KL estimate of each completion, for the reward: the sum over its tokens.

        Args:
          groups: Completions of R each; the weights are those that the old policy of the first
            update on them has.
        """
        numbers = itertools.count(1)
        passes = self.plan(
            [[_with_place(one, c.tokens, next(numbers)) for c in one.completions] for one in groups]
        )
        policy, reference = self._trainer.state.params(), self._reference_params()
        count = sum(len(one.completions) for one in groups)
        total = np.zeros(count, np.float32)
        for one in passes:
            batch = self._place(self._assemble(one, (PLACES,)))
            ours, theirs = self._logprobs(policy, batch), self._logprobs(reference, batch)
            with sharding.LAUNCH:
                sums = self._programs.kl_sums(ours, theirs, batch.extras[PLACES], count=count)
            total += np.asarray(jax.device_get(sums))
        return total.reshape(len(groups), -1)

    def known(self, passes: Passes, *, is_first: bool) -> Known:
        """The log-probabilities that an update takes as given.

        Args:
          passes: Of the update.
          is_first: Whether it is the first on its rollout batch: the old policy is then the one in
            training.
        """
        params, works, extras = self._trainer.state.params(), [], []
        reads = {} if is_first else {"old_logprobs": params}
        if self._config.rl.has_kl_loss:
            reads["ref_logprobs"] = self._reference_params()
        for one in passes if reads else ():
            arrays = self._assemble(one)
            works.append(_measure(arrays))
            batch = self._place(arrays)
            extras.append({name: self._logprobs(read, batch) for name, read in reads.items()})
        forward = flops.train_flops(self._trainer.size, self._all(works), ()).total
        return Known(extras or [{} for _ in passes], len(reads) * forward)

    def learn(self, passes: Passes, known: Known) -> Learned:
        """Takes one optimizer step.

        Args:
          passes: Of the update, at least one.
          known: Of the same update.
        """
        state = self._trainer.state
        total, works = None, []
        for one, extras in zip(passes, known.extras, strict=True):
            arrays = self._assemble(one)
            works.append(_measure(arrays))
            batch = self._place(arrays)
            batch = dataclasses.replace(batch, extras={**batch.extras, **extras})
            with sharding.LAUNCH:
                sums = self._programs.gradients(state.trained, state.frozen, batch)
            with sharding.LAUNCH:
                total = sums if total is None else self._programs.add(total, sums)
        with sharding.LAUNCH:
            state, values = self._programs.update(state, total, self._trainer.leaf_rates())
        self._trainer.advance(state)
        scalars = measures.host_scalars(values, ())
        work = self._all(works)
        capacity = len(passes) * self._config.data.rows_per_batch
        scalars["fill/tokens"] = work.tokens / (capacity * self._budget.tokens)
        scalars["fill/patches"] = work.patches / (capacity * self._budget.patches)
        return Learned(scalars, work)

    def _logprobs(self, params: Any, batch: structs.Batch) -> Float[Array, "B T"]:
        with sharding.LAUNCH:
            return self._programs.logprobs(params, batch)

    def _all(self, works: Sequence[flops.Work]) -> flops.Work:
        """The work of all processes, of which each has an equal share."""
        shares = sharding.row_share(self._trainer.mesh).count
        nothing = flops.Work(*(0.0 for _ in flops.Work._fields))
        return flops.Work(*(sum(column) * shares for column in zip(nothing, *works, strict=True)))

    def _reference_params(self) -> dict[str, Any]:
        frozen = self._trainer.state.frozen.items()
        shared = {name: leaf for name, leaf in frozen if not lora.is_adapter(name)}
        return optim.unflatten({**shared, **(self._reference or {})})

    def _place(self, arrays: dict[str, np.ndarray]) -> structs.Batch:
        return structs.Batch.from_arrays(sharding.place_batch(arrays, self._trainer.mesh))

    def _assemble(
        self, one: list[rows.Row], extras: Sequence[str] = rows.EXTRAS
    ) -> dict[str, np.ndarray]:
        """The rows of this process, decoded."""
        share = sharding.row_share(self._trainer.mesh)
        here = len(one) // share.count
        first = share.index * here
        return rows.assemble(
            one[first : first + here],
            self._budget,
            geometry=self._encoder.geometry,
            pad_id=self._encoder.special.pad,
            extras=extras,
        )


def make_options(config: config_loss.LossConfig) -> losses.Options:
    """The loss's constants out of the config.

    Args:
      config: Its part on the loss.
    """
    return losses.Options(
        clip=losses.Clip(low=config.clip_low, high=config.clip_high, dual=config.clip_dual),
        objective=config.objective,
        ratio=config.ratio,
        kl_coef=config.kl_coef if config.has_kl_loss else 0.0,
        kl_estimator=config.kl_estimator,
        importance_cap=config.importance_cap or None,
        importance_level=config.importance_level,
    )


def _with_place(group: rollout.Group, tokens: Sequence[int], number: int) -> messages.Encoded:
    """A completed sequence whose tokens carry the number of their completion."""
    ones = np.ones(len(tokens), np.float32)
    return messages.extend(
        group.prompt.encoded, tokens, loss_weights=ones, extras={PLACES: number * ones}
    )


def _measure(arrays: dict[str, np.ndarray]) -> flops.Work:
    """The content of rows; a branch's sight of its trunk is not counted."""
    compact = [np.unique(row, return_inverse=True)[1] for row in arrays["segment_ids"]]
    is_used = (arrays["segment_ids"] > 0).astype(np.int64)
    # unique numbers ids from 0 up; rows without padding have no id 0 of their own
    return measures.measure({**arrays, "segment_ids": (np.stack(compact) + 1) * is_used})[0]
