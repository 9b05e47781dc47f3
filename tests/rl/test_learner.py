# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The KL estimate of each completion, for the reward: of trees that share rows, and one by one."""

import jax.numpy as jnp
import numpy as np
import pytest

from lingshu_jax.engines import protocol
from lingshu_jax.rl import learner, rollout, tasks
from lingshu_jax.stages import optim
from lingshu_jax.stages import trainer as trainer_lib
from tests.rl import test_loop

LENGTHS = (3, 7, 1)


@pytest.fixture(scope="module")
def parts(model_folder, question_folder, tmp_path_factory):
    """A learner whose reference differs from its policy, and groups of made-up completions."""
    config = test_loop.make_config(model_folder, question_folder)
    config.rl.kl_estimator = "k1"
    workdir = tmp_path_factory.mktemp("run")
    task = tasks.read(config, workdir)
    trainer = trainer_lib.Trainer(config, task.start, total_steps=4, workdir=workdir)
    trainer.restore()
    reference = {
        name: leaf * 1.1 if name.endswith("kernel") else leaf + 0.0
        for name, leaf in optim.flatten(trainer.state.params()).items()
    }
    rng = np.random.default_rng(0)

    def complete(length):
        ids = tuple(int(x) for x in rng.integers(0, 256, length))
        return protocol.Completion(
            text="", tokens=ids, logprobs=(-1.0,) * length, finish_reason="length"
        )

    groups = [rollout.Group(p, [complete(n) for n in LENGTHS], []) for p in task.prompts[:2]]
    return learner.Learner(config, trainer, task.encoder, reference), groups


def one_by_one(live, groups):
    """Sum of log p - log r over each completion, which stands in a pass of its own."""
    found = np.zeros((len(groups), len(LENGTHS)), np.float32)
    for q, group in enumerate(groups):
        for r in range(len(LENGTHS)):
            lonely = group._replace(completions=group.completions[r : r + 1])
            ones = np.ones(1, np.float32)
            passes = live.plan([rollout.to_sequences(lonely, ones, ones)])
            assert len(passes) == 1
            (known,) = live.known(passes, is_first=False).extras
            row = passes[0][0][0]
            gap = (known["old_logprobs"] - known["ref_logprobs"])[0, : row.num_tokens]
            found[q, r] = jnp.sum(jnp.where(row.loss_weights > 0, gap, 0.0))
    return found


def test_kl_penalty_is_the_sum_over_each_completion(parts):
    live, groups = parts
    got, want = live.kl_penalty(groups), one_by_one(live, groups)
    assert got.shape == (2, 3) and got.dtype == np.float32
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)
    assert np.abs(want).min() > 1e-2, "a reference that differs"
    assert np.abs(got - want[::-1]).max() > 1e-2, "the other prompt's would be noticed"
