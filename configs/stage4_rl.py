# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Stage 4, reinforcement learning: GRPO from the instruct model, rewards checked by rule.

    python -m lingshu_jax.train --config=configs/stage4_rl.py:7b --workdir=DIR \
        --config.model.init_from=STAGE3_WORKDIR --config.data.root=DATA

DATA, `--help` and `--dry_run` are explained in `stage1_shallow_align.py`; a row has a checkable
`answer` and `answer_type` as well (docs/rl.md).

Each value names where it is from: a section or table of the paper (arXiv 2506.07044), or "not
stated" and what we took instead. EasyR1 is hiyouga/EasyR1 at 669ca30, whose defaults agree with
every value that the paper states. The paper reports 7B alone; the other sizes take the same
values, which is our choice.

Other losses are named behind the size: `:7b,dapo` (`grpo`, `dr_grpo`, `dapo`, `gspo`, `cispo`).
They change the loss and what belongs to it, no rate, no batch and no reward of Lingshu's paper.

`:7b,prepared` reads what `python -m lingshu_jax.rl.prepare --output=data/rl` has written and asks
no held-out questions; `:7b,prepared_held_out` asks those of `data/rl_held_out` as well, which the
same command makes of other rows. Either may stand beside a loss: `:7b,dapo,prepared`.

About 100K verifiable questions (Table 5) are 195 rollout batches, 780 updates. The paper reports
small and mixed gains of this stage: seven-set mean 61.8 before, 61.5 after, for the 7B model.

Hardware: parameters, moments and gradients of 7B take 16 bytes each and the reference 2, 150 GB
over the mesh: 4 devices of 80 GB hold it with rows of 4,096 tokens. Time is not known: the sizes
beside `:tiny` have not been run here. Without a KL term there is no reference model: all losses
but `grpo`.

`:tiny` alone starts from random weights, which never write the form: its rewards stay 0. It shows
that the stage runs, in about a minute on 2 CPU cores. Behind `stage3_instruct.py:tiny`, as
`configs/recipe.py:tiny` runs it, the held-out accuracy term rises.
"""

from collections.abc import Callable

from configs import mixtures
from lingshu_jax.common import errors, prompts
from lingshu_jax.data import sources
from lingshu_jax.rl import config as rl_config
from lingshu_jax.rl import config_reward
from lingshu_jax.stages import config, optim_config

# What `rl.prepare` writes, under the data root.
PREPARED, PREPARED_HELD_OUT = "rl/train.jsonl", "rl_held_out/train.jsonl"
# Rows of the training splits that are kept out of `mixtures.RL`; test splits are for evaluation.
HELD_OUT = ("vqa_rad_rl_held_out", "slake_rl_held_out", "path_vqa_rl_held_out")
# 3.1-3.2: one rate for all parts; Figure 6: all are trained.
TRAINABLE = (("vision/.*", 1e-6), ("merger/.*", 1e-6), ("text/.*", 1e-6))


def get_config(arg: str = "7b") -> rl_config.RLStageConfig:
    """The stage for `tiny`, `3b`, `7b`, `32b` or `72b`; a loss and data may stand behind it."""
    size, *words = arg.split(",")
    chosen = _tiny() if size == config.TINY else _full(size)
    for names in (VARIANTS, DATA):
        named = [word for word in words if word in names]
        errors.require(len(named) <= 1, "<variant>", named, f"one of {tuple(names)}")
    for word in words:
        if word in VARIANTS:
            VARIANTS[word](chosen.rl)
        else:
            errors.require_word("<variant>", word, (*VARIANTS, *DATA))
            DATA[word](chosen)
    return chosen


def _grpo(rl: rl_config.RLConfig) -> None:
    """arXiv 2402.03300 as Lingshu's paper has it: what the file says already."""


def _dr_grpo(rl: rl_config.RLConfig) -> None:
    """arXiv 2503.20783."""
    rl.aggregation = "constant"  # section 3.2, listing 1: the longest completion is the constant
    rl.scale_by_std = False  # section 3.2
    rl.kl_coef = 0.0  # section 3, Table 6
    rl.clip_low, rl.clip_high = 0.2, 0.2  # Table 6


def _dapo(rl: rl_config.RLConfig) -> None:
    """arXiv 2503.14476."""
    rl.aggregation = "token"  # eq. 8, section 3.3
    rl.clip_low, rl.clip_high = 0.2, 0.28  # section 4.1
    rl.clip_dual = 10.0  # not stated: verl's and EasyR1's DAPO
    rl.kl_coef = 0.0  # section 2.3
    rl.overlong_filter = True  # section 3.4
    _overlong_and_refills(rl)


def _overlong_and_refills(rl: rl_config.RLConfig) -> None:
    """Of arXiv 2503.14476."""
    rl.overlong_buffer = rl.max_new_tokens // 5  # eq. 13; section 4.1: 4,096 of 20,480
    rl.max_refills = 10  # section 3.2: until the batch is full; EasyR1's DAPO tries 10 times


def _gspo(rl: rl_config.RLConfig) -> None:
    """arXiv 2507.18071."""
    rl.ratio = "sequence"  # eq. 7
    rl.aggregation = "sequence"  # eq. 5
    rl.clip_low, rl.clip_high = 3e-4, 4e-4  # section 5.1
    rl.kl_coef = 0.0  # section 2 leaves it out of all formulas: its authors in volcengine/verl#2775


def _cispo(rl: rl_config.RLConfig) -> None:
    """arXiv 2506.13585."""
    rl.objective = "cispo"  # eq. 4 and 5
    rl.aggregation = "token"  # eq. 4
    rl.clip_low = 1.0  # section 3.1: no lower bound
    rl.clip_high = 4.0  # tuned there, not stated: EasyR1's CISPO, a weight of at most 5
    rl.kl_coef = 0.0  # section 3.1
    _overlong_and_refills(rl)  # section 3.1 takes both from DAPO


