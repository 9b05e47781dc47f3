# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Token ids of tagged rows, ours and those of the projects whose rule an option follows.

The rules, as the projects write them: Qwen's finetuning code (QwenLM/Qwen3-VL@9658872,
data_processor.py) cuts human text at its tags and strips the pieces; 2U1's (@93fef86,
data_utils.py) takes one newline on either side away; LLaMA-Factory, verl, EasyR1 and ms-swift leave
the text as it is.
"""

import json
import pathlib
import re
import shutil
import types
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from PIL import Image

from lingshu_jax.data import formats, messages, sources, tokenizer_files
from tests.data import real_rows

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]

LIMITS = {"min_pixels": 4 * 784, "max_pixels": 64 * 784}
GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "golden" / "media_newline.json"
IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"
RULES: dict[str, Callable[[str], str]] = {
    "keep": lambda text: text.replace("<image>", IMAGE),
    "swallow_one": lambda text: re.sub("\n?<image>\n?", IMAGE, text),
    "strip": lambda text: "".join(
        IMAGE if piece == "<image>" else piece.strip() for piece in re.split("(<image>)", text)
    ),
}


def chat(pairs: Sequence[tuple[str, str]], rule: str) -> str:
    """Qwen's chat markup around questions and answers."""
    turns = [("system", "You are a helpful assistant.")]
    for question, answer in pairs:
        turns += [("user", RULES[rule](question)), ("assistant", answer)]
    return "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in turns)


def expand(text: str, encoded: messages.Encoded) -> str:
    """One pad an image becomes one a visual token."""
    counts = iter([media.grid.t * media.grid.h * media.grid.w // 4 for media in encoded.media])
    return re.sub(r"<\|image_pad\|>", lambda match: match[0] * next(counts), text)


def write(folder: pathlib.Path, pairs: Sequence[tuple[str, str]], images: list[str]) -> None:
    said = [
        {"from": speaker, "value": text}
        for pair in pairs
        for speaker, text in zip(("human", "gpt"), pair, strict=True)
    ]
    row = {"id": "0", "image": images, "conversations": said}
    (folder / "rows.json").write_text(json.dumps([row]))


def encode(folder: pathlib.Path, encoder: messages.Encoder, rule: str) -> messages.Encoded:
    source = sources.Source(
        name="s",
        path=str(folder / "rows.json"),
        format="llava",
        media_newline=rule,
        allow_outside=True,
    )
    [example] = sources.read(source).examples
    return encoder.encode(example.messages)


@pytest.mark.parametrize("rule", formats.MEDIA_NEWLINES)
def test_the_stored_ids_are_those_of_transformers(
    rule: str, transformers: types.ModuleType, tmp_path: pathlib.Path
) -> None:
    golden = json.loads(GOLDEN.read_text())
    tokenizer_files.write_tokenizer(tmp_path, (), tokenizer_files.MIN_VOCAB)
    encoder = messages.Encoder(tmp_path, **LIMITS)
    for i, size in enumerate(golden["sizes"]):
        Image.new("RGB", size).save(tmp_path / f"{i}.png")
    pairs = [tuple(pair) for pair in golden["pairs"]]
    write(tmp_path, pairs, [f"{i}.png" for i in range(len(golden["sizes"]))])
    text = expand(chat(pairs, rule), encode(tmp_path, encoder, rule))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer(text)["input_ids"] == golden["tokens"][rule]


@pytest.mark.parametrize("rule", formats.MEDIA_NEWLINES)
def test_real_rows_with_the_real_tokenizer(
    rule: str, transformers: types.ModuleType, shared_dir: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    source: Any = shared_dir / "data" / "tokenizer_qwen2"
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(source / name, tmp_path)
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        shutil.copy(source / "qwen2_5_vl" / name, tmp_path)
    shutil.copy(source / "qwen2_5_vl" / "config_7b.json", tmp_path / "config.json")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    encoder = messages.Encoder(tmp_path, **LIMITS)
    questions = real_rows.load(shared_dir / "data", 40)
    for first, second in zip(questions[::2], questions[1::2], strict=True):
        pairs = [(f" {q.tagged} \n", q.answer) for q in (first, second)]
        write(tmp_path, pairs, [*real_rows.names(first), *real_rows.names(second)])
        ours = encode(tmp_path, encoder, rule)
        text = expand(chat(pairs, rule), ours)
        assert ours.tokens.tolist() == tokenizer(text)["input_ids"]
