# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Where a stage's first weights come from: a Hugging Face folder, a checkpoint, or chance."""

import dataclasses
import json
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import tokenizers

from lingshu_jax.common import checkpoints, errors, paths, sharding, tokens
from lingshu_jax.data import tokenizer, tokenizer_files
from lingshu_jax.models import axes, hf, hf_config, lora, qwen2_5_vl, sizes
from lingshu_jax.stages import optim


@dataclasses.dataclass(frozen=True, kw_only=True)
class Initial:
    """Weights that are there, not yet read.

    Attributes:
      size: The model's sizes.
      assets: Folder with tokenizer, processor, chat template and config.
      folder: Where the weights lie.
      is_checkpoint: Whether `folder` is a checkpoint folder, else a Hugging Face one.
    """

    size: sizes.ModelSize
    assets: pathlib.Path
    folder: pathlib.Path
    is_checkpoint: bool

    def load(
        self, mesh: jax.sharding.Mesh, dtype: jnp.dtype | Mapping[str, jnp.dtype]
    ) -> dict[str, Any]:
        """The parameters, each leaf in its place on the mesh; adapters of a checkpoint merged.

        They are cast while they are read, each part on its own, and merged before they are cast:
        what is rounded is rounded once.

        Args:
          mesh: The mesh.
          dtype: Of the parameters, one for all or by path.
        """
        shapes = self._abstract(dtype)
        places = sharding.param_shardings(shapes, axes.PARAM_AXES, mesh)
        if not self.is_checkpoint:
            return hf.load_params(self.folder, self.size, dtype, places)
        saved = checkpoints.Checkpoints(self.folder)
        wanted = lora.abstract(shapes, saved.shapes())
        with_places = sharding.param_shardings(wanted, axes.PARAM_AXES, mesh)
        params = saved.restore(checkpoints.abstract(wanted, with_places)).params
        saved.close()
        return _merge(params, shapes, places) if lora.find(params) else params

    def _abstract(self, dtype: jnp.dtype | Mapping[str, jnp.dtype]) -> dict[str, Any]:
        shapes: dict[str, Any] = {}
        for path, shape in hf.leaf_shapes(self.size).items():
            own = dtype[path] if isinstance(dtype, Mapping) else dtype
            hf.insert(shapes, path, jax.ShapeDtypeStruct(shape, own))
        return shapes


def _merge(params: Any, shapes: Any, places: Any) -> dict[str, Any]:
    """The parameters without adapters, in the dtypes of `shapes`; what can be is donated."""
    base, adapters = lora.split(params)
    dtypes = {name: leaf.dtype for name, leaf in optim.flatten(shapes).items()}
    leaves = optim.flatten(base)
    # Memory of another dtype cannot become the result's.
    kept = {name: leaf for name, leaf in leaves.items() if leaf.dtype == dtypes[name]}
    others = {name: leaf for name, leaf in leaves.items() if name not in kept}

    def merge(kept: Any, others: Any, adapters: Any) -> Any:
        base = optim.unflatten({**kept, **others})
        return lora.merge(lora.join(base, adapters), dtypes)

    return jax.jit(merge, out_shardings=places, donate_argnums=0)(kept, others, adapters)


def find(path: pathlib.Path) -> Initial:
    """What a path holds.

    Args:
      path: A Hugging Face folder, a checkpoint folder, or a training workdir.

    Raises:
      UserError: If it is none of these, or a Hugging Face folder with damaged weights.
    """
    if not path.is_dir():
        raise errors.UserError(f"no folder {path}: a Hugging Face or checkpoint folder is needed")
    if (path / "config.json").is_file() and not (path / "checkpoints").is_dir():
        size = hf.read_config(path)
        hf.open_leaves(path, size)  # a damaged folder is refused before any work is done
        return Initial(size=size, assets=path, folder=path, is_checkpoint=False)
    try:
        folder = checkpoints.find(path)
    except errors.UserError as error:
        raise errors.UserError(
            f"{path} is neither a Hugging Face folder, which holds config.json, nor a checkpoint "
            f"folder, which holds {checkpoints.ASSETS}/ or checkpoints/{checkpoints.ASSETS}/"
        ) from error
    assets = folder / checkpoints.ASSETS
    size = hf_config.read(assets)
    return Initial(size=size, assets=assets, folder=folder, is_checkpoint=True)


def make_random_folder(
    folder: pathlib.Path,
    size_name: str,
    corpus: Iterable[str] | tokenizers.Tokenizer,
    *,
    seed: int,
    min_pixels: int,
    max_pixels: int,
) -> pathlib.Path:
    """A complete Hugging Face folder with random weights.

    It is made whole or not at all; an existing one is kept.

    Args:
      folder: Where to.
      size_name: Name in `models/sizes.py`.
      corpus: Texts that a byte-level BPE tokenizer is trained on, or one that there is.
      seed: Of the weights.
      min_pixels: Smallest image area of the processor files.
      max_pixels: Largest image area of the processor files.

    Raises:
      UserError: If the size is unknown.
    """
    if (folder / "config.json").is_file():
        return folder
    with paths.whole_folder(folder) as partial:
        size = write_random_assets(
            partial, size_name, corpus, min_pixels=min_pixels, max_pixels=max_pixels
        )
        model = qwen2_5_vl.Qwen2_5_VL(size=size)
        params = jax.jit(lambda key: qwen2_5_vl.init_params(model, key))(jax.random.key(seed))
        hf.write_weights(params, size, partial)
        (partial / "config.json").write_text(
            json.dumps(hf_config.dump(size, dtype="float32"), indent=2)
        )
    return folder


def write_random_assets(
    folder: pathlib.Path,
    size_name: str,
    corpus: Iterable[str] | tokenizers.Tokenizer,
    *,
    min_pixels: int,
    max_pixels: int,
) -> sizes.ModelSize:
    """Tokenizer and processor of a random checkpoint, without its weights.

    Args:
      folder: Where to.
      size_name: As of `make_random_folder`, and so the rest.
      corpus: Of the tokenizer.
      min_pixels: Smallest image area.
      max_pixels: Largest.

    Returns:
      The model's sizes, with the ids of this tokenizer.

    Raises:
      UserError: If the size is unknown, or too small for the tokenizer.
    """
    size = sizes.get(size_name)
    total = tokenizer_files.write_tokenizer(
        folder, corpus, size.special.pad, min_pixels=min_pixels, max_pixels=max_pixels
    )
    if total > size.text.vocab_size:
        raise errors.UserError(
            f"the tokenizer has {total} ids, model size {size_name!r} has {size.text.vocab_size}"
        )
    # A small corpus gives fewer merges, and the special tokens then follow sooner.
    ids = tokens.SpecialIds.from_vocab(tokenizer.load(folder).token_to_id)
    return dataclasses.replace(size, special=ids)
