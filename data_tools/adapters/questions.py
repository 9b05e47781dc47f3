# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Adapters of questions about pictures, asked in the words that the evaluation asks.

PathVQA, Kvasir-VQA, PMC-VQA, SLAKE, VQA-Med 2019, MIMIC-Ext-MIMIC-CXR-VQA; VQA-RAD is a format of
its own (`lingshu_jax/data/formats_vqa_rad.py`).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_tools.adapters import reading
from lingshu_jax.common import answers
from lingshu_jax.data import formats
from lingshu_jax.eval import question_formats

CHOICES = ("Choice A", "Choice B", "Choice C", "Choice D")
NONE = "none"  # MIMIC-Ext-MIMIC-CXR-VQA: the answer to "list all" where there is nothing
_Meaning = tuple[formats.Messages, dict[str, Any]]


def gold(answer: str) -> dict[str, str]:
    """What rewards read of an answer: it, and its type.

    Args:
      answer: As the publisher has it.
    """
    kind = answers.infer_type(answer)
    return {"answer": answer, "answer_type": kind if kind in ("yes_no", "number") else "open"}


def form_of(answer: str, other: question_formats.Form) -> question_formats.Form:
    """How a question is asked: for yes or no, or in another way.

    Args:
      answer: Its gold.
      other: If the gold is neither yes nor no.
    """
    return "judgement" if answer.lower() in ("yes", "no") else other


def _path_vqa(place: reading.Place) -> formats.Parse:
    def parse(row: formats.Row) -> _Meaning:
        question, answer = reading.text(row, "question"), reading.text(row, "answer")
        asked = question_formats.ask(question, form_of(answer, "open"))
        return reading.turns(place, asked, answer, [row.get("image")]), gold(answer)

    return parse


def _kvasir_vqa(place: reading.Place) -> formats.Parse:
    def parse(row: formats.Row) -> _Meaning:
        question, answer = reading.text(row, "question"), reading.text(row, "answer")
        asked = question_formats.ask(question, form_of(answer, "closed"))
        meta = {**gold(answer), "image_id": row.get("img_id"), "kind": row.get("source")}
        return reading.turns(place, asked, answer, [row.get("image")]), meta

    return parse


def _pmc_vqa(place: reading.Place) -> formats.Parse:
    """Version 2 has the letter in `Answer`, version 1 in `Answer_label`."""

    def parse(row: formats.Row) -> _Meaning:
        stripped = {name.strip(): cell for name, cell in row.items()}
        choices = [reading.text(stripped, name) for name in CHOICES]
        letter = reading.text(stripped, "Answer_label" if "Answer_label" in stripped else "Answer")
        if letter not in ("A", "B", "C", "D"):
            raise formats.RowError(f"the answer must be A, B, C or D, got {letter!r:.20}")
        name = reading.text(stripped, "Figure_path")
        asked = question_formats.ask_choice(reading.text(stripped, "Question"), choices)
        meta = {
            "answer": letter,
            "answer_type": "choice",
            "options": [choice.partition(":")[2].strip() or choice for choice in choices],
            "image_id": name,
        }
        return reading.turns(place, asked, letter, [name]), meta

    return parse


def _slake(place: reading.Place) -> formats.Parse:
    def parse(row: formats.Row) -> _Meaning:
        question, answer = reading.text(row, "question"), reading.text(row, "answer")
        name, language = reading.text(row, "img_name"), reading.text(row, "q_lang")
        if language not in ("en", "zh"):
            raise formats.RowError(f"q_lang must be en or zh, got {language!r:.20}")
        form = "open" if row.get("answer_type") == "OPEN" else "closed"
        asked = question_formats.ask(question, form, "zh" if language == "zh" else "en")
        meta = {
            **gold(answer),
            "image_id": name,
            "kind": row.get("content_type"),
            "modality": row.get("modality"),
            "location": row.get("location"),
        }
        return reading.turns(place, asked, answer, [name]), meta

    return parse


def _slake_rows(file: Path) -> Iterator[reading.Pair]:
    for place, value in reading.values(file):
        if isinstance(value, dict) and "qid" in value:
            value = {**value, "id": value["qid"]}
        yield place, value


