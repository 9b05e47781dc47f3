# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
r"""Instruction tuning of the tiny random model on VQA-RAD's official training split.

    python -m lingshu_jax.train --config=configs/vqa_rad.py --workdir=DIR --config.data.root=DATA
    python -m lingshu_jax.export --checkpoint=DIR --hf=HF_DIR
    python -m lingshu_jax.evaluate --model=HF_DIR --engine=jax --benchmarks=vqa_rad \
        --data_dir=DATA --output_dir=OUT --max_new_tokens=32

DATA holds the folder `vqa_rad` in the publisher's layout (trainset.json, testset.json, images).
All 203 test images also occur in the training split, so the score says how well a model of
1.7 million parameters remembers, not how well it reads. About five minutes on 2 CPU cores.
"""

from lingshu_jax.common import errors
from lingshu_jax.data import sources
from lingshu_jax.stages import config, optim_config


def get_config(arg: str = "tiny") -> config.StageConfig:
    """The stage; `tiny` is the only variant."""
    if arg != config.TINY:
        raise errors.UserError(f"unknown variant {arg!r}; known: {config.TINY}")
    return config.StageConfig(
        stage="instruct",
        model=config.tiny_model(),
        data=config.DataConfig(
            sources=(sources.Source(name="vqa_rad", path="vqa_rad", format="vqa_rad"),),
            root="data",
            tokens_per_row=256,
            patches_per_row=256,
            rows_per_batch=4,
            normalization="token",
            min_pixels=56 * 56,
            max_pixels=112 * 112,
        ),
        optim=optim_config.OptimConfig(
            trainable=(("vision/.*", 1e-3), ("merger/.*", 1e-3), ("text/.*", 2e-3)),
            warmup_steps=20,
            weight_decay=0.1,
            b2=0.98,
        ),
        epochs=4,
        save_every_steps=200,
    )
