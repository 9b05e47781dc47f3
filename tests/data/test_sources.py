# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A source gives examples and counts what it refuses."""

import dataclasses
import json

import pytest
from PIL import Image

from lingshu_jax.common import errors
from lingshu_jax.data import formats, sources

ROW = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]}
LLAVA = {
    "image": "images/a.png",
    "conversations": [
        {"from": "human", "value": "<image>\nWhat?"},
        {"from": "gpt", "value": "A lung."},
    ],
}


def test_examples_keep_order_and_refused_rows_are_counted(tmp_path):
    rows = [{"id": "a", **ROW, "kind": "k"}, {"id": "b"}, {"id": "c", **ROW}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    reading = sources.read(sources.Source(name="s", path="rows.jsonl"), tmp_path)
    assert [(e.id, e.source, e.line) for e in reading.examples] == [("a", "s", 1), ("c", "s", 3)]
    assert reading.examples[0].meta == {"kind": "k"}
    [dropped] = reading.dropped
    assert (dropped.id, dropped.source, dropped.line) == ("b", "s", 2)
    assert "messages" in dropped.reason


def test_image_root_is_relative_to_the_root(tmp_path):
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROW))
    source = sources.Source(name="s", path="rows.jsonl", image_root="images")
    with pytest.raises(errors.UserError, match="no such image root"):
        sources.read(source, tmp_path)
    (tmp_path / "images").mkdir()
    assert len(sources.read(source, tmp_path).examples) == 1


def test_every_option_reaches_the_reader(tmp_path):
    (tmp_path / "rows" / "images").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    Image.new("RGB", (40, 30)).save(tmp_path / "rows" / "images" / "a.png")
    (tmp_path / "rows" / "test.jsonl").write_text(
        json.dumps({**LLAVA, "picture": "../rows/images/a.png"})
    )
    (tmp_path / "rows" / "train.jsonl").write_text("")
    source = sources.Source(
        name="s",
        path="rows",
        format="llava",
        image_root="empty",
        allow_outside=True,
        media_newline="strip",
        split="test",
        columns={"image": "picture"},
    )
    [example] = sources.read(source, tmp_path).examples
    image, text = example.messages[0]["content"]
    assert image["image"] == str(tmp_path / "rows" / "images" / "a.png")
    assert text["text"] == "What?"
    again = sources.Source(**json.loads(json.dumps(dataclasses.asdict(source))))
    assert again == source, "a run's config.json gives the same source"
    refused = dataclasses.replace(source, allow_outside=False)
    assert "outside the image root" in sources.read(refused, tmp_path).dropped[0].reason


def test_records_come_one_after_the_other(tmp_path):
    (tmp_path / "rows.jsonl").write_text(f"{json.dumps(ROW)}\n{{\n")
    records = sources.records(sources.Source(name="s", path="rows.jsonl"), tmp_path)
    assert isinstance(next(records), formats.Record)
    assert isinstance(next(records), formats.Refusal)


def test_the_files_of_a_source(tmp_path):
    for name in ("train.jsonl", "test.jsonl"):
        (tmp_path / name).touch()
    source = sources.Source(name="s", path=tmp_path.name, split="test")
    assert sources.row_files(source, tmp_path.parent) == [tmp_path / "test.jsonl"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("name", "", "needs a name"),
        ("path", "", "path is empty"),
        ("format", "csv", "unknown format 'csv'; known: array_record, easyr1"),
        ("weight", 0.0, "weight must be > 0, got 0.0"),
        ("weight", float("nan"), "weight must be > 0, got nan"),
        ("epochs", -1.0, "epochs must be >= 0, got -1.0"),
        ("epochs", float("inf"), "epochs must be >= 0, got inf"),
        ("limit", -1, "limit must be >= 0, got -1"),
        ("group", "medical", "group must be one of medical_multimodal, .*reasoning, got 'medical'"),
        ("split", "", "unknown split ''"),
        ("media_newline", "drop", "unknown media_newline 'drop' .*; allowed: keep, swallow_one, s"),
        ("columns", {"image": "x"}, "unknown column 'image' of format messages; allowed: id, mes"),
    ],
)
def test_a_bad_field_is_named_with_its_value(field, value, message):
    source = sources.Source(name="s", path="rows.jsonl")
    setattr(source, field, value)
    with pytest.raises(errors.UserError, match=message):
        source.validate()


def test_weight_and_epochs_exclude_each_other():
    source = sources.Source(name="s", path="x", weight=2.0, epochs=3.0)
    with pytest.raises(errors.UserError, match="weight must be 1 beside epochs, got 2.0"):
        source.validate()


def test_a_format_may_have_fixed_splits_and_columns():
    source = sources.Source(name="s", path="x", format="vqa_rad", split="val")
    with pytest.raises(errors.UserError, match="unknown split 'val' .* allowed: train, test"):
        source.validate()
    source = sources.Source(name="s", path="x", format="vqa_rad", columns={"answer": "x"})
    with pytest.raises(errors.UserError, match="unknown column 'answer' .* allowed: none"):
        source.validate()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(errors.UserError, match="no such file: .*rows.jsonl"):
        sources.read(sources.Source(name="s", path="rows.jsonl"), tmp_path)


def test_vqa_rad_split_is_chosen_by_the_source(shared_dir):
    source = sources.Source(name="rad", path="data/vqa_rad", format="vqa_rad", split="test")
    reading = sources.read(source, shared_dir)
    assert (len(reading.examples), len(reading.dropped)) == (451, 0)
