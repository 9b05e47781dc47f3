# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Folders with LLaMA-Factory's dataset_info.json."""

import json

import pytest
from PIL import Image

from lingshu_jax.common import errors
from lingshu_jax.data import formats, formats_llamafactory
from tests.data import test_formats

CHAT = {
    "file_name": "chat.json",
    "formatting": "sharegpt",
    "columns": {"messages": "messages", "images": "images", "system": "rule"},
    "tags": {
        "role_tag": "role",
        "content_tag": "content",
        "user_tag": "user",
        "assistant_tag": "assistant",
    },
}
CHAT_ROW = {
    "messages": [
        {"role": "user", "content": "<image>What?", "time": 3},
        {"role": "assistant", "content": "A lung."},
    ],
    "images": ["a.png"],
    "rule": "Be brief.",
    "more": 1,
}
PLAIN = {"file_name": "plain.jsonl"}
PLAIN_ROW = {"instruction": "Translate.", "input": "lung", "output": "Lunge"}


def write(folder, info, **rows):
    """dataset_info.json and the rows of its files."""
    folder.mkdir(exist_ok=True)
    (folder / "dataset_info.json").write_text(json.dumps(info))
    Image.new("RGB", (40, 30)).save(folder / "a.png")
    for name, value in rows.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    return folder


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, {"chat": CHAT, "plain": PLAIN}, chat=[CHAT_ROW])
    (tmp_path / "plain.jsonl").write_text(json.dumps(PLAIN_ROW) + "\n")
    return tmp_path


def read(path, **options):
    return list(formats_llamafactory.read_llamafactory(path, formats.Options(**options)))


def said(record):
    assert isinstance(record, formats.Record), record
    return [
        (m["role"], "".join(part.get("text", "IMAGE") for part in m["content"]))
        for m in record.messages
    ]


def test_all_entries_in_their_order(folder):
    chat, plain = read(folder)
    assert said(chat) == [
        ("system", "Be brief."),
        ("user", "IMAGEWhat?"),
        ("assistant", "A lung."),
    ]
    assert said(plain) == [("user", "Translate.\nlung"), ("assistant", "Lunge")]
    assert (chat.row_id, chat.line, chat.meta) == ("chat:1", 1, {"more": 1})
    assert read(folder / "dataset_info.json") == [chat, plain]


@pytest.mark.parametrize(("dataset", "ids"), [("plain", ["plain:1"]), ("plain, chat", None)])
def test_entries_by_name(folder, dataset, ids):
    rows = read(folder, dataset=dataset)
    assert [row.row_id for row in rows] == (ids or ["plain:1", "chat:1"])


def test_a_file_stands_for_its_entries(folder):
    assert [row.row_id for row in read(folder / "chat.json")] == ["chat:1"]
    (folder / "other.json").write_text("[]")
    with pytest.raises(errors.UserError, match="has the file_name other.json"):
        read(folder / "other.json")


def test_the_defaults_of_sharegpt(tmp_path):
    turns = [
        {"from": "system", "value": "Be brief."},
        {"from": "human", "value": "Hi"},
        {"from": "gpt", "value": "Hello"},
    ]
    entry = {"file_name": "x.json", "formatting": "sharegpt"}
    [record] = read(write(tmp_path, {"x": entry}, x=[{"conversations": turns}]))
    assert said(record) == [("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello")]


def test_alpaca_with_columns_history_and_images(tmp_path):
    columns = {"prompt": "q", "response": "a", "history": "h", "images": "pics", "query": None}
    row = {"q": "<image>What?", "a": "A lung.", "h": [["Hi", "Hello"]], "pics": "a.png"}
    folder = write(
        tmp_path, {"x": {"file_name": "x.json", "columns": columns}}, x=[{**row, "input": "no"}]
    )
    [record] = read(folder)
    assert [text for _, text in said(record)] == ["Hi", "Hello", "IMAGEWhat?", "A lung."]
    assert record.meta == {"input": "no"}, "a column that is not listed has no meaning"


def test_without_a_system_tag_a_system_turn_is_refused(folder):
    row = {**CHAT_ROW, "messages": [{"role": "system", "content": "x"}, *CHAT_ROW["messages"]]}
    (folder / "chat.json").write_text(json.dumps([row]))
    [refused] = read(folder, dataset="chat")
    assert refused.reason == "unknown role 'system'; allowed: user, assistant"


