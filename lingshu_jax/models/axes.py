# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Logical axes of every parameter, by path; `common/sharding.py` turns them into placements."""

from collections.abc import Iterator
from typing import Any

from lingshu_jax.common import sharding

_BASE: sharding.AxesTable = (
    # text; kv heads may be fewer than the tensor axis is wide, which the spec check reports
    ("text/embed/embedding", ("vocab", "embed")),
    ("text/head", ("embed", "vocab")),
    ("text/layers/attention/q/kernel", ("layers", "embed", "heads", "head_dim")),
    ("text/layers/attention/[kv]/kernel", ("layers", "embed", "kv_heads", "head_dim")),
    ("text/layers/attention/q/bias", ("layers", "heads", "head_dim")),
    ("text/layers/attention/[kv]/bias", ("layers", "kv_heads", "head_dim")),
    ("text/layers/attention/out/kernel", ("layers", "heads", "head_dim", "embed")),
    ("text/layers/mlp/(gate|up)/kernel", ("layers", "embed", "mlp")),
    ("text/layers/mlp/down/kernel", ("layers", "mlp", "embed")),
    ("text/layers/norm[12]/scale", ("layers", "embed")),
    ("text/norm/scale", ("embed",)),
    # vision
    ("vision/patch_embed/kernel", ("patch", "embed")),
    ("vision/blocks/attention/qkv/kernel", ("layers", "embed", "qkv", "heads", "head_dim")),
    ("vision/blocks/attention/qkv/bias", ("layers", "qkv", "heads", "head_dim")),
    ("vision/blocks/attention/out/kernel", ("layers", "heads", "head_dim", "embed")),
    ("vision/blocks/attention/out/bias", ("layers", "embed")),
    ("vision/blocks/mlp/(gate|up)/kernel", ("layers", "embed", "mlp")),
    ("vision/blocks/mlp/(gate|up)/bias", ("layers", "mlp")),
    ("vision/blocks/mlp/down/kernel", ("layers", "mlp", "embed")),
    ("vision/blocks/mlp/down/bias", ("layers", "embed")),
    ("vision/blocks/norm[12]/scale", ("layers", "embed")),
    # merger; its first product maps the merged width to itself: rows over fsdp, columns tensor
    ("merger/norm/scale", ("embed",)),
    ("merger/up/kernel", ("embed", "merged")),
    ("merger/up/bias", ("merged",)),
    ("merger/down/kernel", ("merged", "embed")),
    ("merger/down/bias", ("embed",)),
)


def is_stacked(name: str) -> bool:
    """Whether a parameter holds every layer, along axis 0.

    >>> is_stacked("text/layers/norm1/scale")
    True
    """
    return "/layers/" in name or "/blocks/" in name


# Whose kernels may have low-rank adapters: all but the patch embedding's.
ADAPTED = ("text/layers/", "vision/blocks/", "merger/")


def split_kernel(module: str, kernel: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The layer axis, where there is one, and the input axes; what is left are the outputs.

    Args:
      module: Path of the module, or a pattern for it.
      kernel: Anything of its kernel that has one entry an axis, such as the shape.

    >>> split_kernel("text/layers/attention/out", ("L", "N", "H", "D"))
    (('L',), ('N', 'H'))
    """
    start = int(is_stacked(module))
    inputs = 2 if module.endswith("attention/out") else 1
    return kernel[:start], kernel[start : start + inputs]


def _adapters() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Rows of the adapters that may stand beside a kernel, from that kernel's row."""
    for pattern, names in _BASE:
        module = pattern.removesuffix("/kernel")
        if module != pattern and pattern.startswith(ADAPTED):
            stack, inputs = split_kernel(module, names)
            yield f"{module}/lora_a", (*stack, *inputs, "lora_rank")
            yield f"{module}/lora_b", (*stack, "lora_rank", *names[len(stack) + len(inputs) :])
            yield f"{module}/lora_scale", stack


PARAM_AXES: sharding.AxesTable = (*_BASE, *_adapters())
