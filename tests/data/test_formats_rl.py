# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Verifiable questions of verl and EasyR1: the prompt, the gold and what judges it."""

import json

import pytest
from PIL import Image

from lingshu_jax.common import answers
from lingshu_jax.data import formats, formats_rl
from tests.data import test_formats

VERL = {
    "data_source": "rad",
    "prompt": [{"role": "user", "content": "<image>Is it?"}],
    "images": [{"bytes": None, "path": "a.png"}],
    "ability": "vqa",
    "reward_model": {"style": "rule", "ground_truth": "Yes"},
    "extra_info": {"index": 3, "split": "train"},
}
EASY = {"id": "7", "problem": "<image>Is it?", "answer": "Yes", "images": ["a.png"]}


@pytest.fixture
def folder(tmp_path):
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    return tmp_path


def read(reader, folder, row, suffix=".jsonl", **options):
    path = folder / f"rows{suffix}"
    if suffix == ".parquet":
        test_formats.write_parquet(path, [row])
    else:
        path.write_text(json.dumps(row) + "\n")
    [record] = reader(path, formats.Options(**options))
    return record


def read_verl(folder, row, suffix=".jsonl", **options):
    return read(formats_rl.read_verl, folder, row, suffix, **options)


def read_easyr1(folder, row, suffix=".jsonl", **options):
    return read(formats_rl.read_easyr1, folder, row, suffix, **options)


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_a_verl_row(folder, suffix):
    record = read_verl(folder, VERL, suffix)
    user, assistant = record.messages
    image = {"type": "image", "image": str(folder / "a.png")}
    assert user == {"role": "user", "content": [image, {"type": "text", "text": "Is it?"}]}
    assert assistant["content"] == [{"type": "text", "text": "Yes"}]
    gold = {key: record.meta[key] for key in ("answer", "answer_type")}
    assert gold == {"answer": "Yes", "answer_type": "yes_no"}
    assert record.meta["extra_info"] == VERL["extra_info"]
    assert "images" not in record.meta and "prompt" not in record.meta


def test_embedded_pictures_of_verl(folder):
    picture = (folder / "a.png").read_bytes()
    record = read_verl(folder, {**VERL, "images": [{"bytes": picture, "path": None}]}, ".parquet")
    assert record.messages[0]["content"][0]["image"] == picture


def test_a_verl_image_may_bring_its_limits(folder):
    image = {"image": "a.png", "max_pixels": 3136}
    record = read_verl(folder, {**VERL, "images": [image]})
    expected = {"type": "image", "image": str(folder / "a.png"), "max_pixels": 3136}
    assert record.messages[0]["content"][0] == expected


def test_limits_beside_the_bytes_of_a_verl_image(folder):
    picture = (folder / "a.png").read_bytes()
    image = {"bytes": picture, "path": None, "min_pixels": 3136, "max_pixels": None}
    record = read_verl(folder, {**VERL, "images": [image]}, ".parquet")
    expected = {"type": "image", "image": picture, "min_pixels": 3136}
    assert record.messages[0]["content"][0] == expected


def test_verl_rows_for_fine_tuning(folder):
    turns = [*VERL["prompt"], {"role": "assistant", "content": "Yes, it is."}]
    record = read_verl(folder, {"messages": turns, "images": VERL["images"]}, ".parquet")
    assert record.messages[1]["content"][0]["text"] == "Yes, it is." and record.meta == {}


@pytest.mark.parametrize("suffix", [".parquet", ".json"])
def test_an_easyr1_row(folder, suffix):
    record = read_easyr1(folder, EASY, suffix)
    assert [m["role"] for m in record.messages] == ["user", "assistant"]
    assert record.meta == {"answer": "Yes", "answer_type": "yes_no"} and record.row_id == "7"


def test_columns_of_easyr1_may_have_other_names(folder):
    row = {"question": "<image>Is it?", "gold": "Yes", "picture": "a.png"}
    columns = {"problem": "question", "answer": "gold", "images": "picture"}
    assert read_easyr1(folder, row, columns=columns).meta["answer"] == "Yes"


SIDES = {"answer_type": "choice", "options": ["left", "right lung", "both"]}
INLINE = "Which vitamin (A) side? Choices: (A) left, (B) right lung (C) both\nThink."
LISTED = "Which side?\n A. left\n(B) right lung \nC: both"


