# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Rollout batches with dynamic sampling, also after an interruption; the engine is a script."""

import pathlib
from collections.abc import Sequence
from typing import Any

import pytest

from lingshu_jax.engines import protocol
from lingshu_jax.rl import experience, pending, rewards, rollout, stream
from tests.rl import bare

COUNT = 7  # prompts, of which those of an odd number have groups without variance


class Script:
    """Answers each request with texts of its prompt, and dies after so many answers."""

    def __init__(self, answers: int = 1000):
        self.left, self.asked = answers, list[str]()

    def generate(
        self,
        requests: Sequence[protocol.Request],
        *,
        on_result: protocol.OnCompletions | None = None,
    ) -> list[list[protocol.Completion]]:
        assert on_result is not None
        lists = []
        for place in reversed(range(len(requests))):  # in any order
            if not self.left:
                raise InterruptedError
            self.left -= 1
            self.asked.append(requests[place].id)
            lists.append([complete(requests[place], i) for i in range(requests[place].sampling.n)])
            on_result(place, lists[-1])
        return lists[::-1]


def complete(request: protocol.Request, sample: int) -> protocol.Completion:
    """Its draws show in its log-probabilities."""
    return protocol.Completion(
        text=f"{request.id} {sample}",
        tokens=(sample, 1),
        logprobs=(-float(request.sampling.seed), -0.1),
        finish_reason="stop",
    )


def pays(completion: str, question: rewards.Question, *, finish_reason: str) -> rewards.Reward:
    number, sample = map(int, completion.split())
    return rewards.Reward(0.3 if number % 2 else 0.3 * sample, {"x": 0.0}, "ok", None)


def sampler() -> rollout.Sampler:
    return rollout.Sampler(max_new_tokens=2, temperature=1.0, samples=2, seed=5, reward_fn=pays)


def gather(
    workdir: pathlib.Path, *, groups: int, refills: int, engine: Script | None = None, at: int = 4
) -> experience.Experience:
    wanted = experience.Wanted(first=4, groups=groups, at=at, lineage=(0, 0))
    with pending.opened(workdir, step=5, lineage=(0, 0)) as finished:
        return experience.gather(
            wanted,
            stream.Stream(bare.prompts(COUNT), seed=0, position=0),
            engine or Script(),
            sampler(),
            finished=finished,
            max_refills=refills,
        )


def ids(groups: Sequence[rollout.Group]) -> list[int]:
    return [int(group.prompt.id) for group in groups]


def order(count: int) -> list[int]:
    return [
        int(prompt.id)
        for prompt in stream.Stream(bare.prompts(COUNT), seed=0, position=0).take(count)
    ]


def test_every_group_is_taken_where_none_is_to_be_left_out(tmp_path: pathlib.Path) -> None:
    got = gather(tmp_path, groups=5, refills=0)
    assert ids(got.groups) == order(5) and not got.left_out
    assert (got.refills, got.position, got.new_tokens) == (0, 5, 5 * 2 * 2)
    assert {i % 2 for i in ids(got.groups)} == {0, 1}


def test_other_prompts_stand_in_for_groups_without_variance(tmp_path: pathlib.Path) -> None:
    got = gather(tmp_path, groups=5, refills=20)
    asked = order(got.position)
    assert ids(got.groups) == [i for i in asked if i % 2 == 0] and len(got.groups) == 5
    assert ids(got.left_out) == [i for i in asked if i % 2]
    assert got.refills > 0 and asked[-1] % 2 == 0, "it ends with the last that was needed"
    described = experience.describe(got)
    assert described["groups/zero_variance"] == 0.0
    assert described["groups/asked"] == got.position
    # Rewards as logged are of all that was sampled: 0.3 and 0.15.
    kept, left = len(got.groups), len(got.left_out)
    wanted = (0.15 * kept + 0.3 * left) / (kept + left)
    assert described["reward/total"] == pytest.approx(wanted)


def test_a_batch_that_does_not_fill_takes_groups_back(tmp_path: pathlib.Path) -> None:
    got = gather(tmp_path, groups=5, refills=1)
    asked = order(got.position)
    even, odd = [i for i in asked if i % 2 == 0], [i for i in asked if i % 2]
    assert len(even) < 5 and got.refills == 1
    assert ids(got.groups) == even + odd[: 5 - len(even)]
    assert ids(got.left_out) == odd[5 - len(even) :]
    assert experience.describe(got)["groups/zero_variance"] == (5 - len(even)) / 5


def test_no_draws_are_used_twice(tmp_path: pathlib.Path) -> None:
    got = gather(tmp_path, groups=5, refills=20)
    every = [*got.groups, *got.left_out]
    assert got.position > COUNT, "a prompt was asked twice"
    assert len({group.completions[0].logprobs for group in every}) == len(every)


def plain(groups: Sequence[rollout.Group]) -> list[tuple[object, ...]]:
    return [(group.prompt.id, group.completions, group.rewards) for group in groups]


@pytest.mark.parametrize("answers", [0, 1, 4, 5, 7])
def test_an_interrupted_batch_goes_on_with_what_is_missing(
    tmp_path: pathlib.Path, answers: int
) -> None:
    whole = gather(tmp_path / "whole", groups=5, refills=20)
    first, second = Script(answers), Script()
    with pytest.raises(InterruptedError):
        gather(tmp_path, groups=5, refills=20, engine=first)
    got = gather(tmp_path, groups=5, refills=20, engine=second, at=8)
    assert plain(got.groups) == plain(whole.groups)
    assert plain(got.left_out) == plain(whole.left_out)
    assert len(first.asked) == answers
    assert len(first.asked) + len(second.asked) == whole.position, "nothing twice, nothing lost"
    assert got.new_tokens == len(second.asked) * 2 * 2
    # What the first process sampled is of older weights than what the second one did.
    assert sorted(set(got.at)) in ([4], [4, 8], [8])
    assert got.at.count(4) <= answers


def test_a_request_that_fails_is_named(tmp_path: pathlib.Path) -> None:
    class Failing(Script):
        def generate(self, requests: Any, *, on_result: Any = None) -> Any:
            on_result(1, protocol.Failure(f"request {requests[1].id!r}: no such image"))

    with pytest.raises(Exception, match="request '.': no such image"):
        gather(tmp_path, groups=5, refills=0, engine=Failing())
