# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""CMMLU-Medical: the seven tasks of CMMLU that MedEvalKit counts as medical, four options.

Paper: Li et al., "CMMLU: Measuring massive multitask language understanding in Chinese", Findings
of ACL 2024. Licence CC BY-NC 4.0. Test split: a CSV file a task, whose first column counts rows and
has no name. MedEvalKit's loader does not run (it asks for a training split, which CMMLU does not
have); asked is what it means.

Two layouts: the hub's archive, which holds test/TASK.csv, and the publisher's repository, where
that folder lies in `data`.
"""

import dataclasses
from pathlib import Path
from typing import Any

from lingshu_jax.common import errors
from lingshu_jax.eval import benchmark, files, layouts
from lingshu_jax.eval import card as card_lib
from lingshu_jax.eval import question_formats as formats
from lingshu_jax.eval.benchmarks import chinese, letters

TASKS = (
    "anatomy",
    "clinical_knowledge",
    "college_medicine",
    "genetics",
    "traditional_chinese_medicine",
    "nutrition",
    "virology",
)
OPTIONS = ("A", "B", "C", "D")
COLUMNS = ("Question", *OPTIONS, "Answer")
ARCHIVE = "cmmlu_v1_0_1.zip"
CARD = card_lib.Card(
    name="cmmlu",
    title="CMMLU-Medical",
    upstream="CMMLU",
    family="text",
    repository="haonan-li/cmmlu",
    revision="efcc940752ea4a1ea94d2727f11f83858d64fc8e",
    files=(ARCHIVE, f"test/{TASKS[0]}.csv", f"data/test/{TASKS[0]}.csv"),
    archives=(ARCHIVE,),
    origin="the publisher's repository is github.com/haonan-li/CMMLU, data/test",
    schema=(
        "haonan-li/CMMLU@d6e7b71 data/test (columns, counts, golds); MedEvalKit@9b12e3b"
        " utils/CMMLU/CMMLU.py; revision: the hub's file list at efcc940"
    ),
    num_rows=1333,
    golds={"A": 333, "B": 332, "C": 335, "D": 333},
)


@dataclasses.dataclass(frozen=True)
class Cmmlu:
    """The seven tasks in the hub's layout or the publisher's."""

    card: card_lib.Card = CARD
    rule: str = chinese.RULE

    def load(self, data_dir: Path | None) -> list[benchmark.Sample]:
        """Reads every row, task after task; task and number are its id.

        Raises:
          UserError: If a file, a column or a gold is not as expected.
        """
        folder = files.find(CARD, data_dir)
        roots = (folder / Path(ARCHIVE).stem, folder, folder / "data")
        test = layouts.unpacked(CARD, [root / "test" for root in roots], folder / ARCHIVE)
        samples = []
        for task in TASKS:
            path = files.only(CARD, test, f"{task}.csv")
            for number, row in enumerate(files.read_rows(CARD, path, COLUMNS)):
                samples.append(_sample(f"{path} row {number}", f"{task}-{number}", task, row))
        return samples


def _sample(where: str, row_id: str, task: str, row: dict[str, Any]) -> benchmark.Sample:
    if None in row or None in row.values():
        raise errors.UserError(f"cmmlu: {where} needs {len(COLUMNS) + 1} cells, found {len(row)}")
    options = tuple(row[letter] for letter in OPTIONS)
    gold = letters.gold(CARD, where, row["Answer"], options)
    choices = formats.lettered(options, blank=False)
    return chinese.sample(
        row_id,
        chinese.Asked(row["Question"], options, choices, gold),
        fields={
            "task": task,
            "question": row["Question"],
            **{letter: row[letter] for letter in OPTIONS},
        },
        strata={"task": task},
    )
