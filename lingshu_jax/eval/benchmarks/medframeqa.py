# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""MedFrameQA: questions that need several frames of a medical teaching video, five or six options.

Paper: Yu et al., "MedFrameQA: A Multi-Image Medical VQA Benchmark for Clinical Reasoning", arXiv
2505.16964. Licence CC BY 4.0. Test split: 2,851 questions, each with two to five of 9,237 frames.
Frames stand in image_1 to image_5, of which the last may be empty. Questions of one video share a
group.
"""

import dataclasses
from pathlib import Path
from typing import Any

from lingshu_jax.common import errors
from lingshu_jax.eval import benchmark, files, layouts
from lingshu_jax.eval import card as card_lib
from lingshu_jax.eval import question_formats as formats
from lingshu_jax.eval.benchmarks import letters

FILE = "data/*.parquet"
IMAGES = tuple(f"image_{number}" for number in range(1, 6))
COLUMNS = ("question_id", "question", "options", "correct_answer", *IMAGES)
STRATA = ("system", "organ", "modality")
CARD = card_lib.Card(
    name="medframeqa",
    title="MedFrameQA",
    upstream="MedFrameQA",
    family="multimodal",
    repository="SuhaoYu1020/MedFrameQA",
    revision="96083ae9405b2fdb687005c65902f2ee3d7c9f12",
    files=(FILE,),
    schema=(
        "MedEvalKit@9b12e3b utils/MedFrameQA/MedFrameQA.py; the hub's data card (commit deb196e);"
        " revision: the newest commit of the hub's file list, 96083ae"
    ),
    num_rows=2851,
)


@dataclasses.dataclass(frozen=True)
class MedFrameQa:
    """The test split in the hub's layout."""

    card: card_lib.Card = CARD
    rule: str = "choice_untagged"

    def load(self, data_dir: Path | None) -> list[benchmark.Sample]:
        """Reads every row.

        Raises:
          UserError: If a file, a column, the options, a gold or an image is not as expected.
        """
        folder = files.find(CARD, data_dir)
        pictures = files.Pictures(CARD)
        return [
            _sample(f"{path} id {row['question_id']}", row, pictures)
            for path in layouts.parts(CARD, folder, FILE)
            for row in files.read_rows(CARD, path, COLUMNS)
        ]


def _sample(where: str, row: dict[str, Any], pictures: files.Pictures) -> benchmark.Sample:
    options = letters.listed(CARD, where, row["options"])
    gold = letters.gold(CARD, where, row["correct_answer"], options)
    there = [name for name in IMAGES if row[name] is not None]
    images = [layouts.encoded(pictures, row[name], f"medframeqa: {where} {name}") for name in there]
    if len(images) < 2:
        raise errors.UserError(
            f"medframeqa: {where} needs 2 to 5 of {', '.join(IMAGES)}, found {len(images)}"
        )
    choices = formats.lettered(options, blank=False)
    return benchmark.Sample(
        id=str(row["question_id"]),
        question=str(row["question"]),
        gold=gold,
        answer_type="choice",
        rule="choice_untagged",
        messages=formats.turn(formats.ask_choice(row["question"], choices), images),
        options=options,
        choices=choices,
        group=str(row.get("video_id", "")),
        strata={
            **{name: str(row[name]) for name in STRATA if name in row},
            "images": str(len(images)),
        },
        fields={
            **files.kept(row, "options", "correct_answer", *IMAGES),
            "choices": list(choices),
            "answer": gold,
        },
    )
