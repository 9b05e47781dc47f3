# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What `verify` asks both implementations: a few pictures with questions, and text alone.

The pictures are those that pydicom and nibabel bring along; where these are not installed, or
bring fewer, drawn ones take their place. The same installation gives the same prompts.

Axes: H rows, W columns.
"""

import importlib.util
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

MODALITIES = ("CT", "MR", "ultrasound")
MAX_SIDE = 512  # a larger picture costs minutes on a CPU and shows nothing more
DRAWN = ((300, 484), (240, 320), (512, 400))  # height and width; no side a multiple of 28


class Prompt(NamedTuple):
    """A conversation that waits for an answer.

    Attributes:
      name: As the table shows it.
      messages: As `data.messages.Encoder.encode` takes them.
    """

    name: str
    messages: Sequence[dict[str, Any]]


def bundled() -> list[Prompt]:
    """One picture and a question, three times; no picture; two pictures."""
    pictures = _pictures()
    questions = (
        "Which imaging modality is this, and which part of the body does it show?",
        "Is there a fracture? Answer yes or no, then give the reason.",
        "Describe this picture.",
    )
    prompts = [
        _ask(name, _part(pixels), question)
        for (name, pixels), question in zip(pictures, questions, strict=True)
    ]
    fever = "A patient has 38.5 °C and coughs. Which signs of pneumonia does a chest X-ray show?"
    prompts.append(_ask("text alone", fever))
    (first, one), (second, other) = pictures[1:]
    both = ("First: ", _part(one), "second: ", _part(other), "What is different in the second?")
    prompts.append(_ask(f"{first} and {second}", *both))
    return prompts


def _ask(name: str, *parts: str | dict[str, Any]) -> Prompt:
    content = [{"type": "text", "text": p} if isinstance(p, str) else p for p in parts]
    return Prompt(name, [{"role": "user", "content": content}])


def _part(pixels: UInt8[np.ndarray, "H W 3"]) -> dict[str, Any]:
    return {"type": "image", "image": Image.fromarray(pixels)}


def _pictures() -> list[tuple[str, UInt8[np.ndarray, "H W 3"]]]:
    found = _medical() if all(map(importlib.util.find_spec, ("nibabel", "pydicom"))) else []
    missing = DRAWN[len(found) :]
    return found + [(f"drawn {i}", _draw(i, shape)) for i, shape in enumerate(missing, 1)]


def _medical() -> list[tuple[str, UInt8[np.ndarray, "H W 3"]]]:
    """The largest picture of each modality; of a volume the slice in its middle."""
    from lingshu_jax.data import demo_images  # imports nibabel and pydicom

    middles = [series[len(series) // 2] for series in demo_images.collect().series if series]
    fitting = [picture for picture in middles if max(picture.pixels.shape) <= MAX_SIDE]
    best = {p.modality: p.pixels for p in sorted(fitting, key=lambda p: p.pixels.size)}
    return [(modality, best[modality]) for modality in MODALITIES if modality in best]


def _draw(number: int, shape: tuple[int, int]) -> UInt8[np.ndarray, "H W 3"]:
    """A bright ellipse on waves of another frequency in each channel, with noise."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, side) for side in shape), indexing="ij")
    waves = [np.sin(6 * number * x + 9 * channel * y + channel) for channel in range(3)]
    inside = (x - 0.1 * number) ** 2 + (1.7 * y) ** 2 < 0.4
    noise = np.random.default_rng(number).normal(0, 12, (*shape, 3))
    values = 90 + 60 * np.stack(waves, axis=-1) + 80 * inside[..., None] + noise
    return values.clip(0, 255).astype(np.uint8)