VARIANTS: dict[str, Callable[[rl_config.RLConfig], None]] = {
    "grpo": _grpo,
    "dr_grpo": _dr_grpo,
    "dapo": _dapo,
    "gspo": _gspo,
    "cispo": _cispo,
}


def _prepared(chosen: rl_config.RLStageConfig) -> None:
    """What `rl.prepare` wrote."""
    chosen.data.sources = (sources.Source(name="rl", path=PREPARED, group="medical_multimodal"),)
    chosen.data.root = "data"
    chosen.rl.eval.sources = ()


def _prepared_held_out(chosen: rl_config.RLStageConfig) -> None:
    """And what it wrote of other rows."""
    _prepared(chosen)
    chosen.rl.eval.sources = (sources.Source(name="rl_held_out", path=PREPARED_HELD_OUT),)


DATA: dict[str, Callable[[rl_config.RLStageConfig], None]] = {
    "prepared": _prepared,
    "prepared_held_out": _prepared_held_out,
}


def _full(size: str) -> rl_config.RLStageConfig:
    return rl_config.RLStageConfig(
        stage="rl",
        model=config.ModelConfig(
            init_from=config.hub_folder(size),  # flags name the folder of stage 3
            param_dtype="float32",  # not stated: our choice, also of the moments
            compute_dtype="bfloat16",  # not stated: our choice
            remat="full",  # a matter of memory
        ),
        data=config.DataConfig(
            sources=mixtures.files(mixtures.RL),  # Table 5
            root="data",
            tokens_per_row=4096,  # 3.1-3.2
            patches_per_row=5632,  # one prompt of the most visual tokens, in whole window slots
            rows_per_batch=64,  # rows of a pass, a matter of memory
            normalization="token",  # the only one here: `rl.aggregation` decides
            min_pixels=200_704,  # not stated: Citrus-V, as in stage 1
            max_pixels=1_003_520,  # our choice: EasyR1's 4,194,304 would not fit 2,048 tokens
            seed=42,  # not stated: MedEvalKit's
        ),
        optim=optim_config.OptimConfig(  # 3.2: AdamW
            trainable=TRAINABLE,
            schedule="constant",  # not stated: EasyR1
            warmup_steps=0,  # not stated: EasyR1
            weight_decay=1e-2,  # not stated: EasyR1
            clip_norm=1.0,  # not stated: EasyR1
            b1=0.9,  # not stated: torch's default
            b2=0.999,  # not stated: torch's default
            eps=1e-8,  # not stated: torch's default
        ),
        rl=rl_config.RLConfig(
            prompts_per_rollout=512,  # 3.2; that it counts prompts is not stated: EasyR1
            prompts_per_update=128,  # 3.2; the same
            rollouts_per_prompt=16,  # 3.2
            max_prompt_tokens=2048,  # not stated: EasyR1; with the next it is the 4,096 of 3.2
            max_new_tokens=2048,
            instruction=prompts.ANSWER_FORMAT,  # not stated: EasyR1's <think> and <answer>
            temperature=1.0,  # 3.2
            objective="clip",  # 3.2: GRPO
            ratio="token",  # 3.2: GRPO
            aggregation="token",  # not stated: EasyR1
            kl_coef=1e-3,  # 3.2
            kl_estimator="k3",  # not stated: EasyR1
            kl_in="loss",  # 3.2: a KL loss coefficient
            scale_by_std=True,  # 3.2: GRPO
            clip_low=0.2,  # not stated: EasyR1
            clip_high=0.3,  # not stated: EasyR1
            clip_dual=3.0,  # not stated: EasyR1
            importance_cap=2.0,  # our choice: weights of learner over sampler
            generation_rows=1024,  # a matter of memory
            reward=config_reward.RewardConfig(format_weight=0.5, accuracy_weight=1.0),  # 3.1.4
            eval=rl_config.EvalConfig(  # our choice
                sources=mixtures.files(HELD_OUT), every_steps=80, prompts=500
            ),
        ),
        # The longest phase is an update or a batch of `generation_rows` answers: minutes for 7B.
        guard=config.GuardConfig(hang_seconds=7200.0),  # our choice: 32B and 72B take longer
        epochs=1,  # 3.1-3.2
        save_every_steps=80,  # our choice
    )


def _tiny() -> rl_config.RLStageConfig:
    return rl_config.RLStageConfig(
        stage="rl",
        model=config.tiny_model(),
        data=config.DataConfig(
            sources=(sources.Source(name="vqa_train", path="vqa_train.jsonl"),),
            root=config.DEMO,
            tokens_per_row=448,
            patches_per_row=128,
            rows_per_batch=3,
            normalization="token",
            min_pixels=56 * 56,
            max_pixels=84 * 84,
        ),
        optim=optim_config.OptimConfig(
            trainable=(("vision/.*", 5e-4), ("merger/.*", 5e-4), ("text/.*", 5e-4)),
            warmup_steps=6,
            final_fraction=0.1,
            weight_decay=1e-2,
            b2=0.98,
        ),
        rl=rl_config.RLConfig(
            prompts_per_rollout=12,
            prompts_per_update=12,
            rollouts_per_prompt=8,
            max_prompt_tokens=256,
            max_new_tokens=32,
            generation_rows=96,
            eval=rl_config.EvalConfig(
                sources=(sources.Source(name="vqa_test", path="vqa_test.jsonl"),),
                every_steps=20,
                prompts=48,
                samples_per_prompt=8,
                greedy=False,
            ),
        ),
        steps=60,
        save_every_steps=20,
    )
