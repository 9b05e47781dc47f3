# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""How hard questions are for a model: the share of its sampled answers that earn the accuracy.

Each question is asked in the words of stage 4, several times at the temperature of training, and
its answers are judged by the reward function that training uses. The answers are kept as they come
(`engines/batch_file.py`), so that the same command goes on after a kill and asks no question twice;
they are judged anew each time, which costs nothing.

    questions.jsonl                what is asked
    answers.jsonl[.part|.settings.json]   the answers and what they are made with

A question of which all answers are right, or all wrong, moves nothing under GRPO: its advantages
are 0. What is hard for one model need not be for another: sample from the one that is trained.
"""

import dataclasses
import math
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from lingshu_jax.common import errors
from lingshu_jax.data import formats, sources
from lingshu_jax.engines import batch_file, protocol, registry
from lingshu_jax.rl import questions, rewards

QUESTIONS, ANSWERS = "questions.jsonl", "answers.jsonl"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a question is tried.

    Attributes:
      choice: The engine and its model.
      instruction: As `rl.instruction` of the stage.
      samples: Answers to each question.
      temperature: Of sampling.
      max_new_tokens: Of an answer.
      seed: Of sampling.
      overwrite: Forgets the answers of an earlier run.
    """

    choice: registry.Choice
    instruction: str
    samples: int = 8
    temperature: float = 1.0
    max_new_tokens: int = 2048
    seed: int = 0
    overwrite: bool = False

    @property
    def params(self) -> protocol.SamplingParams:
        """The same for the engine."""
        return protocol.SamplingParams(
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            seed=self.seed,
            n=self.samples,
        )

    def validate(self) -> None:
        """Raises UserError where a field is out of range."""
        if self.samples < 2:
            raise errors.UserError(f"--samples must be >= 2, got {self.samples}")
        if not self.temperature > 0:
            raise errors.UserError(f"--temperature must be > 0, got {self.temperature}")
        self.params.validate()
        self.choice.check(self.params)


class Tried(NamedTuple):
    """What came of a question.

    Attributes:
      accuracy: Mean accuracy term over the answers, in [0, 1].
      form: Mean format term; None where the reward function has none.
      samples: How many answers there are.
      failure: Why there are none, or "".
    """

    accuracy: float = 0.0
    form: float | None = None
    samples: int = 0
    failure: str = ""


def measure(
    rows: Sequence[dict[str, Any]],
    asked: Sequence[questions.Asked],
    folder: pathlib.Path,
    *,
    sampling: Sampling,
    reward_fn: rewards.RewardFn,
) -> list[Tried]:
    """Asks every question that has no answers yet, and judges the answers.

    Args:
      rows: Of the questions in format `messages`, the instruction included, pictures named from
        `folder`; each ends with the question.
      asked: What judges their answers.
      folder: Where the answers are kept.
      sampling: How.
      reward_fn: Its term `accuracy` counts.

    Returns:
      One entry a question, in their order.

    Raises:
      UserError: As in `batch_file.run`, or if the reward has no term `accuracy`.
    """
    formats.write_jsonl(folder / QUESTIONS, rows)
    batch_file.run(
        _task(sampling.params),
        folder / QUESTIONS,
        folder / ANSWERS,
        settings={**sampling.choice.settings(), **sampling.params.settings()},
        make_engine=sampling.choice.make,
        overwrite=sampling.overwrite,
    )
    answers = formats.read_values(folder / ANSWERS)
    return [
        _judged(answer, question.question, reward_fn)
        for (_, answer), question in zip(answers, asked, strict=True)
    ]


def _task(
    params: protocol.SamplingParams,
) -> batch_file.Task[protocol.Request, protocol.Completion]:
    def request(example: sources.Example, place: int) -> protocol.Request:
        seeded = dataclasses.replace(params, seed=params.seed + place * params.n)
        return protocol.Request(messages=example.messages, sampling=seeded, id=example.id)

    def describe(given: list[protocol.Completion]) -> dict[str, Any]:
        kept = [{"text": one.text, "finish_reason": one.finish_reason} for one in given]
        return {"completions": kept}

    return batch_file.Task(
        name="difficulty",
        request=request,
        ask=lambda engine, requests, take: engine.generate(requests, on_result=take),
        describe=describe,
    )


def _judged(
    answer: dict[str, Any], question: rewards.Question, reward_fn: rewards.RewardFn
) -> Tried:
    if "error" in answer:
        return Tried(failure=answer["error"])
    terms = [
        reward_fn(one["text"], question, finish_reason=one["finish_reason"]).terms
        for one in answer["completions"]
    ]
    if "accuracy" not in terms[0]:
        raise errors.UserError(f"the reward has no term 'accuracy', it has {', '.join(terms[0])}")
    forms = [one["format"] for one in terms if "format" in one]
    return Tried(
        accuracy=math.fsum(one["accuracy"] for one in terms) / len(terms),
        form=math.fsum(forms) / len(forms) if forms else None,
        samples=len(terms),
    )
