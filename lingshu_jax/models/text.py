# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Qwen2.5 decoder: grouped-query attention, multimodal rotary positions, gated MLP.

Axes: B rows, T tokens, D width, N query heads, K key/value heads, H head width.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float, Int

from lingshu_jax.common import sharding
from lingshu_jax.models import attention, attention_cached, kv_cache, layers, rope, sizes

TRANSPOSED_HEAD = "head_transposed"  # in the place of the head; `take_apart` makes it


class Attention(nn.Module):
    """The projections of one attention layer; where keys come from is the caller's matter."""

    size: sizes.TextSize
    dtype: jnp.dtype
    param_dtype: jnp.dtype

    def setup(self) -> None:
        """Declares q, k, v (with bias) and out (without)."""
        size = self.size
        options: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        self.q = layers.Dense((size.num_heads, size.head_dim), **options)
        self.k = layers.Dense((size.num_kv_heads, size.head_dim), **options)
        self.v = layers.Dense((size.num_kv_heads, size.head_dim), **options)
        self.out = layers.Dense(size.embed_dim, axis=(-2, -1), use_bias=False, **options)

    def project(
        self, x: Float[Array, "B T D"], angles: Float[Array, "B T F"]
    ) -> tuple[Float[Array, "B T N H"], Float[Array, "B T K H"], Float[Array, "B T K H"]]:
        """Rotated queries, rotated keys, values."""
        return rope.rotate(self.q(x), angles), rope.rotate(self.k(x), angles), self.v(x)

    def merge(self, attended: Float[Array, "B T N H"]) -> Float[Array, "B T D"]:
        """Joins the heads."""
        return self.out(attended)


class Block(nn.Module):
    """Pre-norm decoder block, split where the cache comes between keys and attention."""

    size: sizes.TextSize
    dtype: jnp.dtype
    param_dtype: jnp.dtype
    backend: str = "xla"

    def setup(self) -> None:
        """Declares two norms, attention and MLP."""
        size, param_dtype = self.size, self.param_dtype
        self.norm1 = layers.RMSNorm(size.rms_norm_eps, param_dtype)
        self.norm2 = layers.RMSNorm(size.rms_norm_eps, param_dtype)
        self.attention = Attention(size, self.dtype, param_dtype)
        self.mlp = layers.GatedMLP(size.mlp_dim, False, self.dtype, param_dtype)

    def __call__(
        self, x: Float[Array, "B T D"], angles: Float[Array, "B T F"], segments: Int[Array, "B T"]
    ) -> tuple[Float[Array, "B T D"], Float[Array, "B T K H"], Float[Array, "B T K H"]]:
        """The block over whole rows; also the keys and values, for a cache."""
        x = checkpoint_name(x, layers.LAYER_INPUT)
        q, k, v = (
            checkpoint_name(sharding.constrain(y, "batch", None, "heads", None), layers.QKV)
            for y in self.attention.project(self.norm1(x), angles)
        )
        attended = attention.attend(
            q, k, v, q_segments=segments, kv_segments=segments, causal=True, backend=self.backend
        )
        return self._finish(x, attended), k, v

    def step(self, x, angles, *, layer, cache, blocks):
        """The block for one new token a row.

        Args:
          x: Embedded tokens [B, 1, D].
          angles: Their rotary angles [B, 1, H / 2].
          layer: Of the new part of the cache.
          cache: The prompt part of this layer alone, the new part of all layers.
          blocks: Of places, that attention reads of either part.

        Returns:
          The block's output [B, 1, D], and the new keys and values with the token in its place.
        """
        q, k, v = self.attention.project(self.norm1(x), angles)

        def put(stack, token):
            return kv_cache.put(stack, token[:, 0], layer=layer, places=cache.new_lengths)

        new_keys, new_values = put(cache.new_keys, k), put(cache.new_values, v)
        attended = attention_cached.attend(
            q[:, 0],
            prompt=attention_cached.Part(cache.keys, cache.values),
            lengths=cache.lengths,
            new=attention_cached.Part(new_keys[layer], new_values[layer]),
            new_lengths=cache.new_lengths + 1,
            blocks=blocks,
        )
        return self._finish(x, attended[:, None]), new_keys, new_values

    def _finish(self, x, attended):
        merged = checkpoint_name(self.attention.merge(attended), layers.ATTENTION_OUT)
        x = sharding.constrain(x + merged, "batch", "stream", None)
        return sharding.constrain(x + self.mlp(self.norm2(x)), "batch", "stream", None)


