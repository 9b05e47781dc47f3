# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""VQA-RAD as it is published."""

import json

import pytest
from PIL import Image

from lingshu_jax.common import errors
from lingshu_jax.data import formats, formats_vqa_rad


def read(folder, split):
    return list(formats_vqa_rad.read_vqa_rad(folder, formats.Options(split=split)))


def test_the_official_layout(tmp_path):
    (tmp_path / "images").mkdir()
    Image.new("RGB", (40, 30)).save(tmp_path / "images" / "a.png")
    row = {"qid": 1, "image_name": "a.png", "question": "Is it ?", "answer": "Yes"}
    rows = [
        {**row, "question_type": "P "},
        {**row, "question": "How many?", "answer": 3},
        {**row, "image_name": "b.png"},
        {"qid": 4, "image_name": "a.png", "question": "What?"},
        {**row, "image_name": "../testset.json"},
    ]
    (tmp_path / "testset.json").write_text(json.dumps(rows))
    yes, number, missing, incomplete, outside = read(tmp_path, "test")
    assert yes.messages[0]["content"][1]["text"].startswith("is it?\nPlease output 'yes' or 'no'")
    assert (yes.meta["answer_type"], yes.meta["kind"], yes.meta["image_id"]) == (
        "yes_no",
        "P",
        "a.png",
    )
    assert number.messages[1]["content"] == [{"type": "text", "text": "3"}]
    assert "no such file" in missing.reason and "missing keys: answer" in incomplete.reason
    assert "outside the image root" in outside.reason and outside.row_id == "vqa_rad/test/5"
    with pytest.raises(errors.UserError, match="trainset.json"):
        read(tmp_path, "train")


@pytest.mark.parametrize(("split", "count"), [("train", 3064), ("test", 451)])
def test_it_reads_whole(shared_dir, split, count):
    rows = read(shared_dir / "data" / "vqa_rad", split)
    assert len(rows) == count
    assert all(isinstance(row, formats.Record) for row in rows)
