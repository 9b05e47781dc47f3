# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures in the place of others: sizes, contents, who gets whose, and who gets none."""

import dataclasses
import importlib.util
import io
import pathlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lingshu_jax.common import errors
from lingshu_jax.data import images
from lingshu_jax.eval import benchmark, pictures, question_formats

KINDS = list(pictures.KINDS)
SIZES = ((40, 30), (30, 40), (64, 64))
has_pydicom = pytest.mark.skipif(
    importlib.util.find_spec("pydicom") is None, reason="needs lingshu_jax[data]"
)


def png(shade: int, size: tuple[int, int] = (40, 30)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (shade, 0, 255 - shade)).save(file, "PNG")
    return file.getvalue()


def sample(name: str, *media: Any, modality: str = "", group: str = "") -> benchmark.Sample:
    """A question; a list is a video."""
    (turn,) = question_formats.turn("Is it?", [m for m in media if not isinstance(m, list)])
    videos = [{"type": "video", "video": m} for m in media if isinstance(m, list)]
    return benchmark.Sample(
        id=name,
        question="Is it?",
        gold="yes",
        answer_type="yes_no",
        rule="vqa",
        messages=({**turn, "content": [*videos, *turn["content"]]},),
        group=group,
        strata={"modality": modality} if modality else {},
    )


def some(count: int = 8) -> list[benchmark.Sample]:
    """Questions about pictures of several sizes, by turns CT and MR."""
    return [
        sample(f"q{n}", png(n, SIZES[n % 3]), modality="CT" if n % 2 else "MRI")
        for n in range(count)
    ]


def pixels(one: benchmark.Sample, place: int = 0) -> np.ndarray:
    part = one.media[place]
    value = part[part["type"]]
    frames = value if isinstance(value, list) else [value]
    return np.stack([np.asarray(images.open_image(frame)) for frame in frames])


