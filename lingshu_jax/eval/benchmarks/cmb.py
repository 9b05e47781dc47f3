# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""CMB-Exam: questions of Chinese medical examinations with one right option, mostly of five.

Paper: Wang et al., "CMB: A Comprehensive Medical Benchmark in Chinese", NAACL 2024. Licence Apache
2.0. Test split of 11,200 questions, 400 of each of 28 kinds of examination. As in MedEvalKit, only
the 9,999 that the file of questions calls 单项选择题 are asked; 1,190 of several right options
(多项选择题) and 11 of type C (C型选择题) are left out, and counted in the log.

The golds are in a file of their own, which is in the publisher's repository and not on the hub.
1,202 of the 11,200 questions have an option without text; it stays, under its letter.
"""

import dataclasses
from pathlib import Path
from typing import Any

from lingshu_jax.common import errors
from lingshu_jax.eval import benchmark, files
from lingshu_jax.eval import card as card_lib
from lingshu_jax.eval import question_formats as formats
from lingshu_jax.eval.benchmarks import chinese, letters

SINGLE = "单项选择题"
QUESTIONS, ANSWERS = "CMB-test-choice-question-merge.json", "CMB-test-choice-answer.json"
TEST = "CMB-Exam/CMB-test"
FILES = (
    QUESTIONS,
    f"data/CMB/{TEST}/{QUESTIONS}",  # the publisher's repository, its archive unpacked
    f"CMB/{TEST}/{QUESTIONS}",
    f"{TEST}/{QUESTIONS}",  # the hub
)
ANSWER_FILES = (ANSWERS, f"data/{ANSWERS}", f"{TEST}/{ANSWERS}")
COLUMNS = ("id", "exam_type", "exam_class", "question", "question_type", "option")
STRATA = ("exam_type", "exam_class")
ANSWERS_FROM = "github.com/FreedomIntelligence/CMB, data/CMB-test-choice-answer.json (6c8ece4)"
CARD = card_lib.Card(
    name="cmb",
    title="CMB-Exam",
    upstream="CMB",
    family="text",
    repository="FreedomIntelligence/CMB",
    files=FILES,
    origin=f"the golds are at {ANSWERS_FROM}",
    schema=(
        "FreedomIntelligence/CMB@6c8ece4 README.md and data/CMB-test-choice-answer.json;"
        " MedEvalKit@9b12e3b utils/CMB/CMB.py; kinds of question and their numbers:"
        " HealthCoreBench/HealthCoreBench@54ea94f healthcorebench/benchmarks/adapters/cmb_mcqa.py"
    ),
    num_rows=9999,
)


@dataclasses.dataclass(frozen=True)
class Cmb:
    """The test questions of one right option, in the hub's layout or the publisher's."""

    card: card_lib.Card = CARD
    rule: str = chinese.RULE

    def load(self, data_dir: Path | None) -> list[benchmark.Sample]:
        """Reads every question of one right option.

        Raises:
          UserError: If a file, a column, the options or a gold is not as expected.
        """
        folder = files.find(CARD, data_dir)
        path = chinese.first(CARD, folder, FILES)
        rows = list(files.read_rows(CARD, path, COLUMNS))
        single = [row for row in rows if row["question_type"] == SINGLE]
        golds = {} if all(row.get("answer") for row in single) else _golds(folder)
        remarks = []
        if left_out := len(rows) - len(single):
            remarks.append(
                f"cmb: {left_out} of {len(rows)} questions are not {SINGLE} and are left out, as in"
                " MedEvalKit"
            )
        found = [_sample(f"{path} id {row['id']}", row, golds) for row in single]
        return benchmark.Samples(found, remarks)


def _golds(folder: Path) -> dict[str, str]:
    """The publisher's answers by id; they lie beside the questions or in the folder above."""
    for place in (folder, folder.parent):
        if any(files.matches(place, name) for name in ANSWER_FILES):
            path = chinese.first(CARD, place, ANSWER_FILES)
            rows = files.read_rows(CARD, path, ("id", "answer"))
            return {str(row["id"]): str(row["answer"]) for row in rows}
    raise errors.UserError(
        f"cmb: {folder} must hold {ANSWERS}, the golds, found none; get it from {ANSWERS_FROM} and"
        " give --data_dir"
    )


def _sample(where: str, row: dict[str, Any], golds: dict[str, str]) -> benchmark.Sample:
    options = letters.texts(CARD, where, chinese.keyed(row["option"]))
    said = golds.get(str(row["id"])) if golds else row["answer"]
    gold = letters.gold(CARD, where, said, options)
    choices = formats.lettered(options, blank=False)
    return chinese.sample(
        str(row["id"]),
        chinese.Asked(str(row["question"]), options, choices, gold),
        fields=files.kept(row),
        strata={name: str(row[name]) for name in STRATA},
    )
