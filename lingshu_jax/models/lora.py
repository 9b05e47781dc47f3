# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Low-rank adapters (LoRA, arXiv 2106.09685): pure functions on parameters.

An adapter stands in the parameter tree beside the kernel it adapts, `<module>/lora_a`, `lora_b`
and `lora_scale`, so that a checkpoint describes itself; `layers.Dense` applies it. Adapters are
float32 whatever the kernels are, so that frozen weights may be bfloat16 under them.

Axes: L layers (absent in the merger), r rank; in... and out... as in the kernel.
"""

import functools
import math
import re
import types
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from lingshu_jax.common import errors
from lingshu_jax.models import axes, layers


class Adapter(NamedTuple):
    """The adapter of one module: its product gains scale (x A) B.

    Attributes:
      a: [L, in..., r].
      b: [L, r, out...].
      scale: alpha / r, [L]; data, so that it is saved, but never trained.
    """

    a: Any
    b: Any
    scale: Any


def init(
    params: layers.Params, pattern: str, *, rank: int, alpha: float, key: jax.Array
) -> layers.Params:
    """New adapters alone, as a tree to `join`; they change nothing until they are trained.

    Args:
      params: Arrays or shapes; only shapes are read.
      pattern: Regex over whole module paths, as `text/layers/attention/(q|v)`.
      rank: r.
      alpha: Scale times rank.
      key: A is uniform in +- 1 / sqrt(inputs), as PEFT draws it; B is zero.

    Raises:
      UserError: If no module matches; lists those there are.
    """
    kernels = _kernels(params)
    matched = [module for module in kernels if re.fullmatch(pattern, module)]
    if not matched:
        raise errors.UserError(
            f"no module matches the LoRA pattern {pattern!r}; modules: {', '.join(kernels)}"
        )
    leaves: dict[str, Any] = {}
    for module, module_key in zip(matched, jax.random.split(key, len(matched)), strict=True):
        adapter = _init_one(module, kernels[module].shape, rank=rank, alpha=alpha, key=module_key)
        leaves |= name_leaves(module, adapter)
    return _unflatten(leaves)


def add(
    params: layers.Params, pattern: str, *, rank: int, alpha: float, key: jax.Array
) -> layers.Params:
    """The parameters with new adapters among them; see `init`."""
    return join(params, init(params, pattern, rank=rank, alpha=alpha, key=key))


def abstract(params: layers.Params, stored: Mapping[str, jax.ShapeDtypeStruct]) -> layers.Params:
    """What to read of a checkpoint so that `merge` makes these parameters of it.

    Args:
      params: Shapes without adapters.
      stored: Path -> shape of what the checkpoint holds.

    Returns:
      The same shapes with the adapters that are held beside them. A kernel that has one is read
      in the dtype that it is held in, so that nothing is rounded before it is merged.
    """
    held = {name: leaf for name, leaf in stored.items() if is_adapter(name)}
    adapters = {name: jax.ShapeDtypeStruct(leaf.shape, jnp.float32) for name, leaf in held.items()}
    names = {f"{name.rpartition('/')[0]}/kernel" for name in held}
    kernels = {name: leaf for name, leaf in stored.items() if name in names}
    return join(params, _unflatten({**kernels, **adapters}))


def is_adapter(name: str) -> bool:
    """Whether a parameter path is a leaf of an adapter.

    >>> is_adapter("merger/up/lora_a"), is_adapter("merger/up/kernel")
    (True, False)
    """
    return name.rpartition("/")[2] in layers.ADAPTER


def join(params: layers.Params, others: layers.Params) -> layers.Params:
    """One tree out of two; where both hold a leaf, that of `others` stands."""
    return _unflatten({**_flatten(params), **_flatten(others)})


def split(params: layers.Params) -> tuple[layers.Params, layers.Params]:
    """The parameters without adapters, and the adapters alone; nothing is copied."""
    leaves = _flatten(params)
    adapters = {name: leaf for name, leaf in leaves.items() if is_adapter(name)}
    base = {name: leaf for name, leaf in leaves.items() if not is_adapter(name)}
    return _unflatten(base), _unflatten(adapters)


def strip(params: layers.Params) -> layers.Params:
    """The parameters without adapters: what the model was before them; nothing is copied."""
    return split(params)[0]


def find(params: layers.Params) -> dict[str, Adapter]:
    """Module path -> its adapter, for every module that has one."""
    leaves = _flatten(params)
    modules = [n.removesuffix("/lora_a") for n in leaves if n.endswith("/lora_a")]
    return {m: Adapter(*(leaves[f"{m}/{part}"] for part in layers.ADAPTER)) for m in modules}


def name_leaves(module: str, adapter: Adapter) -> dict[str, Any]:
    """The inverse of `find` for one module: parameter path -> leaf."""
    return {f"{module}/{part}": leaf for part, leaf in zip(layers.ADAPTER, adapter, strict=True)}


def merge(
    params: layers.Params, dtypes: Mapping[str, jnp.dtype] = types.MappingProxyType({})
) -> layers.Params:
    """The parameters with every adapter added to its kernel; the same function of the input.

    Computed layer by layer in float32 and rounded once, at the end.

    Args:
      params: All numpy, or all jax; jit it with donated parameters where memory is short.
      dtypes: Path -> dtype of merged kernels; of one that is absent it is the kernel's.
    """
    merged = _flatten(strip(params))
    for module, adapter in find(params).items():
        name = f"{module}/kernel"
        merged[name] = _merge_stack(merged[name], adapter, dtypes.get(name, merged[name].dtype))
    return _unflatten(merged)


def merge_leaf(kernel: Any, a: Any, b: Any, scale: Any, *, dtype: Any) -> Any:
    """W + scale A B of one layer, in float32, rounded once.

    Args:
      kernel: W [in..., out...], numpy or jax; the others are of the same kind.
      a: [in..., r].
      b: [r, out...].
      scale: A scalar.
      dtype: Of the result.
    """
    xp: Any = np if isinstance(kernel, np.ndarray) else jnp
    with jax.default_matmul_precision("highest"):
        update = xp.tensordot(a.astype(np.float32), b.astype(np.float32), 1)
    update *= scale
    update += kernel.astype(np.float32)
    return update.astype(dtype)


class MergedLeaf:
    """A kernel with its adapter added, computed for the part that is read, when it is read.

    Attributes:
      shape: Of the kernel.
      dtype: Of the result.
    """

    def __init__(self, module: str, kernel: Any, adapter: Adapter, *, dtype: Any = None):
        """Reads nothing yet.

        Args:
          module: Path of the module.
          kernel: Whatever has a shape, a dtype and parts.
          adapter: Of the same kind; its parts are read with those of the kernel.
          dtype: Of the result; None is the kernel's.
        """
        self._module, self._kernel, self._adapter = module, kernel, adapter
        self.shape = tuple(kernel.shape)
        self.dtype = kernel.dtype if dtype is None else np.dtype(dtype)

    def __getitem__(self, index: tuple[Any, ...]) -> np.ndarray:
        """A part.

        Args:
          index: An int for the layer, where there is one, and slices for the axes after it; axes
            that are left out are whole.
        """
        stack, inputs = axes.split_kernel(self._module, index)
        outputs = index[len(stack) + len(inputs) :]
        parts = (
            self._kernel[index],
            self._adapter.a[(*stack, *inputs)],
            self._adapter.b[(*stack, slice(None), *outputs)],
            self._adapter.scale[stack],
        )
        return merge_leaf(*(np.asarray(part) for part in parts), dtype=self.dtype)


def merge_stored(params: layers.Params, dtype: jnp.dtype | None = None) -> layers.Params:
    """As `merge`, for leaves that read themselves part by part: nothing is computed here.

    Args:
      params: Leaves with shape, dtype and parts, as of `checkpoints.Checkpoints.stored_params`.
      dtype: Of the merged kernels; None keeps each kernel's.

    Returns:
      The parameters without adapters; adapted kernels are `MergedLeaf`.
    """
    merged = _flatten(strip(params))
    for module, adapter in find(params).items():
        name = f"{module}/kernel"
        merged[name] = MergedLeaf(module, merged[name], adapter, dtype=dtype)
    return _unflatten(merged)


def _init_one(
    module: str, kernel: tuple[int, ...], *, rank: int, alpha: float, key: jax.Array
) -> Adapter:
    stack, inputs = axes.split_kernel(module, kernel)
    bound = 1 / math.sqrt(math.prod(inputs))
    outputs = kernel[len(stack) + len(inputs) :]
    return Adapter(
        a=jax.random.uniform(key, (*stack, *inputs, rank), minval=-bound, maxval=bound),
        b=jnp.zeros((*stack, rank, *outputs)),
        scale=jnp.full(stack, alpha / rank, jnp.float32),
    )


def _kernels(params: layers.Params) -> dict[str, Any]:
    """Module path -> kernel of every module that may have an adapter."""
    kernels = {n: leaf for n, leaf in _flatten(params).items() if n.endswith("/kernel")}
    return {
        name.removesuffix("/kernel"): leaf
        for name, leaf in kernels.items()
        if name.startswith(axes.ADAPTED)
    }


def _merge_stack(kernel: Any, adapter: Adapter, dtype: Any) -> Any:
    merge_one = functools.partial(merge_leaf, dtype=dtype)
    if adapter.scale.ndim == 0:
        return merge_one(kernel, *adapter)
    if isinstance(kernel, np.ndarray):
        return np.stack([merge_one(*one) for one in zip(kernel, *adapter, strict=True)])
    # One layer after the other: the float32 copies of a whole stack would not fit.
    return jax.lax.map(lambda one: merge_one(*one), (kernel, *adapter))


def _flatten(params: layers.Params) -> dict[str, Any]:
    return traverse_util.flatten_dict(params, sep="/")


def _unflatten(leaves: Mapping[str, Any]) -> layers.Params:
    return traverse_util.unflatten_dict(leaves, sep="/")
