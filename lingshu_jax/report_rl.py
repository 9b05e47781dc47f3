# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What the page of a run of stage 4 shows beside its curves: alarms and rollouts."""

import collections
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from lingshu_jax import report_run

CONTRASTS = 3  # questions of a step that were answered now well, now badly
BEST, WORST = 3, 2  # distinct completions shown of a question
PREFIX = "alarm/"
MEANINGS = {
    "format_without_accuracy": "form is paid, answers are wrong: the reward may be gamed",
    "length_drift": "completions much longer or shorter than at the start, or cut off",
    "repetition": "many completions repeat themselves",
    "duplicates": "the completions of a question are nearly all the same",
    "entropy_collapse": "the policy has become almost certain: little is tried any more",
    "entropy_explosion": "the policy has become almost random",
    "ratio_gap": "sampler and learner disagree about the probabilities of the same tokens",
}


class Alarm(NamedTuple):
    """An alarm of a run.

    Attributes:
      name: As in the metrics.
      meaning: In words; "" where it is not known here.
      first: Step at which it was raised first; None if it never was.
      last: Last step at which it was up.
      times: How often it was raised.
      rows: Logged steps at which it was up.
      is_up: Whether it is up in the last row.
    """

    name: str
    meaning: str
    first: int | None
    last: int | None
    times: int
    rows: int
    is_up: bool


class Question(NamedTuple):
    """A prompt of stage 4 at a step; `completions` are distinct, the best first.

    Attributes:
      row: Any of its rollout records.
      pictures: As data.
      completions: Records, each with `count`, how many rollouts were equal to it.
      why: Why it is shown.
      mean: Mean reward over all its rollouts.
      accuracy: Mean accuracy over them; None where the reward has no such term.
      spread: Variance of the rewards of all its rollouts.
      hidden: Rollouts that are not shown, between the best and the worst.
    """

    row: report_run.Row
    pictures: list[str]
    completions: list[report_run.Row]
    why: str
    mean: float
    accuracy: float | None
    spread: float
    hidden: int


def alarms(run: report_run.Run) -> list[Alarm]:
    """The alarms that the run listened for; those that were raised first, in their order.

    Args:
      run: As read.
    """
    names = dict.fromkeys(name for row in run.rows for name in row if name.startswith(PREFIX))
    found = [_alarm(run.rows, name) for name in names]
    return sorted(found, key=lambda alarm: (alarm.first is None, alarm.first or 0))


def rollouts(run: report_run.Run) -> dict[int, list[Question]]:
    """Some questions of the first, the middle and the last rollout batch, by step.

    Those whose answers earn most differently come first: they are what is learned from. The
    questions that earned least and most are shown as well.

    Args:
      run: As read.
    """
    files = sorted((run.workdir / "rollouts").glob("*.jsonl"))
    middle = (len(files) - 1) // 2
    shown = {}
    for place in dict.fromkeys((0, middle, len(files) - 1)) if files else ():
        groups: dict[str, list[report_run.Row]] = {}
        for row in report_run.read_jsonl(files[place]):
            groups.setdefault(row["id"], []).append(row)
        if groups:
            asked = _choose([_question(records) for records in groups.values()])
            shown[asked[0].row["step"]] = [*map(_with_pictures, asked)]
    return shown


def _alarm(rows: Sequence[report_run.Row], name: str) -> Alarm:
    steps, times, was_up = [], 0, False
    for row in rows:
        if row.get(name) is None:
            continue
        is_up = row[name] > 0
        times += is_up and not was_up
        steps += [row["step"]] * is_up
        was_up = is_up
    word = name.removeprefix(PREFIX)
    ends = (steps[0], steps[-1]) if steps else (None, None)
    return Alarm(word, MEANINGS.get(word, ""), *ends, times, len(steps), was_up)


def _choose(questions: list[Question]) -> list[Question]:
    by_spread = sorted(questions, key=lambda question: question.spread, reverse=True)
    contrasts = [q._replace(why="answers earn differently") for q in by_spread[:CONTRASTS]]
    rest = sorted(by_spread[CONTRASTS:], key=lambda question: question.mean)
    ends = [q._replace(why="earns least") for q in rest[:1]]
    ends += [q._replace(why="earns most") for q in rest[1:][-1:]]
    return [*contrasts, *ends]


def _question(records: list[report_run.Row]) -> Question:
    """The rollouts of one prompt, equal ones as one, without pictures yet."""
    counts = collections.Counter(record["completion"] for record in records)
    distinct = {record["completion"]: record for record in records}
    ranked = sorted(distinct.values(), key=lambda record: record["reward"], reverse=True)
    chosen = ranked if len(ranked) <= BEST + WORST else ranked[:BEST] + ranked[-WORST:]
    shown = [{**record, "count": counts[record["completion"]]} for record in chosen]
    earned = [record["reward"] for record in records]
    right = [record["rewards"].get("accuracy") for record in records]
    known = [value for value in right if value is not None]
    return Question(
        row=records[0],
        pictures=[],
        completions=shown,
        why="",
        mean=statistics.fmean(earned),
        accuracy=statistics.fmean(known) if known else None,
        spread=statistics.pvariance(earned),
        hidden=len(records) - sum(record["count"] for record in shown),
    )


def _with_pictures(question: Question) -> Question:
    return question._replace(pictures=report_run.thumbnails(question.row["images"]))
