# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Hugging Face folders: one weight table, read and written; complete or an error.

Published names appear here and nowhere else. Both key namings of Qwen2.5-VL files are read
(`visual.` and `model.visual.`, `model.` and `model.language_model.`); the hub's is written.

Source: transformers, models/qwen2_5_vl/modeling_qwen2_5_vl.py and its checkpoint key map.
"""

import dataclasses
import functools
import json
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from lingshu_jax.common import errors
from lingshu_jax.models import hf_config, layers, qwen2_5_vl, sizes

SHARD_BYTES = 5 * 2**30


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


class Tensors(Mapping[str, np.ndarray]):
    """The tensors of a folder's safetensors files by hub name, each read when asked for."""

    def __init__(self, folder: pathlib.Path):
        """Opens the shards named by the index, or model.safetensors.

        Args:
          folder: A Hugging Face folder.

        Raises:
          UserError: If there are no safetensors, a shard is missing or damaged, or a tensor is
            there twice.
        """
        self._where: dict[str, tuple[Any, str]] = {}
        for path in _find_shards(folder):
            file = _open_shard(path)
            for name in file.keys():
                if hub_name(name) in self._where:
                    raise errors.UserError(f"{folder} holds two tensors for {hub_name(name)}")
                self._where[hub_name(name)] = (file, name)

    def __getitem__(self, name: str) -> np.ndarray:
        """Reads one tensor in the file's dtype."""
        file, stored = self._where[name]
        return file.get_tensor(stored)

    def __iter__(self) -> Iterator[str]:
        """Iterates over hub names."""
        return iter(self._where)

    def __len__(self) -> int:
        """How many tensors there are."""
        return len(self._where)


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
    tensors = Tensors(folder)
    if size.text.tie_embeddings and {"lm_head.weight", "model.embed_tokens.weight"} <= set(tensors):
        head, embedding = tensors["lm_head.weight"], tensors["model.embed_tokens.weight"]
        is_tied = np.array_equal(head, embedding)
        text = dataclasses.replace(size.text, tie_embeddings=is_tied)
        size = dataclasses.replace(size, text=text)
    return size


def load_params(
    folder: pathlib.Path, size: sizes.ModelSize, dtype: jnp.dtype | None = None
) -> layers.Params:
    """All parameters of a folder as host arrays.

    Args:
      folder: A Hugging Face folder.
      size: What `read_config` says.
      dtype: Of the result; None keeps the file's.

    Returns:
      The nested parameter dict of `qwen2_5_vl.Qwen2_5_VL`.

    Raises:
      UserError: If a tensor is missing, left over or of another shape; lists them.
    """
    tensors = Tensors(folder)
    shapes = _flat_shapes(size)
    _check_complete(set(tensors), _expected_names(size, shapes), folder)
    params: layers.Params = {}
    for row in _rows(shapes):
        leaf = _read_leaf(row, tensors, shapes[row.path])
        _insert(params, row.path, leaf if dtype is None else leaf.astype(dtype))
    return params


def hub_tensors(params: layers.Params, size: sizes.ModelSize) -> Iterator[tuple[str, np.ndarray]]:
    """(hub name, tensor) pairs in the file's layout, one at a time; serves every exporter.

    Args:
      params: The nested parameter dict; leaves on any device.
      size: The model's sizes.

    Yields:
      Every tensor once, in the table's order.
    """
    shapes = _flat_shapes(size)
    for row in _rows(shapes):
        leaf = _lookup(params, row.path)
        if "{}" in row.hf:
            for layer in range(leaf.shape[0]):
                yield row.hf.format(layer), _to_hub(np.asarray(leaf[layer]), row, size)
        else:
            yield row.hf, _to_hub(np.asarray(leaf), row, size)


