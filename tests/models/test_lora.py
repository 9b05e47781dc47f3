# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Adapters in the tree: what they compute, what they cost, where they lie, how they merge."""

import collections
import functools
import math
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from lingshu_jax.common import errors, sharding
from lingshu_jax.models import axes, layers, lora, qwen2_5_vl, sampling, sizes
from tests import small
from tests.models import goldens

RANK, ALPHA = 5, 15.0  # no width of the small model
SCALE = ALPHA / RANK
TOLERANCE, MARGIN = 1e-5, 100
EVERYTHING = ".*"
LAYERS, BLOCKS = small.SIZE.text.num_layers, small.SIZE.vision.num_layers
SHAPES = {  # of A and B, without the layers
    "text/layers/attention/q": ((64, RANK), (RANK, 4, 24)),
    "text/layers/attention/k": ((64, RANK), (RANK, 2, 24)),
    "text/layers/attention/v": ((64, RANK), (RANK, 2, 24)),
    "text/layers/attention/out": ((4, 24, RANK), (RANK, 64)),
    "text/layers/mlp/gate": ((64, RANK), (RANK, 96)),
    "text/layers/mlp/up": ((64, RANK), (RANK, 96)),
    "text/layers/mlp/down": ((96, RANK), (RANK, 64)),
    "vision/blocks/attention/qkv": ((32, RANK), (RANK, 3, 2, 16)),
    "vision/blocks/attention/out": ((2, 16, RANK), (RANK, 32)),
    "vision/blocks/mlp/gate": ((32, RANK), (RANK, 80)),
    "vision/blocks/mlp/up": ((32, RANK), (RANK, 80)),
    "vision/blocks/mlp/down": ((80, RANK), (RANK, 32)),
    "merger/up": ((128, RANK), (RANK, 128)),
    "merger/down": ((128, RANK), (RANK, 64)),
}


def add(params: layers.Params, pattern: str = EVERYTHING, seed: int = 0) -> layers.Params:
    return lora.add(params, pattern, rank=RANK, alpha=ALPHA, key=jax.random.key(seed))


def adapted(pattern: str = EVERYTHING) -> layers.Params:
    """The small model with adapters whose B is not zero, as numpy."""
    return nested(draw(pattern))


@functools.cache
def draw(pattern: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        name: 0.1 * rng.standard_normal(leaf.shape).astype(np.float32)
        if name.endswith("lora_b")
        else np.asarray(leaf)
        for name, leaf in flat(add(small.random_params(), pattern)).items()
    }


def flat(params: layers.Params) -> dict[str, Any]:
    return traverse_util.flatten_dict(params, sep="/")


def nested(leaves: dict[str, Any]) -> layers.Params:
    return traverse_util.unflatten_dict(leaves, sep="/")


@functools.cache
def make_batch() -> Any:
    return small.make_batch(small.mixed_rows(np.random.default_rng(0), 3))


@goldens.compiled_quickly(static_argnames="model")
def hidden(params: layers.Params, batch: Any, *, model: Any = small.MODEL) -> jax.Array:
    return qwen2_5_vl.apply(model, params, batch)


def gap(ours: layers.Params, theirs: layers.Params) -> float:
    return goldens.gap(hidden(ours, make_batch()), hidden(theirs, make_batch()))


def test_shapes_and_scale_of_every_module() -> None:
    adapters = lora.find(add(small.random_params()))
    assert adapters.keys() == SHAPES.keys()
    for module, (a, b) in SHAPES.items():
        depth = {"text": (LAYERS,), "vision": (BLOCKS,), "merger": ()}[module.partition("/")[0]]
        found = adapters[module]
        assert [x.shape for x in found] == [(*depth, *a), (*depth, *b), depth]
        assert all(x.dtype == jnp.float32 for x in found)
        assert np.all(found.scale == SCALE)


def test_a_new_adapter_is_drawn_as_peft_does_and_changes_nothing() -> None:
    """Kaiming-uniform with a = sqrt(5): uniform in +- 1 / sqrt(inputs)."""
    params = small.random_params()
    new = add(params)
    for module, adapter in lora.find(new).items():
        inputs = math.prod(SHAPES[module][0][:-1])
        values = np.asarray(adapter.a) * math.sqrt(inputs)
        assert np.abs(values).max() <= 1 and values.std() == pytest.approx(3**-0.5, rel=0.1)
        assert not np.asarray(adapter.b).any()
    assert gap(new, params) == 0.0
    draws = [np.asarray(lora.find(add(params, seed=s))["merger/up"].a) for s in (0, 0, 1)]
    assert (draws[0] == draws[1]).all() and (draws[0] != draws[2]).all()


