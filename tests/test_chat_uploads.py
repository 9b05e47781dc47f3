# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import io

import nibabel
import numpy as np
import pytest
from PIL import Image

from lingshu_jax import chat_uploads
from lingshu_jax.common import errors
from lingshu_jax.data import dicom, nifti, volumes
from tests import chat_pages
from tests.data import dicom_files

turn, body, ask, upload = chat_pages.turn, chat_pages.body, chat_pages.ask, chat_pages.upload
file_of, noise, ct = chat_pages.file_of, chat_pages.noise, chat_pages.ct
SECRET = chat_pages.SECRET


@pytest.fixture
def engine():
    return chat_pages.Talker()


@pytest.fixture
def client(engine):
    with chat_pages.serving(engine) as client:
        yield client


@pytest.fixture(scope="module")
def page():
    """A client for what asks nothing of the engine."""
    with chat_pages.serving(chat_pages.Talker()) as client:
        yield client


def see(client, id, **view):
    answer = client.get(f"/uploads/{id}/view", params=view)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def test_a_picture_loses_all_but_its_pixels(client, engine):
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = SECRET, 6  # description, turned
    picture = noise()
    data = file_of(picture, "PNG", exif=exif.tobytes())
    found = upload(client, data)
    turned = np.asarray(picture.transpose(Image.Transpose.ROTATE_270))
    assert found["facts"] == ["Picture"] and found["planes"] == {"axial": [1, 30, 20]}
    assert (see(client, found["id"]) == turned).all()
    assert see(client, found["id"], side=15).shape == (15, 10, 3)
    ask(client, turn("what", (found["id"], {})))
    (part, said) = engine.requests[0].messages[0]["content"]
    assert said == {"type": "text", "text": "what"} and part["type"] == "image"
    assert (np.asarray(part["image"]) == turned).all() and not part["image"].info
    shown = client.get(f"/uploads/{found['id']}/view").content
    assert SECRET.encode() in data and SECRET.encode() not in shown


def test_nothing_of_a_dicom_header_gets_out(client, engine, tmp_path):
    data = ct(tmp_path)
    found = client.post("/uploads", content=data)
    id = found.json()["id"]
    assert found.json()["facts"] == ["DICOM", "CT", "CHEST"] and found.json()["dropped"] >= 5
    ask(client, turn("what", (id, {})))
    image = engine.requests[0].messages[0]["content"][0]["image"]
    row = client.post("/conversation", json=body(turn("what", (id, {}))))
    shown = client.get(f"/uploads/{id}/view")
    for secret in dicom_files.SECRETS:
        assert secret.encode() in data
        for out in (found.content, row.content, shown.content, file_of(image)):
            assert secret.encode() not in out


def test_windows_are_those_of_dicom(page, tmp_path):
    data = ct(tmp_path, WindowCenter=50, WindowWidth=400)
    found = upload(page, data)
    id, window = found["id"], found["window"]
    assert window["file"] == [50, 400] and window["range"] == [-1024, 956]
    assert set(window["presets"]) == {"Lung", "Soft tissue", "Bone", "Brain", "Whole range"}
    assert (see(page, id) == dicom.read(data).frames[0]).all()
    values = np.arange(-1000, 1000, 20).reshape(1, 10, 10) - 24
    for center, width in window["presets"].values():
        by_hand = volumes.window(values, center=float(center), width=float(width))[0]
        assert (see(page, id, center=center, width=width) == by_hand[..., None]).all()
    assert (see(page, id, center=-600, width=1500) != see(page, id)).any()


def test_bright_is_bright_where_small_values_are_white(page, tmp_path):
    data = ct(tmp_path, PhotometricInterpretation="MONOCHROME1", Modality="CR")
    found = upload(page, data)
    low, high = found["window"]["range"]
    assert set(found["window"]["presets"]) == {"Whole range"}
    shown = see(page, found["id"], center=(low + high) / 2, width=high - low)
    assert shown[0, 0, 0] == 255 and shown[-1, -1, 0] == 0
    assert see(page, found["id"])[0, 0, 0] == 255


