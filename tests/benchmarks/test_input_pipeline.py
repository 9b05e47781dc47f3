# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The benchmark of the input pipeline runs, and its pixels are those of transformers."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import input_pipeline
from lingshu_jax.common import errors


@pytest.fixture
def folder(tmp_path: Path, rng: np.random.Generator) -> Path:
    """A grey and two coloured pictures whose sides are no multiples of 28, and a text."""
    for name, (width, height) in {"a.png": (75, 90), "b.jpg": (130, 61), "c.png": (29, 31)}.items():
        coarse = Image.fromarray(rng.integers(0, 256, (6, 7, 3), dtype=np.uint8))
        picture = coarse.resize((width, height), Image.Resampling.BICUBIC)
        (picture.convert("L") if name == "a.png" else picture).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def test_pixels_are_those_of_transformers(folder: Path) -> None:
    processor = input_pipeline.make_processor()
    assert processor is not None
    pictures = input_pipeline.find_pictures(folder, 9)
    assert [picture.is_grey for picture in pictures] == [True, False, False]
    for picture in pictures:
        input_pipeline.compare(processor, picture)


def test_a_changed_pixel_is_noticed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    processor = input_pipeline.make_processor()
    (picture, *_) = input_pipeline.find_pictures(folder, 9)
    image = picture.image.copy()
    ours = input_pipeline.ours_decoded(picture)
    theirs = input_pipeline.theirs_decoded(processor, picture)
    if input_pipeline.compare(processor, picture):
        assert input_pipeline.difference(ours, theirs) <= input_pipeline.TOLERANCE
        assert input_pipeline.difference(ours, theirs + 2e-6) > input_pipeline.TOLERANCE
    ours[0, 0] ^= 1
    assert input_pipeline.difference(ours, theirs) == np.inf
    image.putpixel((3, 3), (1, 2, 3))
    monkeypatch.setattr(input_pipeline, "ours_decoded", lambda _: ours)
    with pytest.raises(errors.UserError, match="pixels differ from those of transformers"):
        input_pipeline.compare(processor, picture)


def test_the_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    input_pipeline.main([f"--images={folder}", "--repeats=1", "--parts=images"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("of 3 files equal to transformers', bit for bit")
    rows = [line.split(" | ") for line in lines if line.startswith("| ")]
    assert [row[0] for row in rows] == [
        "| what",
        *(
            f"| {way} decoding, {group}"
            for way in ("after", "with")
            for group in ("3 images", "1 images, grey", "2 images, coloured")
        ),
    ]
    assert rows[1][-1] == "2.5 |" and rows[4][-1] == "1.8 |" and rows[2][-1] == "- |"
    assert all(float(cell.replace(",", "")) > 0 for row in rows[1:] for cell in row[2:4])


def test_without_transformers_ours_stand_alone(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(input_pipeline, "PROCESSOR", "transformers.gone")
    input_pipeline.main([f"--images={folder}", "--repeats=1"])
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| after")]
    assert rows[0].endswith("| - | - | - |")


def test_ratios_are_medians_of_pairs() -> None:
    seconds = [[np.array([1.0, 1.0]), np.array([n, n])] for n in (2.0, 9.0, 4.0)]
    row = input_pipeline.summarise("x", seconds, np.array([True, True]), 2.5)
    assert row.cells() == ("x", "images/s", "1.0", "0.2", "4.00 (2.00 to 9.00)", "2.5")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--parts=images"], "--images=DIR is required"),
        (["--parts=images,nothing"], "--parts must be of"),
    ],
)
def test_wrong_arguments(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        input_pipeline.main(arguments)
    assert line in capsys.readouterr().err


def test_a_folder_without_pictures_is_named(tmp_path: Path) -> None:
    with pytest.raises(errors.UserError, match="no pictures in"):
        input_pipeline.find_pictures(tmp_path, 3)
