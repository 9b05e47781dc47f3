# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What the text and the vision blocks share: norm, gated MLP, a stack of equal blocks.

Axes: B batch, T tokens, D width, F MLP width, L layers.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lingshu_jax.common import errors

Params = dict[str, Any]

REMAT_POLICIES: dict[str, Callable[..., bool] | None] = {
    "none": None,
    "full": jax.checkpoint_policies.nothing_saveable,
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
}


class RMSNorm(nn.Module):
    """Root-mean-square norm; the mean is float32, the product with the scale is not."""

    eps: float
    param_dtype: jnp.dtype = jnp.dtype(jnp.float32)

    @nn.compact
    def __call__(self, x: Float[Array, "*batch D"]) -> Float[Array, "*batch D"]:
        """Normalises the last axis."""
        scale = self.param("scale", nn.initializers.ones_init(), (x.shape[-1],), self.param_dtype)
        x32 = x.astype(jnp.float32)
        x32 = x32 * jax.lax.rsqrt(jnp.mean(x32 * x32, axis=-1, keepdims=True) + self.eps)
        # The order of the checkpoint's own code: cast first, then scale in that dtype.
        return x32.astype(x.dtype) * scale.astype(x.dtype)[(None,) * (x.ndim - 1)]


class GatedMLP(nn.Module):
    """down(silu(gate(x)) * up(x))."""

    mlp_dim: int
    use_bias: bool
    dtype: jnp.dtype
    param_dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Float[Array, "*batch D"]) -> Float[Array, "*batch D"]:
        """Applies the MLP to the last axis."""
        gate = self._dense(self.mlp_dim, "gate")(x)
        up = self._dense(self.mlp_dim, "up")(x)
        return self._dense(x.shape[-1], "down")(nn.silu(gate) * up)

    def _dense(self, features: int, name: str) -> nn.Dense:
        return nn.Dense(
            features,
            use_bias=self.use_bias,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name=name,
        )


def init_stack(block: nn.Module, key: jax.Array, num_layers: int, *example: Any) -> Params:
    """Parameters of `num_layers` equal blocks on one leading L axis.

    The stack is plain `jax.vmap` and `jax.lax.scan` instead of `nn.scan`, because vision
    blocks run as nested scans or as scans over runs, under the same parameter names.
    """

    def init_one(key: jax.Array) -> Any:
        return block.init(key, *example)["params"]

    return jax.vmap(init_one)(jax.random.split(key, num_layers))


def remat(function: Callable[..., Any], policy: str) -> Callable[..., Any]:
    """Wraps a block so that its activations are recomputed as the named policy says.

    Args:
      function: The block's forward.
      policy: One of `REMAT_POLICIES`; "none" keeps everything.

    Raises:
      UserError: If the policy is unknown; lists those that exist.
    """
    if policy not in REMAT_POLICIES:
        raise errors.UserError(
            f"unknown remat policy {policy!r}; known: {', '.join(REMAT_POLICIES)}"
        )
    if policy == "none":
        return function
    return jax.checkpoint(function, policy=REMAT_POLICIES[policy], prevent_cse=False)
