# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Hugging Face folders: one weight table, read and written; complete or an error.

Published names appear here and nowhere else. Both key namings of Qwen2.5-VL files are read
(`visual.` and `model.visual.`, `model.` and `model.language_model.`); the hub's is written.

Source: transformers, models/qwen2_5_vl/modeling_qwen2_5_vl.py and its checkpoint key map.
"""

import dataclasses
import functools
import math
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lingshu_jax.common import errors
from lingshu_jax.models import hf_config, layers, qwen2_5_vl, safetensors_files, sizes

BLOCK_BYTES = 256 * 2**20  # of a tensor, in memory at a time
_TRANSPOSED_ROWS = 128  # copied at a time: what they touch stays in the processor's cache


class Row(NamedTuple):
    """One line of the weight table.

    Attributes:
      hf: Name in the file; `{}` stands for the layer, which is an axis on our side.
      path: Our parameter path.
      in_axes: Leading axes of our kernel that are inputs; 0 for vectors and embeddings.
        A file holds kernels as [out, in], we hold them as [in..., out...].
    """

    hf: str
    path: str
    in_axes: int


def _dense(hf: str, path: str, *, bias: bool, in_axes: int = 1) -> list[Row]:
    rows = [Row(f"{hf}.weight", f"{path}/kernel", in_axes)]
    return [*rows, Row(f"{hf}.bias", f"{path}/bias", 0)] if bias else rows


def _mlp(hf: str, path: str, *, bias: bool) -> list[Row]:
    names = ("gate", "up", "down")
    return [r for n in names for r in _dense(f"{hf}.{n}_proj", f"{path}/{n}", bias=bias)]


WEIGHTS: tuple[Row, ...] = (
    Row("visual.patch_embed.proj.weight", "vision/patch_embed/kernel", 1),
    Row("visual.blocks.{}.norm1.weight", "vision/blocks/norm1/scale", 0),
    Row("visual.blocks.{}.norm2.weight", "vision/blocks/norm2/scale", 0),
    *_dense("visual.blocks.{}.attn.qkv", "vision/blocks/attention/qkv", bias=True),
    *_dense("visual.blocks.{}.attn.proj", "vision/blocks/attention/out", bias=True, in_axes=2),
    *_mlp("visual.blocks.{}.mlp", "vision/blocks/mlp", bias=True),
    Row("visual.merger.ln_q.weight", "merger/norm/scale", 0),
    *_dense("visual.merger.mlp.0", "merger/up", bias=True),
    *_dense("visual.merger.mlp.2", "merger/down", bias=True),
    Row("model.embed_tokens.weight", "text/embed/embedding", 0),
    Row("model.layers.{}.input_layernorm.weight", "text/layers/norm1/scale", 0),
    Row("model.layers.{}.post_attention_layernorm.weight", "text/layers/norm2/scale", 0),
    *_dense("model.layers.{}.self_attn.q_proj", "text/layers/attention/q", bias=True),
    *_dense("model.layers.{}.self_attn.k_proj", "text/layers/attention/k", bias=True),
    *_dense("model.layers.{}.self_attn.v_proj", "text/layers/attention/v", bias=True),
    *_dense("model.layers.{}.self_attn.o_proj", "text/layers/attention/out", bias=False, in_axes=2),
    *_mlp("model.layers.{}.mlp", "text/layers/mlp", bias=False),
    Row("model.norm.weight", "text/norm/scale", 0),
    Row("lm_head.weight", "text/head", 1),
)


def hub_name(name: str) -> str:
    """The hub's name of a tensor, given either naming.

    >>> hub_name("model.language_model.norm.weight")
    'model.norm.weight'
    """
    if name.startswith("model.visual."):
        return name.removeprefix("model.")
    return re.sub(r"^model\.language_model\.", "model.", name)


def read_config(folder: pathlib.Path) -> sizes.ModelSize:
    """The sizes of a folder; a tied flag gives way to a stored head that differs.

    Args:
      folder: A Hugging Face folder with config.json and weights.

    Raises:
      UserError: If the folder is none, or its config.json cannot be used.
    """
    size = hf_config.read(folder)
    tensors = safetensors_files.Tensors(folder, hub_name)
    if size.text.tie_embeddings and {"lm_head.weight", "model.embed_tokens.weight"} <= set(tensors):
        head, embedding = tensors["lm_head.weight"], tensors["model.embed_tokens.weight"]
        text = dataclasses.replace(size.text, tie_embeddings=_is_equal(head, embedding))
        size = dataclasses.replace(size, text=text)
    return size


class Leaf:
    """One parameter of ours inside a folder's files: our shape and axes, read piece by piece.

    Attributes:
      shape: Of the parameter, with the layers in front where it is stacked.
      dtype: Of its tensors in the files.
      in_axes: How many axes are inputs, as in the weight table.
      is_stacked: Whether axis 0 is the layer.
    """

    def __init__(self, row: Row, shape: tuple[int, ...], tensors: Mapping[str, np.ndarray]):
        """Views the tensors in our order of axes; copies nothing.

        Args:
          row: Of the weight table.
          shape: Of the parameter.
          tensors: By hub name, all that the row needs, each of the shape that it has at the hub.

        Raises:
          UserError: If the layers differ in dtype.
        """
        self.shape, self.in_axes, self.is_stacked = shape, row.in_axes, "{}" in row.hf
        inner = shape[1:] if self.is_stacked else shape
        names = [row.hf.format(i) for i in range(shape[0])] if self.is_stacked else [row.hf]
        self._views = [_as_ours(tensors[name], row.in_axes, inner) for name in names]
        dtypes = {str(view.dtype) for view in self._views}
        if len(dtypes) > 1:
            raise errors.UserError(f"tensors {row.hf} have several dtypes: {sorted(dtypes)}")
        self.dtype = self._views[0].dtype

    def __getitem__(self, index: Any) -> np.ndarray:
        """A part of the parameter, read from the files: C-contiguous, in our order of axes.

        Args:
          index: An int or a slice an axis, steps of one; an int only for the layer.
        """
        index = index if isinstance(index, tuple) else (index,)
        if not self.is_stacked:
            return self._read(0, index)
        layer, *inner = index or (slice(None),)
        if not isinstance(layer, slice):
            return self._read(layer, tuple(inner))
        layers_ = range(self.shape[0])[layer]
        first = self._views[0][tuple(inner)]
        out = np.empty((len(layers_), *first.shape), self.dtype)
        for place, number in enumerate(layers_):
            self._read(number, tuple(inner), out=out[place])
        return out

    def _read(
        self, layer: int, index: tuple[Any, ...], out: np.ndarray | None = None
    ) -> np.ndarray:
        view = self._views[layer][index]
        out = np.empty(view.shape, view.dtype) if out is None else out
        return _copy_transposed(view, out, self.in_axes)

    def blocks(self, max_bytes: int = BLOCK_BYTES) -> Iterator[tuple[tuple[Any, ...], np.ndarray]]:
        """(index, values) pairs that cover the parameter, as `checkpoints.write_streamed` wants.

        A plain matrix comes as a view of its file, in Fortran order; nothing is copied.

        Args:
          max_bytes: A layer larger than this is cut along the first axis of its file.
        """
        for layer, view in enumerate(self._views):
            before = (layer,) if self.is_stacked else ()
            for part in row_blocks(view.shape, self.in_axes, self.dtype.itemsize, max_bytes):
                index = (slice(None),) * self.in_axes + (part,)
                values = view[index]
                is_copied = not (values.flags.f_contiguous or values.flags.c_contiguous)
                yield (*before, *index), self._read(layer, index) if is_copied else values


def open_leaves(folder: pathlib.Path, size: sizes.ModelSize) -> dict[str, Leaf]:
    """Every parameter of a folder by our path, checked, none read yet.

    Args:
      folder: A Hugging Face folder.
      size: What `read_config` says.

    Raises:
      UserError: If a tensor is missing, left over or of another shape or dtype; lists them.
    """
    tensors = safetensors_files.Tensors(folder, hub_name)
    shapes = leaf_shapes(size)
    _check_complete(tensors, _hub_shapes(shapes, size), folder)
    return {row.path: Leaf(row, shapes[row.path], tensors) for row in _rows(shapes)}


def load_params(
    folder: pathlib.Path,
    size: sizes.ModelSize,
    dtype: jnp.dtype | Mapping[str, jnp.dtype] | None = None,
    shardings: Any = None,
) -> layers.Params:
    """All parameters of a folder.

    Args:
      folder: A Hugging Face folder.
      size: What `read_config` says.
      dtype: Of the result, one for all or by our path; None keeps the file's.
      shardings: One a leaf, for arrays on devices: each device's part alone is read. None
        gives host arrays.

    Returns:
      The nested parameter dict of `qwen2_5_vl.Qwen2_5_VL`.

    Raises:
      UserError: If a tensor is missing, left over or of another shape or dtype; lists them.
    """
    params: layers.Params = {}
    for path, leaf in open_leaves(folder, size).items():
        own = dtype[path] if isinstance(dtype, Mapping) else dtype
        target = leaf.dtype if own is None else np.dtype(own)
        if shardings is None:
            array = leaf[()].astype(target, copy=False)
        else:
            array = _place(leaf, target, lookup(shardings, path))
        insert(params, path, array)
    return params


def hub_tensors(params: layers.Params, size: sizes.ModelSize) -> Iterator[tuple[str, np.ndarray]]:
    """(hub name, tensor) pairs in the file's layout, one whole tensor at a time.

    Args:
      params: The nested parameter dict; leaves on any device.
      size: The model's sizes.

    Yields:
      Every tensor once, in the table's order.
    """
    for entry in hub_entries(params, size, max_bytes=None):
        (make,) = entry.blocks
        yield entry.name, make()


def hub_entries(
    params: layers.Params,
    size: sizes.ModelSize,
    *,
    dtype: jnp.dtype | None = None,
    max_bytes: int | None = BLOCK_BYTES,
) -> Iterator[safetensors_files.Entry]:
    """The tensors of the file's layout, to be written; a leaf is read when its turn comes.

    Args:
      params: The nested parameter dict. Of a leaf only `shape`, `dtype` and indexing are used,
        so it may be an array or something that reads itself part by part.
      size: The model's sizes.
      dtype: Of the tensors; None keeps each leaf's.
      max_bytes: A tensor larger than this comes in several blocks; None never cuts.

    Yields:
      Every tensor once, in the table's order.
    """
    for row in _rows(leaf_shapes(size)):
        leaf = lookup(params, row.path)
        target = np.dtype(leaf.dtype if dtype is None else dtype)
        is_stacked = "{}" in row.hf
        inner = tuple(leaf.shape[1:] if is_stacked else leaf.shape)
        parts = list(row_blocks(inner, row.in_axes, target.itemsize, max_bytes))
        for layer in range(leaf.shape[0]) if is_stacked else (None,):
            before = () if layer is None else (layer,)
            indices = [(*before, *(slice(None),) * row.in_axes, part) for part in parts]
            make = functools.partial(_hub_block, leaf, row, dtype=target, size=size)
            yield safetensors_files.Entry(
                name=row.hf.format(layer),
                shape=_hub_shape(row, inner, size),
                dtype=target,
                blocks=[functools.partial(make, index) for index in indices],
            )


def _hub_block(
    leaf: Any, row: Row, index: Any, *, dtype: np.dtype, size: sizes.ModelSize
) -> np.ndarray:
    """A part of one layer in the file's layout."""
    return _to_hub(np.asarray(leaf[index]), row, size).astype(dtype, copy=False)


