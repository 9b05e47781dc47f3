# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Prompts of which only the names matter."""

import numpy as np

from lingshu_jax.rl import questions, rewards
from tests import small


def prompts(count: int) -> list[questions.Prompt]:
    """Their ids are "0", "1", ..."""
    encoded = small.sequence(np.random.default_rng(0))
    question = rewards.Question(text="", gold="yes", answer_type="yes_no")
    return [
        questions.Prompt(id=str(i), messages=(), question=question, encoded=encoded)
        for i in range(count)
    ]
