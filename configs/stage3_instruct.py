# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
r"""Stage 3, instruction tuning: everything learns from instructions, packed.

    python -m lingshu_jax.train --config=configs/stage3_instruct.py:7b --workdir=DIR \
        --config.model.init_from=STAGE2_WORKDIR --config.data.root=DATA

DATA, `--help` and `--dry_run` are explained in `stage1_shallow_align.py`.

Each value names where it is from: a section or table of the paper (arXiv 2506.07044), or "not
stated" and what we took instead; Citrus-V is explained in `stage1_shallow_align.py`. The paper
trains 7B and 32B; `3b` and `72b` take the same values, which is our choice.

About 7.1M rows (Table 5), read twice. How many of them share a packed row is not stated, so
neither is the number of steps. Time and hardware are not stated. Of 7B parameters, moments,
gradients and their sum over the passes take 20 bytes each: 166 GB over the mesh, and activations
beside them.

`:tiny` takes about a minute on 2 CPU cores, 1 GiB; its values are our own. The other sizes have
not been run here.
"""

from configs import mixtures
from lingshu_jax.data import sources
from lingshu_jax.stages import config, optim_config

# Regex over parameter paths, peak learning rate; all parts are trained. 3.1-3.2, Table 5.
TRAINABLE = (("vision/.*", 2e-6), ("merger/.*", 1e-5), ("text/.*", 1e-5))


def get_config(arg: str = "7b") -> config.StageConfig:
    """The stage for `tiny`, `3b`, `7b`, `32b` or `72b`."""
    return _tiny() if arg == "tiny" else _full(arg)


def _full(size: str) -> config.StageConfig:
    return config.StageConfig(
        stage="instruct",
        model=config.ModelConfig(
            init_from=config.hub_folder(size),  # flags name the folder of stage 2
            param_dtype="float32",  # not stated: our choice, also of the moments
            compute_dtype="bfloat16",  # not stated: Citrus-V
            remat="full",  # a matter of memory
        ),
        data=config.DataConfig(
            sources=mixtures.files(mixtures.INSTRUCT),  # Table 5
            root="data",
            tokens_per_row=8192,  # 3.1-3.2
            patches_per_row=16384,  # half of the tokens visual; fit it to the mixture at hand
            # 3.1-3.2: packed; one row a device, 8 accumulated. How many devices is not stated:
            # Citrus-V's 8.
            rows_per_batch=64,
            # Not stated. Trainers of one row a device take the mean of the rows' means; ours is
            # the mean over all trained tokens of the batch (docs/stages.md).
            normalization="token",
            min_pixels=200_704,  # not stated: Citrus-V
            max_pixels=1_003_520,  # not stated: Citrus-V; the published cap would not fit a row
            seed=42,  # not stated: MedEvalKit's
        ),
        optim=optim_config.OptimConfig(  # 3.2: AdamW
            trainable=TRAINABLE,
            schedule="cosine",  # 3.2
            warmup_steps=100,  # 3.2
            final_fraction=0.0,  # not stated: 0, as transformers' cosine ends
            weight_decay=0.1,  # not stated: Citrus-V
            clip_norm=1.0,  # not stated: Citrus-V
            b1=0.9,  # not stated: Citrus-V
            b2=0.999,  # not stated: Citrus-V
            eps=1e-8,  # not stated: our choice
            z_loss=0.0,  # not stated: none
        ),
        epochs=2,  # 3.1-3.2
        accumulation_steps=8,  # 3.2, of 8 rows each: set 1 where 64 devices share the rows
        save_every_steps=500,  # our choice
    )


def _tiny() -> config.StageConfig:
    """Values that a random model learns something with in a minute; none is the paper's."""
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
        optim=optim_config.OptimConfig(
            trainable=(("vision/.*", 1e-3), ("merger/.*", 1e-3), ("text/.*", 2e-3)),
            warmup_steps=10,
            weight_decay=0.1,
            b2=0.98,
        ),
        steps=280,
        save_every_steps=70,
    )
