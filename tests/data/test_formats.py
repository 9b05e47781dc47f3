# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Rows of files become canonical messages, or are refused with a reason."""

import json

import pytest
from PIL import Image

from lingshu_jax.common import errors
from lingshu_jax.data import formats

ASK = {"role": "user", "content": "Hi"}
SAY = {"role": "assistant", "content": "Hello"}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    Image.new("RGB", (40, 30)).save(tmp_path / "images" / "a.png")
    (tmp_path / "clip").mkdir()
    return tmp_path


def read(path, rows, image_root=None):
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_text("\n".join(lines) + "\n")
    return list(formats.read_messages(path, image_root, "train"))


def refuse(folder, messages, image_root=None):
    [row] = read(folder / "rows.jsonl", [{"messages": messages}], image_root)
    assert isinstance(row, formats.Refusal), row
    return row.reason


def user(*parts):
    return [{"role": "user", "content": list(parts)}, SAY]


def test_string_content_becomes_one_text_part(folder):
    [row] = read(folder / "rows.jsonl", [{"id": 7, "messages": [ASK, SAY], "answer": "x"}])
    text = {"type": "text", "text": "Hi"}
    assert row.messages[0] == {"role": "user", "content": [text]}
    assert (row.line, row.row_id, row.meta) == (1, "7", {"answer": "x"})


def test_image_paths_start_from_the_file(folder):
    [row] = read(
        folder / "rows.jsonl", [{"messages": user({"type": "image", "image": "images/a.png"})}]
    )
    assert row.messages[0]["content"][0]["image"] == str(folder / "images" / "a.png")
    assert row.row_id == "rows:1"


@pytest.mark.parametrize("value", ["a.png", {"url": "a.png"}], ids=["string", "url object"])
def test_openai_image_url_starts_from_the_image_root(folder, value):
    part = {"type": "image_url", "image_url": value}
    [row] = read(folder / "rows.jsonl", [{"messages": user(part)}], folder / "images")
    expected = {"type": "image", "image": str(folder / "images" / "a.png")}
    assert row.messages[0]["content"] == [expected]


def test_video_keeps_fps_and_frames(folder):
    video = {"type": "video", "video": ["images/a.png"] * 2, "fps": 2}
    clip = {"type": "video", "video": "clip"}
    [row] = read(folder / "rows.jsonl", [{"messages": user(video, clip)}])
    frame = str(folder / "images" / "a.png")
    assert row.messages[0]["content"][0] == {"type": "video", "video": [frame] * 2, "fps": 2}
    assert row.messages[0]["content"][1]["video"] == str(folder / "clip")


def test_pixel_limits_and_loss_flag_are_kept(folder):
    part = {"type": "image", "image": "images/a.png", "max_pixels": 3136}
    messages = [{"role": "user", "content": [part]}, {**SAY, "loss": False}]
    [row] = read(folder / "rows.jsonl", [{"messages": messages}])
    assert row.messages[0]["content"][0]["max_pixels"] == 3136
    assert row.messages[1]["loss"] is False


def test_system_first_and_prompt_without_answer_are_accepted(folder):
    system = {"role": "system", "content": "Be brief."}
    [row] = read(folder / "rows.jsonl", [{"messages": [system, ASK, SAY, ASK]}])
    assert [m["role"] for m in row.messages] == ["system", "user", "assistant", "user"]


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        (None, "at least one message"),
        ([], "at least one message"),
        ("Hi", "at least one message"),
        ([{"role": "system", "content": "x"}], "no user message"),
        ([SAY], "turn 1 is from 'assistant'"),
        ([ASK, ASK], "turn 2 is from 'user'"),
        ([ASK, SAY, {"role": "system", "content": "x"}], "turn 3 is from 'system'"),
        ([{"role": "tool", "content": "x"}], "unknown role 'tool'"),
        ([{"role": "user"}], "role, content"),
        ([{"role": "user", "content": "x", "name": "y"}], "role, content"),
        (["Hi"], "role, content"),
        ([{"role": "user", "content": 3}], "string or a list, got int"),
        ([ASK, {"role": "assistant", "content": " \n"}], "assistant message is empty"),
        ([ASK, {**SAY, "loss": 1}], "loss must be"),
        (user(), "user message is empty"),
        (user("Hi"), "must be an object"),
        (user({"type": "audio", "audio": "x"}), "unknown content part 'audio'"),
        (user({"type": "text", "text": None}), "text must be a string"),
        (user({"type": "text"}), "a text part has keys"),
        (user({"type": "image", "image": "images/a.png", "fps": 2}), "an? image part has keys"),
        (user({"type": "image", "image": "images/b.png"}), "no such file"),
        (user({"type": "image", "image": "images"}), "no such file"),
        (user({"type": "image", "image": "x" * 5000}), "cannot open"),
        (user({"type": "image", "image": "a\0b"}), "non-empty string"),
        (user({"type": "image", "image": {}}), "non-empty string"),
        (user({"type": "image", "image": "https://x.org/a.png"}), "only local files"),
        (user({"type": "image", "image": "data:image/png;base64,AA"}), "only local files"),
        (user({"type": "image", "image": "images/a.png", "max_pixels": -1}), "max_pixels must be"),
        (user({"type": "video", "video": []}), "no frames"),
        (user({"type": "video", "video": "clip", "fps": 0}), "fps must be"),
        (
            [ASK, {"role": "assistant", "content": [{"type": "image", "image": "images/a.png"}]}],
            "only user messages may",
        ),
    ],
)
def test_bad_messages_are_refused_with_the_reason(folder, messages, reason):
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(refuse(folder, messages))


