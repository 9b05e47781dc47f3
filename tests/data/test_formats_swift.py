# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The forms of a row that ms-swift recognises, and what is refused of them."""

import json

import pytest
from PIL import Image

from lingshu_jax.data import formats, formats_swift

ASK = {"role": "user", "content": "<image>What?"}
SAY = {"role": "assistant", "content": "A lung."}
ROW = {"id": "7", "messages": [ASK, SAY], "images": ["a.png"]}


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b.png"):
        Image.new("RGB", (40, 30)).save(tmp_path / name)
    return tmp_path


def read(folder, row, **options):
    (folder / "rows.jsonl").write_text(json.dumps(row) + "\n")
    [record] = formats_swift.read_swift(folder / "rows.jsonl", formats.Options(**options))
    return record


def said(record):
    """(role, content) with strings for texts and `IMAGE` for images."""
    assert isinstance(record, formats.Record), record
    return [
        (m["role"], "".join(part.get("text", "IMAGE") for part in m["content"]))
        for m in record.messages
    ]


def test_messages_and_images(folder):
    record = read(folder, {**ROW, "channel": "rad"})
    assert said(record) == [("user", "IMAGEWhat?"), ("assistant", "A lung.")]
    assert record.messages[0]["content"][0]["image"] == str(folder / "a.png")
    assert (record.row_id, record.meta) == ("7", {"channel": "rad"})


