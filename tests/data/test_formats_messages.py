# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Rows of messages become canonical ones or are refused; tags in text become images."""

import base64
import importlib
import json

import numpy as np
import pytest
from PIL import Image

from lingshu_jax.data import formats, formats_media, formats_messages
from tests.data import test_formats

ASK = {"role": "user", "content": "Hi"}
SAY = {"role": "assistant", "content": "Hello"}
IMAGE = {"type": "image", "image": "images/a.png"}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    Image.new("RGB", (40, 30)).save(tmp_path / "images" / "a.png")
    (tmp_path / "clip").mkdir()
    return tmp_path


def read(path, rows, **options):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return list(formats_messages.read_messages(path, formats.Options(**options)))


def read_one(folder, messages, **options):
    [row] = read(folder / "rows.jsonl", [{"messages": messages}], **options)
    assert isinstance(row, formats.Record), row
    return row.messages


def refuse(folder, messages, **options):
    [row] = read(folder / "rows.jsonl", [{"messages": messages}], **options)
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
    [row] = read(folder / "rows.jsonl", [{"messages": user(IMAGE)}])
    assert row.messages[0]["content"][0]["image"] == str(folder / "images" / "a.png")
    assert row.row_id == "rows:1"


@pytest.mark.parametrize("value", ["a.png", {"url": "a.png", "detail": "low"}])
def test_openai_image_url_starts_from_the_image_root(folder, value):
    part = {"type": "image_url", "image_url": value}
    messages = read_one(folder, user(part), image_root=folder / "images")
    expected = {"type": "image", "image": str(folder / "images" / "a.png")}
    assert messages[0]["content"] == [expected]


def test_base64_becomes_bytes(folder):
    data = (folder / "images" / "a.png").read_bytes()
    address = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    messages = read_one(folder, user({"type": "image_url", "image_url": {"url": address}}))
    assert messages[0]["content"] == [{"type": "image", "image": data}]


def test_video_keeps_fps_and_frames(folder):
    video = {"type": "video", "video": ["images/a.png"] * 2, "fps": 2}
    clip = {"type": "video", "video": "clip"}
    messages = read_one(folder, user(video, clip))
    frame = str(folder / "images" / "a.png")
    assert messages[0]["content"][0] == {"type": "video", "video": [frame] * 2, "fps": 2}
    assert messages[0]["content"][1]["video"] == str(folder / "clip")


def test_pixel_limits_are_kept(folder):
    messages = read_one(folder, user({**IMAGE, "max_pixels": 3136}))
    assert messages[0]["content"][0]["max_pixels"] == 3136


@pytest.mark.parametrize(
    ("flags", "loss"),
    [
        ({"loss": False}, {"loss": False}),
        ({"loss": True}, {"loss": True}),
        ({"weight": 0}, {"loss": False}),
        ({"weight": 1}, {"loss": True}),
        ({"loss": None}, {}),
    ],
)
def test_the_flag_of_an_answer_is_carried(folder, flags, loss):
    messages = read_one(folder, [ASK, {**SAY, **flags}])
    assert {key: messages[1][key] for key in messages[1] if key == "loss"} == loss


def test_nulls_count_as_absent(folder):
    part = {"type": "image", "image": "images/a.png", "text": None, "min_pixels": None}
    messages = read_one(folder, [{"role": "user", "content": [part], "name": None}, SAY])
    assert set(messages[0]["content"][0]) == {"type", "image"}


def test_system_first_and_prompt_without_answer_are_accepted(folder):
    system = {"role": "system", "content": "Be brief."}
    messages = read_one(folder, [system, ASK, SAY, ASK])
    assert [m["role"] for m in messages] == ["system", "user", "assistant", "user"]


def test_an_answer_may_show_an_image_beside_text(folder):
    answer = {"role": "assistant", "content": [IMAGE, {"type": "text", "text": "Here."}]}
    assert read_one(folder, [ASK, answer])[1]["content"][0]["type"] == "image"


