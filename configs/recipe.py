# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
r"""The four stages, export and evaluation in order.

    python -m lingshu_jax.recipe --config=configs/recipe.py:7b --workdir=DIR \
        --config.hf=Qwen2.5-VL-7B-Instruct --config.root=DATA \
        --config.evaluation.data_dir=BENCHMARKS

DATA has all sets of `mixtures.py`, one file `<name>.jsonl` each, or
`--config.STAGE.data.skip_absent` for those that are not there, STAGE being `shallow_align`,
`deep_align`, `instruct` or `rl`. The values of a stage are those of its own file, and a flag sets
each: `--config.instruct.epochs=1`. `--help` lists them all; `--dry_run` prints the plan of every
stage, without weights.

`:tiny` is what `make demo` runs: a random model, images inside installed libraries, about six
minutes on 2 CPU cores. The other sizes have not been run here.
"""

from configs import stage1_shallow_align, stage2_deep_align, stage3_instruct, stage4_rl
from lingshu_jax import recipe
from lingshu_jax.stages import config


def get_config(arg: str = "7b") -> recipe.RecipeConfig:
    """The recipe for `tiny`, `3b`, `7b`, `32b` or `72b`."""
    return _tiny() if arg == config.TINY else _full(arg)


def _full(size: str) -> recipe.RecipeConfig:
    return recipe.RecipeConfig(
        hf=config.hub_folder(size),
        root="data",
        shallow_align=stage1_shallow_align.get_config(size),
        deep_align=stage2_deep_align.get_config(size),
        instruct=stage3_instruct.get_config(size),
        rl=stage4_rl.get_config(size),
        evaluation=recipe.EvaluationConfig(
            benchmarks="vqa_rad", data_dir="benchmarks", max_new_tokens=8192
        ),
    )


def _tiny() -> recipe.RecipeConfig:
    chosen = recipe.RecipeConfig(
        hf=config.RANDOM,
        root=config.DEMO,
        shallow_align=stage1_shallow_align.get_config(config.TINY),
        deep_align=stage2_deep_align.get_config(config.TINY),
        instruct=stage3_instruct.get_config(config.TINY),
        rl=stage4_rl.get_config(config.TINY),
        evaluation=recipe.EvaluationConfig(
            benchmarks="demo_vqa", max_new_tokens=32, prompt="think"
        ),
    )
    # Fewer steps than the stages take alone: the whole line is to end within six minutes.
    for stage in (chosen.shallow_align, chosen.deep_align):
        stage.steps, stage.save_every_steps = 110, 25
    return chosen
