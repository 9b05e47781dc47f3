# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Model, optimizer, state and files of a run, as every stage's loop uses them."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tqdm

from lingshu_jax.common import checkpoints, errors, paths, runtime, sharding
from lingshu_jax.models import attention_backends, hf_config, qwen2_5_vl, sizes
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import events, guard, optim, preemption, run_folder, watchdog
from lingshu_jax.stages import initial as initial_weights
from lingshu_jax.stages import state as train_state

# Beside a checkpoint. The paths of the trained parameters say whether the adapters are all that a
# run changed; every random draw is a function of a seed and the step.
TRAINED, STEP, SEEDS, GUARD = "trained", "step", "seeds", "guard"


class Trainer:
    """Model, optimizer, state and files of a run; supervised and reinforcement loops share it.

    Attributes:
      config: The stage.
      size: The model's sizes.
      model: The model in its compute dtype.
      mesh: The devices.
      groups: Parameters by pattern.
      optimizer: Over the trained leaves.
      state: What training changes; there after `restore`.
      step: Optimizer steps taken, counted on the host.
      total_steps: Optimizer steps of the whole run.
      workdir: The run's folder.
      guard: What is done about steps that are not trusted.
    """

    state: train_state.TrainState

    def __init__(
        self,
        config: stage_config.StageConfig,
        start: initial_weights.Initial,
        *,
        total_steps: int,
        workdir: pathlib.Path,
    ):
        """Writes `params.txt` and the other side files; no weights are read yet.

        Args:
          config: The stage.
          start: Where the first weights are.
          total_steps: Optimizer steps of the whole run.
          workdir: The run's folder.
        """
        self.config, self.size, self.workdir = config, start.size, workdir
        self.total_steps, self.step = total_steps, 0
        self.mesh = config.mesh.make_mesh()
        sharding.connect(self.mesh)
        check_batch(config.data, self.mesh)
        self.model = make_model(config.model, start.size)
        self._layout = train_state.lay_out(start.size, config)
        self.groups = self._layout.groups
        self.optimizer = optim.make_optimizer(config.optim, self.groups)
        self.guard = guard.Guard(config.guard)
        self._start = start
        self._is_new, self._is_due = True, False
        self._saved = checkpoints.Checkpoints(
            workdir / "checkpoints", keep=config.keep_checkpoints, clear_partial=True
        )
        self._notice = preemption.Notice()
        self._watchdog = watchdog.Watchdog(workdir, hang_seconds=config.guard.hang_seconds)
        if runtime.is_main_host():
            run_folder.begin(config, workdir)
            shapes, dtype = self._layout.shapes, self._layout.widest_dtype
            described = optim.describe(shapes, self.groups, config.step_settings)
            (workdir / "params.txt").write_text(described, encoding="utf-8")
            # The second where the store could not be reached when they were to be sent.
            has_assets = (self._saved.assets / "config.json").is_file()
            if self._saved.latest_step() is None or not has_assets:
                self._saved.write_assets(start.assets, hf_config.dump(start.size, dtype=dtype))

    def restore(self) -> dict[str, Any]:
        """Makes the state: that of the newest checkpoint, else of the first weights.

        Returns:
          The JSON values saved beside it; empty at the very start.

        Raises:
          UserError: If no checkpoint can be read although there are some.
        """
        self.state, meta = self._read_state()
        self.step = int(self.state.step)
        if GUARD in meta:
            self.guard.restore(meta[GUARD])
        self._events = events.Events(self.workdir, after_step=self.step)
        return meta

    def _read_state(self) -> tuple[train_state.TrainState, dict[str, Any]]:
        if self._saved.latest_step() is None:
            params = self.first_params()
            return train_state.create(params, self.groups, self.optimizer, self.mesh), {}
        wanted = train_state.abstract(self._layout.shapes, self.groups, self.optimizer, self.mesh)
        return train_state.restore(self._saved, wanted, self.mesh)

    def first_params(self) -> dict[str, Any]:
        """The weights that the stage starts from, with new adapters, on the mesh."""
        params = self._start.load(self.mesh, self._layout.dtypes)
        lora = self.config.lora
        return train_state.add_adapters(params, lora, self.mesh, seed=self.config.seed)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """While the loop runs: mesh set, SIGTERM noted, watchdog on; closes at the end."""
        self._notice.listen()
        self._watchdog.start()
        try:
            with jax.set_mesh(self.mesh):
                yield
        finally:
            self._watchdog.close()
            self._notice.close()
            self._saved.close()

    def begin(self, phase: str) -> None:
        """Says what the loop does next.

        Args:
          phase: For the watchdog; one of `watchdog.PHASES` or a word of the loop's own.
        """
        patience = watchdog.COMPILING if self._is_new else 1.0
        self._watchdog.beat(self.step, phase, patience=patience)

    def advance(self, state: train_state.TrainState) -> None:
        """Takes the state after a step.

        Args:
          state: It may still be computed.
        """
        self.state, self._is_new = state, False
        self.step += 1

    def check_step(self, scalars: Mapping[str, float | None]) -> bool:
        """Counts a skipped step; after too many, rolls back to the last good checkpoint.

        Step number, schedule and data go on.

        Args:
          scalars: Metrics of the step just taken.

        Returns:
          Whether it rolled back: what was made with the weights before is of no use any more.

        Raises:
          UserError: If the run has rolled back as often as it may.
        """
        limit = self.guard.max_loss()
        self.guard.record(scalars)
        if not scalars[guard.SKIPPED]:
            return False
        reason = "nonfinite" if scalars[guard.NONFINITE] else "spike"
        values = {name: scalars[name] for name in ("loss", "grad_norm")}
        usual = {} if scalars[guard.NONFINITE] else {"max_loss": float(limit)}
        self._events.write(self.step, events.SKIPPED, reason=reason, **values, **usual)
        if not self.guard.must_roll_back:
            return False
        self._roll_back()
        return True

    def _roll_back(self) -> None:
        times = self.config.guard.max_rollbacks
        if self.guard.is_exhausted:
            raise errors.UserError(
                f"step {self.step}: {self.guard.in_a_row} steps in a row had a loss or gradient "
                f"that is not finite or far too large, after {times} rollbacks; see "
                f"{self.workdir / events.EVENTS}; the learning rate, the data or "
                "config.guard must change"
            )
        self._saved.wait()
        del self.state  # it need not fit beside the one that is read; nobody else holds it
        state, _ = self._read_state()
        to_step = int(state.step)
        step = jax.device_put(jnp.int32(self.step), sharding.replicated(self.mesh))
        self.state = dataclasses.replace(state, step=step)
        self.guard.count_rollback()
        self._events.write(self.step, events.ROLLBACK, to_step=to_step)

    def save_if_due(self, meta: dict[str, Any], *, reason: str | None = None) -> None:
        """Saves every `save_every_steps`, at the end, and when the run is asked to stop.

        Not while steps are skipped, but after the next good one.

        Args:
          meta: JSON values that say how to go on after this step.
          reason: Why the loop itself wants to stop, the same on every process; None if it does not.

        Raises:
          SystemExit: If the run was asked to stop, after saving.
        """
        is_asked = self._notice.is_due() or reason is not None
        is_last = self.step == self.total_steps
        self._is_due |= is_asked or self.step % self.config.save_every_steps == 0
        if is_last or (self._is_due and self.guard.is_calm):
            self._is_due = False
            if runtime.is_main_host():
                paths.try_push(self.workdir)  # metrics up to here, before the step that needs them
            train_state.save(self._saved, self.state, {**meta, **self._meta()}, step=self.step)
        if is_asked and not is_last:
            self._saved.wait()
            saved = self._saved.latest_step()
            self._events.write(self.step, events.STOPPED, saved=saved)
            preemption.exit_cleanly(self.step, saved, reason=reason or "SIGTERM")

    @property
    def saved_step(self) -> int | None:
        """The newest step that a run killed now goes on from; None where there is none."""
        return self._saved.safe_step()

    def _meta(self) -> dict[str, Any]:
        """What stands beside every checkpoint; metrics end at its step."""
        seeds = {"run": self.config.seed, "data": self.config.data.seed}
        trained = list(self.state.trained)
        return {STEP: self.step, SEEDS: seeds, GUARD: self.guard.to_json(), TRAINED: trained}

    @property
    def is_logged(self) -> bool:
        """Whether the step just taken has a metrics row: every so many, and the last."""
        return self.step % self.config.log_every_steps == 0 or self.step == self.total_steps

    def learning_rates(self) -> dict[str, float]:
        """`lr/<group>` that the next step will use."""
        return optim.learning_rates(self.groups, self.total_steps, self.step)

    def leaf_rates(self) -> dict[str, np.float32]:
        """The same for each trained leaf, by path."""
        return optim.leaf_rates(self.groups, self.total_steps, self.step)


