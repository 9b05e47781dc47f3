# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The whole model: images to visual tokens, visual tokens among the text, decoder.

Axes: B rows, T tokens, M merged visual tokens of a row, D text width, V vocabulary.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from lingshu_jax.common import sharding, structs
from lingshu_jax.models import kv_cache, layers, sizes, text, vision


class Qwen2_5_VL(nn.Module):
    """Qwen2.5-VL over packed rows of static shape.

    Parameters stand under `vision/`, `merger/` and `text/`; `models/hf.py` maps them to the
    published checkpoints.

    Attributes:
      size: All widths and depths.
      dtype: Of activations and matrix products.
      param_dtype: Of the parameters that `init` makes.
      remat: Name of the rematerialisation policy of the blocks (`layers.REMAT_POLICIES`).
      attention: Name of the backend that attends over whole rows (`attention.BACKENDS`).
    """

    size: sizes.ModelSize
    dtype: jnp.dtype = jnp.dtype(jnp.float32)
    param_dtype: jnp.dtype = jnp.dtype(jnp.float32)
    remat: str = "none"
    attention: str = "xla"

    def setup(self) -> None:
        """Declares the three parts."""
        options: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        blocks: dict[str, Any] = {"remat": self.remat, "backend": self.attention}
        self.vision = vision.Vision(self.size.vision, **blocks, **options)
        self.merger = vision.Merger(self.size.vision, self.size.text.embed_dim, **options)
        self.text = text.Decoder(self.size.text, **blocks, **options)

    def __call__(self, batch: structs.Batch) -> Float[Array, "B T D"]:
        """Normalised hidden states at every token of the packed rows."""
        x = self.embed(batch.tokens, batch.media_index, self.encode_images(batch.images))
        return self.text(x, batch.positions, batch.segment_ids)

    def encode_images(self, images: structs.Images) -> Float[Array, "B M D"]:
        """Visual tokens of every image of the rows, in patch order."""
        return self.merger(self.vision(images), images.merged_inverse)

    def embed(
        self,
        tokens: Int[Array, "B T"],
        media_index: Int[Array, "B T"],
        visual: Float[Array, "B M D"],
    ) -> Float[Array, "B T D"]:
        """Token embeddings, replaced by visual tokens where `media_index` names one.

        The recorded index decides, never a token id: a media id that a model emitted or a
        user typed stays text.
        """
        with jax.named_scope("text"):  # for profiles; the modules name what they compute themselves
            at_place = jnp.take_along_axis(visual, jnp.maximum(media_index, 0)[..., None], axis=1)
            is_visual = (media_index >= 0)[..., None]
            x = jnp.where(is_visual, at_place, self.embed_tokens(tokens))
            return sharding.constrain(x, "batch", "tokens", None)

    def embed_tokens(self, tokens: Int[Array, "B T"]) -> Float[Array, "B T D"]:
        """Rows of the embedding table.

        Of a table whose columns are split, every device reads its columns of all tokens, and the
        activations change places: a fraction of what gathering the table would move and hold.
        """
        x = self.text.embed(tokens)
        x = sharding.constrain(x, "replica_batch", "tokens", "embed")
        return sharding.constrain(x, "batch", "tokens", None)

    def prefill(self, batch: structs.Batch) -> tuple[Float[Array, "B T D"], kv_cache.Cache]:
        """Hidden states of one prompt a row, and the cache from which decoding goes on."""
        x = self.embed(batch.tokens, batch.media_index, self.encode_images(batch.images))
        return self.text.prefill(x, batch.positions, batch.segment_ids)

    def step(
        self, tokens: Int[Array, " B"], positions: Int[Array, " B"], cache: kv_cache.Cache
    ) -> tuple[Float[Array, "B D"], kv_cache.Cache]:
        """Hidden state after one new token a row; its position is equal on all three axes."""
        axes = jnp.broadcast_to(positions[:, None, None], (positions.shape[0], 3, 1))
        x = sharding.constrain(self.text.embed(tokens[:, None]), "batch", None, None)
        hidden, cache = self.text.step(x, axes, cache)
        return hidden[:, 0], cache

    def head_kernel(self) -> Float[Array, "D V"] | Float[Array, "V D"]:
        """The output head as it is stored; where it is tied, the embedding with its V first."""
        return self.text.head_kernel()

    def logits(self, hidden: Float[Array, "*batch D"]) -> Float[Array, "*batch V"]:
        """float32 logits; only for places that are few, the loss never makes them all."""
        kernel = self.head_kernel().astype(self.dtype)

        def product(hidden: Array, kernel: Array) -> Array:
            head = "VD" if self.text.is_vocab_first else "DV"
            return jnp.einsum(
                f"...D,{head}->...V", hidden, kernel, preferred_element_type=jnp.float32
            )

        def transposed(hidden: Array, kernel: Array) -> Array:
            rows = hidden.reshape(-1, hidden.shape[-1])
            out = layers.product_of_transposed(kernel, rows, jnp.float32)
            return out.reshape(*hidden.shape[:-1], -1)

        on_cpu = transposed if self.text.is_vocab_first else product
        logits: Any = jax.lax.platform_dependent(hidden, kernel, cpu=on_cpu, default=product)
        return logits