def write_weights(
    params: layers.Params,
    size: sizes.ModelSize,
    folder: pathlib.Path,
    *,
    dtype: jnp.dtype | None = None,
    shard_bytes: int = safetensors_files.SHARD_BYTES,
) -> None:
    """Writes the safetensors files, and their index where there are several.

    Args:
      params: The nested parameter dict, as `hub_entries` wants it.
      size: The model's sizes.
      folder: Where to; must exist.
      dtype: Of the tensors; None keeps each leaf's.
      shard_bytes: A file is closed before it would grow beyond this.
    """
    entries = hub_entries(params, size, dtype=dtype)
    safetensors_files.write(folder, entries, shard_bytes=shard_bytes)


@functools.cache
def leaf_shapes(size: sizes.ModelSize) -> dict[str, tuple[int, ...]]:
    """Our path -> shape of every parameter of a model."""
    abstract = qwen2_5_vl.abstract_params(size, jnp.dtype(jnp.float32))
    leaves = jax.tree_util.tree_leaves_with_path(abstract)
    return {"/".join(key.key for key in path): leaf.shape for path, leaf in leaves}


def lookup(params: Any, path: str) -> Any:
    """A leaf of a nested dict by our path."""
    for name in path.split("/"):
        params = params[name]
    return params


def insert(params: layers.Params, path: str, leaf: Any) -> None:
    """Puts a leaf into a nested dict by our path."""
    *parents, name = path.split("/")
    for parent in parents:
        params = params.setdefault(parent, {})
    params[name] = leaf


