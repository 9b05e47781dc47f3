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

from lingshu_jax.data import formats, messages, packing
from lingshu_jax.engines import protocol
from lingshu_jax.rl import advantages, questions, rewards


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
    """

    max_new_tokens: int
    temperature: float
    samples: int
    seed: int
    stream: int = 0
    reward_fn: rewards.RewardFn


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
    requests = [
        protocol.Request(
            messages=prompt.messages, sampling=_sampling(sampler, step, place), id=prompt.id
        )
        for place, prompt in enumerate(prompts)
    ]
    outputs = engine.generate(requests)
    return [
        Group(prompt, list(completions), [_judge(sampler, prompt, c) for c in completions])
        for prompt, completions in zip(prompts, outputs, strict=True)
    ]


def group_advantages(
    groups: Sequence[Group], *, eps: float, scale_by_std: bool
) -> advantages.Advantages:
    """Advantages of all rollouts, [Q, R].

    Args:
      groups: Of R rollouts each.
      eps: See `advantages.group_relative`.
      scale_by_std: See `advantages.group_relative`.
    """
    totals = np.array([[reward.total for reward in g.rewards] for g in groups], np.float32)
    return advantages.group_relative(totals, eps=eps, scale_by_std=scale_by_std)


def to_sequences(
    group: Group, values: Float32[np.ndarray, " R"], *, normalization: packing.Normalization
) -> list[messages.Encoded]:
    """Prompt and completion of each rollout, with what the loss needs at each token.

        tokens            <prompt> <sampled ids> <stop>
        loss_weights       0 .. 0   w .. w        w
        advantages         0 .. 0   A .. A        A
        sampler_logprobs   0 .. 0   as reported

    Args:
      group: The rollouts of a prompt.
      values: Their advantages.
      normalization: "token" weighs each token 1, "sequence" each completion, whatever its
        length.
    """
    sequences = []
    for completion, value in zip(group.completions, values, strict=True):
        length = len(completion.tokens)
        weight = 1.0 if normalization == "token" else 1.0 / length
        extras = {
            "advantages": np.full(length, value, np.float32),
            "sampler_logprobs": np.asarray(completion.logprobs, np.float32),
        }
        weights = np.full(length, weight, np.float32)
        sequences.append(
            messages.extend(
                group.prompt.encoded, completion.tokens, loss_weights=weights, extras=extras
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


def mean(values: Iterable[float | int]) -> float:
    """Arithmetic mean; at least one value."""
    return float(np.mean(list(values)))


def write_records(
    folder: pathlib.Path,
    groups: Sequence[Group],
    values: Float32[np.ndarray, "Q R"],
    *,
    step: int,
) -> None:
    """Writes `rollouts/<step>.jsonl`, one row a completion, whole or not at all.

    Args:
      folder: The run's `rollouts/`.
      groups: Of the step.
      values: Their advantages.
      step: The step they were sampled for.
    """
    formats.write_jsonl(folder / f"{step:06d}.jsonl", _records(groups, values, step))


def read_records(folder: pathlib.Path) -> Iterator[dict[str, Any]]:
    """All rollouts of a run, in order.

    Args:
      folder: The run's `rollouts/`.
    """
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)


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


def _judge(
    sampler: Sampler, prompt: questions.Prompt, completion: protocol.Completion
) -> rewards.Reward:
    return sampler.reward_fn(
        completion.text, prompt.question, finish_reason=completion.finish_reason
    )
