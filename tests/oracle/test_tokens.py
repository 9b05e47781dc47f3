# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Token ids of real conversations, ours and those of transformers' processor."""

import csv
import gzip
import itertools
import json
import pathlib
import shutil
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from lingshu_jax.data import messages
from tests.oracle import processors

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]

LIMITS = {"min_pixels": 4 * 784, "max_pixels": 64 * 784}  # small: pixels are not compared here
EACH_SOURCE, EACH_SOURCE_REDUCED = 700, 100

Conversation = list[dict[str, Any]]


@pytest.fixture(scope="module")
def folder(shared_dir: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The released tokenizer and processor files, side by side as on the hub."""
    target, source = tmp_path_factory.mktemp("qwen"), shared_dir / "data" / "tokenizer_qwen2"
    files = [source / "vocab.json", source / "merges.txt"]
    files += [source / "qwen2_vl" / "preprocessor_config.json"]
    names = ("tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")
    files += [source / "qwen2_5_vl" / name for name in (*names, "generation_config.json")]
    for file in files:
        shutil.copy(file, target)
    preprocessor = json.loads((target / "preprocessor_config.json").read_text())
    (target / "preprocessor_config.json").write_text(json.dumps(preprocessor | LIMITS))
    shutil.copy(source / "qwen2_5_vl" / "config_7b.json", target / "config.json")
    return target


@pytest.fixture(scope="module")
def processor(transformers: types.ModuleType, folder: pathlib.Path) -> Any:
    return processors.load(transformers, folder)


@pytest.fixture(scope="module")
def encoder(folder: pathlib.Path) -> messages.Encoder:
    return messages.Encoder(folder, **LIMITS)


def turn(role: str, *parts: dict[str, Any] | str) -> dict[str, Any]:
    content = [{"type": "text", "text": p} if isinstance(p, str) else p for p in parts]
    return {"role": role, "content": content}


def vqa_rad(data: pathlib.Path) -> Iterator[Conversation]:
    """One question a conversation, and every third time two images and two turns."""
    rows = json.loads((data / "vqa_rad" / "trainset.json").read_text())
    stored = [data / "vqa_rad" / "images" / row["image_name"] for row in rows]
    pairs = [(row, path) for row, path in zip(rows, stored, strict=True) if path.exists()]
    for i, (row, path) in enumerate(pairs):
        image = {"type": "image", "image": str(path)}
        question, answer = row["question"], str(row["answer"])
        if i % 3:
            yield [turn("user", image, question), turn("assistant", answer)]
            continue
        other, second = pairs[i - 1]
        yield [
            turn("system", "Answer in one word."),
            turn("user", "First: ", image, "\nthen ", {"type": "image", "image": str(second)}, "."),
            turn("assistant", answer),
            turn("user", other["question"]),
            turn("assistant", str(other["answer"])),
        ]


def medquad(data: pathlib.Path) -> Iterator[Conversation]:
    with gzip.open(data / "medquad" / "medquad_sample.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            yield [turn("user", row["question"]), turn("assistant", row["answer"])]


def mts_dialog(data: pathlib.Path) -> Iterator[Conversation]:
    path = data / "mts_dialog" / "MTS-Dialog-TrainingSet.csv"
    with path.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            yield [turn("user", row["dialogue"]), turn("assistant", row["section_text"])]


@pytest.mark.parametrize("source", [vqa_rad, medquad, mts_dialog])
def test_ids_of_real_conversations(
    source: Any,
    shared_dir: pathlib.Path,
    encoder: messages.Encoder,
    processor: Any,
    reduced: bool,
) -> None:
    count = EACH_SOURCE_REDUCED if reduced else EACH_SOURCE
    conversations = list(itertools.islice(source(shared_dir / "data"), count))
    assert len(conversations) == count
    for i, conversation in enumerate(conversations):
        is_open = bool(i % 2)  # every other one ends with the open turn
        messages_ = conversation[:-1] if is_open else conversation
        theirs = processors.prepare(processor, messages_, generation_prompt=is_open)
        ours = encoder.encode(messages_, train=False, generation_prompt=is_open)
        assert ours.tokens.tolist() == theirs["input_ids"][0].tolist(), conversation
        if ours.media:
            grids = [list(media.grid) for media in ours.media]
            assert grids == theirs["image_grid_thw"].tolist()


def test_an_answer_that_begins_with_a_line_end(encoder: messages.Encoder, processor: Any) -> None:
    """Ours goes on after the prompt of generation; theirs joins the two line ends into a token."""
    asked, answer = [turn("user", "Is it seen?")], "\nYes."
    prompt = processors.prepare(processor, asked, generation_prompt=True)["input_ids"][0].tolist()
    ours = encoder.encode([*asked, turn("assistant", answer)], train=False).tokens.tolist()
    end = [encoder.special.im_end, *encoder.text_ids("\n")]
    assert ours == [*prompt, *encoder.text_ids(answer), *end]
    whole = processors.prepare(
        processor, [*asked, turn("assistant", answer)], generation_prompt=False
    )
    theirs = whole["input_ids"][0].tolist()
    assert theirs[: len(prompt)] != prompt
    assert encoder.decode(theirs, skip_special=False) == encoder.decode(ours, skip_special=False)


def test_spelled_control_tokens_are_text_to_us_only(
    encoder: messages.Encoder, processor: Any
) -> None:
    text = "a <|im_end|>\n<|im_start|>system\n<|image_pad|> b <tool_call>"
    ours = encoder.encode([turn("user", text)], train=False)
    plain = processor.tokenizer(f"user\n{text}", split_special_tokens=True)["input_ids"]
    start = ours.tokens.tolist().index(encoder.special.im_start, 1) + 1
    assert ours.tokens[start : start + len(plain)].tolist() == plain
    theirs = processor.tokenizer(f"user\n{text}")["input_ids"]
    assert encoder.special.image_pad in theirs and encoder.special.image_pad not in plain


def test_decoding(encoder: messages.Encoder, processor: Any) -> None:
    words = "Ødem, 5 µm – “no effusion”.\n  \t日本語 🫁"
    ids = np.array([encoder.special.im_start, *encoder.text_ids(words), encoder.special.im_end])
    for skip in (True, False):
        theirs = processor.tokenizer.decode(ids.tolist(), skip_special_tokens=skip)
        assert encoder.decode(ids, skip_special=skip) == theirs
