# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""VQA-RAD: questions that clinicians asked about radiology images.

Paper: Lau et al., "A dataset of clinically generated visual questions and answers about radiology
images", Scientific Data 5, 2018. Licence CC0 (authors' statement). Test split: 451 questions
(251 yes/no, 200 open) about 203 images, all of which occur in the training split too.
Schema: the publisher's testset.json (osf.io/89kps): qid, image_name, question, answer. The prompt
is MedEvalKit's, whose copy of the data (flaviagiammarino/vqa-rad) has lower-case text.
"""

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lingshu_jax.common import errors, prompts
from lingshu_jax.eval import benchmark

FILE = "testset.json"
IMAGE_FOLDERS = ("images", "VQA_RAD Image Folder")
COLUMNS = ("qid", "image_name", "question", "answer")
NUM_ROWS = 451


@dataclasses.dataclass(frozen=True)
class VqaRad:
    """The test split in the publisher's layout: testset.json beside a folder of images."""

    name: str = "vqa_rad"
    rule: str = "vqa"
    published: Mapping[str, float] = dataclasses.field(
        default_factory={
            "Lingshu-7B": 67.9,
            "Lingshu-32B": 76.5,
            "Qwen2.5-VL-7B": 64.5,
            "Qwen2.5-VL-32B": 71.8,
        }.copy
    )

    def load(self, data_dir: Path | None) -> list[benchmark.Sample]:
        """Reads `data_dir`/vqa_rad or `data_dir` itself.

        Raises:
          UserError: If a file, a column or the answer type is not as expected.
        """
        folder = _find(data_dir)
        images = next((folder / n for n in IMAGE_FOLDERS if (folder / n).is_dir()), None)
        if images is None:
            raise errors.UserError(f"vqa_rad: {folder} has no folder named one of {IMAGE_FOLDERS}")
        try:
            rows = json.loads((folder / FILE).read_text(encoding="utf-8"))
        except ValueError as error:
            raise errors.UserError(f"vqa_rad: {folder / FILE} is not JSON: {error}") from error
        if not isinstance(rows, list):
            raise errors.UserError(f"vqa_rad: {folder / FILE} must hold a list of rows")
        return [_sample(number, row, images) for number, row in enumerate(rows)]


def _find(data_dir: Path | None) -> Path:
    """The folder that holds testset.json."""
    if data_dir is None:
        raise errors.UserError("vqa_rad: --data_dir is required")
    for folder in (data_dir / "vqa_rad", data_dir):
        if (folder / FILE).is_file():
            return folder
    raise errors.UserError(
        f"vqa_rad: neither {data_dir} nor its subfolder vqa_rad holds {FILE}; the publisher's files"
        " are at osf.io/89kps"
    )


def _sample(number: int, row: Any, images: Path) -> benchmark.Sample:
    found = sorted(row) if isinstance(row, dict) else type(row).__name__
    if not isinstance(row, dict) or not set(COLUMNS) <= set(row):
        raise errors.UserError(f"vqa_rad: row {number} needs {COLUMNS}, found {found}")
    question = re.sub(r"\s+\?", "?", str(row["question"]).lower())
    gold = str(row["answer"]).lower()
    is_yes_no = gold in ("yes", "no")
    asked = prompts.ask(question, prompts.YES_NO if is_yes_no else prompts.OPEN)
    content = [
        {"type": "image", "image": str(images / row["image_name"])},
        {"type": "text", "text": asked},
    ]
    return benchmark.Sample(
        id=str(row["qid"]),
        question=question,
        gold=gold,
        answer_type="yes_no" if is_yes_no else "open",
        rule="vqa",
        messages=({"role": "user", "content": content},),
        group=row["image_name"],
    )
