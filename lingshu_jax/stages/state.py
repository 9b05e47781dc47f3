# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What training changes, how it is placed on a mesh, saved and restored."""

import functools
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import optax
from absl import logging

from lingshu_jax.common import checkpoints, reading, sharding
from lingshu_jax.models import axes, lora, qwen2_5_vl, sizes
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import optim, optim_config


@flax.struct.dataclass
class TrainState:
    """Everything a step changes, and the frozen rest.

    Attributes:
      step: Optimizer steps taken, an int32.
      trained: Path -> leaf of the parameters that are trained.
      frozen: Path -> leaf of those that are not.
      opt_state: The optimizer's state of `trained`.
    """

    step: Any
    trained: optim.Leaves
    frozen: optim.Leaves
    opt_state: Any

    def params(self) -> dict[str, Any]:
        """The nested dict of all parameters."""
        return optim.unflatten({**self.trained, **self.frozen})


def abstract_params(
    size: sizes.ModelSize, dtype: jnp.dtype, config: optim_config.LoraConfig
) -> dict[str, Any]:
    """Shapes of all parameters of a stage, its adapters among them.

    Args:
      size: The model's sizes.
      dtype: Of the parameters.
      config: Of the adapters.

    Raises:
      UserError: If the adapters' pattern matches no module.
    """
    shapes: Any = qwen2_5_vl.abstract_params(size, dtype)
    if not config.modules:
        return shapes
    options = {"rank": config.rank, "alpha": config.alpha}
    make = functools.partial(lora.init, shapes, config.modules, **options)
    return lora.join(shapes, jax.eval_shape(lambda key: make(key=key), jax.random.key(0)))


class Layout(NamedTuple):
    """What the parameters of a stage are.

    Attributes:
      shapes: Nested dict of all of them, each in the dtype that it is held and saved in.
      groups: Which are trained, and how.
    """

    shapes: dict[str, Any]
    groups: tuple[optim.Group, ...]

    @property
    def dtypes(self) -> dict[str, jnp.dtype]:
        """Path -> dtype of every parameter."""
        return {name: leaf.dtype for name, leaf in optim.flatten(self.shapes).items()}

    @property
    def widest_dtype(self) -> str:
        """The one that holds every parameter but the adapters, for config.json."""
        return jnp.result_type(*jax.tree.leaves(lora.strip(self.shapes))).name


def lay_out(size: sizes.ModelSize, config: stage_config.StageConfig) -> Layout:
    """What a stage trains and in which dtypes it holds its parameters; no values are made.

    Args:
      size: The model's sizes.
      config: The stage.

    Raises:
      UserError: If a pattern of the stage matches no module or wins no parameter.
    """
    dtype = jnp.dtype(config.model.param_dtype)
    frozen_dtype = jnp.dtype(config.model.frozen_dtype or dtype)
    shapes = abstract_params(size, dtype, config.lora)
    groups = optim.assign_groups(list(optim.flatten(shapes)), config.rules)
    trained, frozen = optim.split(shapes, groups)
    frozen = {
        name: leaf if lora.is_adapter(name) else jax.ShapeDtypeStruct(leaf.shape, frozen_dtype)
        for name, leaf in frozen.items()
    }
    leaves = {**trained, **frozen}
    ordered = {name: leaves[name] for name in optim.flatten(shapes)}
    return Layout(optim.unflatten(ordered), groups)


def add_adapters(
    params: Any, config: optim_config.LoraConfig, mesh: jax.sharding.Mesh, *, seed: int
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


def abstract(
    params: Any,
    groups: tuple[optim.Group, ...],
    optimizer: optax.GradientTransformation,
    mesh: jax.sharding.Mesh | jax.sharding.AbstractMesh,
) -> TrainState:
    """What `create` makes, as shapes with their places; for `restore`.

    Args:
      params: Nested dict of shapes.
      groups: Which are trained.
      optimizer: Whose state.
      mesh: The mesh.
    """
    places = sharding.param_shardings(params, axes.PARAM_AXES, mesh)
    trained, frozen = optim.split(checkpoints.abstract(params, places), groups)
    opt_state = checkpoints.abstract(
        jax.eval_shape(optimizer.init, trained), opt_shardings(trained, optimizer, mesh)
    )
    step = jax.ShapeDtypeStruct((), jnp.int32, sharding=sharding.replicated(mesh))
    return TrainState(step=step, trained=trained, frozen=frozen, opt_state=opt_state)


def opt_shardings(
    trained: optim.Leaves,
    optimizer: optax.GradientTransformation,
    mesh: jax.sharding.Mesh | jax.sharding.AbstractMesh,
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

    Raises:
      UserError: If this or the last one cannot be written.
    """
    opt_state = _map_leaf_dicts(optim.unflatten, state.opt_state)
    stacked = frozenset(name for name in [*state.trained, *state.frozen] if axes.is_stacked(name))
    folder.save(step, state.params(), opt_state=opt_state, meta=meta, stacked=stacked)


def restore(
    folder: checkpoints.Checkpoints, state: TrainState, mesh: jax.sharding.Mesh
) -> tuple[TrainState, dict[str, Any]]:
    """The newest saved state that can be read, placed as `state` is.

    A newer one that cannot be read is set aside, so that its step can be saved again.

    Args:
      folder: Where from; it holds at least one step.
      state: Arrays or shapes with their places; no values are read.
      mesh: The mesh.

    Returns:
      The state and its JSON values.

    Raises:
      UserError: If none can be read, or one does not fit.
    """
    nested = _abstract(_map_leaf_dicts(optim.unflatten, state.opt_state))
    params = _abstract(state.params())
    damaged: list[int] = []
    for step in reversed(folder.steps()):
        try:
            saved = folder.restore(params, abstract_opt_state=nested, step=step)
        except reading.Unreadable as error:
            logging.warning("%s; going back to the step before", error)
            damaged.append(step)
            continue
        for other in damaged:
            folder.set_aside(other)
        return _from_saved(saved, state, mesh), saved.meta
    raise reading.Unreadable(
        f"{folder.folder} holds no checkpoint that can be read; damaged: {damaged or 'none'}; "
        "to begin the run again, remove them"
    )


def _from_saved(
    saved: checkpoints.Restored, state: TrainState, mesh: jax.sharding.Mesh
) -> TrainState:
    leaves = optim.flatten(saved.params)
    return TrainState(
        step=jax.device_put(jnp.int32(saved.step), sharding.replicated(mesh)),
        trained={name: leaves[name] for name in state.trained},
        frozen={name: leaves[name] for name in state.frozen},
        opt_state=_flatten_like(state.opt_state, saved.opt_state),
    )


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
