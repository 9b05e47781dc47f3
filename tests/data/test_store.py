# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
import dataclasses
import io
import os
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lingshu_jax.common import errors
from lingshu_jax.data import images, messages, packing, records, sources, store
from tests.data import stores

BUDGET = packing.Budget(tokens=400, patches=64 * 4)
LIMITS = {"min_pixels": 784, "max_pixels": 784 * 16}


@pytest.fixture(scope="module")
def encoder(byte_folder: Path) -> messages.Encoder:
    return messages.Encoder(byte_folder, **LIMITS)


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> list[sources.Example]:
    return stores.make_examples(tmp_path_factory.mktemp("images"), 12)


def build(
    examples: Iterable[sources.Example],
    encoder: messages.Encoder,
    folder: Path,
    *,
    mixture: str = "m",
    **options: Any,
) -> store.Store:
    return store.build(
        examples,
        encoder,
        names=("text", "images"),
        folder=folder,
        mixture=mixture,
        options=store.Options(**{"budget": BUDGET, **options}),
    )


def assert_same(ours: messages.Encoded, theirs: messages.Encoded) -> None:
    for name in ("tokens", "loss_weights", "positions"):
        left, right = getattr(ours, name), getattr(theirs, name)
        assert left.dtype == right.dtype and left.tolist() == right.tolist(), name
    assert (ours.id, ours.source_id) == (theirs.id, theirs.source_id)
    assert len(ours.media) == len(theirs.media)
    for left, right in zip(ours.media, theirs.media, strict=True):
        assert left.span == right.span and left.blank == right.blank
        np.testing.assert_array_equal(images.load_patches(left), images.load_patches(right))


def test_rows_are_what_the_encoder_made(
    examples: list[sources.Example], encoder: messages.Encoder, tmp_path: Path
) -> None:
    rows = build(examples, encoder, tmp_path)
    assert len(rows) == len(examples) == len(rows.lengths)
    for number, example in enumerate(examples):
        source_id = ("text", "images").index(example.source)
        expected = encoder.encode(example.messages, id=example.id, source_id=source_id)
        assert_same(rows[number], expected)
        assert rows.lengths[number] == packing.length(expected, encoder.geometry)
        assert rows.source_ids[number] == source_id


def png(grey: int = 9) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (56, 84), grey).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "image", "image": png()}],
        [{"type": "image", "image": Image.new("RGBA", (60, 60), (250, 9, 9, 99))}],
        [
            {"type": "image", "image": png(1)},
            {"type": "text", "text": "and\n"},
            {"type": "video", "video": [png(2), png(3), png(4)], "fps": 3.0},
        ],
    ],
    ids=["bytes", "picture_in_memory", "frames"],
)
def test_embedded_pictures_are_kept(
    content: list[dict[str, Any]], encoder: messages.Encoder, tmp_path: Path
) -> None:
    conversation = ({"role": "user", "content": content}, {"role": "assistant", "content": "yes"})
    example = sources.Example(id="\udcff\n", source="images", messages=conversation)
    row = build([example], encoder, tmp_path)[0]
    assert_same(row, encoder.encode(conversation, id=example.id, source_id=1))


def test_blank_images_and_weights_survive(encoder: messages.Encoder, byte_folder: Path) -> None:
    blank = messages.Encoder(byte_folder, blank_images=True, **LIMITS)
    encoded = blank.encode(stores.make_example(1, png()).messages)
    weights = np.asarray([0, 0.5, 0.25, 0.25] * 50, np.float32)[: encoded.num_tokens]
    encoded = dataclasses.replace(encoded, loss_weights=weights)
    assert_same(records.unpack(records.pack(encoded), encoder.geometry), encoded)


def no_examples() -> Iterable[sources.Example]:
    raise AssertionError("the rows are read again")
    yield


def test_what_is_encoded_is_not_read_again(
    examples: list[sources.Example], encoder: messages.Encoder, tmp_path: Path
) -> None:
    rows = build(examples, encoder, tmp_path / "deep" / "folder")
    again = build(no_examples(), encoder, tmp_path / "deep" / "folder")
    assert again.digest == rows.digest and len(again) == len(rows)
    assert_same(again[5], rows[5])
    with pytest.raises(AssertionError, match="read again"):
        build(no_examples(), encoder, tmp_path / "elsewhere")


def other_tokenizer(folder: Path) -> dict[str, Any]:
    vocab = (folder / "vocab.json").read_text()
    (folder / "vocab.json").write_text(vocab.replace('"he": 256', '"eh": 256'))
    (folder / "merges.txt").write_text("#version: 0.2\ne h\n")
    return {}


def other_limits(folder: Path) -> dict[str, Any]:
    return {"max_pixels": 784 * 9}


