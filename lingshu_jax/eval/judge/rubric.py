# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""HealthBench's score: each criterion of a list is asked about by itself, then points are added.

The rule is the publisher's (openai/simple-evals@ee3b031, healthbench_eval.py), the wording of the
prompt is ours. An answer with a criterion that got no verdict has no score and is counted. Hard is
a part of all conversations; consensus has criteria of its own.
"""

import collections
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lingshu_jax.eval import benchmark
from lingshu_jax.eval.benchmarks import healthbench
from lingshu_jax.eval.judge import prompts, replies, verdicts

RESAMPLES = 1000
LISTS = {"all": "rubrics", "consensus": "consensus_rubrics"}  # and the field that holds it
_FAILED = "failed"


class _Scored(NamedTuple):
    """Of one answer and one list of criteria.

    Attributes:
      score: None where a criterion has no verdict, or the list no positive points.
      criteria: How many.
      failed: How many of them have no verdict.
    """

    score: float | None
    criteria: int
    failed: int


def tasks(
    samples: Sequence[benchmark.Sample], rows: Sequence[Mapping[str, Any]]
) -> list[replies.Task]:
    """All criteria of some answers; keys are `LIST/NUMBER/ID`.

    Args:
      samples: The conversations.
      rows: Of samples.jsonl, one for each.
    """
    return [
        replies.Task(
            key=key,
            prompt=prompts.rubric(conversation(sample), row["response"], criterion["criterion"]),
            read=verdicts.read_rubric,
        )
        for sample, row in zip(samples, rows, strict=True)
        for name in LISTS
        for key, criterion in _criteria(sample, name)
    ]


def has_criteria(sample: benchmark.Sample) -> bool:
    """Whether the criteria came with a conversation; files of answers may lack them.

    Args:
      sample: Scored by "rubric".
    """
    return bool(sample.fields.get("rubrics")) and bool(conversation(sample))


def conversation(sample: benchmark.Sample) -> list[dict[str, str]]:
    """The turns of a conversation, as text.

    Args:
      sample: Of the benchmark, or of a file that keeps the publisher's `prompt`.
    """
    if sample.messages:
        return [
            {
                "role": message["role"],
                "content": "\n".join(
                    part["text"] for part in message["content"] if part["type"] == "text"
                ),
            }
            for message in sample.messages
        ]
    turns = sample.fields.get("prompt")
    return [
        {"role": str(turn["role"]), "content": str(turn["content"])}
        for turn in (turns if isinstance(turns, list) else [])
    ]


def score(sample: benchmark.Sample, outcomes: Mapping[str, str]) -> float | str | None:
    """The score of an answer over the whole list, "failed", or None where it was not judged.

    Args:
      sample: The conversation.
      outcomes: Of `verdicts.read_rubric`, by key.
    """
    found = _score(sample, "all", outcomes)
    if found is None:
        return None
    return _FAILED if found.failed else found.score


def summarise(
    samples: Sequence[benchmark.Sample], outcomes: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """The scores of a set.

    Args:
      samples: All conversations.
      outcomes: As of `score`.

    Returns:
      By `all`, `hard`, `consensus` and `theme: NAME`: `n` answers judged, `scored` of them, `score`
      (the mean of the answers, clipped to [0, 1]) and its bootstrap standard deviation `std`, how
      many `criteria` were asked and how many `failed`.
    """
    parts: dict[str, list[_Scored]] = collections.defaultdict(list)
    for sample in samples:
        for name in LISTS:
            if (found := _score(sample, name, outcomes)) is not None:
                for part in _parts(sample, name):
                    parts[part].append(found)
    first = [name for name in ("all", "hard", "consensus") if name in parts]
    return {name: _describe(parts[name]) for name in [*first, *sorted(set(parts) - set(first))]}


def bootstrap_std(scores: Sequence[float], *, resamples: int = RESAMPLES, seed: int = 0) -> float:
    """The standard deviation of the clipped mean over resamples.

    Args:
      scores: Of the answers, at least one.
      resamples: How often they are drawn.
      seed: Of the draws.

    Source: openai/simple-evals@ee3b031, healthbench_eval.py, _compute_clipped_stats.
    """
    rng, values = np.random.default_rng(seed), np.asarray(scores, np.float64)
    means = [rng.choice(values, len(values)).mean() for _ in range(resamples)]
    return float(np.std(np.clip(means, 0, 1)))


def _criteria(sample: benchmark.Sample, name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, criterion in enumerate(sample.fields.get(LISTS[name]) or ()):
        yield f"{name}/{number}/{sample.id}", criterion


def _score(sample: benchmark.Sample, name: str, outcomes: Mapping[str, str]) -> _Scored | None:
    """None unless all criteria of a list were asked."""
    listed = list(_criteria(sample, name))
    said = [outcomes.get(key) for key, _ in listed]
    if not listed or None in said:
        return None
    failed = said.count(verdicts.FAILED)
    if failed:
        return _Scored(None, len(said), failed)
    points = [criterion["points"] for _, criterion in listed]
    met = [outcome == verdicts.MET for outcome in said]
    return _Scored(healthbench.example_score(points, met), len(said), 0)


def _parts(sample: benchmark.Sample, name: str) -> Iterator[str]:
    yield name
    if name != "all":
        return
    if sample.strata.get("hard") == "yes":
        yield "hard"
    for theme in filter(None, str(sample.strata.get("theme", "")).split(", ")):
        yield f"theme: {theme}"


def _describe(found: Sequence[_Scored]) -> dict[str, Any]:
    scores = [one.score for one in found if one.score is not None]
    return {
        "n": len(found),
        "scored": len(scores),
        "score": healthbench.corpus_score(scores),
        "std": bootstrap_std(scores) if scores else None,
        "criteria": sum(one.criteria for one in found),
        "failed": sum(one.failed for one in found),
    }
