# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A rollout batch: prompts are asked until there are enough groups to learn from.

With dynamic sampling a group whose rewards are all equal is left out, for its advantages are 0, and
another prompt is asked in its place. Which ones are asked is a function of the rewards alone, so
that a continued run and every process ask the same.

Source: arXiv:2503.14476, section 3.2. Differs: a group is left out where its whole rewards are all
equal, in the paper where all its answers are right or all wrong; as many prompts are asked as are
missing, where verl asks a whole batch and drops what is too much; what is missing in the end is
made up of groups that were left out, where verl ends the run.
"""

from typing import NamedTuple

import numpy as np

from lingshu_jax.common import metrics
from lingshu_jax.engines import protocol
from lingshu_jax.rl import pending, rollout
from lingshu_jax.rl import stream as stream_lib

_GENERATE, _REWARD = "generate", "reward"  # what time goes into


class Wanted(NamedTuple):
    """A rollout batch to be sampled.

    Attributes:
      first: Optimizer steps before the first update that learns from it.
      groups: How many.
      at: Optimizer steps of the weights that sample.
      lineage: As of `pending.opened`.
    """

    first: int
    groups: int
    at: int
    lineage: tuple[int, ...]


class Experience(NamedTuple):
    """What an update or several learn from.

    Attributes:
      groups: As many as were wanted.
      at: Optimizer steps of the weights that sampled each.
      left_out: Groups that were sampled and are not learned from.
      refills: How often other prompts were asked in place of groups.
      position: Of the prompt stream when the last was asked.
      new_tokens: Sampled now, not found on disk.
      generate_seconds: Until all completions were there.
      reward_seconds: Until all were judged.
    """

    groups: list[rollout.Group]
    at: list[int]
    left_out: list[rollout.Group]
    refills: int
    position: int
    new_tokens: int
    generate_seconds: float
    reward_seconds: float


class _Judged(NamedTuple):
    group: rollout.Group
    sampled: pending.Sampled


def gather(
    wanted: Wanted,
    stream: stream_lib.Stream,
    engine: protocol.Generator,
    sampler: rollout.Sampler,
    *,
    finished: pending.Pending,
    max_refills: int,
) -> Experience:
    """Asks prompts until there are enough groups.

    Args:
      wanted: How many, and for which step.
      stream: Where prompts come from.
      engine: Generates; holds the weights that are to be sampled from.
      sampler: How.
      finished: What an earlier process sampled of this batch; takes what is new.
      max_refills: How often groups are replaced; 0 keeps them all.

    Raises:
      UserError: If a prompt cannot be answered; names it.
    """
    watch = metrics.Stopwatch(useful=())
    kept: list[_Judged] = []
    spare: list[_Judged] = []
    times = 0
    while len(kept) < wanted.groups and times <= max_refills:
        times += 1
        prompts = stream.take(wanted.groups - len(kept))
        requests = rollout.make_requests(
            prompts, sampler, step=wanted.first, first=len(kept) + len(spare)
        )
        sampled = rollout.sample(requests, engine, finished, at=wanted.at)
        watch.lap(_GENERATE)
        groups = rollout.judge(prompts, [one.completions for one in sampled], sampler)
        watch.lap(_REWARD)
        for judged in map(_Judged, groups, sampled):
            teaches = not max_refills or has_variance(judged.group)
            (kept if teaches else spare).append(judged)
    missing, seconds = wanted.groups - len(kept), watch.take()
    used = kept + spare[:missing]
    new = [one.group for one in kept + spare if one.sampled.is_new]
    return Experience(
        groups=[one.group for one in used],
        at=[one.sampled.at for one in used],
        left_out=[one.group for one in spare[missing:]],
        refills=times - 1,
        position=stream.position,
        new_tokens=rollout.count_tokens(new),
        generate_seconds=seconds[_GENERATE],
        reward_seconds=seconds[_REWARD],
    )


def has_variance(group: rollout.Group) -> bool:
    """Whether the rewards of a group differ, so that advantages are not all 0.

    Args:
      group: At least one rollout.
    """
    # As advantages see them.
    return len({np.float32(reward.total) for reward in group.rewards}) > 1


def describe(one: Experience) -> dict[str, float | None]:
    """Metrics of a rollout batch; those of rewards and lengths are of all that was sampled.

    Args:
      one: The batch.
    """
    asked = [*one.groups, *one.left_out]
    return {
        **rollout.statistics(asked),
        "groups/asked": float(len(asked)),
        "groups/left_out": float(len(one.left_out)),
        "groups/refills": float(one.refills),
        "groups/zero_variance": float(np.mean([not has_variance(group) for group in one.groups])),
    }
