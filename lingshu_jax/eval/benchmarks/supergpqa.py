# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""SuperGPQA-Medicine: graduate-level questions with up to ten options.

Paper: M-A-P Team, "SuperGPQA: Scaling LLM Evaluation across 285 Graduate Disciplines", 2025.
Licence ODC-BY. The 2,755 of 26,529 questions whose discipline is Medicine; what the hub calls
"train" is all there is. MedEvalKit's tables have field and difficulty under each other's name.

One file on the hub, which the publisher's repository has in its folder `data`.
"""

import dataclasses
from pathlib import Path

from lingshu_jax.eval import benchmark, files
from lingshu_jax.eval import card as card_lib
from lingshu_jax.eval import question_formats as formats
from lingshu_jax.eval.benchmarks import letters

FILE = "SuperGPQA-all.jsonl"
STRATA = ("field", "difficulty")
COLUMNS = ("question", "options", "answer_letter", "discipline", *STRATA)
DISCIPLINE = "Medicine"
CARD = card_lib.Card(
    name="supergpqa",
    title="SuperGPQA-Medicine",
    upstream="SuperGPQA",
    family="text",
    in_paper=True,
    repository="m-a-p/SuperGPQA",
    revision="4430d4458112c7d4497fdcf94d7cc223313d6acf",
    files=(FILE,),
    folders=("SuperGPQA/data", "data"),
    schema=(
        "MedEvalKit@9b12e3b utils/SuperGPQA/SuperGPQA.py; SuperGPQA/SuperGPQA@03a3e27 eval/eval.py"
        " and README.md (count); revision: apple/embedding-atlas@ff1c59c"
        " packages/docs/examples/datasets.js"
    ),
    num_rows=2755,
    published={"Lingshu-7B": 26.3, "Lingshu-32B": 41.1, "Qwen2.5-VL-7B": 26.3},
)


@dataclasses.dataclass(frozen=True)
class SuperGpqa:
    """The questions of medicine."""

    card: card_lib.Card = CARD
    rule: str = "choice"

    def load(self, data_dir: Path | None) -> list[benchmark.Sample]:
        """Reads the rows of medicine; the number in the whole file is the id.

        Raises:
          UserError: If a file, a column, the options or a gold is not as expected.
        """
        folder = files.find(CARD, data_dir)
        path = files.only(CARD, folder, FILE)
        samples = []
        for number, row in enumerate(files.read_rows(CARD, path, COLUMNS)):
            if row["discipline"] != DISCIPLINE:
                continue
            where = f"{path} row {number}"
            options = letters.listed(CARD, where, row["options"])
            gold = letters.gold(CARD, where, row["answer_letter"], options)
            choices = formats.lettered(options, blank=False)
            samples.append(
                benchmark.Sample(
                    id=str(number),
                    question=row["question"],
                    gold=gold,
                    answer_type="choice",
                    rule=self.rule,
                    messages=formats.turn(formats.ask_choice(row["question"], choices)),
                    options=options,
                    choices=choices,
                    strata={name: str(row[name]) for name in STRATA},
                    fields={
                        **files.kept(row, "answer_letter"),
                        "choices": list(choices),
                        "answer": gold,
                    },
                )
            )
        return samples
