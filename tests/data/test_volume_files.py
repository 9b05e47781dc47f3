# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""DICOM and NIfTI files in rows: as images, as videos, chosen by a fragment; nothing personal."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image

from lingshu_jax import inspect_data, inspect_summary
from lingshu_jax.common import errors
from lingshu_jax.data import dicom, images, messages, nifti, sources, volume_files
from tests.data import dicom_files

BUNDLED = Path(pydicom.__file__).parent / "data" / "test_files"
CLIP = str(BUNDLED / "examples_ybr_color.dcm")


@pytest.fixture(scope="module")
def encoder(byte_folder: Path) -> messages.Encoder:
    return messages.Encoder(byte_folder, min_pixels=784, max_pixels=784 * 16)


@pytest.fixture
def scan(tmp_path: Path) -> str:
    """A NIfTI volume of 9 axial slices, 10 rows and 11 columns, of values that all differ."""
    values = np.arange(11 * 10 * 9, dtype=np.int16).reshape(11, 10, 9)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "scan.nii.gz")
    return str(tmp_path / "scan.nii.gz")


def ask(kind: str, value: images.Visual, **extra: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": kind, kind: value, **extra}]}]


def pixels(visual: images.Visual) -> np.ndarray:
    return np.stack([np.asarray(frame) for frame in images.open_frames(visual)])


@pytest.mark.parametrize(
    ("fragment", "expected"),
    [
        ("", volume_files.Choice()),
        ("#frame=0", volume_files.Choice(frame=0)),
        ("#plane=coronal&frames=8", volume_files.Choice(plane="coronal", frames=8)),
        ("#volume=3&frame=12", volume_files.Choice(volume=3, frame=12)),
    ],
)
def test_fragments(fragment: str, expected: volume_files.Choice) -> None:
    assert volume_files.split_fragment("a b/c.nii.gz" + fragment) == ("a b/c.nii.gz", fragment)
    assert volume_files.parse(fragment) == expected
    assert volume_files.parse(expected.fragment()) == expected


@pytest.mark.parametrize(
    "fragment",
    [
        "#slice=3",
        "#plane=oblique",
        "#frame=x",
        "#frame=",
        "#frames=0",
        "#frame=1&frames=2",
        "#frame=1&frame=2",
        "#frame=9999999999",
    ],
)
def test_fragments_that_say_nothing(fragment: str, scan: str) -> None:
    with pytest.raises(errors.UserError, match=fragment.partition("=")[0]) as caught:
        images.read_shape(scan + fragment, is_video=True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a#1.png", "#.png", "a#frame=1.png", "b#c"])
def test_a_hash_in_a_name_is_no_fragment(name: str, tmp_path: Path) -> None:
    assert volume_files.split_fragment(name) == (name, "")
    Image.new("L", (30, 40)).save(tmp_path / name, "PNG")
    assert images.read_shape(str(tmp_path / name), is_video=False)[:3] == (1, 40, 30)


@pytest.mark.parametrize(
    ("choice", "count", "expected"),
    [
        (volume_files.Choice(), 4, [0, 1, 2, 3]),
        (volume_files.Choice(frame=3), 4, [3]),
        (volume_files.Choice(frame=4), 4, []),
        (volume_files.Choice(frames=1), 9, [4]),
        (volume_files.Choice(frames=3), 9, [1, 4, 7]),
        (volume_files.Choice(frames=4), 10, [1, 3, 6, 8]),
        (volume_files.Choice(frames=20), 3, [0, 1, 2]),
    ],
)
def test_chosen_frames(choice: volume_files.Choice, count: int, expected: list[int]) -> None:
    assert choice.indices(count) == expected


def test_kinds_are_told_by_suffix_or_content(tmp_path: Path, scan: str) -> None:
    plain = dicom_files.write(tmp_path / "IM0001", np.zeros((30, 40), np.uint8))
    found = volume_files.find(str(plain))
    assert found is not None and found.kind == "dicom"
    for path, kind in ((BUNDLED / "zipMR.gz", "dicom"), (Path(scan), "nifti")):
        for source in (str(path), path.read_bytes()):
            found = volume_files.find(source)
            assert found is not None and found.kind == kind
    Image.new("L", (30, 40)).save(tmp_path / "a.png")
    assert volume_files.find(str(tmp_path / "a.png")) is None
    assert volume_files.find(b"\x1f\x8bnonsense") is None


def test_a_dicom_image_simply_works(encoder: messages.Encoder, tmp_path: Path) -> None:
    path = BUNDLED / "CT_small.dcm"
    (media,) = encoder.encode(ask("image", str(path))).media
    picture = Image.fromarray(dicom.read(path).frames[0])
    (expected,) = encoder.encode(ask("image", picture)).media
    assert media.grid == expected.grid and media.seconds_per_grid is None
    np.testing.assert_array_equal(images.load_patches(media), images.load_patches(expected))
    again = encoder.encode(ask("image", path.read_bytes())).media[0]
    np.testing.assert_array_equal(images.load_patches(again), images.load_patches(expected))
    other = encoder.encode(ask("image", str(BUNDLED / "MR_small.dcm"))).media[0]
    assert images.load_patches(other).shape != images.load_patches(media).shape


def test_a_clip_is_a_video_with_its_own_clock(encoder: messages.Encoder) -> None:
    (media,) = encoder.encode(ask("video", CLIP)).media
    assert media.grid.t == 15 and media.seconds_per_grid == pytest.approx(2 * 33.333e-3)
    np.testing.assert_array_equal(pixels(CLIP), dicom.read(CLIP).frames)
    (slower,) = encoder.encode(ask("video", CLIP, fps=4)).media  # the row knows better
    assert slower.seconds_per_grid == 0.5
    (fewer,) = encoder.encode(ask("video", CLIP + "#frames=10")).media
    assert fewer.grid.t == 5 and fewer.seconds_per_grid == pytest.approx(3 * 2 * 33.333e-3)
    chosen = dicom.read(CLIP).frames[[1, 4, 7, 10, 13, 16, 19, 22, 25, 28]]
    np.testing.assert_array_equal(pixels(CLIP + "#frames=10"), chosen)


def test_a_volume_is_a_video_at_the_default_rate(encoder: messages.Encoder, scan: str) -> None:
    (media,) = encoder.encode(ask("video", scan)).media
    assert media.grid.t == 5 and media.seconds_per_grid == 1.0
    np.testing.assert_array_equal(pixels(scan), nifti.read(scan).frames)
    np.testing.assert_array_equal(
        pixels(scan + "#plane=sagittal&frames=2"), nifti.read(scan, "sagittal").frames[[2, 8]]
    )
    assert (nifti.read(scan, "sagittal").frames[2] != nifti.read(scan, "sagittal").frames[3]).any()


def test_several_frames_are_no_image_unless_chosen(encoder: messages.Encoder, scan: str) -> None:
    for path in (scan, CLIP):
        with pytest.raises(errors.UserError, match=r"holds \d+ frames: it is a video.*#frame=0"):
            encoder.encode(ask("image", path))
        (media,) = encoder.encode(ask("image", path + "#frame=3")).media
        assert media.grid.t == 1 and media.seconds_per_grid is None
        with pytest.raises(errors.UserError, match=r"frame=99: there are \d+ frames"):
            encoder.encode(ask("image", path + "#frame=99"))


def test_expand_names_every_chosen_frame(scan: str) -> None:
    assert images.expand(scan) == [scan] and images.expand(b"png") == [b"png"]
    assert images.expand(scan + "#frames=3") == [f"{scan}#frame={i}" for i in (1, 4, 7)]
    coronal = images.expand(scan + "#plane=coronal")
    assert coronal == [f"{scan}#plane=coronal&frame={i}" for i in range(10)]
    frames = [np.asarray(images.open_image(name)) for name in images.expand(scan + "#frames=3")]
    np.testing.assert_array_equal(frames, nifti.read(scan).frames[[1, 4, 7]])


@pytest.mark.parametrize(
    ("suffix", "reason"),
    [
        ("scan.nii.gz#frame=9", "there are 9 frames, the first is frame=0"),
        ("gone.nii.gz#frame=1", "image not found"),
        ("a.png#frame=0", "only DICOM and NIfTI files have frames to choose from"),
        ("a.dcm#plane=axial", "has neither planes nor volumes"),
        ("scan.nii.gz#volume=1", "no volume 1"),
    ],
)
def test_choices_that_there_are_not(suffix: str, reason: str, scan: str) -> None:
    folder = Path(scan).parent
    Image.new("L", (30, 40)).save(folder / "a.png")
    dicom_files.write(folder / "a.dcm", np.zeros((30, 40), np.uint8))
    for use in (images.expand, lambda name: images.read_shape(name, is_video=True)):
        with pytest.raises(errors.UserError, match=reason):
            use(str(folder / suffix))


def test_frames_of_one_file_are_read_once_and_a_new_file_is_seen(scan: str) -> None:
    volume_files._read.cache_clear()
    for name in images.expand(scan + "#frames=4"):
        images.open_image(name)
    assert volume_files._read.cache_info().misses == 1
    before = pixels(scan)
    values = np.arange(11 * 10 * 9, dtype=np.int16)[::-1].reshape(11, 10, 9)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), scan)
    os.utime(scan, (1, 1))
    assert (pixels(scan) != before).any()


