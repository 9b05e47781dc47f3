# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: the only file that imports orbax.

A checkpoint folder holds one numbered folder a step and `assets/`, the side files of the
Hugging Face folder it came from (config, tokenizer, processor, chat template), so that it
can always be exported as a complete folder. A step without its commit is not seen.

    DIR/assets/...            DIR/<step>/params, DIR/<step>/opt_state, DIR/<step>/meta

A stacked parameter is stored in chunks of one layer, so that models larger than the memory are
written (`write_streamed`) and read (`stored_params`) layer by layer.

Where the folder is the mirror of an address in an object store (`paths.py`), the assets are files
of the mirror, and the steps lie in the store alone; a file there says that a step is complete.
"""

import json
import logging
import pathlib
import shutil
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import orbax.checkpoint as ocp
from etils import epath
from flax import traverse_util
from jax.experimental import multihost_utils
from orbax.checkpoint._src.serialization import tensorstore_utils

from lingshu_jax.common import errors, paths, reading, s3_arrays, streamed

ASSETS = "assets"
PARAMS, OPT_STATE, META = "params", "opt_state", "meta"
# Orbax knows gs:// by itself, but not s3://.
tensorstore_utils.build_kvstore_tspec = s3_arrays.extended(tensorstore_utils.build_kvstore_tspec)
COMMITTED = "commit_success.txt"  # in a store orbax ends a step with it


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

    def __init__(
        self, folder: pathlib.Path, *, keep: int | None = None, clear_partial: bool = False
    ):
        """Opens a folder, and makes it where there is none.

        Args:
          folder: A checkpoint folder.
          keep: How many of the newest steps stay; None keeps all.
          clear_partial: Whether what an interrupted save left goes; for the one who saves here.

        Raises:
          UserError: If it cannot be made.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise errors.UserError(f"cannot make the folder {folder}: {error.strerror}") from error
        # orbax reports every save and missing metadata, and errors with the trace of its threads;
        # it raises them as well.
        logging.getLogger("absl").addFilter(_is_not_of_orbax)
        self.folder = folder
        self._place: Any = paths.real(folder)
        if clear_partial and jax.process_index() == 0 and self._place.exists():
            # Not by orbax: in a store it would take any folder without its mark for one of these,
            # and on a disk it goes on clearing in the background.
            for path in filter(_is_cut_short, self._place.iterdir()):
                epath.Path(path).rmtree()
        self._manager = ocp.CheckpointManager(
            self._place,
            options=self._options(max_to_keep=keep),
            item_names=(PARAMS, OPT_STATE, META),
        )

    def _options(self, **options: Any) -> ocp.CheckpointManagerOptions:
        modes = ocp.options.AtomicityMode
        # In a store a rename is many copies, of which a kill may leave a half.
        mode = modes.COMMIT_FILE if paths.is_remote(self._place) else modes.AUTO
        return ocp.CheckpointManagerOptions(
            create=True, atomicity_options=ocp.options.AtomicityOptions(mode=mode), **options
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
        with paths.whole_folder(self.assets) as partial:
            for path in sorted(source.iterdir()):
                if path.is_file() and not is_weight_file(path.name):
                    shutil.copyfile(path, partial / path.name)
            (partial / "config.json").write_text(json.dumps(config, indent=2) + "\n")
            shutil.rmtree(self.assets, ignore_errors=True)

    def latest_step(self) -> int | None:
        """The newest complete step, or None."""
        return self._manager.latest_step()

    def safe_step(self) -> int | None:
        """The newest step that no kill can take away, or None: one that is being saved is not."""
        steps = self.steps()
        if self._manager.is_saving_in_progress():
            steps.pop()
        return steps[-1] if steps else None

    def steps(self) -> list[int]:
        """All complete steps, oldest first."""
        return sorted(self._manager.all_steps())

    def set_aside(self, step: int) -> None:
        """Renames a step that cannot be read, so that it can be saved again.

        Args:
          step: Which.
        """
        if jax.process_index() == 0:
            paths.move_folder(self._place / str(step), self._place / f"{step}.unreadable")
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices(f"set aside {step}")
        self._manager.reload()

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

        Raises:
          UserError: If this or the last one cannot be written.
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
        args = ocp.args.Composite(**items)
        self._written(lambda: self._manager.save(step, args=args, force=True))

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
          Unreadable: If it is damaged, on every process alike.
        """
        step = self._existing_step(step)
        items: dict[str, Any] = {PARAMS: abstract_params}
        if abstract_opt_state is not None:
            items[OPT_STATE] = abstract_opt_state
        what = f"checkpoint {self.folder / str(step)}"
        saved = reading.attempt(lambda: self._read_items(step, items), what)
        return Restored(step, saved[PARAMS], saved.get(OPT_STATE), saved[META])

    def _read_items(self, step: int, items: dict[str, Any]) -> dict[str, Any]:
        """Not through the manager, whose barriers leave the others waiting where one fails."""
        place = self._place / str(step)
        saved: dict[str, Any] = {META: _read_json(place / META)}
        for name, wanted in items.items():
            check_same_leaves(_read_metadata(place / name), wanted, place / name)
        handler: Any = ocp.StandardCheckpointHandler()
        for name, wanted in items.items():
            saved[name] = handler.restore(place / name, args=ocp.args.StandardRestore(wanted))
        handler.close()
        return saved

    def shapes(self, step: int | None = None) -> dict[str, jax.ShapeDtypeStruct]:
        """Path -> shape and dtype of every parameter of a step.

        Args:
          step: Which; default the newest.

        Raises:
          UserError: If there is no such step, or it cannot be read.
        """
        leaves = jax.tree_util.tree_leaves_with_path(_read_metadata(self._params_item(step)))
        return {_leaf_name(path): jax.ShapeDtypeStruct(x.shape, x.dtype) for path, x in leaves}

    def read_meta(self, step: int | None = None) -> dict[str, Any]:
        """The JSON values of a step alone.

        Args:
          step: Which; default the newest.

        Raises:
          UserError: If there is no such step.
        """
        return _read_json(self._place / str(self._existing_step(step)) / META)

    def stored_params(self, step: int | None = None) -> dict[str, Any]:
        """The parameters of a step as leaves that read themselves part by part.

        Args:
          step: Which; default the newest.

        Returns:
          Nested dict of `streamed.StoredLeaf`.

        Raises:
          UserError: If there is no such step, or it cannot be read.
        """
        item = self._params_item(step)
        is_merged = ocp.type_handlers.is_ocdbt_checkpoint(item)
        return jax.tree_util.tree_map_with_path(
            lambda path, leaf: streamed.StoredLeaf(
                item, _leaf_name(path, "."), leaf.shape, is_merged=is_merged
            ),
            _read_metadata(item),
        )

    def write_streamed(
        self, step: int, params: Mapping[str, streamed.StreamedLeaf], *, meta: dict[str, Any]
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
        manager = ocp.CheckpointManager(
            self._place,
            options=self._options(enable_async_checkpointing=False),
            item_handlers={PARAMS: handler, META: ocp.JsonCheckpointHandler()},
        )
        leaves = {path: _Streamed(leaf) for path, leaf in params.items()}
        tree = traverse_util.unflatten_dict(leaves, sep="/")
        items = {PARAMS: ocp.args.PyTreeSave(tree), META: ocp.args.JsonSave(meta)}
        manager.save(step, args=ocp.args.Composite(**items), force=True)
        manager.close()
        self._manager.reload()

    def _params_item(self, step: int | None) -> Any:
        return self._place / str(self._existing_step(step)) / PARAMS

    def _existing_step(self, step: int | None) -> int:
        step = self.latest_step() if step is None else step
        if step is None or step not in self._manager.all_steps():
            raise errors.UserError(
                f"{self.folder} holds no complete checkpoint"
                + ("" if step is None else f" of step {step}; it has {self._manager.all_steps()}")
            )
        return step

    def wait(self) -> None:
        """Blocks until every started save is complete; UserError if one cannot be."""
        self._written(self._manager.wait_until_finished)

    def close(self) -> None:
        """Waits, then frees the manager's threads; UserError if a save failed."""
        self._written(self._manager.close)

    def _written(self, work: Callable[[], Any]) -> None:
        try:
            work()
        except (OSError, ValueError, *paths.store_errors()) as error:  # tensorstore: the second
            step = self.latest_step()
            kept = "there is none before it" if step is None else f"step {step} is complete"
            raise errors.UserError(
                f"cannot save a checkpoint in {self.folder}: {reading.reason(error)}; {kept}"
            ) from error


def _is_not_of_orbax(record: logging.LogRecord) -> bool:
    return "/orbax/" not in record.pathname


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


def has_step(folder: pathlib.Path) -> bool:
    """Whether a folder, which need not be there, holds a complete step.

    Args:
      folder: A checkpoint folder.

    Raises:
      UserError: If there is none and it cannot be made.
    """
    saved = Checkpoints(folder)
    step = saved.latest_step()
    saved.close()
    return step is not None


def is_unused(folder: pathlib.Path) -> bool:
    """Whether a folder is new, empty, or what an interrupted first save left.

    Args:
      folder: That is to become a checkpoint folder.
    """
    place = paths.real(folder)
    if not place.exists():
        return True
    return place.is_dir() and all(map(_is_left_over, place.iterdir()))


def _is_cut_short(path: Any) -> bool:
    """Whether a folder is a step that was not committed."""
    if paths.is_remote(path):
        return path.name.isdigit() and not (path / COMMITTED).exists()
    return ".orbax-checkpoint-tmp" in path.name


def _is_left_over(path: Any) -> bool:
    """Whether a first save made it; a folder of the user's may be called assets as well."""
    if path.name == ASSETS:
        return (path / "config.json").is_file()
    return path.name == f"{ASSETS}{paths.PARTIAL}" or _is_cut_short(path)


def is_weight_file(name: str) -> bool:
    """Whether a file of a Hugging Face folder holds weights, or says where they are.

    >>> is_weight_file("model-00001-of-00002.safetensors")
    True
    """
    return name.endswith((".safetensors", ".bin", ".pt", ".pth", ".index.json"))


class _Streamed:
    """Wraps a leaf so that orbax sees one type of its own."""

    def __init__(self, leaf: streamed.StreamedLeaf):
        self.leaf = leaf


class _StreamingHandler(ocp.type_handlers.NumpyHandler):
    """Writes leaves block by block as uncompressed zarr arrays, which orbax reads as any other."""

    async def serialize(self, values: Any, infos: Any, args: Any = None) -> Any:
        """Writes one leaf after the other, a few blocks at a time."""
        del args
        for value, info in zip(values, infos, strict=True):
            await info.await_path_creation()
            await streamed.write(value.leaf, info.parent_dir / info.name)
        return []


def _read_metadata(item: Any) -> Any:
    """The tree of a step's item with shapes and dtypes."""
    with ocp.StandardCheckpointer() as reader:
        try:
            metadata: Any = reader.metadata(item)
        except (ValueError, FileNotFoundError) as error:
            raise _unreadable(item, reading.reason(error)) from error
    if metadata.item_metadata is None:
        raise _unreadable(item, "its metadata is missing or damaged")
    return metadata.item_metadata.tree


def _read_json(item: Any) -> dict[str, Any]:
    handler: Any = ocp.JsonCheckpointHandler()
    try:
        return handler.restore(item, args=ocp.args.JsonRestore())
    except (ValueError, OSError) as error:
        raise _unreadable(item, reading.reason(error)) from error


def _unreadable(item: Any, reason: str) -> reading.Unreadable:
    return reading.Unreadable(f"checkpoint {item} cannot be read: {reason}")


def check_same_leaves(saved: Any, needed: Any, item: Any) -> None:
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


def _leaf_name(path: Any, separator: str = "/") -> str:
    """Named tuples are stored as dicts: only what a key says counts, not its kind."""
    return jax.tree_util.keystr(path, simple=True, separator=separator)


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
