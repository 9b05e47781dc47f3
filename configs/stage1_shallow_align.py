# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Stage 1, shallow alignment: vision and merger learn from captions, the text model is frozen.

    python -m lingshu_jax.train --config=configs/stage1_shallow_align.py:7b --workdir=DIR

Paper (arXiv 2506.07044, 3.1-3.2, Table 5): PMC-OA and ROCO, about 927K captions, 1 epoch, no
packing, learning rates 2e-6 (vision) and 1e-5 (merger), AdamW, cosine, 100 warm-up steps,
8,192 tokens. Not stated there, taken from Citrus-V's public recipe for the same backbone:
64 sequences a batch, weight decay 0.1, betas 0.9 and 0.999, clip 1.0, image areas of 200,704 to
1,003,520 pixels. "No packing" is a matter of the batch, not of the layout: 64 sequences, each
weighing the mean over its own tokens, which lie packed in as few rows as they need.

`:tiny` trains a 1.7M-parameter random model on the demo's captions: about a minute on 2 CPU
cores, 1 GiB. The other sizes have not been run here.
"""

from configs import mixtures
from lingshu_jax.data import sources
from lingshu_jax.stages import config

TRAINABLE = (("vision/.*", 2e-6), ("merger/.*", 1e-5), ("text/.*", None))


def get_config(arg: str = "7b") -> config.StageConfig:
    """The stage for `tiny`, `3b`, `7b`, `32b` or `72b`."""
    return _tiny() if arg == "tiny" else _full(arg)


def _full(size: str) -> config.StageConfig:
    return config.StageConfig(
        stage="shallow_align",
        model=config.ModelConfig(init_from=config.hub_folder(size)),
        data=config.DataConfig(
            sources=mixtures.files(mixtures.SHALLOW_ALIGN),
            root="data",
            tokens_per_row=8192,
            patches_per_row=0,  # computed from the mixture, as the rows that 64 sequences need
            rows_per_batch=0,
            sequences_per_batch=64,
            normalization="sequence",
            min_pixels=200_704,
            max_pixels=1_003_520,
        ),
        optim=config.OptimConfig(trainable=TRAINABLE, warmup_steps=100, weight_decay=0.1),
        epochs=1,
        save_every_steps=500,
    )


def _tiny() -> config.StageConfig:
    return config.StageConfig(
        stage="shallow_align",
        model=config.tiny_model(),
        data=config.DataConfig(
            sources=(sources.Source(name="captions", path="captions.jsonl"),),
            root=config.DEMO,
            tokens_per_row=256,
            patches_per_row=256,
            rows_per_batch=4,
            normalization="sequence",
            min_pixels=56 * 56,
            max_pixels=84 * 84,
        ),
        optim=config.OptimConfig(
            trainable=(("vision/.*", 1e-3), ("merger/.*", 1e-3), ("text/.*", None)),
            warmup_steps=10,
            weight_decay=0.1,
            b2=0.98,
        ),
        steps=190,
        save_every_steps=40,
    )
