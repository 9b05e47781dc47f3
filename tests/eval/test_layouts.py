# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import os
import zipfile

import pytest

from lingshu_jax.common import errors
from lingshu_jax.eval import card as card_lib
from lingshu_jax.eval import files, layouts
from tests.eval.benchmarks import fixtures

CARD = card_lib.Card(
    name="demo", title="Demo", family="multimodal", repository="org/demo", files=("data/*",)
)


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_parts_come_in_order(tmp_path):
    names = [f"data/test-0000{i}-of-00003-a{9 - i}.parquet" for i in range(3)]
    touch(tmp_path, *reversed(names))
    found = layouts.parts(CARD, tmp_path, "data/test-*.parquet")
    assert [f"data/{path.name}" for path in found] == names


def test_a_file_without_a_number_of_parts_is_the_table(tmp_path):
    touch(tmp_path, "data/test.parquet")
    assert len(layouts.parts(CARD, tmp_path, "data/test*")) == 1


def test_a_missing_part_is_told(tmp_path):
    touch(tmp_path, "data/test-00000-of-00003.parquet", "data/test-00002-of-00003.parquet")
    with pytest.raises(errors.UserError, match="hold 3 files .*, found test-00000-of-00003"):
        layouts.parts(CARD, tmp_path, "data/test-*.parquet")


def test_parts_of_two_revisions_are_told(tmp_path):
    touch(tmp_path, "data/test-00000-of-00001.parquet", "data/test-00000-of-00002.parquet")
    with pytest.raises(errors.UserError, match="must hold 2 files"):
        layouts.parts(CARD, tmp_path, "data/test-*.parquet")


def test_no_part_says_where_to_get_them(tmp_path):
    with pytest.raises(errors.UserError, match="found nothing; .hf download .* org/demo"):
        layouts.parts(CARD, tmp_path, "data/test-*.parquet")


def write_archive(path, *names):
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, fixtures.picture())


def wanted(folder):
    return [folder / "imgs" / "imgs", folder / "imgs"]


def test_an_archive_is_unpacked_once(tmp_path):
    write_archive(tmp_path / "imgs.zip", "imgs/a/1.png")
    assert layouts.unpacked(CARD, wanted(tmp_path), tmp_path / "imgs.zip") == wanted(tmp_path)[0]
    (tmp_path / "imgs.zip").unlink()
    assert layouts.unpacked(CARD, wanted(tmp_path), tmp_path / "imgs.zip") == wanted(tmp_path)[0]


def test_an_archive_is_left_alone_where_its_folder_is_there(tmp_path):
    (tmp_path / "imgs").mkdir()
    (tmp_path / "imgs.zip").write_text("no archive")
    assert layouts.unpacked(CARD, wanted(tmp_path), tmp_path / "imgs.zip") == tmp_path / "imgs"


def test_neither_archive_nor_folder_says_what_to_do(tmp_path):
    with pytest.raises(
        errors.UserError, match="has no folder imgs/imgs or imgs; put imgs.zip there, or"
    ):
        layouts.unpacked(CARD, wanted(tmp_path), tmp_path / "imgs.zip")


def test_an_archive_of_something_else_is_told(tmp_path):
    write_archive(tmp_path / "imgs.zip", "other/1.png")
    with pytest.raises(errors.UserError, match="has no folder figures; put imgs.zip there"):
        layouts.unpacked(CARD, [tmp_path / "figures"], tmp_path / "imgs.zip")


def test_a_broken_archive_says_what_to_unpack(tmp_path):
    (tmp_path / "imgs.zip").write_text("no archive")
    with pytest.raises(
        errors.UserError, match="does not unpack.*; unpack imgs.zip by hand so that imgs/imgs or"
    ):
        layouts.unpacked(CARD, wanted(tmp_path), tmp_path / "imgs.zip")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_says_what_to_unpack(tmp_path):
    write_archive(tmp_path / "imgs.zip", "imgs/1.png")
    tmp_path.chmod(0o555)
    with pytest.raises(errors.UserError, match="Permission denied.*; unpack imgs.zip by hand"):
        layouts.unpacked(CARD, wanted(tmp_path), tmp_path / "imgs.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["imgs.zip"]


def test_encoded_pictures_are_kept_once():
    pictures = files.Pictures(CARD)
    cells = [{"bytes": fixtures.picture(), "path": None} for _ in range(2)]
    first, second = (layouts.encoded(pictures, cell, "demo") for cell in cells)
    assert first is second
    assert first == fixtures.picture()


@pytest.mark.parametrize("cell", [None, {"bytes": None, "path": "a.png"}, {"bytes": b""}, "a.png"])
def test_a_cell_without_a_picture_is_named(cell):
    with pytest.raises(errors.UserError, match="demo row 3 image must hold an encoded picture"):
        layouts.encoded(files.Pictures(CARD), cell, "demo row 3 image")


def test_a_picture_is_found_by_name(tmp_path):
    touch(tmp_path, "a/b/1.png", "2 %3.png")
    pictures = layouts.PictureFiles(CARD, tmp_path)
    assert pictures.get("a/b/1.png") == str(tmp_path / "a/b/1.png")
    assert pictures.get("2 %3.png") == str(tmp_path / "2 %3.png")


def test_each_directory_is_listed_once(tmp_path):
    touch(tmp_path, "a/1.png", "a/2.png")
    pictures = layouts.PictureFiles(CARD, tmp_path)
    pictures.get("a/1.png")
    (tmp_path / "a/2.png").unlink()
    assert pictures.get("a/2.png") == str(tmp_path / "a/2.png")


@pytest.mark.parametrize("name", ["a/3.png", "b/1.png", "a", "", "../outside.png", "a/../../x.png"])
def test_a_missing_picture_is_named(tmp_path, name):
    touch(tmp_path, "in/a/1.png", "outside.png", "x.png")
    pictures = layouts.PictureFiles(CARD, tmp_path / "in")
    with pytest.raises(errors.UserError, match=f"no picture '{name}' .looked in {tmp_path}/in"):
        pictures.get(name)


def test_an_absolute_name_is_refused(tmp_path):
    touch(tmp_path, "in/1.png", "2.png")
    with pytest.raises(errors.UserError, match="no picture"):
        layouts.PictureFiles(CARD, tmp_path / "in").get(str(tmp_path / "2.png"))
