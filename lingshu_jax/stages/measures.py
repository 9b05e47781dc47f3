# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The numbers of a step, for its metrics row."""

import resource
from collections.abc import Iterator, Mapping, Sequence

import jax
import numpy as np
from jax.experimental import multihost_utils

from lingshu_jax.common import metrics, runtime, sharding, wandb_log
from lingshu_jax.models import flops
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import step
from lingshu_jax.stages import trainer as trainer_lib


def open_writer(
    trainer: trainer_lib.Trainer,
    watch: metrics.Stopwatch,
    *,
    aliases: Mapping[str, Sequence[str]] | None = None,
) -> metrics.MetricsWriter:
    """Where the metric rows of a run go; those of steps that will be taken again are dropped.

    Args:
      trainer: The run, restored.
      watch: Is told what earlier processes of the run have spent; what it took to get here is
        booked as `start`.
      aliases: As of `metrics.MetricsWriter`.
    """
    config, workdir = trainer.config, trainer.workdir
    watch.add(metrics.time_spent(metrics.read_rows(workdir), trainer.step))
    watch.lap("start")
    return metrics.MetricsWriter(
        workdir,
        # At the very start even the row of step 0 is written again.
        after_step=trainer.step or -1,
        others=wandb_log.open_run(config.wandb, workdir, stage_config.to_dict(config)),
        aliases=aliases,
        is_silent=not runtime.is_main_host(),
    )


def host_scalars(values: step.Metrics, sources: tuple[str, ...]) -> dict[str, float | None]:
    """Device scalars as floats; `loss/<source>` only of sources that were in the batch.

    What is not finite is None, which JSON has a word for.

    Args:
      values: From `step.train_step`.
      sources: Names of the mixture.
    """
    values = jax.device_get(values)
    by_source = values.pop("source_loss", np.zeros(0))
    named = {
        f"loss/{name}": float(value)
        for name, value in zip(sources, by_source, strict=True)
        if np.isfinite(value)
    }
    finite = {name: float(v) if np.isfinite(v) else None for name, v in values.items()}
    return {**finite, **named}


def describe_batch(
    arrays: dict[str, np.ndarray],
    trainer: trainer_lib.Trainer,
    watch: metrics.Stopwatch,
    *,
    step_seconds: float,
) -> dict[str, float | None]:
    """Counts, fill, speed and memory of one step, over all processes.

    Args:
      arrays: This process's rows.
      trainer: The run.
      watch: As of `describe_cost`.
      step_seconds: As of `describe_cost`.
    """
    work, counts = measure(arrays)
    if jax.process_count() > 1:
        every = multihost_utils.process_allgather(np.array([*work, *counts.values()]))
        shares = sharding.row_share(trainer.mesh).count  # those of a tensor group hold the same
        means = every.mean(axis=0).tolist()
        work = flops.Work(*(shares * mean for mean in means[: len(work)]))
        counts = {
            name: mean if name.startswith("fill/") else shares * mean
            for name, mean in zip(counts, means[len(work) :], strict=True)
        }
    cost = describe_cost(work, trainer, watch, step_seconds=step_seconds)
    return {**counts, **cost}


def describe_cost(
    work: flops.Work,
    trainer: trainer_lib.Trainer,
    watch: metrics.Stopwatch,
    *,
    step_seconds: float,
) -> dict[str, float | None]:
    """Speed and memory of one step, and where the time went since the last call.

    Call it for the rows that are written alone: the seconds of the steps between two rows then
    stand in the second.

    Args:
      work: Of the step's whole global batch.
      trainer: The run.
      watch: Its laps are `seconds/*`; they are taken.
      step_seconds: Of this step alone; speed and MFU are over them.

    Returns:
      `tokens_per_second`, `flops/text`, `flops/vision` and `mfu` (see `models/flops.py`; None
      where the device's peak is unknown), `goodput` and `run_seconds` of the whole run,
      `memory_bytes`, `seconds/*`.
    """
    seconds = max(step_seconds, 1e-9)
    useful = flops.train_flops(trainer.size, work, trainer.state.trained)
    peak = flops.peak_flops()
    return {
        "tokens_per_second": work.tokens / seconds,
        "flops/text": useful.text,
        "flops/vision": useful.vision,
        "mfu": None if peak is None else useful.total / seconds / peak,
        "goodput": watch.goodput(),
        "run_seconds": watch.run_seconds,
        "memory_bytes": memory_bytes(),
        **{f"seconds/{name}": value for name, value in watch.take().items()},
    }


def measure(arrays: dict[str, np.ndarray]) -> tuple[flops.Work, dict[str, float]]:
    """The real content of packed rows: for FLOPs, and as metrics.

    Args:
      arrays: Stacked rows by field name.

    Returns:
      The work, and `tokens`, `sequences`, `images` (frames), `fill/tokens`, `fill/patches`.
    """
    tokens = list(_group_sizes(arrays["segment_ids"]))
    patches = list(_group_sizes(arrays["patch_frame_ids"]))
    windows = _group_sizes(arrays["window_ids"].reshape(-1, arrays["window_ids"].shape[-1]))
    work = flops.Work(
        tokens=float(sum(tokens)),
        token_pairs=float(sum(n * n for n in tokens)),
        patches=float(sum(patches)),
        frame_pairs=float(sum(n * n for n in patches)),
        window_pairs=float(sum(n * n for n in windows)),
        targets=float(np.count_nonzero(arrays["loss_weights"])),
    )
    counts = {
        "tokens": work.tokens,
        "sequences": float(len(tokens)),
        "images": float(len(patches)),
        "fill/tokens": work.tokens / arrays["segment_ids"].size,
        "fill/patches": work.patches / arrays["patch_frame_ids"].size,
    }
    return work, counts


def memory_bytes() -> float:
    """Peak device memory of the first device; on a CPU the peak of the process."""
    stats = jax.local_devices()[0].memory_stats()
    if stats:
        return float(stats["peak_bytes_in_use"])
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def _group_sizes(ids: np.ndarray) -> Iterator[int]:
    """Sizes of the groups of equal id > 0 in each row."""
    for row in ids:
        counts = np.bincount(row)
        yield from (int(count) for count in counts[1:] if count)
