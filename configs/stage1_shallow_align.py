# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
r"""Stage 1, shallow alignment: vision and merger learn from captions, the text model is frozen.

    python -m lingshu_jax.train --config=configs/stage1_shallow_align.py:7b --workdir=DIR \
        --config.data.root=DATA

`--help` behind the command says what each field means and what it is set to; `--dry_run` reads
the data and says what would be trained, in how many steps and how much memory, without weights.

DATA holds the sets of `mixtures.py`, one file `<name>.jsonl` each (docs/data_formats.md);
`--config.data.skip_absent` goes on without those that are not there. The weights come from the hub
or from a folder, `--config.model.init_from=DIR`.

Each value names where it is from: a section or table of the paper (arXiv 2506.07044), or "not
stated" and what we took instead. Citrus-V is jdh-algo/Citrus-V at d3bb13d, whose README prints the
command line of a model of the same family. The paper trains 7B and 32B; `3b` and `72b` take the
same values, which is our choice.

About 927K captions (Table 5) are 14.5K steps of 64. Time and hardware are not stated. Of 7B the
trained 0.7B parameters take 16 bytes each with moments and gradients, the frozen text 2: 26 GB
over the mesh, and activations beside them.

`:tiny` trains a 1.7M-parameter random model on the demo's captions: about a minute on 2 CPU
cores, 1 GiB; its values are our own. The other sizes have not been run here.
"""

from configs import mixtures
from lingshu_jax.data import sources
from lingshu_jax.stages import config, optim_config

# Regex over parameter paths, peak learning rate; None is frozen. 3.1-3.2, Table 5.
TRAINABLE = (("vision/.*", 2e-6), ("merger/.*", 1e-5), ("text/.*", None))


def get_config(arg: str = "7b") -> config.StageConfig:
    """The stage for `tiny`, `3b`, `7b`, `32b` or `72b`."""
    return _tiny() if arg == "tiny" else _full(arg)


def _full(size: str) -> config.StageConfig:
    return config.StageConfig(
        stage="shallow_align",
        model=config.ModelConfig(
            init_from=config.hub_folder(size),  # 3: Qwen2.5-VL-Instruct
            param_dtype="float32",  # not stated: our choice, also of the moments
            frozen_dtype="bfloat16",  # the text model, as it is published: nothing is lost
            compute_dtype="bfloat16",  # not stated: Citrus-V
            remat="full",  # a matter of memory
        ),
        data=config.DataConfig(
            sources=mixtures.files(mixtures.SHALLOW_ALIGN),  # Table 5
            root="data",
            tokens_per_row=8192,  # 3.1-3.2
            patches_per_row=0,  # computed from the mixture, as the rows that 64 sequences need
            rows_per_batch=0,  # computed likewise
            # 3.2: one a device, 8 accumulated. How many devices is not stated: Citrus-V's 8.
            sequences_per_batch=64,
            # 3.1-3.2: no packing, hence as many means as sequences. The rows are packed all the
            # same: that is layout (docs/stages.md).
            normalization="sequence",
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
        epochs=1,  # 3.1-3.2
        save_every_steps=500,  # our choice
    )


def _tiny() -> config.StageConfig:
    """Values that a random model learns something with in a minute; none is the paper's."""
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
        optim=optim_config.OptimConfig(
            trainable=(("vision/.*", 1e-3), ("merger/.*", 1e-3), ("text/.*", None)),
            warmup_steps=10,
            weight_decay=0.1,
            b2=0.98,
        ),
        steps=190,
        save_every_steps=40,
    )
