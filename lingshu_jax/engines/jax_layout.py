# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Where weights and requests lie while the JAX engine generates, and the way there."""

import functools
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from absl import logging

from lingshu_jax.common import sharding, structs
from lingshu_jax.models import axes, layers, text


class Layout(NamedTuple):
    """Weights as generation reads them.

    Attributes:
      mesh: What they lie on.
      params: In the compute dtype, split over `tensor` alone: prompts are read with these.
      decoder: The same with the layers apart where that is faster; new tokens come from these.
    """

    mesh: jax.sharding.Mesh
    params: layers.Params
    decoder: layers.Params

    @property
    def is_cpu(self) -> bool:
        """Whether the devices are CPUs."""
        return self.mesh.devices.flat[0].platform == "cpu"


def arrange(params: layers.Params, *, dtype: jnp.dtype) -> tuple[Layout, float]:
    """From the layout of training to that of generation, in one jitted program.

    On CPUs another one takes the text layers apart, a second copy of them. Weights that lie there
    already are used as they are.

    Args:
      params: The model's, anywhere.
      dtype: Of the activations.

    Returns:
      The layout, and the seconds until all of it was there.
    """
    start, mesh = time.monotonic(), mesh_of(params)
    with jax.set_mesh(mesh), sharding.LAUNCH:
        placed = params if _is_there(params, mesh, dtype) else lay_out(params, dtype=dtype)
        layout = Layout(mesh, placed, placed)
        if layout.is_cpu:
            layout = layout._replace(decoder={**placed, "text": _take_apart(placed["text"])})
    jax.block_until_ready(layout[1:])
    seconds = time.monotonic() - start
    logging.info("weights laid out for generation in %.2f s", seconds)
    return layout, seconds


@functools.partial(jax.jit, static_argnames="dtype")
def lay_out(params: Any, *, dtype: jnp.dtype) -> Any:
    """Parameters in the compute dtype, split over `tensor` alone.

    In their training layout every decoded token would gather all of them.

    Args:
      params: The model's.
      dtype: Of the activations.
    """
    cast = jax.tree.map(lambda leaf: leaf.astype(dtype), params)
    mesh = sharding.active_mesh()
    return cast if mesh is None else jax.lax.with_sharding_constraint(cast, places(cast, mesh))


def places(params: Any, mesh: Any) -> Any:
    """One sharding a leaf; key/value heads are whole where there are fewer than `tensor` splits.

    The vision tower is whole on every device: its batch is split over images instead.

    Args:
      params: Arrays or shapes.
      mesh: Of devices, or its description.

    Raises:
      UserError: If another dimension does not divide; names the parameter.
    """
    rules = dict(sharding.GENERATE_RULES)
    kv_heads = params["text"]["layers"]["attention"]["k"]["kernel"].shape[-2]
    if kv_heads % mesh.shape["tensor"]:
        rules["kv_heads"] = None
    whole = jax.tree.map(lambda _: sharding.replicated(mesh), params)
    decoder = {"text": params["text"]}
    return {**whole, **sharding.param_shardings(decoder, axes.PARAM_AXES, mesh, rules)}


def mesh_of(params: Any) -> jax.sharding.Mesh:
    """The mesh that parameters lie on, else one of the device that holds them.

    Args:
      params: Arrays.
    """
    place = jax.tree.leaves(params)[0].sharding
    if isinstance(place, jax.sharding.NamedSharding):
        assert isinstance(place.mesh, jax.sharding.Mesh)  # of arrays, not of their descriptions
        return place.mesh
    return sharding.make_mesh({}, list(place.device_set))


def place(batch: structs.Batch, mesh: jax.sharding.Mesh) -> structs.Batch:
    """Rows over the mesh; every process has all of them.

    Args:
      batch: Host arrays.
      mesh: Of which `data` and `fsdp` divide the rows.
    """
    rows = sharding.batch_sharding(mesh)
    return jax.tree.map(lambda x: jax.make_array_from_callback(x.shape, rows, x.__getitem__), batch)


def _is_there(params: Any, mesh: jax.sharding.Mesh, dtype: jnp.dtype) -> bool:
    """Whether `lay_out` would copy every leaf as it is, for a jitted program copies all of them."""
    return all(
        leaf.dtype == dtype and leaf.sharding.is_equivalent_to(wanted, leaf.ndim)
        for leaf, wanted in zip(
            jax.tree.leaves(params), jax.tree.leaves(places(params, mesh)), strict=True
        )
    )


def _take_apart(decoder: Any) -> Any:
    """As `text.take_apart`; what stays as it is, the embedding above all, is not copied."""
    changed = {name: decoder[name] for name in ("layers", "head") if name in decoder}
    unchanged = {name: leaf for name, leaf in decoder.items() if name not in changed}
    return {**unchanged, **_taken_apart(changed)}


_taken_apart = jax.jit(text.take_apart)