@pytest.mark.parametrize("change", [other_tokenizer, other_limits, lambda folder: {}])
def test_another_encoder_encodes_anew(
    change: Callable[[Path], dict[str, Any]],
    examples: list[sources.Example],
    byte_folder: Path,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "hf"
    folder.mkdir()
    for file in byte_folder.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    before = build(examples, messages.Encoder(folder, **LIMITS), tmp_path / "rows")
    changed = {**LIMITS, **change(folder)}
    after = build(examples, messages.Encoder(folder, **changed), tmp_path / "rows")
    is_same = changed == LIMITS and "he" in (folder / "vocab.json").read_text()
    assert (after.digest == before.digest) == is_same
    assert len(list((tmp_path / "rows").iterdir())) == (1 if is_same else 2)


@pytest.mark.parametrize(
    "options",
    [
        {"mixture": "other"},
        {"policy": "cut_turns"},
        {"budget": packing.Budget(500, 256)},
        {"verify_images": True},
    ],
    ids=lambda options: next(iter(options)),
)
def test_other_options_encode_anew(
    options: dict[str, Any],
    examples: list[sources.Example],
    encoder: messages.Encoder,
    tmp_path: Path,
) -> None:
    digests = {build(examples, encoder, tmp_path, **o).digest for o in ({}, options)}
    assert len(digests) == 2


def test_bad_examples_are_dropped_with_their_reason(
    examples: list[sources.Example], encoder: messages.Encoder, tmp_path: Path
) -> None:
    question = {"role": "user", "content": "a"}
    answer = {"role": "assistant", "content": "b"}
    bad = {
        "missing": [{"role": "user", "content": [{"type": "image", "image": "/no.png"}]}, answer],
        "empty": [question, {"role": "assistant", "content": ""}],
        "untrained": [question],
        "long": [{"role": "user", "content": "a" * 500}, answer],
    }
    rows = [
        sources.Example(id=name, source="text", line=7, messages=tuple(rows))
        for name, rows in bad.items()
    ]
    for _ in range(2):  # the second time from the files
        found = build([*examples[:5], *rows], encoder, tmp_path)
        assert len(found) == 5 and not found.rewritten
        assert [(row.id, row.source, row.line) for row in found.dropped] == [
            (name, "text", 7) for name in bad
        ]
        reasons = [row.reason for row in found.dropped]
        for reason, expected in zip(
            reasons,
            ["image not found: /no.png", "is empty", "no assistant message", "does not fit into"],
            strict=True,
        ):
            assert expected in reason


def test_rewritten_rows_are_told(
    examples: list[sources.Example], encoder: messages.Encoder, tmp_path: Path
) -> None:
    turns = [{"role": "user", "content": "a" * 300}, {"role": "assistant", "content": "b"}]
    long = sources.Example(id="long", source="text", line=3, messages=tuple(turns * 2))
    rows = build([long, *examples], encoder, tmp_path, policy="cut_turns")
    assert not rows.dropped and len(rows) == 13
    [told] = rows.rewritten
    assert told == sources.Dropped(
        id="long", source="text", line=3, reason="earlier turns cut: 1 of 2 questions"
    )


def test_a_truncated_image_is_dropped_when_verified(
    examples: list[sources.Example], encoder: messages.Encoder, tmp_path: Path
) -> None:
    rows = [stores.truncated_example(tmp_path), *examples[:3]]
    assert not build(rows, encoder, tmp_path / "rows").dropped
    found = build(rows, encoder, tmp_path / "rows", verify_images=True)
    assert [row.id for row in found.dropped] == ["row77"]
    assert "does not decode" in found.dropped[0].reason


@pytest.mark.parametrize("made", [0, 1, 2])
def test_without_an_example_nothing_is_written(
    made: int, examples: list[sources.Example], encoder: messages.Encoder, tmp_path: Path
) -> None:
    folder = tmp_path / "a" / "b"
    (tmp_path, folder.parent, folder)[made].mkdir(parents=True, exist_ok=True)
    with pytest.raises(errors.UserError, match="no example to read, 12 dropped; the first: "):
        build(examples, encoder, folder, budget=packing.Budget(8, 64))
    assert len(list(tmp_path.rglob("*"))) == made


def test_a_build_that_fails_leaves_nothing(
    examples: list[sources.Example], encoder: messages.Encoder, tmp_path: Path
) -> None:
    def broken() -> Iterable[sources.Example]:
        yield examples[0]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="gone"):
        build(broken(), encoder, tmp_path)
    assert not list(tmp_path.iterdir())
    assert len(build(examples, encoder, tmp_path)) == 12


def test_the_first_of_two_builds_stays(
    examples: list[sources.Example], encoder: messages.Encoder, tmp_path: Path
) -> None:
    def overtaken() -> Iterable[sources.Example]:
        yield from examples[:6]
        build(examples, encoder, tmp_path)
        yield from examples[6:]

    rows = build(overtaken(), encoder, tmp_path)
    assert len(rows) == 12 and [path.name for path in tmp_path.iterdir()] == [rows.digest]


def test_what_a_killed_process_left_is_removed_a_day_later(
    examples: list[sources.Example], encoder: messages.Encoder, tmp_path: Path
) -> None:
    left = [tmp_path / f"x.partial-{name}" for name in ("old", "new")]
    for folder in left:
        (folder / "rows").mkdir(parents=True)
    yesterday = time.time() - store.ABANDONED_SECONDS - 9
    os.utime(left[0], (yesterday, yesterday))
    build(examples, encoder, tmp_path)
    assert [folder.exists() for folder in left] == [False, True]


def test_threads_read_at_the_same_time(
    examples: list[sources.Example], encoder: messages.Encoder, tmp_path: Path
) -> None:
    rows = build(examples, encoder, tmp_path)
    found: list[bool] = []

    def read(seed: int) -> None:
        for number in np.random.default_rng(seed).integers(0, 12, 300).tolist():
            found.append(rows[number].id == f"row{number}")

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 * 300 and all(found)
