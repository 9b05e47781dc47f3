# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
import json
from pathlib import Path
from typing import Any

import jinja2
import pytest

from lingshu_jax.common import errors, tokens

IDS = {token: 151643 + i for i, token in enumerate(tokens.SPECIAL_TOKENS)}
IMAGE, VIDEO = {"type": "image", "image": "a.png"}, {"type": "video", "video": "b.gif"}
CONVERSATIONS = [
    pytest.param([{"role": "user", "content": "hello"}], id="string"),
    pytest.param([{"role": "system", "content": "Be brief."}], id="system"),
    pytest.param(
        [
            {"role": "user", "content": [IMAGE, VIDEO, {"type": "text", "text": " What?\n"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "\n\nA lung."}]},
            {"role": "user", "content": "\nAnd now? "},
        ],
        id="media_turns_and_blanks",
    ),
]


def render(template: str, messages: list[dict[str, Any]], generate: bool) -> str:
    """Renders as transformers does: both block options on."""
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        messages=messages, add_generation_prompt=generate
    )


def test_there_are_22_added_tokens_of_which_14_control() -> None:
    assert len(set(tokens.SPECIAL_TOKENS)) == 22
    assert tokens.SPECIAL_TOKENS[:14] == tokens.CONTROL_TOKENS


def test_order_and_kind_are_the_released_ones(shared_dir: Path) -> None:
    folder = shared_dir / "data/tokenizer_qwen2/qwen2_5_vl"
    released = json.loads((folder / "tokenizer_config.json").read_text())["added_tokens_decoder"]
    assert [token["content"] for token in released.values()] == list(tokens.SPECIAL_TOKENS)
    special = [token["content"] for token in released.values() if token["special"]]
    assert special == list(tokens.CONTROL_TOKENS)


@pytest.mark.parametrize("messages", CONVERSATIONS)
@pytest.mark.parametrize("generate", [False, True], ids=["closed", "generation_prompt"])
def test_chat_template_is_the_released_one(
    messages: list[dict[str, Any]], generate: bool, shared_dir: Path
) -> None:
    folder = shared_dir / "data/tokenizer_qwen2/qwen2_5_vl"
    released = (folder / "chat_template.jinja").read_text()
    assert render(tokens.CHAT_TEMPLATE, messages, generate) == render(released, messages, generate)


def test_chat_template_by_hand() -> None:
    text = render(tokens.CHAT_TEMPLATE, [{"role": "user", "content": [IMAGE]}], True)
    assert text == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|><|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_special_ids_are_the_released_ones() -> None:
    special = tokens.SpecialIds.from_vocab(IDS.get)
    assert (special.pad, special.im_start, special.im_end) == (151643, 151644, 151645)
    assert (special.vision_start, special.vision_end) == (151652, 151653)
    assert (special.vision_pad, special.image_pad, special.video_pad) == (151654, 151655, 151656)


def test_missing_special_tokens_are_all_named() -> None:
    vocab = {k: v for k, v in IDS.items() if k not in {"<|endoftext|>", "<|video_pad|>"}}
    with pytest.raises(errors.UserError, match=r"<\|endoftext\|>, <\|video_pad\|>$"):
        tokens.SpecialIds.from_vocab(vocab.get)
