# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What training changes, how it is placed on a mesh, saved and restored."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int

from lingshu_jax.common import checkpoints, sharding
from lingshu_jax.models import axes, lora
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import optim


@flax.struct.dataclass
class TrainState:
    """Everything a step changes, and the frozen rest.

    Attributes:
      step: Optimizer steps taken.
      trained: Path -> leaf of the parameters that are trained.
      frozen: Path -> leaf of those that are not.
      opt_state: The optimizer's state of `trained`.
    """

    step: Int[Array, ""]
    trained: optim.Leaves
    frozen: optim.Leaves
    opt_state: Any

    def params(self) -> dict[str, Any]:
        """The nested dict of all parameters."""
        return optim.unflatten({**self.trained, **self.frozen})


def add_adapters(
    params: Any, config: stage_config.LoraConfig, mesh: jax.sharding.Mesh, *, seed: int
) -> dict[str, Any]:
    """The parameters with the stage's new adapters among them, each leaf in its place.

    Args:
      params: Nested dict of placed arrays.
      config: Which modules; none adds nothing.
      mesh: The mesh.
      seed: Of the adapters.

    Raises:
      UserError: If no module matches.
    """
    if not config.modules:
        return params

    def make(key: jax.Array) -> dict[str, Any]:
        return lora.init(params, config.modules, rank=config.rank, alpha=config.alpha, key=key)

    key = jax.random.key(seed)
    places = sharding.param_shardings(jax.eval_shape(make, key), axes.PARAM_AXES, mesh)
    return lora.join(params, jax.jit(make, out_shardings=places)(key))


def create(
    params: Any,
    groups: tuple[optim.Group, ...],
    optimizer: optax.GradientTransformation,
    mesh: jax.sharding.Mesh,
) -> TrainState:
    """The state before the first step; moments lie where their parameters lie.

    Args:
      params: Nested dict of placed arrays.
      groups: Which are trained.
      optimizer: Whose state to make.
      mesh: The mesh.
    """
    trained, frozen = optim.split(params, groups)
    shardings = opt_shardings(trained, optimizer, mesh)
    opt_state = jax.jit(optimizer.init, out_shardings=shardings)(trained)
    step = jax.device_put(jnp.int32(0), sharding.replicated(mesh))
    return TrainState(step=step, trained=trained, frozen=frozen, opt_state=opt_state)


def opt_shardings(
    trained: optim.Leaves, optimizer: optax.GradientTransformation, mesh: jax.sharding.Mesh
) -> Any:
    """A sharding for each leaf of the optimizer's state.

    Args:
      trained: Path -> leaf or shape.
      optimizer: Whose state.
      mesh: The mesh.
    """
    by_name = optim.flatten(
        sharding.param_shardings(optim.unflatten(trained), axes.PARAM_AXES, mesh)
    )

    def place(path: Any, leaf: Any) -> jax.sharding.Sharding:
        name = str(getattr(path[-1], "key", ""))
        is_moment = name in by_name and leaf.shape == trained[name].shape
        return by_name[name] if is_moment else sharding.replicated(mesh)

    return jax.tree_util.tree_map_with_path(place, jax.eval_shape(optimizer.init, trained))


def save(
    folder: checkpoints.Checkpoints, state: TrainState, meta: dict[str, Any], *, step: int
) -> None:
    """Starts saving a step.

    Args:
      folder: Where to.
      state: What.
      meta: JSON values beside it (data position, random keys).
      step: Its number.
    """
    opt_state = _map_leaf_dicts(optim.unflatten, state.opt_state)
    stacked = frozenset(name for name in [*state.trained, *state.frozen] if axes.is_stacked(name))
    folder.save(step, state.params(), opt_state=opt_state, meta=meta, stacked=stacked)


def restore(
    folder: checkpoints.Checkpoints, state: TrainState, mesh: jax.sharding.Mesh
) -> tuple[TrainState, dict[str, Any]]:
    """The newest saved state, placed as `state` is.

    Args:
      folder: Where from.
      state: A state of the same shapes; its values are not read.
      mesh: The mesh.

    Returns:
      The state and its JSON values.

    Raises:
      UserError: If there is none or it does not fit.
    """
    nested = _map_leaf_dicts(optim.unflatten, state.opt_state)
    saved = folder.restore(_abstract(state.params()), abstract_opt_state=_abstract(nested))
    leaves = optim.flatten(saved.params)
    restored = TrainState(
        step=jax.device_put(jnp.int32(saved.step), sharding.replicated(mesh)),
        trained={name: leaves[name] for name in state.trained},
        frozen={name: leaves[name] for name in state.frozen},
        opt_state=_flatten_like(state.opt_state, saved.opt_state),
    )
    return restored, saved.meta


def _map_leaf_dicts(function: Any, tree: Any) -> Any:
    """Applies `function` to each flat dict inside an optax state.

    Keys with slashes would become folders of a checkpoint, so dicts are saved nested.
    """
    return jax.tree.map(
        lambda x: function(x) if isinstance(x, dict) else x,
        tree,
        is_leaf=lambda x: isinstance(x, dict),
    )


def _flatten_like(target: Any, nested: Any) -> Any:
    """The inverse of `_map_leaf_dicts(unflatten, ...)`."""
    return jax.tree.map(
        lambda t, x: optim.flatten(x) if isinstance(t, dict) else x,
        target,
        nested,
        is_leaf=lambda x: isinstance(x, dict),
    )


def _abstract(tree: Any) -> Any:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), tree)