def row_blocks(
    shape: tuple[int, ...], in_axes: int, itemsize: int, max_bytes: int | None
) -> Iterator[slice]:
    """Slices of the first output axis, which is the first axis of the file.

    Args:
      shape: Of one layer of ours.
      in_axes: Axes before the outputs.
      itemsize: Bytes of a value.
      max_bytes: Of a slice, unless one row is more; None gives one slice.
    """
    rows = shape[in_axes]
    row_bytes = math.prod(shape) // rows * itemsize
    most = rows if max_bytes is None else max(1, max_bytes // row_bytes)
    step = -(-rows // -(-rows // most))  # as many slices as needed, equal in size
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def _rows(shapes: Mapping[str, tuple[int, ...]]) -> list[Row]:
    """The table's rows for this model; the head's is absent where it is tied."""
    rows = [row for row in WEIGHTS if row.path in shapes]
    unmapped = set(shapes) - {row.path for row in rows}
    assert not unmapped, f"parameters without a row in the weight table: {sorted(unmapped)}"
    return rows


def _hub_shapes(
    shapes: Mapping[str, tuple[int, ...]], size: sizes.ModelSize
) -> dict[str, tuple[int, ...]]:
    """Hub name -> shape of every tensor of a model."""
    expected: dict[str, tuple[int, ...]] = {}
    for row in _rows(shapes):
        shape, names = shapes[row.path], [row.hf]
        if "{}" in row.hf:
            names, shape = [row.hf.format(layer) for layer in range(shape[0])], shape[1:]
        expected |= dict.fromkeys(names, _hub_shape(row, shape, size))
    return expected


def _check_complete(
    tensors: Mapping[str, np.ndarray], expected: Mapping[str, tuple[int, ...]], folder: pathlib.Path
) -> None:
    """All tensors and no others, each of its very shape: another one would be scrambled."""
    missing = sorted(expected.keys() - tensors.keys())
    unused = sorted(tensors.keys() - expected.keys())
    if unused == ["lm_head.weight"]:
        unused = []  # a tied checkpoint that also stores its head; `read_config` compared the two
    found = {name: tensors[name].shape for name in sorted(expected.keys() & tensors.keys())}
    other = [f"{n} {list(s)} not {list(expected[n])}" for n, s in found.items() if s != expected[n]]
    if missing or unused or other:
        shorten = safetensors_files.shorten
        raise errors.UserError(
            f"{folder} does not fit its config.json: missing tensors {shorten(missing)}; "
            f"unused tensors {shorten(unused)}; of another shape {shorten(other)}"
        )


def _is_equal(left: np.ndarray, right: np.ndarray) -> bool:
    """Whether two mapped tensors are the same, compared in blocks."""
    if left.shape != right.shape or left.dtype != right.dtype:
        return False
    blocks = row_blocks(left.shape, 0, left.dtype.itemsize, BLOCK_BYTES)
    return all(np.array_equal(left[rows], right[rows]) for rows in blocks)


def _as_ours(tensor: np.ndarray, in_axes: int, shape: tuple[int, ...]) -> np.ndarray:
    """A view: [out, in...] of the file as our [in..., out...]; vectors, embeddings as they are."""
    inputs, outputs = shape[:in_axes], shape[in_axes:]
    view = tensor.reshape(*outputs, *inputs)
    return np.moveaxis(view, range(len(outputs)), range(in_axes, len(shape)))


def _hub_shape(row: Row, inner: tuple[int, ...], size: sizes.ModelSize) -> tuple[int, ...]:
    """Shape of one layer's tensor in the file."""
    if row.path == "vision/patch_embed/kernel":
        patch = size.vision.geometry
        cube = (3, patch.temporal_patch_size, patch.patch_size, patch.patch_size)
        return (inner[-1], *cube)
    if row.path.endswith("embedding"):
        return inner
    inputs = (math.prod(inner[: row.in_axes]),) if row.in_axes else ()
    return (math.prod(inner[row.in_axes :]), *inputs)


def _to_hub(leaf: np.ndarray, row: Row, size: sizes.ModelSize) -> np.ndarray:
    """The inverse of `_as_ours`, for one layer or some of its output rows; C-contiguous."""
    outputs = leaf.ndim - row.in_axes
    view = np.moveaxis(leaf, range(row.in_axes), range(outputs, leaf.ndim))
    out = np.empty(view.shape, view.dtype) if not view.flags.c_contiguous else view
    if out is not view:
        _copy_transposed(view, out, outputs)
    return out.reshape(_hub_shape(row, leaf.shape, size))


def _copy_transposed(view: np.ndarray, out: np.ndarray, axis: int) -> np.ndarray:
    """Copies a view of permuted axes in slices of `axis`, which is several times faster."""
    if view.flags.c_contiguous or axis >= view.ndim:
        np.copyto(out, view)
        return out
    inner = math.prod(view.shape[axis + 1 :])
    step = max(1, _TRANSPOSED_ROWS // max(1, inner))
    for start in range(0, view.shape[axis], step):
        part = (slice(None),) * axis + (slice(start, start + step),)
        out[part] = view[part]
    return out


def _place(leaf: Leaf, dtype: np.dtype, sharding: jax.sharding.Sharding) -> jax.Array:
    """A leaf on its devices; the same part for several devices is read once."""
    parts: dict[str, np.ndarray] = {}

    def read(index: tuple[slice, ...] | None) -> np.ndarray:
        key = str(index)
        if key not in parts:
            parts[key] = leaf[index or ()].astype(dtype, copy=False)
        return parts[key]

    return jax.make_array_from_callback(leaf.shape, sharding, read)
