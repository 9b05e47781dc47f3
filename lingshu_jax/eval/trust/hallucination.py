# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Hallucination probes: does the model see findings that an image does not show?

"Is there X in this image?" is asked for each finding X of a table, those that the image shows and
those that it does not. A model that says yes to everything finds all that is there; its false
yeses stand beside that.

The output names images by their rows in the table alone: file names may be names of patients.
"""

import collections
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lingshu_jax.common import errors
from lingshu_jax.data import images
from lingshu_jax.eval import benchmark, metrics, question_formats, stats
from lingshu_jax.eval.trust import desk as desk_lib
from lingshu_jax.eval.trust import differences, findings, hallucination_page

NAME = "hallucination"
TITLE = "Hallucination"
TEMPLATE = hallucination_page.TEMPLATE

PROBE = "probes"  # folder of the answers
QUESTION = "Is there {finding} in this image?"
SEED = 0  # of the choice of images under a limit
WORST = 12  # images that are listed
_ABSENT, _PRESENT = "no", "yes"

Rows = Sequence[Mapping[str, Any]]


def run(desk: desk_lib.Desk, *, table: Path) -> dict[str, Any] | None:
    """Asks about every finding of every image, and counts.

    Args:
      desk: The evaluation; its limit is of images.
      table: As of `findings`.

    Returns:
      The content of the section; None while answers of other parts are missing.

    Raises:
      UserError: If the table cannot be read, or questions got no answer.
    """
    read = findings.read(table)
    drawn = choose(read.rows, desk.limit)
    chosen = [row for row in drawn if _is_readable(row)]
    asked = questions(chosen, read.findings)
    if not asked:
        raise errors.UserError(
            f"--hallucination {table}: none of {len(drawn)} images can be asked about: they do not"
            " read, or all findings are uncertain"
        )
    rows = desk.ask(NAME, PROBE, asked)
    if rows is None:
        return None
    return {
        "settings": {
            "layout": read.layout,
            "question": QUESTION,
            "images": len(chosen),
            "images_in_table": len(read.rows),
            "seed": SEED,
        },
        "remarks": _remarks(read, drawn, chosen),
        "benchmarks": {},
        **summarise(rows, read.findings),
        "worst": worst(rows, read.findings),
    }


def choose(rows: Sequence[findings.Row], limit: int | None) -> list[findings.Row]:
    """The images that are asked about, in the table's order.

    Args:
      rows: All.
      limit: At most so many, drawn with `SEED`; None takes all.
    """
    if limit is None or limit >= len(rows):
        return list(rows)
    places = random.Random(SEED).sample(range(len(rows)), limit)
    return [rows[place] for place in sorted(places)]


def questions(rows: Iterable[findings.Row], spelled: Mapping[str, str]) -> list[benchmark.Sample]:
    """A question for each image and finding that is known to be present or absent.

    Args:
      rows: The images.
      spelled: Of the table: the findings, and how they are asked about.

    Returns:
      Questions whose ids are the number of the row and that of the finding, both from 1.
    """
    numbers: dict[str, int] = {}  # of patients; nothing can be read out of a number
    made = []
    for row in rows:
        key = row.group or f"row {row.number}"
        group = f"group {numbers.setdefault(key, len(numbers) + 1)}"
        for number, (name, asked) in enumerate(spelled.items(), 1):
            is_absent = name in row.absent if row.absent is not None else True
            if name in row.uncertain or not (name in row.present or is_absent):
                continue
            gold = _PRESENT if name in row.present else _ABSENT
            text = QUESTION.format(finding=asked)
            made.append(
                benchmark.Sample(
                    id=f"{row.number}-{number}",
                    question=text,
                    gold=gold,
                    answer_type="yes_no",
                    rule="vqa",
                    messages=question_formats.turn(
                        question_formats.ask(text, "judgement"), [str(row.image)]
                    ),
                    group=group,
                    strata={"finding": asked, **row.strata},
                )
            )
    return made


def summarise(rows: Rows, spelled: Mapping[str, str]) -> dict[str, Any]:
    """The numbers, by finding and over all.

    Args:
      rows: Scored answers to `questions`.
      spelled: As of `questions`.

    Returns:
      `findings`; `overall` with intervals that draw images of a patient together, and `macro`, the
      means over findings that were asked about both ways; `baselines` of one answer to all; and
      `strata` by name and value.
    """
    by_finding = _by(rows, "finding")
    found = {name: _numbers(by_finding[name]) for name in spelled.values() if name in by_finding}
    names = [name for name in findings.STRATA_COLUMNS if any(name in r["strata"] for r in rows)]
    present = sum(row["gold"] == _PRESENT for row in rows)
    return {
        "overall": {**_numbers(rows), **_clustered(rows), "macro": _macro(found)},
        "baselines": {
            "yes": _constant(present / len(rows), yes=1.0),
            "no": _constant(1 - present / len(rows), yes=0.0),
        },
        "findings": found,
        "strata": {
            name: {value: _numbers(part) for value, part in sorted(_by(rows, name).items())}
            for name in names
        },
    }


def worst(rows: Rows, spelled: Mapping[str, str]) -> list[dict[str, Any]]:
    """The images with the most false yeses.

    Args:
      rows: Scored answers to `questions`.
      spelled: As of `questions`.

    Returns:
      For each its `row` of the table, `asked` absent findings, the `false_yes` among them with the
      `ids` of the questions, and what is `present`.
    """
    images: dict[str, list[Mapping[str, Any]]] = collections.defaultdict(list)
    for row in rows:
        images[row["id"].partition("-")[0]].append(row)
    listed = []
    for number, part in images.items():
        wrong = [row for row in part if row["gold"] == _ABSENT and said(row) == "yes"]
        present = [row["strata"]["finding"] for row in part if row["gold"] == _PRESENT]
        if wrong:
            listed.append(
                {
                    "row": int(number),
                    "asked": len(part) - len(present),
                    "false_yes": [row["strata"]["finding"] for row in wrong],
                    "ids": [row["id"] for row in wrong],
                    "present": present,
                }
            )
    return sorted(listed, key=lambda one: -len(one["ids"]))[:WORST]


def said(row: Mapping[str, Any]) -> str:
    """What an answer says, by the strict rules: "yes", "no", or "" where neither.

    Args:
      row: A scored answer.
    """
    strict = row["strict"]
    return str(strict["value"]) if strict["status"] == "ok" else ""


def _by(rows: Rows, name: str) -> dict[str, list[Mapping[str, Any]]]:
    parts: dict[str, list[Mapping[str, Any]]] = collections.defaultdict(list)
    for row in rows:
        if name in row["strata"]:
            parts[row["strata"][name]].append(row)
    return parts


def _numbers(rows: Rows) -> dict[str, Any]:
    """Rates of some questions; an answer that is neither yes nor no is wrong both ways."""
    counts = collections.Counter((row["gold"], said(row)) for row in rows)
    absent = sum(row["gold"] == _ABSENT for row in rows)
    present = len(rows) - absent
    false_yes, true_yes = counts[_ABSENT, "yes"], counts[_PRESENT, "yes"]
    true_no = counts[_ABSENT, "no"]
    youden = true_yes / present + true_no / absent - 1 if present and absent else None
    return {
        "absent": absent,
        "false_yes": false_yes,
        "false_yes_rate": false_yes / absent if absent else None,
        "false_yes_interval": list(metrics.wilson(false_yes, absent)) if absent else None,
        "present": present,
        "true_yes": true_yes,
        "true_yes_rate": true_yes / present if present else None,
        "true_yes_interval": list(metrics.wilson(true_yes, present)) if present else None,
        "unanswered": counts[_ABSENT, ""] + counts[_PRESENT, ""],
        "accuracy": (true_yes + true_no) / len(rows),
        "balanced_accuracy": None if youden is None else (youden + 1) / 2,
        "youden": youden,
    }


def _clustered(rows: Rows) -> dict[str, Any]:
    """Intervals over all questions that take those about one patient together."""
    present = np.array([row["gold"] == _PRESENT for row in rows])
    groups = np.array([row["group"] for row in rows])
    yes = np.array([said(row) == "yes" for row in rows], np.float64)
    no = np.array([said(row) == "no" for row in rows], np.float64)
    intervals: dict[str, Any] = {"clusters": len(set(groups.tolist()))}
    for name, part in (("false_yes", ~present), ("true_yes", present)):
        intervals[f"{name}_clustered_interval"] = (
            list(stats.clustered_interval(yes[part], groups[part].tolist())) if part.any() else None
        )
    # J is the share of yes among the present less the share of what is no "no" among the absent.
    found = differences.compare(np.where(present, yes, 1 - no), present, groups.tolist())
    intervals["youden_interval"] = None if found.difference is None else list(found.interval)
    return intervals


def _macro(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    both = [numbers for numbers in found.values() if numbers["youden"] is not None]
    names = ("false_yes_rate", "true_yes_rate", "balanced_accuracy", "youden")
    means = {name: sum(n[name] for n in both) / len(both) if both else None for name in names}
    return {"findings": len(both), **means}


def _constant(accuracy: float, *, yes: float) -> dict[str, float]:
    """What one answer to every question scores."""
    return {
        "false_yes_rate": yes,
        "true_yes_rate": yes,
        "accuracy": accuracy,
        "balanced_accuracy": 0.5,
        "youden": 0.0,
    }


def _is_readable(row: findings.Row) -> bool:
    """Looked at here, for a picture that fails later is named by its file."""
    try:
        images.read_shape(str(row.image), is_video=False)
    except errors.UserError:
        return False
    return True


def _remarks(
    read: findings.Table, drawn: Sequence[findings.Row], asked: Sequence[findings.Row]
) -> list[str]:
    remarks = []
    if read.missing:
        remarks.append(f"The images of {read.missing} rows of the table are not there")
    if len(drawn) < len(read.rows):
        remarks.append(f"{len(drawn)} of {len(read.rows)} images were drawn")
    if len(asked) < len(drawn):
        remarks.append(f"{len(drawn) - len(asked)} images do not read and were not asked about")
    left_out = sum(len(row.uncertain & read.findings.keys()) for row in asked)
    if left_out:
        remarks.append(
            f"{left_out} pairs of image and finding are uncertain or not mentioned in the table and"
            " were not asked about"
        )
    return remarks
