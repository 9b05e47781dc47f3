# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What the text and the vision blocks share: matrix product, norm, gated MLP, a stack of blocks.

Axes: B batch, T tokens, D width, F MLP width, L layers.
"""

import math
import operator
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from lingshu_jax.common import errors, sharding
from lingshu_jax.models import axes

Params = dict[str, Any]
ADAPTER = ("lora_a", "lora_b", "lora_scale")  # beside a kernel; models/lora.py makes them
TRANSPOSED = "kernel_transposed"  # in the place of a kernel; `transpose_kernels` makes it

# What blocks name for the policies: their input; rotated queries and keys, values; what attention
# gives, with the log-sum-exp of each query; the same projected; the products inside the MLP.
LAYER_INPUT, QKV, ATTENTION_OUT, MLP = "layer_input", "qkv", "attention_out", "mlp"
ATTENDED = ("attended", "attended_log_sums")

_save, _policies = jax.checkpoint_policies.save_only_these_names, jax.checkpoint_policies
# What is kept for the backward pass beside the input of each block; the rest is computed again.
REMAT_POLICIES: dict[str, Callable[..., Any] | None] = {
    "none": None,  # everything is kept
    "full": _policies.nothing_saveable,
    "save_some": _save(*ATTENDED, ATTENTION_OUT),  # no attention is computed again
    "save_attention": _save(QKV, *ATTENDED, ATTENTION_OUT),  # nor its products
    "save_products": _save(QKV, *ATTENDED, ATTENTION_OUT, MLP),  # nor any other
    "dots": _policies.dots_with_no_batch_dims_saveable,  # of the products, attention is
    # As save_attention, but in the memory of the host, the input of each block too.
    "offload": _policies.save_and_offload_only_these_names(
        names_which_can_be_saved=[],
        names_which_can_be_offloaded=[LAYER_INPUT, QKV, *ATTENDED, ATTENTION_OUT],
        offload_src="device",
        offload_dst="pinned_host",
    ),
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
        if sharding.active_mesh() is not None:
            return self._apply(inputs)
        # Rows and tokens as one axis: with two, XLA on a CPU transposes what stands before the
        # gradient of the kernel, which costs as much as half the product.
        batch = inputs.shape[: inputs.ndim - np.size(self.axis)]
        out = self._apply(inputs.reshape(-1, *inputs.shape[len(batch) :]))
        return out.reshape(*batch, *out.shape[1:])

    def _apply(self, inputs: Float[Array, "..."]) -> Float[Array, "..."]:
        is_transposed = self.has_variable("params", TRANSPOSED)
        out = self._transposed_product(inputs) if is_transposed else self.product(inputs)
        if not self.has_variable("params", ADAPTER[0]):
            return out
        a, b, scale = (self.get_variable("params", name).astype(out.dtype) for name in ADAPTER)
        low = jnp.tensordot(inputs.astype(out.dtype), a, a.ndim - 1) * scale
        return out + jnp.tensordot(low, b, 1)

    def _transposed_product(self, inputs: Float[Array, "..."]) -> Float[Array, "..."]:
        kernel = self.get_variable("params", TRANSPOSED)
        batch = inputs.shape[: inputs.ndim - np.size(self.axis)]
        x = inputs.reshape(-1, kernel.shape[1])
        out = product_of_transposed(kernel.astype(self.dtype), x.astype(self.dtype))
        features = (self.features,) if isinstance(self.features, int) else self.features
        out = out.reshape(*batch, *features)
        if not self.use_bias:
            return out
        bias = self.get_variable("params", "bias").astype(out.dtype)
        return out + bias[(None,) * len(batch)]


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
        gate = checkpoint_name(self._dense(self.mlp_dim, "gate")(x), MLP)
        up = checkpoint_name(self._dense(self.mlp_dim, "up")(x), MLP)
        return self._dense(x.shape[-1], "down")(nn.silu(gate) * up)

    def _dense(self, features: int, name: str) -> Dense:
        return Dense(
            features,
            use_bias=self.use_bias,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name=name,
        )


def stack(module: nn.Module, name: str, block: nn.Module, num_layers: int, *example: Any) -> Any:
    """Declares parameters of `num_layers` equal blocks on one leading L axis.

    The stack is plain `jax.vmap` and `jax.lax.scan` instead of `nn.scan`, because vision
    blocks run as nested scans or as scans over runs, under the same parameter names.

    Args:
      module: Whose parameters they become; call it in `setup`.
      name: Of the stack in it.
      block: One block.
      num_layers: L.
      *example: Arguments of the block.

    Returns:
      Nested dict of stacks, or what `split_stack` made of it where that is given.
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
    if isinstance(given, tuple):  # of `split_stack`
        return given
    depths = {leaf.shape[0] for leaf in jax.tree.leaves(given)}
    assert depths == {num_layers}, f"{name} holds {depths} layers, not {num_layers}"
    return given


def split_stack(tree: Any) -> tuple[Any, ...]:
    """Stacked layers one by one, each a stack of depth 1.

    Args:
      tree: Every leaf has a leading L axis.
    """
    depth = jax.tree.leaves(tree)[0].shape[0]
    places = (slice(i, i + 1) for i in range(depth))
    return tuple(jax.tree.map(operator.itemgetter(place), tree) for place in places)


def transpose_kernels(layer: Params, module: str) -> Params:
    """One layer, or a stack of depth 1, with each kernel's outputs first.

    With few rows a product on a CPU reads the kernel as it lies.

    Args:
      layer: Nested dict of parameters.
      module: Its path.

    Returns:
      Kernels [1, F, D] under another name, everything else as it is.
    """
    changed: Params = {}
    for name, leaf in layer.items():
        if isinstance(leaf, dict):
            changed[name] = transpose_kernels(leaf, f"{module}/{name}")
        elif name != "kernel":
            changed[name] = leaf
        else:
            stack, inputs = axes.split_kernel(module, leaf.shape)
            flat = leaf.reshape(*stack, math.prod(inputs), -1)
            changed[TRANSPOSED] = jnp.swapaxes(flat, -1, -2)
    return changed


def product_of_transposed(
    kernel: Float[Array, "F D"], x: Float[Array, "B D"], dtype: Any = None
) -> Float[Array, "B F"]:
    """x W for a W whose outputs come first, by the product W x.

    Args:
      kernel: W.
      x: Few rows.
      dtype: Of the result; None takes that of the arguments.
    """
    out = jnp.einsum("FD,BD->FB", kernel, x, preferred_element_type=dtype)
    # Without the barrier XLA makes x W of it again, with W transposed.
    return jax.lax.optimization_barrier(out).T


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
