# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""run(): a stage of supervised training from its config to its last checkpoint."""

import dataclasses
import functools
import math
import pathlib
import resource
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tqdm

from lingshu_jax.common import checkpoints, errors, metrics, runtime, sharding, structs
from lingshu_jax.data import pipeline, store
from lingshu_jax.models import flops, hf_config, lora, qwen2_5_vl, sizes
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import initial as initial_weights
from lingshu_jax.stages import inputs, optim, run_folder, step
from lingshu_jax.stages import state as train_state

# Beside a checkpoint: the pipeline's state, which is its own matter, and the paths of the trained
# parameters, which say whether the adapters are all that a run changed.
DATA, TRAINED = "data", "trained"


def run(config: stage_config.StageConfig, workdir: pathlib.Path) -> dict[str, Any]:
    """Trains one stage; continues from the newest checkpoint; a finished run is left alone.

    Args:
      config: Validated.
      workdir: The run's folder (design: `config.json`, `params.txt`, `metrics.jsonl`,
        `tensorboard/`, `checkpoints/`).

    Returns:
      What `finished.json` holds: steps, first and last loss, rows dropped, fill.

    Raises:
      UserError: If the folder holds another run, or an input cannot be used.
    """
    finished = run_folder.open_run(config, workdir)
    if finished is not None:
        return finished
    rows_multiple = _rows_multiple(config)
    mixture = inputs.read_mixture(config.data, workdir, epochs=config.epochs)
    start = inputs.find_initial(config, mixture, workdir)
    _check_patterns(config, start.size)
    encoded = inputs.encode(config.data, mixture, start.assets, workdir=workdir)
    data = inputs.complete(
        config.data, mixture, encoded, workdir=workdir, rows_multiple=rows_multiple
    )
    config = dataclasses.replace(config, data=data)
    batches = make_pipeline(config, mixture, encoded)
    total_steps = config.steps or batches.num_batches or 0
    trainer = Trainer(config, start, total_steps=total_steps, workdir=workdir)
    dropped, rewritten = [*mixture.dropped, *encoded.dropped], encoded.rewritten
    manifest = mixture.manifest.counted(dropped, rewritten)
    inputs.write_data(workdir, manifest, dropped, start=start, rewritten=rewritten)
    data_state = trainer.restore().get(DATA)
    rows = _train(trainer, batches, data_state, mixture)
    summary = {
        "stage": config.stage,
        "steps": total_steps,
        "first_loss": rows[0]["loss"],
        "last_loss": rows[-1]["loss"],
        "examples": batches.num_examples,
        "dropped": len(dropped),
        "rewritten": len(rewritten),
        "fill": {"tokens": rows[-1]["fill/tokens"], "patches": rows[-1]["fill/patches"]},
        "tokens_per_second": float(np.median([row["tokens_per_second"] for row in rows])),
        "trained": [group.pattern for group in trainer.groups if group.peak is not None],
        "frozen": [group.pattern for group in trainer.groups if group.peak is None],
    }
    run_folder.finish(workdir, summary)
    return summary


def _check_patterns(config: stage_config.StageConfig, size: sizes.ModelSize) -> None:
    """Refuses patterns that win nothing, before rows are encoded and weights loaded."""
    shapes: Any = qwen2_5_vl.abstract_params(size, jnp.dtype(config.model.param_dtype))
    if config.lora.modules:
        options = {"rank": config.lora.rank, "alpha": config.lora.alpha}
        make = functools.partial(lora.init, shapes, config.lora.modules, **options)
        shapes = lora.join(shapes, jax.eval_shape(lambda key: make(key=key), jax.random.key(0)))
    optim.assign_groups(list(optim.flatten(shapes)), config.trainable)


def _rows_multiple(config: stage_config.StageConfig) -> int:
    """What the rows of a batch must be a multiple of, where they are computed."""
    parts = sharding.batch_parts(sharding.make_mesh(config.mesh.sizes()))
    _check_rows(config.data.rows_per_batch, parts)
    return math.lcm(parts * config.accumulation_steps, jax.process_count())


def make_pipeline(
    config: stage_config.StageConfig, mixture: inputs.Mixture, encoded: store.Store
) -> pipeline.Pipeline:
    """The packed batches of a stage.

    Args:
      config: The stage, complete.
      mixture: Its examples.
      encoded: The same, encoded.
    """
    return pipeline.Pipeline(
        encoded,
        layout=config.data.layout,
        amounts=mixture.amounts,
        epochs=config.epochs or None,
        seed=config.data.seed,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )


def format_summary(summary: dict[str, Any]) -> str:
    """The summary as aligned lines.

    Args:
      summary: From `run`.
    """
    width = max(len(name) for name in summary)
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in summary.items())


