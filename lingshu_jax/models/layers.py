# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What the text and the vision blocks share: matrix product, norm, gated MLP, a stack of blocks.

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
ADAPTER = ("lora_a", "lora_b", "lora_scale")  # beside a kernel; models/lora.py makes them

REMAT_POLICIES: dict[str, Callable[..., bool] | None] = {
    "none": None,
    "full": jax.checkpoint_policies.nothing_saveable,
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
}


class Dense(nn.Module):
    """A matrix product over the last axes; low-rank adapters beside its kernel are added.

    Without them it is `nn.DenseGeneral`, parameter names and numbers alike. With them it is
    x W + bias + scale (x A) B: neither W + scale A B nor a gradient of its shape is ever made.
    """

    features: int | tuple[int, ...]
    axis: int | tuple[int, ...] = -1
    use_bias: bool = True
    dtype: jnp.dtype = jnp.dtype(jnp.float32)
    param_dtype: jnp.dtype = jnp.dtype(jnp.float32)

    def setup(self) -> None:
        """Declares kernel and bias as parameters of this module itself."""
        self.product = nn.DenseGeneral(
            self.features,
            axis=self.axis,
            use_bias=self.use_bias,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
        )
        nn.share_scope(self, self.product)

    def __call__(self, inputs: Float[Array, "..."]) -> Float[Array, "..."]:
        """Applies the kernel, and the adapters where there are some."""
        out = self.product(inputs)
        if not self.has_variable("params", ADAPTER[0]):
            return out
        a, b, scale = (self.get_variable("params", name).astype(out.dtype) for name in ADAPTER)
        low = jnp.tensordot(inputs.astype(out.dtype), a, a.ndim - 1) * scale
        return out + jnp.tensordot(low, b, 1)


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

    def _dense(self, features: int, name: str) -> Dense:
        return Dense(
            features,
            use_bias=self.use_bias,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name=name,
        )


def stack(module: nn.Module, name: str, block: nn.Module, num_layers: int, *example: Any) -> Params:
    """Declares parameters of `num_layers` equal blocks on one leading L axis.

    The stack is plain `jax.vmap` and `jax.lax.scan` instead of `nn.scan`, because vision
    blocks run as nested scans or as scans over runs, under the same parameter names.

    Args:
      module: Whose parameters they become; call it in `setup`.
      name: Of the stack in it.
      block: One block.
      num_layers: L.
      *example: Arguments of the block.
    """

    def init_one(key: jax.Array) -> Any:
        return block.init(key, *example)["params"]

    def init_all(key: jax.Array) -> Any:
        return jax.vmap(init_one)(jax.random.split(key, num_layers))

    if not module.has_variable("params", name):
        return module.param(name, init_all)
    # `param` would compare the given leaves with those of init one by one, in order, which
    # adapters among them shift. Each block checks the widths of its own.
    given = module.get_variable("params", name)
    depths = {leaf.shape[0] for leaf in jax.tree.leaves(given)}
    assert depths == {num_layers}, f"{name} holds {depths} layers, not {num_layers}"
    return given


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
