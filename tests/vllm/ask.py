# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Greedy answers of vLLM's offline API or of transformers, on the CPU in float32.

Run by the python of `.venv-vllm`, which has neither JAX nor our packages:

    python ask.py vllm FOLDER requests.json answers.json

A request is `{"id", "messages", "max_new_tokens"}` with our messages, whose images are paths; an
answer is `{"id", "prompt_tokens", "tokens", "finish_reason"}`.
"""

import argparse
import json
import os
import pathlib
from collections.abc import Callable
from typing import Any

from PIL import Image

Rows = list[dict[str, Any]]

CACHE_BYTES = 64 * 2**20  # of keys and values; vLLM's default is most of the machine's memory
MAX_PICTURES = 2  # of a conversation


def main() -> None:
    """Reads the requests and writes the answers, in the same order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=ENGINES)
    for name in ("folder", "requests", "answers"):
        parser.add_argument(name, type=pathlib.Path)
    arguments = parser.parse_args()
    requests = json.loads(arguments.requests.read_text())
    answers = ENGINES[arguments.engine](str(arguments.folder), requests)
    arguments.answers.write_text(json.dumps(answers))


def ask_vllm(folder: str, requests: Rows) -> Rows:
    """All conversations at once through `LLM.chat`; end tokens are those of the folder."""
    # One process, which starts in seconds; by default there are three.
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    import vllm

    chats = [with_pictures(request["messages"], "image_pil") for request in requests]
    llm = vllm.LLM(
        folder,
        dtype="float32",
        max_model_len=1024,
        enforce_eager=True,
        kv_cache_memory_bytes=CACHE_BYTES,
        limit_mm_per_prompt={"image": MAX_PICTURES, "video": 0},
    )
    sampling = [
        vllm.SamplingParams(temperature=0.0, max_tokens=request["max_new_tokens"])
        for request in requests
    ]
    outputs = llm.chat(chats, sampling, use_tqdm=False)
    return [
        {
            "id": request["id"],
            "prompt_tokens": list(output.prompt_token_ids),
            "tokens": list(output.outputs[0].token_ids),
            "finish_reason": output.outputs[0].finish_reason,
        }
        for request, output in zip(requests, outputs, strict=True)
    ]


def ask_transformers(folder: str, requests: Rows) -> Rows:
    """One conversation after the other, through the folder's own processor and template."""
    import transformers

    processor = transformers.AutoProcessor.from_pretrained(folder)
    model = transformers.AutoModelForImageTextToText.from_pretrained(folder, dtype="float32")
    answers = []
    for request in requests:
        inputs = processor.apply_chat_template(
            with_pictures(request["messages"], "image"),
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        prompt = inputs["input_ids"][0].tolist()
        output = model.generate(**inputs, max_new_tokens=request["max_new_tokens"], do_sample=False)
        tokens = output[0, len(prompt) :].tolist()
        has_stop = tokens[-1] in model.generation_config.eos_token_id
        answers.append(
            {
                "id": request["id"],
                "prompt_tokens": prompt,
                "tokens": tokens,
                "finish_reason": "stop" if has_stop else "length",
            }
        )
    return answers


def with_pictures(messages: Rows, kind: str) -> Rows:
    """The messages with pictures in the place of paths, in parts of the given type."""

    def load(part: dict[str, Any]) -> dict[str, Any]:
        if part["type"] != "image":
            return part
        return {"type": kind, kind: Image.open(part["image"]).convert("RGB")}

    return [{**turn, "content": [load(part) for part in turn["content"]]} for turn in messages]


ENGINES: dict[str, Callable[[str, Rows], Rows]] = {
    "vllm": ask_vllm,
    "transformers": ask_transformers,
}

if __name__ == "__main__":
    main()
