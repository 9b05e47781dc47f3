# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Stage 4 on adapters: sampler, learner and reference agree on what the policy is."""

import pathlib
from typing import Any

import pytest

from lingshu_jax.common import metrics
from lingshu_jax.rl import loop
from lingshu_jax.stages import optim_config
from tests.rl import test_loop

STEPS = 4


@pytest.fixture(scope="module")
def rows(
    model_folder: pathlib.Path,
    question_folder: pathlib.Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> list[dict[str, Any]]:
    """Metric rows of a run that trains adapters of text and merger alone."""
    adapters = optim_config.LoraConfig(
        modules="text/layers/.*|merger/up", rank=4, learning_rate=3e-2
    )
    config = test_loop.make_config(model_folder, question_folder, lora=adapters, steps=STEPS)
    config.rl.eval.sources = ()
    workdir = tmp_path_factory.mktemp("run")
    summary = loop.run(config, workdir, reward_fn=test_loop.small_ids)
    assert summary["trained"] == [".*/lora_[ab]"]
    return metrics.read_rows(workdir)


def test_sampler_and_learner_agree(rows: list[dict[str, Any]]) -> None:
    """Rollouts come from the adapted model: in later steps too the ratio starts at one."""
    assert max(row["logprob_gap/max"] for row in rows) < 1e-3
    on_policy = [row["ratio/max_deviation"] == 0.0 for row in rows]
    assert on_policy == [True, False, True, False]


def test_the_reference_is_the_model_without_adapters(rows: list[dict[str, Any]]) -> None:
    assert abs(rows[0]["kl"]) < 1e-6
    assert rows[-1]["kl"] > 1e-5


def test_only_adapters_have_gradients(rows: list[dict[str, Any]]) -> None:
    assert all(row["grad_norm/text"] > 0 and row["grad_norm/merger"] > 0 for row in rows[1:])
    assert all("grad_norm/vision" not in row for row in rows)
