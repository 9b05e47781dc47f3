# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Published speeds of text training on TPUs, and the constants of `step_time.py` fitted on some.

Compared are tokens a second and chip, which hold no formula of FLOPs. Where a source gives TFLOP/s
alone they are turned into tokens by its own formula: 6 operations a weight, the input embedding
left out, and attention without its causal half, as MaxText counted at the time.

Sources: [M] AI-Hypercomputer/maxtext at e591f30, src/maxtext/configs/tpu/{v5e,v5p}/README.md with
the scripts beside it, docs/reference/models/tiering.md, benchmarks/maxtext_*_model_configs.py;
[R] AI-Hypercomputer/tpu-recipes at c8cfe2f, training/.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
from scipy import optimize

from lingshu_jax.aot import step_time, traffic
from lingshu_jax.common import topologies
from lingshu_jax.models import flops, sizes

_ATTENTION = ("attention/out", step_time.KERNEL)
_UP = ("mlp/gate", "mlp/up")
_FULL = ("attention/q", "attention/k", "attention/v", *_ATTENTION, *_UP)
_OUT, _QKV = "input, q, k, v, out offloaded", "input, q, k, v offloaded"
# MaxText's names of what it keeps -> what the backward pass computes again; down never is.
RECOMPUTED = {
    "full": _FULL,
    "minimal": (step_time.KERNEL,),
    "save_dot_except_mlpwi": (step_time.KERNEL, *_UP),
    "qkv_proj_offloaded": (*_ATTENTION, *_UP),
    _OUT: (step_time.KERNEL, *_UP),
    _QKV: (*_ATTENTION, *_UP),
    "input, q, k, v, context": ("attention/out", *_UP),
}


class Run(NamedTuple):
    """One published run.

    Attributes:
      model: A name of `MODELS`.
      topology: As `topologies.parse` takes it.
      tokens: Of a row.
      rows: A device.
      remat: A name of `RECOMPUTED`.
      figure: What is published.
      unit: "tok/s" or "TFLOP/s", of a chip.
      source: "M" or "R".
      block: Of the attention kernel.
      tensor: Devices along the tensor axis; fsdp is the rest of a slice.
      is_fitted: Whether the constants are fitted on it; otherwise it is held out.
    """

    model: str
    topology: str
    tokens: int
    rows: int
    remat: str
    figure: float
    unit: str
    source: str
    block: int = 512
    tensor: int = 1
    is_fitted: bool = False


def _text(
    layers: int, width: int, heads: int, kv_heads: int, *, mlp: int, vocab: int = 32_000
) -> sizes.ModelSize:
    text = sizes.TextSize(
        num_layers=layers,
        embed_dim=width,
        num_heads=heads,
        num_kv_heads=kv_heads,
        head_dim=128,
        mlp_dim=mlp,
        vocab_size=vocab,
        tie_embeddings=False,
    )
    return dataclasses.replace(sizes.get("7b"), text=text)


MODELS = {
    # MaxText's default shape, scaled (global_parameter_scale).
    "MaxText 16B": _text(32, 4096, 64, 64, mlp=28672),
    "MaxText 32B": _text(32, 8192, 64, 64, mlp=28672),
    "MaxText 64B": _text(64, 8192, 64, 64, mlp=28672),
    "Llama 2 70B": _text(80, 8192, 64, 8, mlp=28672),
    "Llama 3.1 8B": _text(32, 4096, 32, 8, mlp=14336, vocab=128_256),
    "Llama 3.1 70B": _text(80, 8192, 64, 8, mlp=28672, vocab=128_256),
}

