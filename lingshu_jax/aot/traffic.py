# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The collectives that a step needs, counted by hand where no compiled program is there.

Weights that are split over `fsdp` are gathered in the compute dtype for the forward pass and again
for the backward pass, their gradients reduced and scattered once; every micro-batch does so.
The embedding is not gathered: activations move. Replicas (`data`, `context`) add their gradients.
`tensor` adds activations twice a block and pass, `context` exchanges tokens for heads around full
attention.
"""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from lingshu_jax.aot import hlo
from lingshu_jax.models import flops, sizes

BYTES = 2  # of a bfloat16, in which weights, gradients and activations travel
VISION = ("vision/", "merger/")


class Batch(NamedTuple):
    """Padded shape of a global batch: what is really computed.

    Attributes:
      rows: Over all devices, of one optimizer step, all micro-batches together.
      tokens: Of a row, padding included.
      patches: Of a row, padding included; 0 for text.
      targets: Tokens of a row that the head is asked at; 0 is all of them.
      micro_batches: Passes one after the other, each of which gathers the weights.
      block: Side of a block of the attention kernel, which computes whole blocks and skips those
        that share no sequence; ours has 1,024 by 1,024 forward, 1,024 by 2,048 backward.
    """

    rows: int
    tokens: int
    patches: int = 0
    targets: int = 0
    micro_batches: int = 1
    block: int = 1536

    def executed(self, work: flops.Work) -> flops.Work:
        """What is computed, in the units of useful work.

        Args:
          work: Useful; says how long sequences and frames are.
        """
        tokens, patches = self.rows * self.tokens, self.rows * self.patches
        length = work.token_pairs / work.tokens
        frame = work.frame_pairs / work.patches if work.patches else 0.0
        block, whole_block = self.block, min(self.block, self.tokens)
        # A sequence that begins anywhere lies in n / b + 1 blocks of queries and of keys; those on
        # the diagonal are its neighbours' too. n^2 counts as its causal half.
        return flops.Work(
            tokens=tokens,
            token_pairs=tokens * min(self.tokens + whole_block, length + 3 * block),
            patches=patches,
            frame_pairs=patches * min(self.patches, frame + 2 * block),
            window_pairs=patches * _WINDOW,
            targets=self.rows * (self.targets or self.tokens),
        )


_WINDOW = 64  # patches of a window slot
_EMBED = "text/embed"


class Stack(NamedTuple):
    """Blocks that run as one loop, or a single product.

    Attributes:
      name: As "text/layers".
      layers: Blocks.
      weights: Numbers in the kernels of all blocks.
      trained: How many of them are trained.
      is_behind: Whether the backward pass runs through it.
    """

    name: str
    layers: int
    weights: int = 0
    trained: int = 0
    is_behind: bool = False


def stacks(size: sizes.ModelSize, trained: Collection[str], *, with_vision: bool) -> list[Stack]:
    """The parts of the model and their weights, norms and biases left out.

    Args:
      size: The model's sizes.
      trained: Paths of the trained parameters.
      with_vision: Whether the tower runs.
    """
    cell = size.vision.geometry.cell_patches
    one = flops.Work(
        tokens=1, token_pairs=0, patches=cell, frame_pairs=0, window_pairs=0, targets=1
    )
    depth = {"vision/blocks": size.vision.num_layers, "text/layers": size.text.num_layers}
    found: dict[str, Stack] = {}
    for product in flops.products(size, one, trained):
        part = product.part
        if product.weight and (with_vision or not part.startswith(VISION)):
            weights = round(product.forward / 2) // (cell if part.startswith("vision/") else 1)
            last = found.get(part, Stack(part, depth.get(part, 1)))
            found[part] = last._replace(
                weights=last.weights + weights,
                trained=last.trained + weights * product.is_trained,
                is_behind=last.is_behind or product.is_trained or product.is_behind,
            )
    if not size.text.tie_embeddings:
        table = size.text.vocab_size * size.text.embed_dim
        is_trained = "text/embed/embedding" in trained
        found[_EMBED] = Stack(_EMBED, 1, table, table * is_trained, is_trained)
    return list(found.values())


def collectives(
    *,
    size: sizes.ModelSize,
    batch: Batch,
    trained: Collection[str],
    recomputed: Collection[str],
    mesh: Mapping[str, int],
    slices: int = 1,
) -> list[hlo.Collective]:
    """Those of a step, or of a forward pass where nothing is trained.

    Args:
      size: The model's sizes.
      batch: Its padded shape.
      trained: Paths of the trained parameters.
      recomputed: Products of a block that the backward pass does again.
      mesh: Devices along each mesh axis.
      slices: Slices that the data axis goes over.
    """
    parts = {one.name: one for one in stacks(size, trained, with_vision=batch.patches > 0)}
    found = list(_weights(parts.values(), batch, mesh, slices))
    found += _embedding(size, batch, mesh, is_trained="text/embed/embedding" in trained)
    for block in _blocks(size, batch):
        runs_back = block.name in parts and parts[block.name].is_behind
        passes = 1 + runs_back * (1 + ("attention/out" in recomputed))
        found += _activations(block, mesh, passes)
    return [one for one in found if one.group_size > 1 and one.wire_bytes]


def _weights(
    parts: Iterable[Stack], batch: Batch, mesh: Mapping[str, int], slices: int
) -> Iterator[hlo.Collective]:
    fsdp, tensor = mesh.get("fsdp", 1), mesh.get("tensor", 1)
    replicas = {axis: mesh.get(axis, 1) for axis in ("data", "context")}
    replicas["data"] //= slices
    for part in parts:
        if part.name == _EMBED:
            continue
        size = BYTES * part.weights / part.layers / tensor
        passes = part.layers * batch.micro_batches
        yield _make("all-gather", size, {"fsdp": fsdp}, passes * (1 + part.is_behind))
        shard = BYTES * part.trained / part.layers / tensor / fsdp
        yield _make("reduce-scatter", shard, {"fsdp": fsdp}, passes)
        yield _make("all-reduce", shard, replicas, passes)
        yield _make("all-reduce", shard / replicas["data"], {hlo.NETWORK: slices}, passes)


def _embedding(
    size: sizes.ModelSize, batch: Batch, mesh: Mapping[str, int], *, is_trained: bool
) -> Iterator[hlo.Collective]:
    """Every device reads its columns of the table for all rows; activations change places."""
    local = BYTES * batch.rows * batch.tokens * size.text.embed_dim / _shares(mesh)
    yield _make("all-to-all", local, {"fsdp": mesh.get("fsdp", 1)}, 1 + is_trained)


class _Blocks(NamedTuple):
    """A stack, the tokens or patches of its batch, and widths: of it, of q, k and v, of q."""

    name: str
    tokens: int
    layers: int
    exchanging: int
    embed: int
    inputs: int
    heads: int


def _blocks(size: sizes.ModelSize, batch: Batch) -> Iterator[_Blocks]:
    text, vision = size.text, size.vision
    heads = text.num_heads * text.head_dim
    inputs = heads + 2 * text.num_kv_heads * text.head_dim
    depth, tokens = text.num_layers, batch.rows * batch.tokens
    yield _Blocks("text/layers", tokens, depth, depth, text.embed_dim, inputs, heads)
    full = len(vision.full_attention_layers)  # windows are where their patches are
    depth, width, patches = vision.num_layers, vision.embed_dim, batch.rows * batch.patches
    yield _Blocks("vision/blocks", patches, depth, full, width, 3 * width, width)


def _activations(block: _Blocks, mesh: Mapping[str, int], passes: int) -> Iterator[hlo.Collective]:
    tensor, context = mesh.get("tensor", 1), mesh.get("context", 1)
    local = BYTES * block.tokens / _shares(mesh)
    sums = 2 * passes * block.layers
    yield _make("all-reduce", local * block.embed, {"tensor": tensor}, sums)
    for width in (block.inputs, block.heads):
        count = passes * block.exchanging
        yield _make("all-to-all", local * width / tensor, {"context": context}, count)


def _shares(mesh: Mapping[str, int]) -> int:
    """Parts that the tokens of a batch are cut in."""
    return math.prod(mesh.get(axis, 1) for axis in ("data", "fsdp", "context"))


def _make(kind: str, size: float, axes: Mapping[str, int], count: int) -> hlo.Collective:
    group = math.prod(axes.values())
    names = tuple(axis for axis, number in axes.items() if number > 1)
    wire = hlo.wire_bytes(kind, size, group)
    return hlo.Collective(kind, round(size), wire, group, count, names)
