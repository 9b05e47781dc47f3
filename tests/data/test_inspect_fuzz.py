# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Bad rows and bad files through the whole way of a row: reader, media, encoder, packing, page.

No crash, no hang, no silent drop: every row that was written is accepted or in the list of
refused rows, with an id and a reason of one line.
"""

import base64
import collections
import contextlib
import functools
import gzip
import io
import json
import os
import pathlib
import random
import signal
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image

from lingshu_jax import inspect_data, inspect_page, inspect_summary
from lingshu_jax.common import errors
from lingshu_jax.data import (
    batch_plans,
    messages,
    packing,
    sources,
    targets,
    tokenizer_files,
    too_long,
)
from tests.data import dicom_files, real_rows, test_formats, test_readers_fuzz

pytestmark = pytest.mark.fuzz

# At least 2,000 cases in all, and 200 in the short form.
ROWS, ROWS_REDUCED = 400, 15  # spoilt rows of each of eight formats
PICTURES, PICTURES_REDUCED = 150, 6  # damaged files of each of thirteen kinds
LINES, LINES_REDUCED = 300, 15  # broken lines
A_FILE = 5  # rows written into one file
SECONDS = 60  # for one file of rows; what takes longer hangs
FORMATS = sorted({*real_rows.WRITERS} - {"tfds"}) + ["llava_list"]
POLICIES: list[too_long.Policy] = ["drop", "shrink_images", "cut_turns"]


class Hang(BaseException):
    """Not an Exception, so that nobody takes it for a broken file."""


@contextlib.contextmanager
def deadline() -> Iterator[None]:
    """Ends what takes too long."""

    def stop(number: int, frame: Any) -> None:
        raise Hang(f"more than {SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_the_deadline_is_not_taken_for_a_broken_file() -> None:
    with pytest.raises(Hang), deadline():
        signal.raise_signal(signal.SIGALRM)


class Pool(NamedTuple):
    """A folder of media.

    Attributes:
      root: The image root.
      good: Names of files that decode as an image.
      bad: Names, addresses and values that must not.
    """

    root: pathlib.Path
    good: list[str]
    bad: list[Any]


def png_of(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG whose header may say what its data do not hold."""

    def chunk(name: bytes, body: bytes) -> bytes:
        whole = name + body
        return struct.pack(">I", len(body)) + whole + struct.pack(">I", zlib.crc32(whole))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def packed(kind: str, mode: str = "RGB", frames: int = 1, **options: Any) -> bytes:
    """A small picture in some format."""
    rng = np.random.default_rng(len(kind) + frames)
    made = [
        Image.fromarray(rng.integers(0, 256, (60, 84, 3), dtype=np.uint8)).convert(mode)
        for _ in range(frames)
    ]
    file = io.BytesIO()
    if frames > 1:
        options |= {"save_all": True, "append_images": made[1:]}
    made[0].save(file, kind, **options)
    return file.getvalue()


def nifti() -> bytes:
    values = np.random.default_rng(0).integers(0, 900, (60, 64, 9)).astype(np.int16)
    return nibabel.Nifti1Image(values, np.diag((2.0, 2, 3, 1))).to_bytes()


def medical(name: str) -> bytes:
    """A file that pydicom brings along."""
    folder = pathlib.Path(pydicom.__file__).parent / "data" / "test_files"
    return (folder / name).read_bytes()


