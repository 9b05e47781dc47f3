# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Rows and files that were changed at random: no crash, no hang, every row accounted for."""

import copy
import json
import pathlib
import random
import shutil
import time
from typing import Any

import pytest
from PIL import Image

from lingshu_jax.common import errors
from lingshu_jax.data import formats, messages, sources, tokenizer_files
from tests.data import real_rows, test_formats

pytestmark = pytest.mark.fuzz

ROWS, ROWS_REDUCED = 500, 40  # changed rows of each format
FILES, FILES_REDUCED = 100, 8  # changed files of each format
SECONDS = 20  # for one file; far above what any takes
JUNK: list[Any] = [None, True, 0, -1, 10**400, 1.5, float("nan"), "", " \n", "\0", "\ud800", [], {}]
JUNK += ["<image>", "<video>", "<|image_pad|>", "../0.png", "gone.png", "x" * 5000, [[]], [{}]]
JUNK += ["data:image/png;base64,AA", "https://x.org/a.png", {"bytes": "AAAA"}, {"path": "0.png"}]
JUNK += ["user", "assistant", "system", "tool", ["0.png"], {"role": "user", "content": "x"}]
LINES = sorted({"easyr1", "llava", "messages", "swift", "verl", "array_record"})


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> list[real_rows.Question]:
    """Six with no, one or two images, all beside one another."""
    folder = tmp_path_factory.mktemp("images")
    images = [folder / f"{i}.png" for i in range(2)]
    for image in images:
        Image.new("RGB", (56, 56)).save(image)
    return [
        real_rows.Question(f"q{i}", f"Is it {i}?", "yes", tuple(images[: i % 3])) for i in range(6)
    ]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> messages.Encoder:
    folder = tmp_path_factory.mktemp("hf")
    tokenizer_files.write_tokenizer(folder, (), tokenizer_files.MIN_VOCAB)
    return messages.Encoder(folder, min_pixels=784, max_pixels=16 * 784)


def mutate(value: Any, rng: random.Random) -> Any:
    """A value with one change somewhere inside it."""
    inner = isinstance(value, dict | list) and len(value) > 0
    if inner and rng.random() < 0.75:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = rng.choice(keys)
        value = copy.copy(value)
        value[key] = mutate(value[key], rng)
        return value
    choice = rng.randrange(4)
    if choice == 0 and isinstance(value, list):
        return [*value, copy.deepcopy(rng.choice(value))] if value else [rng.choice(JUNK)]
    if choice == 1 and inner:
        kept = copy.copy(value)
        del kept[rng.choice(list(value) if isinstance(value, dict) else range(len(value)))]
        return kept
    if choice == 2:
        return [value]
    return copy.deepcopy(rng.choice(JUNK))


def read(path: pathlib.Path, word: str, **options: Any) -> sources.Reading:
    """Reads within the time; every refused row has a reason of one line."""
    start = time.monotonic()
    reading = sources.read(sources.Source(name="s", path=str(path), format=word, **options))
    assert time.monotonic() - start < SECONDS
    for row in reading.dropped:
        assert row.reason and "\n" not in row.reason and row.id
    return reading


def encode_all(reading: sources.Reading, encoder: messages.Encoder) -> None:
    """What was read encodes, or is refused in one line; its meta is JSON."""
    for example in reading.examples:
        json.dumps(example.meta)
        try:
            encoder.encode(example.messages)
        except errors.UserError as error:
            assert str(error)


def written_rows(word: str, folder: pathlib.Path, rows: list[real_rows.Question]) -> list[Any]:
    """Rows of a format as JSON values."""
    path = real_rows.WRITERS[word](folder, rows)
    if path.is_dir():
        path = path / "train.parquet"
    found = [row for _, row in formats.read_rows(path)]
    return json.loads(json.dumps(found, default=lambda data: "AA=="))


@pytest.mark.parametrize("word", LINES)
def test_changed_rows(
    word: str,
    reduced: bool,
    tmp_path: pathlib.Path,
    questions: list[real_rows.Question],
    encoder: messages.Encoder,
) -> None:
    rng = random.Random(word)
    rows = written_rows(word, tmp_path, questions)
    count = ROWS_REDUCED if reduced else ROWS
    changed = [mutate(mutate(rng.choice(rows), rng), rng) for _ in range(count)]
    lines = [json.dumps(row) for row in changed]
    if word == "array_record":
        path = tmp_path / "changed.array_record"
        test_formats.write_array_record(path, [line.encode() for line in lines])
    else:
        path = tmp_path / "changed.jsonl"
        path.write_text("".join(f"{line}\n" for line in lines))
    reading = read(path, word, allow_outside=True)
    places = {row.line for row in [*reading.examples, *reading.dropped]}
    assert places == set(range(1, count + 1)), "every row is accounted for"
    assert reading.dropped, "the changes are real"
    encode_all(reading, encoder)


def test_changed_lists_of_data_sets(
    reduced: bool,
    tmp_path: pathlib.Path,
    questions: list[real_rows.Question],
    encoder: messages.Encoder,
) -> None:
    rng = random.Random(0)
    folder = real_rows.write_llamafactory(tmp_path, questions)
    info = json.loads((folder / "dataset_info.json").read_text())
    rows = json.loads((folder / "rows.json").read_text())
    for _ in range(ROWS_REDUCED if reduced else ROWS):
        (folder / "dataset_info.json").write_text(json.dumps(mutate(info, rng)))
        (folder / "rows.json").write_text(json.dumps(mutate(rows, rng)))
        try:
            encode_all(read(folder, "llamafactory", allow_outside=True), encoder)
        except errors.UserError as error:
            assert "dataset_info.json" in str(error)


def damage(data: bytes, rng: random.Random) -> bytes:
    """Bytes with some of them changed, put in, taken out, or cut off."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 3, 20))):
        place = rng.randrange(len(changed) or 1)
        choice = rng.randrange(4)
        if choice == 0:
            changed[place : place + 1] = bytes([rng.randrange(256)])
        elif choice == 1:
            changed[place:place] = rng.randbytes(rng.randrange(1, 9))
        elif choice == 2:
            del changed[place : place + rng.randrange(1, 9)]
        elif rng.random() < 0.2:
            del changed[place:]
    return bytes(changed)


@pytest.mark.parametrize("word", sorted(real_rows.WRITERS))
def test_damaged_files(
    word: str,
    reduced: bool,
    tmp_path: pathlib.Path,
    questions: list[real_rows.Question],
    encoder: messages.Encoder,
) -> None:
    rng = random.Random(word)
    (tmp_path / "good").mkdir()
    whole = real_rows.WRITERS[word](tmp_path / "good", questions)
    total = 0
    for i in range(FILES_REDUCED if reduced else FILES):
        folder = tmp_path / f"bad{i}"
        shutil.copytree(tmp_path / "good", folder)
        file = rng.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
        file.write_bytes(damage(file.read_bytes(), rng))
        path = folder / whole.relative_to(tmp_path / "good")
        try:
            reading = read(path, word, allow_outside=True)
        except errors.UserError as error:
            assert str(folder) in str(error), "the error names the file"
            continue
        total += len(reading.examples) + len(reading.dropped)
        encode_all(reading, encoder)
    assert total, "not every file was lost as a whole"