def shade(one: benchmark.Sample, place: int = 0) -> int:
    """The red of the middle, which names a picture of `png`."""
    frame = pixels(one, place)[0]
    return int(frame[frame.shape[0] // 2, frame.shape[1] // 2, 0])


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_and_texts_stay(kind: str) -> None:
    samples = some()
    change = pictures.change(kind, samples, others={"b": samples})
    for one in samples:
        assert change.covers(one)
        other = change.apply(one)
        assert pixels(other).shape == pixels(one).shape
        assert not np.array_equal(pixels(other), pixels(one))
        assert other.messages[0]["content"][1:] == one.messages[0]["content"][1:]
        assert dataclasses.replace(other, messages=one.messages) == one


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_is_made_again(kind: str) -> None:
    samples = some()
    first, again = (pictures.change(kind, samples) for _ in range(2))
    assert [first.apply(s) for s in samples] == [again.apply(s) for s in reversed(samples)][::-1]


@pytest.mark.parametrize("kind", KINDS)
def test_each_frame_of_a_video_is_replaced(kind: str, tmp_path: pathlib.Path) -> None:
    clip = [png(10), png(20), png(30)]
    files = [str(tmp_path / f"{n}.png") for n in range(2)]
    for n, file in enumerate(files):
        pathlib.Path(file).write_bytes(png(100 + n, (20, 50)))
    samples = [
        sample("a", clip, modality="MR"),
        sample("b", files, modality="MR"),
        sample("c", png(200), modality="CT"),
    ]
    change = pictures.change(kind, samples)
    first, second = (change.apply(one) for one in samples[:2])
    assert pixels(first).shape == (3, 30, 40, 3) and pixels(second).shape == (2, 50, 20, 3)
    if kind == "shuffled":
        assert [int(f[15, 20, 0]) for f in pixels(first)] == pytest.approx([100, 100, 101], abs=2)
        assert [int(f[25, 10, 0]) for f in pixels(second)] == pytest.approx([10, 20], abs=2)


def test_grey_is_grey_and_noise_is_not() -> None:
    one, two = some(2)
    grey, noise, photograph = (
        pixels(pictures.change(kind, [one, two]).apply(one))
        for kind in ("grey", "noise", "photograph")
    )
    assert (grey == images.BLANK).all()
    assert noise.std() > 60 and abs(noise.mean() - 127.5) < 12 and len(np.unique(noise)) == 16
    assert photograph.std() > 30 and (photograph[..., 0] != photograph[..., 2]).any()


def test_noise_differs_by_question_and_by_picture() -> None:
    two = sample("two", png(1), png(1))
    change = pictures.change("noise", [two])
    first, second = (pixels(change.apply(two), place) for place in range(2))
    assert not np.array_equal(first, second)
    other = change.apply(dataclasses.replace(two, id="other"))
    assert not np.array_equal(first, pixels(other))


def test_every_picture_goes_to_another_question_once() -> None:
    samples = [sample(f"q{n}", png(n)) for n in range(20)]
    samples += [dataclasses.replace(s, id=f"again {s.id}") for s in samples]
    change = pictures.change("shuffled", samples)
    given = {one.id: shade(change.apply(one)) for one in samples}
    assert sorted(given.values()) == sorted([*range(20)] * 2)
    for n in range(20):
        assert given[f"q{n}"] == given[f"again q{n}"] != n
    other = pictures.change("shuffled", samples, seed=1)
    assert [shade(other.apply(s)) for s in samples] != list(given.values())
    assert change.remarks == []


def test_pictures_come_from_another_patient_where_they_can() -> None:
    samples = [sample(f"q{n}", png(n), group=f"patient {n // 5}") for n in range(20)]
    change = pictures.change("shuffled", samples)
    assert all(shade(change.apply(samples[n])) // 5 != n // 5 for n in range(20))
    assert change.remarks == []


def test_pictures_of_one_patient_alone_are_told() -> None:
    samples = [sample(f"q{n}", png(n), group="one") for n in range(3)]
    change = pictures.change("shuffled", samples)
    assert all(shade(change.apply(samples[n])) != n for n in range(3))
    assert len(change.remarks) == 1 and "3 sets of pictures" in change.remarks[0]
    most = [*samples, sample("q9", png(9), group="two")]
    (remark,) = pictures.change("shuffled", most).remarks
    assert "2 sets of pictures" in remark


def test_the_number_of_pictures_stays() -> None:
    pairs = [sample(f"p{n}", png(n), png(100 + n)) for n in range(3)]
    lonely, text = sample("three", png(1), png(2), png(3)), sample("text")
    samples = [*pairs, *some(2), lonely, text]
    change = pictures.change("shuffled", samples)
    for n, one in enumerate(pairs):
        other = change.apply(one)
        assert shade(other, 1) - shade(other, 0) == 100 and shade(other, 0) != n
    assert not change.covers(lonely) and not change.covers(text)
    assert change.remarks == [
        "1 question has no picture and is left out",
        "1 question has pictures of which there are no other ones and is left out",
    ]


def test_a_smaller_picture_is_shown_whole_on_black() -> None:
    wide, high = sample("wide", png(200, (60, 20))), sample("high", png(100, (20, 60)))
    other = pixels(pictures.change("shuffled", [wide, high]).apply(wide))[0]
    columns = other[10, :, 0]
    assert (columns[:24] < 10).all() and (columns[-24:] < 10).all()
    assert columns[30] == pytest.approx(100, abs=2)


def test_another_modality_comes_from_other_questions() -> None:
    ct = [sample(f"c{n}", png(n), modality="CT(Computed Tomography)") for n in range(5)]
    mr = [sample(f"m{n}", png(100 + n), modality="MRI") for n in range(5)]
    same = [sample(f"s{n}", png(200 + n), modality="ct") for n in range(5)]
    change = pictures.change("other_modality", ct, others={"m": mr, "s": same})
    given = {shade(change.apply(one)) for one in ct}
    assert given <= {*range(100, 105)} and len(given) > 1
    assert change.remarks == [
        "5 questions get pictures of other questions, whose modality is another one by the words"
        " of the data sets"
    ]
    back = pictures.change("other_modality", mr, others={"c": ct, "s": same})
    assert {shade(back.apply(one)) for one in mr} <= {*range(5), *range(200, 205)}


@has_pydicom
def test_sample_files_stand_in() -> None:
    unknown, scan = sample("u", png(1)), sample("n", png(2), modality="PET")
    change = pictures.change("other_modality", [unknown, scan])
    assert all(pixels(change.apply(one)).std() > 5 for one in (unknown, scan))
    assert not np.array_equal(pixels(change.apply(unknown)), pixels(change.apply(scan)))
    assert "1 question gets a sample file of pydicom (CT)" in change.remarks[0]
    assert "1 question gets a sample file of pydicom (nuclear medicine)" in change.remarks[1]


def test_without_sample_files_questions_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    change = pictures.change("other_modality", [sample("u", png(1))])
    assert not change.covers(sample("u", png(1)))
    assert change.remarks == [
        "1 question is left out: the sample files come with lingshu_jax[data]"
    ]


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("CT(Computed Tomography)", "CT"),
        ("ct", "CT"),
        ("MR (Mag-netic Resonance Imaging)", "MR"),
        ("MRI", "MR"),
        ("OCT (Optical Coherence Tomography", "OCT"),
        ("X-Ray", "X-ray"),
        ("Chest radiograph", "X-ray"),
        ("PET/CT", "nuclear medicine"),
        ("ultrasound", "ultrasound"),
        ("Microscopy Images", "microscopy"),
        ("Fundus Photography", "fundus photography"),
        ("Dermoscopy", "dermoscopy"),
        ("Infrared Reflectance Imaging", "infrared reflectance imaging"),
        ("", ""),
    ],
)
def test_one_name_for_each_modality(name: str, family: str) -> None:
    assert pictures.modality(name) == family


def test_text_alone_has_neither_pictures_nor_their_numbers() -> None:
    two = sample("two", png(1), png(2))
    texts = [part.get("text") for part in two.messages[0]["content"]]
    assert texts == ["<image_1>: ", None, "<image_2>: ", None, "Is it?"]
    assert pictures.without(two).messages == sample("two").messages
    assert pictures.without(sample("two")) == sample("two")


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_that_cannot_be_read_is_an_error_when_it_is_asked(kind: str) -> None:
    torn = [*some(2), sample("torn", b"no picture", modality="X-ray")]
    change = pictures.change(kind, torn)
    assert change.covers(torn[-1])
    with pytest.raises(errors.UserError, match="does not decode"):
        change.apply(torn[-1])
