# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A recipe of a few seconds; `tests/kill/small_recipe.py:FOLDER` on what `write_folder` wrote."""

import json
import pathlib

from lingshu_jax import recipe
from lingshu_jax.data import sources
from lingshu_jax.rl import config as rl_config
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import optim_config
from tests import small

QUESTIONS = "questions"  # the benchmark, and what stage 4 asks


def write_folder(folder: pathlib.Path) -> pathlib.Path:
    """`hf`, the small random model, and `rows`, conversations and questions with pictures."""
    small.write_folder(folder / "hf")
    small.write_rows(folder / "rows")
    with (folder / "rows" / f"{QUESTIONS}.jsonl").open("w") as file:
        for number in range(6):
            image = {"type": "image", "image": f"{number % 3}.png"}
            content = [image, {"type": "text", "text": f"Is it {number}?"}]
            row = {"id": f"q{number}", "messages": [{"role": "user", "content": content}]}
            gold = {"answer": "yes" if number % 2 else "no", "answer_type": "yes_no"}
            file.write(json.dumps(row | gold) + "\n")
    return folder


def get_config(folder: str) -> recipe.RecipeConfig:
    """The recipe on a folder."""
    return recipe.RecipeConfig(
        hf=f"{folder}/hf",
        root=f"{folder}/rows",
        shallow_align=stage_config.StageConfig(**_stage("shallow_align", "rows", 6)),
        deep_align=stage_config.StageConfig(**_stage("deep_align", "rows", 6)),
        instruct=stage_config.StageConfig(**_stage("instruct", "rows", 6)),
        rl=rl_config.RLStageConfig(
            **_stage("rl", QUESTIONS, 4),
            rl=rl_config.RLConfig(
                prompts_per_rollout=2,
                prompts_per_update=2,
                rollouts_per_prompt=2,
                max_prompt_tokens=120,
                max_new_tokens=8,
                instruction="",
                generation_rows=4,
            ),
        ),
        evaluation=recipe.EvaluationConfig(benchmarks=QUESTIONS, max_new_tokens=8, batch_size=2),
    )


def _stage(name: str, rows: str, steps: int) -> dict:
    return {
        "stage": name,
        "model": stage_config.ModelConfig(
            init_from="the stage before", compute_dtype="float32", remat="none"
        ),
        "data": stage_config.DataConfig(
            sources=(sources.Source(name=rows, path=f"{rows}.jsonl", group="medical_multimodal"),),
            tokens_per_row=128,
            patches_per_row=128,
            rows_per_batch=2,
            normalization="token",
            **small.PIXELS,
        ),
        "optim": optim_config.OptimConfig(trainable=((".*", 3e-3),), warmup_steps=0),
        "steps": steps,
        "save_every_steps": 2,
    }
