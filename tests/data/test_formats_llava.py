# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""LLaVA's json and JSON lines."""

import json

import pytest
from PIL import Image

from lingshu_jax.data import formats, formats_llava

ASK = {"from": "human", "value": "<image>\nWhat?"}
SAY = {"from": "gpt", "value": "A lung."}
ROW = {"id": "7", "image": "a.png", "conversations": [ASK, SAY], "num_tokens": 5}


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b.png"):
        Image.new("RGB", (40, 30)).save(tmp_path / name)
    (tmp_path / "clip").mkdir()
    return tmp_path


def read(folder, rows, name="rows.json", **options):
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / name).write_text(json.dumps(rows) if name == "rows.json" else lines)
    return list(formats_llava.read_llava(folder / name, formats.Options(**options)))


def text(value):
    return {"type": "text", "text": value}


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl"])
def test_a_row_in_either_file(folder, name):
    [row] = read(folder, [ROW], name)
    image = {"type": "image", "image": str(folder / "a.png")}
    assert row.messages == (
        {"role": "user", "content": [image, text("\nWhat?")]},
        {"role": "assistant", "content": [text("A lung.")]},
    )
    assert (row.line, row.row_id, row.meta) == (1, "7", {"num_tokens": 5})


def test_images_and_videos_by_their_tags(folder):
    asked = {"from": "human", "value": "<image> or <video>, <image>"}
    row = {"image": ["a.png", "b.png"], "video": "clip", "conversations": [asked, SAY]}
    [record] = read(folder, [row])
    content = record.messages[0]["content"]
    assert [part["type"] for part in content] == ["image", "text", "video", "text", "image"]
    assert content[4]["image"] == str(folder / "b.png")
    assert record.row_id == "rows:1"


def test_a_system_turn_and_a_row_without_an_image(folder):
    system = {"from": "system", "value": "Be brief."}
    row = {"conversations": [system, {"from": "human", "value": "Hi"}, SAY]}
    [record] = read(folder, [row])
    assert [m["role"] for m in record.messages] == ["system", "user", "assistant"]


def test_a_tag_in_an_answer_is_text(folder):
    row = {**ROW, "conversations": [ASK, {"from": "gpt", "value": "An <image>."}]}
    assert read(folder, [row])[0].messages[1]["content"] == [text("An <image>.")]


def test_a_packed_row_gives_its_rows(folder):
    plain = {"conversations": [{"from": "human", "value": "Hi"}, SAY]}
    records = read(folder, [[ROW, plain], ROW], "rows.jsonl")
    assert [(r.line, r.row_id) for r in records] == [(1, "7"), (1, "rows:1.2"), (2, "7")]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"image": None}, "1 <image> in the text, but 0 images"),
        ({"image": ["a.png", "b.png"]}, "1 <image> in the text, but 2 images"),
        ({"image": "c.png"}, "no such file: c.png"),
        ({"image": "../a.png"}, "outside the image root"),
        ({"image": ""}, "non-empty string"),
        ({"image": {"x": 1}}, "must hold bytes"),
        ({"conversations": None}, "at least one turn"),
        ({"conversations": []}, "at least one turn"),
        ({"conversations": [SAY]}, "1 images"),
        ({"conversations": [ASK, ASK]}, "2 <image> in the text, but 1"),
        ({"conversations": [ASK, {**SAY, "value": " "}]}, "assistant message is empty"),
        ({"conversations": [ASK, {**SAY, "value": 3}]}, "value must be a string, got int"),
        ({"conversations": [ASK, {**SAY, "from": "bot"}]}, "unknown role 'bot'"),
        ({"conversations": [{"from": "human", "value": "<image>"}]}, "the row has no text"),
    ],
)
def test_bad_rows_are_refused_with_the_reason(folder, change, reason):
    [row] = read(folder, [{**ROW, **change}])
    assert isinstance(row, formats.Refusal) and row.row_id == "7"
    assert reason in row.reason


def test_rows_that_are_none_are_refused(folder):
    rows = read(folder, [[], 3, [3], ROW])
    assert [row.row_id for row in rows] == ["rows:1", "rows:2", "rows:3.1", "7"]
    assert all("a row must be an object" in row.reason for row in rows[:3])


def test_the_image_root_is_an_option(folder):
    (folder / "rows").mkdir()
    [row] = read(folder / "rows", [ROW], image_root=folder)
    assert row.messages[0]["content"][0]["image"] == str(folder / "a.png")


def test_columns_may_have_other_names(folder):
    row = {"picture": "a.png", "turns": [ASK, SAY]}
    columns = {"image": "picture", "conversations": "turns"}
    assert isinstance(read(folder, [row], columns=columns)[0], formats.Record)
