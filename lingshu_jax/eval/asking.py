# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""From a sample to what an engine is asked: the form of the prompt, the pictures in it."""

import concurrent.futures
import hashlib
import json
import os
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import tqdm

from lingshu_jax.common import errors, prompts
from lingshu_jax.data import images, volume_files
from lingshu_jax.engines import protocol
from lingshu_jax.eval import benchmark, pictures, question_formats

# How an answer is asked for: as the benchmark does, in the think/answer form, or in a box.
PROMPTS = ("direct", "think", "boxed")
_AT_ONCE = 1024  # pictures that wait for a thread

Messages = Sequence[Mapping[str, Any]]


class Size(NamedTuple):
    """Of a prompt, to put like beside like."""

    pixels: int
    characters: int


class Weight(NamedTuple):
    """How many pictures there are, and their bytes as they are stored."""

    pictures: int
    bytes: int


def request(
    sample: benchmark.Sample, *, prompt: str, blind: bool, sampling: protocol.SamplingParams
) -> protocol.Request:
    """What the engine is asked.

    Args:
      sample: The question.
      prompt: One of `PROMPTS`.
      blind: Replaces every picture by a grey one of its size.
      sampling: How to decode.

    Raises:
      UserError: If the size of a picture cannot be read that is to be replaced.
    """
    messages = _asked(sample.messages, prompt)
    if blind:
        messages = [
            {**message, "content": [pictures.greyed(part) for part in message["content"]]}
            for message in messages
        ]
    return protocol.Request(messages=messages, sampling=sampling, id=sample.id)


def without_tail(samples: Iterable[benchmark.Sample]) -> int:
    """How many prompts have no tail that --prompt=boxed could replace.

    Args:
      samples: The questions.
    """
    texts = (_last_text(sample.messages)[1] for sample in samples if sample.messages)
    return sum(question_formats.boxed(text) == text for text in texts)


def check_media(samples: Sequence[benchmark.Sample]) -> None:
    """Decodes every image and video once; the first that fails raises its UserError.

    For the few questions that are asked of a model while it trains; `read_sizes` is for all.

    Args:
      samples: Whose prompts are read.
    """
    for _ in _each_once(_decode, samples, "checking images"):
        pass


def read_sizes(samples: Sequence[benchmark.Sample]) -> list[Size | errors.UserError]:
    """The size of every prompt, from the headers of its pictures alone.

    Args:
      samples: Whose prompts are read.

    Returns:
      In their order; why not where a picture cannot be read.
    """
    shapes = dict(_each_once(_try_shape, samples, "reading image sizes"))
    return [
        _size(sample, [shapes[pictures.key(part)] for part in sample.media]) for sample in samples
    ]


def digest(samples: Sequence[benchmark.Sample]) -> str:
    """A short hash of all texts that are asked and of what is right.

    Args:
      samples: The questions; of their pictures the number counts, see `digest_pictures`.
    """
    total = hashlib.sha256()
    for sample in samples:
        fields = (sample.id, sample.gold, sample.answer_type, sample.rule, sample.options)
        total.update(json.dumps([fields, sample.choices, sample.is_open]).encode())
        for message in sample.messages:
            texts = [part.get("text") for part in message["content"]]
            total.update(json.dumps([message["role"], texts]).encode())
        total.update(f"{len(sample.media)}\n".encode())
    return total.hexdigest()[:16]


def digest_pictures(sample: benchmark.Sample) -> str:
    """A short hash of a question's pictures; "" if it has none.

    Those in memory count by their content, files by their size, which is read quickly.

    Args:
      sample: The question.
    """
    weights = [_weigh(part[part["type"]]) for part in sample.media]
    return hashlib.sha256(json.dumps(weights).encode()).hexdigest()[:16] if weights else ""


def digest_prompts(samples: Iterable[benchmark.Sample], prompt: str) -> str:
    """The SHA-256 of all texts that are asked, one message after the other.

    Args:
      samples: The questions.
      prompt: One of `PROMPTS`.
    """
    total = hashlib.sha256()
    for sample in samples:
        for message in _asked(sample.messages, prompt):
            texts = [part["text"] for part in message["content"] if part["type"] == "text"]
            total.update(json.dumps([message["role"], texts]).encode())
    return total.hexdigest()


def weigh(samples: Iterable[benchmark.Sample]) -> Weight:
    """All pictures of some questions, each counted once.

    Args:
      samples: The questions.
    """
    found = {pictures.key(part): _bytes_of(part[part["type"]]) for s in samples for part in s.media}
    return Weight(len(found), sum(found.values()))


def _each_once(
    work: Callable[[Mapping[str, Any]], Any], samples: Iterable[benchmark.Sample], said: str
) -> Iterable[tuple[Hashable, Any]]:
    """The result for every different picture; the pixels of a few are in memory at a time."""
    parts = {pictures.key(part): part for sample in samples for part in sample.media}
    keys = list(parts)
    with (
        concurrent.futures.ThreadPoolExecutor() as pool,
        tqdm.tqdm(desc=said, total=len(keys), disable=not keys) as bar,
    ):
        for start in range(0, len(keys), _AT_ONCE):
            some = keys[start : start + _AT_ONCE]
            for key, result in zip(some, pool.map(work, map(parts.get, some)), strict=True):
                bar.update()
                yield key, result


def _weigh(value: Any) -> Any:
    if isinstance(value, list):
        return [_weigh(frame) for frame in value]
    return hashlib.sha256(value).hexdigest()[:16] if isinstance(value, bytes) else _bytes_of(value)


def _bytes_of(value: Any) -> int:
    """Bytes of a file, of all frames of a folder or list; -1 for what is missing."""
    if isinstance(value, list):
        return sum(map(_bytes_of, value))
    if isinstance(value, bytes):
        return len(value)
    path = volume_files.split_fragment(value)[0]
    if os.path.isdir(path):
        return sum(entry.stat().st_size for entry in os.scandir(path) if entry.is_file())
    return os.path.getsize(path) if os.path.isfile(path) else -1


def _size(sample: benchmark.Sample, shapes: Sequence[Any]) -> Size | errors.UserError:
    for shape in shapes:
        if isinstance(shape, errors.UserError):
            return shape
    pixels = sum(shape.num_frames * shape.height * shape.width for shape in shapes)
    return Size(pixels, len(sample.question))


def _try_shape(part: Mapping[str, Any]) -> images.Shape | errors.UserError:
    try:
        return pictures.shape(part)
    except errors.UserError as error:
        return error


def _decode(part: Mapping[str, Any]) -> None:
    visual = pictures.visual(part)
    if part["type"] == "video":
        for _ in images.open_frames(visual):
            pass
    else:
        assert not isinstance(visual, tuple), "an image is one picture"
        images.open_image(visual)


def _asked(messages: Messages, prompt: str) -> Messages:
    """The messages in a form of `PROMPTS`: the last text of the last one is changed."""
    if prompt == "direct" or not messages:
        return messages
    place, text = _last_text(messages)
    if prompt == "think":
        text = prompts.ask(text, prompts.ANSWER_FORMAT)
    else:
        text = question_formats.boxed(text)
    *before, last = messages
    content = list(last["content"])
    content[place] = {**content[place], "text": text}
    return [*before, {**last, "content": content}]


def _last_text(messages: Messages) -> tuple[int, str]:
    """The last text of the last message, and its place there."""
    content = messages[-1]["content"]
    place = max(i for i, part in enumerate(content) if part["type"] == "text")
    return place, content[place]["text"]
