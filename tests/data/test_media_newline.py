# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Token ids of one tagged conversation, under each rule for newlines and in each format.

The golden ids are those of transformers' tokenizer after the projects' own handling of tags;
`tests/oracle/test_formats.py` makes them again.
"""

import json
import pathlib
from typing import Any

import pytest
from PIL import Image

from lingshu_jax.data import formats, messages, sources, tokenizer_files
from tests.data import real_rows, test_formats

GOLDEN = json.loads(
    (pathlib.Path(__file__).resolve().parents[1] / "golden" / "media_newline.json").read_text()
)
NAMES = [f"{i}.png" for i in range(len(GOLDEN["sizes"]))]
EACH_RULE = pytest.mark.parametrize("rule", formats.MEDIA_NEWLINES)


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    for name, size in zip(NAMES, GOLDEN["sizes"], strict=True):
        Image.new("RGB", size).save(tmp_path / name)
    return tmp_path


def turns(role_key: str, content_key: str, *speakers: str) -> list[dict[str, str]]:
    return [
        {role_key: speaker, content_key: text}
        for pair in GOLDEN["pairs"]
        for speaker, text in zip(speakers, pair, strict=True)
    ]


def write(folder: pathlib.Path, word: str) -> pathlib.Path:
    """The golden conversation in a format."""
    said = turns("role", "content", "user", "assistant")
    row: dict[str, Any] = {"id": "0", "messages": said, "images": NAMES}
    if word == "llamafactory":
        (folder / "rows.json").write_text(json.dumps([row]))
        (folder / "dataset_info.json").write_text(json.dumps({"rows": real_rows.SHAREGPT}))
        return folder
    if word == "verl":
        test_formats.write_parquet(folder / "rows.parquet", [row])
        return folder / "rows.parquet"
    if word == "llava":
        row = {"image": NAMES, "conversations": turns("from", "value", "human", "gpt")}
    return real_rows.write_lines(folder / "rows.jsonl", [row])


def encode(folder: pathlib.Path, word: str, **options: Any) -> list[int]:
    source = sources.Source(name="s", path=str(write(folder, word)), format=word, **options)
    reading = sources.read(source)
    assert not reading.dropped
    tokenizer_files.write_tokenizer(folder / "hf", (), tokenizer_files.MIN_VOCAB)
    encoder = messages.Encoder(folder / "hf", min_pixels=4 * 784, max_pixels=64 * 784)
    return encoder.encode(reading.examples[0].messages).tokens.tolist()


@EACH_RULE
@pytest.mark.parametrize("word", ["llava", "swift", "llamafactory", "verl"])
def test_each_rule_gives_its_golden_tokens(folder: pathlib.Path, word: str, rule: str) -> None:
    assert encode(folder, word, media_newline=rule) == GOLDEN["tokens"][rule]


@pytest.mark.parametrize("word", ["llava", "swift", "llamafactory", "verl"])
def test_the_default_keeps_the_text(folder: pathlib.Path, word: str) -> None:
    assert encode(folder, word) == GOLDEN["tokens"]["keep"]


@EACH_RULE
def test_twin_another_rule_gives_other_tokens(folder: pathlib.Path, rule: str) -> None:
    others = set(formats.MEDIA_NEWLINES) - {rule}
    assert all(
        encode(folder, "llava", media_newline=other) != GOLDEN["tokens"][rule] for other in others
    )