def test_a_tag_in_text_is_text(folder):
    messages = read_one(folder, [{"role": "user", "content": "<image>What?"}, SAY])
    assert messages[0]["content"] == [{"type": "text", "text": "<image>What?"}]


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        (None, "at least one message"),
        ([], "at least one message"),
        ("Hi", "at least one message"),
        ([{"role": "system", "content": "x"}], "no user message"),
        ([{"role": "system", "content": "x"}] * 2, "turn 1 is from 'system'"),
        ([SAY], "turn 1 is from 'assistant'"),
        ([ASK, ASK], "turn 2 is from 'user'"),
        ([ASK, SAY, {"role": "system", "content": "x"}], "turn 3 is from 'system'"),
        ([{"role": "tool", "content": "x"}], "unknown role 'tool'"),
        ([{"role": ["user"], "content": "x"}], "unknown role"),
        ([{"role": "user"}], "role, content"),
        ([{"role": "user", "content": None}], "role, content"),
        ([{"role": "user", "content": "x", "name": "y"}], "role, content"),
        (["Hi"], "role, content"),
        ([{"role": "user", "content": 3}], "string or a list, got int"),
        ([ASK, {"role": "assistant", "content": " \n"}], "assistant message is empty"),
        ([ASK, {"role": "assistant", "content": [IMAGE]}], "assistant message is empty"),
        ([ASK, {**SAY, "loss": 1}], "loss must be"),
        ([ASK, {**SAY, "weight": 0.5}], "loss must be"),
        ([{**ASK, "loss": False}, SAY], "loss must be"),
        (user(), "user message is empty"),
        (user("Hi"), "must be an object"),
        (user({"type": "audio", "audio": "x"}), "unknown content part 'audio'"),
        (user({"type": ["text"]}), "unknown content part"),
        (user({"type": "text", "text": 3}), "text must be a string"),
        (user({"type": "text", "text": None}), "a text part has keys"),
        (user({"type": "text"}), "a text part has keys"),
        (user({**IMAGE, "fps": 2}), "an? image part has keys"),
        (user({"type": "image", "image": "images/b.png"}), "no such file"),
        (user({"type": "image", "image": "../secret.png"}), "outside the image root"),
        (user({"type": "image", "image": "/etc/hostname"}), "outside the image root"),
        (user({"type": "image", "image": {}}), "must hold bytes, path or url"),
        (user({"type": "image_url", "image_url": {"url": "data:;base64,A"}}), "broken base64"),
        (user({**IMAGE, "max_pixels": -1}), "max_pixels must be"),
        (user({**IMAGE, "max_pixels": True}), "max_pixels must be"),
        (user({"type": "video", "video": []}), "no frames"),
        (user({"type": "video", "video": "clip", "fps": 0}), "fps must be"),
        ([{"role": "system", "content": [IMAGE]}, ASK, SAY], "only user, assistant messages may"),
    ],
)
def test_bad_messages_are_refused_with_the_reason(folder, messages, reason):
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(refuse(folder, messages))


def test_media_beside_the_messages_are_not_left_out_in_silence(folder):
    row = {"messages": [ASK, SAY], "images": ["images/a.png"]}
    refused, kept = read(folder / "rows.jsonl", [row, {**row, "images": []}])
    assert refused.reason == "the row has 'images' beside its messages: that is format swift"
    assert isinstance(kept, formats.Record)


def test_nothing_outside_the_image_root_is_read_unless_allowed(folder):
    outside = user({"type": "image", "image": "../images/a.png"})
    assert "outside the image root" in refuse(folder, outside, image_root=folder / "clip")
    assert read_one(folder, outside, image_root=folder / "clip", allow_outside=True)


@pytest.mark.parametrize("name", ["rows", "rows.array_record"])
def test_array_record_holds_the_same_rows(folder, name):
    data = base64.b64encode((folder / "images" / "a.png").read_bytes()).decode()
    embedded = {"type": "image", "image": {"bytes": data}}
    records = [{"id": "a", "messages": user(IMAGE)}, {"id": "b", "messages": user(embedded)}, [1]]
    test_formats.write_array_record(folder / name, [json.dumps(r).encode() for r in records])
    path, embedded, bad = formats_messages.read_array_record(folder / name, formats.Options())
    assert (path.row_id, path.line) == ("a", 1)
    assert path.messages[0]["content"][0]["image"] == str(folder / "images" / "a.png")
    picture = embedded.messages[0]["content"][0]["image"]
    assert picture == (folder / "images" / "a.png").read_bytes()
    assert bad == formats.Refusal(3, "rows:3", "a row must be an object, got list")


def tagged(text, newline, *, images=1, videos=0, role="user", **options):
    media = {"image": [f"{i}.png" for i in range(images)], "video": ["v"] * videos}
    [message] = formats_messages.with_tags(
        [{"role": role, "content": text}], media, newline=newline, **options
    )
    return [part.get("text", part.get("image", part.get("video"))) for part in message["content"]]


@pytest.mark.parametrize(
    ("newline", "parts"),
    [
        ("keep", ["a\n\n", "0.png", "\n\nWhat ? \n"]),
        ("swallow_one", ["a\n", "0.png", "\nWhat ? \n"]),
        ("strip", ["a", "0.png", "What ?"]),
    ],
)
def test_what_stays_around_a_tag(newline, parts):
    assert tagged("a\n\n<image>\n\nWhat ? \n", newline) == parts


