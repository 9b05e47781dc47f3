# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""MedQA-MCMLE: questions of the medical licensing examination of mainland China, four options.

Paper: Jin et al., "What Disease does this Patient Have? A Large-scale Open Domain Question
Answering Dataset from Medical Exams", Applied Sciences 11, 2021. Licence MIT. Test split, 3,426
questions; in four of them two options have the same text.

MedEvalKit shows the options without letters and yet asks for one; so do we, for numbers that can be
compared.
"""

import dataclasses
from pathlib import Path
from typing import Any

from lingshu_jax.eval import benchmark, files
from lingshu_jax.eval import card as card_lib
from lingshu_jax.eval.benchmarks import chinese, letters

FILE = "MedQA-MCMLE.jsonl"
FILES = (
    "data_clean/questions/Mainland/4_options/test.jsonl",  # the publisher's archive
    "questions/Mainland/4_options/test.jsonl",
    FILE,
)
COLUMNS = ("question", "options", "answer_idx")
CARD = card_lib.Card(
    name="medqa_mcmle",
    title="MedQA-MCMLE",
    upstream="MedQA_MCMLE",
    family="text",
    repository="shuyuej/MedQA-MCMLE-Benchmark",
    files=FILES,
    origin=(
        "the same file is github.com/vkola-lab/PodGPT, benchmark/chinese_mcmle; the publisher's"
        " archive is linked from github.com/jind11/MedQA"
    ),
    schema=(
        "MedEvalKit@9b12e3b utils/MedQA_MCMLE/MedQA_MCMLE.py; vkola-lab/PodGPT@32d6e01"
        " benchmark/chinese_mcmle/MedQA-MCMLE.jsonl (columns, counts, golds)"
    ),
    num_rows=3426,
    golds={"A": 779, "B": 926, "C": 902, "D": 819},
)


@dataclasses.dataclass(frozen=True)
class MedQaMcmle:
    """The test split in the hub's layout or the publisher's."""

    card: card_lib.Card = CARD
    rule: str = chinese.RULE

    def load(self, data_dir: Path | None) -> list[benchmark.Sample]:
        """Reads every row; its number is its id.

        Raises:
          UserError: If a file, a column, the options or a gold is not as expected.
        """
        path = chinese.first(CARD, files.find(CARD, data_dir), FILES)
        rows = files.read_rows(CARD, path, COLUMNS)
        return [_sample(f"{path} row {number}", number, row) for number, row in enumerate(rows)]


def _sample(where: str, number: int, row: dict[str, Any]) -> benchmark.Sample:
    options = letters.texts(CARD, where, row["options"])
    gold = letters.gold(CARD, where, row["answer_idx"], options)
    return chinese.sample(
        str(number),
        chinese.Asked(str(row["question"]), options, options, gold),
        fields={},
        strata={"subject": str(row.get("meta_info", ""))},
    )