def test_colours_have_no_window(page, tmp_path):
    fields = {"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3, "PlanarConfiguration": 0}
    fields |= {"Rows": 2, "Columns": 3, "NumberOfFrames": None}
    values = np.arange(18, dtype=np.uint8).reshape(1, 1, 18)
    path = dicom_files.write(tmp_path / "rgb.dcm", values, **fields)
    found = upload(page, path.read_bytes())
    assert found["window"] is None and found["planes"] == {"axial": [1, 2, 3]}
    assert (see(page, found["id"]) == values.reshape(2, 3, 3)).all()


def test_a_file_of_several_frames_is_given_as_one_several_or_a_clip(client, engine, tmp_path):
    values = np.arange(6 * 100).reshape(6, 10, 10)
    data = ct(tmp_path, values, CineRate=12)
    found = upload(client, data)
    frames = dicom.read(data).frames
    assert found["planes"]["axial"] == [6, 10, 10]
    views = [
        {"frame": 4, "send": "frame", "plane": "axial", "count": 3},
        {"send": "images", "count": 3},
        {"send": "clip", "count": 3},
        {"send": "clip", "count": 64},
    ]
    ask(client, turn("", *[(found["id"], view) for view in views]))
    *images, clip, whole = engine.requests[0].messages[0]["content"]
    assert [part["type"] for part in images] == ["image"] * 4
    for part, frame in zip(images, (4, 1, 3, 5), strict=True):
        assert (np.asarray(part["image"]) == frames[frame]).all()
    assert [np.asarray(f).tolist() for f in clip["video"]] == frames[[1, 3, 5]].tolist()
    assert clip["fps"] == 6 and whole["fps"] == 12 and len(whole["video"]) == 6


def test_planes_of_a_volume_are_those_of_its_reader(page):
    values = np.random.default_rng(0).normal(size=(5, 6, 7)).astype(np.float32)
    affine = np.diag([-1, 1, 2, 1])
    data = nibabel.Nifti1Image(values, affine).to_bytes()
    found = upload(page, data)
    assert found["facts"] == ["NIfTI"] and found["window"] is None
    for plane in volumes.PLANES:
        frames = nifti.read(data, plane).frames
        assert found["planes"][plane] == list(frames.shape[:3])
        for frame in (0, len(frames) - 1):
            assert (see(page, found["id"], plane=plane, frame=frame) == frames[frame]).all()


def test_an_animation_has_frames(page):
    frames = [noise(seed=i).convert("P") for i in range(3)]
    found = upload(page, file_of(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert found["planes"]["axial"] == [3, 20, 30]
    assert (see(page, found["id"], frame=2) != see(page, found["id"], frame=0)).any()


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"", "the file is empty"),
        (b"%PDF-1.7", "image file of 8 bytes in memory: image does not decode (none of PNG"),
        (
            file_of(noise())[:200],
            "image file of 200 bytes in memory: image does not decode",
        ),
        (bytes(128) + b"DICM" + bytes(50), "DICOM file of 182 bytes in memory"),
    ],
    ids=["empty", "pdf", "torn", "dicom"],
)
def test_what_is_no_picture_is_said_in_one_line(page, data, line):
    answer = page.post("/uploads", content=data)
    assert answer.status_code == 400 and answer.json()["error"].startswith(line)
    assert "\n" not in answer.json()["error"]


def test_what_is_too_large_is_refused(page, monkeypatch, tmp_path):
    monkeypatch.setattr(chat_uploads, "MAX_FILE_BYTES", 2**20)
    answer = page.post("/uploads", content=bytes(2**20 + 1))
    assert answer.json() == {"error": "the file is too large; allowed are 1 MiB"}
    monkeypatch.setattr(chat_uploads, "MAX_VALUES", 99)
    answer = page.post("/uploads", content=ct(tmp_path))
    assert answer.json()["error"].startswith("the file has 1 x 10 x 10 pixels; allowed are 99")


def test_the_files_that_are_held_are_bounded():
    one = chat_uploads.read(file_of(noise()))
    assert one.num_bytes == 20 * 30 * 3
    shelf = chat_uploads.Shelf(3 * one.num_bytes)
    names = [shelf.put(one) for _ in range(3)]
    shelf.get(names[0])
    names.append(shelf.put(one))
    for name in (names[0], *names[2:]):
        shelf.get(name)
    with pytest.raises(errors.UserError, match="held no more .*: add it again"):
        shelf.get(names[1])
    shelf.forget([*names, "another"])
    assert shelf.num_bytes == 0


def test_gray_frames_count_once(tmp_path):
    data = ct(tmp_path, np.zeros((4, 10, 10)))
    assert chat_uploads.read(data).num_bytes == 400 + 4 * 400


def test_files_are_forgotten(page):
    id = upload(page, file_of(noise()))["id"]
    assert page.post("/forget", json=[id, 7]).status_code == 204
    answer = page.get(f"/uploads/{id}/view")
    assert answer.status_code == 400 and "add it again" in answer.json()["error"]


@pytest.mark.parametrize(
    ("view", "line"),
    [
        ({"frame": 1}, "frame must be 0 to 0, got 1"),
        ({"frame": -1}, "frame must be 0 to 0, got -1"),
        ({"frame": "x"}, "frame must be a number, got 'x'"),
        ({"plane": "oblique"}, "plane must be one of sagittal, coronal, axial, got 'oblique'"),
        ({"plane": "coronal"}, "this file has no coronal plane"),
        ({"send": "all"}, "send must be one of frame, images, clip, got 'all'"),
        ({"count": 65}, "count must be 1 to 64, got 65"),
        ({"center": 1}, "a window has a center and a width"),
        ({"center": 1, "width": 2}, "this file has no window to choose"),
        ({"center": 1, "width": 0}, "width must be above 0, got 0.0"),
        ({"center": "nan", "width": 1}, "center must be a number, got 'nan'"),
        ({"side": 0}, "side must be 1 to 4096, got '0'"),
    ],
)
def test_a_view_that_cannot_be_is_refused(page, view, line):
    id = upload(page, file_of(noise()))["id"]
    answer = page.get(f"/uploads/{id}/view", params=view)
    assert (answer.status_code, answer.json()) == (400, {"error": line})
