# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""SLAKE: questions in English and Chinese about 180 radiology images, asked by physicians.

Paper: Liu et al., "SLAKE: A Semantically-Labeled Knowledge-Enhanced Dataset for Medical Visual
Question Answering", ISBI 2021. Licence CC BY 4.0. Test split: 1,061 English questions (416 closed,
645 open) and 1,033 Chinese ones (420, 613).

Closed golds are yes and no in many words ("Yes", 是的, 包含, 没有) or one of the things that the
question names ("Lung", T2). MedEvalKit compares them letter by letter; strictly, words of polarity
are yes or no, numbers are numbers, and everything else is open text, lists in any order.
"""

import dataclasses
from pathlib import Path
from typing import Any

from lingshu_jax.common import answers, answers_polarity, answers_text, errors
from lingshu_jax.eval import benchmark, files, layouts
from lingshu_jax.eval import card as card_lib
from lingshu_jax.eval import question_formats as formats

FILE, ARCHIVE = "test.json", "imgs.zip"
COLUMNS = ("qid", "img_name", "question", "answer", "q_lang", "answer_type")
STRATA = ("answer_type", "modality", "location", "content_type", "base_type")
CARD = card_lib.Card(
    name="slake",
    title="SLAKE",
    upstream="SLAKE",
    family="multimodal",
    in_paper=True,
    repository="BoKelvin/SLAKE",
    revision="a9083ce6c34ac3ffb17671a605962924d8a8f9e9",
    files=(FILE, ARCHIVE),
    archives=(ARCHIVE,),
    folders=("Slake1.0",),
    schema=(
        "test.json, the same file in xiaoman-zhang/PMC-VQA@1678ec2 Slake1.0/; the hub's file list"
        " at BoKelvin/SLAKE@a9083ce; MedEvalKit utils/SLAKE/SLAKE.py@9b12e3b"
    ),
    num_rows=2094,
    golds={"No": 180, "Yes": 175, "不是": 86, "是的": 73, "包含": 65, "不包含": 61},
    published={
        "Lingshu-7B": 83.1,
        "Lingshu-32B": 89.2,
        "Qwen2.5-VL-7B": 67.2,
        "Qwen2.5-VL-32B": 71.2,
        "GPT-5": 78.1,
    },
)


@dataclasses.dataclass(frozen=True)
class Slake:
    """The test split in both languages: test.json beside imgs.zip or the folder imgs."""

    card: card_lib.Card = CARD
    rule: str = "slake"

    def load(self, data_dir: Path | None) -> list[benchmark.Sample]:
        """Reads every row.

        Raises:
          UserError: If a file, a column, a language or an image is not as expected.
        """
        folder = files.find(CARD, data_dir)
        path = files.only(CARD, folder, FILE)
        images = (folder / "imgs" / "imgs", folder / "imgs")
        pictures = layouts.PictureFiles(CARD, layouts.unpacked(CARD, images, folder / ARCHIVE))
        samples = []
        for row in files.read_rows(CARD, path, COLUMNS):
            if row["q_lang"] not in ("en", "zh"):
                raise errors.UserError(
                    f"slake: {path} qid {row['qid']}: q_lang must be en or zh,"
                    f" got {row['q_lang']!r}"
                )
            samples.append(_sample(row, pictures.get(str(row["img_name"]))))
        return samples


def _sample(row: dict[str, Any], image: str) -> benchmark.Sample:
    question, gold = str(row["question"]), str(row["answer"])
    language: formats.Language = "zh" if row["q_lang"] == "zh" else "en"
    is_open = row["answer_type"] == "OPEN"
    asked = formats.ask(question, "open" if is_open else "closed", language)
    kinds = {name: str(row[name]) for name in STRATA if row.get(name)}
    return benchmark.Sample(
        id=str(row["qid"]),
        question=question,
        gold=gold,
        answer_type=_answer_type(gold, is_open),
        rule="slake",
        messages=formats.turn(asked, [image]),
        is_open=is_open,
        group=str(row["img_name"]),
        strata={"language": language, **kinds},
        fields={
            "lang": row["q_lang"],
            "answer_type": row["answer_type"],
            "answer": gold,
            "question": question,
            "prompt": asked,
        },
    )


def _answer_type(gold: str, is_open: bool) -> answers.AnswerType:
    """Yes and no only where the publisher says closed: 无 is a finding as well."""
    text = answers_text.normalise(gold)
    if not is_open and answers_polarity.extract(text).status == "ok":
        return "yes_no"
    return "number" if answers.infer_type(gold) == "number" else "open"
