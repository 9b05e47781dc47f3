# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Medbullets: questions in the style of USMLE step 2 and 3, with four or with five options.

Paper: Chen et al., "Benchmarking Large Language Models on Answering and Explaining Challenging
Medical Questions", arXiv 2402.18060, 2024. The publisher states no licence. Both sets ask the same
308 questions; the letter of the right option may differ. Lingshu's paper gives one number for both
together: 56.2 for Lingshu-7B, 65.4 for Lingshu-32B, 42.1 for Qwen2.5-VL-7B.

Two layouts: the hub's, with four options by letter and five in columns, and the publisher's CSV
files, with columns for both. What the hub calls "train" is all there is.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lingshu_jax.eval import benchmark, files
from lingshu_jax.eval import card as card_lib
from lingshu_jax.eval import question_formats as formats
from lingshu_jax.eval.benchmarks import letters

HUB_FILE = "data/train-*.parquet"
COLUMNS = ("question", "answer_idx")
FOLDERS = ("medbullets", "ChallengeClinicalQA/medbullets")
ORIGIN = "the publisher's files are in github.com/HanjieChen/ChallengeClinicalQA, folder medbullets"
FOUR = card_lib.Card(
    name="medbullets_op4",
    title="Medbullets (4 options)",
    upstream="Medbullets_op4",
    family="text",
    in_paper=True,
    repository="tuenguyen/Medical-Eval-MedBullets_op4",
    files=(HUB_FILE, "medbullets_op4.csv"),
    folders=FOLDERS,
    origin=ORIGIN,
    schema=(
        "MedEvalKit@9b12e3b utils/Medbullets_op4/Medbullets_op4.py (options by letter, answer_idx);"
        " SimLif/lmms-eval@8468712 lmms_eval/tasks/medbullets/utils.py;"
        " HanjieChen/ChallengeClinicalQA@ef3c9da medbullets/medbullets_op4.csv"
    ),
    num_rows=308,
    golds={"A": 87, "B": 76, "C": 77, "D": 68},
)
FIVE = card_lib.Card(
    name="medbullets_op5",
    title="Medbullets (5 options)",
    upstream="Medbullets_op5",
    family="text",
    in_paper=True,
    repository="LangAGI-Lab/medbullets_op5",
    files=(HUB_FILE, "medbullets_op5.csv"),
    folders=FOLDERS,
    origin=ORIGIN,
    schema=(
        "MedEvalKit@9b12e3b utils/Medbullets_op5/Medbullets_op5.py (opa-ope, answer_idx);"
        " HanjieChen/ChallengeClinicalQA@ef3c9da medbullets/medbullets_op5.csv"
    ),
    num_rows=308,
    golds={"A": 61, "B": 74, "C": 53, "D": 67, "E": 53},
)


@dataclasses.dataclass(frozen=True)
class Medbullets:
    """All questions, with four or with five options.

    Attributes:
      card: `FOUR` or `FIVE`.
      num_options: The same as a number.
      rule: Of MedEvalKit.
    """

    card: card_lib.Card
    num_options: int
    rule: str = "choice"

    def load(self, data_dir: Path | None) -> list[benchmark.Sample]:
        """Reads every row; its number is its id.

        Raises:
          UserError: If a file, a column, the options or a gold is not as expected.
        """
        folder = files.find(self.card, data_dir)
        hub, csv = self.card.files
        path = files.only(self.card, folder, hub if files.matches(folder, hub) else csv)
        by_letter = self.num_options == 4 and path.name.endswith(".parquet")
        named = ("options",) if by_letter else tuple(self._columns().values())
        rows = files.read_rows(self.card, path, (*COLUMNS, *named))
        return [self._sample(f"{path} row {n}", str(n), row) for n, row in enumerate(rows)]

    def _columns(self) -> dict[str, str]:
        """The columns of options by letter: A is `opa`."""
        return {x: f"op{x.lower()}" for x in letters.LETTERS[: self.num_options]}

    def _sample(self, where: str, row_id: str, row: Mapping[str, Any]) -> benchmark.Sample:
        found = row.get("options") or {x: row[name] for x, name in self._columns().items()}
        options = letters.texts(self.card, where, found)
        gold = letters.gold(self.card, where, row["answer_idx"], options)
        choices = formats.lettered(options, blank=False)
        return benchmark.Sample(
            id=row_id,
            question=row["question"],
            gold=gold,
            answer_type="choice",
            rule=self.rule,
            messages=formats.turn(formats.ask_choice(row["question"], choices)),
            options=options,
            choices=choices,
            fields={**files.kept(row), "choices": list(choices), "answer": gold},
        )
