# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""From a sample to what an engine is asked: the form of the prompt, the pictures in it."""

import concurrent.futures
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import tqdm
from PIL import Image

from lingshu_jax.common import prompts
from lingshu_jax.data import images
from lingshu_jax.engines import protocol
from lingshu_jax.eval import benchmark

PROMPTS = ("direct", "think")

Messages = Sequence[Mapping[str, Any]]


def request(
    sample: benchmark.Sample, *, prompt: str, blind: bool, sampling: protocol.SamplingParams
) -> protocol.Request:
    """What the engine is asked.

    Args:
      sample: The question.
      prompt: "direct", or "think" to ask for the think/answer form.
      blind: Replaces every picture by a grey one of its size.
      sampling: How to decode.
    """
    messages: Messages = sample.messages
    if prompt == "think":
        messages = _ask_to_think(messages)
    if blind:
        messages = [
            {**message, "content": [_greyed(part) for part in message["content"]]}
            for message in messages
        ]
    return protocol.Request(messages=messages, sampling=sampling, id=sample.id)


def check_media(samples: Sequence[benchmark.Sample]) -> None:
    """Decodes every image and video once; the first that fails raises its UserError.

    Args:
      samples: Whose prompts are read.
    """
    parts = {_key(part): part for sample in samples for part in sample.media}
    with concurrent.futures.ThreadPoolExecutor() as pool:
        checks = pool.map(_decode, parts.values())
        for _ in tqdm.tqdm(checks, "checking images", len(parts), disable=not parts):
            pass


def digest(samples: Sequence[benchmark.Sample]) -> str:
    """A short hash of everything that is asked and what is right; images count by their size."""
    total = hashlib.sha256()
    for sample in samples:
        fields = (sample.id, sample.gold, sample.answer_type, sample.rule, sample.options)
        total.update(json.dumps([fields, sample.choices, sample.is_open]).encode())
        for message in sample.messages:
            texts = [part.get("text") for part in message["content"]]
            total.update(json.dumps([message["role"], texts]).encode())
        sizes = [_bytes_of(part[part["type"]]) for part in sample.media]
        total.update(json.dumps(sizes).encode())
    return total.hexdigest()[:16]


def size(sample: benchmark.Sample) -> tuple[int, int]:
    """Pixels and characters of a prompt, to put like beside like."""
    shapes = [_shape(part) for part in sample.media]
    pixels = sum(shape.num_frames * shape.height * shape.width for shape in shapes)
    return pixels, len(sample.question)


def _key(part: Mapping[str, Any]) -> str | bytes:
    """Equal for equal media."""
    value = part[part["type"]]
    return value if isinstance(value, bytes) else json.dumps(part)


def _bytes_of(value: Any) -> int:
    """Bytes of a file, of all frames, 0 for a folder, -1 for what is missing."""
    if isinstance(value, list):
        return sum(map(_bytes_of, value))
    if isinstance(value, bytes):
        return len(value)
    if os.path.isfile(value):
        return os.path.getsize(value)
    return 0 if os.path.isdir(value) else -1


def _visual(part: Mapping[str, Any]) -> images.Visual:
    value = part[part["type"]]
    return tuple(value) if isinstance(value, list) else value


def _shape(part: Mapping[str, Any]) -> images.Shape:
    return images.read_shape(_visual(part), is_video=part["type"] == "video")


def _decode(part: Mapping[str, Any]) -> None:
    visual = _visual(part)
    if part["type"] == "video":
        for _ in images.open_frames(visual):
            pass
    else:
        assert not isinstance(visual, tuple), "an image is one picture"
        images.open_image(visual)


def _ask_to_think(messages: Messages) -> Messages:
    """Appends the instruction of the think/answer form to the last text."""
    *before, last = messages
    content = list(last["content"])
    place = max(i for i, part in enumerate(content) if part["type"] == "text")
    asked = prompts.ask(content[place]["text"], prompts.ANSWER_FORMAT)
    content[place] = {**content[place], "text": asked}
    return [*before, {**last, "content": content}]


def _greyed(part: Mapping[str, Any]) -> Mapping[str, Any]:
    if part["type"] not in ("image", "video"):
        return part
    shape = _shape(part)
    grey = Image.new("RGB", (shape.width, shape.height), (images.BLANK,) * 3)
    is_video = part["type"] == "video"
    return {**part, part["type"]: [grey] * shape.num_frames if is_video else grey}
