# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Stage 4 whose answers are vLLM's: a server in `.venv-vllm` with the weights in training."""

import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from configs import stage4_rl
from lingshu_jax.common import metrics
from lingshu_jax.rl import config as rl_config
from lingshu_jax.rl import loop, rewards, rollout
from tests.vllm import folders, limits, processes

pytestmark = pytest.mark.vllm

CLOSE = 1e-3  # nats, on average: both compute in float32
STEPS = 2


class Run(NamedTuple):
    """A finished run: its metric rows and its rollouts."""

    rows: list[dict[str, Any]]
    rollouts: list[dict[str, Any]]


def letters(completion: str, question: rewards.Question, *, finish_reason: str) -> rewards.Reward:
    """Pays for plain letters, of which a random model writes more or fewer."""
    del question, finish_reason
    share = sum(c.isascii() and c.isalpha() for c in completion) / max(len(completion), 1)
    return rewards.Reward(share, {"format": 0.0, "accuracy": share}, "ok", None)


def config_of(start: pathlib.Path, python: pathlib.Path) -> rl_config.RLStageConfig:
    """`:tiny` on a checkpoint that vLLM has kernels for, whose tokenizer makes longer prompts."""
    config = stage4_rl.get_config("tiny")
    config.model.init_from = str(start)
    config.data.tokens_per_row, config.data.rows_per_batch = 1024, 8
    rl = config.rl
    rl.max_prompt_tokens, rl.prompts_per_rollout, rl.prompts_per_update = 600, 4, 4
    rl.generation_rows = 32
    rl.eval.prompts, rl.eval.samples_per_prompt, rl.eval.every_steps = 2, 2, STEPS
    rl.engine = "vllm"
    rl.vllm.python = str(python)
    rl.vllm.enforce_eager = limits.OPTIONS["enforce_eager"]
    rl.vllm.kv_cache_bytes = limits.OPTIONS["kv_cache_memory_bytes"]
    config.optim.warmup_steps = 0
    config.steps = config.save_every_steps = STEPS
    return config


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """As an earlier stage leaves one: vLLM finds no weights beside its tokenizer and config."""
    folder = tmp_path_factory.mktemp("tied")
    folders.make(folder, "tied")
    return folder / "checkpoint"


@pytest.fixture
def run(
    checkpoint: pathlib.Path,
    side_python: Callable[[str], pathlib.Path],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Run]:
    """Runs stage 4 with changes to `config.rl` and of the number of steps."""
    for name, value in processes.VARIABLES.items():
        monkeypatch.setenv(name, value)

    def run(*, steps: int = STEPS, **changes: Any) -> Run:
        config = config_of(checkpoint, side_python("vllm"))
        config.steps = steps
        for name, value in changes.items():
            setattr(config.rl, name, value)
        config.validate()
        loop.run(config, tmp_path / "run", reward_fn=letters)
        rollouts = list(rollout.read_records(tmp_path / "run" / loop.ROLLOUTS))
        return Run(metrics.read_rows(tmp_path / "run"), rollouts)

    return run


def test_every_batch_comes_from_the_weights_before_its_update(run: Callable[..., Run]) -> None:
    rows, rollouts = run()
    assert [row["step"] for row in rows] == [1, 2]
    assert max(row["logprob_gap/mean"] for row in rows) < CLOSE
    assert [row["staleness"] for row in rows] == [0.0, 0.0]
    # The weights had moved by then, further than the gap: the reference is the first ones.
    assert rows[0]["kl"] < 1e-6 and (2 * rows[1]["kl"]) ** 0.5 > 10 * CLOSE
    assert all(row["grad_norm"] > 0 and row["rollout/tokens_per_second"] > 0 for row in rows)
    assert all(row["seconds/generate"] > 0 and row["seconds/sync"] > 0 for row in rows)
    assert "seconds/decode" not in rows[0]
    texts = {row["completion"] for row in rollouts}
    assert len(rollouts) == 2 * 4 * 8 and len(texts) > 0.9 * len(rollouts)
    assert all(rows[at][f"{name}/accuracy"] >= 0 for at in (0, 1) for name in ("eval", "blind"))
    assert all(row["images"] for row in rollouts)


def test_older_weights_would_show_in_the_gap(run: Callable[..., Run], reduced: bool) -> None:
    """The twin: sampled ahead, the third batch is of the weights before the second update."""
    if reduced:
        pytest.skip("the short form starts one server")
    rows, _ = run(steps=3, rollouts_ahead=1)
    assert [row["staleness"] for row in rows] == [0.0, 1.0, 1.0]
    assert rows[0]["logprob_gap/mean"] < CLOSE
    assert min(row["logprob_gap/mean"] for row in rows[1:]) > 10 * CLOSE
    assert all(row["ratio/max_deviation"] == 0.0 for row in rows)
