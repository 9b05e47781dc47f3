# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Prompts and pictures of samples: paths, pictures in memory, videos of either."""

import dataclasses
import io
import pathlib
from typing import Any

import pytest
from PIL import Image

from lingshu_jax.common import errors
from lingshu_jax.data import images
from lingshu_jax.engines import protocol
from lingshu_jax.eval import asking, benchmark, pictures

GREEDY = protocol.SamplingParams(max_new_tokens=1)


def png(width: int, height: int, shade: int = 90) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (shade,) * 3).save(file, "PNG")
    return file.getvalue()


def sample(*media: Any, id: str = "a", text: str = "Is it?") -> benchmark.Sample:
    """A question; a list is a video."""
    kinds = ["video" if isinstance(m, list) else "image" for m in media]
    content = [{"type": kind, kind: m} for kind, m in zip(kinds, media, strict=True)]
    content.append({"type": "text", "text": text})
    return benchmark.Sample(
        id=id,
        question=text,
        gold="yes",
        answer_type="yes_no",
        rule="vqa",
        messages=({"role": "user", "content": content},),
    )


@pytest.fixture
def path(tmp_path: pathlib.Path) -> str:
    """The same picture as a file."""
    (tmp_path / "a.png").write_bytes(png(30, 20))
    return str(tmp_path / "a.png")


def test_sizes_come_from_headers_alone(path: str) -> None:
    torn = png(400, 300)[:60]
    samples = [sample(path, png(8, 9)), sample([png(5, 4), png(5, 4)]), sample(), sample(torn)]
    assert asking.read_sizes(samples) == [(672, 6), (40, 6), (0, 6), (120_000, 6)]


def test_a_picture_without_a_header_is_an_error_of_its_question(path: str) -> None:
    samples = [sample(b"no picture"), sample("nowhere.png"), sample(path)]
    broken, missing, whole = asking.read_sizes(samples)
    assert isinstance(broken, errors.UserError) and "does not decode" in str(broken)
    assert isinstance(missing, errors.UserError) and "nowhere.png" in str(missing)
    assert whole == (600, 6)
    with pytest.raises(errors.UserError, match="does not decode"):
        asking.check_media(samples)


def test_many_pictures_are_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_AT_ONCE", 3)
    samples = [sample(png(4, 1 + i // 2), id=str(i)) for i in range(20)]
    assert asking.read_sizes(samples) == [(4 * (1 + i // 2), 6) for i in range(20)]


def test_pictures_have_a_digest(path: str) -> None:
    def digest(*media: Any) -> str:
        return asking.digest_pictures(sample(*media))

    assert digest() == ""
    given = [(path,), (png(30, 20),), (png(30, 20, 91),), ([png(5, 4)],), ([path, path],)]
    digests = [digest(*media) for media in given]
    assert len({*digests}) == len(given)
    assert digests == [digest(*media) for media in given]
    pathlib.Path(path).write_bytes(b"longer than it was, or shorter")
    assert digest(path) != digests[0]


def test_the_digest_of_the_questions() -> None:
    base = sample(png(3, 3))
    others = [
        dataclasses.replace(base, gold="no"),
        sample(png(3, 3), text="Is it not?"),
        sample(png(3, 3), png(3, 3)),
        sample(png(3, 3), id="b"),
    ]
    assert asking.digest([base]) == asking.digest([sample(png(9, 9))])
    assert len({asking.digest([s]) for s in [base, *others]}) == 1 + len(others)


def test_each_picture_weighs_once(path: str) -> None:
    size, other = len(png(30, 20)), png(8, 9)
    samples = [sample(path), sample(path, other), sample([path, path]), sample(other)]
    assert asking.weigh(samples) == (3, size + len(other) + 2 * size)


@pytest.mark.parametrize("kind", ["path", "bytes", "video"])
def test_blind_keeps_sizes_and_numbers(path: str, kind: str) -> None:
    given = {"path": path, "bytes": png(30, 20), "video": [path, png(30, 20)]}[kind]
    asked = asking.request(sample(given), prompt="direct", blind=True, sampling=GREEDY)
    (part, text) = asked.messages[0]["content"]
    frames = part[part["type"]] if kind == "video" else [part["image"]]
    assert len(frames) == (2 if kind == "video" else 1)
    for frame in frames:
        picture = images.open_image(frame)
        assert picture.getcolors() == [(600, (128, 128, 128))] and picture.size == (30, 20)
    assert text["text"] == "Is it?"


def test_the_prompts_of_a_benchmark_have_a_hash() -> None:
    samples = [sample(text="Is it?\nPlease answer the question concisely.")]
    assert len({asking.digest_prompts(samples, prompt) for prompt in asking.PROMPTS}) == 3
    assert asking.digest_prompts(samples, "direct") != asking.digest_prompts([], "direct")


def test_pictures_in_memory_are_shown_as_files_are(path: str) -> None:
    from_file, from_memory = map(pictures.shown, sample(path, png(30, 20)).media)
    assert from_file.tobytes() == from_memory.tobytes() and from_file.size == (30, 20)
