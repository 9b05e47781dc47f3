# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Greedy answers of whatever transformers is on the path, an older one for instance.

    PYTHONPATH=.venv-oracle/transformers-4.57 python tests/oracle/old_transformers.py \
        FOLDER PROMPTS.json TOKENS ANSWERS.json

A prompt is a list of messages whose images are paths. Everything comes from the folder: model,
tokenizer, chat template, image processor, end tokens. Not AutoProcessor, whose video part needs
torchvision.
"""

import json
import pathlib
import sys
from typing import Any

import torch
import transformers
from PIL import Image

PAD = "<|image_pad|>"


def prepare(
    tokenizer: Any, processor: Any, messages: list[dict[str, Any]]
) -> dict[str, torch.Tensor]:
    """Ids and pixels, as the library's processor for this model puts them together."""
    parts = [part for message in messages for part in message["content"]]
    pictures = [Image.open(part["image"]) for part in parts if part["type"] == "image"]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    pixels = dict(processor(images=pictures, return_tensors="pt")) if pictures else {}
    pieces = text.split(PAD)
    counts = [int(grid.prod()) // 4 for grid in pixels.get("image_grid_thw", [])]
    assert len(counts) == len(pieces) - 1, "one pad an image"
    filled = [piece + PAD * count for piece, count in zip(pieces, [*counts, 0], strict=True)]
    return dict(tokenizer("".join(filled), return_tensors="pt")) | pixels


def main(folder: str, prompts: str, new_tokens: str, answers: str) -> None:
    """Reads the prompts, writes the release and, for each prompt, its ids and the answer's."""
    kind = transformers.Qwen2_5_VLForConditionalGeneration
    model, found = kind.from_pretrained(
        folder, attn_implementation="eager", dtype="auto", output_loading_info=True
    )
    wrong = {what: names for what, names in found.items() if names}
    assert not wrong, wrong
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    processor = transformers.Qwen2VLImageProcessor.from_pretrained(folder)
    rows = []
    for messages in json.loads(pathlib.Path(prompts).read_text(encoding="utf-8")):
        inputs = prepare(tokenizer, processor, messages)
        ids = inputs["input_ids"][0].tolist()
        sequence = (
            model.eval()
            .generate(**inputs, do_sample=False, max_new_tokens=int(new_tokens))[0]
            .tolist()
        )
        rows.append({"prompt": ids, "answer": sequence[len(ids) :]})
    report = {"release": transformers.__version__, "rows": rows}
    pathlib.Path(answers).write_text(json.dumps(report), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
