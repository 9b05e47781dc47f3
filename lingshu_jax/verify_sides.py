# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The two sides of `verify`: what ours and what transformers make of the same prompts.

Each side goes the whole way by itself, from messages and pictures through its own tokenizer and
image processor to logits and greedy tokens. Weights are loaded, used and let go, so that only
one copy of a model is in memory at a time.

Axes: T prompt tokens, N new tokens, V vocabulary.
"""

import math
import pathlib
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lingshu_jax import verify_prompts
from lingshu_jax.common import errors, structs
from lingshu_jax.data import images, messages, packing
from lingshu_jax.engines import jax_engine, protocol
from lingshu_jax.models import hf, qwen2_5_vl

_IMAGE_PAD = "<|image_pad|>"


class Outcome(NamedTuple):
    """What one side makes of a prompt.

    Attributes:
      tokens: Ids of the prompt [T].
      logits: float32 [T, V].
      answer: Greedy ids [N], a stop token included.
      margins: Of the two best logits before each of them [N]; None for ours.
    """

    tokens: np.ndarray
    logits: np.ndarray
    answer: list[int]
    margins: np.ndarray | None


class Side(NamedTuple):
    """All of one side in one dtype.

    Attributes:
      parameters: How many there are; tied ones once.
      device: What it ran on.
      outcomes: One a prompt.
    """

    parameters: int
    device: str
    outcomes: list[Outcome]


def ours(
    folder: pathlib.Path, prompts: Sequence[verify_prompts.Prompt], dtype: str, *, new_tokens: int
) -> Side:
    """Our side, on JAX's first device.

    Args:
      folder: A Hugging Face folder.
      prompts: What to answer.
      dtype: Of weights and activations, float32 or bfloat16.
      new_tokens: N at most.

    Raises:
      UserError: If the folder is none, or a prompt is too long for the model.
    """
    size = hf.read_config(folder)
    encoder = messages.Encoder.from_folder(folder)
    device = jax.devices()[0]
    shapes = qwen2_5_vl.abstract_params(size, jnp.dtype(dtype))
    placed = jax.tree.map(lambda _: jax.sharding.SingleDeviceSharding(device), shapes)
    params = hf.load_params(folder, size, jnp.dtype(dtype), placed)
    model = qwen2_5_vl.Qwen2_5_VL(size=size, dtype=jnp.dtype(dtype), param_dtype=jnp.dtype(dtype))
    engine = jax_engine.JaxEngine(params, model, encoder, rows=1, max_images=sys.maxsize)
    sampling = protocol.SamplingParams(max_new_tokens=new_tokens)
    encoded = [encoder.encode(p.messages, train=False, generation_prompt=True) for p in prompts]
    outcomes = []
    # GPUs and TPUs would round the products of float32 to fewer bits.
    with jax.default_matmul_precision("highest"):
        all_logits = _our_logits(model, params, encoded, encoder)
        for prompt, sequence, logits in zip(prompts, encoded, all_logits, strict=True):
            request = protocol.Request(messages=prompt.messages, sampling=sampling, id=prompt.name)
            ((answer,),) = engine.generate([request])
            outcomes.append(Outcome(sequence.tokens, logits, list(answer.tokens), None))
    count = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))
    return Side(count, device.device_kind, outcomes)


def theirs(
    folder: pathlib.Path, prompts: Sequence[verify_prompts.Prompt], dtype: str, *, new_tokens: int
) -> Side:
    """transformers' side, on the CPU: there float32 is float32 in every product.

    Args:
      folder: A Hugging Face folder.
      prompts: What to answer.
      dtype: Of weights and activations, float32 or bfloat16.
      new_tokens: N at most.

    Raises:
      UserError: If transformers does not load the folder, or it has no chat template.
    """
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        model = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(
            folder, dtype=getattr(torch, dtype), attn_implementation="eager"
        ).eval()
    except (OSError, RuntimeError, ValueError) as error:
        raise errors.UserError(f"transformers does not load {folder}: {error}") from error
    stop = model.generation_config.eos_token_id
    # The folder's own may hold penalties and a temperature, which bend greedy decoding too.
    model.generation_config = transformers.GenerationConfig(
        eos_token_id=stop,
        pad_token_id=stop[0] if isinstance(stop, list) else stop,
        do_sample=False,
        max_new_tokens=new_tokens,
        output_logits=True,
        return_dict_in_generate=True,
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    if tokenizer.chat_template is None:
        raise errors.UserError(f"{folder} has no chat template, which transformers needs")
    pictures = transformers.Qwen2VLImageProcessorPil.from_pretrained(folder)
    outcomes = []
    for prompt in prompts:
        inputs = _their_inputs(prompt.messages, tokenizer, pictures)
        with torch.no_grad():
            logits = model(**inputs).logits[0].float().numpy()
            generated = model.generate(**inputs)
        ids = inputs["input_ids"][0].numpy()
        best = torch.stack([step[0].float() for step in generated.logits]).topk(2).values
        margins = (best[:, 0] - best[:, 1]).numpy()
        answer = generated.sequences[0, len(ids) :].tolist()
        outcomes.append(Outcome(ids, logits, answer, margins))
    return Side(model.num_parameters(), "cpu", outcomes)


def _our_logits(
    model: qwen2_5_vl.Qwen2_5_VL,
    params: Any,
    encoded: Sequence[messages.Encoded],
    encoder: messages.Encoder,
) -> list[np.ndarray]:
    """The logits of each prompt [T, V], by one program of the largest shape."""
    slot = encoder.geometry.slot_patches
    # Edge windows may need slots of their own: twice the patches always suffices.
    num_slots = max(1 + 2 * sequence.num_patches // slot for sequence in encoded)
    budget = packing.Budget(max(e.num_tokens for e in encoded), slot * num_slots)
    layout: dict[str, Any] = {"geometry": encoder.geometry, "pad_id": encoder.special.pad}

    @jax.jit
    def forward(params: Any, batch: structs.Batch) -> jax.Array:
        hidden = qwen2_5_vl.apply(model, params, batch)
        return qwen2_5_vl.apply(model, params, hidden, method=model.logits)

    found = []
    for sequence in encoded:
        row = packing.prompt_row(sequence, budget, **layout)
        batch = structs.Batch.from_arrays({name: value[None] for name, value in row.items()})
        found.append(np.array(forward(params, batch)[0, : sequence.num_tokens]))
    return found


def _their_inputs(conversation: Sequence[Any], tokenizer: Any, pictures: Any) -> dict[str, Any]:
    """What their processor gives, without the video processor, which needs torchvision."""
    import torch

    parts = [p for m in conversation if not isinstance(m["content"], str) for p in m["content"]]
    shown = [images.open_image(p["image"]) for p in parts if p["type"] == "image"]
    text = tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
    inputs = dict(pictures(images=shown, return_tensors="pt")) if shown else {}
    before, *after = text.split(_IMAGE_PAD)
    grids = inputs["image_grid_thw"].tolist() if shown else []
    counts = [math.prod(grid) // pictures.merge_size**2 for grid in grids]
    pieces = [_IMAGE_PAD * n + piece for n, piece in zip(counts, after, strict=True)]
    ids = tokenizer("".join([before, *pieces]), return_tensors="pt")["input_ids"]
    is_picture = ids == tokenizer.convert_tokens_to_ids(_IMAGE_PAD)
    inputs |= {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return inputs | {"mm_token_type_ids": is_picture.int()} if shown else inputs
