# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""MedQA-USMLE: questions of the United States medical licensing examination, four options.

Paper: Jin et al., "What Disease does this Patient Have? A Large-scale Open Domain Question
Answering Dataset from Medical Exams", Applied Sciences 11, 2021. Licence MIT (jind11/MedQA); the
hub's copy says CC BY 4.0. Test split.

Two layouts: the publisher's file of four options, which the hub has under the same name, and the
copy of MedXpertQA's repository, which has question and options in one string. Both hold the same
questions in the same order. Some options end in a blank, which stays.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lingshu_jax.eval import benchmark, files
from lingshu_jax.eval import card as card_lib
from lingshu_jax.eval import question_formats as formats
from lingshu_jax.eval.benchmarks import letters

FILE, JOINED_FILE = "phrases_no_exclude_test.jsonl", "medqa_input.jsonl"
COLUMNS = ("question", "options", "answer_idx")
JOINED_COLUMNS = ("question", "label")
NUM_OPTIONS = 4
CARD = card_lib.Card(
    name="medqa_usmle",
    title="MedQA-USMLE",
    upstream="MedQA_USMLE",
    family="text",
    in_paper=True,
    repository="GBaker/MedQA-USMLE-4-options",
    revision="0fb93dd23a7339b6dcd27e241cb9b5eca62d4d18",
    files=(FILE, JOINED_FILE),
    folders=(
        "data_clean/questions/US/4_options",
        "MedQA/data_clean/questions/US/4_options",
        "eval/data/medqa/input",
        "model_outputs_mirage/gold",
        "text_mcq/medxpertqa_repo",
    ),
    origin="the publisher's archive is linked from github.com/jind11/MedQA",
    schema=(
        "MedEvalKit@9b12e3b utils/MedQA_USMLE/MedQA_USMLE.py;"
        " Teddy-XiongGZ/MIRAGE@392943a rawdata/medqa/data_clean/questions/US/4_options;"
        " TsinghuaC3I/MedXpertQA@f21247d eval/data/medqa/input;"
        " revision: the hub's commits of GBaker/MedQA-USMLE-4-options"
    ),
    num_rows=1273,
    golds={"A": 353, "B": 309, "C": 346, "D": 265},
    published={"Lingshu-7B": 63.3, "Lingshu-32B": 74.7, "Qwen2.5-VL-7B": 57.3},
)


class _Row(NamedTuple):
    question: str
    options: tuple[str, ...]
    gold: str


@dataclasses.dataclass(frozen=True)
class MedQaUsmle:
    """The test split in the publisher's layout, the hub's or MedXpertQA's."""

    card: card_lib.Card = CARD
    rule: str = "choice"

    def load(self, data_dir: Path | None) -> list[benchmark.Sample]:
        """Reads every row; its number is its id.

        Raises:
          UserError: If a file, a column, the options or a gold is not as expected.
        """
        folder = files.find(CARD, data_dir)
        is_joined = not files.matches(folder, FILE)
        rows = _joined_rows(folder) if is_joined else _rows(folder)
        return [_sample(number, row) for number, row in enumerate(rows)]


def _rows(folder: Path) -> Iterator[_Row]:
    path = files.only(CARD, folder, FILE)
    for number, row in enumerate(files.read_rows(CARD, path, COLUMNS)):
        where = f"{path} row {number}"
        options = letters.texts(CARD, where, row["options"])
        gold = letters.gold(CARD, where, row["answer_idx"], options)
        yield _Row(str(row["question"]), options, gold)


def _joined_rows(folder: Path) -> Iterator[_Row]:
    path = files.only(CARD, folder, JOINED_FILE)
    for _, question, options, gold in letters.read_joined(CARD, path, JOINED_COLUMNS, NUM_OPTIONS):
        yield _Row(question, options, gold)


def _sample(number: int, row: _Row) -> benchmark.Sample:
    choices = formats.lettered(row.options, blank=True)
    prompt = formats.ask_choice(row.question, choices)
    return benchmark.Sample(
        id=str(number),
        question=row.question,
        gold=row.gold,
        answer_type="choice",
        rule="choice",
        messages=formats.turn(prompt),
        options=row.options,
        choices=choices,
        fields={"prompt": prompt, "answer": row.gold, "choices": list(choices)},
    )
