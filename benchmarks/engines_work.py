# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The work of `engines.py`: a Hugging Face folder with random weights, and requests with images.

Every engine reads the same folder and the same messages, as a user's would. Images have the side
that is asked for, a multiple of 28, so that none is resized.
"""

import dataclasses
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from benchmarks import train_step, train_step_sides
from lingshu_jax.common import tokens
from lingshu_jax.data import tokenizer, tokenizer_files
from lingshu_jax.models import hf, hf_config, qwen2_5_vl, sizes

REQUESTS = "requests.json"
QUESTION = "Is there an effusion on the left side of image {}? Answer with yes or no and say why."
LETTERS = "abcdefghijklmnopqrstuvwxyz"
CHECK_SIZE = sizes.ModelSize(
    vision=sizes.VisionSize(
        num_layers=3, embed_dim=160, num_heads=2, mlp_dim=320, full_attention_layers=(1,)
    ),
    text=sizes.TextSize(
        num_layers=2,
        embed_dim=256,
        num_heads=2,
        num_kv_heads=1,
        head_dim=128,  # vLLM's kernels exist for few widths
        mlp_dim=384,
        vocab_size=1024,
        tie_embeddings=False,
    ),
    special=train_step.CHECK_SIZE.special,  # `write` takes those of its tokenizer
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What is asked, as all sides are told.

    Attributes:
      size: The model; its special ids are not read.
      requests: How many, answered together.
      image_side: Height and width of the image of each, in pixels.
      new_tokens: Of each answer.
      threads: Of each side.
      steps: One for `train_step_sides`: all requests.
    """

    size: sizes.ModelSize = train_step.CPU_SIZE
    requests: int = 32
    image_side: int = 448
    new_tokens: int = 128
    threads: int = 2
    steps: int = 1


CHECK = Plan(size=CHECK_SIZE, requests=3, image_side=84, new_tokens=12, threads=1)


def write(plan: Plan, folder: pathlib.Path) -> None:
    """Writes the folder that every side reads.

    Args:
      plan: What is asked.
      folder: Where to; must exist.
    """
    rng = np.random.default_rng(0)
    wished = plan.size.text.vocab_size - len(tokens.SPECIAL_TOKENS)
    area = plan.image_side**2
    total = tokenizer_files.write_tokenizer(
        folder, _corpus(rng, wished), wished, min_pixels=4 * 784, max_pixels=area
    )
    assert total == plan.size.text.vocab_size
    special = tokens.SpecialIds.from_vocab(tokenizer.load(folder).token_to_id)
    size = dataclasses.replace(plan.size, special=special)
    config: dict[str, Any] = hf_config.dump(size, dtype="float32")
    (folder / train_step_sides.CONFIG).write_text(json.dumps(config))
    model = qwen2_5_vl.Qwen2_5_VL(size=size)
    params = jax.jit(lambda key: qwen2_5_vl.init_params(model, key))(jax.random.key(0))
    hf.write_weights(params, size, folder, dtype=jnp.dtype("float32"))
    requests = list(_requests(plan, folder, rng))
    (folder / REQUESTS).write_text(json.dumps(requests))
    settings = dataclasses.asdict(plan)
    del settings["size"]
    (folder / train_step_sides.SETTINGS).write_text(json.dumps(settings))


def _corpus(rng: np.random.Generator, words: int) -> list[str]:
    """The questions, and made-up words enough for the vocabulary."""
    drawn = rng.integers(len(LETTERS), size=(words, 8))
    lines = ["".join(LETTERS[i] for i in word) for word in drawn]
    return [QUESTION.format(0), tokens.CHAT_TEMPLATE] * 100 + lines


def _requests(plan: Plan, folder: pathlib.Path, rng: np.random.Generator) -> Iterator[list[Any]]:
    """Messages in our form, with the images' paths."""
    side = plan.image_side
    for number in range(plan.requests):
        path = folder / f"{number}.png"
        fields = Image.fromarray(rng.integers(0, 256, (7, 7, 3), dtype=np.uint8))
        fields.resize((side, side), Image.Resampling.NEAREST).save(path)
        image = {"type": "image", "image": str(path)}
        question = {"type": "text", "text": QUESTION.format(number)}
        yield [{"role": "user", "content": [image, question]}]
