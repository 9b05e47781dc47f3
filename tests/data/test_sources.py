# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A source gives examples and counts what it refuses."""

import json

import pytest

from lingshu_jax.common import errors
from lingshu_jax.data import sources

ROW = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]}


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


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("name", "", "needs a name"),
        ("path", "", "path is empty"),
        ("format", "csv", "unknown format 'csv'; known: messages"),
        ("weight", 0.0, "weight must be > 0, got 0.0"),
        ("weight", float("nan"), "weight must be > 0, got nan"),
        ("split", "val", "unknown split 'val'; allowed: train, test"),
    ],
)
def test_a_bad_field_is_named_with_its_value(field, value, message):
    source = sources.Source(name="s", path="rows.jsonl")
    setattr(source, field, value)
    with pytest.raises(errors.UserError, match=message):
        source.validate()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(errors.UserError, match="no such file: .*rows.jsonl"):
        sources.read(sources.Source(name="s", path="rows.jsonl"), tmp_path)


def test_vqa_rad_split_is_chosen_by_the_source(shared_dir):
    source = sources.Source(name="rad", path="data/vqa_rad", format="vqa_rad", split="test")
    reading = sources.read(source, shared_dir)
    assert (len(reading.examples), len(reading.dropped)) == (451, 0)
