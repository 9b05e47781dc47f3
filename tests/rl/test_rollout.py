# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Completions, rewards, advantages and the log, with an engine that recites a script."""

import numpy as np
import pytest

from lingshu_jax.data import formats, messages, packing, sources
from lingshu_jax.engines import protocol
from lingshu_jax.rl import questions, rewards, rollout
from tests import small

RIGHT, WRONG = "<think>x</think><answer>yes</answer>", "<think>x</think><answer>no</answer>"


class Script:
    """An engine that answers every request with the same texts, and remembers the requests."""

    def __init__(self, encoder, texts):
        self.encoder, self.texts, self.requests = encoder, texts, []

    def generate(self, requests):
        self.requests += requests
        return [[self.complete(t) for t in self.texts[: r.sampling.n]] for r in requests]

    def complete(self, text):
        ids = (*self.encoder.text_ids(text), self.encoder.special.im_end)
        logprobs = tuple(-0.5 - i for i in range(len(ids)))
        return protocol.Completion(text=text, tokens=ids, logprobs=logprobs, finish_reason="stop")


@pytest.fixture(scope="module")
def encoder(model_folder):
    return messages.Encoder(model_folder, **small.PIXELS)


@pytest.fixture(scope="module")
def prompts(encoder, question_folder):
    reading = sources.read(sources.Source(name="train", path="train.jsonl"), question_folder)
    made = questions.make_prompts(
        reading.examples,
        encoder,
        instruction="",
        max_prompt_tokens=200,
        budget=packing.Budget(256, 64),
    )
    return made.prompts


def sampler(samples=3, **changes):
    options = {"max_new_tokens": 60, "temperature": 1.0, "seed": 7, "samples": samples}
    return rollout.Sampler(reward_fn=rewards.FormatAccuracy(), **options | changes)


def collect(encoder, prompts, texts=(RIGHT, WRONG, "no"), step=0, **changes):
    return rollout.collect(prompts, Script(encoder, texts), sampler(**changes), step=step)


def test_rewards_stand_beside_their_completions(encoder, prompts):
    groups = collect(encoder, prompts[:2])
    assert [group.prompt.id for group in groups] == [prompt.id for prompt in prompts[:2]]
    assert [reward.total for reward in groups[0].rewards] == [1.5, 0.5, 0.0]
    assert rollout.statistics(groups) | {
        "reward/total": pytest.approx(2 / 3),
        "reward/format": pytest.approx(2 / 3),
        "reward/accuracy": pytest.approx(1 / 3),
        "length/max": len(RIGHT) + 1.0,
        "length/truncated": 0.0,
        "duplicates": 0.0,
    } == rollout.statistics(groups)


def test_duplicates_are_counted_inside_a_group(encoder, prompts):
    groups = collect(encoder, prompts[:2], texts=(RIGHT, RIGHT, WRONG))
    assert rollout.statistics(groups)["duplicates"] == pytest.approx(1 / 3)


def test_every_request_of_every_step_has_its_own_seed(encoder, prompts):
    engine = Script(encoder, (RIGHT, WRONG, "no"))
    for step, stream in ((0, 0), (1, 0), (0, 1)):
        rollout.collect(prompts, engine, sampler(stream=stream), step=step)
    assert len({request.sampling.seed for request in engine.requests}) == 3 * len(prompts)
    again = Script(encoder, (RIGHT, WRONG, "no"))
    rollout.collect(prompts, again, sampler(), step=0)
    first = engine.requests[: len(prompts)]
    assert [r.sampling for r in again.requests] == [r.sampling for r in first]


def test_totals_are_one_a_rollout(encoder, prompts):
    np.testing.assert_array_equal(
        rollout.totals(collect(encoder, prompts[:2])), [[1.5, 0.5, 0.0]] * 2
    )


def test_sampled_ids_are_kept_as_they_are(encoder, prompts):
    (group,) = collect(encoder, prompts[:1])
    values = np.array([1.0, 2.0, 3.0], np.float32)
    counts = np.array([0.5, 0.25, 0.0], np.float32)
    made = rollout.to_sequences(group, values, counts)
    one, prompt, completion = made[1], prompts[0].encoded, group.completions[1]
    begin = prompt.num_tokens
    np.testing.assert_array_equal(one.tokens[:begin], prompt.tokens)
    assert tuple(one.tokens[begin:]) == completion.tokens
    assert one.tokens[-1] == encoder.special.im_end
    assert (one.loss_weights[begin:] == 0.25).all() and not one.loss_weights[:begin].any()
    assert not made[2].loss_weights.any()
    assert (one.extras["advantages"][begin:] == 2.0).all()
    np.testing.assert_allclose(one.extras["sampler_logprobs"][begin:], completion.logprobs)
    assert not one.extras["sampler_logprobs"][:begin].any()
    assert one.positions[0, begin] == prompt.next_position


def test_a_long_completion_costs_reward_in_a_term_of_its_own(encoder, prompts):
    """Of 60 tokens at most, the last 20 cost; 40 + 10 tokens cost a half."""
    (group,) = collect(
        encoder, prompts[:1], texts=("x" * 39, "x" * 49, "x" * 59), overlong_buffer=20
    )
    assert [reward.terms["overlong"] for reward in group.rewards] == [0.0, -0.5, -1.0]
    assert [reward.total for reward in group.rewards] == [0.0, -0.5, -1.0]
    assert "overlong" not in collect(encoder, prompts[:1])[0].rewards[0].terms


def test_the_log_has_a_row_a_completion(encoder, prompts, tmp_path):
    groups = collect(encoder, prompts[:2])
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    rollout.write_records(tmp_path, groups, values, step=4)
    rollout.write_records(tmp_path, groups, values, step=12)
    records = list(rollout.read_records(tmp_path))
    assert [record["step"] for record in records] == [4] * 6 + [12] * 6
    first = records[1]
    assert first["completion"] == WRONG
    assert first["rewards"] == {"format": 1.0, "accuracy": 0.0}
    assert (first["gold"], first["parsed"], first["status"]) == ("yes", "no", "ok")
    assert (first["advantage"], first["sample"], first["finish_reason"]) == (1.0, 1, "stop")
    assert first["images"] == prompts[0].image_paths


def test_a_step_is_written_whole_or_not_at_all(encoder, prompts, tmp_path):
    groups = collect(encoder, prompts[:2])
    with pytest.raises(ValueError, match="zip"):
        rollout.write_records(tmp_path, groups, np.zeros((1, 3), np.float32), step=1)
    assert list(tmp_path.iterdir()) == []


def test_a_line_separator_in_a_completion_ends_no_row(tmp_path):
    rows = [{"completion": "one\u2028two"}, {"completion": "three"}]
    formats.write_jsonl(tmp_path / "000001.jsonl", rows)
    assert [*rollout.read_records(tmp_path)] == rows
