# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The format `vqa_rad`: the published files of VQA-RAD as they are."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lingshu_jax.common import prompts
from lingshu_jax.data import formats, formats_media, formats_messages

SPLITS = ("train", "test")


def read_vqa_rad(
    path: Path, options: formats.Options
) -> Iterator[formats.Record | formats.Refusal]:
    """VQA-RAD in its published layout: trainset.json, testset.json, images/.

    Args:
      path: The folder.
      options: `split` is "train" or "test"; without an image root, images lie in `images`.

    Source: Lau et al. 2018, https://osf.io/89kps. The prompts are MedEvalKit's, so that
    training and evaluation use the same words; ten golds are numbers and become strings.
    """
    files = formats_media.MediaFiles(
        options.image_root or path / "images", allow_outside=options.allow_outside
    )

    def parse(row: formats.Row) -> tuple[formats.Messages, dict[str, Any]]:
        return _parse(row, files)

    for file in row_files(path, options):
        for line, value in formats.read_values(file):
            yield formats.make_record(
                value, parse, line=line, row_id=f"vqa_rad/{options.split}/{line}"
            )


def row_files(path: Path, options: formats.Options) -> list[Path]:
    """The file of a split.

    Args:
      path: The folder.
      options: Names the split.
    """
    return [path / f"{options.split}set.json"]


def _parse(
    row: formats.Row, files: formats_media.MediaFiles
) -> tuple[formats.Messages, dict[str, Any]]:
    missing = {"question", "answer", "image_name"} - set(row)
    if missing:
        raise formats.RowError(f"missing keys: {', '.join(sorted(missing))}")
    # In the words of the copy that MedEvalKit asks: lower case, no blank before "?".
    answer = str(row["answer"]).strip().lower()
    closed = answer in ("yes", "no")
    asked = re.sub(r"\s+\?", "?", str(row["question"]).strip().lower())
    question = prompts.ask(asked, prompts.YES_NO if closed else prompts.OPEN)
    image = {"type": "image", "image": row["image_name"]}
    turns = [
        {"role": "user", "content": [image, {"type": "text", "text": question}]},
        {"role": "assistant", "content": answer},
    ]
    meta = {
        "answer": answer,
        "answer_type": "yes_no" if closed else "open",
        "kind": str(row.get("question_type", "")).strip(),
        "image_id": str(row["image_name"]),
        "qid": row.get("qid"),
    }
    return formats_messages.canonical(turns, files), meta
