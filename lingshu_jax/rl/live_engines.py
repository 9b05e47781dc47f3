# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The engines that stage 4 samples with: ours, on the trainer's arrays, or vLLM with its own.

Ours reads the weights where they lie, so that a batch sampled ahead needs a copy. vLLM is given a
copy of its own each time, by `engines/vllm_weights.py`.
"""

import pathlib
import shutil
import sys
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import jax
from absl import logging

from lingshu_jax.common import errors
from lingshu_jax.engines import (
    jax_engine,
    protocol,
    vllm_engine,
    vllm_names,
    vllm_server,
    vllm_tokens,
)
from lingshu_jax.models import qwen2_5_vl
from lingshu_jax.rl import config as rl_config
from lingshu_jax.rl import config_engine, questions, tasks

_Vllm = vllm_engine.VllmEngine | vllm_tokens.VllmTokens


@runtime_checkable
class LiveEngine(protocol.Generator, Protocol):
    """A generator whose weights are those in training.

    Attributes:
      has_own_weights: Whether `set_params` takes a copy, which later updates do not change.
    """

    has_own_weights: bool

    def set_params(self, params: Any) -> None:
        """The next request is answered with these parameters."""
        ...

    def take_seconds(self) -> dict[str, float]:
        """Seconds of `generate` since the last call, by what they went into; may be empty."""
        ...

    def rest(self) -> None:
        """Lets memory go where it can, until the next `set_params`."""
        ...

    def close(self) -> None:
        """Lets everything go; nothing is asked afterwards."""
        ...


class JaxLive(jax_engine.JaxEngine):
    """Ours."""

    has_own_weights = False

    def rest(self) -> None:
        """Nothing of a call is kept."""


class VllmLive:
    """vLLM, awake from new weights until it may rest."""

    has_own_weights = True

    def __init__(self, engine: _Vllm, *, can_sleep: bool):
        """Takes it.

        Args:
          engine: Nobody else uses it.
          can_sleep: Whether `rest` lets its memory go.
        """
        self.generate, self.close = engine.generate, engine.close
        self._engine, self._can_sleep, self._is_asleep = engine, can_sleep, False

    def set_params(self, params: Any) -> None:
        """As of `LiveEngine`."""
        if self._is_asleep:
            self._engine.wake()
            self._is_asleep = False
        self._engine.set_params(params)

    def take_seconds(self) -> dict[str, float]:
        """Nothing: vLLM reads some prompts while it decodes others."""
        return {}

    def rest(self) -> None:
        """As of `LiveEngine`."""
        if self._can_sleep and not self._is_asleep:
            self._engine.sleep()
            self._is_asleep = True


def check(config: rl_config.RLConfig, *, processes: int) -> None:
    """Refuses what this machine or several processes cannot do.

    Args:
      config: Validated.
      processes: Of the run.

    Raises:
      UserError: If several processes were to sample ahead, for each would launch the programs of
        sampling and of training in an order of its own, and all would wait for each other; if
        several were to sample with vLLM, which takes weights from one; or if there is no such
        interpreter.
    """
    errors.require(
        config.rollouts_ahead == 0 or processes == 1,
        "rl.rollouts_ahead",
        config.rollouts_ahead,
        f"0 where {processes} processes train together",
    )
    errors.require(
        config.engine == config_engine.JAX or processes == 1,
        "rl.engine",
        config.engine,
        f"{config_engine.JAX!r} where {processes} processes train together",
    )
    python = config.vllm.python
    errors.require(
        not python or shutil.which(python) is not None,
        "rl.vllm.python",
        python,
        "the interpreter of an environment that has vLLM, or ''",
    )


def make(
    config: rl_config.RLStageConfig,
    task: tasks.Task,
    model: qwen2_5_vl.Qwen2_5_VL,
    params: Any,
) -> LiveEngine:
    """The engine of a stage.

    Args:
      config: Of the stage, checked.
      task: What was read; vLLM starts from its folder of tokenizer and config alone.
      model: Of the trainer.
      params: The trainer's, for ours; vLLM has none before `set_params`.

    Raises:
      UserError: If vLLM is not there, does not start, or cannot be asked the prompts.
    """
    asked = [*task.prompts, *task.held_out]
    if config.rl.engine == config_engine.JAX:
        return JaxLive(
            params,
            model,
            task.encoder,
            rows=config.rl.generation_rows,
            max_images=sys.maxsize,  # prompts were chosen by their tokens and patches
            prompt_tokens=max(prompt.encoded.num_tokens for prompt in asked),
        )
    for prompt in asked:
        if any(media.seconds_per_grid is not None for media in prompt.encoded.media):
            raise errors.UserError(
                f"prompt {prompt.id!r} has a video, which vLLM is not given; rl.engine=jax takes it"
            )
    engine = _make_vllm(config, task, asked)
    return VllmLive(engine, can_sleep=config.rl.vllm.can_sleep)


def _make_vllm(
    config: rl_config.RLStageConfig, task: tasks.Task, asked: Sequence[questions.Prompt]
) -> _Vllm:
    rl, chosen = config.rl, config.rl.vllm
    folder: pathlib.Path = task.start.assets
    max_images = max(1, *(len(prompt.encoded.media) for prompt in asked))
    max_model_len = rl.max_prompt_tokens + rl.max_new_tokens
    arguments: dict[str, Any] = {
        "dtype": config.model.compute_dtype,
        "size": task.start.size,
        "max_images": max_images,
        "max_model_len": max_model_len,
    }
    options = _options(config, task, asked)
    if not chosen.python:
        return vllm_engine.VllmEngine.from_folder(
            folder,
            encoder=task.encoder,
            options={**options, "enable_sleep_mode": chosen.can_sleep},
            **arguments,
        )
    logging.info("a vLLM server starts; this takes some time")
    server = vllm_server.Server(
        folder,
        python=chosen.python,
        has_live_weights=True,
        can_sleep=chosen.can_sleep,
        options={**options, "enable_scale_out": True},
        **arguments,
    )
    return vllm_tokens.VllmTokens(
        server,
        task.encoder,
        task.start.size,
        max_images=max_images,
        max_model_len=max_model_len,
        at_once=-(-2 * rl.generation_rows // rl.rollouts_per_prompt),
    )


def _options(
    config: rl_config.RLStageConfig, task: tasks.Task, asked: Sequence[questions.Prompt]
) -> dict[str, Any]:
    """Of vLLM, in process and as a server."""
    chosen = config.rl.vllm
    side = task.encoder.geometry.patch_size
    areas = [
        media.grid.h * media.grid.w * side * side
        for prompt in asked
        for media in prompt.encoded.media
    ]
    limits = [*areas, config.data.min_pixels, config.data.max_pixels]
    own = {
        "tensor_parallel_size": chosen.tensor,
        "gpu_memory_utilization": chosen.gpu_memory_utilization,
        "kv_cache_memory_bytes": chosen.kv_cache_bytes,
        "enforce_eager": chosen.enforce_eager,
    }
    given: dict[str, Any] = {name: value for name, value in own.items() if value}
    if jax.default_backend() == "cpu":
        # A seeded request that is read in parts ends vLLM 0.32.0 there: its random generators
        # cannot go back, which they do for what was drawn before the prompt was whole.
        given["enable_chunked_prefill"] = False
    return {
        "load_format": vllm_names.LATER,
        "max_num_seqs": config.rl.generation_rows,
        **vllm_engine.image_sizes(min(limits), max(limits)),
        **given,
    }
