# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Encoded rows and readers of examples that a test makes."""

import fractions
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lingshu_jax.data import batch_plans, messages, packing, pipeline, sources, store

SIZES = [(28, 28), (84, 56), (112, 112), (60, 150), (140, 28)]


def make_examples(folder: Path, count: int) -> list[sources.Example]:
    """Rows with a picture, and every third without; the pictures are written."""
    for i, size in enumerate(SIZES):
        write_image(folder / f"{i}.png", *size)
    return [
        make_example(i, None if i % 3 == 0 else str(folder / f"{i % len(SIZES)}.png"))
        for i in range(count)
    ]


def write_image(path: Path, width: int, height: int) -> str:
    """Writes noise, of its own at each size; the path."""
    rng = np.random.default_rng(width * 1000 + height)
    Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)
    return str(path)


def make_example(number: int, image: Any = None) -> sources.Example:
    content: list[dict[str, Any]] = [{"type": "text", "text": f"question {number}?"}]
    if image is not None:
        content.insert(0, {"type": "image", "image": image})
    return sources.Example(
        id=f"row{number}",
        source="text" if image is None else "images",
        line=number + 1,
        messages=(
            {"role": "user", "content": content},
            {"role": "assistant", "content": "a" * (number % 7 + 1)},
        ),
    )


def truncated_example(folder: Path) -> sources.Example:
    """Row 77, whose picture has a header but not all of its pixels."""
    path = folder / "cut.png"
    whole = Path(write_image(path, 112, 112)).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return make_example(77, str(path))


def names_of(examples: Sequence[sources.Example]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(example.source for example in examples))


def build(
    examples: Sequence[sources.Example],
    encoder: messages.Encoder,
    folder: Path,
    *,
    budget: packing.Budget,
    **options: Any,
) -> store.Store:
    """The rows of examples, encoded into a folder of their own."""
    return store.build(
        examples,
        encoder,
        names=names_of(examples),
        folder=folder,
        mixture=hashlib.sha256(repr([e.messages for e in examples]).encode()).hexdigest(),
        options=store.Options(budget=budget, **options),
    )


def layout(budget: packing.Budget, rows_per_batch: int, **options: Any) -> batch_plans.Layout:
    return batch_plans.Layout(
        tokens_per_row=budget.tokens,
        patches_per_row=budget.patches,
        rows_per_batch=rows_per_batch,
        **options,
    )


def amounts(names: Sequence[str], copies: float = 1) -> pipeline.Amounts:
    return pipeline.Amounts(names, [fractions.Fraction(copies)] * len(names))
