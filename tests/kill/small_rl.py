# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A stage 4 of a few seconds; `tests/kill/small_rl.py:FOLDER` on what `small_recipe` wrote."""

import pathlib

from lingshu_jax.rl import config as rl_config
from lingshu_jax.rl import config_reward, rewards
from tests.kill import small_recipe

SAVE_EVERY = 4  # steps: two rollout batches


def get_config(folder: str) -> rl_config.RLStageConfig:
    """Two updates a rollout batch, whose prompts are decoded one after the other."""
    config = small_recipe.get_config(folder).rl
    config.model.init_from, config.data.root = f"{folder}/hf", f"{folder}/rows"
    config.data.tokens_per_row, config.optim.final_fraction = 144, 1.0
    config.steps, config.save_every_steps = 8, SAVE_EVERY
    config.rl.prompts_per_rollout = 4
    config.rl.rollouts_per_prompt, config.rl.generation_rows = 4, 4
    config.rl.max_refills, config.rl.max_new_tokens = 1, 24
    config.rl.reward = config_reward.RewardConfig(
        function=f"{pathlib.Path(__file__).resolve()}:letters"
    )
    return config


def letters(completion: str, question: rewards.Question, finish_reason: str) -> float:
    """Pays for a plain letter in front, which about every third group has nowhere."""
    del question, finish_reason
    return float(completion[:1].isascii() and completion[:1].isalpha())
