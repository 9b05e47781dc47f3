# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The numbers of a step, for its metrics row."""

import resource
from collections.abc import Iterator

import jax
import numpy as np

from lingshu_jax.common import metrics
from lingshu_jax.models import flops
from lingshu_jax.stages import step
from lingshu_jax.stages import trainer as trainer_lib


def host_scalars(values: step.Metrics, sources: tuple[str, ...]) -> dict[str, float | None]:
    """Device scalars as floats; `loss/<source>` only of sources that were in the batch.

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
    return {**{name: float(value) for name, value in values.items()}, **named}


def describe_batch(
    arrays: dict[str, np.ndarray], trainer: trainer_lib.Trainer, watch: metrics.Stopwatch
) -> dict[str, float | None]:
    """Counts, fill, speed and memory of one step.

    Args:
      arrays: This process's rows; the other processes hold alike.
      trainer: The run.
      watch: Its laps are the seconds; they are taken.
    """
    work, counts = measure(arrays)
    work = flops.Work(*(value * jax.process_count() for value in work))
    laps = watch.take()
    seconds = max(laps["step"], 1e-9)
    useful = flops.train_flops(trainer.size, work, trainer.state.trained)
    peak = flops.peak_flops()
    return {
        **counts,
        "tokens_per_second": work.tokens / seconds,
        "mfu": None if peak is None else useful / seconds / peak,
        "goodput": watch.goodput(),
        "memory_bytes": memory_bytes(),
        **{f"seconds/{name}": value for name, value in laps.items()},
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
    work = flops.Work(
        tokens=float(sum(tokens)),
        token_pairs=float(sum(n * n for n in tokens)),
        patches=float(sum(patches)),
        frame_pairs=float(sum(n * n for n in patches)),
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
