# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
r"""The four stages, export and evaluation in order.

    python -m lingshu_jax.recipe --config=configs/recipe.py:7b --workdir=DIR \
        --config.hf=Qwen2.5-VL-7B-Instruct --config.root=DATA \
        --config.evaluation.data_dir=BENCHMARKS

`:tiny` is what `make demo` runs: a random model, images inside installed libraries, about five
minutes on 2 CPU cores. The other sizes have not been run here.
"""

from configs import stage1_shallow_align, stage2_deep_align, stage3_instruct, stage4_rl
from lingshu_jax import recipe
from lingshu_jax.stages import config


def get_config(arg: str = "7b") -> recipe.RecipeConfig:
    """The recipe for `tiny`, `3b`, `7b`, `32b` or `72b`."""
    is_tiny = arg == config.TINY
    return recipe.RecipeConfig(
        hf=config.RANDOM if is_tiny else config.hub_folder(arg),
        root=config.DEMO if is_tiny else "data",
        shallow_align=stage1_shallow_align.get_config(arg),
        deep_align=stage2_deep_align.get_config(arg),
        instruct=stage3_instruct.get_config(arg),
        rl=stage4_rl.get_config(arg),
        evaluation=recipe.EvaluationConfig(
            benchmarks="demo_vqa" if is_tiny else "vqa_rad",
            data_dir="" if is_tiny else "benchmarks",
            max_new_tokens=32 if is_tiny else 8192,
            prompt="think" if is_tiny else "direct",
        ),
    )