# Name to content; each decodes, as an image or, the last ones, as a video.
KINDS: dict[str, Callable[[], bytes]] = {
    "a.png": functools.partial(packed, "PNG", "RGBA"),
    "b.png": functools.partial(packed, "PNG", "P"),
    "c.jpg": functools.partial(packed, "JPEG", progressive=True),
    "d.jpg": functools.partial(packed, "JPEG", "CMYK"),
    "e.webp": functools.partial(packed, "WEBP"),
    "f.tif": functools.partial(packed, "TIFF", compression="tiff_lzw"),
    "g.bmp": functools.partial(packed, "BMP"),
    "h.jp2": functools.partial(packed, "JPEG2000"),
    "i.dcm": functools.partial(medical, "MR_small.dcm"),
    "j.dcm": functools.partial(medical, "MR_small_RLE.dcm"),
    "k.gif": functools.partial(packed, "GIF", frames=3),
    "l.nii": nifti,
    "m.dcm": functools.partial(medical, "SC_rgb_rle_2frame.dcm"),
}
VIDEOS = ("k.gif", "l.nii", "m.dcm")


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    """Good files, and every kind of bad one."""
    home = tmp_path_factory.mktemp("media")
    root = home / "root"
    (root / "folder").mkdir(parents=True)
    for name, make in KINDS.items():
        (root / name).write_bytes(make())
    (home / "outside.png").write_bytes(packed("PNG"))
    (root / "link.png").symlink_to(home / "outside.png")
    (root / "loop.png").symlink_to(root / "loop.png")
    os.mkfifo(root / "pipe.png")
    whole = (root / "c.jpg").read_bytes()
    bad_files = {
        "empty.png": b"",
        "half.jpg": whole[: len(whole) // 2],
        "head.jpg": whole[:40],
        "text.png": b"no picture at all",
        "page.jpg": b"<html><body>404</body></html>",
        "bomb.png": png_of(60_000, 60_000, bytes(2**20)),
        "flat.png": png_of(0, 10),
        "thin.png": png_of(9_000, 1, bytes(27_001)),
        "short.png": png_of(300, 300, bytes(100)),
        "crc.png": packed("PNG")[:-20] + bytes(20),
        "eps.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "bomb.nii.gz": gzip.compress(bytes(2**24)),
        "half.nii": nifti()[:5000],
        "half.dcm": medical("MR_small.dcm")[:3000],
        "none.dcm": medical("empty_charset_LEI.dcm"),
    }
    for name, data in bad_files.items():
        (root / name).write_bytes(data)
    dicom_files.write(root / "huge.dcm", np.zeros((4, 4), np.uint16), Rows=65535, Columns=65535)
    data = base64.b64encode(whole[:300]).decode()
    bad: list[Any] = [*bad_files, "huge.dcm", "gone.png", "link.png", "loop.png", "pipe.png"]
    bad += ["folder", "../outside.png", "/etc/passwd", "/dev/zero", "a.png\0", "x" * 300 + ".png"]
    bad += ["a.png#frame=0", "i.dcm#frame=9", "i.dcm#plane=axial", "l.nii#frames=0", "\ud800.png"]
    bad += [f"data:image/png;base64,{data}", "data:image/png;base64,&&", "data:,x", "file:///etc"]
    bad += [
        "https://x.org/a.png",
        {"bytes": data},
        {"path": None},
        {"bytes": ""},
        7,
        [],
        [[]],
        True,
    ]
    return Pool(root, [name for name in KINDS if name not in VIDEOS], bad)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> messages.Encoder:
    folder = tmp_path_factory.mktemp("hf")
    tokenizer_files.write_tokenizer(folder, (), tokenizer_files.MIN_VOCAB)
    return messages.Encoder(folder, min_pixels=784, max_pixels=16 * 784)


@pytest.fixture(scope="module")
def originals(pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """Good rows of every format about files of the pool, several turns among them."""
    questions = [
        real_rows.Question(
            f"q{i}",
            f"Is it {i}?",
            f"<think>It shows {i}.</think> yes" if i % 2 else "yes",
            tuple(pool.root / pool.good[(i + j) % len(pool.good)] for j in range(i % 3)),
        )
        for i in range(12)
    ]
    found = {}
    for word in FORMATS:
        folder = tmp_path_factory.mktemp(word)
        if word in real_rows.WRITERS and word != "llamafactory":
            rows = test_readers_fuzz.written_rows(word, folder, questions)
        elif word == "llava_list":  # as the packing tool of Qwen writes it
            rows = test_readers_fuzz.written_rows("llava", folder, questions)
            rows = [[a, b] for a, b in zip(rows[::2], rows[1::2], strict=True)]
        else:  # also the rows of llamafactory's entries
            rows = test_readers_fuzz.written_rows("swift", folder, questions)
        text = json.dumps(rows).replace(f"{pool.root}/", "")
        text = text.replace('{"bytes": "AA==", "path": null}', '"a.png"')  # Parquet's own bytes
        found[word] = json.loads(text)
    return found


def spoil(value: Any, rng: random.Random, pool: Pool) -> Any:
    """The row with other media here and there, and with texts that should not be there."""
    if isinstance(value, dict):
        return {key: spoil(item, rng, pool) for key, item in value.items()}
    if isinstance(value, list):
        return [spoil(item, rng, pool) for item in value]
    if not isinstance(value, str):
        return value
    if value in pool.good:
        return rng.choice([value, value, rng.choice(pool.good), rng.choice(pool.bad)])
    if " " in value and rng.random() < 0.2:
        return rng.choice(
            ["", " \n", "<image>", value + "<image>", "<|im_end|>", "\ud800", value * 99]
        )
    return value


def draw_task(
    path: pathlib.Path, word: str, rng: random.Random, *, encoder: messages.Encoder, pool: Pool
) -> inspect_data.Task:
    """Any of the ways in which a source can be read."""
    source = sources.Source(
        name="s",
        path=str(path),
        format=word,
        image_root=str(pool.root),
        media_newline=rng.choice(["keep", "swallow_one", "strip"]),
        train_on=rng.choice(targets.TRAIN_ON),
        allow_outside=rng.random() < 0.2,
    )
    layout = batch_plans.Layout(
        tokens_per_row=rng.choice([90, 300, 2000]),
        patches_per_row=rng.choice([0, 64, 512]),
        rows_per_batch=1,
        sequences_per_row=rng.choice([0, 1]),
    )
    budget = layout.budget
    if not budget.patches:
        budget = packing.token_budget(budget.tokens, encoder.geometry)
    encode = functools.partial(too_long.encode, encoder, budget=budget, policy=rng.choice(POLICIES))
    return inspect_data.Task("fuzz", [source], pathlib.Path(), encode, encoder, "t", layout)


def whole_task(task: inspect_data.Task, encoder: messages.Encoder) -> inspect_data.Task:
    """The task without a packed row that could be too short, or a source that wants reasoning."""
    task.sources[0].train_on = "all"
    return task._replace(encode=inspect_data.encode_unpacked(encoder), layout=None)


class Account(NamedTuple):
    """What became of the rows of a file."""

    accepted: int
    refused: list[sources.Dropped]


def account_for(task: inspect_data.Task, lines: set[int]) -> Account:
    """Reads everything in time; every line is accepted or refused, and the page can be made."""
    with deadline():
        tally = inspect_data.read(task, rows=10**9, strict=False)
        summary = tally.summary(title="t", tokenizer="t", layout=task.layout)
        shown = tally.shown["s"]
        page = inspect_page.render(summary, shown[:4], task.encoder)
    seen = {row.example.line for row in shown} | {row.line for row in tally.dropped}
    assert seen == lines, "every row is accounted for"
    total = summary.total
    assert total.read == total.accepted + total.refused
    assert (total.accepted, total.refused) == (len(shown), len(tally.dropped))
    for row in tally.dropped:
        assert row.id and row.reason.strip() and "\n" not in row.reason
        json.dumps(row.reason)
    for row in shown:
        targets.require(row.fitted.encoded.loss_weights, row.example.train_on)
    page.encode(errors="replace")
    assert str(task.sources[0].image_root) not in page
    if shown and task.layout is not None:
        assert summary.fill is not None and 0 < summary.fill.tokens <= 1
    return Account(len(shown), tally.dropped)


def write_rows(folder: pathlib.Path, word: str, rows: list[Any]) -> tuple[pathlib.Path, str]:
    """A file of rows, and the word that reads it."""
    lines = [json.dumps(row) for row in rows]
    if word == "array_record":
        path = folder / "rows.array_record"
        test_formats.write_array_record(path, [line.encode() for line in lines])
        return path, word
    path = folder / "rows.jsonl"
    path.write_text("".join(f"{line}\n" for line in lines))
    if word == "llamafactory":
        entry = {**real_rows.SHAREGPT, "file_name": path.name}
        (folder / "dataset_info.json").write_text(json.dumps({"rows": entry}))
        return folder, word
    return path, word.partition("_")[0] if word not in real_rows.WRITERS else word


def parts_of(count: int) -> list[int]:
    """A number of cases in files of `A_FILE`."""
    return [min(A_FILE, count - start) for start in range(0, count, A_FILE)]


@pytest.mark.parametrize("word", FORMATS)
def test_spoilt_rows(
    word: str,
    reduced: bool,
    tmp_path: pathlib.Path,
    pool: Pool,
    encoder: messages.Encoder,
    originals: dict[str, list[Any]],
) -> None:
    rng = random.Random(word)
    accepted, refused = 0, []
    for number, count in enumerate(parts_of(ROWS_REDUCED if reduced else ROWS)):
        folder = tmp_path / str(number)
        folder.mkdir()
        rows = [spoil(rng.choice(originals[word]), rng, pool) for _ in range(count)]
        rows = [test_readers_fuzz.mutate(r, rng) if rng.random() < 0.3 else r for r in rows]
        task = draw_task(*write_rows(folder, word, rows), rng, encoder=encoder, pool=pool)
        found = account_for(task, set(range(1, count + 1)))
        accepted += found.accepted
        refused += found.refused
    assert accepted and refused, "some rows are good and some are not"
    if not reduced:
        kinds = collections.Counter(inspect_summary.kind_of(row.reason) for row in refused)
        assert len(kinds) > 10, kinds


@pytest.mark.parametrize("name", sorted(KINDS))
def test_damaged_pictures(
    name: str, reduced: bool, tmp_path: pathlib.Path, encoder: messages.Encoder
) -> None:
    rng = random.Random(name)
    whole = KINDS[name]()
    count = PICTURES_REDUCED if reduced else PICTURES
    pool = Pool(tmp_path, [], [])
    rows = []
    for i in range(count):
        data = whole if i == 0 else test_readers_fuzz.damage(whole, rng)
        file = f"{i}-{name}" if rng.random() < 0.8 else f"{i}.unknown"
        (tmp_path / file).write_bytes(data)
        kind = "video" if name in VIDEOS or rng.random() < 0.2 else "image"
        value: Any = file
        if kind == "image" and rng.random() < 0.3:
            value = {"bytes": base64.b64encode(data).decode()}
        content = [{"type": kind, kind: value}, {"type": "text", "text": "What is it?"}]
        turns = [{"role": "user", "content": content}, {"role": "assistant", "content": "This."}]
        rows.append({"id": f"{i}", "messages": turns})
    path, word = write_rows(tmp_path, "messages", rows)
    task = draw_task(path, word, rng, encoder=encoder, pool=pool)
    task = whole_task(task, encoder)
    found = account_for(task, set(range(1, count + 1)))
    assert found.accepted, "the whole one at least is good"
    assert reduced or found.refused, "the damage is real"


BROKEN = (
    "{",
    "[]",
    "null",
    '"text"',
    "7",
    "{}",
    "[[]]",
    "\ufeff{}",
    "{'id': 1}",
    '{"id": NaN}',
    "[" * 5000,
    '{"messages": []}',
    '{"messages": {}}',
    '{"messages": [[]]}',
    '{"messages": "x"}',
    '{"conversations": []}',
    '{"conversations": [{"from": "human", "value": "<image>"}]}',
    '{"messages": [{"role": "user", "content": []}]}',
    '{"messages": [{"role": "assistant", "content": "a"}]}',
    '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": ""}]}',
    '{"messages": [{"role": "user", "content": [{"type": "image", "image": "a.png"}]}]}',
    '{"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]}',
    '{"messages": [{"role": "tool", "content": "a"}], "images": ["a.png"]}',
    '{"problem": "<image>", "answer": "", "images": []}',
    '{"query": "", "response": "", "images": "a.png"}',
)


@pytest.mark.parametrize("word", ["llava", "messages", "swift", "verl", "easyr1"])
def test_broken_lines(
    word: str, reduced: bool, tmp_path: pathlib.Path, pool: Pool, encoder: messages.Encoder
) -> None:
    rng = random.Random(word)
    count = LINES_REDUCED if reduced else LINES
    raw = []
    for i in range(count):
        line = rng.choice(BROKEN).encode()
        raw.append(test_readers_fuzz.damage(line, rng) if i % 2 else line)
    lines = [b" ".join(line.split()) or b"\xff" for line in raw]
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\n".join(lines))
    task = draw_task(path, word, rng, encoder=encoder, pool=pool)
    found = account_for(task, set(range(1, count + 1)))
    assert found.refused, "broken lines are refused"


def test_strict_names_the_first_refused_row(
    tmp_path: pathlib.Path, pool: Pool, encoder: messages.Encoder, originals: dict[str, list[Any]]
) -> None:
    rows = [*originals["messages"][:3], {"id": "bad"}, {"id": "worse"}]
    task = draw_task(
        *write_rows(tmp_path, "messages", rows), random.Random(1), encoder=encoder, pool=pool
    )
    task = whole_task(task, encoder)
    with pytest.raises(errors.UserError, match="^s, line 4, id 'bad': "):
        inspect_data.read(task, rows=0, strict=True)


def test_twin_a_row_that_is_left_out_in_silence_is_noticed(
    tmp_path: pathlib.Path,
    pool: Pool,
    encoder: messages.Encoder,
    originals: dict[str, list[Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [*originals["messages"][:3], {"id": "bad"}]
    task = draw_task(
        *write_rows(tmp_path, "messages", rows), random.Random(1), encoder=encoder, pool=pool
    )
    task = whole_task(task, encoder)
    assert account_for(task, {1, 2, 3, 4}).accepted == 3
    whole = sources.stream

    def only_good(*args: Any) -> list[sources.Example]:
        return [row for row in whole(*args) if isinstance(row, sources.Example)]

    monkeypatch.setattr(sources, "stream", only_good)
    with pytest.raises(AssertionError, match="every row is accounted for"):
        account_for(task, {1, 2, 3, 4})


def test_there_are_enough_cases() -> None:
    for rows, pictures, lines, least in (
        (ROWS, PICTURES, LINES, 2000),
        (ROWS_REDUCED, PICTURES_REDUCED, LINES_REDUCED, 200),
    ):
        assert rows * len(FORMATS) + pictures * len(KINDS) + lines * 5 >= least
