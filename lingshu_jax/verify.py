# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Ours beside transformers on the same folder; only where torch is installed."""

import importlib.util
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lingshu_jax.common import geometry as geometry_lib
from lingshu_jax.common import structs
from lingshu_jax.data import messages, packing, processor, sources
from lingshu_jax.models import hf, qwen2_5_vl, vision

MAX_ROWS = 4


class Agreement(NamedTuple):
    """How far two implementations are apart on one folder.

    Attributes:
      rows: Conversations compared.
      logits: Largest difference of a logit, relative to the largest logit.
      same_choice: Share of places where both prefer the same next token.
    """

    rows: int
    logits: float
    same_choice: float


def is_possible() -> bool:
    """Whether torch and transformers are installed."""
    return all(importlib.util.find_spec(name) for name in ("torch", "transformers"))


def compare(folder: pathlib.Path, examples: Sequence[sources.Example]) -> Agreement:
    """Logits of the first conversations, in float32 on both sides.

    Args:
      folder: A Hugging Face folder.
      examples: Conversations with images.
    """
    size = hf.read_config(folder)
    limits = processor.read_pixel_limits(folder)
    encoder = messages.Encoder(folder, min_pixels=limits.smallest, max_pixels=limits.largest)
    model = qwen2_5_vl.Qwen2_5_VL(size=size)
    params = hf.load_params(folder, size, jnp.dtype(jnp.float32))
    theirs = _load_theirs(folder)
    worst, same, places = 0.0, 0, 0
    for example in examples[:MAX_ROWS]:
        encoded = encoder.encode(example.messages, train=False, generation_prompt=True)
        row = _row(encoded, encoder)
        ours = _our_logits(model, params, row)[: encoded.num_tokens]
        reference = _their_logits(theirs, encoded, row, encoder.geometry)
        worst = max(worst, float(np.abs(ours - reference).max() / np.abs(reference).max()))
        same += int((ours.argmax(-1) == reference.argmax(-1)).sum())
        places += encoded.num_tokens
    return Agreement(min(len(examples), MAX_ROWS), worst, same / max(places, 1))


def _row(encoded: messages.Encoded, encoder: messages.Encoder) -> dict[str, np.ndarray]:
    slot = encoder.geometry.slot_patches
    # Edge windows may need slots of their own: twice the patches always suffices.
    patches = slot * (1 + 2 * encoded.num_patches // slot)
    budget = packing.Budget(encoded.num_tokens, patches)
    return packing.prompt_row(
        encoded, budget, geometry=encoder.geometry, pad_id=encoder.special.pad
    )


def _our_logits(model: Any, params: Any, row: dict[str, np.ndarray]) -> np.ndarray:
    batch = structs.Batch.from_arrays({name: value[None] for name, value in row.items()})

    def forward(params: Any, batch: structs.Batch) -> jax.Array:
        hidden = qwen2_5_vl.apply(model, params, batch)
        return qwen2_5_vl.apply(model, params, hidden, method=model.logits)

    return np.asarray(jax.jit(forward)(params, batch)[0])


def _load_theirs(folder: pathlib.Path) -> Any:
    import torch
    import transformers

    model = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    )
    return model.eval()


def _their_logits(
    model: Any,
    encoded: messages.Encoded,
    row: dict[str, np.ndarray],
    geometry: geometry_lib.VisionGeometry,
) -> np.ndarray:
    import torch

    inputs: dict[str, Any] = {
        "input_ids": torch.tensor(encoded.tokens[None], dtype=torch.long),
        # Given, since how they are derived differs between versions of transformers.
        "position_ids": torch.tensor(encoded.positions[:, None], dtype=torch.long),
    }
    if encoded.media:
        patches = jnp.asarray(row["patches"][None, : encoded.num_patches])
        pixels = vision.normalize(patches, geometry)
        inputs["pixel_values"] = torch.tensor(np.asarray(pixels[0]))
        inputs["image_grid_thw"] = torch.tensor([tuple(m.grid) for m in encoded.media])
    with torch.no_grad():
        return model(**inputs).logits[0].float().numpy()
