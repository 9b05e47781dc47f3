# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: the only file that imports orbax.

A checkpoint folder holds one numbered folder a step and `assets/`, the side files of the
Hugging Face folder it came from (config, tokenizer, processor, chat template), so that it
can always be exported as a complete folder. A step without its commit is not seen.

    DIR/assets/...            DIR/<step>/params, DIR/<step>/opt_state, DIR/<step>/meta

A stacked parameter is stored in chunks of one layer, so that models larger than the memory are
written (`write_streamed`) and read (`stored_params`) layer by layer.
"""

import collections
import itertools
import json
import logging
import pathlib
import shutil
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
import orbax.checkpoint as ocp
import tensorstore as ts
from flax import traverse_util

from lingshu_jax.common import errors

ASSETS = "assets"
PARAMS, OPT_STATE, META = "params", "opt_state", "meta"
_WRITES_IN_FLIGHT = 3  # blocks of `write_streamed` in memory


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
        """Opens a folder, and makes it where there is none.

        Args:
          folder: A checkpoint folder.
          keep: How many of the newest steps stay; None keeps all.

        Raises:
          UserError: If it cannot be made.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise errors.UserError(f"cannot make the folder {folder}: {error.strerror}") from error
        # orbax reports every save on the root logger's INFO and missing metadata as warnings
        logging.getLogger("absl").setLevel(logging.ERROR)
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=True)
        self.folder = folder
        self._manager = ocp.CheckpointManager(
            folder.absolute(), options=options, item_names=(PARAMS, OPT_STATE, META)
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

    def save(
        self,
        step: int,
        params: Any,
        *,
        opt_state: Any,
        meta: dict[str, Any],
        stacked: frozenset[str] = frozenset(),
    ) -> None:
        """Starts saving a step; returns when the arrays are copied off the device.

        Args:
          step: Its number.
          params: Nested dict of arrays.
          opt_state: The optimizer's state; None saves none.
          meta: JSON values.
          stacked: Paths of the parameters whose axis 0 is the layer: a chunk is one layer.
        """

        def save_args(path: Any, leaf: Any) -> ocp.SaveArgs:
            del leaf
            return ocp.SaveArgs(shard_axes=(0,) if _leaf_name(path) in stacked else ())

        args = jax.tree_util.tree_map_with_path(save_args, params)
        items: dict[str, Any] = {
            PARAMS: ocp.args.StandardSave(params, save_args=args),
            META: ocp.args.JsonSave(meta),
        }
        if opt_state is not None:
            items[OPT_STATE] = ocp.args.StandardSave(opt_state)
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
        step = self._existing_step(step)
        items: dict[str, Any] = {PARAMS: abstract_params}
        if abstract_opt_state is not None:
            items[OPT_STATE] = abstract_opt_state
        for name, wanted in items.items():
            item = self.folder.absolute() / str(step) / name
            check_same_leaves(_read_metadata(item), wanted, item)
        args = {name: ocp.args.StandardRestore(wanted) for name, wanted in items.items()}
        saved: Any = self._manager.restore(
            step, args=ocp.args.Composite(meta=ocp.args.JsonRestore(), **args)
        )
        return Restored(step, saved.params, saved.get("opt_state"), saved.meta)

    def shapes(self, step: int | None = None) -> dict[str, tuple[int, ...]]:
        """Path -> shape of every parameter of a step.

        Args:
          step: Which; default the newest.

        Raises:
          UserError: If there is no such step, or it cannot be read.
        """
        return _shapes(_read_metadata(self._params_item(step)))

    def read_meta(self, step: int | None = None) -> dict[str, Any]:
        """The JSON values of a step alone.

        Args:
          step: Which; default the newest.

        Raises:
          UserError: If there is no such step.
        """
        args = ocp.args.Composite(**{META: ocp.args.JsonRestore()})
        saved: Any = self._manager.restore(self._existing_step(step), args=args)
        return saved[META]

    def stored_params(self, step: int | None = None) -> dict[str, Any]:
        """The parameters of a step as leaves that read themselves part by part.

        Args:
          step: Which; default the newest.

        Returns:
          Nested dict of `StoredLeaf`.

        Raises:
          UserError: If there is no such step, or it cannot be read.
        """
        item = self._params_item(step)
        return jax.tree_util.tree_map_with_path(
            lambda path, leaf: StoredLeaf(item, path, leaf.shape), _read_metadata(item)
        )

    def write_streamed(
        self, step: int, params: Mapping[str, "StreamedLeaf"], *, meta: dict[str, Any]
    ) -> None:
        """Writes a step whose parameters need not fit into memory; returns when it is complete.

        The result is an ordinary step for `restore`.

        Args:
          step: Its number.
          params: Path -> leaf.
          meta: JSON values.
        """
        registry = ocp.type_handlers.create_type_handler_registry((_Streamed, _StreamingHandler()))
        handler = ocp.PyTreeCheckpointHandler(use_ocdbt=False, type_handler_registry=registry)
        options = ocp.CheckpointManagerOptions(create=True, enable_async_checkpointing=False)
        manager = ocp.CheckpointManager(
            self.folder.absolute(),
            options=options,
            item_handlers={PARAMS: handler, META: ocp.JsonCheckpointHandler()},
        )
        leaves = {path: _Streamed(leaf) for path, leaf in params.items()}
        tree = traverse_util.unflatten_dict(leaves, sep="/")
        items = {PARAMS: ocp.args.PyTreeSave(tree), META: ocp.args.JsonSave(meta)}
        manager.save(step, args=ocp.args.Composite(**items), force=True)
        manager.close()
        self._manager.reload()

    def _params_item(self, step: int | None) -> pathlib.Path:
        return self.folder.absolute() / str(self._existing_step(step)) / PARAMS

    def _existing_step(self, step: int | None) -> int:
        step = self.latest_step() if step is None else step
        if step is None or step not in self._manager.all_steps():
            raise errors.UserError(
                f"{self.folder} holds no complete checkpoint"
                + ("" if step is None else f" of step {step}; it has {self._manager.all_steps()}")
            )
        return step

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
    return folder.is_dir() and all(map(_is_left_over, folder.iterdir()))


def _is_left_over(path: pathlib.Path) -> bool:
    """Whether a first save made it; a folder of the user's may be called assets as well."""
    if path.name == ASSETS:
        return (path / "config.json").is_file()
    return path.name == f"{ASSETS}.partial" or ".orbax-checkpoint-tmp" in path.name


def is_weight_file(name: str) -> bool:
    """Whether a file of a Hugging Face folder holds weights, or says where they are.

    >>> is_weight_file("model-00001-of-00002.safetensors")
    True
    """
    return name.endswith((".safetensors", ".bin", ".pt", ".pth", ".index.json"))


class StreamedLeaf(Protocol):
    """What `write_streamed` wants of a parameter.

    Attributes:
      shape: Of the whole.
      dtype: Of its values.
      is_stacked: Whether axis 0 is the layer.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    is_stacked: bool

    def blocks(self) -> Iterable[tuple[tuple[Any, ...], np.ndarray]]:
        """(index, values) pairs that cover the whole; all but the last of a layer equal in size."""
        ...


class StoredLeaf:
    """A parameter inside a step, read part by part.

    Attributes:
      shape: Of the whole.
      dtype: Of its values.
    """

    def __init__(self, item: pathlib.Path, path: Any, shape: tuple[int, ...]):
        """Opens the array; values are read when they are asked for.

        Args:
          item: Folder of the parameters of a step.
          path: Key path of the leaf.
          shape: Of the whole.
        """
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        base = {"driver": "file", "path": f"{item / name}/"}
        if ocp.type_handlers.is_ocdbt_checkpoint(item):
            base = {"driver": "ocdbt", "base": f"file://{item}/", "path": f"{name}/"}
        # Mapped files spare a copy of every chunk.
        context = ts.Context({"file_io_mode": {"mode": "memmap"}})
        store = ts.open({"driver": "zarr", "kvstore": base}, read=True, context=context).result()
        self._store = store
        self._order = store.spec().to_json()["metadata"]["order"]
        self.shape, self.dtype = shape, store.dtype.numpy_dtype

    def __getitem__(self, index: Any) -> np.ndarray:
        """A part, in the order in which it is stored.

        Args:
          index: As of a numpy array.
        """
        part = self._store[index]
        out = np.empty(part.shape, self.dtype, order=self._order)
        ts.array(out).write(part).result()
        return out


class _Streamed:
    """Wraps a leaf so that orbax sees one type of its own."""

    def __init__(self, leaf: StreamedLeaf):
        self.leaf = leaf


class _StreamingHandler(ocp.type_handlers.NumpyHandler):
    """Writes leaves block by block as uncompressed zarr arrays, which orbax reads as any other."""

    async def serialize(self, values: Any, infos: Any, args: Any = None) -> Any:
        """Writes one leaf after the other, a few blocks at a time."""
        del args
        for value, info in zip(values, infos, strict=True):
            await info.await_path_creation()
            await _write_leaf(value.leaf, info.parent_dir / info.name)
        return []


async def _write_leaf(leaf: StreamedLeaf, folder: Any) -> None:
    """Chunks are the blocks, in the order of axes in which the first one lies in memory."""
    blocks = iter(leaf.blocks())
    index, first = next(blocks)
    metadata = {
        "shape": leaf.shape,
        "chunks": (1, *first.shape) if leaf.is_stacked else first.shape,
        "dtype": leaf.dtype.name if leaf.dtype.name == "bfloat16" else leaf.dtype.str,
        "order": "F" if first.flags.f_contiguous and not first.flags.c_contiguous else "C",
        "compressor": None,
    }
    kvstore = {"driver": "file", "path": f"{folder}/"}
    # As with `cp`: a conversion can be made again, so a chunk does not wait for the disk.
    context = ts.Context({"file_io_sync": False})
    store = await ts.open(
        {"driver": "zarr", "kvstore": kvstore, "metadata": metadata},
        create=True,
        open=True,
        context=context,
    )
    writing: collections.deque[Any] = collections.deque()
    for place, values in itertools.chain([(index, first)], blocks):
        if len(writing) == _WRITES_IN_FLIGHT:
            await writing.popleft()
        # Nothing writes into a block, so tensorstore needs no copy of its own.
        writing.append(store[place].write(values, can_reference_source_data_indefinitely=True))
    for write in writing:
        await write


def _read_metadata(item: pathlib.Path) -> Any:
    """The tree of a step's item with shapes and dtypes."""
    with ocp.StandardCheckpointer() as reader:
        try:
            metadata: Any = reader.metadata(item)
        except (ValueError, FileNotFoundError) as error:
            raise errors.UserError(f"checkpoint {item} cannot be read: {error}") from error
    return metadata.item_metadata.tree


def check_same_leaves(saved: Any, needed: Any, item: pathlib.Path) -> None:
    """Compares names and shapes: half a restore would be of no use.

    Args:
      saved: Nested dict of what has a shape.
      needed: The same.
      item: For the message.

    Raises:
      UserError: If they differ; lists how.
    """
    saved, needed = _shapes(saved), _shapes(needed)
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