def test_without_the_extra_one_line_names_it(tmp_path: Path, scan: str) -> None:
    path = dicom_files.write(tmp_path / "a.dcm", np.zeros((30, 40), np.uint8))
    program = f"""
import sys
sys.modules["pydicom"] = sys.modules["nibabel"] = None  # what a missing package looks like
from lingshu_jax.common import errors
from lingshu_jax.data import images
for path in ({str(path)!r}, {scan!r}):
    try:
        images.read_shape(path, is_video=True)
    except errors.UserError as error:
        print(error)
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines() == [
        f"reading {kind} files needs {package}: pip install 'lingshu-jax[data]'"
        for kind, package in (("dicom", "pydicom"), ("nifti", "nibabel"))
    ]


def write_rows(folder: Path, parts: list[dict[str, Any]]) -> Path:
    turns = [
        [
            {"role": "user", "content": [part, {"type": "text", "text": "What is it?"}]},
            {"role": "assistant", "content": "A scan."},
        ]
        for part in parts
    ]
    rows = [json.dumps({"id": f"row{i}", "messages": turn}) for i, turn in enumerate(turns)]
    (folder / "rows.jsonl").write_text("\n".join(rows))
    return folder / "rows.jsonl"


def test_rows_of_a_file_name_volumes_as_they_name_pictures(
    encoder: messages.Encoder, tmp_path: Path, scan: str
) -> None:
    del scan  # it stands beside the rows
    dicom_files.write(tmp_path / "a.dcm", np.arange(1200, dtype=np.uint16).reshape(30, 40))
    parts = [
        {"type": "image", "image": "a.dcm"},
        {"type": "video", "video": "scan.nii.gz", "fps": 1},
        {"type": "video", "video": "scan.nii.gz#plane=coronal&frames=4"},
        {"type": "image", "image": "scan.nii.gz#frames=3", "max_pixels": 3136},
        {"type": "image", "image": "scan.nii.gz"},
        {"type": "image", "image": "scan.nii.gz#frame=50"},
        {"type": "image", "image": "../elsewhere.nii.gz#frame=1"},
    ]
    path = write_rows(tmp_path, parts)
    reading = sources.read(sources.Source(name="scans", path=str(path), format="messages"))
    assert [row.id for row in reading.dropped] == ["row5", "row6"]
    assert "there are 9 frames" in reading.dropped[0].reason
    encoded = [encoder.encode(example.messages) for example in reading.examples[:4]]
    assert [[media.grid.t for media in row.media] for row in encoded] == [[1], [5], [2], [1] * 3]
    assert encoded[1].media[0].seconds_per_grid == 2.0
    with pytest.raises(errors.UserError, match="holds 9 frames"):
        encoder.encode(reading.examples[4].messages)


def test_planted_names_reach_no_output(
    tmp_path: Path,
    encoder: messages.Encoder,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    values = np.random.default_rng(0).integers(0, 4000, (40, 40)).astype(np.uint16)
    dicom_files.write(
        tmp_path / "good.dcm", values, SeriesNumber="4711", PatientComments="Dr House"
    )
    broken = (tmp_path / "good.dcm").read_bytes().replace(b"IS\x04\x004711", b"IS\x04\x00JANE")
    (tmp_path / "odd.dcm").write_bytes(broken)
    (tmp_path / "cut.dcm").write_bytes(broken[:-100])
    image = nibabel.Nifti1Image(np.arange(999, dtype=np.int16).reshape(9, -1, 3), np.eye(4))
    image.header["descrip"] = dicom_files.SECRETS[0]
    nibabel.save(image, tmp_path / "scan.nii.gz")
    names = ("good.dcm", "odd.dcm", "cut.dcm", "scan.nii.gz#frame=1")
    path = write_rows(tmp_path, [{"type": "image", "image": name} for name in names])
    source = sources.Source(name="scans", path=str(path), format="messages")
    with caplog.at_level(logging.DEBUG):
        task = inspect_data.task_of_source(
            source, tokenizer=None, min_pixels=784, max_pixels=7840, prompts=False
        )
        summary = inspect_data.inspect(task, tmp_path / "out", rows=9, strict=False)
    assert isinstance(summary, inspect_summary.Summary)
    assert [summary.total.accepted, summary.total.refused] == [3, 1]
    assert summary.total.header_elements == 10 + 10 + 1
    written = "".join(file.read_text() for file in (tmp_path / "out").iterdir())
    assert "does not decode" in written
    seen = (
        written + caplog.text + "".join(capfd.readouterr()) + "".join(os.listdir(tmp_path / "out"))
    )
    for secret in (*dicom_files.SECRETS, "JANE"):
        assert secret.encode() in broken or secret.encode() in (tmp_path / "good.dcm").read_bytes()
        assert secret not in seen
    assert images.dropped_tags(str(tmp_path / "good.dcm")) == 10
    assert images.dropped_tags((str(tmp_path / "scan.nii.gz#frame=1"), Image.new("L", (9, 9)))) == 1
