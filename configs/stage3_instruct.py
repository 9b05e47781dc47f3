# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
r"""Stage 3, instruction tuning: everything learns from instructions, packed.

    python -m lingshu_jax.train --config=configs/stage3_instruct.py:7b --workdir=DIR \
        --config.model.init_from=STAGE2_WORKDIR

Paper (arXiv 2506.07044, 3.1-3.2, Table 5): about 7.1M rows, 2 epochs, packed, learning rates
2e-6 (vision), 1e-5 (merger), 1e-5 (text); the rest as in stage 1, where the values that the
paper does not state are named with their source. Packed rows are normalised by the trained
tokens of the whole batch.

`:tiny` takes about a minute on 2 CPU cores, 1 GiB. The other sizes have not been run here.
"""

from configs import mixtures
from lingshu_jax.data import sources
from lingshu_jax.stages import config

TRAINABLE = (("vision/.*", 2e-6), ("merger/.*", 1e-5), ("text/.*", 1e-5))


def get_config(arg: str = "7b") -> config.StageConfig:
    """The stage for `tiny`, `3b`, `7b`, `32b` or `72b`."""
    return _tiny() if arg == "tiny" else _full(arg)


def _full(size: str) -> config.StageConfig:
    return config.StageConfig(
        stage="instruct",
        model=config.ModelConfig(init_from=config.hub_folder(size)),
        data=config.DataConfig(
            sources=mixtures.files(mixtures.INSTRUCT),
            root="data",
            tokens_per_row=8192,
            patches_per_row=16384,  # half of the tokens visual; fit it to the mixture at hand
            rows_per_batch=64,
            normalization="token",
            min_pixels=200_704,
            max_pixels=1_003_520,
        ),
        optim=config.OptimConfig(trainable=TRAINABLE, warmup_steps=100, weight_decay=0.1),
        epochs=2,
        accumulation_steps=8,
        save_every_steps=500,
    )


def _tiny() -> config.StageConfig:
    return config.StageConfig(
        stage="instruct",
        model=config.tiny_model(),
        data=config.DataConfig(
            sources=(sources.Source(name="instruct", path="instruct.jsonl"),),
            root=config.DEMO,
            tokens_per_row=256,
            patches_per_row=256,
            rows_per_batch=4,
            normalization="token",
            min_pixels=56 * 56,
            max_pixels=84 * 84,
        ),
        optim=config.OptimConfig(
            trainable=(("vision/.*", 1e-3), ("merger/.*", 1e-3), ("text/.*", 2e-3)),
            warmup_steps=10,
            weight_decay=0.1,
            b2=0.98,
        ),
        steps=280,
        save_every_steps=70,
    )
