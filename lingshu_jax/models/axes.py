# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Logical axes of every parameter, by path; `common/sharding.py` turns them into placements."""

from lingshu_jax.common import sharding

PARAM_AXES: sharding.AxesTable = (
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
