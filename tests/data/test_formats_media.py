# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What a row may call an image, and where it may lie."""

import base64

import pytest
from PIL import Image

from lingshu_jax.data import formats, formats_media

BYTES = b"\x89PNG any bytes"
BASE64 = base64.b64encode(BYTES).decode()


@pytest.fixture
def root(tmp_path):
    """A folder with a.png, beside a file and with links that lead out of it."""
    folder = tmp_path / "images"
    (folder / "clip").mkdir(parents=True)
    for path in (folder / "a.png", folder / "clip" / "0.png", tmp_path / "secret.png"):
        Image.new("RGB", (40, 30)).save(path)
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "out").symlink_to(tmp_path)
    (folder / "inner.png").symlink_to(folder / "a.png")
    (folder / "loop.png").symlink_to(folder / "loop.png")
    return folder


def reason_of(call, value):
    with pytest.raises(formats.RowError) as caught:
        call(value)
    return str(caught.value)


@pytest.mark.parametrize("value", ["a.png", "clip/../a.png", "inner.png", {"path": "a.png"}])
def test_a_path_becomes_the_real_file(root, value):
    assert formats_media.MediaFiles(root).picture(value) == str(root / "a.png")


def test_absolute_paths_inside_the_root_are_read(root):
    files = formats_media.MediaFiles(root)
    assert files.picture(str(root / "a.png")) == str(root / "a.png")
    assert files.picture(f"file://{root}/a.png") == str(root / "a.png")


def test_the_root_itself_may_be_a_link(root, tmp_path):
    (tmp_path / "other").symlink_to(root)
    assert formats_media.MediaFiles(tmp_path / "other").picture("a.png") == str(root / "a.png")


OUTSIDE = ["../secret.png", "clip/../../secret.png", "link.png", "out/secret.png"]


@pytest.mark.parametrize("value", OUTSIDE)
def test_what_leads_out_of_the_root_is_refused_unless_allowed(root, value):
    assert "is outside the image root" in reason_of(formats_media.MediaFiles(root).picture, value)
    allowed = formats_media.MediaFiles(root, allow_outside=True)
    assert allowed.picture(value) == str(root.parent / "secret.png")


def test_an_absolute_path_outside_is_refused_unless_allowed(root):
    outside = str(root.parent / "secret.png")
    assert "is outside the image root" in reason_of(formats_media.MediaFiles(root).picture, outside)
    assert formats_media.MediaFiles(root, allow_outside=True).picture(outside) == outside
    # A folder whose name only begins like the root's.
    (root.parent / "images2").mkdir()
    assert "outside" in reason_of(
        formats_media.MediaFiles(root).video, str(root.parent / "images2")
    )


@pytest.mark.parametrize(
    "value",
    [BYTES, f"data:image/png;base64,{BASE64}", f"data:image;base64,{BASE64}", {"bytes": BYTES}]
    + [{"bytes": BYTES, "path": "gone.png"}, {"bytes": BASE64, "path": None}]
    + [{"url": f"data:image/jpeg;base64,{BASE64[:8]}\n{BASE64[8:]}", "detail": "high"}],
)
def test_embedded_pictures_become_their_bytes(root, value):
    assert formats_media.MediaFiles(root).picture(value) == BYTES


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("b.png", "no such file: b.png"),
        ("clip", "no such file: clip"),
        ("loop.png", "no such file"),
        ("x" * 5000, "no such file"),
        ("\ud800.png", "cannot open"),
        ("a\0b", "non-empty string"),
        ("", "non-empty string"),
        (b"", "non-empty string"),
        (None, "non-empty string"),
        (7, "non-empty string"),
        (["a.png"], "non-empty string"),
        ({}, "must hold bytes, path or url; got []"),
        ({"bytes": None}, "must hold bytes, path or url"),
        ({"path": "a.png", "size": 3}, "got ['path', 'size']"),
        ({"bytes": 7}, "non-empty string"),
        ({"detail": "high"}, "non-empty string"),
        ("https://x.org/a.png", "only local files"),
        ("data:image/png;base64,AA", "broken base64"),
        ("data:image/png;base64,A*AA", "broken base64"),
        ("data:image/png;base64,é", "broken base64"),
        ("data:image/png;base64,", "no bytes"),
        ("data:image/png,AAAA", "must be base64"),
        ("data:", "must be base64"),
    ],
)
def test_anything_else_is_refused_with_the_reason(root, value, reason):
    assert reason in reason_of(formats_media.MediaFiles(root).picture, value)


def test_a_video_is_a_folder_a_file_or_frames(root):
    files = formats_media.MediaFiles(root)
    assert files.video("clip") == str(root / "clip")
    assert files.video("a.png") == str(root / "a.png")
    assert files.video(["a.png", BYTES]) == [str(root / "a.png"), BYTES]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([], "no frames"),
        (["b.png"], "no such file"),
        ("data:video/mp4;base64,AAAA", "a path or a list of frames"),
        (BYTES, "a path or a list of frames"),
        ({"video": "clip"}, "a path or a list of frames"),
        ("gone", "no such file"),
        (None, "non-empty string"),
    ],
)
def test_other_videos_are_refused(root, value, reason):
    assert reason in reason_of(formats_media.MediaFiles(root).video, value)


def test_a_media_column_is_a_list_or_one_value():
    assert formats_media.as_list(None) == []
    assert formats_media.as_list("a.png") == ["a.png"]
    assert formats_media.as_list(["a.png"]) == ["a.png"]
