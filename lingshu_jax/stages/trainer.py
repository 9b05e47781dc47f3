# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Model, optimizer, state and files of a run, as every stage's loop uses them."""

import pathlib
from typing import Any

import jax.numpy as jnp
import numpy as np
import tqdm

from lingshu_jax.common import checkpoints, errors, runtime, sharding
from lingshu_jax.models import hf_config, qwen2_5_vl, sizes
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import initial as initial_weights
from lingshu_jax.stages import optim, run_folder
from lingshu_jax.stages import state as train_state

# Beside a checkpoint: the paths of the trained parameters, which say whether the adapters are all
# that a run changed.
TRAINED = "trained"


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
        check_rows(config.data.rows_per_batch, sharding.batch_parts(self.mesh))
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


def check_rows(rows: int, parts: int) -> None:
    """Refuses a batch that does not spread evenly.

    Args:
      rows: Of the whole batch.
      parts: From `sharding.batch_parts`.

    Raises:
      UserError: If it does not.
    """
    if rows % parts:
        raise errors.UserError(
            f"config.data.rows_per_batch must be a multiple of the {parts} devices along the mesh "
            f"axes data and fsdp, got {rows}"
        )


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
