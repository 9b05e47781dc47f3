# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Qwen2.5 decoder: grouped-query attention, multimodal rotary positions, gated MLP.

Axes: B rows, T tokens, S cache places, D width, N query heads, K key/value heads, H head
width, L layers.
"""

from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from lingshu_jax.common import sharding
from lingshu_jax.models import attention, layers, rope, sizes


@flax.struct.dataclass
class Cache:
    """Keys and values of the tokens seen so far; an argument and a result, never hidden state.

    Attributes:
      keys: Rotated keys [L, B, S, K, H].
      values: Values [L, B, S, K, H].
      lengths: Places in use of each row [B]; the next token goes there.
    """

    keys: Array
    values: Array
    lengths: Array


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
        q, k, v = (
            sharding.constrain(y, "batch", None, "heads", None)
            for y in self.attention.project(self.norm1(x), angles)
        )
        attended = attention.attend(
            q, k, v, q_segments=segments, kv_segments=segments, causal=True, backend=self.backend
        )
        return self._finish(x, attended), k, v

    def step(self, x, angles, *, keys, values, lengths):
        """The block for one new token a row, after the cache's `lengths` places.

        Args:
          x: Embedded tokens [B, 1, D].
          angles: Their rotary angles [B, 1, H / 2].
          keys: Cached keys of this layer [B, S, K, H].
          values: Cached values of this layer [B, S, K, H].
          lengths: Places in use [B].

        Returns:
          The block's output [B, 1, D], and the keys and values with the new token in place.
        """
        q, k, v = self.attention.project(self.norm1(x), angles)
        rows = jnp.arange(x.shape[0])
        keys = keys.at[rows, lengths].set(k[:, 0].astype(keys.dtype))
        values = values.at[rows, lengths].set(v[:, 0].astype(values.dtype))
        is_used = jnp.arange(keys.shape[1])[None, :] <= lengths[:, None]
        attended = attention.attend(
            q,
            keys,
            values,
            q_segments=jnp.ones((x.shape[0], 1), jnp.int32),
            kv_segments=is_used.astype(jnp.int32),
            causal=False,
        )
        return self._finish(x, attended), keys, values

    def _finish(self, x, attended):
        x = sharding.constrain(x + self.attention.merge(attended), "batch", "tokens", None)
        return sharding.constrain(x + self.mlp(self.norm2(x)), "batch", "tokens", None)


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
        if not size.tie_embeddings:
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
    ) -> tuple[Float[Array, "B T D"], Cache]:
        """Hidden states of one prompt a row, left-aligned, and the cache after it."""
        hidden, kept = self._run(x, positions, segments, keep_cache=True)
        keys, values = kept
        lengths = jnp.sum(segments > 0, axis=1).astype(jnp.int32)
        return hidden, Cache(keys=keys, values=values, lengths=lengths)

    def step(
        self, x: Float[Array, "B 1 D"], positions: Int[Array, "B 3 1"], cache: Cache
    ) -> tuple[Float[Array, "B 1 D"], Cache]:
        """Hidden states of one new token a row, and the cache with it."""
        angles = self._angles(positions)

        def body(carry, scanned):
            x, keys, values = carry
            params, layer = scanned
            x, key, value = self._apply_block(
                params,
                x,
                angles,
                keys=keys[layer],
                values=values[layer],
                lengths=cache.lengths,
                method=Block.step,
            )
            # The cache is carried, not stacked, so that XLA updates it in place.
            return (x, keys.at[layer].set(key), values.at[layer].set(value)), None

        carry = (x, cache.keys, cache.values)
        scanned = (self.layers, jnp.arange(self.size.num_layers))
        (x, keys, values), _ = jax.lax.scan(body, carry, scanned)
        return self.norm(x), Cache(keys=keys, values=values, lengths=cache.lengths + 1)

    def head_kernel(self) -> Float[Array, "D V"]:
        """The output head, in the compute dtype."""
        kernel = self.embed.embedding.T if self.size.tie_embeddings else self.head
        return kernel.astype(self.dtype)

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
