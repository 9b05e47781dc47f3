# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Generation with the live weights of a training mesh: eight devices against one."""

import pathlib
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from lingshu_jax.common import sharding, structs
from lingshu_jax.data import messages
from lingshu_jax.engines import jax_engine, protocol
from lingshu_jax.models import axes, generate, layers, qwen2_5_vl
from tests import small

MESH = {"data": 2, "fsdp": 2, "tensor": 2}
NEW_TOKENS, SAMPLES = 6, 2
ROWS = 4 * SAMPLES


def live_params() -> layers.Params:
    """As training holds them, split over fsdp and tensor."""
    host = small.random_params()
    places = sharding.param_shardings(host, axes.PARAM_AXES, sharding.make_mesh(MESH))
    return jax.device_put(host, places)


def requests() -> list[protocol.Request]:
    """Three prompts for a mesh with four parts of a batch."""
    pixels = np.random.default_rng(0).integers(0, 256, (56, 84, 3), dtype=np.uint8)
    picture = {"type": "image", "image": Image.fromarray(pixels)}
    asked = []
    for seed, parts in enumerate(([], [picture], [])):
        content: list[Any] = [*parts, {"type": "text", "text": "abcd"[: seed + 1]}]
        options = protocol.SamplingParams(
            max_new_tokens=NEW_TOKENS, temperature=float(seed), seed=seed, n=SAMPLES
        )
        message: Any = {"role": "user", "content": content}
        asked.append(protocol.Request(messages=[message], sampling=options, id=str(seed)))
    return asked


@pytest.fixture(scope="module")
def encoder(small_folder: pathlib.Path) -> messages.Encoder:
    return messages.Encoder(
        small_folder, min_pixels=small.PIXELS["min_pixels"], max_pixels=small.PIXELS["max_pixels"]
    )


def answer(params: layers.Params, encoder: messages.Encoder) -> list[protocol.Completion]:
    engine = jax_engine.JaxEngine(params, small.MODEL, encoder, rows=ROWS)
    return [completion for group in engine.generate(requests()) for completion in group]


def test_eight_devices_answer_as_one(encoder: messages.Encoder) -> None:
    one = answer(jax.tree.map(jnp.asarray, small.random_params()), encoder)
    eight = answer(live_params(), encoder)
    assert [completion.tokens for completion in eight] == [completion.tokens for completion in one]
    for ours, theirs in zip(eight, one, strict=True):
        np.testing.assert_allclose(ours.logprobs, theirs.logprobs, atol=1e-5)
    assert len({completion.tokens for completion in one}) > SAMPLES


def test_prompts_are_as_many_as_divide(encoder: messages.Encoder) -> None:
    mesh = sharding.make_mesh(MESH)
    assert jax_engine._num_prompts(32, 4, mesh) == 8
    assert jax_engine._num_prompts(32, 6, mesh) == 8
    assert jax_engine._num_prompts(4, 8, mesh) == 4
    assert jax_engine._num_prompts(4, 8, sharding.make_mesh({}, jax.devices()[:1])) == 1


def gathered_in_the_loop(params: layers.Params) -> list[int]:
    """Elements of what each all-gather of the decode loop gives."""
    mesh = sharding.make_mesh(MESH)
    batch = qwen2_5_vl.empty_batch(small.SIZE, rows=4, tokens=16, patches=64)
    rows = jnp.zeros(ROWS, jnp.int32)
    sampling = generate.Sampling(
        temperature=jnp.zeros(ROWS), seeds=jnp.zeros(ROWS, jnp.uint32), max_new_tokens=rows + 4
    )
    with jax.set_mesh(mesh):
        shapes: structs.Batch = jax.tree.map(
            lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place),
            batch,
            sharding.batch_shardings(batch, mesh),
        )
        lowered = generate.generate.lower(
            params,
            shapes,
            rows[:4],
            sampling,
            model=small.MODEL,
            samples=SAMPLES,
            capacity=4,
            stop_ids=(258,),
        )
        text = lowered.compile().as_text() or ""
    return [
        int(np.prod([int(size) for size in shape.split(",")]))
        for computation in computations_of_loops(text)
        for shape in re.findall(r"= \w+\[([\d,]+)\]\S* all-gather\(", computation)
    ]


def computations_of_loops(text: str) -> list[str]:
    """What the decode loop computes, and the scan over layers inside of it."""
    lines = [line for line in text.splitlines() if "jit(generate)/while/body" in line]
    assert lines
    return lines


def test_the_loop_gathers_no_weights() -> None:
    smallest = min(
        leaf.size // small.SIZE.text.num_layers
        for path, leaf in jax.tree_util.tree_leaves_with_path(small.random_params()["text"])
        if "kernel" in str(path)
    )
    live = live_params()
    with jax.set_mesh(sharding.make_mesh(MESH)):
        placed = jax_engine.lay_out(live, dtype=jnp.dtype(jnp.float32))
    assert max(gathered_in_the_loop(placed), default=0) < smallest
    assert max(gathered_in_the_loop(live)) >= smallest, "the training layout does"