def test_the_layers_are_drawn_apart() -> None:
    a = np.asarray(lora.find(add(small.random_params()))["text/layers/mlp/up"].a)
    assert (a[0] != a[1]).all()


def test_adapted_equals_merged() -> None:
    params = adapted()
    assert gap(params, lora.merge(params)) < TOLERANCE
    assert gap(params, lora.strip(params)) > MARGIN * TOLERANCE, "the adapters count"


def rescaled(params: layers.Params, scales: dict[str, float]) -> layers.Params:
    """The adapters' scales times those given, 0 where there is none."""
    leaves = flat(params)
    for name, leaf in leaves.items():
        if name.endswith("lora_scale"):
            leaves[name] = leaf * np.float32(scales.get(name.removesuffix("/lora_scale"), 0.0))
    return nested(leaves)


@pytest.mark.parametrize("module", SHAPES)
def test_every_single_adapter_counts(module: str) -> None:
    """Each one alone, merged; another scale is noticed."""
    alone, more = (rescaled(adapted(), {module: factor}) for factor in (1.0, 1.1))
    merged = lora.merge(alone)
    assert gap(alone, merged) < TOLERANCE
    assert gap(more, merged) > 10 * TOLERANCE


@pytest.mark.parametrize("remat", ["full", "dots"])
def test_recomputed_blocks_compute_the_same(remat: str) -> None:
    model = qwen2_5_vl.Qwen2_5_VL(size=small.SIZE, remat=remat)
    params = adapted()
    ours = hidden(params, make_batch(), model=model)
    assert goldens.gap(ours, hidden(lora.merge(params), make_batch())) < TOLERANCE


@pytest.mark.parametrize("is_apart", [False, True])
def test_decoding_equals_that_of_the_merged_model(is_apart: bool) -> None:
    rng = np.random.default_rng(1)
    prompts = [[small.sequence(rng, pictures=[(56, 84)], answer=3)], [small.sequence(rng)]]
    batch = small.make_batch(prompts)
    after = jnp.asarray([int(row[0].positions.max()) + 1 for row in prompts], jnp.int32)
    settings = sampling.make(4, max_new_tokens=8)
    params = adapted()
    texts = [
        goldens.quick_generate(
            tree,
            batch,
            after,
            settings,
            model=small.MODEL,
            samples=2,
            capacity=8,
            stop_ids=(small.SIZE.special.im_end,),
            is_apart=is_apart,
        )
        for tree in (params, lora.merge(params), lora.strip(params))
    ]
    ours, merged, base = (np.asarray(out.tokens) for out in texts)
    assert (ours == merged).all() and (ours != base).any()
    np.testing.assert_allclose(texts[0].logprobs, texts[1].logprobs, atol=1e-4)


