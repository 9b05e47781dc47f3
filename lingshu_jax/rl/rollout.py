# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Prompts to completions, rewards, advantages, and back to sequences to learn from.

Sampled ids travel as ids: text is made of them for the judge and the log, never the other way.

Axes: Q prompts, R rollouts per prompt.
"""

import dataclasses
import json
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32

from lingshu_jax.common import errors
from lingshu_jax.data import formats, messages
from lingshu_jax.engines import protocol
from lingshu_jax.rl import agreement, pending, questions, rewards, weights


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampler:
    """How completions are drawn and judged.

    Attributes:
      max_new_tokens: Longer ones are cut.
      temperature: 0 is greedy.
      samples: Completions a prompt.
      seed: Of the run.
      stream: Keeps the draws of training and of evaluation apart.
      reward_fn: Judges each.
      overlong_buffer: The reward falls over so many last tokens of `max_new_tokens`, the term
        `overlong`; 0 is no such term.
    """

    max_new_tokens: int
    temperature: float
    samples: int
    seed: int
    stream: int = 0
    reward_fn: rewards.RewardFn
    overlong_buffer: int = 0


class Group(NamedTuple):
    """All rollouts of one prompt.

    Attributes:
      prompt: What was asked.
      completions: What was answered, with the stop token and its log-probability.
      rewards: What each earned.
    """

    prompt: questions.Prompt
    completions: list[protocol.Completion]
    rewards: list[rewards.Reward]


def collect(
    prompts: Sequence[questions.Prompt],
    engine: protocol.Generator,
    sampler: Sampler,
    *,
    step: int,
) -> list[Group]:
    """Samples completions and judges them.

    Args:
      prompts: Q of them.
      engine: Generates; holds the weights that are to be sampled from.
      sampler: How.
      step: Varies the draws; the same step draws the same again.

    Returns:
      One group a prompt, in their order.
    """
    outputs = engine.generate(make_requests(prompts, sampler, step=step))
    return judge(prompts, outputs, sampler)


def make_requests(
    prompts: Sequence[questions.Prompt], sampler: Sampler, *, step: int, first: int = 0
) -> list[protocol.Request]:
    """What the engine is asked.

    Args:
      prompts: Q of them.
      sampler: How completions are drawn.
      step: Varies the draws.
      first: Prompts that were asked with this step before.
    """
    return [
        protocol.Request(
            messages=prompt.messages, sampling=_sampling(sampler, step, place), id=prompt.id
        )
        for place, prompt in enumerate(prompts, start=first)
    ]


def sample(
    requests: Sequence[protocol.Request],
    engine: protocol.Generator,
    finished: pending.Pending,
    *,
    at: int,
) -> list[pending.Sampled]:
    """Completions of each request: those that are on disk, and new ones, which go there.

    Args:
      requests: Of Q prompts.
      engine: Generates what is missing.
      finished: Of the rollout batch.
      at: Optimizer steps that the engine's weights have taken.

    Raises:
      UserError: If a request cannot be served; names it.
    """
    found = finished.find(requests)
    places = [place for place, known in enumerate(found) if known is None]

    def keep(place: int, result: list[protocol.Completion] | protocol.Failure) -> None:
        if isinstance(result, protocol.Failure):
            raise errors.UserError(result.reason)
        sampled = pending.Sampled(result, at, is_new=True)
        finished.put(requests[places[place]], sampled)
        found[places[place]] = sampled

    if places:
        engine.generate([requests[place] for place in places], on_result=keep)
    return [sampled for sampled in found if sampled is not None]


def judge(
    prompts: Sequence[questions.Prompt],
    outputs: Sequence[Sequence[protocol.Completion]],
    sampler: Sampler,
) -> list[Group]:
    """Rewards of all completions; the main process judges for all.

    Args:
      prompts: Q of them.
      outputs: R completions of each.
      sampler: Has the reward function.
    """
    pairs = list(zip(prompts, outputs, strict=True))
    earned = iter(agreement.from_main(lambda: _earn(sampler, pairs)))
    return [
        Group(prompt, list(answers), [rewards.Reward(*next(earned)) for _ in answers])
        for prompt, answers in pairs
    ]


def totals(groups: Sequence[Group]) -> Float32[np.ndarray, "Q R"]:
    """The total reward of all rollouts.

    Args:
      groups: Of R rollouts each.
    """
    return np.array([[reward.total for reward in g.rewards] for g in groups], np.float32)


def to_sequences(
    group: Group, values: Float32[np.ndarray, " R"], token_weights: Float32[np.ndarray, " R"]
) -> list[messages.Encoded]:
    """Prompt and completion of each rollout, with what the loss needs at each token.

        tokens            <prompt> <sampled ids> <stop>
        loss_weights       0 .. 0   w .. w        w
        advantages         0 .. 0   A .. A        A
        sampler_logprobs   0 .. 0   as reported

    Args:
      group: The rollouts of a prompt.
      values: Their advantages.
      token_weights: What a token of each counts, from `weights.completion_weights`.
    """
    sequences = []
    for completion, value, weight in zip(group.completions, values, token_weights, strict=True):
        length = len(completion.tokens)
        extras = {
            "advantages": np.full(length, value, np.float32),
            "sampler_logprobs": np.asarray(completion.logprobs, np.float32),
        }
        counts = np.full(length, weight, np.float32)
        sequences.append(
            messages.extend(
                group.prompt.encoded, completion.tokens, loss_weights=counts, extras=extras
            )
        )
    return sequences


def statistics(groups: Sequence[Group]) -> dict[str, float]:
    """Means over all rollouts: `reward/*`, `length/*`, `duplicates`.

    Args:
      groups: At least one.
    """
    completions = [c for group in groups for c in group.completions]
    judged = [reward for group in groups for reward in group.rewards]
    lengths = [len(c.tokens) for c in completions]
    distinct = sum(len({c.tokens for c in group.completions}) for group in groups)
    return {
        "reward/total": mean(reward.total for reward in judged),
        **{f"reward/{name}": term_mean(groups, name) for name in judged[0].terms},
        "length/mean": mean(lengths),
        "length/max": float(max(lengths)),
        "length/truncated": mean(c.finish_reason == "length" for c in completions),
        "length/prompt": mean(group.prompt.encoded.num_tokens for group in groups),
        "duplicates": 1.0 - distinct / len(completions),
    }


def term_mean(groups: Sequence[Group], name: str) -> float:
    """Mean of one reward term over all rollouts."""
    return mean(reward.terms[name] for group in groups for reward in group.rewards)


def count_tokens(groups: Sequence[Group]) -> int:
    """Tokens of all completions, stop tokens included."""
    return sum(len(completion.tokens) for group in groups for completion in group.completions)


def mean(values: Iterable[float | int]) -> float:
    """Arithmetic mean; at least one value."""
    return float(np.mean(list(values)))


def write_records(
    folder: pathlib.Path,
    groups: Sequence[Group],
    values: Float32[np.ndarray, "Q R"],
    *,
    step: int,
    left_out: Sequence[Group] = (),
) -> None:
    """Writes `rollouts/<step>.jsonl`, one row a completion, whole or not at all.

    Args:
      folder: The run's `rollouts/`.
      groups: Of the step.
      values: Their advantages.
      step: The step they were sampled for.
      left_out: Groups that were sampled for it and not learned from.
    """
    rows = list(_records(groups, values, step))
    nothing = np.zeros((len(left_out), values.shape[1]), np.float32)
    rows += [row | {"left_out": True} for row in _records(left_out, nothing, step)]
    formats.write_jsonl(folder / f"{step:06d}.jsonl", rows)


def read_records(folder: pathlib.Path) -> Iterator[dict[str, Any]]:
    """All rollouts of a run, in order.

    Args:
      folder: The run's `rollouts/`.
    """
    for path in sorted(folder.glob("*.jsonl")):
        with path.open(encoding="utf-8") as file:  # splitlines() would cut at a U+2028 as well
            yield from map(json.loads, file)


def _records(
    groups: Sequence[Group], values: Float32[np.ndarray, "Q R"], step: int
) -> Iterator[dict[str, Any]]:
    for group, row in zip(groups, values, strict=True):
        prompt = group.prompt
        for sample, (completion, reward) in enumerate(
            zip(group.completions, group.rewards, strict=True)
        ):
            yield {
                "step": step,
                "id": prompt.id,
                "sample": sample,
                "question": prompt.question.text,
                "gold": prompt.question.gold,
                "answer_type": prompt.question.answer_type,
                "completion": completion.text,
                "tokens": len(completion.tokens),
                "finish_reason": completion.finish_reason,
                "rewards": reward.terms,
                "reward": reward.total,
                "status": reward.status,
                "parsed": reward.parsed,
                "advantage": float(row[sample]),
                "images": prompt.image_paths,
            }


def _sampling(sampler: Sampler, step: int, place: int) -> protocol.SamplingParams:
    # A seed a request: two prompts of a batch must not share their draws.
    words = np.random.SeedSequence([sampler.seed, sampler.stream, step, place]).generate_state(1)
    return protocol.SamplingParams(
        max_new_tokens=sampler.max_new_tokens,
        temperature=sampler.temperature,
        seed=int(words[0] >> 1),
        n=sampler.samples,
    )


def _earn(
    sampler: Sampler,
    pairs: Sequence[tuple[questions.Prompt, Sequence[protocol.Completion]]],
) -> list[rewards.Reward]:
    """The rewards of all completions, one after the other."""
    every = [(prompt.question, one) for prompt, answers in pairs for one in answers]
    asked = [rewards.Asked(one.text, question, one.finish_reason) for question, one in every]
    earned = rewards.earn(sampler.reward_fn, asked)
    return [
        _with_length(sampler, reward, len(one.tokens))
        for reward, (_, one) in zip(earned, every, strict=True)
    ]


def _with_length(sampler: Sampler, reward: rewards.Reward, length: int) -> rewards.Reward:
    """Plain floats, and the term of the length."""
    terms = {name: float(value) for name, value in reward.terms.items()}
    penalty = 0.0
    if sampler.overlong_buffer:
        penalty = terms["overlong"] = weights.overlong_penalty(
            length, sampler.max_new_tokens, sampler.overlong_buffer
        )
    return reward._replace(total=float(reward.total) + penalty, terms=terms)
