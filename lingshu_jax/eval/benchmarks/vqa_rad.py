# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""VQA-RAD: questions that clinicians asked about radiology images.

Paper: Lau et al., "A dataset of clinically generated visual questions and answers about radiology
images", Scientific Data 5, 2018. Licence CC0 (authors' statement). Test split: 451 questions
(251 yes/no, 200 open) about 203 images, all of which occur in the training split too.

Two layouts: the publisher's testset.json beside a folder of images (osf.io/89kps), and the copy on
the hub that MedEvalKit reads, whose text is lower-case. The prompt is MedEvalKit's for both.
"""

import dataclasses
import hashlib
import re
from pathlib import Path
from typing import Any

from lingshu_jax.common import answers, errors
from lingshu_jax.eval import benchmark, files
from lingshu_jax.eval import card as card_lib
from lingshu_jax.eval import question_formats as formats

FILE, HUB_FILE = "testset.json", "data/test-*.parquet"
IMAGE_FOLDERS = ("images", "VQA_RAD Image Folder")
COLUMNS = ("qid", "image_name", "question", "answer")
HUB_COLUMNS = ("image", "question", "answer")
CARD = card_lib.Card(
    name="vqa_rad",
    title="VQA-RAD",
    upstream="VQA_RAD",
    family="multimodal",
    in_paper=True,
    repository="flaviagiammarino/vqa-rad",
    revision="bcf91e7654fb9d51c8ab6a5b82cacf3fafd2fae9",
    files=(FILE, HUB_FILE),
    origin="the publisher's files are at osf.io/89kps",
    schema=(
        "the publisher's testset.json; the hub's data card (image, question, answer); revision of"
        " eka-care/KARMA-OpenMedEvalKit@fe15101"
    ),
    num_rows=451,
    golds={"no": 133, "yes": 118},
    published={
        "Lingshu-7B": 67.9,
        "Lingshu-32B": 76.5,
        "Qwen2.5-VL-7B": 64.5,
        "Qwen2.5-VL-32B": 71.8,
        "GPT-5": 67.8,
    },
)


@dataclasses.dataclass(frozen=True)
class VqaRad:
    """The test split in the publisher's layout or the hub's."""

    card: card_lib.Card = CARD
    rule: str = "vqa"

    def load(self, data_dir: Path | None) -> list[benchmark.Sample]:
        """Reads every row.

        Raises:
          UserError: If a file, a column or an image is not as expected.
        """
        folder = files.find(CARD, data_dir)
        if not files.matches(folder, FILE):
            return _load_hub(folder)
        images = next((folder / n for n in IMAGE_FOLDERS if (folder / n).is_dir()), None)
        if images is None:
            raise errors.UserError(f"vqa_rad: {folder} has no folder named one of {IMAGE_FOLDERS}")
        rows = files.read_rows(CARD, files.only(CARD, folder, FILE), COLUMNS)
        return [
            _sample(str(row["qid"]), row, str(images / row["image_name"]), row["image_name"])
            for row in rows
        ]


def _load_hub(folder: Path) -> list[benchmark.Sample]:
    pictures, samples = files.Pictures(CARD), []
    rows = files.read_rows(CARD, files.only(CARD, folder, HUB_FILE), HUB_COLUMNS)
    for number, row in enumerate(rows):
        image = pictures.get(row["image"])
        assert isinstance(image, bytes), "no folder was given"
        samples.append(_sample(str(number), row, image, hashlib.sha256(image).hexdigest()[:16]))
    return samples


def _sample(row_id: str, row: dict[str, Any], image: str | bytes, group: str) -> benchmark.Sample:
    question = re.sub(r"\s+\?", "?", str(row["question"]).lower())
    gold = str(row["answer"]).lower()
    is_yes_no = gold in ("yes", "no")
    asked = formats.ask(question, "judgement" if is_yes_no else "open")
    kind = answers.infer_type(gold)
    return benchmark.Sample(
        id=row_id,
        question=question,
        gold=gold,
        answer_type=kind if kind in ("yes_no", "number") else "open",
        rule="vqa",
        messages=formats.turn(asked, [image]),
        group=group,
        fields={"question": question, "answer": gold},
    )
