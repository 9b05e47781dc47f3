# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
r"""Stage 4 on VQA-RAD after the real run's stages; `benchmarks/rl_run.py` runs it.

    PYTHONPATH=. python -m benchmarks.rl_run --run=DIR --workdir=DIR

`--run` is the folder of `benchmarks/real_run.py`. Its model answers with a bare word, so it is
first shown the form that the format term pays, in one pass over the training questions. From
there it goes two ways: GRPO, and more of the same supervised fine-tuning for the same time.

Chosen here, not in the paper: rates that suit a model of this size, a group of 8, short answers;
and no cut of the yes/no questions, which are half of VQA-RAD, so that both ways train on the same.
"""

import dataclasses

from configs import real_run
from lingshu_jax.common import errors
from lingshu_jax.data import sources
from lingshu_jax.rl import config as rl_config
from lingshu_jax.stages import config, optim_config

FORM = "form"  # rows of the form, made by the benchmark
SPLITS = ("train", "test")
STEPS, EVERY = 120, 40  # updates, and those between two examinations


@dataclasses.dataclass(kw_only=True)
class RLRunConfig:
    """Folders are filled in where it is run.

    Attributes:
      form: One pass over rows in the form that is asked for, from stage 3.
      tuning: The same rows again, for as long as `rl` takes.
      rl: GRPO over the same questions.
    """

    form: config.StageConfig
    tuning: config.StageConfig
    rl: rl_config.RLStageConfig

    def validate(self) -> None:
        """Raises UserError naming the first field that is out of range."""
        for stage in (self.form, self.tuning, self.rl):
            stage.validate()


def get_config(arg: str = "small") -> RLRunConfig:
    """The run for `small`."""
    if arg != "small":
        raise errors.UserError(f"unknown variant {arg!r}; known: small")
    instruct = real_run.get_config("small").chain.instruct
    form = dataclasses.replace(
        instruct,
        data=dataclasses.replace(
            instruct.data,
            sources=(sources.Source(name=FORM, path=f"{FORM}.jsonl", allow_outside=True),),
        ),
        optim=dataclasses.replace(
            instruct.optim,
            trainable=(("vision/.*", 2e-4), ("merger/.*", 2e-4), ("text/.*", 4e-4)),
        ),
        epochs=1,
        validation=config.ValidationConfig(),
    )
    return RLRunConfig(form=form, tuning=form, rl=_grpo(form))


def _grpo(form: config.StageConfig) -> rl_config.RLStageConfig:
    train, test = map(_vqa_rad, SPLITS)
    return rl_config.RLStageConfig(
        stage="rl",
        model=form.model,
        data=dataclasses.replace(
            form.data,
            sources=(train,),
            tokens_per_row=512,
            patches_per_row=256,
            rows_per_batch=2,
            normalization="token",
        ),
        optim=optim_config.OptimConfig(
            trainable=(("vision/.*", 5e-5), ("merger/.*", 5e-5), ("text/.*", 1e-4)),
            schedule="constant",
            warmup_steps=5,
            weight_decay=1e-2,
            b2=0.98,
        ),
        rl=rl_config.RLConfig(
            prompts_per_rollout=16,
            prompts_per_update=16,
            rollouts_per_prompt=8,
            max_prompt_tokens=160,
            max_new_tokens=32,
            generation_rows=128,
            eval=rl_config.EvalConfig(
                sources=(test,), every_steps=EVERY, samples_per_prompt=1, shuffled_probe=True
            ),
        ),
        steps=STEPS,
        save_every_steps=EVERY,
    )


def _vqa_rad(split: str) -> sources.Source:
    return sources.Source(
        name=f"vqa_rad_{split}", path="vqa_rad", format="vqa_rad", split=split, allow_outside=True
    )
