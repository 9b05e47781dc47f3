# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The config of a very small stage: `--config=tests/stages/small_stage.py:HF_FOLDER,ROWS_FOLDER`.

The folders are those of `tests/small.py`. Every leaf is trained and no two steps are alike.
"""

from lingshu_jax.data import sources
from lingshu_jax.stages import config, optim_config


def get_config(arg: str) -> config.StageConfig:
    """The stage; the tests change its fields."""
    hf, rows = arg.split(",")
    return config.StageConfig(
        stage="instruct",
        model=config.ModelConfig(init_from=hf, compute_dtype="float32", remat="none"),
        data=config.DataConfig(
            sources=(
                sources.Source(name="first", path="rows.jsonl"),
                sources.Source(name="second", path="rows.jsonl", weight=0.5),
            ),
            root=rows,
            tokens_per_row=128,
            patches_per_row=128,
            rows_per_batch=8,
            normalization="token",
            min_pixels=784,
            max_pixels=9408,
        ),
        optim=optim_config.OptimConfig(trainable=((".*", 3e-3),), warmup_steps=3, weight_decay=0.1),
        steps=16,
        save_every_steps=4,
    )
