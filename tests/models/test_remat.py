# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Rematerialisation policies: the same gradients, and as much kept and computed again as stated."""

import dataclasses
import functools
import math
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lingshu_jax.common import errors, sharding, structs, topologies
from lingshu_jax.models import axes, layers, sizes, text, vision
from tests import small
from tests.models import goldens

TOLERANCE, MARGIN = 1e-6, 100
TEXT = small.SIZE.text
TOKENS = 40
WIDTH, HEADS, KV_HEADS = TEXT.embed_dim, TEXT.num_heads, TEXT.num_kv_heads
ATTENDED, QKV = HEADS * TEXT.head_dim, (HEADS + 2 * KV_HEADS) * TEXT.head_dim
# Numbers kept of a token in a block, and products computed again in the backward pass; the
# softmax is always made again from queries and keys, which is the first of attention's two.
POLICIES = {
    "full": (WIDTH, 3 + 2 + 1 + 2),
    "save_some": (WIDTH + ATTENDED + WIDTH, 3 + 1 + 2),
    "save_attention": (WIDTH + QKV + ATTENDED + WIDTH, 1 + 2),
    "save_products": (WIDTH + QKV + ATTENDED + WIDTH + 2 * TEXT.mlp_dim, 1),
    "dots": (WIDTH + QKV + WIDTH + 2 * TEXT.mlp_dim, 2),
    "offload": (WIDTH + QKV + ATTENDED + WIDTH, 1 + 2),
}


def text_loss(params: Any, remat: str, size: sizes.TextSize = TEXT, length: int = TOKENS) -> Any:
    x = jnp.sin(jnp.arange(2.0 * length * size.embed_dim)).reshape(2, length, size.embed_dim)
    positions = jnp.broadcast_to(jnp.arange(length), (2, 3, length))
    segments = jnp.broadcast_to(1 + jnp.arange(length) // 25, (2, length))
    out = text.Decoder(size, remat=remat).apply({"params": params}, x, positions, segments)
    return jnp.mean(jnp.sin(3 * jnp.asarray(out)))


def vision_loss(params: Any, remat: str, pictures: structs.Images) -> Any:
    out = vision.Vision(small.SIZE.vision, remat=remat).apply({"params": params}, pictures)
    used = (pictures.window_ids > 0).reshape(pictures.window_gather.shape)[..., None]
    return jnp.mean(jnp.where(used, jnp.sin(3 * jnp.asarray(out)), 0.0))


@functools.cache
def gradients(remat: str) -> Any:
    params = small.random_params()
    row = [small.sequence(np.random.default_rng(0), "a", pictures=[(56, 84), (112, 140)])]
    pictures = jax.tree.map(jnp.asarray, small.make_batch([row]).images)

    def loss(params: Any) -> Any:
        return text_loss(params["text"], remat) + vision_loss(params["vision"], remat, pictures)

    return goldens.compiled_quickly()(jax.grad(loss))(params)


def largest_gap(ours: Any, theirs: Any) -> float:
    gaps = jax.tree.map(
        lambda a, b: float(jnp.abs(a - b).max() / jnp.maximum(jnp.abs(b).max(), 1e-20)),
        ours,
        theirs,
    )
    return max(jax.tree.leaves(gaps))


@pytest.mark.parametrize("remat", POLICIES)
def test_gradients_are_the_same(remat: str) -> None:
    reference = gradients("none")
    assert largest_gap(gradients(remat), reference) < TOLERANCE
    broken = jax.tree.map(lambda x: x * (1 + MARGIN * TOLERANCE), reference)
    assert largest_gap(broken, reference) > TOLERANCE


def test_every_policy_is_examined() -> None:
    assert set(layers.REMAT_POLICIES) == {"none", *POLICIES}
    with pytest.raises(errors.UserError, match="unknown remat policy 'some'; known: none, full"):
        layers.remat(lambda x: x, "some")


@functools.cache
def traced(remat: str) -> Any:
    return jax.make_jaxpr(jax.grad(text_loss), static_argnums=1)(
        small.random_params()["text"], remat
    )


def equations(jaxpr: Any) -> Iterator[Any]:
    """All of them, those of inner programs too; a loop's body once."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns")
        ):
            if hasattr(inner, "eqns"):
                yield from equations(inner)


def count_products(remat: str) -> int:
    return sum(one.primitive.name == "dot_general" for one in equations(traced(remat).jaxpr))


def kept(remat: str) -> list[Any]:
    """What the scan over the layers hands to the backward pass."""
    scans = [one for one in equations(traced(remat).jaxpr) if one.primitive.name == "scan"]
    forward = scans[0]
    body = forward.params["jaxpr"].jaxpr
    pairs = zip(forward.outvars, body.outvars, strict=True)
    # What is carried leaves the loop as it leaves its body; the rest is stacked.
    return [out.aval for out, one in pairs if out.aval.shape != one.aval.shape]


@pytest.mark.parametrize("remat", POLICIES)
def test_what_is_kept_and_computed_again(remat: str) -> None:
    width, again = POLICIES[remat]
    numbers = sum(math.prod(aval.shape) for aval in kept(remat))
    assert numbers == TEXT.num_layers * 2 * TOKENS * width
    assert count_products(remat) - count_products("none") == again


def test_keeping_everything_is_more_than_any_policy() -> None:
    numbers = {name: sum(math.prod(aval.shape) for aval in kept(name)) for name in POLICIES}
    everything = sum(math.prod(aval.shape) for aval in kept("none"))
    assert everything > max(numbers.values())


def test_offloaded_arrays_are_in_the_host_memory() -> None:
    assert {aval.memory_space for aval in kept("offload")} == {jax.memory.Space.Host}
    assert {aval.memory_space for aval in kept("save_attention")} == {jax.memory.Space.Device}


def test_offloading_from_several_devices() -> None:
    params = small.random_params()
    mesh = sharding.make_mesh({"fsdp": 4, "tensor": 2})
    placed = jax.device_put(params, sharding.param_shardings(params, axes.PARAM_AXES, mesh))
    with jax.set_mesh(mesh):
        run = goldens.compiled_quickly(static_argnums=1)(jax.grad(text_loss))
        offloaded, reference = (run(placed["text"], remat) for remat in ("offload", "none"))
    assert largest_gap(offloaded, reference) < TOLERANCE


@pytest.mark.aot
def test_offload_compiles_for_tpu() -> None:
    """Eight devices of a v5e; what is offloaded is in the memory of their hosts."""
    size = dataclasses.replace(
        TEXT, num_layers=4, embed_dim=256, mlp_dim=512, head_dim=32, mrope_section=(4, 6, 6)
    )
    mesh = sharding.make_mesh({"fsdp": 8}, topologies.parse("v5e:2x4").describe())
    whole = dataclasses.replace(small.SIZE, text=size)
    params = jax.eval_shape(lambda: small.random_params(whole))
    places = sharding.param_shardings(params, axes.PARAM_AXES, mesh)
    placed = jax.tree.map(
        lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place),
        params["text"],
        places["text"],
    )

    def memory(remat: str) -> Any:
        with jax.set_mesh(mesh):
            step = jax.jit(
                jax.grad(functools.partial(text_loss, remat=remat, size=size, length=128))
            )
            return step.lower(placed).compile().memory_analysis()

    here, there = memory("save_attention"), memory("offload")
    assert here.host_temp_size_in_bytes == 0 < there.host_temp_size_in_bytes
