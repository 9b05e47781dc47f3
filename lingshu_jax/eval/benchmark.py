# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What a benchmark is: named samples, each with the rules that score its answer."""

import dataclasses
import random
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from lingshu_jax.common import answers, answers_choice, answers_text
from lingshu_jax.eval import card as card_lib
from lingshu_jax.eval import compat, compat_reasons

# How an answer is scored: by the two verdicts, by metrics of report generation, or by a judge with
# a list of criteria. The last two have no verdict of their own.
Scoring = Literal["verdict", "report", "rubric"]

LONGEST_REFUSAL = 200  # characters: in a longer report "cannot be assessed" is a finding


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """One question.

    Attributes:
      id: Unique within the benchmark.
      question: As asked, without the tail that says how to answer.
      gold: The truth as the publisher has it.
      answer_type: Which strict rules read the answer.
      rule: Which of MedEvalKit's rules does; a key of `compat.RULES`.
      messages: The prompt, canonical messages.
      options: Option texts without letters.
      choices: The same as the prompt shows them, letters and all.
      is_open: SLAKE's own answer type.
      group: What several questions share (an image, a patient); "" if nothing.
      strata: Of what kind it is, by the names under which tables are broken down.
      fields: What MedEvalKit's results keep of the publisher's row.
      scoring: How its answer is scored.
    """

    id: str
    question: str
    gold: str
    answer_type: answers.AnswerType
    rule: str
    messages: tuple[dict[str, Any], ...] = ()
    options: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    is_open: bool = False
    group: str = ""
    strata: Mapping[str, str] = dataclasses.field(default_factory=dict)
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    scoring: Scoring = "verdict"

    def check(self) -> None:
        """Raises a UserError if the gold answer does not fit the answer type."""
        if self.scoring != "verdict":
            return
        answers.check_gold(self.gold, answer_type=self.answer_type, options=self.options)

    @property
    def media(self) -> list[dict[str, Any]]:
        """The image and video parts of the prompt, in order."""
        return [
            part
            for message in self.messages
            for part in message["content"]
            if part["type"] in ("image", "video")
        ]


class Samples(list[Sample]):
    """The questions of a benchmark whose loader has something to tell of them.

    Attributes:
      remarks: Sentences, as on rows that are left out.
    """

    def __init__(self, samples: Iterable[Sample], remarks: Iterable[str]):
        """Takes the questions in order.

        Args:
          samples: The questions.
          remarks: As above.
        """
        super().__init__(samples)
        self.remarks = list(remarks)


class Answer(NamedTuple):
    """What a model said.

    Attributes:
      response: What is scored.
      finish_reason: "stop" or "length", or `answering.FAILED`.
      num_tokens: The stop token included; 0 where it is not known.
      thinking: What the model thought before it, where its marks are known (`peers.py`).
    """

    response: str
    finish_reason: str
    num_tokens: int = 0
    thinking: str = ""


@runtime_checkable
class Benchmark(Protocol):
    """A test set; `eval/benchmarks/` holds one in each file."""

    @property
    def card(self) -> card_lib.Card:
        """Its names, where its data come from, what they must hold."""
        ...

    @property
    def rule(self) -> str | None:
        """A key of `compat.RULES` for the rows of prediction files; None: each row decides."""
        ...

    def load(self, data_dir: Path | None) -> list[Sample]:
        """Reads all samples in the benchmark's order; a UserError says what is missing.

        Args:
          data_dir: Folder of the data, see `files.find`; None fetches them from the hub.
        """
        ...


def score_all(samples: Iterable[Sample], given: Iterable[Answer]) -> Iterator[dict[str, Any]]:
    """The rows of samples.jsonl of one benchmark, one after the other.

    Args:
      samples: The questions in the benchmark's order, which decides MMMU's draws.
      given: An answer to each.
    """
    generator = random.Random(compat.SEED)
    for sample, answer in zip(samples, given, strict=True):
        yield score(sample, answer, generator)


def score(sample: Sample, answer: Answer, generator: random.Random | None = None) -> dict[str, Any]:
    """The row of samples.jsonl: both verdicts on one answer.

    Args:
      sample: The question.
      answer: What the model said.
      generator: See `compat.Item`; `score_all` has one for a whole benchmark.
    """
    item = compat.Item(sample.gold, sample.choices, sample.is_open, generator)
    verdict = compat.RULES[sample.rule](answer.response, item)
    row = {
        "id": sample.id,
        "question": sample.question,
        "gold": sample.gold,
        "response": answer.response,
        "thinking": answer.thinking,
        "finish_reason": answer.finish_reason,
        "compat": verdict.as_row(),
        "strict": {},
        "judge": None,
        "answer_type": sample.answer_type,
        "options": list(sample.options),
        "choices": list(sample.choices),
        "rule": sample.rule,
        "num_tokens": answer.num_tokens,
        "group": sample.group,
        "strata": dict(sample.strata),
        "scoring": sample.scoring,
        "reason": "",
    }
    if sample.scoring != "verdict":
        row["strict"] = {"correct": None, "status": _status(answer), "value": None}
        row["compat"]["correct"] = None
        return row
    strict = answers.judge(
        _judged(answer),
        gold=sample.gold,
        answer_type=sample.answer_type,
        options=sample.options,
        question=sample.question,
        finish_reason=answer.finish_reason,
    )
    row["strict"] = strict._asdict()
    if sample.answer_type == "choices":
        gold = answers.extract(sample.gold, answer_type="choices", options=sample.options)
        row["strict"]["jaccard"] = answers_choice.jaccard(str(strict.value or ""), str(gold.value))
    row["reason"] = compat_reasons.reason(verdict, strict, sample.answer_type)
    return row


def _status(answer: Answer) -> answers_text.Status:
    """How an answer without a verdict failed, if it did: nothing, cut off, or a refusal."""
    read = answers.extract(
        _judged(answer), answer_type="report", finish_reason=answer.finish_reason
    )
    is_long = len(answer.response) > LONGEST_REFUSAL
    return "ok" if read.status == "refusal" and is_long else read.status


def _judged(answer: Answer) -> str:
    """What the strict rules read: a thought that was cut off is one without an end."""
    is_cut = bool(answer.thinking) and not answer.response and answer.finish_reason == "length"
    return "<think>" if is_cut else answer.response
