# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Real questions with and without images, written in every format that people bring."""

import base64
import gzip
import importlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.data import test_formats

SHAREGPT = {
    "file_name": "rows.json",
    "formatting": "sharegpt",
    "columns": {"messages": "messages", "images": "images"},
    "tags": {
        "role_tag": "role",
        "content_tag": "content",
        "user_tag": "user",
        "assistant_tag": "assistant",
    },
}
ALPACA = {
    "file_name": "plain.json",
    "columns": {"prompt": "instruction", "response": "output", "images": "images"},
}


class Question(NamedTuple):
    """A question, its answer, and the images that it is about."""

    id: str
    text: str
    answer: str
    images: tuple[Path, ...]

    @property
    def tagged(self) -> str:
        """The question as a user types it, a tag and a newline for each image."""
        return "<image>\n" * len(self.images) + self.text


def load(data: Path, count: int) -> list[Question]:
    """As many rows of VQA-RAD as of MedQuAD, in turn; every fourth of VQA-RAD has two images.

    Args:
      data: The folder with both.
      count: Of each.
    """
    rows = json.loads((data / "vqa_rad" / "trainset.json").read_text())
    pictures = [data / "vqa_rad" / "images" / row["image_name"] for row in rows]
    with gzip.open(data / "medquad" / "medquad_sample.jsonl.gz", "rt") as file:
        texts = [json.loads(line) for line, _ in zip(file, range(count), strict=False)]
    found = []
    for i, (row, text) in enumerate(zip(rows[:count], texts, strict=True)):
        images = (pictures[i],) if i % 4 else (pictures[i], pictures[i + 1])
        found.append(Question(f"rad{i}", row["question"], str(row["answer"]), images))
        found.append(Question(f"quad{i}", text["question"], text["answer"], ()))
    return found


def turns(question: Question, role: str, content: str, speakers: Sequence[str]) -> list[dict]:
    """Two turns under any names."""
    pairs = zip(speakers, (question.tagged, question.answer), strict=True)
    return [{role: speaker, content: text} for speaker, text in pairs]


def messages(question: Question) -> list[dict[str, Any]]:
    return turns(question, "role", "content", ("user", "assistant"))


def names(question: Question) -> list[str]:
    return [str(image) for image in question.images]


def parts(question: Question, kind: str) -> list[dict[str, Any]]:
    """Messages of parts; the picture is a path, an address or base64."""
    content: list[dict[str, Any]] = []
    for image in question.images:
        data = base64.b64encode(image.read_bytes()).decode()
        content.append(
            {
                "path": {"type": "image", "image": str(image)},
                "address": {
                    "type": "image_url",
                    "image_url": {"url": f"data:image/jpeg;base64,{data}"},
                },
                "base64": {"type": "image", "image": {"bytes": data}},
            }[kind]
        )
        content.append({"type": "text", "text": "\n"})
    content.append({"type": "text", "text": question.text})
    return [
        {"role": "user", "content": content},
        {"role": "assistant", "content": question.answer},
    ]


def write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def write_llava(folder: Path, questions: Sequence[Question]) -> Path:
    speakers = ("human", "gpt")
    rows = [
        {"id": q.id, "conversations": turns(q, "from", "value", speakers)}
        | ({"image": names(q)} if q.images else {})
        for q in questions
    ]
    path = folder / "rows.json"
    path.write_text(json.dumps(rows))
    return path


def write_messages(folder: Path, questions: Sequence[Question]) -> Path:
    kinds = ("path", "address")
    rows = [{"id": q.id, "messages": parts(q, kinds[i // 2 % 2])} for i, q in enumerate(questions)]
    return write_lines(folder / "rows.jsonl", rows)


def write_swift(folder: Path, questions: Sequence[Question]) -> Path:
    rows: list[dict[str, Any]] = []
    for i, q in enumerate(questions):
        row: dict[str, Any] = {"id": q.id, "images": names(q)}
        if i % 3:
            rows.append(row | {"messages": messages(q)})
        else:
            rows.append(row | {"query": q.tagged, "response": q.answer})
    return write_lines(folder / "rows.jsonl", rows)


def write_llamafactory(folder: Path, questions: Sequence[Question]) -> Path:
    half = len(questions) // 2
    chat = [{"id": q.id, "messages": messages(q), "images": names(q)} for q in questions[:half]]
    plain = [
        {"id": q.id, "instruction": q.tagged, "output": q.answer, "images": names(q)}
        for q in questions[half:]
    ]
    (folder / "rows.json").write_text(json.dumps(chat))
    (folder / "plain.json").write_text(json.dumps(plain))
    (folder / "dataset_info.json").write_text(json.dumps({"rows": SHAREGPT, "plain": ALPACA}))
    return folder


def write_verl(folder: Path, questions: Sequence[Question]) -> Path:
    rows = [
        {
            "id": q.id,
            "data_source": "real",
            "prompt": messages(q)[:1],
            "images": [{"bytes": image.read_bytes(), "path": None} for image in q.images],
            "reward_model": {"style": "rule", "ground_truth": q.answer},
            "extra_info": {"index": i},
        }
        for i, q in enumerate(questions)
    ]
    test_formats.write_parquet(folder / "train.parquet", rows, row_group_size=10)
    return folder


def write_easyr1(folder: Path, questions: Sequence[Question]) -> Path:
    rows = [
        {"id": q.id, "problem": q.tagged, "answer": q.answer, "images": names(q)} for q in questions
    ]
    return write_lines(folder / "rows.jsonl", rows)


def write_array_record(folder: Path, questions: Sequence[Question]) -> Path:
    kinds = ("path", "base64")
    rows = [{"id": q.id, "messages": parts(q, kinds[i // 2 % 2])} for i, q in enumerate(questions)]
    path = folder / "rows.array_record"
    test_formats.write_array_record(path, [json.dumps(row).encode() for row in rows])
    return path


def write_tfds(folder: Path, questions: Sequence[Question]) -> Path:
    rows = [
        {"id": q.id, "question": q.tagged, "answer": q.answer, "images": names(q)}
        for q in questions
    ]
    tfds = importlib.import_module("tests.data.test_formats_tfds")  # not in every environment
    features = tfds.features("id", "question", "answer", images=True)
    return tfds.prepare(folder, "real", features, {"train": rows})


WRITERS: dict[str, Callable[[Path, Sequence[Question]], Path]] = {
    "array_record": write_array_record,
    "easyr1": write_easyr1,
    "llamafactory": write_llamafactory,
    "llava": write_llava,
    "messages": write_messages,
    "swift": write_swift,
    "tfds": write_tfds,
    "verl": write_verl,
}
