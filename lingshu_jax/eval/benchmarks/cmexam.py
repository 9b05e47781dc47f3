# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""CMExam: questions of the Chinese National Medical Licensing Examination, mostly five options.

Paper: Liu et al., "Benchmarking Large Language Models on CMExam - A Comprehensive Chinese Medical
Exam Dataset", NeurIPS 2023. Licence Apache 2.0. Test split of 6,811 questions, 204 of them with
several right options: golds such as ABD, which MedEvalKit compares as they stand.

Two layouts: the hub's test.json, a row a line, with options as `key` and `value`; and the
publisher's test_with_annotations.csv, whose options are lines of one cell and which knows
discipline, department and difficulty. The options of two of its questions begin with B (rows 2866
and 5331), and the gold of one of them is A. They are asked as they stand; the strict score counts
an empty option under a missing letter, so that every letter means what the prompt shows.
"""

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lingshu_jax.common import errors
from lingshu_jax.eval import benchmark, files
from lingshu_jax.eval import card as card_lib
from lingshu_jax.eval.benchmarks import chinese, letters

FILE, CSV_FILE = "test.json", "test_with_annotations.csv"
FILES = (CSV_FILE, f"data/{CSV_FILE}", FILE)
COLUMNS = ("Question", "Options", "Answer")
STRATA = {
    "Medical Discipline": "discipline",
    "Clinical Department": "department",
    "Area of Competency": "competency",
    "Difficulty level": "difficulty",
}
MOST_GAPS = 2  # questions whose gold no option has; the publisher's file has one
_OPTION = re.compile(r"([A-Z])([\s.,、．:：]*)(.*)")
CARD = card_lib.Card(
    name="cmexam",
    title="CMExam",
    upstream="CMExam",
    family="text",
    repository="fzkuji/CMExam",
    revision="a4aaeb2d9bc021bb358f45803776f5fe6a06ebe9",
    files=FILES,
    origin=f"the publisher's file is github.com/williamliujl/CMExam, data/{CSV_FILE}",
    schema=(
        "MedEvalKit@9b12e3b utils/CMExam/CMExam.py; williamliujl/CMExam@fadb22c README.md (counts);"
        " columns of the CSV file and golds of several letters: HealthCoreBench/HealthCoreBench"
        "@54ea94f healthcorebench/benchmarks/adapters/cmexam_mcqa.py; options"
        " without A: homulillew/Medical-Post-train@4b736e5"
        " experiments/stage5/source_anomalies.json; revision: the hub's page of the repository at"
        " a4aaeb2"
    ),
    num_rows=6811,
)


@dataclasses.dataclass(frozen=True)
class CmExam:
    """The test split in the hub's layout or the publisher's."""

    card: card_lib.Card = CARD
    rule: str = chinese.RULE

    def load(self, data_dir: Path | None) -> list[benchmark.Sample]:
        """Reads every row; its number is its id.

        Raises:
          UserError: If a file, a column, the options or more than MOST_GAPS golds are not as
            expected.
        """
        path = chinese.first(CARD, files.find(CARD, data_dir), FILES)
        samples, gaps = [], []
        for number, row in enumerate(_rows(path)):
            where = f"{path} row {number}"
            shown = _shown(where, row["Options"])
            gold = _gold(where, row["Answer"])
            if missing := sorted(set(gold) - set(shown)):
                gaps.append(
                    f"{path.name} row {number}: Answer must be among {', '.join(shown)}, got {gold}"
                )
            last = max([*shown, *missing])
            asked = chinese.Asked(
                str(row["Question"]),
                tuple(shown.get(x, "") for x in letters.LETTERS[: letters.LETTERS.index(last) + 1]),
                tuple(f"{letter}.{text}" for letter, text in shown.items()),
                gold,
            )
            samples.append(_sample(number, row, asked))
        if len(gaps) > MOST_GAPS:
            raise errors.UserError(f"cmexam: {gaps[0]} ({len(gaps)} such rows)")
        return benchmark.Samples(
            samples, [f"cmexam: {gap}; it is asked as it stands" for gap in gaps]
        )


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of either layout; the hub's file is JSON lines in spite of its name."""
    if path.suffix != ".json":
        yield from files.read_rows(CARD, path, COLUMNS)
        return
    try:
        text = path.read_text("utf-8-sig")
        lines = [json.loads(line) for line in text.split("\n") if line.strip()]
    except ValueError as error:
        raise errors.UserError(f"cmexam: {path} must hold a JSON object a line: {error}") from error
    for number, row in enumerate(lines):
        if not isinstance(row, dict) or not set(COLUMNS) <= set(row):
            names = sorted(row) if isinstance(row, dict) else type(row).__name__
            raise errors.UserError(
                f"cmexam: {path} row {number} needs {sorted(COLUMNS)}, found {names}"
            )
        yield row


def _shown(where: str, options: Any) -> dict[str, str]:
    """Options by letter in the order of the row."""
    found = _lines(options) if isinstance(options, str) else chinese.keyed(options)
    if (
        len(found) < 2
        or "".join(found) != "".join(sorted(found))
        or not set(found) <= set(letters.LETTERS)
    ):
        raise errors.UserError(
            f"cmexam: {where}: Options must be texts under letters in order, got"
            f" {str(options)[:80]!r}"
        )
    return found


def _lines(cell: str) -> dict[str, str]:
    """Options of one cell, a line each that begins with its letter; other lines go on."""
    found: dict[str, str] = {}
    last = ""
    for line in map(str.strip, cell.strip().split("\n")):
        match = _OPTION.fullmatch(line)
        letter = match[1] if match else ""
        is_next = letter == (letters.LETTERS[letters.LETTERS.index(last) + 1] if last else "A")
        if match and (is_next or (match[2] and letter > last)):
            found[letter], last = match[3], letter
        elif last:
            found[last] += f"\n{line}"
        else:
            return {}
    return found


def _gold(where: str, answer: Any) -> str:
    gold = str(answer).strip()
    if gold and set(gold) <= set(letters.LETTERS):
        return gold
    raise errors.UserError(f"cmexam: {where}: Answer must be letters, got {answer!r}")


def _sample(number: int, row: Mapping[str, Any], asked: chinese.Asked) -> benchmark.Sample:
    known = {ours: str(row[theirs]) for theirs, ours in STRATA.items() if row.get(theirs)}
    return chinese.sample(
        str(number),
        asked,
        fields={**files.kept(row, *COLUMNS), "question": asked.question},
        strata={"answers": "several" if len(asked.gold) > 1 else "one", **known},
    )