def _vqa_med_rows(file: Path) -> Iterator[reading.Pair]:
    """`synpic41148|what kind of image is this?|cta - ct angiography`, a line each."""
    names = ("image", "question", "answer")
    yield from reading.table(file, delimiter="|", names=names, is_quoted=False)


def _vqa_med_2019(place: reading.Place) -> formats.Parse:
    def parse(row: formats.Row) -> _Meaning:
        name = reading.text(row, "image")
        question, answer = reading.text(row, "question"), reading.text(row, "answer")
        asked = question_formats.ask(question, form_of(answer, "closed"))
        shown = reading.picture(place, [f"{name}.jpg", f"{name}.png"], "its picture is not there")
        return reading.turns(place, asked, answer, [shown]), {**gold(answer), "image_id": name}

    return parse


_MIMIC = "mimic_cxr"  # patients of all sets made of MIMIC-CXR have the same hashes


def _mimic_vqa_rows(file: Path) -> Iterator[reading.Pair]:
    """Rows under hashes: numbers of patients and studies stay behind."""
    for place, value in reading.values(file):
        if isinstance(value, dict):
            value = {**value, "id": reading.hashed(_MIMIC, f"vqa {value.get('idx')}")}
        yield place, value


def _mimic_vqa(place: reading.Place) -> formats.Parse:
    def parse(row: formats.Row) -> _Meaning:
        question, answer = reading.text(row, "question"), _listed(row.get("answer"))
        path = reading.text(row, "image_path").removeprefix("files/")
        shown = reading.picture(place, [path, f"files/{path}"], "its picture is not there")
        asked = question_formats.ask(question, form_of(answer, "closed"))
        patient = str(row.get("subject_id", "")).removeprefix("p")
        meta = {
            **gold(answer),
            "kind": row.get("semantic_type"),
            "content": row.get("content_type"),
            **({"patient": reading.hashed(_MIMIC, patient)} if patient else {}),
        }
        return reading.turns(place, asked, answer, [shown]), meta

    return parse


def _listed(answer: Any) -> str:
    """An answer as one text: several in their order, none as `NONE`."""
    if isinstance(answer, list) and all(isinstance(one, str) for one in answer):
        return ", ".join(answer) or NONE
    if isinstance(answer, str) and answer.strip():
        return answer.strip()
    raise formats.RowError(f"answer must be a text or a list of texts, got {type(answer).__name__}")


_PARQUET = (("data/train-*.parquet",), ("train-*.parquet",))
ADAPTERS = {
    "path_vqa": reading.Adapter(files=_PARQUET, parse=_path_vqa, rows=reading.values),
    "kvasir_vqa": reading.Adapter(
        files=(("data/*.parquet",), ("*.parquet",)), parse=_kvasir_vqa, rows=reading.values
    ),
    "pmc_vqa": reading.Adapter(
        files=(("train_2.csv",), ("train.csv",)),
        parse=_pmc_vqa,
        rows=reading.values,
        pictures=("images_2/figures", "figures", "images_2", "images"),
    ),
    "slake": reading.Adapter(
        files=(("train.json",), ("Slake1.0/train.json",)),
        parse=_slake,
        rows=_slake_rows,
        pictures=("imgs/imgs", "imgs", "Slake1.0/imgs"),
    ),
    "vqa_med_2019": reading.Adapter(
        files=(
            ("ImageClef-2019-VQA-Med-Training/All_QA_Pairs_train.txt",),
            ("All_QA_Pairs_train.txt",),
        ),
        parse=_vqa_med_2019,
        rows=_vqa_med_rows,
        pictures=("ImageClef-2019-VQA-Med-Training/Train_images", "Train_images"),
    ),
    "mimic_ext_mimic_cxr_vqa": reading.Adapter(
        files=(
            ("MIMIC-Ext-MIMIC-CXR-VQA/dataset/train.json",),
            ("dataset/train.json",),
            ("train.json",),
        ),
        parse=_mimic_vqa,
        rows=_mimic_vqa_rows,
    ),
}
