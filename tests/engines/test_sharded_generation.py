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

from lingshu_jax.common import errors, sharding, structs
from lingshu_jax.data import messages
from lingshu_jax.engines import jax_engine, jax_layout, jax_programs, protocol
from lingshu_jax.models import axes, generate, layers, qwen2_5_vl, sampling, sizes
from tests import small

MESH = {"data": 2, "fsdp": 2, "tensor": 2}
NEW_TOKENS, SAMPLES = 6, 2
ROWS = 8 * SAMPLES  # two slots on each part: some are refilled while others go on
POLICY = generate.Policy(small.MODEL, (258,))


def live_params() -> layers.Params:
    """As training holds them, split over fsdp and tensor."""
    host = small.random_params()
    places = sharding.param_shardings(host, axes.PARAM_AXES, sharding.make_mesh(MESH))
    return jax.device_put(host, places)


def requests(count: int = 13) -> list[protocol.Request]:
    """More prompts than the eight slots, two on each part of a batch."""
    pixels = np.random.default_rng(0).integers(0, 256, (56, 84, 3), dtype=np.uint8)
    picture = {"type": "image", "image": Image.fromarray(pixels)}
    asked = []
    for seed in range(count):
        text = {"type": "text", "text": "abcdefghijklm"[: seed + 1]}
        content: list[Any] = [picture, text] if seed % 3 == 1 else [text]
        options = protocol.SamplingParams(
            max_new_tokens=NEW_TOKENS - seed % 4,
            temperature=float(seed % 3),
            top_k=seed,
            repetition_penalty=1.0 + (seed == 4),
            seed=seed,
            n=SAMPLES,
        )
        message: Any = {"role": "user", "content": content}
        asked.append(protocol.Request(messages=[message], sampling=options, id=str(seed)))
    return asked


@pytest.fixture(scope="module")
def encoder(small_folder: pathlib.Path) -> messages.Encoder:
    return messages.Encoder(
        small_folder, min_pixels=small.PIXELS["min_pixels"], max_pixels=small.PIXELS["max_pixels"]
    )


def on_one_device(size: sizes.ModelSize = small.SIZE) -> layers.Params:
    return jax.tree.map(jnp.asarray, small.random_params(size))


def make_engine(
    params: layers.Params, encoder: messages.Encoder, size: sizes.ModelSize = small.SIZE
) -> jax_engine.JaxEngine:
    return jax_engine.JaxEngine(params, qwen2_5_vl.Qwen2_5_VL(size=size), encoder, rows=ROWS)


def assert_same(one: jax_engine.JaxEngine, eight: jax_engine.JaxEngine, count: int = 13) -> None:
    """Equal answers, and equal scores of what was answered."""
    expected, found = one.generate(requests(count)), eight.generate(requests(count))
    flat = [completion for group in expected for completion in group]
    assert len({completion.tokens for completion in flat}) > len(flat) // 2
    for theirs, ours in zip(expected, found, strict=True):
        assert [a.tokens for a in ours] == [b.tokens for b in theirs]
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a.logprobs, b.logprobs, atol=1e-5)
    asked = [
        protocol.ScoreRequest(
            messages=request.messages, continuations=tuple(one.tokens for one in group)
        )
        for request, group in zip(requests(2), expected, strict=False)
    ]
    for group, scores in zip(expected, eight.score(asked), strict=False):
        for completion, score in zip(group, scores, strict=True):
            np.testing.assert_allclose(score.logprobs, completion.logprobs, atol=1e-5)


def test_eight_devices_answer_as_one(encoder: messages.Encoder) -> None:
    eight = make_engine(live_params(), encoder)
    assert_same(make_engine(on_one_device(), encoder), eight)
    programs = (jax_programs._read, jax_programs._admit, jax_programs._advance)
    before = [program._cache_size() for program in programs]
    eight.generate(requests()[::-1])
    assert [program._cache_size() for program in programs] == before, "slots come back as they were"


def test_key_value_heads_are_whole_where_tensor_exceeds_them(encoder: messages.Encoder) -> None:
    """Two of them on four devices that split everything else."""
    size = small.SIZE
    mesh = sharding.make_mesh({"data": 2, "tensor": 4})
    host = small.random_params(size)
    with pytest.raises(errors.UserError, match="does not divide over 4"):
        sharding.param_shardings(host, axes.PARAM_AXES, mesh)
    eight = jax.device_put(host, jax_layout.places(host, mesh))
    attention = eight["text"]["layers"]["attention"]
    assert attention["k"]["kernel"].sharding.is_fully_replicated
    assert not attention["q"]["kernel"].sharding.is_fully_replicated
    tower = jax.tree.leaves({name: eight[name] for name in ("vision", "merger")})
    assert all(leaf.sharding.is_fully_replicated for leaf in tower), "2 heads over 4 devices"
    assert_same(
        make_engine(on_one_device(size), encoder, size), make_engine(eight, encoder, size), count=3
    )


