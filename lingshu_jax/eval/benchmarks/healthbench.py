# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""HealthBench: conversations about health, answered freely and graded by lists of criteria.

Paper: Arora et al., "HealthBench: Evaluating Large Language Models Towards Improved Human Health",
arXiv 2505.08775. Licence MIT. 5,000 conversations, whose last turn is the user's. Hard (1,000) and
consensus (3,671) are subsets by `prompt_id`: strata here, asked once, where MedEvalKit asks and
counts those twice. Hard has the criteria of the whole, consensus has criteria of its own
(`consensus_rubrics`). A judge says which criteria an answer meets; `example_score` and
`corpus_score` are the official rule.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lingshu_jax.common import errors
from lingshu_jax.eval import benchmark, files
from lingshu_jax.eval import card as card_lib

FILE = "2025-05-07-06-14-12_oss_eval.jsonl"
SUBSETS = {
    "hard": "hard_2025-05-08-21-00-10.jsonl",
    "consensus": "consensus_2025-05-09-20-00-46.jsonl",
}
COLUMNS = ("prompt_id", "prompt", "rubrics", "example_tags")
ROLES = ("system", "user", "assistant")
_THEME = "theme:"
CARD = card_lib.Card(
    name="healthbench",
    title="HealthBench",
    upstream="HealthBench",
    family="chat",
    repository="openai/healthbench",
    revision="40ee1968852fc57f625934251ac22be47077a8fb",
    files=(FILE, *SUBSETS.values()),
    origin=(
        "the publisher's files:"
        " https://openaipublic.blob.core.windows.net/simple-evals/healthbench/ followed by"
        f" {FILE}, {SUBSETS['hard']} and {SUBSETS['consensus']}"
    ),
    schema=(
        "openai/simple-evals@ee3b031 healthbench_eval.py; MedEvalKit@9b12e3b"
        " utils/HealthBench/HealthBench.py; the hub's file list (commit 40ee196)"
    ),
    num_rows=5000,
)


@dataclasses.dataclass(frozen=True)
class HealthBench:
    """All conversations in the publisher's layout."""

    card: card_lib.Card = CARD
    rule: str = "rubric"

    def load(self, data_dir: Path | None) -> list[benchmark.Sample]:
        """Reads every conversation, and which subsets it is in.

        Raises:
          UserError: If a file, a column, a turn or a criterion is not as expected, or if a subset
            holds a conversation that the whole does not.
        """
        folder = files.find(CARD, data_dir)
        rows = _rows(folder, FILE)
        subsets = {name: _rows(folder, file) for name, file in SUBSETS.items()}
        for name, found in subsets.items():
            if foreign := sorted(set(found) - set(rows)):
                raise errors.UserError(
                    f"healthbench: {SUBSETS[name]} must hold conversations of {FILE} only, found"
                    f" {len(foreign)} others, the first {foreign[0]}"
                )
        return [_sample(prompt_id, row, subsets) for prompt_id, row in rows.items()]


def example_score(points: Sequence[int | float], met: Sequence[bool]) -> float | None:
    """The official score of one answer (openai/simple-evals, calculate_score).

    Args:
      points: Of each criterion; negative for what a good answer avoids.
      met: Whether the answer meets it.

    Returns:
      Points of the criteria met over the sum of the positive points: at most 1, perhaps below 0.
      None if there are no positive points.

    Raises:
      ValueError: If the two differ in length.
    """
    most = sum(value for value in points if value > 0)
    if not most:
        return None
    return sum(value for value, is_met in zip(points, met, strict=True) if is_met) / most


def corpus_score(scores: Sequence[int | float | None]) -> float | None:
    """The official score of a set: the mean of its answers, clipped to [0, 1].

    Args:
      scores: Of `example_score`; None does not count.

    Returns:
      None if nothing counts.
    """
    counted = [score for score in scores if score is not None]
    return float(np.clip(np.mean(counted), 0, 1)) if counted else None


def _rows(folder: Path, file: str) -> dict[str, dict[str, Any]]:
    """The rows of a file by id."""
    path = files.only(CARD, folder, file)
    found: dict[str, dict[str, Any]] = {}
    for row in files.read_rows(CARD, path, COLUMNS):
        prompt_id = str(row["prompt_id"])
        if prompt_id in found:
            raise errors.UserError(f"healthbench: {path}: {prompt_id} occurs more than once")
        _check_rubrics(f"healthbench: {path} {prompt_id}", row["rubrics"])
        found[prompt_id] = row
    return found


def _check_rubrics(where: str, rubrics: Any) -> None:
    """Refuses what is no list of criteria with points."""
    for rubric in rubrics if isinstance(rubrics, list) and rubrics else [rubrics]:
        match rubric:
            case {"criterion": str(), "points": int() | float(), "tags": list()}:
                continue
            case _:
                raise errors.UserError(
                    f"{where}: rubrics must be a list of criterion, points and tags, found"
                    f" {str(rubric)[:80]}"
                )


def _sample(
    prompt_id: str, row: dict[str, Any], subsets: dict[str, dict[str, dict[str, Any]]]
) -> benchmark.Sample:
    messages = _messages(f"healthbench: {FILE} {prompt_id}", row["prompt"])
    themes = [tag.removeprefix(_THEME) for tag in row["example_tags"] if tag.startswith(_THEME)]
    consensus = subsets["consensus"].get(prompt_id)
    return benchmark.Sample(
        id=prompt_id,
        question=messages[-1]["content"][0]["text"],
        gold="",
        answer_type="report",
        rule="rubric",
        messages=messages,
        strata={
            **{name: "yes" if prompt_id in found else "no" for name, found in subsets.items()},
            "theme": ", ".join(themes),
        },
        fields={
            **files.kept(row),
            **({"consensus_rubrics": consensus["rubrics"]} if consensus else {}),
        },
        scoring="rubric",
    )


def _messages(where: str, turns: Any) -> tuple[dict[str, Any], ...]:
    """A conversation whose last turn is the user's."""
    found = []
    for turn in turns if isinstance(turns, list) else [turns]:
        match turn:
            case {"role": str(role), "content": str(text)} if role in ROLES:
                found.append({"role": role, "content": [{"type": "text", "text": text}]})
            case _:
                raise errors.UserError(
                    f"{where}: prompt must be a list of turns with role ({', '.join(ROLES)}) and"
                    f" content, found {str(turn)[:80]}"
                )
    if not found or found[-1]["role"] != "user":
        last = found[-1]["role"] if found else "none"
        raise errors.UserError(f"{where}: the last turn must be the user's, found {last}")
    return tuple(found)
