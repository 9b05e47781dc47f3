# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""PMC-VQA, version 2: questions that a language model made from captions of open-access papers.

Paper: Zhang et al., "PMC-VQA: Visual Instruction Tuning for Medical Visual Question Answering",
arXiv:2305.10415. Licence CC BY-SA. Four options, 33,430 questions, which nobody has checked; the
2,000 that the authors did check are another file, test_clean.csv. Golds are not balanced: always
answering C gives 37.8 %.

The cells of the choices hold their letters (` A:Focal uptake`) and are shown as they are.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lingshu_jax.common import answers_choice, errors
from lingshu_jax.eval import benchmark, files, layouts
from lingshu_jax.eval import card as card_lib
from lingshu_jax.eval import question_formats as formats

FILE, ARCHIVE = "test_2.csv", "images_2.zip"
CHOICES = ("Choice A", "Choice B", "Choice C", "Choice D")
COLUMNS = ("index", "Figure_path", "Caption", "Question", *CHOICES, "Answer", "split")
CARD = card_lib.Card(
    name="pmc_vqa",
    title="PMC-VQA",
    upstream="PMC_VQA",
    family="multimodal",
    in_paper=True,
    repository="RadGenome/PMC-VQA",
    revision="b56ae594f794867893143b337b4118a835794647",
    files=(FILE, ARCHIVE),
    archives=(ARCHIVE,),
    folders=("PMC-VQA",),
    schema=(
        "MedEvalKit utils/PMC_VQA/PMC_VQA.py@9b12e3b; names of the columns and the folder figures"
        " of the archive in EvolvingLMMs-Lab/lmms-eval@5a58626 lmms_eval/tasks/medevalkit/pmc_vqa;"
        " the hub's file list and data card"
    ),
    num_rows=33430,
    golds={"A": 4423, "B": 11984, "C": 12636, "D": 4387},
    published={
        "Lingshu-7B": 56.3,
        "Lingshu-32B": 57.9,
        "Qwen2.5-VL-7B": 51.9,
        "Qwen2.5-VL-32B": 54.5,
        "GPT-5": 60.0,
    },
)


@dataclasses.dataclass(frozen=True)
class PmcVqa:
    """The test split of version 2: test_2.csv beside images_2.zip or the folder figures."""

    card: card_lib.Card = CARD
    rule: str = "choice_untagged"

    def load(self, data_dir: Path | None) -> list[benchmark.Sample]:
        """Reads every row.

        Raises:
          UserError: If a file, a column, a row or an image is not as expected.
        """
        folder = files.find(CARD, data_dir)
        path = files.only(CARD, folder, FILE)
        inside = folder / ARCHIVE.removesuffix(".zip")
        images = (folder / "figures", inside / "figures")
        pictures = layouts.PictureFiles(CARD, layouts.unpacked(CARD, images, folder / ARCHIVE))
        samples = []
        for number, row in enumerate(files.read_rows(CARD, path, COLUMNS)):
            _check(path, number, row)
            samples.append(_sample(str(number), row, pictures.get(row["Figure_path"])))
        return samples


def _check(path: Path, number: int, row: Mapping[Any, Any]) -> None:
    """A row that lacks cells or has too many, or whose gold is no letter, is refused."""
    count = sum(isinstance(row[name], str) for name in COLUMNS) + len(row.get(None) or ())
    if count != len(COLUMNS):
        raise errors.UserError(
            f"pmc_vqa: {path} row {number} needs {len(COLUMNS)} cells, found {count}"
        )
    if row["Answer"].strip() not in ("A", "B", "C", "D"):
        raise errors.UserError(
            f"pmc_vqa: {path} row {number}: Answer must be A, B, C or D, got {row['Answer']!r:.80}"
        )


def _sample(row_id: str, row: dict[str, Any], image: str) -> benchmark.Sample:
    choices = tuple(row[name] for name in CHOICES)
    asked = formats.ask_choice(row["Question"], choices)
    return benchmark.Sample(
        id=row_id,
        question=row["Question"],
        gold=row["Answer"].strip(),
        answer_type="choice",
        rule="choice_untagged",
        messages=formats.turn(asked, [image]),
        options=tuple(answers_choice.without_letters(choices)),
        choices=choices,
        group=row["Figure_path"],
        fields={"prompt": asked, "answer": row["Answer"], "choices": list(choices)},
    )
