# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""MMLU-Medical: the nine subjects of MMLU that MedEvalKit counts as medical, four options.

Paper: Hendrycks et al., "Measuring Massive Multitask Language Understanding", ICLR 2021. Licence
MIT. Test split. Most papers mean six of the nine (1,089 of 1,871 questions) by "MMLU medical"; the
stratum `usual_six` holds their number. MedEvalKit's own loader does not run (an undefined context
in its prompt, options that became one string); asked is what it means: the plain prompt of multiple
choice with `A.text`.

Three layouts: the hub's file of all subjects, the publisher's CSV files (one a subject, without a
line of names), and the copy of MedXpertQA's repository, which has six subjects and question and
options in one string. Subjects that are not there are left out; the count says so.
"""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lingshu_jax.common import errors
from lingshu_jax.eval import benchmark, files
from lingshu_jax.eval import card as card_lib
from lingshu_jax.eval import question_formats as formats
from lingshu_jax.eval.benchmarks import letters

HUB_FILE, FILES, JOINED_FILE = "all/test-*.parquet", "*_test.csv", "mmlu_medical_input.jsonl"
HUB_COLUMNS = ("question", "subject", "choices", "answer")
COLUMNS = ("question", "A", "B", "C", "D", "answer")
JOINED_COLUMNS = ("question", "subject", "label")
USUAL_SIX = (
    "anatomy",
    "clinical_knowledge",
    "college_biology",
    "college_medicine",
    "medical_genetics",
    "professional_medicine",
)
SUBJECTS = (*USUAL_SIX, "nutrition", "virology", "high_school_biology")
CARD = card_lib.Card(
    name="mmlu_medical",
    title="MMLU-Medical",
    upstream="MMLU-medical",
    family="text",
    in_paper=True,
    repository="cais/mmlu",
    revision="c30699e8356da336a370243923dbaf21066bb9fe",
    files=(HUB_FILE, FILES, JOINED_FILE),
    folders=(
        *("MMLU", "mmlu", "data/test", "mmlu/data/test", "mmlu_medical/data/test"),
        "eval/data/mmlu_medical/input",
        "model_outputs_mirage/gold/mmlu",
        "text_mcq/medxpertqa_repo",
    ),
    origin="the publisher's archive is linked from github.com/hendrycks/test",
    schema=(
        "MedEvalKit@9b12e3b utils/MMLU/MMLU.py; hendrycks/test@4450500 evaluate.py;"
        " TsinghuaC3I/MedXpertQA@f21247d eval/data/mmlu_medical/input;"
        " revision: huggingface/smollm@a041759 text/evaluation/smollm2/tasks.py"
    ),
    num_rows=1871,
    golds={"A": 406, "B": 456, "C": 437, "D": 572},
    published={"Lingshu-7B": 74.5, "Lingshu-32B": 84.7, "Qwen2.5-VL-7B": 73.4},
)


NUM_OPTIONS = 4


class _Row(NamedTuple):
    subject: str
    question: str
    options: tuple[str, ...]
    gold: str


@dataclasses.dataclass(frozen=True)
class MmluMedical:
    """The nine subjects in the hub's layout, the publisher's or MedXpertQA's."""

    card: card_lib.Card = CARD
    rule: str = "choice"

    def load(self, data_dir: Path | None) -> list[benchmark.Sample]:
        """Reads every row, subject after subject; subject and number are its id.

        Raises:
          UserError: If a file, a column, the options or a gold is not as expected.
        """
        folder = files.find(CARD, data_dir)
        if files.matches(folder, HUB_FILE):
            rows = list(_hub_rows(folder))
        elif files.matches(folder, JOINED_FILE):
            rows = list(_joined_rows(folder))
        else:
            rows = list(_csv_rows(folder))
        by_subject = {name: [row for row in rows if row.subject == name] for name in SUBJECTS}
        return [
            _sample(number, row)
            for found in by_subject.values()
            for number, row in enumerate(found)
        ]


def _hub_rows(folder: Path) -> Iterator[_Row]:
    path = files.only(CARD, folder, HUB_FILE)
    for number, row in enumerate(files.read_rows(CARD, path, HUB_COLUMNS)):
        if row["subject"] not in SUBJECTS:
            continue
        where = f"{path} row {number}"
        options = letters.listed(CARD, where, row["choices"])
        gold = letters.numbered(CARD, where, row["answer"], options)
        yield _Row(row["subject"], str(row["question"]), options, gold)


def _csv_rows(folder: Path) -> Iterator[_Row]:
    found = {re.sub(r"_test\.csv(\.gz)?$", "", p.name): p for p in files.matches(folder, FILES)}
    if not set(found) & set(SUBJECTS):
        raise errors.UserError(
            f"mmlu_medical: {folder} must hold NAME_test.csv for names among"
            f" {', '.join(SUBJECTS)}; found {', '.join(sorted(found))}"
        )
    for subject in filter(found.__contains__, SUBJECTS):
        path = found[subject]
        for number, row in enumerate(files.read_rows(CARD, path, COLUMNS, header=COLUMNS)):
            where = f"{path} row {number}"
            if None in row or None in row.values():
                raise errors.UserError(
                    f"mmlu_medical: {where} needs {len(COLUMNS)} cells {list(COLUMNS)}"
                )
            options = tuple(row[letter] for letter in "ABCD")
            gold = letters.gold(CARD, where, row["answer"], options)
            yield _Row(subject, row["question"], options, gold)


def _joined_rows(folder: Path) -> Iterator[_Row]:
    path = files.only(CARD, folder, JOINED_FILE)
    read = letters.read_joined(CARD, path, JOINED_COLUMNS, NUM_OPTIONS)
    for row, question, options, gold in read:
        yield _Row(row["subject"], question, options, gold)


def _sample(number: int, row: _Row) -> benchmark.Sample:
    choices = formats.lettered(row.options, blank=False)
    prompt = formats.ask_choice(row.question, choices)
    return benchmark.Sample(
        id=f"{row.subject}-{number}",
        question=row.question,
        gold=row.gold,
        answer_type="choice",
        rule="choice",
        messages=formats.turn(prompt),
        options=row.options,
        choices=choices,
        strata={
            "subject": row.subject,
            "usual_six": "yes" if row.subject in USUAL_SIX else "no",
        },
        fields={
            "question": row.question,
            "subject": row.subject,
            "choices": list(choices),
            "answer": row.gold,
            "prompt": prompt,
        },
    )
