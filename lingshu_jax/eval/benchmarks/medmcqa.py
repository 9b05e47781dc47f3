# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""MedMCQA: questions of Indian medical entrance examinations, four options.

Paper: Pal et al., "MedMCQA: A Large-scale Multi-Subject Multi-Choice Dataset for Medical domain
Question Answering", CHIL 2022. Licence MIT. The validation split: the test split has no golds. The
gold is `cop`, which counts from 0 in this copy and from 1 in others.
"""

import dataclasses
from pathlib import Path

from lingshu_jax.common import errors
from lingshu_jax.eval import benchmark, files
from lingshu_jax.eval import card as card_lib
from lingshu_jax.eval import question_formats as formats

FILE = "data/validation-*.parquet"
OPTIONS = ("opa", "opb", "opc", "opd")
COLUMNS = ("id", "question", *OPTIONS, "cop")
CARD = card_lib.Card(
    name="medmcqa",
    title="MedMCQA",
    upstream="MedMCQA",
    family="text",
    in_paper=True,
    repository="openlifescienceai/medmcqa",
    revision="91c6572c454088bf71b679ad90aa8dffcd0d5868",
    files=(FILE,),
    schema=(
        "the hub's data card; MedEvalKit utils/MedMCQA@9b12e3b; revision of"
        " eka-care/KARMA-OpenMedEvalKit@fe15101"
    ),
    num_rows=4183,
    published={
        "Lingshu-7B": 55.9,
        "Lingshu-32B": 66.1,
        "Qwen2.5-VL-7B": 52.6,
    },
)


@dataclasses.dataclass(frozen=True)
class MedMcqa:
    """The validation split in the hub's layout."""

    card: card_lib.Card = CARD
    rule: str = "choice"

    def load(self, data_dir: Path | None) -> list[benchmark.Sample]:
        """Reads every row.

        Raises:
          UserError: If a file, a column or a gold is not as expected.
        """
        folder = files.find(CARD, data_dir)
        path = files.only(CARD, folder, FILE)
        samples = []
        for row in files.read_rows(CARD, path, COLUMNS):
            if row["cop"] not in range(len(OPTIONS)):
                raise errors.UserError(
                    f"medmcqa: {path} id {row['id']}: cop must be 0 to 3, got {row['cop']!r}"
                )
            options = tuple(str(row[name]) for name in OPTIONS)
            choices = formats.lettered(options, blank=True)
            gold = "ABCD"[row["cop"]]
            samples.append(
                benchmark.Sample(
                    id=str(row["id"]),
                    question=row["question"],
                    gold=gold,
                    answer_type="choice",
                    rule=self.rule,
                    messages=formats.turn(formats.ask_choice(row["question"], choices)),
                    options=options,
                    choices=choices,
                    fields={**files.kept(row), "choices": list(choices), "answer": gold},
                )
            )
        return samples
