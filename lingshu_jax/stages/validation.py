# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What a stage measures on other rows while it trains; nothing of it changes what is trained.

The loss of held-out rows is computed here, packed and weighted as the trained rows are. Whatever
else is to be known of the weights, such as small benchmarks, a function measures that the caller
of `loop.run` passes in.
"""

import dataclasses
import functools
import math
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from lingshu_jax.common import errors, sharding, structs
from lingshu_jax.data import manifests, pipeline
from lingshu_jax.data import sources as data_sources
from lingshu_jax.models import qwen2_5_vl
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import inputs, step
from lingshu_jax.stages import trainer as trainer_lib

LOSS = "validation/loss"  # and validation/loss/<source>
PHASE = "validation"  # for the watchdog and the seconds


class Live(NamedTuple):
    """The weights as they are between two steps.

    Attributes:
      params: Nested dict, adapters among them; do not keep it, the next step overwrites it.
      model: Computes with them.
      assets: Folder with tokenizer and processor.
      step: Optimizer steps taken.
      workdir: The run's folder.
      progress: To be called between the parts of a long measure: to the watchdog each is a phase.
    """

    params: Any
    model: qwen2_5_vl.Qwen2_5_VL
    assets: pathlib.Path
    step: int
    workdir: pathlib.Path
    progress: Callable[[], None]


# Every process calls it at the same steps; what it returns goes into the metrics row.
Examine = Callable[[Live], Mapping[str, float]]


class HeldOut(NamedTuple):
    """The rows whose loss is measured.

    Attributes:
      batches: One epoch of them.
      names: Of their sources.
      manifest: Files, rows and digests.
      dropped: Rows that were refused.
    """

    batches: pipeline.Pipeline
    names: tuple[str, ...]
    manifest: manifests.Manifest
    dropped: list[data_sources.Dropped]


class Validation:
    """Takes its measures when they are due."""

    def __init__(
        self,
        trainer: trainer_lib.Trainer,
        assets: pathlib.Path,
        *,
        held_out: HeldOut | None,
        examine: Examine | None,
    ):
        """Measures nothing yet.

        Args:
          trainer: The run.
          assets: Folder with tokenizer and processor.
          held_out: From `read`.
          examine: Measures something else.
        """
        self._trainer, self._assets, self._examine = trainer, assets, examine
        self._held_out, self._sums = held_out, None
        if held_out:
            sources = len(held_out.names)
            sums = functools.partial(step.batch_loss, model=trainer.model, num_sources=sources)
            self._sums = jax.jit(sums)

    def is_due(self) -> bool:
        """Whether it is to be taken now: before the first step, every so many, at the end."""
        now, every = self._trainer.step, self._trainer.config.validation.every_steps
        return every > 0 and (now % every == 0 or now == self._trainer.total_steps)

    def take(self) -> dict[str, float]:
        """Measures the weights as they are.

        Returns:
          `validation/loss`, `validation/loss/<source>` and what `examine` gives.
        """
        self._begin()
        scalars = self._loss()
        if self._examine:
            self._begin()
            live = Live(
                params=self._trainer.state.params(),
                model=self._trainer.model,
                assets=self._assets,
                step=self._trainer.step,
                workdir=self._trainer.workdir,
                progress=self._begin,
            )
            scalars |= self._examine(live)
        return scalars

    def _begin(self) -> None:
        self._trainer.begin(PHASE)

    def _loss(self) -> dict[str, float]:
        """The weighted mean over all rows, whole and by source."""
        if not self._held_out or not self._sums:
            return {}
        params, mesh = self._trainer.state.params(), self._trainer.mesh
        totals, weights = np.zeros(2, object)
        for arrays, _ in self._held_out.batches.batches():
            batch = structs.Batch.from_arrays(sharding.place_batch(arrays, mesh))
            by_source = jax.device_get(self._sums(params, batch).by_source)
            totals += np.asarray(by_source.total, np.float64)
            weights += np.asarray(by_source.weight, np.float64)
            self._begin()
        pairs = zip(self._held_out.names, totals, weights, strict=True)
        return {
            LOSS: float(totals.sum() / weights.sum()),
            **{f"{LOSS}/{name}": float(t / w) for name, t, w in pairs if w},
        }


def read(
    config: stage_config.StageConfig, assets: pathlib.Path, workdir: pathlib.Path
) -> HeldOut | None:
    """Reads and encodes the rows whose loss is measured.

    Args:
      config: The stage, complete.
      assets: Folder with the tokenizer.
      workdir: The run's folder.

    Returns:
      None where no loss is measured.

    Raises:
      UserError: If a source cannot be read or gives no row.
    """
    wanted = config.validation
    if not wanted.sources or not wanted.every_steps:
        return None
    most = math.ceil(wanted.rows / len(wanted.sources))
    sources = tuple(
        dataclasses.replace(source, limit=min(source.limit or most, most))
        for source in wanted.sources
    )
    data = dataclasses.replace(config.data, sources=sources, without=(), fraction=1.0)
    mixture = inputs.read_mixture(data, workdir)
    encoded = inputs.encode(data, mixture, assets, workdir=workdir)
    for place, name in enumerate(mixture.names):
        if place not in encoded.source_ids:
            reasons = [row.reason for row in encoded.dropped if row.source == name]
            raise errors.UserError(
                f"config.validation.sources: {name!r} gives no row to measure, the first of "
                f"{len(reasons)} was refused: {reasons[0]}"
            )
    mesh = config.mesh.make_mesh()
    share = sharding.row_share(mesh)
    layout = dataclasses.replace(
        data.layout,
        rows_per_batch=rows_per_batch(config, sharding.batch_parts(mesh)),
        sequences_per_batch=0,
    )
    batches = pipeline.Pipeline(
        encoded,
        layout=layout,
        amounts=mixture.amounts,
        epochs=1,
        seed=data.seed,
        process_index=share.index,
        process_count=share.count,
    )
    dropped = [*mixture.dropped, *encoded.dropped]
    manifest = mixture.manifest.counted(dropped, encoded.rewritten)
    return HeldOut(batches, mixture.names, manifest, dropped)


def rows_per_batch(config: stage_config.StageConfig, multiple: int) -> int:
    """Rows that are computed at a time: about a micro-batch of training, which fits.

    Args:
      config: The stage, complete.
      multiple: What they must be a multiple of.
    """
    micro = config.data.rows_per_batch // config.accumulation_steps
    return max(1, micro // multiple) * multiple