def empty_batch(size: sizes.ModelSize, *, rows: int, tokens: int, patches: int) -> structs.Batch:
    """An all-padding batch of that budget: fixes shapes and dtypes for `init` and tracing.

    Args:
      size: Gives the width of a patch.
      rows: B.
      tokens: T.
      patches: P, a multiple of 64.
    """
    patch_dim = size.vision.geometry.patch_dim
    text_shape, patch_shape = (rows, tokens), (rows, patches)
    cells = patches // size.vision.geometry.cell_patches
    arrays = {
        "tokens": np.full(text_shape, size.special.pad, np.int32),
        "positions": np.zeros((rows, 3, tokens), np.int32),
        "segment_ids": np.zeros(text_shape, np.int32),
        "loss_weights": np.zeros(text_shape, np.float32),
        "media_index": np.full(text_shape, -1, np.int32),
        "source_ids": np.full(text_shape, -1, np.int32),
        "patches": np.zeros((*patch_shape, patch_dim), np.uint8),
        "patch_frame_ids": np.zeros(patch_shape, np.int32),
        "patch_hw": np.zeros((*patch_shape, 2), np.int32),
        "window_gather": np.full(patch_shape, patches, np.int32),
        "window_ids": np.zeros((rows, patches // vision.SLOT, vision.SLOT), np.int32),
        "merged_inverse": np.zeros((rows, cells), np.int32),
    }
    return structs.Batch.from_arrays(arrays)


def apply(
    model: Qwen2_5_VL, params: layers.Params, *args: Any, method: Callable[..., Any] | None = None
) -> Any:
    """A method of the model on parameters; default its hidden states of a batch.

    Args:
      model: The model.
      params: Nested dict of all parameters.
      *args: Of the method.
      method: As `model.prefill`.
    """
    return model.apply({"params": params}, *args, method=method)


def init_params(model: Qwen2_5_VL, key: jax.Array) -> layers.Params:
    """Random parameters; under `jax.eval_shape` only their shapes.

    Args:
      model: The model to initialise.
      key: A `jax.random` key.
    """
    batch = empty_batch(model.size, rows=1, tokens=2, patches=vision.SLOT)
    variables: Any = model.init(key, jax.tree.map(jnp.asarray, batch))
    return variables["params"]


def abstract_params(size: sizes.ModelSize, dtype: jnp.dtype) -> layers.Params:
    """Shapes and dtypes of all parameters, at no cost.

    Args:
      size: All widths and depths.
      dtype: Of the parameters.
    """
    model = Qwen2_5_VL(size=size, param_dtype=dtype)
    return jax.eval_shape(lambda key: init_params(model, key), jax.random.key(0))
