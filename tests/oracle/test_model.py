# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Our model beside transformers on random checkpoints: features, logits, greedy tokens.

float32. Vision features and logits relative to the largest value, log-probabilities absolute.
"""

import dataclasses
import pathlib
import types
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lingshu_jax.models import generate, qwen2_5_vl
from tests.make_golden import tiny_models
from tests.models import goldens
from tests.oracle import checkpoints

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]

TOLERANCE, MATTERS = 1e-4, 100
NEW_TOKENS, NEAR_TIE = 32, 1e-3


def compare_rows(
    oracle_side: types.ModuleType,
    oracle: Any,
    golden: goldens.Golden,
    *,
    ours: dict[str, tiny_models.Case],
    theirs: dict[str, tiny_models.Case],
) -> dict[str, dict[str, float]]:
    """Gaps of features, logits and log-probabilities by row; our rows run as one batch."""
    rows = [[checkpoints.to_encoded(name, case, golden)] for name, case in ours.items()]
    batch = goldens.make_batch(golden, rows, checkpoints.BUDGET)
    outputs = goldens.forward(golden.params, batch, size=golden.size, like=golden.size)
    gaps = {}
    for i, (name, case) in enumerate(theirs.items()):
        out = goldens.split({k: v[i : i + 1] for k, v in outputs.items()}, rows[i])[name]
        with oracle_side.torch.no_grad():
            inputs = oracle_side.model_inputs(case, oracle_side.torch.float32)
            seen, output = oracle_side.capture(oracle, inputs)
        logits = output.logits[0].numpy()
        logprobs = [np.asarray(jax.nn.log_softmax(x, axis=-1)) for x in (out["logits"], logits)]
        gaps[name] = {
            "logits": goldens.gap(out["logits"], logits),
            "logprobs": float(np.abs(logprobs[0] - logprobs[1]).max()),
        }
        if case.frames:
            merged = oracle_side.natural_order(seen, case)["vision/merged"]
            gaps[name]["vision"] = goldens.gap(out["vision/merged"], merged)
    return gaps


def test_features_logits_and_logprobs(
    oracle_side: types.ModuleType, tmp_path: pathlib.Path, seed: int
) -> None:
    model = checkpoints.random_model(seed)
    oracle, cases = oracle_side.build(model), checkpoints.random_cases(model)
    golden = checkpoints.to_golden(oracle, tmp_path)
    gaps = compare_rows(oracle_side, oracle, golden, ours=cases, theirs=cases)
    print(f"\n{model}\n{gaps}")
    for name, by_output in gaps.items():
        for output, gap in by_output.items():
            assert gap < TOLERANCE, f"{name} {output}"
    # The twin: the oracle sees other pixels or positions than we do.
    several = cases["several"]
    changed = {
        "equal_images_swapped": dataclasses.replace(several, frames=several.frames[::-1]),
        "one_patch_greyed": grey_one_patch(several),
        "columns_moved": move_columns(several),
        "nothing": several,
    }
    ours = dict.fromkeys(changed, several)
    gaps = compare_rows(oracle_side, oracle, golden, ours=ours, theirs=changed)
    assert gaps.pop("nothing")["logits"] < TOLERANCE
    for name, by_output in gaps.items():
        assert by_output["logits"] > MATTERS * TOLERANCE, f"does not matter: {name}"


def grey_one_patch(case: tiny_models.Case) -> tiny_models.Case:
    first = case.frames[0].copy()
    first[:, :14, :14] = 128
    return dataclasses.replace(case, frames=(first, *case.frames[1:]))


def move_columns(case: tiny_models.Case) -> tiny_models.Case:
    """Every visual token of the first image stands twenty columns further right."""
    positions, start = case.positions.copy(), case.media_starts[0]
    positions[2, start : start + case.grids[0].prod() // 4] += 20
    return dataclasses.replace(case, positions=positions)


def test_greedy_tokens(oracle_side: types.ModuleType, tmp_path: pathlib.Path, seed: int) -> None:
    """Equal up to the first place where the oracle itself is near a tie."""
    model = checkpoints.random_model(seed)
    oracle, cases = oracle_side.build(model), checkpoints.random_cases(model)
    golden = checkpoints.to_golden(oracle, tmp_path)
    rows = [[checkpoints.to_encoded(name, case, golden)] for name, case in cases.items()]
    count = len(rows)
    out = goldens.quick_generate(
        golden.params,
        goldens.make_batch(golden, rows, checkpoints.BUDGET),
        jnp.array([row[0].next_position for row in rows], jnp.int32),
        generate.Sampling(
            temperature=jnp.zeros(count),
            seeds=jnp.zeros(count, jnp.int32),
            max_new_tokens=jnp.full(count, NEW_TOKENS, jnp.int32),
        ),
        model=qwen2_5_vl.Qwen2_5_VL(size=golden.size),
        samples=1,
        capacity=NEW_TOKENS,
        stop_ids=(-1,),
    )
    compared = 0
    for i, (name, case) in enumerate(cases.items()):
        theirs = oracle_side.greedy(oracle, case)
        near = np.flatnonzero(theirs["greedy_margin"] < NEAR_TIE)
        until = int(near[0]) if len(near) else NEW_TOKENS
        ours = np.asarray(out.tokens[i])
        assert ours[:until].tolist() == theirs["greedy"][:until].tolist(), name
        compared += until
    print(f"\n{model.name}: {compared} of {count * NEW_TOKENS} tokens compared")
    assert compared >= 0.5 * count * NEW_TOKENS


@pytest.mark.parametrize("side", ["left", "right"])
def test_padded_batch_equals_our_rows(
    oracle_side: types.ModuleType, tmp_path: pathlib.Path, side: str
) -> None:
    """Text, padded to the length of a row with images, in one batch of the oracle's."""
    torch = oracle_side.torch
    model = checkpoints.random_model(0)
    oracle, cases = oracle_side.build(model), checkpoints.random_cases(model)
    golden = checkpoints.to_golden(oracle, tmp_path)
    short, long = cases["none"], cases["several"]
    room = len(long.tokens) - len(short.tokens)
    assert room > 0, "the text row is the shorter one"
    width = (room, 0) if side == "left" else (0, room)
    pad = model.special(tiny_models.PAD)
    tokens = np.stack([np.pad(short.tokens, width, constant_values=pad), long.tokens])
    mask = np.stack([np.pad(np.ones_like(short.tokens), width), np.ones_like(long.tokens)])
    inputs = oracle_side.model_inputs(long, torch.float32)
    kinds = torch.from_numpy((tokens == model.special(tiny_models.IMAGE_PAD)).astype(np.int32))
    del inputs["position_ids"]  # its own, from the mask and the kinds
    inputs |= {"input_ids": torch.from_numpy(tokens), "attention_mask": torch.from_numpy(mask)}
    with torch.no_grad():
        logits = oracle(**inputs, mm_token_type_ids=kinds).logits.numpy()
    ours = packed_logits(golden, {"none": short, "several": long})
    assert goldens.gap(ours["none"], logits[0][mask[0] > 0]) < TOLERANCE
    assert goldens.gap(ours["several"], logits[1]) < TOLERANCE


def packed_logits(
    golden: goldens.Golden, cases: dict[str, tiny_models.Case]
) -> dict[str, np.ndarray]:
    """Our logits of the rows, packed into one."""
    row = [checkpoints.to_encoded(name, case, golden) for name, case in cases.items()]
    batch = goldens.make_batch(golden, [row], checkpoints.BUDGET)
    outputs = goldens.forward(golden.params, batch, size=golden.size, like=golden.size)
    return {name: part["logits"] for name, part in goldens.split(outputs, row).items()}
