# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Attention on NVIDIA GPUs from Hopper on: cuDNN's packed layout, each document a sequence.

cuDNN reads where the documents of a row begin, so it neither computes nor masks what they do not
share. What that layout cannot say goes to the portable backend while the program runs: a row of
more than `DOCUMENTS`, a forked row, and ids that come back later, as the frames of a row of
several images in window order. JAX's public function has no packed layout; the private one that
has is used once its parity test passes (`attention_backends`).

Axes: B batch, T query tokens, S key/value tokens, N query heads, K key/value heads, H head width,
M documents.
"""

import functools

import jax
import jax.numpy as jnp
from jax._src.cudnn import fused_attention_stablehlo
from jaxtyping import Array, Float, Int

from lingshu_jax.common import errors
from lingshu_jax.models import attention_masks, attention_xla

# Runs of one id in a row, padding included. cuDNN keeps its float32 softmax sums [B M, N, T]:
# 29 MB a row of 8,192 tokens and 28 heads.
DOCUMENTS = 32
DTYPES = (jnp.bfloat16, jnp.float16)
# Before it the offsets of grouped heads were wrong (jax pull request 39521).
GROUPED = (0, 11, 2)


def attend(
    q: Float[Array, "B T N H"],
    k: Float[Array, "B S K H"],
    v: Float[Array, "B S K H"],
    ids: tuple[Int[Array, "B T"], Int[Array, "B S"]],
    *,
    causal: bool,
) -> Float[Array, "B T N H"]:
    """`attention.attend` by cuDNN, or by blocks where the ids are not those of packed documents.

    Args:
      q: Queries, already rotated.
      k: Keys, already rotated.
      v: Values.
      ids: Segment ids of the queries and of the keys: the same, a row attends to itself.
      causal: Whether later keys are hidden.

    Raises:
      UserError: If cuDNN or this version of JAX cannot do it for any ids.
    """
    if q.dtype not in DTYPES:
        raise errors.UserError(
            f"attention backend 'cudnn' computes in bfloat16 or float16, got {q.dtype}; use 'xla'"
        )
    if q.shape[2] != k.shape[2] and jax.__version_info__ < GROUPED:
        raise errors.UserError(
            f"attention backend 'cudnn' needs jax >= 0.11.2 for grouped heads, got "
            f"{jax.__version__}; use 'xla'"
        )
    return jax.lax.cond(
        jnp.array_equal(*ids) & attention_masks.are_documents(ids[0], DOCUMENTS),
        functools.partial(_attend_packed, causal=causal),
        functools.partial(attention_xla.attend, causal=causal),
        *(q, k, v, ids),
    )


def _attend_packed(q, k, v, ids, *, causal):
    offsets, lengths = find_documents(ids[0])
    masks = fused_attention_stablehlo.MaskType
    return fused_attention_stablehlo.dot_product_attention(
        q,
        k,
        v,
        q_seqlen=lengths,
        kv_seqlen=lengths,
        q_offsets=offsets,
        kv_offsets=offsets,
        scale=q.shape[-1] ** -0.5,
        mask_type=masks.CAUSAL if causal else masks.NO_MASK,
    )


def find_documents(ids: Int[Array, "B T"]) -> tuple[Int[Array, "B E"], Int[Array, "B M"]]:
    """Where the documents of each row begin and how long they are, -1 where there is none.

    Args:
      ids: Segment ids; every run of one is a document, the padding as well.

    Returns:
      E = M + 1 places, the last for an end that cuDNN fills in, and M lengths.
    """
    length = ids.shape[1]

    def of_row(is_start):
        (starts,) = jnp.nonzero(is_start, size=DOCUMENTS + 1, fill_value=-1)
        ends = jnp.where(starts[1:] < 0, length, starts[1:])
        return starts, jnp.where(starts[:-1] < 0, -1, ends - starts[:-1])

    starts, lengths = jax.vmap(of_row)(attention_masks.starts(ids))
    return starts.astype(jnp.int32), lengths.astype(jnp.int32)
