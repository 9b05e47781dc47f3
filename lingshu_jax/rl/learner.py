# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""From the sequences of an update to the optimizer's step, pass by pass.

The old policy and the reference model, where both are held in the same dtypes, are read by one
compiled program; gradients by another.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from lingshu_jax.common import sharding, structs, topologies
from lingshu_jax.data import messages, packing
from lingshu_jax.models import flops, lora, qwen2_5_vl
from lingshu_jax.rl import config as rl_config
from lingshu_jax.rl import losses, rows, step
from lingshu_jax.stages import measures, optim
from lingshu_jax.stages import trainer as trainer_lib

Passes = list[list[rows.Row]]
OldLogprobs = Sequence[Float[Array, "B T"]]


class Learned(NamedTuple):
    """What an update reports: scalars by name, and the work it was."""

    scalars: dict[str, float | None]
    work: flops.Work


class Programs(NamedTuple):
    """The jitted functions of an update; see `step` for their arguments.

    Attributes:
      logprobs: `step.token_logprobs`.
      gradients: `step.gradient_pass`.
      add: `step.add_passes`; the first sums are donated.
      update: `step.update`; the state is donated.
    """

    logprobs: jax.stages.Wrapped
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
            trainer, which it shares; None where `kl_coef` is 0.
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

    def old_logprobs(self, passes: Passes) -> OldLogprobs:
        """The current weights' log-probabilities, to be the old ones of a later update.

        Args:
          passes: Of that update.
        """
        params = self._trainer.state.params()
        return [self._programs.logprobs(params, self._place(self._assemble(one))) for one in passes]

    def learn(self, passes: Passes, old: OldLogprobs | None) -> Learned:
        """Takes one optimizer step.

        Args:
          passes: Of the update, at least one.
          old: From `old_logprobs`; None where the weights are those that sampled.
        """
        state = self._trainer.state
        denominator = jnp.float32(_total_weight(passes))
        total, works = None, []
        for place, one in enumerate(passes):
            arrays = self._assemble(one)
            works.append(_measure(arrays))
            batch = self._place(arrays)
            known = {} if old is None else {"old_logprobs": old[place]}
            if self._reference is not None:
                known["ref_logprobs"] = self._programs.logprobs(self._reference_params(), batch)
            batch = dataclasses.replace(batch, extras={**batch.extras, **known})
            sums = self._programs.gradients(state.trained, state.frozen, batch, denominator)
            total = sums if total is None else self._programs.add(total, sums)
        state, values = self._programs.update(state, total, self._trainer.leaf_rates())
        self._trainer.advance(state)
        scalars = measures.host_scalars(values, ())
        shares = sharding.row_share(self._trainer.mesh).count
        work = flops.Work(*(sum(column) * shares for column in zip(*works, strict=True)))
        capacity = len(passes) * self._config.data.rows_per_batch
        scalars["fill/tokens"] = work.tokens / (capacity * self._budget.tokens)
        scalars["fill/patches"] = work.patches / (capacity * self._budget.patches)
        return Learned(scalars, work)

    def _reference_params(self) -> dict[str, Any]:
        frozen = self._trainer.state.frozen.items()
        shared = {name: leaf for name, leaf in frozen if not lora.is_adapter(name)}
        return optim.unflatten({**shared, **(self._reference or {})})

    def _place(self, arrays: dict[str, np.ndarray]) -> structs.Batch:
        return structs.Batch.from_arrays(sharding.place_batch(arrays, self._trainer.mesh))

    def _assemble(self, one: list[rows.Row]) -> dict[str, np.ndarray]:
        """The rows of this process, decoded."""
        share = sharding.row_share(self._trainer.mesh)
        here = len(one) // share.count
        first = share.index * here
        return rows.assemble(
            one[first : first + here],
            self._budget,
            geometry=self._encoder.geometry,
            pad_id=self._encoder.special.pad,
        )


def make_options(config: rl_config.RLConfig) -> step.Options:
    """The loss's constants out of the config.

    Args:
      config: GRPO's part of it.
    """
    return step.Options(
        clip=losses.Clip(low=config.clip_low, high=config.clip_high, dual=config.clip_dual),
        kl_coef=config.kl_coef,
        importance_cap=config.importance_cap or None,
    )


def _total_weight(passes: Passes) -> float:
    """The denominator of an update: its completion tokens, or its completions."""
    return float(sum(tree.loss_weights.sum() for one in passes for row in one for tree in row))


def _measure(arrays: dict[str, np.ndarray]) -> flops.Work:
    """The content of rows; a branch's sight of its trunk is not counted."""
    compact = [np.unique(row, return_inverse=True)[1] for row in arrays["segment_ids"]]
    is_used = (arrays["segment_ids"] > 0).astype(np.int64)
    # unique numbers ids from 0 up; rows without padding have no id 0 of their own
    return measures.measure({**arrays, "segment_ids": (np.stack(compact) + 1) * is_used})[0]