def test_a_folder_of_parquet_with_embedded_images(folder):
    picture = (folder / "a.png").read_bytes()
    (folder / "many").mkdir()
    row = {**CHAT_ROW, "images": [{"bytes": picture, "path": "gone.png"}]}
    test_formats.write_parquet(folder / "many" / "test-0.parquet", [row] * 2)
    info = {"many": {**CHAT, "file_name": "many", "num_samples": 1}}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    [record] = read(folder)
    assert record.messages[1]["content"][0]["image"] == picture


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"images": []}, "1 <image> in the text, but 0 images"),
        ({"images": ["../a.png"]}, "outside the image root"),
        ({"messages": []}, "at least one turn"),
        ({"messages": [{"role": "user", "content": 3}]}, "content must be a string, got int"),
        ({"messages": CHAT_ROW["messages"][:1] * 2, "images": ["a.png"] * 2}, "turn 2 is from"),
    ],
)
def test_bad_rows_are_refused_with_the_reason(folder, change, reason):
    (folder / "chat.json").write_text(json.dumps([{**CHAT_ROW, **change}]))
    [refused] = read(folder, dataset="chat")
    assert isinstance(refused, formats.Refusal) and reason in refused.reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"output": " "}, "assistant message is empty"),
        ({"output": 3}, "assistant content must be a string"),
        ({"instruction": "", "input": None}, "user message is empty"),
        ({"instruction": ["x"]}, "prompt and query must be strings"),
    ],
)
def test_bad_alpaca_rows_are_refused(folder, change, reason):
    (folder / "plain.jsonl").write_text(json.dumps({**PLAIN_ROW, **change}))
    [refused] = read(folder, dataset="plain")
    assert isinstance(refused, formats.Refusal) and reason in refused.reason


def test_tools_are_refused(tmp_path):
    entry = {"file_name": "x.json", "columns": {"prompt": "instruction", "tools": "t"}}
    [row] = read(write(tmp_path, {"x": entry}, x=[{**PLAIN_ROW, "t": "[{}]"}]))
    assert row.reason == "rows with tools are not read"


BAD_ENTRIES = [
    ("x", "only entries with a file_name are read"),
    ({"hf_hub_url": "a/b"}, "only entries with a file_name are read"),
    ({**CHAT, "formatting": "openai"}, "formatting must be alpaca or sharegpt, got 'openai'"),
    ({**CHAT, "formatting": ["x"]}, "formatting must be"),
    ({**CHAT, "columns": ["messages"]}, "columns must be an object of strings"),
    ({**CHAT, "columns": {"messages": 3}}, "columns must be an object of strings"),
    ({**CHAT, "columns": {"images": "images"}}, "columns must name messages"),
    ({**PLAIN, "columns": {"response": "a"}}, "columns must name prompt"),
    ({**CHAT, "tags": {"role_tag": "role"}}, "tags must name content_tag"),
    ({**PLAIN, "ranking": True}, "preference data is not read"),
    ({**PLAIN, "columns": {"prompt": "q", "kto_tag": "k"}}, "preference data is not read"),
    ({**PLAIN, "num_samples": "5"}, "num_samples must be a number"),
    ({"file_name": "gone.json"}, "no such file"),
]


@pytest.mark.parametrize(("entry", "reason"), BAD_ENTRIES)
def test_a_bad_entry_is_one_refused_row_or_an_error_by_name(folder, entry, reason):
    (folder / "dataset_info.json").write_text(json.dumps({"bad": entry, "plain": PLAIN}))
    refused, good = read(folder)
    assert (refused.line, refused.row_id) == (0, "bad") and reason in refused.reason
    assert good.row_id == "plain:1"
    with pytest.raises(errors.UserError, match=reason):
        read(folder, dataset="bad")


@pytest.mark.parametrize(
    ("text", "reason"), [(None, "cannot read"), ("{", "is not JSON"), ("[]", "must hold an obj")]
)
def test_a_bad_list_of_entries_is_an_error(folder, text, reason):
    (folder / "dataset_info.json").unlink()
    if text is not None:
        (folder / "dataset_info.json").write_text(text)
    with pytest.raises(errors.UserError, match=reason):
        read(folder)


def test_an_unknown_name_lists_the_known(folder):
    with pytest.raises(errors.UserError, match="no entry 'rad'; it has chat, plain"):
        read(folder, dataset="chat,rad")


def test_the_files_that_hold_rows(folder):
    (folder / "empty").mkdir()
    info = {"empty": {"file_name": "empty"}, "hub": {"hf_hub_url": "a/b"}, "odd": 3}
    (folder / "dataset_info.json").write_text(json.dumps({**info, "chat": CHAT, "plain": PLAIN}))
    files = formats_llamafactory.row_files(folder, formats.Options())
    assert [file.name for file in files] == ["dataset_info.json", "chat.json", "plain.jsonl"]
    chosen = formats_llamafactory.row_files(folder, formats.Options(dataset="plain"))
    assert [file.name for file in chosen] == ["dataset_info.json", "plain.jsonl"]
