# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""run(): a stage of supervised training from its config to its last checkpoint."""

import contextlib
import dataclasses
import pathlib
from typing import Any

import jax
import numpy as np

from lingshu_jax.common import metrics, sharding, structs
from lingshu_jax.data import batch_plans, pipeline, store
from lingshu_jax.models import sizes
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import inputs, measures, profile, run_folder, step, validation
from lingshu_jax.stages import state as train_state
from lingshu_jax.stages import trainer as trainer_lib

DATA = "data"  # beside a checkpoint: the pipeline's state, which is its own matter


def run(
    config: stage_config.StageConfig,
    workdir: pathlib.Path,
    *,
    examine: validation.Examine | None = None,
) -> dict[str, Any]:
    """Trains one stage; continues from the newest checkpoint; a finished run is left alone.

    Args:
      config: Validated.
      workdir: The run's folder (design: `config.json`, `params.txt`, `metrics.jsonl`,
        `tensorboard/`, `checkpoints/`).
      examine: Measures the weights whenever validation is due, as `config.validation` says.

    Returns:
      What `finished.json` holds: steps, first and last loss, rows dropped, fill.

    Raises:
      UserError: If the folder holds another run, or an input cannot be used.
    """
    finished = run_folder.open_run(config, workdir)
    if finished is not None:
        return finished
    watch = metrics.Stopwatch(useful=("step",))
    multiples = find_multiples(config, config.mesh.make_mesh())
    mixture = inputs.read_mixture(config.data, workdir, epochs=config.epochs)
    inputs.require_rows(config.data, mixture)
    start = inputs.find_initial(config, mixture, workdir)
    _check_patterns(config, start.size)
    encoded = inputs.encode(config.data, mixture, start.assets, workdir=workdir)
    data = inputs.complete(config.data, mixture, encoded, workdir=workdir, multiples=multiples)
    config = dataclasses.replace(config, data=data)
    batches = make_pipeline(config, mixture, encoded)
    held_out = validation.read(config, start.assets, workdir)
    total_steps = config.steps or batches.num_batches or 0
    trainer = trainer_lib.Trainer(config, start, total_steps=total_steps, workdir=workdir)
    dropped, rewritten = [*mixture.dropped, *encoded.dropped], encoded.rewritten
    manifest = mixture.manifest.counted(dropped, rewritten)
    inputs.write_data(
        workdir,
        manifest,
        [*dropped, *(held_out.dropped if held_out else ())],
        start=start,
        rewritten=rewritten,
        held_out=held_out.manifest if held_out else None,
    )
    data_state = trainer.restore().get(DATA)
    examiner = validation.Validation(trainer, start.assets, held_out=held_out, examine=examine)
    rows = _train(trainer, batches, data_state, mixture, examiner=examiner, watch=watch)
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
        **trainer.guard.counts(),
    }
    run_folder.finish(workdir, summary)
    return summary


def _check_patterns(config: stage_config.StageConfig, size: sizes.ModelSize) -> None:
    """Refuses patterns that win nothing, before rows are encoded and weights loaded."""
    train_state.lay_out(size, config)


def find_multiples(
    config: stage_config.StageConfig, mesh: jax.sharding.Mesh | jax.sharding.AbstractMesh
) -> batch_plans.Multiples:
    """What rows and slots must be multiples of, where they are computed.

    Args:
      config: The stage.
      mesh: The devices.

    Raises:
      UserError: If a batch does not spread evenly over them.
    """
    trainer_lib.check_batch(config.data, mesh)
    rows = sharding.batch_parts(mesh) * config.accumulation_steps
    return batch_plans.Multiples(rows=rows, slots=mesh.shape["context"])


def make_pipeline(
    config: stage_config.StageConfig, mixture: inputs.Mixture, encoded: store.Store
) -> pipeline.Pipeline:
    """The packed batches of a stage.

    Args:
      config: The stage, complete.
      mixture: Its examples.
      encoded: The same, encoded.
    """
    share = sharding.row_share(config.mesh.make_mesh())
    return pipeline.Pipeline(
        encoded,
        layout=config.data.layout,
        amounts=mixture.amounts,
        epochs=config.epochs or None,
        seed=config.data.seed,
        process_index=share.index,
        process_count=share.count,
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
    *,
    examiner: validation.Validation,
    watch: metrics.Stopwatch,
) -> list[dict[str, Any]]:
    """The loop proper; returns the metric rows of all steps of the run."""
    sources, digest = mixture.names, mixture.manifest.sha256
    step_fn = step.make_train_step(
        trainer.config,
        trainer.model,
        trainer.optimizer,
        num_sources=len(sources),
        device_kind=trainer.mesh.devices.flat[0].device_kind,
    )
    profiler = profile.Profiler(trainer.config.profile_steps, trainer.workdir)
    with contextlib.ExitStack() as stack:
        stack.enter_context(trainer.running())
        writer = measures.open_writer(trainer, watch)
        stack.callback(writer.close)
        stack.callback(profiler.close)
        if not trainer.step and examiner.is_due():
            writer.write(0, examiner.take())
            watch.lap(validation.PHASE)
        bar = stack.enter_context(trainer_lib.progress_bar(trainer))
        stream = batches.batches(data_state)
        while trainer.step < trainer.total_steps:
            trainer.begin("data")
            arrays, data_state = next(stream)
            watch.lap("data")
            trainer.begin("step")
            rates, limit = trainer.learning_rates(), trainer.guard.max_loss()
            with profiler.step(trainer.step + 1):
                batch = structs.Batch.from_arrays(sharding.place_batch(arrays, trainer.mesh))
                state, values = step_fn(trainer.state, batch, trainer.leaf_rates(), limit)
                trainer.advance(state)
                del state  # the trainer alone holds it: a rollback frees it before it reads another
                # One wait for the device a step: the guard must know this loss before the next.
                scalars = measures.host_scalars(values, sources)
            trainer.check_step(scalars)
            seconds, row = watch.lap("step"), {**scalars, **rates}
            if is_examined := examiner.is_due():
                row |= examiner.take()
                watch.lap(validation.PHASE)
            if trainer.is_logged or is_examined:
                row |= measures.describe_batch(arrays, trainer, watch, step_seconds=seconds)
                writer.write(trainer.step, row)
            bar.set_postfix(loss=row["loss"], refresh=False)
            bar.update()
            trainer.begin("save")
            # The position is saved with the step it belongs to: what comes next, not what came.
            trainer.save_if_due({DATA: data_state, inputs.MIXTURE: digest})
            watch.lap("save")
    return _step_rows(trainer.workdir)


def _step_rows(workdir: pathlib.Path) -> list[dict[str, Any]]:
    """The metric rows of all steps, once the main process has written them."""
    run_folder.share(workdir)
    return [row for row in metrics.read_rows(workdir) if "loss" in row]