def make_model(
    config: stage_config.ModelConfig, size: sizes.ModelSize, device: Any = None
) -> qwen2_5_vl.Qwen2_5_VL:
    """The model as a stage computes it.

    Args:
      config: Dtypes, rematerialisation and attention backend.
      size: The sizes.
      device: One of those that will run it, or of a topology it is compiled for; default the
        first that is here.
    """
    device = jax.devices()[0] if device is None else device
    return qwen2_5_vl.Qwen2_5_VL(
        size=size,
        dtype=jnp.dtype(config.compute_dtype),
        param_dtype=jnp.dtype(config.param_dtype),
        remat=config.remat,
        attention=attention_backends.choose(
            config.attention, device.platform, device.device_kind, dtype=config.compute_dtype
        ),
    )


def check_batch(
    data: stage_config.DataConfig, mesh: jax.sharding.Mesh | jax.sharding.AbstractMesh
) -> None:
    """Refuses a batch that does not spread evenly.

    Args:
      data: Rows, tokens and patches; what is still to be computed is 0.
      mesh: The devices.

    Raises:
      UserError: If it does not.
    """
    parts = sharding.batch_parts(mesh)
    if data.rows_per_batch % parts:
        raise errors.UserError(
            f"config.data.rows_per_batch must be a multiple of the {parts} devices along the mesh "
            f"axes data and fsdp, got {data.rows_per_batch}"
        )
    data.check_context(mesh.shape["context"])


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
