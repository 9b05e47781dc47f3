# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Our engine's greedy answers, how near their ties are, and another library's beside them."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lingshu_jax.common import structs
from lingshu_jax.data import messages, packing
from lingshu_jax.engines import jax_engine, protocol
from lingshu_jax.models import hf, qwen2_5_vl
from tests.models import goldens

NEAR_TIE = 1e-3  # a gap of logits that rounding may turn round
MIN_COMPARED = 0.95
BUDGET = packing.Budget(tokens=256, patches=512)


class Answer(NamedTuple):
    """One greedy answer of ours.

    Attributes:
      prompt_tokens: Ids of the prompt, visual ones included.
      tokens: Ids of the answer, the end token included.
      finish_reason: "stop" or "length".
      gaps: How far the best logit is above the second at each of the tokens.
    """

    prompt_tokens: list[int]
    tokens: list[int]
    finish_reason: str
    gaps: np.ndarray


def ask(folder: pathlib.Path, rows: Sequence[dict[str, Any]]) -> list[Answer]:
    """Our engine's answers to the requests."""
    engine = jax_engine.JaxEngine.from_folder(folder, rows=8)
    requests = [
        protocol.Request(
            messages=row["messages"],
            sampling=protocol.SamplingParams(max_new_tokens=row["max_new_tokens"]),
            id=row["id"],
        )
        for row in rows
    ]
    completions = [group[0] for group in engine.generate(requests)]
    prompts = [
        engine.encoder.encode(row["messages"], train=False, generation_prompt=True) for row in rows
    ]
    gaps = top_gaps(folder, engine.encoder, prompts, [c.tokens for c in completions])
    return [
        Answer(prompt.tokens.tolist(), list(completion.tokens), completion.finish_reason, gap)
        for prompt, completion, gap in zip(prompts, completions, gaps, strict=True)
    ]


def top_gaps(
    folder: pathlib.Path,
    encoder: messages.Encoder,
    prompts: Sequence[messages.Encoded],
    completions: Sequence[Sequence[int]],
) -> list[np.ndarray]:
    """Best logit less the second at each token, from one full forward pass.

    Where the gap is clear, the engine's token must be the best one.
    """
    arrays = []
    for prompt, tokens in zip(prompts, completions, strict=True):
        whole = messages.extend(prompt, tokens, loss_weights=np.ones(len(tokens), np.float32))
        options = {"geometry": encoder.geometry, "pad_id": encoder.special.pad}
        arrays.append(packing.prompt_row(whole, BUDGET, **options))
    batch = structs.Batch.from_arrays({k: np.stack([a[k] for a in arrays]) for k in arrays[0]})
    size = hf.read_config(folder)
    model = qwen2_5_vl.Qwen2_5_VL(size=size)
    params = jax.tree.map(jnp.asarray, hf.load_params(folder, size))
    values, choices = jax.device_get(_best_two(params, batch, model=model))
    gaps = []
    for i, (prompt, tokens) in enumerate(zip(prompts, completions, strict=True)):
        # The token at a place follows from the hidden state one place before.
        places = np.arange(len(tokens)) + prompt.num_tokens - 1
        gap = values[i, places, 0] - values[i, places, 1]
        assert ((choices[i, places, 0] == tokens) | (gap < NEAR_TIE)).all(), prompt.id
        gaps.append(gap)
    return gaps


@goldens.compiled_quickly(static_argnames=("model",))
def _best_two(params: Any, batch: structs.Batch, *, model: qwen2_5_vl.Qwen2_5_VL) -> Any:
    hidden = qwen2_5_vl.apply(model, params, batch)
    logits = qwen2_5_vl.apply(model, params, hidden, method=model.logits)
    return jax.lax.top_k(logits, 2)


def check_prompts(ours: Sequence[Answer], theirs: Sequence[dict[str, Any]]) -> None:
    """Equal prompts, where the others made their own."""
    for mine, other in zip(ours, theirs, strict=True):
        assert other["prompt_tokens"] == mine.prompt_tokens, other["id"]


def check_equal(ours: Sequence[Answer], theirs: Sequence[dict[str, Any]]) -> None:
    """Equal greedy tokens up to the first near-tie of each answer."""
    compared, total = 0, 0
    for mine, other in zip(ours, theirs, strict=True):
        name = other["id"]
        near = np.flatnonzero(mine.gaps < NEAR_TIE)
        until = int(near[0]) if len(near) else len(mine.tokens)
        same = len(os.path.commonprefix([other["tokens"], mine.tokens]))
        assert same >= until, f"{name}: equal only up to token {same}, our gaps {mine.gaps[same:]}"
        if until == len(mine.tokens):
            assert len(other["tokens"]) == until, name
            assert other["finish_reason"] == mine.finish_reason, name
        compared, total = compared + until, total + len(mine.tokens)
    print(f"\n{compared} of {total} tokens compared")
    assert compared >= MIN_COMPARED * total