_RATE, _TFLOPS = "tok/s", "TFLOP/s"
# The smallest and the largest model of each older chip are fitted on; TPU7x, more than one slice,
# the other models and the smaller slices are held out.
RUNS = (
    Run("MaxText 16B", "v5e:16x16", 2048, 6, "full", 120, _TFLOPS, "M", is_fitted=True),
    Run("MaxText 64B", "v5e:16x16", 2048, 2, "full", 118, _TFLOPS, "M", is_fitted=True),
    Run("MaxText 32B", "v5p:4x4x4", 2048, 6, "minimal", 328, _TFLOPS, "M", 512, 4, True),
    Run(
        "Llama 2 70B", "v5p:8x8x8", 4096, 4, "save_dot_except_mlpwi", 692, _RATE, "M", 512, 1, True
    ),
    Run("Llama 3.1 8B", "v6e:16x16", 8192, 4, _OUT, 7207, _RATE, "M", 2048, 1, True),
    Run("Llama 3.1 70B", "v6e:16x16", 8192, 5, _QKV, 960, _RATE, "M", 2048, 1, True),
    Run("MaxText 32B", "v5e:16x16", 2048, 4, "full", 132, _TFLOPS, "M"),
    Run("MaxText 32B", "v5e:16x16*2", 2048, 4, "full", 128, _TFLOPS, "M"),
    Run("MaxText 64B", "v5e:16x16*2", 2048, 2, "full", 112, _TFLOPS, "M"),
    Run("MaxText 64B", "v5p:4x4x4", 2048, 3, "minimal", 323, _TFLOPS, "M", 512, 4),
    Run("Llama 3.1 8B", "v6e:2x4", 8192, 3, _OUT, 7139, _RATE, "R", 2048),
    Run("Llama 3.1 8B", "v6e:8x8", 8192, 5, _OUT, 7247, _RATE, "R", 2048),
    Run("Llama 3.1 70B", "v6e:4x8", 8192, 2, _QKV, 921, _RATE, "R", 2048),
    Run("Llama 3.1 70B", "v6e:8x8", 8192, 2, _QKV, 877, _RATE, "R", 2048),
    Run("Llama 2 70B", "v6e:16x16", 4096, 2, "qkv_proj_offloaded", 905, _RATE, "R", 1024),
    Run("Llama 3.1 70B", "tpu7x:4x4x4", 8192, 2, "input, q, k, v, context", 2687, _RATE, "R", 2048),
)


def job(run: Run) -> step_time.Job:
    """What a run computes.

    Args:
      run: One of `RUNS`.
    """
    topology, size = topologies.parse(run.topology), MODELS[run.model]
    batch = traffic.Batch(run.rows * topology.devices, run.tokens, block=run.block)
    tokens = batch.rows * run.tokens
    work = flops.Work(tokens, tokens * run.tokens, 0, 0, 0, tokens)
    trained = {one.weight for one in _products(size)} | {"text/embed/embedding"}
    fsdp = topology.devices // topology.slices // run.tensor
    mesh = {"data": topology.slices, "fsdp": fsdp, "tensor": run.tensor, "context": 1}
    return step_time.Job(size, work, batch, trained, RECOMPUTED[run.remat], topology, mesh)


def published_rate(run: Run) -> float:
    """Tokens a second and chip, as published.

    Args:
      run: One of `RUNS`.
    """
    if run.unit == _RATE:
        return run.figure
    text = MODELS[run.model].text
    weights = 3 * sum(one.forward for one in _products(MODELS[run.model]))
    attention = 12 * text.num_layers * run.tokens * text.num_heads * text.head_dim
    return run.figure * 1e12 / (weights + attention)


def predicted_rate(run: Run, constants: step_time.Constants = step_time.CONSTANTS) -> float:
    """Tokens a second and chip, as predicted.

    Args:
      run: One of `RUNS`.
      constants: The fitted ones, or others.
    """
    one = job(run)
    chip, devices, tokens = one.topology.chip, one.topology.devices, one.work.tokens
    seconds = sum(step_time.step_parts(one, constants).values())
    # They look embeddings up by a product with one-hot rows (use_iota_embed), which we do not:
    # forward and the gradient of the table.
    lookup = 4 * tokens * one.size.text.vocab_size * one.size.text.embed_dim
    seconds += lookup / devices / chip.peak_flops / constants.product
    return tokens / seconds / (devices // chip.devices_per_chip)


def error(run: Run, constants: step_time.Constants = step_time.CONSTANTS) -> float:
    """Predicted over published speed, less one.

    Args:
      run: One of `RUNS`.
      constants: The fitted ones, or others.
    """
    return predicted_rate(run, constants) / published_rate(run) - 1


def fit() -> step_time.Constants:
    """The constants of least squared errors of the logarithms; `elementwise` is set, not fitted.

    The runs cannot tell it from the others: anything between 0 and 1 fits them equally well.
    """
    runs = [run for run in RUNS if run.is_fitted]

    def constants(x: np.ndarray) -> step_time.Constants:
        return step_time.CONSTANTS._replace(product=x[0], attention=x[1], exposed=x[2])

    def misses(x: np.ndarray) -> list[float]:
        return [float(np.log1p(error(run, constants(x)))) for run in runs]

    found = optimize.least_squares(misses, x0=[0.8, 0.4, 0.5], bounds=([0.1] * 2 + [0.0], 1.0))
    return constants(found.x)


def _products(size: sizes.ModelSize) -> list[flops.Product]:
    """Those of the language model with weights, for one token."""
    one = flops.Work(1, 0, 0, 0, 0, 1)
    return [p for p in flops.products(size, one) if p.part.startswith("text/") and p.weight]
