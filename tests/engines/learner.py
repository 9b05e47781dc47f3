# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The learner's own forward pass, beside which engines are put."""

from typing import Any

import jax

from lingshu_jax.models import layers
from lingshu_jax.stages import losses
from tests import small
from tests.models import goldens


@goldens.compiled_quickly()
def logprobs(params: layers.Params, batch: Any) -> jax.Array:
    """log p [B, T] of the tokens of some rows, by the model of `tests/small.py`."""
    hidden = small.MODEL.apply({"params": params}, batch)
    head = small.MODEL.apply({"params": params}, method=small.MODEL.head_kernel)
    return losses.token_logprobs(hidden, head, batch.tokens)[0]
