# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""PathVQA: questions made from captions of two pathology textbooks and a digital library.

Paper: He et al., "PathVQA: 30000+ Questions for Medical Visual Question Answering",
arXiv:2003.10286. Licence MIT for the questions; the pictures belong to the books' publishers. Test
split: 6,719 questions (3,362 yes/no) about 858 pictures.

Only the hub's copy is read: the publisher's own questions come as pickle. MedEvalKit chooses the
prompt by the gold as it stands and scores it lower-case and stripped.
"""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

from lingshu_jax.common import answers, errors
from lingshu_jax.eval import benchmark, files, layouts
from lingshu_jax.eval import card as card_lib
from lingshu_jax.eval import question_formats as formats

FILE = "data/test-*.parquet"
COLUMNS = ("image", "question", "answer")
CARD = card_lib.Card(
    name="path_vqa",
    title="PathVQA",
    upstream="PATH_VQA",
    family="multimodal",
    in_paper=True,
    repository="flaviagiammarino/path-vqa",
    revision="1685832883334b5bb5beaf4e4b333fdeecaa4ad9",
    files=(FILE,),
    folders=("path-vqa",),
    schema=(
        "the hub's data card (image, question, answer); its revision, names and rows of the three"
        " test files in Freddie1946/myr1@de10379; MedEvalKit utils/PATH_VQA/PATH_VQA.py@9b12e3b"
    ),
    num_rows=6719,
    published={
        "Lingshu-7B": 61.9,
        "Lingshu-32B": 65.9,
        "Qwen2.5-VL-7B": 44.1,
        "Qwen2.5-VL-32B": 41.9,
        "GPT-5": 52.8,
    },
)


@dataclasses.dataclass(frozen=True)
class PathVqa:
    """The test split in the hub's layout."""

    card: card_lib.Card = CARD
    rule: str = "vqa"

    def load(self, data_dir: Path | None) -> list[benchmark.Sample]:
        """Reads every row.

        Raises:
          UserError: If a file, a column, an answer or an image is not as expected.
        """
        folder = files.find(CARD, data_dir)
        pictures, samples = files.Pictures(CARD), []
        for path in layouts.parts(CARD, folder, FILE):
            for row in files.read_rows(CARD, path, COLUMNS):
                where = f"path_vqa: {path.name} question {len(samples)}"
                image = layouts.encoded(pictures, row["image"], f"{where} image")
                if not isinstance(row["question"], str) or not isinstance(row["answer"], str):
                    raise errors.UserError(
                        f"{where}: question and answer must be text, got"
                        f" {row['question']!r:.80}, {row['answer']!r:.80}"
                    )
                samples.append(_sample(str(len(samples)), row, image))
        return samples


def _sample(row_id: str, row: dict[str, Any], image: bytes) -> benchmark.Sample:
    question, gold = row["question"], row["answer"]
    asked = formats.ask(question, "judgement" if gold in ("yes", "no") else "open")
    kind = answers.infer_type(gold)
    return benchmark.Sample(
        id=row_id,
        question=question,
        gold=gold,
        answer_type=kind if kind in ("yes_no", "number") else "open",
        rule="vqa",
        messages=formats.turn(asked, [image]),
        group=hashlib.sha256(image).hexdigest()[:16],
        strata={"answer_type": "yes/no" if gold.lower().strip() in ("yes", "no") else "open"},
        fields={"question": question, "answer": gold},
    )
