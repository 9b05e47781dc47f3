# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""MMMU-Medical: five subjects of MMMU, questions of college examinations with pictures.

Paper: Yue et al., "MMMU: A Massive Multi-discipline Multimodal Understanding and Reasoning
Benchmark for Expert AGI", CVPR 2024. Licence Apache-2.0. 150 questions for validation, 30 a subject
(5 of them open), and 1,752 for testing: 326, 325, 162, 430 and 509 (40 open).

Golds of the test split were released on 2026-02-12 (MMMU-Benchmark/MMMU issue 79). They come from
`answer.json` (MedEvalKit utils/MMMU) or `answer_dict_test.json` (MMMU-Benchmark/MMMU mmmu/) beside
the subjects' folders, or from the column `answer`, which newer revisions of the hub fill.

As in MedEvalKit a question shows `image_1` alone, even where its text or its options name others
(`<image 2>`). It shows none where options hold several pictures by file (`<img='...'>`), a form
that the published options do not have.
"""

import ast
import dataclasses
import hashlib
import re
from pathlib import Path
from typing import Any

from lingshu_jax.common import answers, errors
from lingshu_jax.eval import benchmark, files, layouts
from lingshu_jax.eval import card as card_lib
from lingshu_jax.eval import question_formats as formats

SUBJECTS = (
    "Basic_Medical_Science",
    "Clinical_Medicine",
    "Diagnostics_and_Laboratory_Medicine",
    "Pharmacy",
    "Public_Health",
)
COLUMNS = ("id", "question", "options", "answer", "image_1", "question_type")
GOLD_FILES = ("answer.json", "answer_dict_test.json")
HIDDEN = ("", "?", None)  # what the column `answer` says where golds are kept back
MULTIPLE_CHOICE, OPEN = "multiple-choice", "open"
_REPOSITORY, _REVISION = "MMMU/MMMU", "98e6ac0cb9b7b2cd2c991b85a50762edc4aedc68"
_SCHEMA = (
    "MedEvalKit utils/MMMU/data_utils.py, eval_val.py, eval_test.py, answer.json@9b12e3b;"
    " MMMU-Benchmark/MMMU@bb0b95a mmmu/answer_dict_val.json (golds); the hub's file list and data"
    " card; its revision in rugkqjem/MMDL@5197d47"
)
VALIDATION = card_lib.Card(
    name="mmmu_medical_val",
    title="MMMU-Medical (val)",
    upstream="MMMU-Medical-val",
    family="multimodal",
    in_paper=True,
    repository=_REPOSITORY,
    revision=_REVISION,
    files=tuple(f"{subject}/validation-*.parquet" for subject in SUBJECTS),
    folders=("MMMU", "mmmu_medical"),
    schema=_SCHEMA,
    num_rows=150,
    golds={"A": 46, "B": 37, "C": 34, "D": 25, "E": 6},
)
TEST = card_lib.Card(
    name="mmmu_medical_test",
    title="MMMU-Medical (test)",
    upstream="MMMU-Medical-test",
    family="multimodal",
    in_paper=True,
    repository=_REPOSITORY,
    revision=_REVISION,
    files=(*(f"{subject}/test-*.parquet" for subject in SUBJECTS), *GOLD_FILES),
    folders=("MMMU", "mmmu_medical"),
    schema=_SCHEMA,
    num_rows=1752,
    golds={"A": 431, "B": 431, "C": 413, "D": 380, "E": 64, "F": 8},
    # The paper's figures are of this split: none of them is a multiple of 1/150.
    published={
        "Lingshu-7B": 54.0,
        "Lingshu-32B": 62.3,
        "Qwen2.5-VL-7B": 50.6,
        "Qwen2.5-VL-32B": 59.6,
        "GPT-5": 83.6,
    },
)
_PICTURE_FILE = re.compile(r"<img='(.*?)'>")

_Golds = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class MmmuMedical:
    """One split in the hub's layout, a folder a subject.

    Attributes:
      card: `VALIDATION` or `TEST`.
      split: As the files are named.
    """

    card: card_lib.Card
    split: str
    rule: str = "mmmu"

    def load(self, data_dir: Path | None) -> list[benchmark.Sample]:
        """Reads the subjects one after the other.

        Raises:
          UserError: If a file, a column, a gold or an image is not as expected.
        """
        folder = files.find(self.card, data_dir)
        golds = _released_golds(self.card, folder) if self.split == "test" else None
        pictures = files.Pictures(self.card)
        samples = []
        for subject in SUBJECTS:
            for path in layouts.parts(self.card, folder, f"{subject}/{self.split}-*.parquet"):
                for row in files.read_rows(self.card, path, COLUMNS):
                    where = f"{self.card.name}: {path.parent.name}/{path.name} id {row['id']}"
                    gold = _gold(where, row, golds)
                    image = layouts.encoded(pictures, row["image_1"], f"{where} image_1")
                    samples.append(
                        _sample(where, row | {"answer": gold, "image_1": image}, subject)
                    )
        return samples


def _released_golds(card: card_lib.Card, folder: Path) -> _Golds | None:
    """What stands in a file of golds; None if there is no such file."""
    found = [path for name in GOLD_FILES for path in files.matches(folder, name)]
    if not found:
        return None
    golds = files.read_json(card, found[0])
    if not isinstance(golds, dict):
        raise errors.UserError(
            f"{card.name}: {found[0]} must map ids to golds, found a {type(golds).__name__}"
        )
    return golds


def _gold(where: str, row: dict[str, Any], golds: _Golds | None) -> str:
    """The gold of a row, from the file of golds or else from the row."""
    if golds is None:
        if row["answer"] in HIDDEN:
            raise errors.UserError(
                f"{where} has no gold, {row['answer']!r}; put {' or '.join(GOLD_FILES)} beside the"
                " subjects' folders: github.com/MMMU-Benchmark/MMMU has it in mmmu"
            )
        return str(row["answer"])
    found = golds.get(row["id"])
    if not isinstance(found, dict) or not {"question_type", "ground_truth"} <= set(found):
        raise errors.UserError(
            f"{where} needs question_type and ground_truth in the file of golds,"
            f" found {found!r:.80}"
        )
    if found["question_type"] != row["question_type"] or isinstance(found["ground_truth"], list):
        raise errors.UserError(
            f"{where} is {row['question_type']!r} and needs one gold, found {found!r:.80}"
        )
    return str(found["ground_truth"])


def _sample(where: str, row: dict[str, Any], subject: str) -> benchmark.Sample:
    if row["question_type"] not in (MULTIPLE_CHOICE, OPEN):
        raise errors.UserError(
            f"{where}: question_type must be {MULTIPLE_CHOICE} or {OPEN},"
            f" got {row['question_type']!r}"
        )
    question, gold = str(row["question"]), row["answer"]
    options = _options(where, row["options"])
    is_choice = row["question_type"] == MULTIPLE_CHOICE
    kept = {"id": row["id"], "question_type": row["question_type"], "answer": gold}
    if is_choice:
        letters = [chr(ord("A") + i) for i in range(len(options))]
        kept |= {"all_choices": letters, "index2ans": dict(zip(letters, options, strict=True))}
    kind = answers.infer_type(gold)
    images = [row["image_1"]] * (sum(len(_PICTURE_FILE.findall(o)) for o in options) <= 1)
    choices = tuple(f"({chr(ord('A') + i)}) {text}" for i, text in enumerate(options))
    return benchmark.Sample(
        id=str(row["id"]),
        question=question,
        gold=gold,
        answer_type="choice" if is_choice else kind if kind in ("yes_no", "number") else "open",
        rule="mmmu",
        messages=formats.turn(_prompt(question, choices if is_choice else ()), images),
        options=options if is_choice else (),
        choices=choices if is_choice else (),
        group=hashlib.sha256(row["image_1"]).hexdigest()[:16],
        strata={
            "subject": subject,
            "question_type": row["question_type"],
            "difficulty": str(row.get("topic_difficulty") or ""),
        },
        fields=kept,
    )


def _prompt(question: str, choices: tuple[str, ...]) -> str:
    """MedEvalKit's own form for MMMU, blanks and empty lines and all."""
    if not choices:
        return f"\n{question}\n\n        {formats.TAILS['closed', 'en']}"
    listed = "".join(f"{choice}\n" for choice in choices)
    return f"\n{question}\n\n{listed}\n\n        {formats.TAILS['choice', 'en']}"


def _options(where: str, cell: Any) -> tuple[str, ...]:
    """The options, which the hub keeps as the text of a Python list."""
    try:
        options = ast.literal_eval(cell) if isinstance(cell, str) else cell
    except (ValueError, SyntaxError) as error:
        raise errors.UserError(f"{where}: options are no list: {cell!r:.80}") from error
    if not isinstance(options, list):
        raise errors.UserError(f"{where}: options are no list: {cell!r:.80}")
    return tuple(map(str, options))
