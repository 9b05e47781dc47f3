# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What a compiled TPU program sends, beside what is counted by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import Mesh

from lingshu_jax.aot import hlo, step_time, traffic
from lingshu_jax.common import sharding, structs, topologies
from lingshu_jax.models import axes, qwen2_5_vl
from lingshu_jax.stages import optim, step
from tests import small

# Wide enough that norms and biases, which are not counted by hand, weigh nothing.
SIZE = dataclasses.replace(
    small.SIZE,
    text=dataclasses.replace(
        small.SIZE.text,
        **{"embed_dim": 256, "num_heads": 4, "head_dim": 128, "mlp_dim": 1024, "vocab_size": 1024},
        mrope_section=(16, 24, 24),
    ),
    vision=dataclasses.replace(small.SIZE.vision, embed_dim=256, mlp_dim=512, num_heads=4),
)
BATCH = traffic.Batch(rows=8, tokens=256, patches=256)
# Without them gradients of kernels whose last axis is split are all-reduced and then sliced.
OPTIONS = {
    "xla_tpu_use_minor_sharding_for_major_trivial_input": True,
    "xla_tpu_relayout_group_size_threshold_for_reduce_scatter": 1,
    "xla_tpu_assign_all_reduce_scatter_layout": True,
}


def abstract_batch(mesh: Mesh) -> structs.Batch:
    rows, tokens, patches = BATCH.rows, BATCH.tokens, BATCH.patches

    def of(*shape: int, dtype: str = "int32") -> jax.ShapeDtypeStruct:
        places = sharding.batch_sharding(mesh)
        return jax.ShapeDtypeStruct((rows, *shape), jnp.dtype(dtype), sharding=places)

    images = {
        "patches": of(patches, 1176, dtype="uint8"),
        "patch_frame_ids": of(patches),
        "patch_hw": of(patches, 2),
        "window_gather": of(patches),
        "window_ids": of(patches // 64, 64),
        "merged_inverse": of(patches // 4),
    }
    return structs.Batch(
        tokens=of(tokens),
        positions=of(3, tokens),
        segment_ids=of(tokens),
        loss_weights=of(tokens, dtype="float32"),
        media_index=of(tokens),
        source_ids=of(tokens),
        images=structs.Images(**images),
        extras={},
    )


def compile_gradient(mesh: Mesh) -> tuple[str, set[str]]:
    """The program of the gradient of stage 3's loss, and the paths it trains."""
    model = qwen2_5_vl.Qwen2_5_VL(size=SIZE, dtype=jnp.dtype(jnp.bfloat16), remat="full")
    params = qwen2_5_vl.abstract_params(SIZE, jnp.dtype(jnp.float32))
    places = sharding.param_shardings(params, axes.PARAM_AXES, mesh)
    leaves = optim.flatten(
        jax.tree.map(
            lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place),
            params,
            places,
        )
    )

    def gradient(leaves: optim.Leaves, batch: structs.Batch) -> optim.Leaves:
        def loss(leaves: optim.Leaves) -> jax.Array:
            params = optim.unflatten(leaves)
            return step.batch_loss(params, batch, model=model, num_sources=1).loss.total

        return jax.grad(loss)(leaves)

    where = {name: leaf.sharding for name, leaf in leaves.items()}
    with jax.set_mesh(mesh):
        lowered = jax.jit(gradient, out_shardings=where).lower(leaves, abstract_batch(mesh))
        return lowered.compile(compiler_options=OPTIONS).as_text() or "", set(leaves)


def by_hand(sizes: dict[str, int], trained: set[str]) -> dict[str, float]:
    recomputed = step_time.RECOMPUTED["full"]
    found = traffic.collectives(
        size=SIZE, batch=BATCH, trained=trained, recomputed=recomputed, mesh=sizes
    )
    return hlo.summary(found)


def compile_on(sizes: dict[str, int]) -> tuple[dict[str, float], set[str]]:
    """What the program of a mesh sends, and the paths it trains."""
    mesh = sharding.make_mesh(sizes, topologies.parse("v5e:2x4").describe())
    text, trained = compile_gradient(mesh)
    return hlo.summary(hlo.collectives(text, dict(mesh.shape))), trained


@pytest.mark.aot
def test_over_tensor_a_program_sends_less_than_twice_what_is_counted() -> None:
    """Tokens between blocks are split as well: some weights are gathered instead of activations."""
    sizes = {"fsdp": 4, "tensor": 2}
    compiled, trained = compile_on(sizes)
    expected = by_hand(sizes, trained)
    assert compiled["all-to-all fsdp"] == pytest.approx(expected["all-to-all fsdp"])
    assert 1 < sum(compiled.values()) / sum(expected.values()) < 2


@pytest.mark.aot
def test_a_compiled_program_sends_what_is_counted_by_hand() -> None:
    sizes = {"fsdp": 8}
    compiled, trained = compile_on(sizes)
    expected = by_hand(sizes, trained)
    for name, sent in expected.items():
        assert compiled[name] == pytest.approx(sent, rel=0.15), name
    assert sum(compiled.values()) == pytest.approx(sum(expected.values()), rel=0.1)
    # A backward pass that gathers nothing would be noticed.
    forward = by_hand(sizes, set())
    assert compiled["all-gather fsdp"] > 1.5 * forward["all-gather fsdp"]