def test_a_folder_is_loaded_onto_a_mesh(
    small_folder: pathlib.Path, encoder: messages.Encoder
) -> None:
    mesh = sharding.make_mesh({"data": 4, "tensor": 2})
    engine = jax_engine.JaxEngine.from_folder(small_folder, mesh=mesh, rows=ROWS)
    assert jax_layout.mesh_of(engine._params) == mesh
    (expected, *_), (found, *_) = (
        one.generate(requests(1)) for one in (make_engine(on_one_device(), encoder), engine)
    )
    assert [a.tokens for a in found] == [b.tokens for b in expected]


def test_slots_and_prompts_are_as_many_as_divide() -> None:
    def programs(devices: int) -> jax_programs.Programs:
        shape = MESH if devices == 8 else {}
        mesh = sharding.make_mesh(shape, jax.devices()[:devices])
        return jax_programs.Programs(jax_layout.Layout(mesh, {}, {}), POLICY)

    assert [programs(8).num_slots(*case) for case in ((32, 4), (32, 6), (4, 8))] == [8, 8, 4]
    assert [programs(1).num_slots(*case) for case in ((32, 4), (4, 8))] == [8, 1]
    assert programs(8).rows_at_once(128) == 4 and programs(1).rows_at_once(128) == 1
    assert [programs(1).prompts_at_once(320, slots) for slots in (32, 8, 1)] == [4, 2, 1]
    assert [programs(1).prompts_at_once(tokens, 128) for tokens in (128, 4096)] == [16, 1]
    assert programs(8).prompts_at_once(128, 8) == 4


def gathers(text: str) -> list[int]:
    """Elements of what each all-gather of some lines of a program gives."""
    return [
        int(np.prod([int(size) for size in shape.split(",")]))
        for shape in re.findall(r"= \w+\[([\d,]+)\]\S* all-gather\(", text)
    ]


def gathered_in_the_loop(params: layers.Params) -> list[int]:
    """Elements of what each all-gather of the decode loop gives."""
    mesh = sharding.make_mesh(MESH)
    batch = qwen2_5_vl.empty_batch(small.SIZE, rows=4, tokens=16, patches=64)
    with jax.set_mesh(mesh):
        shapes: structs.Batch = jax.tree.map(
            lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place),
            batch,
            sharding.batch_shardings(batch, mesh),
        )
        lowered = generate.generate.lower(
            params,
            shapes,
            jnp.zeros(4, jnp.int32),
            sampling.make(4 * SAMPLES, max_new_tokens=4),
            model=small.MODEL,
            samples=SAMPLES,
            capacity=4,
            stop_ids=(258,),
        )
        text = lowered.compile().as_text() or ""
    return gathers("\n".join(computations_of_loops(text)))


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
        placed = jax_layout.lay_out(live, dtype=jnp.dtype(jnp.float32))
    assert max(gathered_in_the_loop(placed), default=0) < smallest
    assert max(gathered_in_the_loop(live)) >= smallest, "the training layout does"


def test_slots_lie_over_the_mesh_and_stay_there() -> None:
    """Letting prompts in moves no cache between devices, only what was read."""
    mesh = sharding.make_mesh(MESH)
    layout, seconds = jax_layout.arrange(live_params(), dtype=jnp.dtype(jnp.float32))
    assert layout.mesh == mesh and seconds > 0
    programs = jax_programs.Programs(layout, POLICY)
    shape = jax_programs.Shape(slots=8, samples=2, prompt_places=512, new_places=16)
    slots = programs.empty(shape)
    values = slots.cache.values[0]  # of the first layer [1, R, K, S, H]
    assert values.sharding.shard_shape(values.shape) == (1, 2, 1, 512, 24)
    batch = qwen2_5_vl.empty_batch(small.SIZE, rows=4, tokens=16, patches=64)
    with jax.set_mesh(mesh):
        placed = jax_layout.place(batch, mesh)
        prompts = jax_programs._read(
            layout.params, placed, np.zeros(4, np.int32), model=small.MODEL
        )
        lowered = jax_programs._admit.lower(
            layout.decoder,
            slots,
            prompts,
            np.arange(4, dtype=np.int32),
            rules=sampling.make(8, max_new_tokens=4),
            policy=POLICY,
        )
        text = lowered.compile().as_text() or ""
    assert gathers(text), "the prompts go where their slots are"
    assert max(gathers(text)) < values.size // 8  # the part of one device
