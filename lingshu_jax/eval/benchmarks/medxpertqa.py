# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""MedXpertQA: hard questions of medical board examinations, about images or in text alone.

Paper: Zuo et al., "MedXpertQA: Benchmarking Expert-Level Medical Reasoning and Understanding",
ICML 2025. Licence MIT. Test splits. MM has five options and one to six images (2,852 in all), Text
has ten options. The text of a question holds its
options already ("Answer Choices: (A) ..."), and MedEvalKit lists them once more below; so do we.

Two layouts: the hub's (`MM/test.jsonl`, `Text/test.jsonl`, images.zip), and the files that the
publisher's repository evaluates, whose options, labels and images are lists; the images are on the
hub only, and their archive or its content lies beside.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lingshu_jax.common import errors
from lingshu_jax.eval import benchmark, files
from lingshu_jax.eval import card as card_lib
from lingshu_jax.eval import question_formats as formats
from lingshu_jax.eval.benchmarks import letters

STRATA = ("question_type", "medical_task", "body_system")
COLUMNS = ("id", "question", "options", "label", *STRATA)
IMAGES, ARCHIVE = "images", "images.zip"
FOLDERS = ("MedXpertQA", "eval/data/medxpertqa/input", "MedXpertQA/eval/data/medxpertqa/input")
SCHEMA = (
    "MedEvalKit@9b12e3b utils/MedXpertQA/MedXpertQA.py; the hub's data card;"
    " TsinghuaC3I/MedXpertQA@f21247d eval/data/prepare_medxpertqa.ipynb; golds:"
    " javiers2004/MedXpertQA@d2b02e1 outputs/tables/c2_label_distribution.csv; revision:"
    " eka-care/KARMA-OpenMedEvalKit@fe15101 karma/eval_datasets/medxpertqa_text_dataset.py"
)
REPOSITORY = "TsinghuaC3I/MedXpertQA"
REVISION = "7e7c465a68eb2b866926bfa59c8c9d17a8daba65"
ORIGIN = "the publisher's repository is github.com/TsinghuaC3I/MedXpertQA"
MM = card_lib.Card(
    name="medxpertqa_mm",
    title="MedXpertQA-MM",
    upstream="MedXpertQA-MM",
    family="multimodal",
    in_paper=True,
    repository=REPOSITORY,
    revision=REVISION,
    files=("MM/test.jsonl", "medxpertqa_mm_input.jsonl", ARCHIVE),
    archives=(ARCHIVE,),
    folders=FOLDERS,
    origin=ORIGIN,
    schema=SCHEMA,
    num_rows=2000,
    golds={"A": 399, "B": 408, "C": 383, "D": 386, "E": 424},
    published={
        "Lingshu-7B": 26.7,
        "Lingshu-32B": 30.9,
        "Qwen2.5-VL-7B": 22.3,
        "Qwen2.5-VL-32B": 25.2,
        "GPT-5": 71.0,
    },
)
TEXT = card_lib.Card(
    name="medxpertqa_text",
    title="MedXpertQA-Text",
    upstream="MedXpertQA-Text",
    family="text",
    in_paper=True,
    repository=REPOSITORY,
    revision=REVISION,
    files=("Text/test.jsonl", "medxpertqa_text_input.jsonl"),
    folders=FOLDERS,
    origin=ORIGIN,
    schema=SCHEMA,
    num_rows=2450,
    golds=dict(zip("ABCDEFGHIJ", (241, 246, 239, 244, 263, 243, 263, 222, 232, 257), strict=True)),
    published={"Lingshu-7B": 16.5, "Lingshu-32B": 22.7, "Qwen2.5-VL-7B": 12.8},
)


@dataclasses.dataclass(frozen=True)
class MedXpertQa:
    """One of the two test splits, in the hub's layout or the publisher's.

    Attributes:
      card: `MM` or `TEXT`.
      rule: Of MedEvalKit.
    """

    card: card_lib.Card
    rule: str = "choice"

    def load(self, data_dir: Path | None) -> list[benchmark.Sample]:
        """Reads every row, and unpacks the images where that has not been done.

        Raises:
          UserError: If a file, a column, the options, a gold or an image is not as expected.
        """
        folder = files.find(self.card, data_dir)
        hub, own = self.card.files[:2]
        is_hub = files.matches(folder, hub) or not files.matches(folder, own)
        path = files.only(self.card, folder, hub if is_hub else own)
        if self.card.archives and files.matches(folder, ARCHIVE):
            files.unpack(self.card, files.only(self.card, folder, ARCHIVE))
        # the archive has a folder of the same name
        places = (folder / IMAGES / IMAGES, folder / IMAGES)
        pictures = files.Pictures(self.card, *places) if self.card.archives else None
        columns = (*COLUMNS, IMAGES) if pictures else COLUMNS
        rows = files.read_rows(self.card, path, columns)
        return [self._sample(path, row, pictures) for row in rows]

    def _sample(
        self, path: Path, row: Mapping[str, Any], pictures: files.Pictures | None
    ) -> benchmark.Sample:
        where = f"{path} id {row['id']}"
        options = letters.texts(self.card, where, _by_letter(row["options"]))
        gold = letters.gold(self.card, where, row["label"], options)
        images = []
        if pictures:
            if not isinstance(row[IMAGES], list) or not row[IMAGES]:
                raise errors.UserError(
                    f"{self.card.name}: {where} needs a list of images, found {row[IMAGES]!r}"
                )
            images = [pictures.get(_name(image)) for image in row[IMAGES]]
        choices = formats.lettered(options, blank=True)
        return benchmark.Sample(
            id=str(row["id"]),
            question=row["question"],
            gold=gold,
            answer_type="choice",
            rule=self.rule,
            messages=formats.turn(
                formats.ask_choice(row["question"], choices), images, numbered=True
            ),
            options=options,
            choices=choices,
            strata={name: str(row[name]) for name in STRATA},
            fields={
                **files.kept(row, IMAGES, "label", "options"),
                "choices": list(choices),
                "answer": gold,
            },
        )


def _by_letter(options: Any) -> Any:
    """Options by letter; the publisher's repository has a list of letters and contents."""
    if isinstance(options, list):
        return {o.get("letter"): o.get("content") for o in options if isinstance(o, dict)}
    return options


def _name(image: Any) -> Any:
    """The name of an image file; the publisher's repository has it under `image_path`."""
    return image.get("image_path") if isinstance(image, dict) else image