def test_merging_numpy_equals_merging_jax_equals_the_definition() -> None:
    params = adapted()
    host, device = lora.merge(params), lora.merge(jax.tree.map(jnp.asarray, params))
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(host))
    kernel, (a, b, scale) = (
        params["text"]["layers"]["attention"]["out"]["kernel"],
        lora.find(params)["text/layers/attention/out"],
    )
    expected = kernel + scale[:, None, None, None] * np.einsum("lnhr,lrd->lnhd", a, b)
    for merged in (host, device):
        assert jax.tree.structure(merged) == jax.tree.structure(small.random_params())
        ours = merged["text"]["layers"]["attention"]["out"]["kernel"]
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)
    for ours, theirs in zip(jax.tree.leaves(host), jax.tree.leaves(device), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_half_precision_kernels_are_merged_in_float32() -> None:
    """One rounding: the sum of two roundings would differ in some places."""
    rng = np.random.default_rng(0)
    kernel, a, b = (rng.standard_normal(s).astype(np.float32) for s in ((40, 30), (40, 4), (4, 30)))
    half = kernel.astype(jnp.bfloat16)
    exact = half.astype(np.float32) + np.float32(0.5) * (a @ b)
    for xp in (np, jnp):
        leaves = [xp.asarray(leaf) for leaf in (half, a, b, np.float32(0.5))]
        for dtype in (jnp.bfloat16, jnp.float32):
            merged = lora.merge_leaf(*leaves, dtype=dtype)
            assert merged.dtype == dtype
            assert (np.asarray(merged) == exact.astype(dtype)).all()
    twice = half + (np.float32(0.5) * (a @ b)).astype(jnp.bfloat16)
    assert (twice != exact.astype(jnp.bfloat16)).any()


class Stored:
    """A leaf that gives parts only, and remembers the largest."""

    def __init__(self, array: np.ndarray):
        self._array, self.shape, self.dtype, self.largest = array, array.shape, array.dtype, 0

    def __getitem__(self, index: Any) -> np.ndarray:
        part = self._array[index]
        self.largest = max(self.largest, part.size)
        return part


def test_stored_leaves_are_merged_part_by_part() -> None:
    params = adapted()
    stored = jax.tree.map(Stored, params)
    lazy, merged = flat(lora.merge_stored(stored)), flat(lora.merge(params))
    assert lazy.keys() == merged.keys()
    for module, (a, _) in SHAPES.items():
        leaf, whole = lazy[f"{module}/kernel"], merged[f"{module}/kernel"]
        assert leaf.shape == whole.shape and leaf.dtype == whole.dtype
        last = 0 if module.startswith("merger") else LAYERS - 1
        before = () if module.startswith("merger") else (last,)
        index = (*before, *(slice(None),) * (len(a) - 1), slice(1, 2))
        np.testing.assert_allclose(leaf[index], whole[index], rtol=1e-5, atol=1e-6)
        assert flat(stored)[f"{module}/kernel"].largest == leaf[index].size


def test_split_and_join_are_inverse() -> None:
    params = adapted()
    base, adapters = lora.split(params)
    assert jax.tree.structure(base) == jax.tree.structure(small.random_params())
    assert len(jax.tree.leaves(adapters)) == 3 * len(SHAPES)
    again = lora.join(base, adapters)
    assert flat(again).keys() == flat(params).keys()
    assert all(flat(again)[name] is leaf for name, leaf in flat(params).items())


def test_a_regex_names_whole_modules() -> None:
    found = lora.find(add(small.random_params(), "text/layers/attention/(q|v)"))
    assert set(found) == {"text/layers/attention/q", "text/layers/attention/v"}


@pytest.mark.parametrize(
    "pattern", ["attention/q", "text/layers/attention", "vision/patch_embed", "text/head", ""]
)
def test_a_pattern_without_a_module_lists_them(pattern: str) -> None:
    with pytest.raises(errors.UserError) as raised:
        add(small.random_params(), pattern)
    message = str(raised.value)
    assert repr(pattern) in message and all(module in message for module in SHAPES)
    assert "patch_embed," not in message and "\n" not in message


def test_a_checkpoint_tells_which_adapters_it_holds() -> None:
    params = adapted("merger/up|text/layers/mlp/down")
    shapes = qwen2_5_vl.abstract_params(small.SIZE, jnp.dtype(jnp.bfloat16))
    stored = {n: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for n, leaf in flat(params).items()}
    expected = flat(lora.abstract(shapes, stored))
    assert {n: x.shape for n, x in expected.items()} == {n: x.shape for n, x in stored.items()}
    dtypes = {name: leaf.dtype for name, leaf in expected.items()}
    assert dtypes["merger/up/lora_a"] == dtypes["text/layers/mlp/down/lora_scale"] == jnp.float32
    # A kernel that is merged is read as it is held; any other one as it is wanted.
    assert dtypes["merger/up/kernel"] == jnp.float32
    assert dtypes["merger/up/bias"] == dtypes["text/layers/mlp/up/kernel"] == jnp.bfloat16


def test_adapters_lie_as_their_kernels_do() -> None:
    mesh = sharding.make_mesh({"data": 2, "fsdp": 2, "tensor": 2})
    shapes = jax.eval_shape(add, qwen2_5_vl.abstract_params(small.SIZE, jnp.dtype(jnp.float32)))
    places = sharding.param_shardings(shapes, axes.PARAM_AXES, mesh)
    specs = {name: tuple(place.spec) for name, place in flat(places).items()}
    assert specs["text/layers/attention/q/lora_a"] == (None, "fsdp", None)
    assert specs["text/layers/attention/q/lora_b"] == (None, None, "tensor", None)
    assert specs["text/layers/attention/out/lora_a"] == (None, "tensor", None, None)
    assert specs["text/layers/attention/out/lora_b"] == (None, None, "fsdp")
    assert specs["vision/blocks/attention/qkv/lora_b"] == (None, None, None, "tensor", None)
    assert specs["merger/up/lora_a"] == ("fsdp", None)
    assert specs["merger/up/lora_b"] == (None, "tensor")
    assert specs["text/layers/mlp/up/lora_scale"] == (None,)
    assert specs["merger/up/lora_scale"] == ()


@pytest.mark.parametrize("mesh", [{"data": 2, "fsdp": 4}, {"data": 2, "fsdp": 2, "tensor": 2}])
def test_a_mesh_equals_one_device(mesh: dict[str, int]) -> None:
    params, rows = adapted(), small.mixed_rows(np.random.default_rng(0), 8)
    batch = small.make_batch(rows)
    alone = hidden(params, batch)
    devices = sharding.make_mesh(mesh)
    placed = jax.device_put(params, sharding.param_shardings(params, axes.PARAM_AXES, devices))
    spread = hidden(placed, sharding.place_batch(batch, devices))
    assert goldens.gap(spread, alone) < TOLERANCE


@pytest.mark.parametrize("name", ["3b", "7b", "32b", "72b"])
def test_adapters_of_published_sizes(name: str) -> None:
    """Rank 16 on all text modules of the 7B: 40,370,176 values, as PEFT counts."""
    size = sizes.get(name)
    shapes = qwen2_5_vl.abstract_params(size, jnp.dtype(jnp.bfloat16))
    make = functools.partial(lora.init, shapes, "text/.*", rank=16, alpha=32.0)
    adapters = lora.find(jax.eval_shape(make, key=jax.random.key(0)))
    count = sum(math.prod(x.a.shape) + math.prod(x.b.shape) for x in adapters.values())
    text = size.text
    width, heads = text.embed_dim, text.num_heads * text.head_dim
    kv_heads = text.num_kv_heads * text.head_dim
    ends = [(width, heads), (width, kv_heads), (width, kv_heads), (heads, width)]
    ends += [(width, text.mlp_dim)] * 2 + [(text.mlp_dim, width)]
    assert count == 16 * text.num_layers * sum(i + o for i, o in ends)
    assert name != "7b" or count == 40_370_176


# What training costs. A gradient of a kernel is a product whose result has the kernel's shape.


def products(jaxpr: Any) -> Iterator[tuple[int, ...]]:
    """Shapes of all results of matrix products, in any order of axes."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            yield tuple(sorted(equation.outvars[0].aval.shape))
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    yield from products(inner)


def loss(trained: dict[str, Any], frozen: dict[str, Any], batch: Any) -> jax.Array:
    model = qwen2_5_vl.Qwen2_5_VL(size=small.SIZE, remat="full")
    return jnp.mean(qwen2_5_vl.apply(model, nested({**trained, **frozen}), batch) ** 2)


def divide(params: layers.Params, names: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Leaves whose names end so, which are trained, and the others."""
    leaves = flat(params)
    trained = {name: leaf for name, leaf in leaves.items() if name.endswith(names)}
    return trained, {name: leaf for name, leaf in leaves.items() if name not in trained}


def kernel_gradients(params: layers.Params, trained: tuple[str, ...]) -> set[str]:
    """Modules with a product of their kernel's shape beyond those of the forward pass."""
    parts = divide(params, trained)
    count = [
        collections.Counter(products(jax.make_jaxpr(function)(*parts, make_batch()).jaxpr))
        for function in (loss, jax.grad(loss))
    ]
    kernels = {m: flat(params)[f"{m}/kernel"].shape for m in SHAPES}
    inner = {m: tuple(sorted(s if m.startswith("merger") else s[1:])) for m, s in kernels.items()}
    return {module for module, shape in inner.items() if count[1][shape] > count[0][shape]}


def test_no_gradient_of_a_full_kernel_is_made() -> None:
    assert kernel_gradients(adapted(), ("lora_a", "lora_b")) == set()


def test_full_training_makes_them_all() -> None:
    """The twin: the same count finds every kernel when they are what is trained."""
    assert kernel_gradients(adapted(), ("kernel",)) == set(SHAPES)


def test_gradients_are_those_of_the_merged_kernel() -> None:
    """By the chain rule: dA = scale dW B^T and dB = scale A^T dW."""
    params = adapted("text/layers/mlp/up")
    gradient = goldens.compiled_quickly()(jax.grad(loss))
    ours = gradient(*divide(params, ("lora_a", "lora_b")), make_batch())
    merged = gradient(*divide(lora.merge(params), ("mlp/up/kernel",)), make_batch())
    full = np.asarray(merged["text/layers/mlp/up/kernel"])
    a, b, _ = lora.find(params)["text/layers/mlp/up"]
    expected = {
        "a": SCALE * np.einsum("ldf,lrf->ldr", full, b),
        "b": SCALE * np.einsum("ldr,ldf->lrf", a, full),
    }
    for part, value in expected.items():
        assert goldens.gap(ours[f"text/layers/mlp/up/lora_{part}"], value) < 10 * TOLERANCE