@pytest.mark.parametrize("newline", formats.MEDIA_NEWLINES)
def test_media_take_the_places_of_their_tags_in_order(newline):
    text = "<image><image>\n<video>\n<image>!"
    parts = tagged(text, newline, images=3, videos=1)
    assert [part for part in parts if part != "\n"] == ["0.png", "1.png", "v", "2.png", "!"]
    assert parts.count("\n") == (2 if newline == "keep" else 0)


def test_only_user_messages_are_stripped():
    assert tagged(" a \n", "strip", images=0) == ["a"]
    assert tagged(" a \n", "strip", images=0, role="assistant") == [" a \n"]


def test_a_tag_elsewhere_is_text():
    message = {"role": "assistant", "content": "<image>"}
    assert formats_messages.with_tags([message], {}, newline="keep", roles=("user",)) == [message]


@pytest.mark.parametrize(("images", "videos"), [(0, 0), (2, 0), (1, 1), (0, 1)])
def test_tags_and_media_must_agree(images, videos):
    with pytest.raises(formats.RowError, match=r"\d <(image|video)> in the text, but \d"):
        tagged("<image>What?", "keep", images=images, videos=videos)


def test_a_row_of_only_images_is_refused():
    with pytest.raises(formats.RowError, match="the row has no text, only media"):
        tagged("<image>\n<image>", "keep", images=2)


def test_parts_without_a_value_take_the_next_one_and_keep_their_limits():
    content = [{"type": "image", "max_pixels": 3136}, {"type": "text", "text": "or <image>?"}]
    media = {"image": ["a.png", {"image": "b.png", "min_pixels": 784}]}
    [message] = formats_messages.with_tags(
        [{"role": "user", "content": content}], media, newline="keep"
    )
    assert message["content"] == [
        {"type": "image", "max_pixels": 3136, "image": "a.png"},
        {"type": "text", "text": "or "},
        {"type": "image", "image": "b.png", "min_pixels": 784},
        {"type": "text", "text": "?"},
    ]
    assert "image" not in content[0], "the row is left as it was"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (None, "at least one turn"),
        ([], "at least one turn"),
        (["Hi"], "must be an object"),
        ([{"from": "robot", "value": "x"}], "unknown role 'robot'; allowed: human"),
        ([{"value": "x"}], "unknown role 'None'"),
        ([{"from": "human"}], "value must be a string, got NoneType"),
        ([{"from": "human", "value": ["x"]}], "value must be a string, got list"),
    ],
)
def test_turns_that_are_none_are_refused(raw, reason):
    with pytest.raises(formats.RowError, match=reason):
        formats_messages.turns(raw, {"human": "user"})


@pytest.mark.parametrize("raw", ["x", [["q"]], [{"q": "a"}], {"q": "a"}])
def test_a_history_is_pairs(raw):
    assert formats_messages.pairs(None) == []
    with pytest.raises(formats.RowError, match="history must be"):
        formats_messages.pairs(raw)


def test_media_start_from_the_folder_of_the_source(tmp_path):
    (tmp_path / "rows.jsonl").touch()
    for path in (tmp_path, tmp_path / "rows.jsonl"):
        assert formats_messages.media_files(path, formats.Options()).root == tmp_path
    assert isinstance(
        formats_messages.media_files(tmp_path, formats.Options()), formats_media.MediaFiles
    )


def test_a_fragment_chooses_frames_of_a_volume(folder):
    nibabel = importlib.import_module("nibabel")
    volume = nibabel.Nifti1Image(np.arange(6 * 7 * 8, dtype=np.int16).reshape(6, 7, 8), np.eye(4))
    nibabel.save(volume, folder / "ct.nii.gz")
    part = {"type": "image", "image": "ct.nii.gz#frames=2", "max_pixels": 784}
    content = read_one(folder, user(part, {"type": "text", "text": "?"}))[0]["content"]
    names = [str(folder / f"ct.nii.gz#frame={i}") for i in (2, 6)]
    assert content[:2] == [{"type": "image", "image": name, "max_pixels": 784} for name in names]
    video = {"type": "video", "video": "ct.nii.gz#plane=coronal"}
    content = read_one(folder, user(video))[0]["content"]
    assert content[0]["video"] == str(folder / "ct.nii.gz#plane=coronal")


@pytest.mark.parametrize("name", ["images/a.png#frame=0", "images/b.png#frame=0", "a#b=c"])
def test_a_fragment_of_anything_else_is_refused(folder, name):
    assert refuse(folder, user({"type": "image", "image": name}))