class Trainer:
    """Model, optimizer, state and files of a run; supervised and reinforcement loops share it.

    Attributes:
      config: The stage.
      size: The model's sizes.
      model: The model in its compute dtype.
      mesh: The devices.
      groups: Parameters by pattern.
      optimizer: Over the trained leaves.
      state: What training changes.
      total_steps: Optimizer steps of the whole run.
      workdir: The run's folder.
    """

    def __init__(
        self,
        config: stage_config.StageConfig,
        start: initial_weights.Initial,
        *,
        total_steps: int,
        workdir: pathlib.Path,
    ):
        """Loads the weights, makes the state, writes `params.txt` and the other side files.

        Args:
          config: The stage.
          start: Where the weights are.
          total_steps: Optimizer steps of the whole run.
          workdir: The run's folder.
        """
        self.config, self.size, self.workdir = config, start.size, workdir
        self.total_steps = total_steps
        self.mesh = sharding.make_mesh(config.mesh.sizes())
        _check_rows(config.data.rows_per_batch, sharding.batch_parts(self.mesh))
        self.model = make_model(config.model, start.size)
        params = start.load(self.mesh, jnp.dtype(config.model.param_dtype))
        params = train_state.add_adapters(params, config.lora, self.mesh, seed=config.seed)
        self.groups = optim.assign_groups(list(optim.flatten(params)), config.trainable)
        self.optimizer = optim.make_optimizer(config.optim)
        self.state = train_state.create(params, self.groups, self.optimizer, self.mesh)
        self._saved = checkpoints.Checkpoints(workdir / "checkpoints", keep=config.keep_checkpoints)
        if runtime.is_main_host():
            run_folder.begin(config, workdir)
            described = optim.describe(params, self.groups, config.optim.weight_decay)
            (workdir / "params.txt").write_text(described, encoding="utf-8")
            self._saved.write_assets(
                start.assets, hf_config.dump(start.size, dtype=config.model.param_dtype)
            )

    @property
    def step(self) -> int:
        """Optimizer steps taken."""
        return int(self.state.step)

    def restore(self) -> dict[str, Any]:
        """Goes to the newest checkpoint, if there is one.

        Returns:
          The JSON values saved beside it; empty at the very start.
        """
        if self._saved.latest_step() is None:
            return {}
        self.state, meta = train_state.restore(self._saved, self.state, self.mesh)
        return meta

    def save_if_due(self, meta: dict[str, Any]) -> None:
        """Saves every `save_every_steps` and at the end.

        Args:
          meta: JSON values that say how to go on after this step.
        """
        if self.step % self.config.save_every_steps == 0 or self.step == self.total_steps:
            meta = {**meta, TRAINED: list(self.state.trained)}
            train_state.save(self._saved, self.state, meta, step=self.step)

    def learning_rates(self) -> dict[str, float]:
        """`lr/<group>` that the next step will use."""
        return optim.learning_rates(self.groups, self.config.optim, self.total_steps, self.step)

    def leaf_rates(self) -> dict[str, np.float32]:
        """The same for each trained leaf, by path."""
        return optim.leaf_rates(self.groups, self.config.optim, self.total_steps, self.step)

    def close(self) -> None:
        """Waits for the last save."""
        self._saved.wait()
        self._saved.close()


def make_model(config: stage_config.ModelConfig, size: sizes.ModelSize) -> qwen2_5_vl.Qwen2_5_VL:
    """The model as a stage computes it.

    Args:
      config: Dtypes and rematerialisation.
      size: The sizes.
    """
    return qwen2_5_vl.Qwen2_5_VL(
        size=size,
        dtype=jnp.dtype(config.compute_dtype),
        param_dtype=jnp.dtype(config.param_dtype),
        remat=config.remat,
    )


def _check_rows(rows: int, parts: int) -> None:
    if rows % parts:
        raise errors.UserError(
            f"config.data.rows_per_batch must be a multiple of the {parts} devices along the mesh "
            f"axes data and fsdp, got {rows}"
        )


def _train(
    trainer: Trainer, batches: pipeline.Pipeline, data_state: Any, mixture: inputs.Mixture
) -> list[dict[str, Any]]:
    """The loop proper; returns all metric rows of the run."""
    sources, digest = mixture.names, mixture.manifest.sha256
    step_fn = jax.jit(
        functools.partial(
            step.train_step,
            model=trainer.model,
            optimizer=trainer.optimizer,
            accumulation_steps=trainer.config.accumulation_steps,
            num_sources=len(sources),
        ),
        donate_argnums=0,
    )
    writer = metrics.MetricsWriter(trainer.workdir, after_step=trainer.step)
    watch = metrics.Stopwatch(useful=("step",))
    bar = progress_bar(trainer)
    stream = batches.batches(data_state)
    while trainer.step < trainer.total_steps:
        arrays, data_state = next(stream)
        watch.lap("data")
        rates = trainer.learning_rates()
        batch = structs.Batch.from_arrays(sharding.place_batch(arrays, trainer.mesh))
        trainer.state, values = step_fn(trainer.state, batch, trainer.leaf_rates())
        scalars = host_scalars(values, sources)
        watch.lap("step")
        row = {**scalars, **rates, **describe_batch(arrays, trainer, watch)}
        is_last = trainer.step == trainer.total_steps
        if trainer.step % trainer.config.log_every_steps == 0 or is_last:
            writer.write(trainer.step, row)
        bar.set_postfix(loss=f"{row['loss']:.3f}", refresh=False)
        bar.update()
        # The position is saved with the step it belongs to: what comes next, not what came.
        trainer.save_if_due({DATA: data_state, inputs.MIXTURE: digest})
        watch.lap("save")
    trainer.close()
    writer.close()
    bar.close()
    return metrics.read_rows(trainer.workdir)


def progress_bar(trainer: Trainer) -> tqdm.tqdm:
    """A bar over optimizer steps, on the main host only.

    Args:
      trainer: Gives the stage, the total and where it stands.
    """
    return tqdm.tqdm(
        total=trainer.total_steps,
        initial=trainer.step,
        desc=trainer.config.stage,
        unit="step",
        disable=not runtime.is_main_host(),
    )


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
    arrays: dict[str, np.ndarray], trainer: Trainer, watch: metrics.Stopwatch
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