EXPECTED = [
    ("system", "Be brief."),
    ("user", "Hi"),
    ("assistant", "Hello"),
    ("user", "What?"),
    ("assistant", "A lung."),
]
FORMS = {
    "messages": {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello"},
            {"role": "user", "content": "What?"},
            {"role": "assistant", "content": "A lung."},
        ],
        "system": "not this one",
    },
    "sharegpt": {
        "conversations": [
            {"from": "human", "value": "Hi"},
            {"from": "gpt", "value": "Hello"},
            {"from": "human", "value": "What?"},
            {"from": "bot", "value": "A lung."},
        ],
        "system": "Be brief.",
    },
    "pairs": {
        "conversation": [
            {"human": "Hi", "assistant": "Hello"},
            {"user": "What?", "gpt": "A lung."},
        ],
        "system_prompt": "Be brief.",
    },
    "query": {
        "System": "Be brief.",
        "query": "What?",
        "response": "A lung.",
        "history": [["Hi", "Hello"]],
    },
    "other names": {
        "system": "Be brief.",
        "Problem": "What?",
        "solution": "A lung.",
        "history": [["Hi", "Hello"]],
    },
    "own name first": {
        "system": "Be brief.",
        "query": "What?",
        "text": "not this one",
        "response": "A lung.",
        "history": [["Hi", "Hello"]],
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_conversation(folder, form):
    assert said(read(folder, FORMS[form])) == EXPECTED


@pytest.mark.parametrize(
    ("instruction", "text", "query"),
    [("Translate.", "lung", "Translate.\nlung"), ("Translate.", "", "Translate.")]
    + [("", "lung", "lung"), ("Translate.", None, "Translate.")],
)
def test_alpaca_joins_instruction_and_input(folder, instruction, text, query):
    row = {"instruction": instruction, "input": text, "output": "Lunge"}
    assert said(read(folder, row)) == [("user", query), ("assistant", "Lunge")]


def test_a_single_image_and_a_video_of_frames(folder):
    row = {"query": "<image> <video>?", "response": "No", "image": "a.png"}
    record = read(folder, {**row, "videos": [["a.png", "b.png"]]})
    content = record.messages[0]["content"]
    assert content[0]["image"] == str(folder / "a.png")
    assert content[2]["video"] == [str(folder / "a.png"), str(folder / "b.png")]


def test_parts_bring_their_images_or_take_them_from_the_list(folder):
    parts = [{"type": "image", "image": "b.png"}, {"type": "text", "text": "What?"}]
    own = read(folder, {"messages": [{"role": "user", "content": parts}, SAY]})
    assert own.messages[0]["content"][0]["image"] == str(folder / "b.png")
    parts = [{"type": "image"}, {"type": "text", "text": "What?"}]
    listed = read(folder, {"messages": [{"role": "user", "content": parts}, SAY], "image": "a.png"})
    assert listed.messages[0]["content"][0]["image"] == str(folder / "a.png")


def test_an_image_in_an_answer_is_read(folder):
    answer = {"role": "assistant", "content": "Here: <image>"}
    row = {"messages": [{"role": "user", "content": "Show."}, answer], "images": ["a.png"]}
    assert said(read(folder, row))[1] == ("assistant", "Here: IMAGE")


@pytest.mark.parametrize(
    ("flags", "loss"),
    [({"loss": False}, False), ({"loss": True}, True), ({"loss": None}, None)]
    + [({"loss_scale": 0.0}, False), ({"loss_scale": 1}, True)]
    + [({"loss": True, "loss_scale": 0}, True)],
)
def test_loss_flags_are_carried(folder, flags, loss):
    question = {"role": "user", "content": "Hi", "loss": True}  # has no effect there
    record = read(folder, {"messages": [question, {**SAY, **flags}]})
    assert record.messages[1].get("loss") is loss and "loss" not in record.messages[0]


def test_a_row_may_limit_its_pixels(folder):
    kwargs = {"max_pixels": 3136, "enable_thinking": False}
    record = read(folder, {**ROW, "chat_template_kwargs": kwargs})
    assert record.messages[0]["content"][0]["max_pixels"] == 3136
    assert record.meta["chat_template_kwargs"] == kwargs


def test_empty_columns_are_no_columns(folder):
    empty = {"tools": "", "audios": [], "objects": {"bbox": [], "ref": None}, "videos": None}
    assert isinstance(read(folder, {**ROW, **empty}), formats.Record)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"images": []}, "1 <image> in the text, but 0 images"),
        ({"images": ["a.png", "b.png"]}, "1 <image> in the text, but 2 images"),
        ({"messages": [{"role": "user", "content": "What?"}, SAY]}, "0 <image> in the text, but 1"),
        ({"messages": [{"role": "user", "content": "<image>"}]}, "the row has no text"),
        ({"images": ["../a.png"]}, "outside the image root"),
        ({"images": ["c.png"]}, "no such file"),
        ({"tools": "[{}]"}, "rows with tools are not read"),
        ({"audios": ["a.wav"]}, "rows with audios are not read"),
        ({"objects": {"ref": ["lung"], "bbox": [[1, 2, 3, 4]]}}, "rows with objects are not"),
        ({"messages": []}, "at least one message"),
        ({"messages": "Hi"}, "at least one message"),
        ({"messages": ["Hi"]}, "must be an object"),
        ({"messages": [{"human": "Hi"}]}, "a message has a role and content; got"),
        ({"messages": [{"human": 3, "gpt": "x"}]}, "must be a string, got int"),
        ({"messages": [ASK, {"role": "tool", "content": "x"}]}, "unknown role 'tool'"),
        ({"messages": [ASK, {**SAY, "tool_calls": [{}]}]}, "tool_calls are not read"),
        ({"messages": [ASK, {**SAY, "loss_scale": 2.0}]}, "loss_scale must be 0 or 1, got 2.0"),
        ({"messages": [ASK, {**SAY, "loss": "no"}]}, "loss must be true or false"),
        ({"messages": [ASK, {"role": "assistant"}]}, "role, content"),
        ({"messages": [ASK, {**SAY, "content": ""}]}, "assistant message is empty"),
        ({"messages": [SAY, ASK]}, "turn 1 is from 'assistant'"),
        ({"chat_template_kwargs": "x"}, "must be an object"),
        ({"chat_template_kwargs": {"max_pixels": "x"}}, "max_pixels must be a positive number"),
        ({"system": 3}, "system content must be a string"),
        ({"system": [], "messages": [{"role": "system", "content": "x"}] * 2}, "0 <image>"),
    ],
)
def test_bad_rows_are_refused_with_the_reason(folder, row, reason):
    refused = read(folder, {**ROW, **row})
    assert isinstance(refused, formats.Refusal), refused
    assert refused.row_id == "7" and reason in refused.reason


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"response": "x"}, "there is no question"),
        ({}, "there is no question"),
        ({"query": 3, "response": "x"}, "what the user says must be a string, got int"),
        ({"query": "x", "response": ["a"]}, "what the assistant says must be a string, got list"),
        ({"query": "x", "response": " "}, "assistant message is empty"),
        ({"problem": "x", "question": "y"}, "question and problem could each be the query"),
        ({"query": "x", "answer": "y", "output": "z"}, "answer and output could each be the resp"),
        ({"query": "x", "history": [["a"]]}, "history must be"),
        ({"query": "x", "history": "[['a', 'b']]"}, "history must be"),
        ({"instruction": 3, "input": "x"}, "instruction and input must be strings"),
        ({"instruction": "x", "input": "y", "question": "z"}, "stand beside another question"),
    ],
)
def test_bad_questions_are_refused_with_the_reason(folder, row, reason):
    refused = read(folder, row)
    assert isinstance(refused, formats.Refusal), refused
    assert reason in refused.reason


def test_a_question_without_an_answer_is_a_prompt(folder):
    assert said(read(folder, {"query": "What?", "label": 1})) == [("user", "What?")]


@pytest.mark.parametrize(("newline", "text"), [("keep", "\nWhat?"), ("swallow_one", "What?")])
def test_the_newline_is_an_option(folder, newline, text):
    row = {"query": "<image>\nWhat?", "response": "x", "images": "a.png"}
    record = read(folder, row, media_newline=newline)
    assert record.messages[0]["content"][1]["text"] == text