def write_weights(
    params: layers.Params,
    size: sizes.ModelSize,
    folder: pathlib.Path,
    *,
    dtype: jnp.dtype | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Writes the safetensors files, and their index where there are several.

    Args:
      params: The nested parameter dict.
      size: The model's sizes.
      folder: Where to; must exist.
      dtype: Of the tensors; None keeps each leaf's.
      shard_bytes: A file is closed before it would grow beyond this.
    """
    shards: list[dict[str, np.ndarray]] = [{}]
    room = shard_bytes
    for name, tensor in hub_tensors(params, size):
        tensor = tensor if dtype is None else tensor.astype(dtype)
        if tensor.nbytes > room and shards[-1]:
            shards.append({})
            room = shard_bytes
        shards[-1][name] = tensor
        room -= tensor.nbytes
    names = _shard_names(len(shards))
    for name, shard in zip(names, shards, strict=True):
        safetensors.numpy.save_file(shard, folder / name, metadata={"format": "pt"})
    if len(shards) > 1:
        weight_map = {k: n for n, shard in zip(names, shards, strict=True) for k in shard}
        total = sum(t.nbytes for shard in shards for t in shard.values())
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))


def _shard_names(count: int) -> list[str]:
    if count == 1:
        return ["model.safetensors"]
    return [f"model-{i:05d}-of-{count:05d}.safetensors" for i in range(1, count + 1)]


def _find_shards(folder: pathlib.Path) -> list[pathlib.Path]:
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise errors.UserError(
                f"{index} must be JSON with a weight_map from tensor to file: {error}"
            ) from error
    else:
        names = ["model.safetensors"]
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise errors.UserError(
            f"{folder} holds no {', '.join(missing)}; a Hugging Face folder with safetensors "
            "weights is needed (pickled .bin files are not read)"
        )
    return [folder / name for name in names]


def _open_shard(path: pathlib.Path) -> Any:
    try:
        return safetensors.safe_open(path, framework="np")
    except safetensors.SafetensorError as error:
        raise errors.UserError(f"{path} is damaged or no safetensors file: {error}") from error


@functools.cache
def _flat_shapes(size: sizes.ModelSize) -> dict[str, tuple[int, ...]]:
    abstract = qwen2_5_vl.abstract_params(size, jnp.dtype(jnp.float32))
    leaves = jax.tree_util.tree_leaves_with_path(abstract)
    return {"/".join(key.key for key in path): leaf.shape for path, leaf in leaves}


def _rows(shapes: Mapping[str, tuple[int, ...]]) -> list[Row]:
    """The table's rows for this model; the head's is absent where it is tied."""
    rows = [row for row in WEIGHTS if row.path in shapes]
    unmapped = set(shapes) - {row.path for row in rows}
    assert not unmapped, f"parameters without a row in the weight table: {sorted(unmapped)}"
    return rows


def _expected_names(size: sizes.ModelSize, shapes: Mapping[str, tuple[int, ...]]) -> set[str]:
    names = set()
    for row in _rows(shapes):
        count = shapes[row.path][0] if "{}" in row.hf else 1
        names.update(row.hf.format(layer) for layer in range(count))
    return names


def _check_complete(found: set[str], expected: set[str], folder: pathlib.Path) -> None:
    missing, unused = sorted(expected - found), sorted(found - expected)
    if unused == ["lm_head.weight"] and not missing:
        return  # a tied checkpoint that also stores its head; `read_config` compared the two
    if missing or unused:
        raise errors.UserError(
            f"{folder} does not fit its config.json: missing tensors {_shorten(missing)}; "
            f"unused tensors {_shorten(unused)}"
        )


def _shorten(names: list[str]) -> str:
    return f"{names[:8]} and {len(names) - 8} more" if len(names) > 8 else str(names)


def _read_leaf(row: Row, tensors: Tensors, shape: tuple[int, ...]) -> np.ndarray:
    if "{}" not in row.hf:
        return _to_ours(row.hf, tensors[row.hf], row.in_axes, shape)
    names = [row.hf.format(layer) for layer in range(shape[0])]
    return np.stack([_to_ours(name, tensors[name], row.in_axes, shape[1:]) for name in names])


def _to_ours(name: str, tensor: np.ndarray, in_axes: int, shape: tuple[int, ...]) -> np.ndarray:
    """[out, in...] of the file to our [in..., out...]; vectors and embeddings as they are."""
    outputs = int(np.prod(shape[in_axes:]))
    fits = tensor.shape[:1] == (outputs,) if in_axes else tensor.shape in (shape, (outputs,))
    if tensor.size != np.prod(shape) or not fits:
        raise errors.UserError(
            f"tensor {name} has shape {list(tensor.shape)}, which does not fit {list(shape)} "
            "as config.json implies"
        )
    matrix = tensor.reshape(outputs, -1).T if in_axes else tensor
    return np.ascontiguousarray(matrix).reshape(shape)


def _to_hub(leaf: np.ndarray, row: Row, size: sizes.ModelSize) -> np.ndarray:
    """The inverse of `_to_ours`, for one layer."""
    if row.in_axes:
        inputs = int(np.prod(leaf.shape[: row.in_axes]))
        leaf = leaf.reshape(inputs, -1).T
    elif leaf.ndim > 1 and not row.path.endswith("embedding"):
        leaf = leaf.reshape(-1)
    if row.path == "vision/patch_embed/kernel":
        patch = size.vision.geometry
        cube = (3, patch.temporal_patch_size, patch.patch_size, patch.patch_size)
        leaf = leaf.reshape(-1, *cube)
    return np.ascontiguousarray(leaf)


def _insert(params: layers.Params, path: str, leaf: Any) -> None:
    *parents, name = path.split("/")
    for parent in parents:
        params = params.setdefault(parent, {})
    params[name] = leaf


def _lookup(params: layers.Params, path: str) -> Any:
    for name in path.split("/"):
        params = params[name]
    return params
