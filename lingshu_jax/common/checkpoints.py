# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: the only file that imports orbax.

A checkpoint folder holds one numbered folder a step and `assets/`, the side files of the
Hugging Face folder it came from (config, tokenizer, processor, chat template), so that it
can always be exported as a complete folder. A step without its commit is not seen.

    DIR/assets/...            DIR/<step>/params, DIR/<step>/opt_state, DIR/<step>/meta
"""

import json
import logging
import pathlib
import shutil
from typing import Any, NamedTuple

import jax
import orbax.checkpoint as ocp

from lingshu_jax.common import errors

ASSETS = "assets"


class Restored(NamedTuple):
    """One step, as it was saved.

    Attributes:
      step: Its number.
      params: Nested dict of arrays.
      opt_state: The optimizer's state, or None where none was asked for.
      meta: JSON values: data position, metrics position, configuration.
    """

    step: int
    params: Any
    opt_state: Any
    meta: dict[str, Any]


class Checkpoints:
    """The numbered steps of one folder; saving goes on in the background."""

    def __init__(self, folder: pathlib.Path, *, keep: int | None = None):
        """Opens a folder, which is made when the first step is saved.

        Args:
          folder: A checkpoint folder.
          keep: How many of the newest steps stay; None keeps all.
        """
        # orbax reports every save on the root logger's INFO and missing metadata as warnings
        logging.getLogger("absl").setLevel(logging.ERROR)
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=True)
        self.folder = folder
        self._manager = ocp.CheckpointManager(
            folder.absolute(), options=options, item_names=("params", "opt_state", "meta")
        )

    @property
    def assets(self) -> pathlib.Path:
        """Folder of the Hugging Face side files."""
        return self.folder / ASSETS

    def write_assets(self, source: pathlib.Path, config: dict[str, Any]) -> None:
        """Copies everything but weights and configuration from a Hugging Face folder.

        Args:
          source: A Hugging Face folder, or the assets of another checkpoint folder.
          config: Content of config.json, which says what the parameters here really are.
        """
        partial = self.folder / f"{ASSETS}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for path in sorted(source.iterdir()):
            if path.is_file() and not is_weight_file(path.name):
                shutil.copyfile(path, partial / path.name)
        (partial / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        shutil.rmtree(self.assets, ignore_errors=True)
        partial.rename(self.assets)

    def latest_step(self) -> int | None:
        """The newest complete step, or None."""
        return self._manager.latest_step()

    def save(self, step: int, params: Any, *, opt_state: Any, meta: dict[str, Any]) -> None:
        """Starts saving a step; returns when the arrays are copied off the device.

        Args:
          step: Its number.
          params: Nested dict of arrays.
          opt_state: The optimizer's state; None saves none.
          meta: JSON values.
        """
        items: dict[str, Any] = {
            "params": ocp.args.StandardSave(params),
            "meta": ocp.args.JsonSave(meta),
        }
        if opt_state is not None:
            items["opt_state"] = ocp.args.StandardSave(opt_state)
        self._manager.save(step, args=ocp.args.Composite(**items), force=True)

    def restore(
        self, abstract_params: Any, *, abstract_opt_state: Any = None, step: int | None = None
    ) -> Restored:
        """Reads a step into the shapes, dtypes and shardings given.

        Args:
          abstract_params: ShapeDtypeStructs, with shardings where it matters.
          abstract_opt_state: The same for the optimizer; None leaves it out.
          step: Which; default the newest.

        Raises:
          UserError: If there is no such step, or it holds other parameters.
        """
        step = self.latest_step() if step is None else step
        if step is None or step not in self._manager.all_steps():
            raise errors.UserError(
                f"{self.folder} holds no complete checkpoint"
                + ("" if step is None else f" of step {step}; it has {self._manager.all_steps()}")
            )
        items: dict[str, Any] = {"params": abstract_params}
        if abstract_opt_state is not None:
            items["opt_state"] = abstract_opt_state
        for name, wanted in items.items():
            _check_same_leaves(self.folder.absolute() / str(step) / name, wanted)
        args = {name: ocp.args.StandardRestore(wanted) for name, wanted in items.items()}
        saved: Any = self._manager.restore(
            step, args=ocp.args.Composite(meta=ocp.args.JsonRestore(), **args)
        )
        return Restored(step, saved.params, saved.get("opt_state"), saved.meta)

    def wait(self) -> None:
        """Blocks until every started save is complete."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits, then frees the manager's threads."""
        self._manager.close()


def find(folder: pathlib.Path) -> pathlib.Path:
    """The checkpoint folder meant by a path: itself, or a run's `checkpoints/`.

    Args:
      folder: A checkpoint folder or a training workdir.

    Raises:
      UserError: If it is neither.
    """
    for candidate in (folder, folder / "checkpoints"):
        if (candidate / ASSETS).is_dir():
            return candidate
    raise errors.UserError(
        f"{folder} is no checkpoint folder: it holds neither {ASSETS}/ nor checkpoints/{ASSETS}/"
    )


def is_unused(folder: pathlib.Path) -> bool:
    """Whether a folder is new, empty, or what an interrupted first save left.

    Args:
      folder: That is to become a checkpoint folder.
    """
    if not folder.exists():
        return True
    left = (ASSETS, ".orbax-checkpoint-tmp")
    return folder.is_dir() and all(
        any(mark in path.name for mark in left) for path in folder.iterdir()
    )


def is_weight_file(name: str) -> bool:
    """Whether a file of a Hugging Face folder holds weights, or says where they are.

    >>> is_weight_file("model-00001-of-00002.safetensors")
    True
    """
    return name.endswith((".safetensors", ".bin", ".pt", ".pth", ".index.json"))


def _check_same_leaves(item: pathlib.Path, wanted: Any) -> None:
    """Compares names and shapes before reading: half a restore would be of no use."""
    with ocp.StandardCheckpointer() as reader:
        try:
            metadata: Any = reader.metadata(item)
        except (ValueError, FileNotFoundError) as error:
            raise errors.UserError(f"checkpoint {item} cannot be read: {error}") from error
    saved, needed = _shapes(metadata.item_metadata.tree), _shapes(wanted)
    if saved != needed:
        missing = sorted(needed.keys() - saved.keys())
        unused = sorted(saved.keys() - needed.keys())
        both = sorted(saved.keys() & needed.keys())
        other = [f"{n} {saved[n]} not {needed[n]}" for n in both if saved[n] != needed[n]]
        raise errors.UserError(
            f"checkpoint {item} holds other arrays: missing {missing[:8]}, unused {unused[:8]}, "
            f"of another shape {other[:8]}"
        )


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {_leaf_name(path): tuple(leaf.shape) for path, leaf in leaves}


def _leaf_name(path: Any) -> str:
    """Named tuples are stored as dicts: only what a key says counts, not its kind."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def abstract(tree: Any, shardings: Any) -> Any:
    """ShapeDtypeStructs with shardings, as `restore` wants them.

    Args:
      tree: Arrays or shapes.
      shardings: One sharding a leaf, the same structure.
    """
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        tree,
        shardings,
    )