@pytest.mark.parametrize("path", ["../secret.png", "link.png", "/etc/hostname"])
def test_nothing_outside_the_image_root_is_read(folder, path):
    Image.new("RGB", (40, 30)).save(folder / "secret.png")
    (folder / "images" / "link.png").symlink_to(folder / "secret.png")
    reason = refuse(folder, user({"type": "image", "image": path}), folder / "images")
    assert "outside the image root" in reason


def test_bad_lines_are_refused_where_they_stand(folder):
    path = folder / "rows.jsonl"
    good = json.dumps({"messages": [ASK, SAY]}).encode()
    deep = b'{"messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    path.write_bytes(b"\n".join([good, b"", b"{", b'{"id": "\xff"}', b"[1]", deep, good]))
    rows = list(formats.read_messages(path, None, "train"))
    assert [row.line for row in rows] == [1, 3, 4, 5, 6, 7]
    assert [isinstance(row, formats.Record) for row in rows] == [True, *[False] * 4, True]
    assert "broken JSON" in rows[1].reason and "got list" in rows[3].reason


def test_json_list_reads_like_lines(folder):
    path = folder / "rows.json"
    path.write_text(json.dumps([{"messages": [ASK, SAY]}, 3]))
    good, bad = formats.read_messages(path, None, "train")
    assert (good.line, bad.line) == (1, 2)
    path.write_text("{}")
    with pytest.raises(errors.UserError, match="JSON list"):
        list(formats.read_messages(path, None, "train"))


def test_unknown_format_lists_the_known_ones():
    with pytest.raises(errors.UserError, match="unknown format 'lava'; known: messages, vqa_rad"):
        formats.reader("lava")


def test_written_rows_read_back_and_nothing_half_written_stays(folder):
    path = folder / "new" / "rows.jsonl"
    rows = [{"id": "a", "text": "µ\n"}, {"id": "half \ud800 pair"}]
    assert formats.write_jsonl(path, rows) == 2
    assert [row for _, row in formats.read_rows(path)] == rows
    assert path.read_text().count("\n") == 2 and "µ" in path.read_text()

    def broken():
        yield {"id": "b"}
        raise errors.UserError("stop")

    with pytest.raises(errors.UserError):
        formats.write_jsonl(path, broken())
    assert [file.name for file in path.parent.iterdir()] == ["rows.jsonl"]
    assert [row for _, row in formats.read_rows(path)] == rows


def test_vqa_rad_official_layout(folder):
    rows = [
        {
            "qid": 1,
            "image_name": "a.png",
            "question": "Is it?",
            "answer": "Yes",
            "question_type": "P ",
        },
        {"qid": 2, "image_name": "a.png", "question": "How many?", "answer": 3},
        {"qid": 3, "image_name": "b.png", "question": "What?", "answer": "x"},
        {"qid": 4, "image_name": "a.png", "question": "What?"},
    ]
    (folder / "testset.json").write_text(json.dumps(rows))
    yes, number, missing, incomplete = formats.read_vqa_rad(folder, None, "test")
    assert yes.messages[0]["content"][1]["text"].startswith("is it?\nPlease output 'yes' or 'no'")
    assert (yes.meta["answer_type"], yes.meta["kind"], yes.meta["image_id"]) == (
        "yes_no",
        "P",
        "a.png",
    )
    assert number.messages[1]["content"] == [{"type": "text", "text": "3"}]
    assert "no such file" in missing.reason and "missing keys: answer" in incomplete.reason
    with pytest.raises(errors.UserError, match="trainset.json"):
        list(formats.read_vqa_rad(folder, None, "train"))


@pytest.mark.parametrize(("split", "count"), [("train", 3064), ("test", 451)])
def test_vqa_rad_reads_whole(shared_dir, split, count):
    rows = list(formats.read_vqa_rad(shared_dir / "data" / "vqa_rad", None, split))
    assert len(rows) == count
    assert all(isinstance(row, formats.Record) for row in rows)
