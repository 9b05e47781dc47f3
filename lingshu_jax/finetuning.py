# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""One stage of instruction tuning on rows of your own, for `configs/finetune.py` and the API."""

from lingshu_jax.data import sources
from lingshu_jax.stages import config, optim_config

LORA = "text/.*"  # every dense module of the language model
FULL = (("vision/.*", 2e-6), ("merger/.*", 1e-5), ("text/.*", 1e-5))  # the paper's rates


def stage(
    model: str,
    rows: tuple[sources.Source, ...],
    *,
    lora: str = LORA,
    epochs: int = 1,
    steps: int = 0,
    rows_per_batch: int = 8,
    tokens_per_row: int = 4096,
) -> config.StageConfig:
    """A stage with values that fit a small data set and few devices.

    What is trained, and how much is frozen, is told in `params.txt` of the run. The rate of
    adapters is 1e-4; without them all is trained at the rates of the paper's stage 3.

    Args:
      model: Where it starts: a Hugging Face folder or hub id, or the workdir of an earlier run.
      rows: What is read.
      lora: Regex over the modules that get adapters; "" trains everything instead.
      epochs: Passes over the rows; 0 where `steps` says how long.
      steps: Optimizer steps; 0 where `epochs` says how long.
      rows_per_batch: Packed rows of a step; a multiple of the devices.
      tokens_per_row: Longest conversation, pictures included; about 1,280 tokens are the largest
        picture that is not made smaller.
    """
    return config.StageConfig(
        stage="instruct",
        model=config.ModelConfig(
            init_from=model,
            # The published weights are bfloat16: what is frozen loses nothing.
            frozen_dtype="bfloat16" if lora else "",
        ),
        data=config.DataConfig(
            sources=rows,
            tokens_per_row=tokens_per_row,
            patches_per_row=2 * tokens_per_row,  # half of the tokens are of pictures
            rows_per_batch=rows_per_batch,
            normalization="token",
            min_pixels=200_704,
            max_pixels=1_003_520,
        ),
        optim=optim_config.OptimConfig(trainable=FULL, warmup_steps=20),
        lora=optim_config.LoraConfig(modules=lora),
        epochs=epochs,
        steps=steps,
        accumulation_steps=1,
        save_every_steps=200,
    )


def tiny(rows: tuple[sources.Source, ...], *, lora: str = LORA) -> config.StageConfig:
    """The same with the random model of every `:tiny` variant, for a look at the whole way.

    Args:
      rows: What is read.
      lora: As of `stage`.
    """
    made = stage(config.RANDOM, rows, lora=lora, epochs=0, steps=8, rows_per_batch=8)
    made.model = config.tiny_model()
    made.data.tokens_per_row, made.data.patches_per_row = 512, 512
    made.data.min_pixels, made.data.max_pixels = 56 * 56, 84 * 84
    made.optim.warmup_steps = 2
    return made
