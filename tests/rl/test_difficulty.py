# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Pass rates: by hand, resumed without asking twice, and failures that stay failures."""

import dataclasses
from pathlib import Path

import pytest

from lingshu_jax.common import errors
from lingshu_jax.data import sources
from lingshu_jax.engines import registry
from lingshu_jax.rl import difficulty, questions, rewards
from tests.rl import trying

ASK = "Think, then answer."


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> trying.Knowing:
    made = trying.Knowing()
    monkeypatch.setattr(registry.Choice, "make", lambda _: made)
    return made


@pytest.fixture
def sampling(model_folder: Path) -> difficulty.Sampling:
    choice = registry.choose("jax", str(model_folder))
    return difficulty.Sampling(choice=choice, instruction=ASK, samples=4, max_new_tokens=8)


def example(question, gold="left"):
    turn = {"role": "user", "content": [{"type": "text", "text": question}]}
    meta = {"answer": gold, "answer_type": "open"}
    return sources.Example(id=question, source="s", messages=(turn,), meta=meta)


def measure(texts, folder, sampling, reward_fn=None):
    asked = [questions.as_asked(example(text), sampling.instruction) for text in texts]
    rows = [{"id": t, "messages": list(a.messages)} for t, a in zip(texts, asked, strict=True)]
    reward_fn = reward_fn or rewards.FormatAccuracy()
    return difficulty.measure(rows, asked, folder, sampling=sampling, reward_fn=reward_fn)


def test_pass_rates_by_hand(tmp_path, sampling, engine):
    found = measure(["is it 0 ?", "is it 1 ?", "is it 4 ?"], tmp_path, sampling)
    assert found == [
        difficulty.Tried(accuracy=accuracy, form=1.0, samples=4) for accuracy in (0.0, 0.25, 1.0)
    ]
    assert engine.closed == 1


def test_it_is_asked_as_training_asks(tmp_path, sampling, engine):
    measure(["is it 1 ?", "is it 2 ?"], tmp_path, sampling)
    request = next(one for one in engine.requests if one.id == "is it 2 ?")
    assert request.messages[-1]["content"] == [{"type": "text", "text": f"is it 2 ?\n{ASK}"}]
    params = request.sampling
    assert (params.n, params.temperature, params.max_new_tokens, params.seed) == (4, 1.0, 8, 4)


def test_a_second_run_asks_nothing(tmp_path, sampling, engine):
    first = measure(["is it 1 ?", "is it 2 ?"], tmp_path, sampling)
    engine.requests.clear()
    assert measure(["is it 1 ?", "is it 2 ?"], tmp_path, sampling) == first
    assert engine.requests == []
    again = dataclasses.replace(sampling, overwrite=True)
    assert measure(["is it 1 ?"], tmp_path, again) == first[:1]
    assert len(engine.requests) == 1


def test_other_settings_do_not_mix(tmp_path, sampling, engine):
    measure(["is it 1 ?"], tmp_path, sampling)
    with pytest.raises(errors.UserError, match="made with --n=4, now it is --n=5"):
        measure(["is it 1 ?"], tmp_path, dataclasses.replace(sampling, samples=5))


def test_failures_are_asked_again(tmp_path, sampling, engine):
    texts = ["is it 1 ?", "fail 3 ?"]
    good, failed = measure(texts, tmp_path, sampling)
    assert good.accuracy == 0.25 and failed.failure == "the engine fails"
    engine.asked.clear()
    measure(texts, tmp_path, sampling)
    assert engine.asked == ["fail 3 ?"]


def test_another_reward_needs_no_new_answers(tmp_path, sampling, engine):
    def generous(completion, question, *, finish_reason):
        return rewards.Reward(1.0, {"accuracy": 0.5}, "ok", completion)

    measure(["is it 1 ?"], tmp_path, sampling)
    engine.requests.clear()
    assert measure(["is it 1 ?"], tmp_path, sampling, generous) == [
        difficulty.Tried(accuracy=0.5, form=None, samples=4)
    ]
    assert engine.requests == []


def test_a_reward_without_accuracy_is_refused(tmp_path, sampling, engine):
    def other(completion, question, *, finish_reason):
        return rewards.Reward(1.0, {"style": 0.5}, "ok", completion)

    with pytest.raises(errors.UserError, match="no term 'accuracy', it has style"):
        measure(["is it 1 ?"], tmp_path, sampling, other)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"samples": 1}, "--samples must be >= 2, got 1"),
        ({"temperature": 0.0}, "--temperature must be > 0, got 0.0"),
        ({"max_new_tokens": 0}, "max_new_tokens must be >= 1"),
    ],
)
def test_settings_that_make_no_sense(sampling, change, reason):
    with pytest.raises(errors.UserError, match=reason):
        dataclasses.replace(sampling, **change).validate()
