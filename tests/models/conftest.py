# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What the tests of generation share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lingshu_jax.data import messages
from lingshu_jax.models import layers
from tests import small


@pytest.fixture(scope="module")
def params() -> layers.Params:
    """Random, wide enough that answers differ."""
    return jax.tree.map(jnp.asarray, small.random_params(std=0.15))


@pytest.fixture(scope="module")
def prompts() -> list[messages.Encoded]:
    """One with two pictures, one of text."""
    rng = np.random.default_rng(3)
    return [
        small.sequence(rng, "images", pictures=[(56, 84), (84, 56)], answer=2),
        small.sequence(rng, "text", answer=5),
    ]