@pytest.mark.parametrize(
    ("answer", "row", "question", "gold"),
    [
        ("No.", {}, "", {"answer": "No.", "answer_type": "yes_no"}),
        (" 1,024.5 ", {}, "", {"answer": "1,024.5", "answer_type": "number"}),
        (12, {}, "", {"answer": "12", "answer_type": "number"}),
        ("-3 %", {}, "", {"answer": "-3 %", "answer_type": "number"}),
        ("5 mm", {}, "", {"answer": "5 mm", "answer_type": "number"}),
        ("2.5 - 3 cm", {}, "", {"answer": "2.5 - 3 cm", "answer_type": "number"}),
        ("3 masses", {}, "", {"answer": "3 masses", "answer_type": "open"}),
        ("2 \\sqrt { 3 }", {}, "", {"answer": "2 \\sqrt { 3 }", "answer_type": "open"}),
        ("right", {}, LISTED, {"answer": "right", "answer_type": "open"}),
        ("right lung", {}, LISTED, {"answer": "right lung", **SIDES}),
        ("(B)", {}, LISTED, {"answer": "B", **SIDES}),
        ("B. right lung", {}, LISTED, {"answer": "B", **SIDES}),
        ("B. left", {}, LISTED, {"answer": "B. left", "answer_type": "open"}),
        (["<answer> C </answer>"], {}, LISTED, {"answer": "C", **SIDES}),
        ("B", {}, INLINE, {"answer": "B", **SIDES}),
        (["a", "b"], {}, "", {"answer": "a", "answer_type": "open", "aliases": ["b"]}),
        ({"target": ["3"]}, {}, "", {"answer": "3", "answer_type": "number"}),
        (["3", "three"], {}, "", {"answer": "3", "answer_type": "open", "aliases": ["three"]}),
        (
            "B",
            {},
            LISTED,
            {"answer": "B", "answer_type": "choice", "options": ["left", "right lung", "both"]},
        ),
        ("D", {}, LISTED, {"answer": "D", "answer_type": "open"}),
        ("A", {}, "A. one", {"answer": "A", "answer_type": "open"}),
        ("B", {}, "B. one\nC. two", {"answer": "B", "answer_type": "open"}),
        (
            "left",
            {"options": ["left", "right"]},
            "",
            {"answer": "left", "answer_type": "choice", "options": ["left", "right"]},
        ),
        ("yes", {"answer_type": "open"}, "", {"answer": "yes", "answer_type": "open"}),
    ],
)
def test_the_gold_and_its_type(answer, row, question, gold):
    found = formats_rl.gold_of(answer, row, question)
    assert found == gold
    options = found.get("options", ())
    answers.check_gold(found["answer"], answer_type=found["answer_type"], options=options)


def test_the_type_may_stand_in_extra_info(folder):
    record = read_verl(folder, {**VERL, "extra_info": {"answer_type": "open"}})
    assert record.meta["answer_type"] == "open"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"images": []}, "1 <image> in the text, but 0 images"),
        ({"images": None}, "1 <image> in the text, but 0 images"),
        ({"images": [{"bytes": None, "path": "../a.png"}]}, "outside the image root"),
        ({"images": [3]}, "non-empty string"),
        ({"prompt": None}, "at least one message"),
        ({"prompt": "Is it?"}, "at least one message"),
        ({"prompt": []}, "at least one message"),
        ({"prompt": ["Is it?"]}, "must have role and content"),
        ({"prompt": [{"role": "user"}]}, "must have role and content"),
        ({"prompt": [*VERL["prompt"], {"role": "system", "content": "x"}]}, "must end with a user"),
        ({"prompt": [{"role": "tool", "content": "x"}, *VERL["prompt"]]}, "unknown role 'tool'"),
        ({"prompt": [{"role": "user", "content": 3}]}, "<image> in the text"),
        ({"reward_model": None}, "reward_model must be an object, got NoneType"),
        ({"reward_model": {}}, "answer must be text or a number, got None"),
        ({"reward_model": {"ground_truth": []}}, "the answer is empty"),
        ({"reward_model": {"ground_truth": ["yes", "no"]}}, "2 golds, but one is allowed"),
        ({"reward_model": {"ground_truth": {"a": 1, "b": 2}}}, "answer must be text or a number"),
        ({"reward_model": {"ground_truth": True}}, "answer must be text or a number"),
        ({"reward_model": {"ground_truth": " "}}, "the answer is empty"),
        ({"options": ["a", 3]}, "options must be a list of strings"),
        ({"answer_type": 3}, "answer_type must be a string"),
        ({"tools": "[{}]"}, "rows with tools are not read"),
        ({"audios": ["a.wav"]}, "rows with audios are not read"),
    ],
)
def test_bad_verl_rows_are_refused_with_the_reason(folder, change, reason):
    refused = read_verl(folder, {**VERL, **change})
    assert isinstance(refused, formats.Refusal), refused
    assert reason in refused.reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"problem": None}, "problem must be a string, got NoneType"),
        ({"problem": "Is it?"}, "0 <image> in the text, but 1 images"),
        ({"problem": "<image>"}, "the row has no text, only media"),
        ({"answer": ""}, "the answer is empty"),
        ({"answer": None}, "answer must be text or a number"),
        ({"images": ["gone.png"]}, "no such file"),
    ],
)
def test_bad_easyr1_rows_are_refused_with_the_reason(folder, change, reason):
    refused = read_easyr1(folder, {**EASY, **change})
    assert isinstance(refused, formats.Refusal), refused
    assert reason in refused.reason


def test_a_tag_in_the_gold_is_text(folder):
    record = read_easyr1(folder, {**EASY, "answer": "an <image>"})
    assert record.messages[1]["content"] == [{"type": "text", "text": "an <image>"}]
