# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The stated formula beside a count of every matrix product that JAX would run.

The batch is full: no padding, every token but the first a target, one frame of one whole window.
There the formula must be exact, but for causal attention, which the products compute whole.
"""

import dataclasses
import math
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend import core as extend_core

from lingshu_jax.common import errors, structs
from lingshu_jax.data import packing
from lingshu_jax.models import flops, lora, sizes
from lingshu_jax.stages import measures, optim, step
from tests import small

TIED = dataclasses.replace(
    small.SIZE, text=dataclasses.replace(small.SIZE.text, tie_embeddings=True)
)
ALL = "vision/.*", "merger/.*", "text/.*"


def full_batch(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A row of one sequence: an image of one window, and text trained from the second token on."""
    row = small.sequence(rng, pictures=[(112, 112)], answer=20)
    weights = np.ones_like(row.loss_weights)
    weights[0] = 0
    row = dataclasses.replace(row, loss_weights=weights)
    budget = packing.Budget(tokens=row.num_tokens, patches=64)
    options = {"geometry": small.SIZE.vision.geometry, "pad_id": small.SIZE.special.pad}
    arrays = packing.assemble([row], budget, **options)
    return {name: value[None] for name, value in arrays.items()}


def count_products(jaxpr: Any) -> float:
    """2 M K N of every dot_general, the body of a scan as often as it runs."""
    total = 0.0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracting, _), _ = equation.params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            inner = math.prod(left[axis] for axis in contracting)
            total += 2.0 * inner * math.prod(equation.outvars[0].aval.shape)
        times = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        total += times * sum(map(count_products, extend_core.jaxprs_in_params(equation.params)))
    return total


def counted(size: sizes.ModelSize, arrays: dict[str, np.ndarray], patterns: Any) -> float:
    """Products of the loss and its gradient by what is trained, the head's as needed."""
    model = dataclasses.replace(small.MODEL, size=size)
    params = jax.tree.map(jnp.asarray, small.random_params(size))
    trained, frozen = split(params, patterns)
    batch = jax.tree.map(jnp.asarray, structs.Batch.from_arrays(arrays))

    def loss(trained: Any) -> Any:
        every = optim.unflatten({**trained, **frozen})
        return step.batch_loss(every, batch, model=model, num_sources=2)[0].total

    jaxpr = jax.make_jaxpr(jax.grad(loss))(trained).jaxpr
    return count_products(jaxpr) + unneeded_of_the_head(size, arrays, trained)


def unneeded_of_the_head(
    size: sizes.ModelSize, arrays: dict[str, np.ndarray], trained: Any
) -> float:
    """What the loss makes and the formula leaves out, negative.

    It makes logits twice, at the last place too, which predicts nothing, and the gradient of the
    hidden states even where nobody asks for it.
    """
    rows, tokens = arrays["tokens"].shape
    head = "text/embed/embedding" if size.text.tie_embeddings else "text/head"
    needed = 1 + (head in trained) + any(name != head for name in trained)
    made = 3 + (head in trained)
    place = 2.0 * rows * size.text.embed_dim * size.text.vocab_size
    return place * ((tokens - 1) * needed - tokens * made)


def split(params: Any, patterns: Any) -> tuple[Any, Any]:
    leaves = optim.flatten(params)
    is_trained = {name: any(re.fullmatch(p, name) for p in patterns) for name in leaves}
    return tuple(
        {name: leaf for name, leaf in leaves.items() if is_trained[name] == wanted}
        for wanted in (True, False)
    )


def stated(size: sizes.ModelSize, arrays: dict[str, np.ndarray], trained: Any) -> flops.Flops:
    work, _ = measures.measure(arrays)
    whole = work._replace(token_pairs=2 * work.token_pairs)  # the products know no causal half
    return flops.train_flops(size, whole, trained)


@pytest.mark.parametrize(
    "patterns",
    [
        ALL,
        ("vision/.*", "merger/.*"),
        ("merger/.*",),
        ("text/.*",),
        ("text/head",),
        ("vision/blocks/mlp/.*", "text/layers/attention/.*"),
    ],
    ids=["all", "shallow_align", "merger", "text", "head", "some_kernels"],
)
def test_the_formula_is_every_product(rng: np.random.Generator, patterns: Any) -> None:
    arrays = full_batch(rng)
    trained, _ = split(small.random_params(), patterns)
    expected = counted(small.SIZE, arrays, patterns)
    assert stated(small.SIZE, arrays, trained).total == pytest.approx(expected, rel=1e-9)
    # twin: the count is that of what is trained, not of any other choice
    other = [name for name in optim.flatten(small.random_params()) if name not in trained]
    if other:
        assert stated(small.SIZE, arrays, other).total != pytest.approx(expected, rel=1e-3)


def test_a_tied_head_is_counted_once(rng: np.random.Generator) -> None:
    arrays = full_batch(rng)
    trained, _ = split(small.random_params(TIED), ALL)
    expected = counted(TIED, arrays, ALL)
    assert stated(TIED, arrays, trained).total == pytest.approx(expected, rel=1e-9)


def test_padding_is_no_work(rng: np.random.Generator) -> None:
    row = small.sequence(rng, pictures=[(56, 84)], answer=7)
    works = []
    for budget in (small.BUDGET, packing.Budget(tokens=400, patches=640)):
        batch = small.make_batch([[row]], budget)
        arrays = {
            name: np.asarray(getattr(batch, name)) for name in ("segment_ids", "loss_weights")
        }
        images = {name: np.asarray(value) for name, value in vars(batch.images).items()}
        works.append(measures.measure({**arrays, **images})[0])
    assert works[0] == works[1]
    assert works[0].patches == 24 and works[0].window_pairs == 24**2 and works[0].targets == 7


def test_windows_count_their_real_patches(rng: np.random.Generator) -> None:
    """An image of 10 x 6 patches has a window of 8 x 6 and one of 2 x 6."""
    batch = small.make_batch([[small.sequence(rng, pictures=[(140, 84)])]])
    ids = np.asarray(batch.images.window_ids).reshape(-1, 64)
    pairs = sum(int(n) ** 2 for row in ids for n in np.bincount(row)[1:])
    assert pairs == 48**2 + 12**2


def test_adapters_move_a_part_without_its_weights() -> None:
    work = flops.Work(
        tokens=9.0, token_pairs=81.0, patches=64.0, frame_pairs=4e3, window_pairs=4e3, targets=5.0
    )
    adapters = ["text/layers/mlp/up/lora_a", "text/layers/mlp/up/lora_b"]
    assert all(map(lora.is_adapter, adapters))
    base = flops.train_flops(small.SIZE, work, adapters)
    full = flops.train_flops(small.SIZE, work, [*adapters, "text/layers/mlp/up/kernel"])
    text = small.SIZE.text
    assert full.text - base.text == 2 * text.num_layers * 9 * text.embed_dim * text.mlp_dim
    assert full.vision == base.vision == flops.train_flops(small.SIZE, work, []).vision


def test_the_peak_can_be_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    assert flops.peak_flops() is None  # a CPU
    monkeypatch.setenv(flops.STATED_PEAK, "2e12")
    assert flops.peak_flops() == 2e12 * jax.device_count()
    for bad in ("fast", "-1", "nan", "0"):
        monkeypatch.setenv(flops.STATED_PEAK, bad)
        with pytest.raises(errors.UserError, match=f"LINGSHU_PEAK_FLOPS.*{bad!r}"):
            flops.peak_flops()
