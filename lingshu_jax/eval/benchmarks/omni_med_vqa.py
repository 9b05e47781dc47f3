# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""OmniMedVQA: questions with two to four options, made from the labels of medical image sets.

Paper: Hu et al., "OmniMedVQA: A New Large-Scale Comprehensive Evaluation Benchmark for Medical
LVLM", CVPR 2024. Each picture has the licence of the set it comes from. The part with open access:
88,996 questions about 82,059 pictures of 42 sets, a file of questions each: 55,387 of disease
diagnosis, 16,448 of anatomy, 11,565 of modality, 3,498 of other attributes, 2,098 of grading.

The gold is an option's text. Where several options have that text, it is the last one's letter, as
in MedEvalKit. The files are read in order of their names; MedEvalKit takes them as the disk lists
them.
"""

import collections
import dataclasses
from pathlib import Path
from typing import Any

from lingshu_jax.common import answers_choice, errors
from lingshu_jax.eval import benchmark, files, layouts
from lingshu_jax.eval import card as card_lib
from lingshu_jax.eval import question_formats as formats

ARCHIVE, TOP = "OmniMedVQA.zip", "OmniMedVQA"
QUESTIONS = "QA_information/Open-access"
COLUMNS = ("question_id", "question", "gt_answer", "image_path", "question_type")
LETTERS = "ABCD"
CARD = card_lib.Card(
    name="omni_med_vqa",
    title="OmniMedVQA",
    upstream="OmniMedVQA",
    family="multimodal",
    in_paper=True,
    repository="foreverbeliever/OmniMedVQA",
    revision="1ba51c28fc0773bdf7efb8396e5bcfd4227e22da",
    files=(ARCHIVE, f"{QUESTIONS}/*.json", f"{TOP}/{QUESTIONS}/*.json"),
    archives=(ARCHIVE,),
    schema=(
        "the hub's data card foreverbeliever/OmniMedVQA@1ba51c2 (folders, fields); MedEvalKit"
        " utils/OmniMedVQA/OmniMedVQA.py@9b12e3b; modality for modality_type in Chest CT Scan.json:"
        " GiovanniCornejo/MediVision-OmniMedVQA@a98e9f9; no option_C where there are two options:"
        " Freddie1946/myr1@6dcedce"
    ),
    num_rows=88996,
    published={
        "Lingshu-7B": 82.9,
        "Lingshu-32B": 83.4,
        "Qwen2.5-VL-7B": 63.6,
        "Qwen2.5-VL-32B": 68.2,
        "GPT-5": 76.4,
    },
)


@dataclasses.dataclass(frozen=True)
class OmniMedVqa:
    """The part with open access: the archive of the hub, or what it holds."""

    card: card_lib.Card = CARD
    rule: str = "choice"

    def load(self, data_dir: Path | None) -> list[benchmark.Sample]:
        """Reads every row.

        Raises:
          UserError: If a file, a column, a row or an image is not as expected.
        """
        folder = files.find(CARD, data_dir)
        roots = (folder, folder / TOP, folder / TOP / TOP)
        wanted = [root / QUESTIONS for root in roots]
        questions = layouts.unpacked(CARD, wanted, folder / ARCHIVE)
        pictures = layouts.PictureFiles(CARD, questions.parents[1])
        found = files.matches(questions, "*.json") or [files.only(CARD, questions, "*.json")]
        repeats: collections.Counter[str] = collections.Counter()
        samples = []
        for path in found:
            for row in files.read_rows(CARD, path, COLUMNS):
                _check(path, row)
                name = str(row["question_id"])
                repeats[name] += 1
                row_id = name if repeats[name] == 1 else f"{name}#{repeats[name]}"
                samples.append(_sample(row_id, row, pictures.get(str(row["image_path"]))))
        return samples


def _check(path: Path, row: dict[str, Any]) -> None:
    """Refuses a row without at least two options in a row, or without a modality."""
    letters = "".join(letter for letter in LETTERS if f"option_{letter}" in row)
    where = f"omni_med_vqa: {path.name} {row['question_id']}"
    if len(letters) < 2 or not LETTERS.startswith(letters):
        raise errors.UserError(
            f"{where} needs option_A, option_B and so on, found {', '.join(letters) or 'none'}"
        )
    if "modality_type" not in row and "modality" not in row:
        raise errors.UserError(f"{where} needs modality_type, found {sorted(row)}")


def _sample(row_id: str, row: dict[str, Any], image: str) -> benchmark.Sample:
    texts = [row[f"option_{letter}"] for letter in LETTERS if f"option_{letter}" in row]
    options = tuple(map(str, texts))
    choices = formats.lettered(options, blank=True)
    equal = [
        letter for letter, text in zip(LETTERS, texts, strict=False) if text == row["gt_answer"]
    ]
    gold = equal[-1] if equal else str(row["gt_answer"])
    modality = str(row.get("modality_type", row.get("modality")))
    is_choice = answers_choice.gold_letter(gold, options) is not None
    return benchmark.Sample(
        id=row_id,
        question=str(row["question"]),
        gold=gold,
        answer_type="choice" if is_choice else "open",
        rule="choice",
        messages=formats.turn(formats.ask_choice(row["question"], choices), [image]),
        options=options,
        choices=choices,
        group=str(row["image_path"]),
        strata={
            "question_type": str(row["question_type"]),
            "modality": modality,
            "dataset": str(row.get("dataset", "")),
        },
        fields={
            **files.kept(row, "gt_answer", "modality"),
            "modality_type": modality,
            "choices": list(choices),
            "answer": gold,
        },
    )