class Decoder(nn.Module):
    """Embedding, blocks, final norm and head."""

    size: sizes.TextSize
    dtype: jnp.dtype = jnp.dtype(jnp.float32)
    param_dtype: jnp.dtype = jnp.dtype(jnp.float32)
    remat: str = "none"
    backend: str = "xla"

    def setup(self) -> None:
        """Declares embedding, stacked blocks, norm and, where it is not tied, the head."""
        size = self.size
        self.embed = nn.Embed(
            size.vocab_size,
            size.embed_dim,
            embedding_init=nn.initializers.normal(0.02),
            dtype=self.dtype,
            param_dtype=self.param_dtype,
        )
        block = self._block()
        example = (
            jnp.zeros((1, 1, size.embed_dim), self.dtype),
            jnp.zeros((1, 1, size.head_dim // 2), jnp.float32),
            jnp.zeros((1, 1), jnp.int32),
        )
        self.layers = layers.stack(self, "layers", block, size.num_layers, *example)
        self.norm = layers.RMSNorm(size.rms_norm_eps, self.param_dtype)
        self.is_vocab_first = size.tie_embeddings or self.has_variable("params", TRANSPOSED_HEAD)
        if not self.is_vocab_first:
            self.head = self.param(
                "head",
                nn.initializers.normal(0.02),
                (size.embed_dim, size.vocab_size),
                self.param_dtype,
            )

    def __call__(
        self, x: Float[Array, "B T D"], positions: Int[Array, "B 3 T"], segments: Int[Array, "B T"]
    ) -> Float[Array, "B T D"]:
        """Normalised hidden states of whole packed rows."""
        return self._run(x, positions, segments, keep_cache=False)[0]

    def prefill(
        self, x: Float[Array, "B T D"], positions: Int[Array, "B 3 T"], segments: Int[Array, "B T"]
    ) -> tuple[Float[Array, "B T D"], kv_cache.Cache]:
        """Hidden states of one prompt a row, left-aligned, and the cache after it."""
        hidden, kept = self._run(x, positions, segments, keep_cache=True)
        keys, values = (jnp.swapaxes(leaf, 2, 3) for leaf in kept)
        room = jnp.zeros_like(values[:, :, :, :0])
        return hidden, kv_cache.Cache(
            keys=jnp.swapaxes(keys, 3, 4),
            values=values,
            lengths=jnp.sum(segments > 0, axis=1).astype(jnp.int32),
            new_keys=room,
            new_values=room,
            new_lengths=jnp.zeros(x.shape[0], jnp.int32),
        )

    def step(
        self, x: Float[Array, "B 1 D"], positions: Int[Array, "B 3 1"], cache: kv_cache.Cache
    ) -> tuple[Float[Array, "B 1 D"], kv_cache.Cache]:
        """Hidden states of one new token a row, and the cache with it.

        The layers are scanned, or run one by one where `layers.split_stack` took them apart.
        """
        angles = self._angles(positions)
        lengths = cache.lengths, cache.new_lengths + 1
        blocks = tuple(map(attention_cached.num_blocks, lengths))

        def body(carry, scanned):
            x, new_keys, new_values = carry
            params, layer, keys, values = scanned
            given = dataclasses.replace(
                cache, keys=keys, values=values, new_keys=new_keys, new_values=new_values
            )
            return self._apply_block(
                params, x, angles, layer=layer, cache=given, blocks=blocks, method=Block.step
            ), None

        def run(x, stack):
            params, keys, values, new_keys, new_values = stack
            depth = keys.shape[0]
            scanned = (params, jnp.arange(depth), keys, values)
            return jax.lax.scan(body, (x, new_keys, new_values), scanned, unroll=depth == 1)[0]

        stacks = (self.layers, cache.keys, cache.values, cache.new_keys, cache.new_values)
        if not isinstance(self.layers, tuple):
            x, new_keys, new_values = run(x, stacks)
        else:
            new = []
            for part in zip(*stacks, strict=True):
                x, *after = run(x, part)
                new.append(tuple(after))
            new_keys, new_values = zip(*new, strict=True)
        cache = dataclasses.replace(
            cache, new_keys=new_keys, new_values=new_values, new_lengths=cache.new_lengths + 1
        )
        return self.norm(x), cache

    def head_kernel(self) -> Float[Array, "D V"] | Float[Array, "V D"]:
        """The output head as it is stored; V first where it is the embedding, or transposed."""
        if self.size.tie_embeddings:
            return self.embed.embedding
        return self.get_variable("params", TRANSPOSED_HEAD) if self.is_vocab_first else self.head

    def _run(self, x, positions, segments, *, keep_cache) -> tuple[Array, Any]:
        angles = self._angles(positions)

        def forward(params, x):
            x, k, v = self._apply_block(params, x, angles, segments)
            return x, (k, v) if keep_cache else None

        forward = layers.remat(forward, self.remat)
        x, kept = jax.lax.scan(lambda x, params: forward(params, x), x, self.layers)
        return self.norm(x), kept

    def _angles(self, positions):
        return rope.text_angles(
            positions,
            head_dim=self.size.head_dim,
            theta=self.size.rope_theta,
            mrope_section=self.size.mrope_section,
        )

    def _apply_block(self, params: Any, *args: Any, **kwargs: Any) -> Any:
        return self._block().apply({"params": params}, *args, **kwargs)

    def _block(self) -> Block:
        return Block(self.size, self.dtype, self.param_dtype, self.backend, parent=None)


def take_apart(params: layers.Params) -> layers.Params:
    """A copy of the decoder's parameters as decoding on a CPU reads them fastest.

    Layers stand by themselves, as reading one from the stack would copy it at every step, and the
    outputs of each kernel come first. The program is longer for it.

    Args:
      params: Those of `Decoder`.
    """
    apart = dict(params)
    apart["layers"] = tuple(
        layers.transpose_kernels(layer, "text/layers")
        for layer in layers.split_stack(params["layers"])
    )
    if "head" in apart:
        apart[TRANSPOSED_HEAD] = apart.pop("head").T
    return apart
