# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""run(): a stage of supervised training from its config to its last checkpoint."""

import dataclasses
import functools
import math
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lingshu_jax.common import metrics, sharding, structs
from lingshu_jax.data import pipeline, store
from lingshu_jax.models import lora, qwen2_5_vl, sizes
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import inputs, measures, optim, run_folder, step
from lingshu_jax.stages import trainer as trainer_lib

DATA = "data"  # beside a checkpoint: the pipeline's state, which is its own matter


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
    trainer = trainer_lib.Trainer(config, start, total_steps=total_steps, workdir=workdir)
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
    trainer_lib.check_rows(config.data.rows_per_batch, parts)
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


def _train(
    trainer: trainer_lib.Trainer,
    batches: pipeline.Pipeline,
    data_state: Any,
    mixture: inputs.Mixture,
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
    bar = trainer_lib.progress_bar(trainer)
    stream = batches.batches(data_state)
    while trainer.step < trainer.total_steps:
        arrays, data_state = next(stream)
        watch.lap("data")
        rates = trainer.learning_rates()
        batch = structs.Batch.from_arrays(sharding.place_batch(arrays, trainer.mesh))
        trainer.state, values = step_fn(trainer.state, batch, trainer.leaf_rates())
        scalars = measures.host_scalars(values, sources)
        watch.lap("step")
        row = {**scalars, **rates, **measures.describe_batch(arrays, trainer, watch)}
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
